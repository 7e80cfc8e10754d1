"""Where the downloaded and built parts are: a cache folder outside the tree, filled by `scripts/bootstrap`.

A part's folder carries the hash of what it is made from, so that a new version never meets old files. Only the
standard library is imported here: the bootstrap runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from infra.errors import NotAvailableError

ROOT = Path(__file__).parent.parent.parent
TOOLS = ROOT / "tools"
_BUILD_OUTPUT = {"target", "__pycache__"}
SINK_SOURCE = ROOT / "connectors" / "s3-sink"


def cache_folder() -> Path:
    """Return the cache folder: $CFLIGHT_CACHE, or `cflight` below the user's cache folder."""
    given = os.environ.get("CFLIGHT_CACHE")
    if given:
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cflight"


def fingerprint(*sources: Path) -> str:
    """Return a short hash of files and of all files below folders (build output excepted)."""
    digest = hashlib.sha256()
    for source in sources:
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        for file in files:
            relative = file.relative_to(source.parent)
            if file.is_file() and not _BUILD_OUTPUT & set(relative.parts):
                digest.update(f"{relative}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def jvm_folder() -> Path:
    """Return the folder with the jars of the JVM parts: `kafka/`, `connect/`, `registry/`."""
    return cache_folder() / "jvm" / fingerprint(TOOLS / "jvm")


def go_binary(name: str) -> Path:
    """Return the path of a program built from `tools/<name>/go.mod`."""
    return cache_folder() / "bin" / f"{name}-{fingerprint(TOOLS / name)}" / name


def sink_folder() -> Path:
    """Return the folder of the embedded S3 sink plug-in's jars."""
    return cache_folder() / "plugins" / f"s3-sink-{fingerprint(SINK_SOURCE)}"


def class_archives() -> Path:
    """Return the folder of the JVM parts' class-data archives, which belong to their jars."""
    return cache_folder() / "classes" / jvm_folder().name


def java() -> str:
    """Return the JVM to run: of $JAVA_HOME, or the one on PATH.

    Raises:
        NotAvailableError: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if found is None or not Path(found).is_file():
        raise NotAvailableError(
            "there is no Java on PATH or in JAVA_HOME",
            remedy="Install a JDK: `apt-get install openjdk-17-jdk-headless`.",
        )
    return found


def python() -> str:
    """Return the interpreter of this environment: one path, by whatever name this process was started."""
    return str(Path(sys.prefix) / "bin" / "python")


def require(path: Path, *, what: str) -> Path:
    """Return the path of a part that must be there.

    Raises:
        NotAvailableError: it is not.
    """
    if not path.exists():
        raise NotAvailableError(f"{what} is not installed", where=str(path), remedy="Run `scripts/bootstrap`.")
    return path
