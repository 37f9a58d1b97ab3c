"""PgBouncer's numbers and addresses fit PostgreSQL and the host."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks import pgbouncer, ports
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView, Role

MODE = {"pgbouncer_mode": "transaction"}


def host_of(probe: str = "", **given: Any) -> HostView:
    """A database host."""
    role = Role("pgbouncer", {}, {}, {}, ["database"])
    variables = {"group_names": ["database"], **MODE, **given, PROBE: {"stdout": probe}}
    return HostView("db", variables, {"pgbouncer": role}, Templar())


def test_the_pool_fits() -> None:
    (found,) = pgbouncer.pgbouncer_pool(host_of(pgbouncer_pool_size=98, postgresql_max_connections=100))
    assert found.variable == "pgbouncer_pool_size" and "48 or less" in found.fix
    for given in ({"pgbouncer_pool_size": 97}, {"pgbouncer_pool_size": 200, "pgbouncer_mode": "none"}):
        assert list(pgbouncer.pgbouncer_pool(host_of(postgresql_max_connections=100, **given))) == []


@pytest.mark.parametrize(
    ("probe", "clients", "allowed"),
    [
        ("open_files=1024\ncapabilities=0\n", 2000, False), ("open_files=20000\ncapabilities=0\n", 2000, True),
        ("open_files=1024\ncapabilities=1000000\nsysctl:fs.nr_open=1048576\n", 2000, True),
        ("open_files=1024\ncapabilities=1000000\nsysctl:fs.nr_open=1048576\n", 600000, False), ("", 2000, True),
    ],
)  # fmt: skip
def test_clients_have_files(probe: str, clients: int, allowed: bool) -> None:
    found = list(pgbouncer.pgbouncer_open_files(host_of(probe, pgbouncer_max_clients=clients)))
    assert not found if allowed else found[0].variable == "pgbouncer_max_clients"


def test_postgresql_is_reached_on_loopback() -> None:
    given = {"postgresql_bind": ["10.0.0.5"], "postgresql_clients": ["127.0.0.1", "10.0.0.1"]}
    (found,) = pgbouncer.pgbouncer_loopback(host_of(**given))
    assert found.variable == "postgresql_bind" and "[127.0.0.1, 10.0.0.5]" in found.fix
    assert list(pgbouncer.pgbouncer_loopback(host_of(**{**given, "pgbouncer_mode": "none"}))) == []


def test_its_port_is_free() -> None:
    probe = 'listeners=asked\nss:1=LISTEN 0 1 127.0.0.1:6432 0.0.0.0:* users:(("x",pid=9,fd=3))\n'
    given = {"pgbouncer_port": 6432, "postgresql_bind": ["127.0.0.1"]}
    (found,) = ports.ports_of_others(host_of(probe, **given))
    assert found.variable == "pgbouncer_port" and "6433" in found.fix
    assert (
        list(ports.ports_of_others(host_of(f"{probe}pid:pgbouncer=9\n".replace('"x"', '"pgbouncer"'), **given))) == []
    )
    assert list(ports.ports_of_others(host_of(probe, **{**given, "pgbouncer_mode": "none"}))) == []
