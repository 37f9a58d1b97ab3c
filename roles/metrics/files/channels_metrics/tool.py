"""The host's own tool of a project, <app>-generations, as a library: it knows what a generation is."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

LIBRARIES = Path("/usr/local/lib")


class Tool:
    """The tool of one project. Each project has its own copy, and a deploy may bring a newer one."""

    def __init__(self, app: str) -> None:
        """Take the project's name."""
        self.folder = LIBRARIES / app / "generations"
        self.name = f"generations_of_{app.replace('-', '_')}"
        self._read: tuple[float, ...] = ()

    @property
    def installed(self) -> bool:
        """Whether a deploy has brought it."""
        return (self.folder / "__main__.py").exists()

    def module(self, name: str) -> ModuleType:
        """One of its modules, as it is on the disk."""
        now = tuple(sorted(path.stat().st_mtime for path in self.folder.glob("*.py")))
        if now != self._read:
            for known in [each for each in sys.modules if each.partition(".")[0] == self.name]:
                del sys.modules[known]
            place = str(self.folder / "__init__.py")
            spec = importlib.util.spec_from_file_location(
                self.name, place, submodule_search_locations=[str(self.folder)]
            )
            assert spec and spec.loader
            package = importlib.util.module_from_spec(spec)
            sys.modules[self.name] = package
            spec.loader.exec_module(package)
            self._read = now
        return importlib.import_module(f"{self.name}.{name}")
