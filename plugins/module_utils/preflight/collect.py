"""All problems of an inventory and its hosts, in the best order for reading. Controller only."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from .checks import CHECKS
from .inventory import inventory_problems, vault_file
from .probe import host_problems, untested_notices
from .report import Report
from .values import handed_problems, option_problems, placeholder_problems, unknown_notices, unknown_problems
from .view import HostView, Role


def host_views(
    variables: Mapping[str, t.Any], roles: Mapping[str, Role], templar: t.Any, installs: bool
) -> list[HostView]:
    """The hosts of this run that are in a group; the implicit localhost is in none."""
    hostvars = variables["hostvars"]
    views = []
    for name in variables["ansible_play_hosts_all"]:
        # Untemplated, and with hostvars, which a host's own variables lack.
        raw = {**hostvars.raw_get(name), "hostvars": hostvars}
        view = HostView(name, raw, roles, templar, installs)
        if view.groups - {"ungrouped"}:
            views.append(view)
    return views


def collect(
    hosts: list[HostView], roles: Mapping[str, Role], args: Mapping[str, t.Any], variables: Mapping[str, t.Any]
) -> Report:
    """Run all checks; `args` are the action's arguments, and `variables` those of its task."""
    report = Report(variables["groups"], [host.name for host in hosts])
    sources = variables.get("ansible_inventory_sources") or ()
    for problem in inventory_problems(variables["groups"], sources):
        report.add(problem)
    for host in hosts:
        for problem in host_problems(host, args["debian_versions"], args["minimum_python"]):
            report.add(problem, host)
        report.notices.update(dict.fromkeys(untested_notices(host)))
    for host in hosts:
        for problem in (*unknown_problems(host, roles), *handed_problems(host, roles)):
            report.add(problem, host)
        report.notices.update(dict.fromkeys(unknown_notices(host, roles)))
        for role in host.roles:
            for problem in option_problems(host, role):
                report.add(problem, host)
        if not args["allow_placeholders"]:
            for problem in placeholder_problems(host, vault_file(sources)):
                report.add(problem, host)
    for host in hosts:
        applied = {role.name for role in host.roles}
        for role_name, function in CHECKS:
            for problem in function(host) if role_name in applied else ():
                report.add(problem, host)
    return report
