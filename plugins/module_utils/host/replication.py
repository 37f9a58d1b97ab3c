"""A PostgreSQL of this host as a primary or as the standby of another one."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .scram import verifier, verifies

Run = Callable[..., tuple[int, str, str]]
#: Beginning of the names of slots that this bundle makes.
SLOT = "channels_"
#: Seconds that a standby may take to have everything of a primary that was stopped, and to become one.
PATIENCE = 60
OURS = ("postgres", "template0", "template1")
STATE = """
SELECT json_build_object(
  'standby', pg_is_in_recovery(),
  'verifier', (SELECT rolpassword FROM pg_authid WHERE rolname = :'user' AND rolreplication AND rolcanlogin),
  'there', EXISTS (SELECT FROM pg_authid WHERE rolname = :'user'),
  'super', EXISTS (SELECT FROM pg_authid WHERE rolname = :'user' AND rolsuper),
  'slots', (SELECT coalesce(json_agg(slot_name), '[]') FROM pg_replication_slots),
  'databases', (SELECT json_agg(datname) FROM pg_database));
"""
QUIETLY = "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic';\n"
RECEIVED = """
SELECT json_build_object(
  'received', pg_last_wal_receive_lsn(), 'replayed', pg_last_wal_replay_lsn(),
  'waiting', coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0),
  'age', coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp())::int, -1));
"""


class ReplicationError(Exception):
    """It cannot be done; the text says why, and what to do."""


class Cluster:
    """Debian's cluster `main` of a version, and how to talk to it as its own user."""

    def __init__(self, version: str, port: int, user: str, run: Run) -> None:
        """Take its version and port, the name of the user that standbys log in with, and what runs commands."""
        self.version, self.port, self.user, self.run = version, port, user, run
        self.home = Path("/var/lib/postgresql", version)
        self.data, self.copy = self.home / "main", self.home / "main.copy"
        self.unit = f"postgresql@{version}-main"

    @property
    def is_standby(self) -> bool:
        """Whether it starts as a standby."""
        return (self.data / "standby.signal").exists()

    def ask(self, sql: str, **names: str) -> str:
        """Return what PostgreSQL answers; raise ReplicationError if it refuses or does not run."""
        words = ["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1"]
        names = {"user": self.user, **names}
        words += [f"--set={name}={value}" for name, value in names.items()]
        return self.command(["psql", f"--port={self.port}", "--dbname=postgres", *words], data=sql)

    def command(self, words: Sequence[str], **options: Any) -> str:
        """Run a command as PostgreSQL's user and return its output; raise ReplicationError if it fails."""
        code, out, err = self.run(["runuser", "--user=postgres", "--", *words], cwd="/", **options)
        if code:
            raise ReplicationError(f"{Path(words[0]).name} failed: {(err or out).strip()}")
        return out.strip()

    def service(self, verb: str) -> None:
        """Start or stop it; raise ReplicationError if that fails."""
        code, out, err = self.run(["systemctl", verb, self.unit])
        if code:
            raise ReplicationError(f"systemctl {verb} {self.unit} failed: {(err or out).strip()}")

    def state(self) -> Mapping[str, Any]:
        """Return everything that STATE asks for."""
        return dict(json.loads(self.ask(STATE)))


def serve_standbys(cluster: Cluster, password: str, slots: Sequence[str], prefix: str, check: bool) -> list[str]:
    """Let standbys copy a primary, each with a slot of its own; return what was done."""
    state, done = cluster.state(), []
    if state["super"]:
        raise ReplicationError(f"User {cluster.user} administers PostgreSQL: write another postgresql_replication_user")
    steps = []
    if slots and not verifies(password, state["verifier"]):
        verb = "ALTER" if state["there"] else "CREATE"
        sql = f"{QUIETLY}{verb} ROLE :\"user\" REPLICATION LOGIN PASSWORD '{verifier(password)}';"
        steps.append((f"user {cluster.user} may copy the data", sql, ""))
    mine = [name for name in state["slots"] if name.startswith(prefix)]
    for name in sorted(set(slots) - set(mine)):
        steps.append((f"slot {name} was made", "SELECT pg_create_physical_replication_slot(:'slot', true);", name))
    for name in sorted(
        set(mine) - set(slots)
    ):  # it would keep everything that was written since, until the disk is full
        end = "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = :'slot'"
        drop = f"{end} AND active; SELECT pg_drop_replication_slot(:'slot');"
        steps.append((f"slot {name} was dropped", drop, name))
    for what, sql, slot in steps:
        if not check:
            cluster.ask(sql, slot=slot)
        done.append(what)
    return done


