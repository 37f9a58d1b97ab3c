"""pgBackRest's backups of PostgreSQL on this host, and recoveries from them.

    channels-pgbackrest now [full|diff]   make a backup, as the timer does, and show how it went
    channels-pgbackrest list              which moments can be recovered to
    channels-pgbackrest status            when the last backup was made, and what went wrong since
    channels-pgbackrest choose MOMENT     from which backup that is reached, as JSON
    channels-pgbackrest fetch MOMENT      recover to a moment, beside what serves
    channels-pgbackrest swap              let what was recovered serve; what it replaces is kept
    channels-pgbackrest undo              take that back
    channels-pgbackrest settle            remove what recoveries have replaced
    channels-pgbackrest prepare           make the stanza if there is none yet
    channels-pgbackrest begin             check that PostgreSQL archives, and make the first backup if there is none

MOMENT is latest, or such as "2026-11-30 14:00:00+00"; in UTC if it names no zone. Everything else that pgBackRest can
do, it does itself: runuser -u postgres -- pgbackrest --stanza=… info
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import moments
from .cluster import NAMES, Cluster
from .repository import EMPTY, MISSING, Repository, chosen, due
from .settings import ETC, STATE, USER, Failed, Settings, note, put, state

METRICS = Path("/var/lib/prometheus/node-exporter")
HELP = {
    "last_success_timestamp_seconds": "When the last complete backup was made.",
    "last_run_timestamp_seconds": "When a backup was last tried.",
    "last_exit_code": "How that ended: 0 if the backup is complete.",
    "duration_seconds": "How long it took.",
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    reader = argparse.ArgumentParser(
        prog="channels-pgbackrest", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = reader.add_subparsers(dest="command", required=True)
    for name in ("now", "run"):
        commands.add_parser(name).add_argument("kind", nargs="?", default="due", choices=["due", "full", "diff"])
    for name in ("choose", "fetch"):
        commands.add_parser(name).add_argument("moment")
    for name in ("list", "status", "swap", "undo", "settle", "prepare", "begin"):
        commands.add_parser(name)
    return reader


def main() -> int:
    """Run a command; return the exit status."""
    given = parser().parse_args()
    if os.geteuid() != 0:
        print("This needs root.", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    os.umask(0o077)
    try:
        return int(globals()[f"{given.command}_"](Settings.read(), given) or 0)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let no two commands work at once."""
    with (STATE / "busy").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another backup or recovery is at work; waiting for it.", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- backups ----------------------------------------------------------------------------------------------------------


def run_(settings: Settings, given: argparse.Namespace) -> None:
    """Make a backup here and now."""
    repository, begun = Repository(settings), time.time()
    with alone():
        changes: dict[str, Any] = {"last_exit_code": 1}
        try:
            kind = given.kind
            if kind == "due":
                kind = due(repository.backups(), settings.full_days, begun)
            repository.run(f"--type={kind}", "backup")
            changes = {"last_exit_code": 0, "error": "", "last_success_timestamp_seconds": int(begun)}
            print(f"A backup is made ({kind}).")
        except (Failed, SystemExit) as error:
            changes["error"] = str(error)
            raise
        finally:
            report(
                settings, last_run_timestamp_seconds=int(begun), duration_seconds=int(time.time() - begun), **changes
            )


def report(settings: Settings, **changes: Any) -> None:
    """Note how a backup went, and let Prometheus know if its node exporter reads files here."""
    known, lines = note(**changes), []
    for name, text in HELP.items():
        if name in known:
            metric = f"channels_pgbackrest_{name}"
            lines += [f"# HELP {metric} {text}", f"# TYPE {metric} gauge"]
            lines += [f'{metric}{{app="{settings.app}"}} {known[name]}']
    if METRICS.is_dir():
        put(METRICS / "channels_pgbackrest.prom", "\n".join([*lines, ""]))


def now_(_: Settings, given: argparse.Namespace) -> int:
    """Make a backup as the timer does: confined, and at low priority."""
    begun, unit = int(time.time()), f"channels-pgbackrest@{given.kind}.service"
    if not Path("/run/systemd/system").is_dir():
        low = ["nice", "-n", "10", "ionice", "-c", "3"]
        return subprocess.run([*low, sys.argv[0], "run", given.kind], check=False).returncode
    code = subprocess.run(["systemctl", "start", unit], check=False, capture_output=True).returncode
    known = state()
    if code or int(known.get("last_run_timestamp_seconds", 0)) < begun or known.get("last_exit_code"):
        print(known.get("error") or f"see journalctl --unit {unit}", file=sys.stderr)
        return code or 1
    print("A backup is made.")
    return 0


