"""Action that gives a module the program that asks the project; see `plugins/modules/websocket_doctor.py`."""

from __future__ import annotations

from ..module_utils.host.programs import ActionWithPrograms


class ActionModule(ActionWithPrograms):
    """The action `websocket_doctor`."""

    programs = ("probe.py",)
