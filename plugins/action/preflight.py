"""Action that finds every problem of an inventory and its hosts at once; see `plugins/modules/preflight.py`.

Its work is in `module_utils/preflight/`; `view.py` there says how to add a check.
"""

from __future__ import annotations

import os
import typing as t
from collections.abc import Mapping
from pathlib import Path

from ansible.errors import AnsibleAction
from ansible.plugins.action import ActionBase

from ..module_utils.preflight.collect import collect, host_views
from ..module_utils.preflight.facts import facts_of
from ..module_utils.preflight.report import laid_out, no_problems, secrets_of
from ..module_utils.preflight.specs import load_roles
from ..module_utils.preflight.view import counted
from ..module_utils.speed.ansible_core import hasten_core


class ActionModule(ActionBase):
    """With `roles`, find all problems and fail with them, or return the hosts' facts; with `report`, show a result."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(
        ("report", "roles", "roles_path", "debian_versions", "minimum_python", "allow_placeholders", "installs")
    )

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return `problems` and fail, or return `hosts`: each host's facts from the probe."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        if "report" in self._task.args:
            return {**result, **self._told(self._task.args["report"])}
        _, args = self.validate_argument_spec(
            argument_spec={
                "roles": {"type": "dict", "required": True},
                "roles_path": {"type": "path", "default": self._default_roles_path(variables)},
                "debian_versions": {"type": "list", "elements": "str", "required": True},
                "minimum_python": {"type": "str", "required": True},
                "allow_placeholders": {"type": "bool", "default": False},
                "installs": {"type": "bool", "default": True},
            }
        )
        hasten_core()  # this play has Ansible's own strategy, and nothing renders as many templates as this
        roles = load_roles(self._loader, Path(args["roles_path"]), args["roles"])
        hosts = host_views(variables, roles, self._templar, args["installs"])
        report = collect(hosts, roles, args, variables)
        if report.notices:
            result["warnings"] = list(report.notices)
        if report:
            problems = report.data(secrets_of(hosts, roles))
            return {**result, "failed": True, "msg": laid_out(problems), "problems": problems}
        facts = {host.name: facts_of(host) for host in hosts}
        return {**result, "changed": False, "msg": no_problems(hosts), "problems": [], "hosts": facts}

    @staticmethod
    def _told(report: Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Show an earlier result: fail with its message if it has problems.

        Ansible prints a failure twice, as an error and as the task's result, and the result's data once more. Our own
        exception makes the error a single line; without the data, the result is only the message.
        """
        if report["problems"]:
            head = f"{counted(len(report['problems']), 'problem')}; nothing was changed. Listed below:"
            raise AnsibleAction(head, result={"changed": False, "msg": report["msg"]})
        return {"changed": False, "msg": report["msg"], "_ansible_verbose_always": True}

    @staticmethod
    def _default_roles_path(variables: Mapping[str, t.Any]) -> str:
        """The folder that contains the role that runs this action, and all other roles."""
        if "role_path" in variables:
            return os.path.dirname(variables["role_path"])
        return str(Path(__file__).resolve().parents[2] / "roles")
