"""All that PgBouncer is told, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Render = Callable[..., str]
ROOT = Path(__file__).resolve().parents[2]
DEBIAN_13 = {"preflight_host": {"memory_mb": "2000", "id": "debian", "version": "13", "init": "systemd"}}
DEBIAN_12 = {"preflight_host": {"memory_mb": "2000", "id": "debian", "version": "12", "init": "systemd"}}


def settings(text: str) -> dict[str, str]:
    """Return what a file sets, by name; what it sets twice is an error."""
    lines = [line.partition(" = ") for line in text.splitlines() if line.strip() and line[0] not in ";[%"]
    assert len({name for name, _, _ in lines}) == len(lines)
    return {name: value for name, _, value in lines}


def test_settings(render: Render) -> None:
    found = settings(render("pgbouncer/pgbouncer.ini.j2", pgbouncer_mode="transaction", **DEBIAN_12))
    reset = found.pop("server_reset_query")
    assert "RESET ROLE" in reset and "DISCARD ALL" not in reset, "the second user would no longer act as the owner"
    assert found == {
        "auth_type": "hba",
        "auth_hba_file": "/etc/pgbouncer/hba.conf",
        "auth_file": "/etc/pgbouncer/users.txt",
        "admin_users": "pgbouncer",
        "pool_mode": "transaction",
        "max_client_conn": "2000",
        "ignore_startup_parameters": "extra_float_digits",
        "client_idle_timeout": "0",
        "query_wait_timeout": "30",
        "server_login_retry": "2",
        "tcp_keepalive": "1",
        "tcp_keepidle": "60",
        "log_connections": "0",
        "log_disconnections": "0",
        "log_stats": "0",
    }


def test_each_project_has_its_own_mode(render: Render) -> None:
    """With one that all share, two projects on a host would undo each other's at each run."""
    one, other = (
        render("pgbouncer/pgbouncer.ini.j2", pgbouncer_mode=mode, **DEBIAN_12) for mode in ("transaction", "session")
    )
    assert one == other


def test_tls_and_newer_versions(render: Render) -> None:
    """From 1.21 on, prepared statements outlive a transaction."""
    plain = settings(render("pgbouncer/pgbouncer.ini.j2", **DEBIAN_12))
    given = {"postgresql_tls": True, **DEBIAN_13}
    found = settings(render("pgbouncer/pgbouncer.ini.j2", **given))
    assert {name: value for name, value in found.items() if plain.get(name) != value} == {
        "max_prepared_statements": "200",
        "client_tls_sslmode": "allow",
        "client_tls_cert_file": "/etc/pgbouncer/certificate/fullchain.pem",
        "client_tls_key_file": "/etc/pgbouncer/certificate/privkey.pem",
        "client_tls_protocols": "tlsv1.2,tlsv1.3",
    }


def test_only_a_start_reads_these(render: Render) -> None:
    found = settings(render("pgbouncer/start.ini.j2", postgresql_bind=["127.0.0.1", "10.0.0.5"], **DEBIAN_12))
    assert found == {
        "listen_addr": "127.0.0.1,10.0.0.5",
        "listen_port": "6432",
        "unix_socket_dir": "/run/pgbouncer",
        "unix_socket_mode": "0700",
        "pidfile": "/run/pgbouncer/pgbouncer.pid",
    }
    other = {"preflight_host": {"init": "sh"}}
    assert "logfile = /var/log/postgresql/pgbouncer.log" in render("pgbouncer/start.ini.j2", **other)


def test_clients_are_those_of_postgresql(render: Render) -> None:
    """TLS for other hosts, as PostgreSQL itself has it."""
    given = {"postgresql_clients": ["127.0.0.1", "10.0.0.1", "10.1.0.0/24", "fd00::1"], "postgresql_tls": True}
    pooled, direct = render("pgbouncer/hba.conf.j2", **given), render("postgresql/pg_hba.conf.j2", **given)
    assert pooled == direct and pooled.splitlines()[1].startswith(
        "hostssl dash_board dash_board,dash_board__b 10.0.0.1/32"
    )


def test_runs_as_a_user_who_is_nobody_in_postgresql(render: Render) -> None:
    """Debian's unit and script have postgres there."""
    unit = render("pgbouncer/service.conf.j2", pgbouncer_max_clients=500, **DEBIAN_12)
    assert "\nUser=pgbouncer\n" in unit and "\nLimitNOFILE=1100\n" in unit
    script = render("pgbouncer/default.j2", pgbouncer_max_clients=500, **DEBIAN_12)
    assert "\nRUNASUSER=pgbouncer:pgbouncer\n" in script and "ulimit -n 1100" in script


def test_no_file_begins_the_section_again(render: Render) -> None:
    """PgBouncer would forget all that it has read of it."""
    assert "[" not in render("pgbouncer/start.ini.j2", **DEBIAN_12)
    text = render("pgbouncer/pgbouncer.ini.j2", **DEBIAN_12)
    assert text.count("[pgbouncer]") == 1 and "[databases]" not in text


def test_sandbox(render: Render) -> None:
    text = render("pgbouncer/sandbox.conf.j2", pgbouncer_sandbox={"ProtectHome": False}, **DEBIAN_12)
    lines = text.splitlines()
    assert "RemoveIPC" not in text, "ends a PostgreSQL whose user PgBouncer had when it was installed"
    assert "CapabilityBoundingSet=" in lines and "ProtectHome=no" in lines and "ProtectSystem=strict" in lines


def test_it_stays_until_it_is_told_to_go() -> None:
    """What serves while a run provisions the next release connects to it."""
    tasks = yaml.safe_load((ROOT / "roles/pgbouncer/tasks/leave.yml").read_text())
    assert [task["when"] for task in tasks] == ["not pgbouncer_remove | bool", "pgbouncer_remove | bool"]


@pytest.mark.parametrize(("connections", "pool"), [(100, "40"), (20, "5"), (500, "240")])
def test_two_pools_fit_into_postgresql(evaluate: Callable[..., str], connections: int, pool: str) -> None:
    """Both users have one during a rotation."""
    assert evaluate("pgbouncer_pool_size", postgresql_max_connections=connections) == pool


def test_the_address_leads_to_it(evaluate: Callable[..., str]) -> None:
    secret = {"postgresql_password": "a/b:c"}
    assert "@127.0.0.1:5432/dash_board" in evaluate("postgresql_url", **secret)
    assert "@127.0.0.1:6432/dash_board" in evaluate("postgresql_url", pgbouncer_mode="transaction", **secret)
    assert "@127.0.0.1:6433/" in evaluate("postgresql_url", pgbouncer_mode="session", pgbouncer_port=6433, **secret)
    assert "@127.0.0.1:5432/" in evaluate("postgresql_direct_url", pgbouncer_mode="session", **secret)
