"""The PostgreSQL of this host as a primary, or as the standby of the one on another host."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .scram import verifier, verifies

Run = Callable[..., tuple[int, str, str]]
#: Whom a standby logs in as. Nobody else needs to know its name.
USER = "channels_replication"
#: Beginning of the names of slots that this bundle makes; the rest is the standby's address.
SLOT = "channels_"
#: In the data of a primary that met its successor: it does not start any more (templates/postgresql/guard.sh.j2).
SUPERSEDED = "channels-superseded"
#: Seconds that a server may take for what should take one or two.
PATIENCE = 60
OURS = {"postgres", "template0", "template1"}
STATE = f"""
SELECT json_build_object(
  'standby', pg_is_in_recovery(),
  'read', extract(epoch FROM pg_conf_load_time()),
  'verifier', (SELECT rolpassword FROM pg_authid WHERE rolname = '{USER}' AND rolreplication AND rolcanlogin),
  'user', EXISTS (SELECT FROM pg_authid WHERE rolname = '{USER}'),
  'databases', (SELECT json_agg(datname) FROM pg_database),
  'source', (SELECT status FROM pg_stat_wal_receiver),
  'waits', coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp())::int, 0),
  'unplayed', coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::bigint, 0),
  'slots', (SELECT coalesce(json_object_agg(slot_name, json_build_object(
      'active', active, 'lost', coalesce(wal_status = 'lost', false),
      'kept', CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint END,
      'behind', (SELECT CASE WHEN pg_is_in_recovery() THEN 0
                 ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint END
                 FROM pg_stat_replication WHERE pid = active_pid))), '{{}}')
    FROM pg_replication_slots WHERE slot_name LIKE '{SLOT}%'));
