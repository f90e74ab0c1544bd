"""Build hook: compile the kernels of ``seqzoo.ops.native`` where a C compiler is.

Without one the package is built all the same, and torch computes.
"""

import runpy
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileKernels(BuildHookInterface):
    """Adds the compiled kernels to a wheel; an editable install gets them next to their source."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is put together."""
        if self.target_name != "wheel":
            return
        build = runpy.run_path(str(Path(self.root, "seqzoo", "ops", "native", "build.py")))
        library: Path = build["LIBRARY"]
        editable = version == "editable"
        if not editable:
            self._folder = tempfile.TemporaryDirectory()
            library = Path(self._folder.name, library.name)
        try:
            build["build"](library)
        except build["BuildError"] as error:
            self.app.display_warning(f"seqzoo: torch alone will compute on the CPU: {error}")
            return
        if not editable:
            build_data["force_include"][str(library)] = f"seqzoo/ops/native/{library.name}"
            # The library knows neither Python nor torch, only the processor and the system.
            machine = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"py3-none-{machine}"
            build_data["pure_python"] = False
