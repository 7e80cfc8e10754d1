"""Compiles the services' native code when the package is built; without a C compiler the wheel is pure Python."""

from __future__ import annotations

import runpy
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeBuildHook(BuildHookInterface[Any]):
    """Puts `services/native/_rows.so` into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is put together.

        Args:
            version: `standard` or `editable`.
            build_data: what the wheel is made of.
        """
        del version
        native = runpy.run_path(str(Path(self.root) / "services" / "native" / "build.py"))
        failure = native["build"]()
        if failure is not None:
            self.app.display_warning(f"no native code in this wheel, rows will be handled in Python: {failure}")
            return
        build_data["pure_python"] = False
        # The library is loaded with ctypes: it depends on the platform and not on the version of Python.
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        build_data["artifacts"].append("services/native/_rows.so")
