"""Action that gives a module the program that asks the project; see `plugins/modules/websocket_doctor.py`."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ..module_utils.host.programs import text_of


class ActionModule(ActionBase):
    """The action `websocket_doctor`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module, and return what it does."""
        result = super().run(tmp, task_vars)
        args = {**self._task.args, "probe": text_of("probe")}
        return {**result, **self._execute_module(module_args=args, task_vars=task_vars)}
