"""What a service's main process has read, as far as that was seen; and what is on the disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from .. import proc

NOTES = Path("/run/ansible-channels-stack")


class State(NamedTuple):
    """What is below a path; links count as themselves."""

    digest: str  # a new one after any change, even one that puts a text back
    changed: float  # the newest change, in seconds since the epoch
    newest: str  # where that was


def look(path: str) -> State:
    """Return what is below a path."""
    entries = {path} if os.path.lexists(path) else set()
    for folder, folders, files in os.walk(path):
        entries |= {os.path.join(folder, name) for name in (*folders, *files)}
    digest, newest = hashlib.sha256(), (0.0, "")
    for entry in sorted(entries):
        with contextlib.suppress(FileNotFoundError):  # such as an editor's file that was there a moment ago
            found = os.lstat(entry)
            digest.update(f"{entry}\0{found.st_ino} {found.st_ctime_ns} {found.st_size}\0".encode())
            newest = max(newest, (found.st_ctime, entry))
    return State(digest.hexdigest(), *newest)


class Notes:
    """What a daemon is known to have read: for each verb and path the state, and the main process that ran then.

    The age of the newest child does not count: one that was started again after a crash has what its main process once
    read. Nor do clocks, as far as possible: people set them, and files come with times in the future.
    """

    def __init__(self, name: str) -> None:
        self.path = NOTES / f"{name}.json"
        self.read: dict[str, list[str]] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            known = json.loads(self.path.read_text())
            self.read = {name: [digest, reader] for name, (digest, reader) in known.items()}

    def unread(self, main: int, states: dict[str, State]) -> str:
        """Return a file that the main process has not read as it is now, or nothing."""
        for name, state in states.items():
            digest, reader = self.read.get(name, ["", ""])
            if digest == state.digest:  # a main process that came later has read the same
                continue
            if (reader and reader == proc.identity(main)) or state.changed > proc.started(main):
                return state.newest or name.partition(" ")[2]
        return ""

    def note(self, main: int, states: dict[str, State]) -> None:
        """Note that the main process has read these."""
        reader = proc.identity(main)
        now = self.read | {name: [state.digest, reader] for name, state in states.items()}
        if now == self.read or not reader:
            return
        self.path.parent.mkdir(mode=0o755, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(now, indent=1))
        part.replace(self.path)
