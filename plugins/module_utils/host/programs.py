"""Programs that a module runs with another Python. They are files, so that linters see them, read on the controller.

A module on a host cannot read them there. Ansible packs what a module imports into a zip whose importer knows the
sources, and Mitogen brings the same modules with an importer that keeps none of them; neither brings other files. So
the module's action reads the program where the files are, and passes it to the module as an argument.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible.plugins.action import ActionBase


def text_of(file: str) -> str:
    """Return the text of a program, by its path in this folder, such as "probe.py"."""
    return Path(__file__).parent.joinpath(file).read_text(encoding="utf-8")


class ActionWithPrograms(ActionBase):
    """An action that gives programs to the module of the same name, and does nothing else."""

    #: Paths in this folder. A program's name without its ending is the module's argument.
    programs: tuple[str, ...] = ()

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module, and return what it returns."""
        result = super().run(tmp, task_vars)
        texts = {Path(file).stem: text_of(file) for file in self.programs}
        return {**result, **self._execute_module(module_args={**self._task.args, **texts}, task_vars=task_vars)}
