"""Service managers: they keep the processes of a generation running, as long as they are wanted and no longer.

All managers have the same methods. They take groups: processes of one kind of one generation, as a dictionary with
`unit` (the kind's name, `<app>-daphne`), `generation` and `instances` (`<generation>-<n>`, one for each process).
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from . import paths

Group = dict[str, Any]
KINDS = ("systemd", "supervisor")


class State(NamedTuple):
    """A process as its manager sees it."""

    pid: int  # 0 if it does not run
    memory: int  # bytes
    restarts: int = 0  # how often it was started again since the manager was told to run it
    age: float | None = None  # seconds since this process started; None if none runs
    word: str = ""  # the manager's word for its state


class Unmanageable(Exception):
    """A manager does not do what it was told; the text says why."""


class Manager(Protocol):
    """What every manager does; systemd.py and supervisor.py say how."""

    def installed(self, groups: list[Group]) -> bool:
        """Tell whether the manager has the same files for some groups as their generation."""

    def install(self, groups: list[Group]) -> None:
        """Tell the manager about the processes of some groups, before any is started."""

    def verify(self, groups: list[Group]) -> str:
        """Return what is wrong with some groups' files for the manager; empty if they are right."""

    def start(self, groups: list[Group]) -> None:
        """Start processes, now and after each boot."""

    def forget(self, groups: list[Group]) -> None:
        """Keep processes running until they are stopped, but don't start them after the next boot."""

    def stop(self, groups: list[Group]) -> None:
        """Stop processes, for this boot and the next, and wait until they have ended."""

    def states(self, groups: list[Group]) -> list[State]:
        """Return the states of all processes of some groups, in order."""

    def last_lines(self, group: Group, instance: str, number: int) -> list[str]:
        """Return the last lines that a process logged."""

    def begin(self, name: str, command: list[str]) -> None:
        """Run a command once in the background, under a name."""

    def end(self, name: str) -> None:
        """End what runs in the background under a name, if anything does."""

    def begun(self, names: list[str]) -> set[str]:
        """Return which of some names run in the background."""

    def clean(self, names: list[str]) -> None:
        """Remove what background commands with these names left when they ended."""

    def shared(self, groups: list[Group]) -> set[str]:
        """Return the kinds of some groups for which several generations share one description."""

    def remove_shared(self, units: set[str]) -> list[str]:
        """Remove such shared descriptions of some kinds; return the kinds that had one."""

    def remove_logs(self, groups: list[Group]) -> None:
        """Remove the logs of processes that nobody will ask for again."""

    def kinds(self, generation: str) -> list[str]:
        """Return the kinds of processes that a generation may have, if nothing else tells."""

    def log_command(self, units: list[str], generation: str, lines: int, follow: bool, plain: bool) -> list[str]:
        """Return the command that shows the last log lines of some kinds of processes of a generation ("*": any)."""


def run(*command: str, check: bool = True) -> str:
    """Run a command and return its output; raise Unmanageable with its errors if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise Unmanageable(f"`{shlex.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def write(path: Path, text: str) -> None:
    """Write a file in one step, because managers cannot start with half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


def get(kind: str) -> Manager:
    """Return the service manager of a kind, for this project."""
    # Imported here, because a host has only one of them.
    if kind == "systemd":
        from .systemd import Systemd

        return Systemd(paths.APP, paths.HOME)
    from .supervisor import Supervisor

    return Supervisor(paths.APP, paths.HOME)


def of(described: dict[str, Any]) -> Manager:
    """Return the service manager that a generation was made for."""
    return get(described["manager"])
