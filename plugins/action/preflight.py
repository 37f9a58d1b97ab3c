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
from ..module_utils.preflight.probe import skippable
from ..module_utils.preflight.report import laid_out, no_problems, secrets_of
from ..module_utils.preflight.specs import load_roles
from ..module_utils.preflight.view import counted
from ..module_utils.speed.ansible_core import hasten_core


class ActionModule(ActionBase):
    """With `roles`, find all problems, or return the hosts' facts; with `report`, show a result; `leave` hosts out."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(
        (
            "report", "leave", "roles", "roles_path", "debian_versions", "minimum_python", "allow_placeholders",
            "installs", "skip_unreachable",
        )
    )  # fmt: skip

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return `problems` and fail, or return `hosts`: each host's facts from the probe."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        if "report" in self._task.args:
            return {**result, **self._told(self._task.args["report"])}
        if "leave" in self._task.args:
            return {**result, **self._left(variables["inventory_hostname"], self._task.args["leave"])}
        _, args = self.validate_argument_spec(
            argument_spec={
                "roles": {"type": "dict", "required": True},
                "roles_path": {"type": "path", "default": self._default_roles_path(variables)},
                "debian_versions": {"type": "list", "elements": "str", "required": True},
                "minimum_python": {"type": "str", "required": True},
                "allow_placeholders": {"type": "bool", "default": False},
                "installs": {"type": "bool", "default": True},
                "skip_unreachable": {"type": "bool", "default": False},
            }
        )
        hasten_core()  # this play has Ansible's own strategy, and nothing renders as many templates as this
        roles = load_roles(self._loader, Path(args["roles_path"]), args["roles"])
        hosts = host_views(variables, roles, self._templar, args["installs"])
        skipped = skippable(hosts) if args["skip_unreachable"] else []
        hosts = [host for host in hosts if host.name not in skipped]
        report = collect(hosts, roles, args, variables)
        if report.notices:
            result["warnings"] = list(report.notices)
        if report:
            problems = report.data(secrets_of(hosts, roles))
            return {**result, "failed": True, "msg": laid_out(problems), "problems": problems, "left_out": skipped}
        found = {"problems": [], "hosts": {host.name: facts_of(host) for host in hosts}, "left_out": skipped}
        return {**result, "changed": False, "msg": no_problems(hosts), **found}

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
    def _left(host: str, skipped: list[str]) -> dict[str, t.Any]:
        """Take a host out of the rest of the run, as Ansible does with those that it cannot reach."""
        if host not in skipped:
            return {"changed": False}
        return {"unreachable": True, "msg": f"{host} does not answer; this run goes on without it."}

    @staticmethod
    def _default_roles_path(variables: Mapping[str, t.Any]) -> str:
        """The folder that contains the role that runs this action, and all other roles."""
        if "role_path" in variables:
            return os.path.dirname(variables["role_path"])
        return str(Path(__file__).resolve().parents[2] / "roles")
