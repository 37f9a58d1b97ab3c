"""Action that gives a module the programs that put a change back; see `plugins/modules/trial.py`."""

from __future__ import annotations

from ..module_utils.host.programs import ActionWithPrograms


class ActionModule(ActionWithPrograms):
    """The action `trial`."""

    programs = ("trial/back.sh", "trial/boot_unit.service", "trial/boot_script.init")
