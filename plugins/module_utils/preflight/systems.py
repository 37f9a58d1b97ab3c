"""The systems that hosts may run, and the versions of their packages. Controller only.

Nothing else asks for a system's name: all differences between systems depend on these versions.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

# By ID and VERSION_ID of os-release. nginx's version decides which directives it has, PostgreSQL's names its folder.
PACKAGES = {
    "debian 12": {"nginx": "1.22", "postgresql": "15", "pgbouncer": "1.18"},
    "debian 13": {"nginx": "1.26", "postgresql": "17", "pgbouncer": "1.24"},
    "ubuntu 24.04": {"nginx": "1.24", "postgresql": "16", "pgbouncer": "1.22"},
}
# It has the same packages under the same names, but none of this bundle's tests run on it. Not 22.04: its Python is
# 3.10.
UNTESTED = ("ubuntu 24.04",)
NEWEST = "debian 13"


def system_of(facts: Mapping[str, t.Any]) -> str:
    """What a host runs, by the probe's facts: `debian 12`; empty if it does not say."""
    return " ".join(str(facts[name]) for name in ("id", "version") if facts.get(name))


def packages_of(facts: Mapping[str, t.Any]) -> dict[str, str]:
    """The versions of a host's packages by name, or those of the newest system if its own are not known."""
    return PACKAGES.get(system_of(facts), PACKAGES[NEWEST])


def for_people(system: str) -> str:
    """`Debian 12` for `debian 12`."""
    return system.capitalize()
