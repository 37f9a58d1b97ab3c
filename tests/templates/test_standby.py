"""What PostgreSQL and its clients are told where there is a standby."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

HOSTS = {
    name: {
        "private_address": address, "inventory_hostname": name,
        "preflight_host": {"memory_mb": "2000", "all_processes": 2, "postgresql_state": state},
    }
    for name, address, state in (
        ("db-1", "10.0.0.1", "primary"), ("db-2", "10.0.0.2", "standby"), ("host", "10.0.0.9", "")
    )
}  # fmt: skip
TWO = {
    "groups": {"app": ["host"], "database": ["db-1", "db-2"], "redis": ["host"]},
    "hostvars": HOSTS,
    "postgresql_password": "a/b&c",
    "inventory_hostname": "host",
    "group_names": ["app"],
}
ON = {**TWO, "inventory_hostname": "db-2", "group_names": ["database"], "private_address": "10.0.0.2"}
Evaluate = Callable[..., str]


def test_clients_look_for_the_primary(evaluate: Evaluate) -> None:
    """In the query: what reads URLs for Django refuses two names with ports in the usual place."""
    url = urlsplit(evaluate("postgresql_url", **TWO))
    assert (url.hostname, url.port, url.path, url.username) == (None, None, "/dash_board", "dash_board")
    assert parse_qs(url.query) == {
        "host": ["10.0.0.1,10.0.0.2"], "target_session_attrs": ["read-write"], "port": ["5432"],
        "sslmode": ["verify-full"], "sslrootcert": ["/etc/dash-board/stores.pem"],
    }  # fmt: skip
    pooled = urlsplit(evaluate("postgresql_url", pgbouncer_mode="transaction", **TWO))
    assert parse_qs(pooled.query)["port"] == ["6432"]


@pytest.mark.parametrize(
    ("states", "primary"),
    [
        (("primary", "standby"), "db-1"), (("standby", "primary"), "db-2"), (("none", "none"), "db-1"),
        (("none", "primary"), "db-2"), (("standby", "none"), "db-2"),
    ],
)  # fmt: skip
def test_hosts_say_who_is_the_primary(evaluate: Evaluate, states: tuple[str, str], primary: str) -> None:
    hosts = {name: dict(one) for name, one in HOSTS.items()}
    for name, state in zip(("db-1", "db-2"), states, strict=True):
        hosts[name]["preflight_host"] = {"postgresql_state": state}
    assert evaluate("_postgresql_primary", **{**TWO, "hostvars": hosts}) == primary


def test_who_is_rebuilt_is_no_primary(evaluate: Evaluate) -> None:
    hosts = {name: {**one, "preflight_host": {"postgresql_state": "primary"}} for name, one in HOSTS.items()}
    assert evaluate("_postgresql_primary", **{**TWO, "hostvars": hosts}, postgresql_rebuild="db-1") == "db-2"


def test_a_standby_follows_over_tls(render: Callable[..., str]) -> None:
    text = render("postgresql/reload.conf.j2", **ON)
    assert "primary_slot_name = 'channels_dash_board__db_2'" in text and "max_slot_wal_keep_size = 4096MB" in text
    (line,) = [line for line in text.splitlines() if line.startswith("primary_conninfo")]
    assert "host=10.0.0.1 port=5432 user=replicator" in line and "sslmode=verify-full" in line
    assert "primary_" not in render("postgresql/reload.conf.j2")


def test_only_the_peers_may_copy(render: Callable[..., str]) -> None:
    assert render("postgresql/replication_hba.conf.j2", **ON).splitlines() == [
        "hostssl replication replicator 10.0.0.1/32 scram-sha-256",
        "hostssl postgres replicator 10.0.0.1/32 scram-sha-256",
    ]  # fmt: skip


@pytest.mark.parametrize(("answer", "starts"), [("f", False), ("t", True), ("", True)])
def test_no_second_primary_starts(render: Callable[..., str], tmp_path: Path, answer: str, starts: bool) -> None:
    """A standby elsewhere, or nobody, does not keep it from starting."""
    script = tmp_path / "guard"
    script.write_text(render("postgresql/guard.sh.j2", **ON).replace("/var/lib/postgresql", str(tmp_path)))
    (tmp_path / "runuser").write_text(f"#!/bin/sh\necho {answer}\n")
    (tmp_path / "runuser").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["sh", str(script)], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == starts
    assert starts or "postgresql_rebuild=db-2" in done.stderr
    (tmp_path / "15/main").mkdir(parents=True)
    (tmp_path / "15/main/standby.signal").touch()
    assert subprocess.run(["sh", str(script)], env=environment, check=False).returncode == 0
    asked = subprocess.run(["sh", str(script), "ask"], env=environment, capture_output=True, check=False)
    assert (asked.returncode == 0) == starts
