"""Two hosts of the database that cannot be a primary and its standby stop the run before anything changes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks import postgresql
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView, Problem

CHECKS = (postgresql.postgresql_replication, postgresql.postgresql_states)


class Hostvars(dict[str, Any]):
    """Answers as Ansible's own does."""

    def raw_get(self, name: str) -> Any:
        """Return a host's variables."""
        return self[name]


def problems(states: tuple[str, ...], mine: int = 0, facts: str = "", **given: Any) -> list[Problem]:
    """What the checks say of one of several hosts; one without a state was not asked."""
    names = [f"db-{place + 1}" for place in range(len(states))]
    probes = [
        {"stdout": f"id=debian\nversion=12\ninit=systemd\npostgresql_state={state}\n"} if state else {}
        for state in states
    ]
    probes[mine] = {"stdout": probes[mine].get("stdout", "") + facts}
    variables = {
        "groups": {"app": ["app-1"], "database": names}, "group_names": ["database"], PROBE: probes[mine],
        "hostvars": Hostvars({name: {PROBE: probe} for name, probe in zip(names, probes, strict=True)}),
        "private_address": "10.0.0.1", "postgresql_replication_password": "x" * 32, "pgbouncer_mode": "none",
    }  # fmt: skip
    host = HostView(names[mine], {**variables, **given}, {}, Templar())
    host.installs = given.get("installs", True)
    return [one for look in CHECKS for one in look(host)]


@pytest.mark.parametrize(
    "states",
    [("none",), ("primary",), ("none", "none"), ("fresh", "fresh"), ("primary", "standby"), ("standby", "primary"),
     ("primary", "none"), ("standby", ""), ("primary", "")],
)  # fmt: skip
def test_what_fits(states: tuple[str, ...]) -> None:
    assert [problem for mine, state in enumerate(states) if state for problem in problems(states, mine)] == []


@pytest.mark.parametrize(
    ("states", "given", "variable", "said"),
    [
        (("none",) * 3, {}, "", "3 hosts: db-1, db-2 and db-3 | Keep two"),
        (("none", "none"), {"postgresql_replication_password": ""}, "postgresql_replication_password", "12 or more"),
        (("none", "none"), {"postgresql_replication_password": "has:colons-and-more"},
         "postgresql_replication_password", "other than : and"),
        (("none", "none"), {"facts": "init=init\n"}, "", "no systemd"),
        (("none", "none"), {"facts": "version=13\n"}, "", "db-1 has PostgreSQL 17 and db-2 has PostgreSQL 15"),
        (("primary", "primary"), {}, "", "both the primary"),
        (("former", "primary"), {}, "", "until the other host took over, and is stopped"),
        (("standby", "standby"), {}, "", "both a standby"),
        (("none", ""), {}, "", "is not known | Run this without --limit"),
        (("standby",), {}, "", "is the standby of another host"),
        (("primary", "standby"), {"postgresql_rebuild": "db-3"}, "postgresql_rebuild", "is not in group database"),
        (("primary", "standby"), {"postgresql_rebuild": "db-1"}, "postgresql_rebuild", "no other host of this run"),
        (("primary",), {"facts": "postgresql_standby=yes\npostgresql_projects=# BEGIN project shop;\n"}, "",
         "has a standby, which shop may need"),
    ],
)  # fmt: skip
def test_what_does_not_fit(states: tuple[str, ...], given: dict[str, Any], variable: str, said: str) -> None:
    (found,) = problems(states, **given)
    assert found.variable == variable and said in f"{found.fault} | {found.fix}"


@pytest.mark.parametrize("states", [("primary", "primary"), ("former", "primary")])
def test_rebuilding_one_solves_it(states: tuple[str, str]) -> None:
    assert problems(states, postgresql_rebuild="db-1") == []


def test_playbooks_that_set_up_nothing_run_anyway() -> None:
    """A database that needs hands does not keep from looking at the site."""
    assert problems(("former", "primary"), installs=False) == []
