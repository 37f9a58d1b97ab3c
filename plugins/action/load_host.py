"""Action that gives a module the program that asks the project; see `plugins/modules/load_host.py`."""

from __future__ import annotations

from ..module_utils.host.programs import ActionWithPrograms


class ActionModule(ActionWithPrograms):
    """The action `load_host`."""

    programs = ("probe.py",)
