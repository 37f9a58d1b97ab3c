"""Action that writes a first inventory for a project; see `plugins/modules/project_inspection.py`."""

from __future__ import annotations

import dataclasses
import os
import typing as t
from pathlib import Path

from ansible.plugins.action import ActionBase

from ..module_utils.inspection import inspect, summary
from ..module_utils.inspection import inventory as project_inventory


class ActionModule(ActionBase):
    """The action `project_inspection`."""

    _requires_connection = False
    _VALID_ARGS = frozenset(("folder", "inventory"))

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Look at the project, write the inventory unless in check mode, and report."""
        super().run(tmp, task_vars)
        given = str(self._task.args.get("folder") or "")
        if not given:
            return failed("Say which folder: -e inspect_folder=/path/to/the/project")
        folder = Path(given).expanduser()
        if not folder.is_dir():
            return failed(
                f"{folder} is no folder on this machine. Write the path of the project: -e inspect_folder=/path/to/it"
            )
        found = inspect.inspect(folder)
        inventory = Path(str(self._task.args.get("inventory") or Path("inventories", found.app))).expanduser()
        inventory = Path(os.path.abspath(inventory))
        files: list[Path] = []
        if not self._task.check_mode:
            try:
                files = project_inventory.write(found, inventory)
            except (project_inventory.InventoryExists, OSError) as error:
                return failed(str(error)) | {"lines": summary.summary(found, [], inventory)}
        return {
            "changed": bool(files) or self._task.check_mode,
            "lines": summary.summary(found, files, inventory),
            "files": [str(path) for path in files],
            "notes": [dataclasses.asdict(note) for note in found.notes],
            "found": {
                "app": found.app,
                "backend": found.backend,
                "settings": found.settings,
                "asgi": found.asgi,
                "requirements": found.dependencies.files,
                "websockets": [one.pattern for one in found.sockets],
                "layer": found.layer.kind,
                "database": found.database.kind,
                "environment": {name: one.needed for name, one in sorted(found.names.items())},
            },
        }


def failed(message: str) -> dict[str, t.Any]:
    """A result that ends the run."""
    return {"failed": True, "msg": message}
