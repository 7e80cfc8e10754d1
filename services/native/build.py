"""Compiles the native per-row code next to its source: `python services/native/build.py`.

Only the standard library is imported: the package's build runs this before anything is installed. Without a C compiler
there is no native code, and the services do the same in Python.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("rows.c")
LIBRARY = Path(__file__).with_name("_rows.so")
_FLAGS = ("-O3", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-std=c11", "-fvisibility=default")


def source_id() -> str:
    """Return what tells one version of the source from another."""
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]


def build() -> str | None:
    """Compile the library.

    Returns:
        Why there is no library, or None if there is.
    """
    if sys.byteorder != "little" or not sys.platform.startswith("linux"):
        return f"no native code for {sys.platform}"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        return f"there is no C compiler {compiler[0]}"
    # Compiled aside and renamed: a running service keeps the old file mapped.
    with tempfile.TemporaryDirectory(dir=LIBRARY.parent) as folder:
        made = Path(folder) / LIBRARY.name
        command = [*compiler, *_FLAGS, f'-DCFLIGHT_SOURCE="{source_id()}"', "-o", str(made), str(SOURCE), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"the C compiler failed: {done.stderr.strip()}"
        made.replace(LIBRARY)
    return None


if __name__ == "__main__":
    failure = build()
    if failure:
        sys.exit(failure)