def status_(_: Settings, __: argparse.Namespace) -> int:
    """Show how backups stand; the exit status is 1 if the last one failed."""
    known = state()
    last = known.get("last_success_timestamp_seconds")
    print(f"The last backup was made at {moments.shown(last)}." if last else "No backup has been made yet.")
    if known.get("error"):
        print(f"The last try failed: {known['error']}")
    return 1 if known.get("error") else 0


def prepare_(settings: Settings, _: argparse.Namespace) -> None:
    """Make the stanza if there is none yet. If this host has written to one there, none is made in its place."""
    repository, cluster = Repository(settings), Cluster(settings)
    noted = state().get("made") == [settings.repository, settings.stanza]
    with alone():
        if settings.repository.startswith("/") and not noted and not Path(settings.repository).exists():
            Path(settings.repository).mkdir(mode=0o750, parents=True)
            shutil.chown(settings.repository, USER, USER)
        found = repository.stanza(required=False)
        if found["status"]["code"] in MISSING:
            if noted:
                raise Failed(
                    f"The repository {settings.repository}, to which this host has written, is gone. If its disk is "
                    f"not mounted, mount it. To begin a new one, remove {STATE}/state.json"
                )
            repository.run("stanza-create")
            print("made")
        elif str(max(found["db"], key=lambda one: int(one["id"]))["system-id"]) != cluster.identifier:
            raise Failed(repository.meaning("[028]"))
        if not noted:
            note(made=[settings.repository, settings.stanza])


def begin_(settings: Settings, given: argparse.Namespace) -> int:
    """Check that PostgreSQL archives, once for each way in which it may, and make the first backup."""
    repository = Repository(settings)
    digest = hashlib.sha256((ETC / "pgbackrest.conf").read_bytes()).hexdigest()
    if state().get("checked") != digest:
        repository.run("check")
        note(checked=digest)
    if repository.stanza()["status"]["code"] != EMPTY:
        return 0
    given.kind = "full"
    return now_(settings, given)


# --- recoveries -------------------------------------------------------------------------------------------------------


def list_(settings: Settings, _: argparse.Namespace) -> None:
    """Show which moments can be recovered to."""
    repository = Repository(settings)
    found = repository.stanza()
    backups = repository.backups(found)
    if not backups:
        print(f"{settings.repository} has no backup of {settings.stanza}.")
        return
    now = alive(Cluster(settings), found)
    end = "now" if now else moments.shown(repository.last_archived(found))
    print(f"Any moment from {moments.shown(backups[0].stop)} to {end}.")
    for one in backups:
        print(f"{one.label}  {one.kind}  {moments.shown(one.stop)}  {one.size / 1e6:.0f} MB")


def choose_(settings: Settings, given: argparse.Namespace) -> None:
    """Show from which backup a moment is reached, and what it replaces."""
    repository, cluster = Repository(settings), Cluster(settings)
    found = repository.stanza()
    backup, moment = chosen(repository.backups(found), given.moment, time.time())
    if moment and not alive(cluster, found) and moment > (end := repository.last_archived(found)):
        raise Failed(f"The archive ends at {moments.shown(end)}. For all that there is: pgbackrest_recover_to=latest")
    names = cluster.ask(NAMES) if cluster.runs else ""
    words = moments.shown(moment) if moment else "the latest there is"
    print(json.dumps({"backup": backup.label, "moment": words, "databases": names}))


def alive(cluster: Cluster, found: dict[str, Any]) -> bool:
    """Tell whether the cluster here is the one that the repository has, and archives."""
    ours = str(max(found["db"], key=lambda one: int(one["id"]))["system-id"]) == cluster.identifier
    return ours and cluster.runs and cluster.ask("SHOW archive_mode") == "on"


def fetch_(settings: Settings, given: argparse.Namespace) -> None:
    """Recover to a moment, beside what serves."""
    repository, cluster = Repository(settings), Cluster(settings)
    with alone():
        found = repository.stanza()
        backup, moment = chosen(repository.backups(found), given.moment, time.time())
        if alive(cluster, found):
            try:
                cluster.archive_now()
            except Failed:
                # What is there may do. If it does not, PostgreSQL says so as it plays its log.
                if not 0 < moment < repository.last_archived(found):
                    raise
        print(cluster.fetch(repository, backup, moment))


def swap_(settings: Settings, _: argparse.Namespace) -> None:
    """Let what was recovered serve."""
    with alone():
        print("\n".join(Cluster(settings).swap()))


def undo_(settings: Settings, _: argparse.Namespace) -> None:
    """Take a recovery back."""
    with alone():
        print("\n".join(Cluster(settings).undo()))


def settle_(settings: Settings, _: argparse.Namespace) -> None:
    """Remove what recoveries have replaced."""
    with alone():
        print("\n".join(Cluster(settings).settle()))
