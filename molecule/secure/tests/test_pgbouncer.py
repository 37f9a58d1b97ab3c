"""PgBouncer between the project and PostgreSQL: over TLS, in both modes, and nobody is cut when it reloads."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator

import pytest
from lab_host import LabHost, Run
from store_clients import PGBOUNCER, SECRET, SYSTEM, Store, background, fellows

IN = "in, with TLS and its own rights"
# Keeps one connection for as long as a file is there, and asks over and over; then says how often, or what went wrong.
HOLDING = """
import os, pathlib, time
import psycopg
asked, held = 0, pathlib.Path("/tmp/holding")
# As Django does; a statement that was prepared does not survive a change of the mode.
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, prepare_threshold=None) as connection:
    held.touch()
    while held.exists():
        assert connection.execute("SELECT 7").fetchone() == (7,)
        asked += 1
        time.sleep(0.1)
print(f"asked {asked} times")
"""
# Asks as the project does, in more connections than PostgreSQL gives PgBouncer; says which sessions of it answered.
MANY = """
import os
import psycopg
ways = [psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) for _ in range(60)]
print(len({way.execute("SELECT pg_backend_pid()").fetchone()[0] for way in ways}))
"""
# Sets something for a session in one connection, and reads it in the same one, while others use the server too.
SESSION = """
import os
import psycopg
one, two = (psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) for _ in range(2))
one.execute("SELECT pg_advisory_lock(7)")
taken = [way.execute("SELECT pg_try_advisory_lock(7)").fetchone()[0] for way in (one, two)]
one.execute("SELECT pg_advisory_unlock_all()")
print(taken)
"""


@pytest.fixture(scope="module")
def store(lab: LabHost) -> Store:
    """The PostgreSQL that PgBouncer is in front of."""
    found = Store(lab)
    if found.kind != "postgresql":
        pytest.skip("PostgreSQL and its PgBouncer are on the other host")
    return found


@pytest.fixture(scope="module")
def other(store: Store) -> LabHost:
    """The host that reaches it over the network."""
    return next(each for each in fellows() if each.name != store.lab.name)


def project(host: LabHost, script: str) -> str:
    """Run a script as the project."""
    return host.as_project(shlex.join(["/srv/dashboard/live/venv/bin/python", "-c", script])).strip()


def switched(store: Store, mode: str) -> Run:
    """Have PgBouncer work in a mode."""
    run = Run(
        "playbooks/provision.yml", "--tags", "pgbouncer", "--limit", store.lab.name, "-e", f"pgbouncer_mode={mode}"
    )
    assert run.changed(store.lab.name) > 0
    return run


def test_the_project_uses_it(store: Store, other: LabHost) -> None:
    """At the address that it got, from both hosts, and with the certificate of the same authority."""
    for host in (other, store.lab):
        assert f":{PGBOUNCER}/" in host.environment()["DATABASE_URL"]
        host.run("dashboard-manage migrate --check")
    assert store.used(other, PGBOUNCER) == IN
    assert "certificate verify failed" in store.used(other, PGBOUNCER, sslrootcert=SYSTEM).lower()
    assert "in, " not in store.used(other, PGBOUNCER, sslmode="disable")


def test_many_connections_share_a_few(store: Store, other: LabHost) -> None:
    assert int(project(other, MANY)) < 10


def test_nothing_is_known_of_its_users_but_how_to_recognise_them(store: Store) -> None:
    """And neither it nor anybody else reads more than it has to."""
    lab, password = store.lab, store.lab.environment()["DATABASE_URL"].split(":")[2].split("@")[0]
    assert lab.host.run("grep --recursive --fixed-strings %s /etc/pgbouncer", password).stdout == ""
    assert "SCRAM-SHA-256$" in lab.run("cat /etc/pgbouncer/users.txt")
    assert lab.run("stat --format='%a %U' /etc/pgbouncer/users.txt").split() == ["640", "root"]
    assert set(lab.run("ps -o user= -C pgbouncer").split()) == {"pgbouncer"}
    shown = lab.run("systemd-analyze security --no-pager pgbouncer.service")
    assert float(re.findall(r"level for pgbouncer.service: ([0-9.]+)", shown)[0]) <= 1.5


@contextlib.contextmanager
def holding(host: LabHost) -> Iterator[None]:
    """Keep a connection open for a while; fail the test if it did not last."""
    program = shlex.join(["/srv/dashboard/live/within", "/srv/dashboard/live/venv/bin/python", "-c", HOLDING])
    with background(host, f"runuser --user dashboard -- {program}"):
        host.run(
            "for _ in $(seq 1200); do test -e /tmp/holding && exit; sleep 0.1; done; cat /tmp/background.log; exit 1"
        )
        yield
        host.run(
            "rm /tmp/holding; for _ in $(seq 1200); do grep -q . /tmp/background.log && exit; sleep 0.1; done; exit 1"
        )
        said = host.run("cat /tmp/background.log")
    assert said.startswith("asked "), said


def test_modes_change_without_cutting_anybody(store: Store, other: LabHost) -> None:
    """What lasts longer than a transaction needs mode session; the same process serves before and after."""
    pid = store.lab.run("cat /run/pgbouncer/pgbouncer.pid")
    try:
        with holding(other):
            switched(store, "session")
            assert project(other, SESSION) == "[True, False]"
            assert store.used(other, PGBOUNCER) == IN
    finally:
        switched(store, "transaction")
    assert store.lab.run("cat /run/pgbouncer/pgbouncer.pid") == pid, "it was started again"
    assert store.used(other, PGBOUNCER) == IN
    assert SECRET not in store.lab.run("journalctl --no-pager --unit=pgbouncer")


def test_a_crash_is_over_in_a_moment(store: Store, other: LabHost) -> None:
    store.lab.run("kill -KILL $(cat /run/pgbouncer/pgbouncer.pid)")
    store.lab.run("for _ in $(seq 1200); do systemctl is-active -q pgbouncer && exit; sleep 0.1; done; exit 1")
    assert store.used(other, PGBOUNCER) == IN
