"""A project's backups on this host: its name is that of this file's folder.

    backup now [--reason R]               make a backup, as the timer does, and show how it went
    backup list [--json]                  the backups of this host; --all shows those of all hosts
    backup status                         when the last one was made, and what went wrong since
    backup check                          read part of the repository and compare checksums
    backup drill [SNAPSHOT]               restore on trial beside what serves, compare, and remove it again
    backup fetch [SNAPSHOT] [--host H]    bring a backup to the host, beside what serves
    backup choose [SNAPSHOT]              which backup that is, as JSON; nothing if there is none of this host
    backup swap                           let what was fetched serve; what it replaces is kept
    backup undo                           take that back
    backup settle                         remove what restores have replaced
    backup prepare                        make the repository if there is none yet
    backup restic ARGUMENT...             run restic itself, with the repository and its password

SNAPSHOT is latest, a name that `list` shows, or a moment in UTC: the newest backup at "2026-11-30 14:00".
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import report
from .collect import Collection, hooks
from .restic import Repository, available, chosen
from .restore import Restore
from .settings import Failed, Settings

APP = Path(__file__).resolve().parents[1].name.removesuffix("-backup")
ETC = Path("/etc") / APP / "backup"
BUSY = 75  # EX_TEMPFAIL


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = reader.add_subparsers(dest="command", required=True)
    for name in ("now", "run"):
        commands.add_parser(name).add_argument("--reason", default="by-hand", help="a tag for the snapshot")
    listing = commands.add_parser("list")
    listing.add_argument("--json", action="store_true")
    listing.add_argument("--all", action="store_true", help="of all hosts")
    for name in ("status", "check", "swap", "undo", "settle", "prepare"):
        commands.add_parser(name)
    for name in ("drill", "fetch", "choose"):
        commands.add_parser(name).add_argument("snapshot", nargs="?", default="latest")
    commands.add_parser("restic").add_argument("words", nargs=argparse.REMAINDER)
    for one in commands.choices.values():
        one.add_argument("--from", dest="source", type=Path, default=ETC, help="folder with another site's settings")
        one.add_argument("--host", default="", help="whose backups, if not this host's")
        one.add_argument("--app", default="", help="of which project, if not this one")
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
        return int(globals()[f"{given.command}_"](given) or 0)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Let no two commands work at once. restic inherits the lock, so one whose parent was killed still holds it."""
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.state.chmod(0o711)  # the project's user passes through it
    with (settings.state / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another backup or restore is at work; waiting for it.", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        os.set_inheritable(file.fileno(), True)
        yield


def run_(given: argparse.Namespace) -> None:
    """Make a backup here and now."""
    settings = Settings.read(ETC)
    with alone(settings):
        begun = time.time()
        changes: dict[str, Any] = {"last_exit_code": 1, "error": "It ended with an unexpected error; its output has it"}
        try:
            changes = backup(settings, given.reason)
        except Failed as error:
            changes["error"] = str(error)
            raise
        except OSError as error:  # this host's own disk is full, for example
            changes["error"] = f"It cannot be made on this host: {error}"
            raise Failed(changes["error"]) from error
        except SystemExit as error:
            changes["error"] = str(error.code)
            raise
        finally:
            took = round(time.time() - begun, 1)
            report.note(settings, last_run_timestamp_seconds=int(begun), duration_seconds=took, **changes)


def backup(settings: Settings, reason: str) -> dict[str, Any]:
    """Make a backup and remove old ones; return what to note. Raise Failed if it is not complete."""
    values, repository = settings.values, Repository(settings)
    result = "failed"
    try:
        hooks(values.get("hooks_before", []), "backup_hooks_before")
        collection = Collection(settings)
        try:
            collection.gather()
            made = time.time()
            repository.release_stale_locks()
            known(settings, repository)
            summary = repository.backup(collection.paths, collection.excludes, reason)
        finally:
            collection.empty()
        if summary["unread"]:
            raise Failed(f"snapshot {summary['snapshot_id'][:8]} lacks what could not be read: {summary['unread'][:5]}")
        result = "complete"
    finally:
        hooks(values.get("hooks_after", []), "backup_hooks_after", result)
    print(
        f"Snapshot {summary['snapshot_id'][:8]} is made: {report.size(summary['total_bytes_processed'])}, of which "
        f"{report.size(summary['data_added'])} new."
    )
    changes = {
        "last_success_timestamp_seconds": int(made), "last_exit_code": 0, "error": "",
        "size_bytes": summary["total_bytes_processed"], "added_bytes": summary["data_added"],
    }  # fmt: skip
    # The backup is made, whatever becomes of this.
    report.note(settings, **changes)
    if values.get("prune", True):
        repository.forget(values.get("keep", {}))
    checked = float(report.read(settings).get("last_check", 0))
    if values.get("check_days") and time.time() - checked > 86400 * values["check_days"]:
        repository.check(int(values.get("check_percent", 0)))
        changes["last_check"] = int(time.time())
    drilled = float(report.read(settings).get("last_drill_timestamp_seconds", 0))
    if values.get("drill_days") and time.time() - drilled > 86400 * values["drill_days"]:
        drill(Restore(settings, settings, "", ""), "latest")
    return changes


def known(settings: Settings, repository: Repository) -> None:
    """Check that the repository is the one that this host has written to; raise Failed if another is in its place."""
    found, noted = repository.identity(), noted_repository(settings)
    if noted and noted != found:
        raise Failed(
            f"The repository {settings.repository} is another one than before ({found[:8]}, not {noted[:8]}). If that "
            f"is meant, remove {settings.state}/state.json"
        )
    report.note(settings, repository=found, address=settings.repository)


def noted_repository(settings: Settings) -> str:
    """Return the name of the repository that this host has written to at its address; empty if there was none."""
    state = report.read(settings)
    return str(state.get("repository", "")) if state.get("address") == settings.repository else ""


def now_(given: argparse.Namespace) -> int:
    """Make a backup as the timer does: confined, and at low priority."""
    settings = Settings.read(ETC)
    unit = f"{APP}-backup@{given.reason}.service"
    if not Path("/run/systemd/system").is_dir():
        low = ["nice", "-n", "10", "ionice", "-c", "3"]
        return subprocess.run([*low, sys.argv[0], "run", "--reason", given.reason], check=False).returncode
    begun = int(time.time())
    code = subprocess.run(["systemctl", "start", unit], check=False, capture_output=True).returncode
    state = report.read(settings)
    if code or int(state.get("last_run_timestamp_seconds", 0)) < begun or state.get("last_exit_code"):
        lines = subprocess.run(
            ["journalctl", "--no-pager", "--output=cat", "--lines=20", f"--since=@{begun}", f"--unit={unit}"],
            capture_output=True, text=True, check=False,
        ).stdout  # fmt: skip
        print(state.get("error") if state.get("last_run_timestamp_seconds", 0) >= begun else lines, file=sys.stderr)
        return code or 1
    print(f"A backup is made: {report.size(state['size_bytes'])}, of which {report.size(state['added_bytes'])} new.")
    return 0


def prepare_(_: argparse.Namespace) -> None:
    """Make the repository if there is none yet. If this host has written to one, none is made in its place."""
    settings = Settings.read(ETC)
    repository = Repository(settings)
    with alone(settings):
        if not repository.exists():
            if noted_repository(settings):
                raise Failed(
                    f"The repository {settings.repository}, to which this host has written, is gone. If its disk is "
                    f"not mounted, mount it. To begin a new one, remove {settings.state}/state.json"
                )
            repository.make()
            print("made")
        known(settings, repository)


def list_(given: argparse.Namespace) -> None:
    """Show the backups."""
    source = Settings.read(given.source)
    host = "" if given.all else given.host or source.host
    found = Repository(source).snapshots(host, given.app)
    if given.json:
        names = ("id", "short_id", "time", "hostname", "tags")
        print(json.dumps([{name: one[name] for name in names} for one in found]))
        return
    for one in found:
        print(f"{one['short_id']}  {str(one['time'])[:16].replace('T', ' ')}  {one['hostname']}  {one['tags'][-1]}")
    if not found:
        print(f"There is no backup of {host or 'any host'} in {source.repository}.")


def status_(_: argparse.Namespace) -> int:
    """Show how backups stand; the exit status is 1 if the last one failed."""
    state = report.read(Settings.read(ETC))
    last = state.get("last_success_timestamp_seconds")
    print(f"The last backup was made {report.ago(last)}." if last else "No backup has been made yet.")
    if state.get("error"):
        print(f"The last try failed: {state['error']}")
    return 1 if state.get("error") else 0


def check_(given: argparse.Namespace) -> None:
    """Check the repository."""
    settings = Settings.read(given.source)
    Repository(settings).check(int(settings.values.get("check_percent", 0)))
    report.note(settings, last_check=int(time.time()))
    print("The repository is whole.")


def returning(given: argparse.Namespace) -> Restore:
    """Return the restore that is asked for."""
    return Restore(Settings.read(ETC), Settings.read(given.source), given.host, given.app)


def choose_(given: argparse.Namespace) -> None:
    """Show which backup a person means."""
    source = Settings.read(given.source)
    found = Repository(source).snapshots(given.host or source.host, given.app)
    if found:
        one = chosen(found, given.snapshot)
        print(json.dumps({name: one[name] for name in ("id", "short_id", "time")}))


def fetch_(given: argparse.Namespace) -> None:
    """Bring a backup to the host."""
    restore = returning(given)
    with alone(restore.settings):
        found = restore.fetch(given.snapshot)
    print(json.dumps({name: found.get(name) for name in ("short_id", "time", "release", "tables")}))


def drill_(given: argparse.Namespace) -> None:
    """Restore on trial, compare, and remove it again."""
    restore = returning(given)
    with alone(restore.settings):
        drill(restore, given.snapshot)


def drill(restore: Restore, snapshot: str) -> None:
    """Restore on trial and tell what was found; raise Failed if the backup is not whole."""
    try:
        found = restore.fetch(snapshot)
    finally:
        restore.discard()
    report.note(restore.settings, last_drill_timestamp_seconds=int(time.time()))
    tables = found.get("tables") or {}
    print(
        f"Backup {found['short_id']} of {str(found['time'])[:16].replace('T', ' ')} can be restored: "
        f"{sum(tables.values())} rows in {len(tables)} tables, {len(found.get('sqlite') or {})} SQLite files, and all "
        "other files."
    )


def swap_(given: argparse.Namespace) -> None:
    """Let what was fetched serve."""
    restore = returning(given)
    with alone(restore.settings):
        print("\n".join(restore.swap()))


def undo_(given: argparse.Namespace) -> None:
    """Take a restore back."""
    restore = returning(given)
    with alone(restore.settings):
        print("\n".join(restore.undo()))


def settle_(given: argparse.Namespace) -> None:
    """Remove what restores have replaced."""
    restore = returning(given)
    with alone(restore.settings):
        print("\n".join(restore.settle()))


def restic_(given: argparse.Namespace) -> int:
    """Run restic itself."""
    if not available():
        raise Failed("restic is not installed: run playbooks/provision.yml")
    return Repository(Settings.read(given.source)).show(*given.words)
