"""What PostgreSQL and its clients are told where there is a standby."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

HOSTS: dict[str, Any] = {
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
    """In the query: what reads URLs for Django refuses two names in the usual place. A lost host is given up soon."""
    url = urlsplit(evaluate("postgresql_url", **TWO))
    assert (url.hostname, url.port, url.path, url.username) == (None, None, "/dash_board", "dash_board")
    assert parse_qs(url.query) == {
        "host": ["10.0.0.1,10.0.0.2"], "target_session_attrs": ["read-write"], "port": ["5432"],
        "sslmode": ["verify-full"], "sslrootcert": ["/etc/dash-board/stores.pem"], "connect_timeout": ["3"],
        "tcp_user_timeout": ["5000"], "keepalives_idle": ["5"], "keepalives_interval": ["2"],
        "keepalives_count": ["3"],
    }  # fmt: skip


def with_states(*states: str) -> dict[str, Any]:
    """Variables of two hosts whose PostgreSQL has these states; those without one were not asked."""
    hosts = {name: dict(one) for name, one in HOSTS.items()}
    for name, state in zip(("db-1", "db-2"), states, strict=True):
        hosts[name]["preflight_host"] = {"postgresql_state": state} if state else {}
    return {**TWO, "hostvars": hosts}


@pytest.mark.parametrize(
    ("states", "primary"),
    [
        (("primary", "standby"), "db-1"), (("standby", "primary"), "db-2"), (("none", "none"), "db-1"),
        (("none", "primary"), "db-2"), (("standby", ""), "db-2"), (("former", ""), "db-2"),
    ],
)  # fmt: skip
def test_hosts_say_who_is_the_primary(evaluate: Evaluate, states: tuple[str, str], primary: str) -> None:
    assert evaluate("_postgresql_primary", **with_states(*states)).strip() == primary


def test_who_is_rebuilt_is_no_primary(evaluate: Evaluate) -> None:
    both = with_states("primary", "primary")
    assert evaluate("_postgresql_primary", **both, postgresql_rebuild="db-1").strip() == "db-2"


def test_a_standby_follows_over_tls(render: Callable[..., str]) -> None:
    text = render("postgresql/reload.conf.j2", **ON)
    assert "primary_slot_name = 'channels_10_0_0_2'" in text and "max_slot_wal_keep_size = 4096MB" in text
    (line,) = [line for line in text.splitlines() if line.startswith("primary_conninfo")]
    assert "host=10.0.0.1 port=5432 user=channels_replication" in line and "sslmode=verify-full" in line
    assert "password=" not in line
    fewer = render("postgresql/reload.conf.j2", **ON, postgresql_standby_log_mb=512)
    assert "max_slot_wal_keep_size = 512MB" in fewer
    assert "primary_" not in render("postgresql/reload.conf.j2")


def test_a_standby_accepts_as_many_connections_as_its_primary_did(evaluate: Evaluate) -> None:
    """With fewer, it does not start."""
    had = {"preflight_host": {"postgresql_connections": "700"}}
    assert int(evaluate("postgresql_max_connections", **{**ON, **had})) == 700
    # A new one has none yet, and takes its primary's.
    known = {name: {**each, **(had if name == "db-1" else {})} for name, each in ON["hostvars"].items()}
    assert int(evaluate("postgresql_max_connections", **{**ON, "hostvars": known})) == 700


def test_only_the_partner_may_copy(render: Callable[..., str]) -> None:
    assert render("postgresql/replication_hba.conf.j2", **ON).splitlines() == [
        "hostssl replication channels_replication 10.0.0.1/32 scram-sha-256",
        "hostssl postgres channels_replication 10.0.0.1/32 scram-sha-256",
    ]  # fmt: skip


@pytest.fixture
def guard(render: Callable[..., str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the guard of db-2, whose partner answers psql and pg_isready in some way."""
    script, data = tmp_path / "guard", tmp_path / "15/main"
    script.write_text(render("postgresql/guard.sh.j2", **ON).replace("/var/lib/postgresql", str(tmp_path)))
    data.mkdir(parents=True)

    def run(answer: str, ready: bool, *words: str) -> subprocess.CompletedProcess[str]:
        programs = {
            "runuser": f'case "$*" in *touch*) shift 2; "$@" ;; *) echo "{answer}" ;; esac',
            "pg_isready": f"exit {0 if ready else 2}",
            "sleep": ":",
        }
        for name, body in programs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
            (tmp_path / name).chmod(0o755)
        path = {"PATH": f"{tmp_path}:{os.defpath}"}
        return subprocess.run(["sh", str(script), *words], env=path, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize(
    ("answer", "ready", "starts"),
    [("f", True, False), ("t", True, True), ("FATAL: who is that", True, False), ("connection refused", False, True)],
)
@pytest.mark.parametrize("words", [(), ("ask",)])
def test_no_second_primary_starts(guard: Callable, answer: str, ready: bool, starts: bool, words: tuple[str]) -> None:
    """A standby elsewhere, or nobody, does not keep it from starting; somebody who does not let it in does."""
    done = guard(answer, ready, *words)
    assert (done.returncode == 0) == starts, done.stderr


def test_a_former_primary_remembers_its_successor(guard: Callable, tmp_path: Path) -> None:
    """It does not start while the successor does not answer, as when both hosts boot."""
    assert guard("f", True, "ask").returncode and not (tmp_path / "15/main/channels-superseded").exists()
    assert guard("f", True).returncode
    done = guard("nobody", False)
    assert done.returncode and "postgresql_rebuild=" in done.stderr
    assert guard("nobody", False, "ask").returncode == 0


def test_a_standby_starts_beside_its_primary(guard: Callable, tmp_path: Path) -> None:
    (tmp_path / "15/main/standby.signal").touch()
    assert guard("f", True).returncode == 0
