"""What roles learn about a host that has no problem. Controller only."""

from __future__ import annotations

import re
import typing as t

from .checks.asgi import manager_of
from .checks.haproxy import edge_limits_of
from .checks.limits import limits_of
from .checks.workers import processes_of
from .systems import packages_of
from .view import HostView, probe_facts


def facts_of(host: HostView) -> dict[str, t.Any]:
    """The probe's facts about a host, and what is computed from them once for all roles."""
    applied, facts = {role.name for role in host.roles}, probe_facts(host.probe)
    return {
        **facts_for_roles(facts),
        "packages": packages_of(facts),
        "groups": sorted(host.groups),
        "manager": manager_of(host),
        **(processes_of(host) if "asgi" in applied else {}),
        **({"limits": limits_of(host)} if "nginx" in applied else {}),
        **({"limits": edge_limits_of(host)} if "haproxy" in applied else {}),
    }


def facts_for_roles(facts: dict[str, t.Any]) -> dict[str, t.Any]:
    """The probe's facts without those that only checks use: they would clutter every line that shows a host."""
    left = r"(ss|kernel|pid|nginx_aside):|(pythons|sshd|clock|haproxy_\w+)$"
    return {key: value for key, value in facts.items() if not re.match(left, key)}
