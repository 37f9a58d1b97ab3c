"""Action that gives a module the program that asks the project; see `plugins/modules/websocket_doctor.py`."""

from __future__ import annotations

from typing import Any

from ansible.utils.display import Display

from ..module_utils.doctor.controller import progress
from ..module_utils.host.programs import ActionWithPrograms


class ActionModule(ActionWithPrograms):
    """The action `websocket_doctor`."""

    programs = ("probe.py",)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Show how far a plain request gets from here, then run the module, which takes some seconds."""
        name = str((task_vars or {}).get("inventory_hostname", ""))
        Display().display(f"{name}  {progress(str(self._task.args.get('url') or ''))}")
        return super().run(tmp, task_vars)