def become_standby(cluster: Cluster, source: str, slot: str, rebuild: bool, check: bool) -> list[str]:
    """Make an empty cluster the copy of a primary; return what was done.

    `source` says how to reach the primary, as libpq reads it. With `rebuild`, what the cluster holds is put aside.
    """
    if cluster.is_standby:
        return []
    finished = (cluster.copy / "standby.signal").exists()
    if not finished and not rebuild:
        refuse_data(cluster)
    if check:
        return ["the data would be copied from the primary"]
    if not finished:
        shutil.rmtree(cluster.copy, ignore_errors=True)
        words = ["--wal-method=stream", "--checkpoint=fast", f"--slot={slot}", "--no-password"]
        cluster.command([f"/usr/lib/postgresql/{cluster.version}/bin/pg_basebackup", f"--dbname={source}",
                         f"--pgdata={cluster.copy}", *words])  # fmt: skip
        cluster.command(["touch", str(cluster.copy / "standby.signal")])
    cluster.service("stop")
    aside = cluster.home / f"main.before-{time.strftime('%Y%m%dT%H%M%S')}"
    if cluster.data.exists():
        cluster.data.rename(aside)
    cluster.copy.rename(cluster.data)
    cluster.service("start")
    if rebuild:
        return [f"the data were copied from the primary; what was there before is in {aside}"]
    shutil.rmtree(aside, ignore_errors=True)
    return ["the data were copied from the primary"]


def refuse_data(cluster: Cluster) -> None:
    """Raise ReplicationError if a cluster holds anybody's data, or does not say."""
    if not (cluster.data / "PG_VERSION").exists():
        return
    try:
        others = sorted(set(cluster.state()["databases"]) - set(OURS))
    except ReplicationError as error:
        raise ReplicationError(
            f"Whether {cluster.data} holds data is unknown, so nothing was replaced: {error}"
        ) from None
    if others:
        raise ReplicationError(
            f"PostgreSQL here holds data of its own ({', '.join(others)}), so it was not replaced by a copy of the "
            "primary. If they may go: -e postgresql_rebuild=<name of this host>; they are put aside, not deleted"
        )


def stop_primary(cluster: Cluster) -> str:
    """Stop a primary cleanly; return the place in its log up to which a standby must have everything."""
    if os.path.exists(cluster.data / "postmaster.pid"):
        cluster.service("stop")
    text = cluster.command([f"/usr/lib/postgresql/{cluster.version}/bin/pg_controldata", f"--pgdata={cluster.data}"])
    found = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if found["Database cluster state"].strip() != "shut down":
        raise ReplicationError(f"PostgreSQL was not stopped cleanly: {found['Database cluster state'].strip()}")
    return found["Latest checkpoint location"].strip()


def promote(cluster: Cluster, until: str) -> dict[str, Any]:
    """Make a standby the primary once it has everything up to a place; return what it had received, and when."""
    deadline = time.monotonic() + PATIENCE
    while True:
        had = dict(json.loads(cluster.ask(RECEIVED)))
        reached = cluster.ask("SELECT pg_last_wal_replay_lsn() > :'until'::pg_lsn", until=until) if until else "t"
        if reached == "t" and had["waiting"] <= 0:
            break
        if time.monotonic() > deadline:
            raise ReplicationError(
                f"The standby has {had['replayed']} and the stopped primary {until}: it was not promoted. Start the "
                f"primary again: systemctl start {cluster.unit}"
            )
        time.sleep(0.2)
    if cluster.ask(f"SELECT pg_promote(true, {PATIENCE})") != "t":
        raise ReplicationError(f"The standby was told to become the primary, and did not within {PATIENCE} seconds")
    return had


def follow(cluster: Cluster) -> None:
    """Have a primary that was stopped cleanly come back as a standby of its successor."""
    cluster.command(["touch", str(cluster.data / "standby.signal")])
    cluster.service("start")