"""
# Keeps a verifier out of the server's log, whatever it logs.
QUIETLY = "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic';\n"
MAKE = "SELECT pg_create_physical_replication_slot('{slot}', true);"
# A slot that is in use cannot be dropped.
DROP = """
SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE slot_name = '{slot}' AND active;
SELECT pg_drop_replication_slot('{slot}');
"""


class ReplicationError(Exception):
    """It cannot be done; the text says why, and what to do."""


class Cluster:
    """Debian's cluster `main` of a version, and how to talk to it as its own user."""

    def __init__(self, version: str, port: int, run: Run) -> None:
        """Take its version and port, and what runs commands, as `AnsibleModule.run_command` does."""
        self.version, self.port, self.run = version, port, run
        self.home = Path("/var/lib/postgresql", version)
        self.data, self.copy = self.home / "main", self.home / "main.copy"
        self.unit = f"postgresql@{version}-main"

    @property
    def is_standby(self) -> bool:
        """Whether it starts as a standby."""
        return (self.data / "standby.signal").exists()

    @property
    def runs(self) -> bool:
        """Whether its main process is there."""
        return self.run(["systemctl", "is-active", "--quiet", self.unit])[0] == 0

    def ask(self, sql: str) -> str:
        """Return what PostgreSQL answers; raise ReplicationError if it refuses or does not run."""
        words = ["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1"]
        return self.command(["psql", f"--port={self.port}", "--dbname=postgres", *words], data=sql)

    def command(self, words: Sequence[str], **options: Any) -> str:
        """Run a command as PostgreSQL's user and return its output; raise ReplicationError if it fails."""
        code, out, err = self.run(["runuser", "--user=postgres", "--", *words], cwd="/", **options)
        if code:
            raise ReplicationError(f"{Path(words[0]).name} failed: {(err or out).strip()}")
        return out.strip()

    def service(self, verb: str) -> None:
        """Start or stop it; raise ReplicationError if that fails, or if it does not run after a start."""
        code, out, err = self.run(["systemctl", verb, self.unit])
        if code or (verb == "start" and not self.runs):
            why = (err or out).strip() or "it was not started"
            raise ReplicationError(f"systemctl {verb} {self.unit} failed: {why} (journalctl --unit {self.unit})")

    def state(self) -> dict[str, Any]:
        """Return everything that STATE asks for."""
        return dict(json.loads(self.ask(STATE)))

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> bool:
        """Wait until its state is as it should be; tell whether it is."""
        deadline = time.monotonic() + PATIENCE
        while not holds(self.state()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True


def serve_standby(cluster: Cluster, password: str, slot: str, check: bool) -> list[str]:
    """Let a standby copy a primary and follow it through a slot, or nobody if `slot` is empty; return what was done."""
    state, steps = cluster.state(), []
    slots = state["slots"]
    if slot and not verifies(password, state["verifier"]):
        verb = "ALTER" if state["user"] else "CREATE"
        sql = f"{QUIETLY}{verb} ROLE {USER} REPLICATION LOGIN PASSWORD '{verifier(password)}';"
        steps.append((f"user {USER} was given its password", sql))
    # One that nobody uses keeps all that is written from now on; one that is lost is of no use any more.
    for name in [name for name in slots if name != slot or slots[name]["lost"]]:
        steps.append((f"slot {name} was dropped", DROP.format(slot=name)))
    if slot and (slot not in slots or slots[slot]["lost"]):
        steps.append((f"slot {slot} was made", MAKE.format(slot=slot)))
    if not slot and state["user"]:
        steps.append((f"user {USER} was dropped", f"DROP ROLE {USER};"))
    for _, sql in [] if check else steps:
        cluster.ask(sql)
    return [what for what, _ in steps]


def become_standby(cluster: Cluster, source: str, slot: str, rebuild: bool, check: bool) -> list[str]:
    """Make a cluster the copy of a primary, unless it is one; return what was done.

    `source` says how to reach the primary, as libpq reads it. With `rebuild`, what the cluster holds is put aside, also
    that of a standby. Without, a cluster that holds anybody's data is left as it is.
    """
    if cluster.is_standby and not rebuild:
        return []
    if not rebuild:
        refuse_data(cluster)
    if check:
        return ["the data would be copied from the primary"]
    shutil.rmtree(cluster.copy, ignore_errors=True)  # of a run that was killed
    words = ["--wal-method=stream", "--checkpoint=fast", f"--slot={slot}", "--no-password"]
    copying = [f"/usr/lib/postgresql/{cluster.version}/bin/pg_basebackup", f"--dbname={source}"]
    cluster.command([*copying, f"--pgdata={cluster.copy}", *words])
    cluster.command(["touch", str(cluster.copy / "standby.signal")])
    cluster.service("stop")
    aside = cluster.home / f"main.before-{time.strftime('%Y%m%dT%H%M%S')}"
    if cluster.data.exists():
        cluster.data.rename(aside)
    cluster.copy.rename(cluster.data)
    start_following(cluster)
    if rebuild:
        return [f"the data were copied from the primary; what was there before is in {aside}"]
    shutil.rmtree(aside, ignore_errors=True)
    return ["the data were copied from the primary"]


def refuse_data(cluster: Cluster) -> None:
    """Raise ReplicationError if a cluster holds anybody's data, or does not say."""
    if not (cluster.data / "PG_VERSION").exists():
        return
    try:
        others = sorted(set(cluster.state()["databases"]) - OURS)
    except ReplicationError as error:
        unknown = f"Whether {cluster.data} holds data is not known, so nothing was replaced: {error}"
        raise ReplicationError(unknown) from None
    if others:
        raise ReplicationError(
            f"PostgreSQL here holds data of its own ({', '.join(others)}), so it was not replaced by a copy of the "
            "primary. If they are not needed: -e postgresql_rebuild=<name of this host>. They are put aside"
        )


def start_following(cluster: Cluster) -> None:
    """Start a standby, and wait until it receives from the primary; raise ReplicationError if it does not."""
    cluster.service("start")
    # A former primary kept these for its standby. Here they would keep all that is written from now on.
    for name in cluster.state()["slots"]:
        cluster.ask(DROP.format(slot=name))
    if not cluster.until(lambda state: bool(state["source"] == "streaming")):
        raise ReplicationError(
            f"The standby runs, but receives nothing from the primary: /var/log/postgresql/postgresql-{cluster.version}"
            "-main.log on this host says why"
        )


def stop_primary(cluster: Cluster, slot: str) -> str:
    """Stop a primary whose standby follows; return the place in its log up to which the standby must have everything.

    One that is stopped is left so, since a run may have been killed here.
    """
    if cluster.runs:
        if not (found := cluster.state()["slots"].get(slot)) or not found["active"]:
            raise ReplicationError("Nothing was changed: the standby does not follow (playbooks/status.yml)")
        cluster.service("stop")
    text = cluster.command([f"/usr/lib/postgresql/{cluster.version}/bin/pg_controldata", f"--pgdata={cluster.data}"])
    found = {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    if found["Database cluster state"] != "shut down":
        raise ReplicationError(
            "Nothing was changed: PostgreSQL does not run here, and was not stopped cleanly. Start it: systemctl "
            f"start {cluster.unit}. If it cannot, promote the standby as after a loss: --limit <name of the standby>"
        )
    return found["Latest checkpoint location"]


def promote(cluster: Cluster, lsn: str) -> int:
    """Make a standby the primary once it has everything up to a place, or all that it has received, if that is empty.

    Return the age of its latest change in seconds.
    """
    if lsn:
        reached = f"SELECT pg_last_wal_replay_lsn() > '{lsn}'::pg_lsn"
        if not cluster.until(lambda _: cluster.ask(reached) == "t"):
            raise ReplicationError(
                f"The standby has not all that the primary had written up to {lsn}, so it was not promoted. Start the "
                f"primary again, on its host: systemctl start {cluster.unit}"
            )
    elif not cluster.until(lambda state: bool(state["unplayed"] <= 0)):
        raise ReplicationError("The standby does not get on with what it has received, so it was not promoted")
    age = int(cluster.state()["waits"])
    if cluster.ask(f"SELECT pg_promote(true, {PATIENCE})") != "t":
        raise ReplicationError(f"The standby did not become the primary within {PATIENCE} seconds")
    return age


def follow(cluster: Cluster) -> None:
    """Have a primary that was stopped cleanly come back as the standby of its successor."""
    cluster.command(["touch", str(cluster.data / "standby.signal")])
    start_following(cluster)


def described(cluster: Cluster) -> str:
    """Return what a cluster is and how far its standby is, for people."""
    if (cluster.data / SUPERSEDED).exists():
        return "a former primary, which is not started: make it the standby (-e postgresql_rebuild=<its name>)"
    if not cluster.runs:
        return f"stopped ({cluster.unit})"
    state = cluster.state()
    if state["standby"]:
        if state["source"] == "streaming":
            return "a standby, which receives from the primary"
        return f"a standby, which receives nothing from the primary. Its latest change is {state['waits']} s old"
    if not state["slots"]:
        return "the primary, without a standby"
    ((name, slot),) = list(state["slots"].items())[:1]
    address = name.removeprefix(SLOT)
    address = address.replace("_", "." if address.replace("_", "").isdigit() and address.count("_") == 3 else ":")
    if slot["lost"]:
        return (
            f"the primary. The standby {address} was away for too long: rebuild it (-e postgresql_rebuild=<its name>)"
        )
    if not slot["active"]:
        return f"the primary. The standby {address} is away; {slot['kept'] >> 20} MB are kept for it"
    return f"the primary. The standby {address} follows it, {slot['behind'] or 0} bytes behind"
