"""Action that specifies a generation, and writes its files; see `plugins/modules/generation.py`.

Its work is in `module_utils/generation/`. Texts stay in there: they hold secrets, and no other task needs them.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping

from ansible.errors import AnsibleUndefinedVariable
from ansible.plugins.action import ActionBase
from ansible.template import Templar, trust_as_template

from ..module_utils.generation.files import Render
from ..module_utils.generation.settings import settings_of
from ..module_utils.generation.specification import entries, specify, without_texts

TEMPLATE = "lookup('ansible.builtin.template', _asgi_path, template_vars=_asgi_given)"


def reader(templar: Templar, variables: Mapping[str, t.Any]) -> Callable[[str], t.Any]:
    """Return a function that returns a task variable by its name, or raises AnsibleUndefinedVariable."""

    def value(name: str) -> t.Any:
        if name not in variables:
            raise AnsibleUndefinedVariable(f"'{name}' is undefined")
        return templar.template(variables[name])

    return value


def renderer(templar: Templar) -> Render:
    """Return a function that renders a template like any task of the role, and finds it in the same folders."""
    expression = trust_as_template(TEMPLATE)

    def render(template: str, given: Mapping[str, t.Any]) -> str:
        local = {"_asgi_path": template, "_asgi_given": given}
        return str(templar.evaluate_expression(expression, local_variables=local))

    return render


class ActionModule(ActionBase):
    """Return what a generation consists of, and write it if asked to."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return `generation` and, with state `written`, what the module `file_set` returns."""
        super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(
            argument_spec={
                "state": {"type": "str", "choices": ["specified", "written"], "default": "specified"},
                "name": {"type": "str", "default": ""},
                "processes": {"type": "int", "default": 0},
            }
        )
        variables = task_vars or {}
        settings = settings_of(reader(self._templar, variables))
        document = specify(settings, renderer(self._templar), given["name"], given["processes"])
        result: dict[str, t.Any] = {"changed": False}
        if given["state"] == "written":
            found, secrets = entries(document, f"{settings.base}/generations/{document['name']}")
            arguments = {"entries": found, "secrets": secrets}
            result = self._execute_module("channels.stack.file_set", arguments, task_vars=variables)
        return {**result, "generation": without_texts(document)}
