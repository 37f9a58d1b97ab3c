"""Locks of a project on a host: one deploy at a time, and never beside work that a killed run has left behind.

There are two locks, because a run and its work on a host end at different times. The deploy lock is a record of who
holds it, on one host for all; it lasts as long as its run lives. Each command that changes something on a host holds
the work lock: the kernel keeps it for as long as one of the command's processes lives, since a migration goes on when
the run that began it is killed. Standard library only: this is also installed on hosts, as part of `<app>-generations`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

MOMENT = "%Y-%m-%d %H:%M:%S UTC"
LOCK, GUARD, WORK = "deploy.lock", "deploy.lock.guard", "work.lock"  # in the project's folder, which root owns
WAIT = 300.0  # seconds that a command waits for another one's work
STEP = 0.2  # seconds between two looks


class Refused(Exception):
    """Something cannot be done now; the text says why."""


class Busy(Exception):
    """Another run's work goes on, and the time to wait for it is over; the text says what it is."""


class Process(NamedTuple):
    """A process. Its start tells it from a later one with the same id; (0, "") is none."""

    pid: int
    started: str


# --- processes --------------------------------------------------------------------------------------------------------


def stat_of(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat that follow the name. May raise OSError."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def session() -> Process:
    """Return the process that lives as long as the calling run: its SSH session, or the ansible-playbook itself.

    There is none in containers that a run enters through their engine.
    """
    pid, found = os.getpid(), Process(0, "")
    while pid > 1:
        try:
            name = Path(f"/proc/{pid}/comm").read_text()
            command, fields = Path(f"/proc/{pid}/cmdline").read_bytes(), stat_of(pid)
        except OSError:  # another user's process, on a host that hides them
            return found
        if name.startswith("sshd"):
            return Process(pid, fields[19])
        if b"ansible-playbook" in command:
            found = Process(pid, fields[19])
        pid = int(fields[1])
    return found


def lives(pid: int, started: str) -> bool:
    """Tell whether a process with this id and start still runs."""
    try:
        fields = stat_of(pid)
    except OSError:
        return False
    return fields[19] == started and fields[0] not in ("Z", "X")


# --- one deploy at a time ---------------------------------------------------------------------------------------------


class DeployLock:
    """The record of who deploys: read and written whole, by one process at a time."""

    def __init__(self, home: Path) -> None:
        """Take the project's folder."""
        self.path, self.guard, self.live = home / LOCK, home / GUARD, home / "live"

    def take(self, record: dict[str, Any], seen: str | None = None, dead: str | None = None) -> dict[str, Any]:
        """Take the lock with a record of who takes it; return what came of it.

        `taken` tells whether it was. If not, `held` is the record that is there, and `session` says whether the session
        that took it is "alive", "dead" or "unknown"; or `unreadable` says what is there instead. `dead` is the name of
        a record whose run the caller knows to be dead: it is replaced, and returned as `broken`. Raise Refused if the
        generation that serves is not the one that the caller has `seen`: the caller would act on old facts.
        """
        with self._guarded():
            held, fault = self._read()
            if fault:
                return {"taken": False, "unreadable": fault}
            if held and name_of(held) not in (dead, record["run"]):
                return {"taken": False, "held": held, "session": self._session(held)}
            serving = self.live.resolve().name if self.live.is_symlink() else ""
            if seen is not None and seen != serving:
                raise Refused(f"another deploy ended while this one began: {serving} serves now. Run this again.")
            pid, started = session()
            since = time.strftime(MOMENT, time.gmtime())
            self._write({**record, "since": since, "pid": pid, "started": started})
            return {"taken": True, **({"broken": held} if held else {})}

    def give_back(self, run: str) -> bool:
        """Give a run's lock back; tell whether the run had it. Another run's lock stays."""
        with self._guarded():
            held, _ = self._read()
            if mine := bool(held) and name_of(held) == run:
                self.path.unlink()
            return mine

    def force(self) -> str:
        """Free the lock, whoever holds it; return who held it."""
        with self._guarded():
            held, fault = self._read()
            self.path.unlink(missing_ok=True)
        return fault or (f"{held.get('who')} held it since {held.get('since')}" if held else "nobody held it")

    def shown(self) -> str:
        """Return who holds the lock, for a person; nothing if nobody does."""
        held, fault = self._read()
        return fault or (f"{held.get('who')} holds it since {held.get('since')}" if held else "")

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Hold the guard for a moment, so that nothing changes between reading and writing."""
        self.path.parent.mkdir(mode=0o755, exist_ok=True)  # a host of the inventory may have no release yet
        handle = os.open(self.guard, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _read(self) -> tuple[dict[str, Any], str]:
        """Return the record that is there, or nothing; and what is wrong with it."""
        try:
            made = time.strftime(MOMENT, time.gmtime(self.path.stat().st_mtime))
            held = json.loads(self.path.read_bytes())
            name_of(held)
        except FileNotFoundError:
            return {}, ""
        except (ValueError, TypeError, AttributeError, KeyError):  # writes are whole, but a host's crash empties it
            return {}, f"{self.path}, of {made}, cannot be read, so nobody knows who holds it"
        return held, ""

    def _write(self, record: dict[str, Any]) -> None:
        """Write the record to the disk, whole or not at all. May raise OSError."""
        part = self.path.with_name(f".{self.path.name}.part")
        try:
            with part.open("w") as file:
                json.dump(record, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    @staticmethod
    def _session(held: dict[str, Any]) -> str:
        """Tell whether the session that a record was made in still lives."""
        if not held.get("pid"):
            return "unknown"
        return "alive" if lives(int(held["pid"]), str(held["started"])) else "dead"


def name_of(record: dict[str, Any]) -> str:
    """Return the name of a record's run; earlier versions gave it none. Raise KeyError if it is no record."""
    return str(record["run"] if "run" in record else f"{record['pid']} {record['started']}")


# --- nothing beside work that still goes on ---------------------------------------------------------------------------


@contextlib.contextmanager
def working(home: Path, what: str, wait: float = WAIT) -> Iterator[tuple[int, str]]:
    """Hold the work lock of this host; yield its descriptor, and a note if this had to wait for it.

    A process that inherits the descriptor holds the lock together with this one, and alone if this one is killed. When
    this one ends by itself, it gives the lock back for all of them. Raise Busy if the lock is not free in time.
    """
    handle = os.open(home / WORK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        note = _await(home, handle, wait)
        record = {"pid": os.getpid(), "what": what, "since": time.strftime(MOMENT, time.gmtime())}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(record).encode(), 0)
        try:
            yield handle, note
        finally:
            os.ftruncate(handle, 0)
            fcntl.flock(handle, fcntl.LOCK_UN)
    finally:
        os.close(handle)


def _await(home: Path, handle: int, wait: float) -> str:
    """Wait for the work lock; return a note if another run had it."""
    begun, other = time.monotonic(), ""
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = other or at_work(home)
        else:
            waited = time.monotonic() - begun
            return f"waited {waited:.0f} s for the end of what another run has left at work: {other}" if other else ""
        if time.monotonic() - begun >= wait:
            raise Busy(
                f"what another run has left is still at work after {wait:.0f} s: {at_work(home)}. Nothing is done "
                "beside it. Wait for its end and run this again; it may be a migration, which is ended safely only "
                "where all of it is in one transaction."
            )
        time.sleep(STEP)


def at_work(home: Path) -> str:
    """Return what holds the work lock, for a person: what it is, since when, and its processes."""
    try:
        record = json.loads((home / WORK).read_bytes())
        shown = f"{record['what']}, since {record['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        shown = "a command"
    running = [f"{pid} ({command})" for pid, command in holders(home / WORK)]
    return shown + (f", pid {', '.join(running)}" if running else "")


def holders(path: Path) -> list[tuple[int, str]]:
    """Return the processes that have a file open, and their commands, as far as this process may look at them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name == str(os.getpid()):
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if any(os.readlink(entry) == str(path) for entry in (folder / "fd").iterdir()):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                found.append((int(folder.name), command[:120]))
    return sorted(found)
