"""Service managers: what keeps the processes of a generation running, for as long as it is wanted and no longer.

Each manager has the same methods. They take groups: processes of one kind of one generation, as a dictionary of its
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

    pid: int  # 0 where it does not run
    memory: int  # bytes
    restarts: int = 0  # how often it was started again since it was told to run
    age: float | None = None  # seconds since this process started; None where none runs
    word: str = ""  # what the manager calls its state


class Unmanageable(Exception):
    """A manager does not do what it was told; the text says why."""


class Manager(Protocol):
    """What each of them does; systemd.py and supervisor.py say how."""

    def installed(self, groups: list[Group]) -> bool:
        """Tell whether the manager knows the processes of some groups as their generation brings them."""

    def install(self, groups: list[Group]) -> None:
        """Have the manager know the processes of some groups, before any is started."""

    def verify(self, groups: list[Group]) -> str:
        """Return what is wrong with what some groups bring for the manager; nothing where it is right."""

    def start(self, groups: list[Group]) -> None:
        """Have processes run, now and after each boot."""

    def forget(self, groups: list[Group]) -> None:
        """Have processes run on until they are stopped, but not after the next boot."""

    def stop(self, groups: list[Group]) -> None:
        """Stop processes, for this boot and the next, and wait for their ends."""

    def states(self, groups: list[Group]) -> list[State]:
        """Return the states of all processes of some groups, in their order."""

    def last_lines(self, group: Group, instance: str, number: int) -> list[str]:
        """Return the last lines that a process said."""

    def begin(self, name: str, command: list[str]) -> None:
        """Run a command in the background, once, under a name."""

    def end(self, name: str) -> None:
        """End what runs in the background under a name, if there is such."""

    def begun(self, names: list[str]) -> set[str]:
        """Return which of some names run in the background."""

    def clean(self, names: list[str]) -> None:
        """Remove what ended background commands left, of those names."""

    def shared(self, groups: list[Group]) -> set[str]:
        """Return the kinds of some groups that are described for several generations at once."""

    def remove_shared(self, units: set[str]) -> list[str]:
        """Remove such descriptions of some kinds; return the kinds that had one."""

    def remove_logs(self, groups: list[Group]) -> None:
        """Remove the logs of processes that nobody will ask for any more."""

    def kinds(self, generation: str) -> list[str]:
        """Return the kinds of processes that a generation may have, where nothing else tells."""

    def log_command(self, units: list[str], generation: str, lines: int, follow: bool, plain: bool) -> list[str]:
        """Return the command that shows the last lines that some kinds of processes of a generation ("*": any) said."""


def run(*command: str, check: bool = True) -> str:
    """Run a command and return what it printed; raise Unmanageable with its errors where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise Unmanageable(f"`{shlex.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def write(path: Path, text: str) -> None:
    """Have a file hold a text, in one step for managers, which cannot start with half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


def get(kind: str) -> Manager:
    """Return the service manager of a kind, for this project."""
    # Imported here: a host has one of them.
    if kind == "systemd":
        from .systemd import Systemd

        return Systemd(paths.APP, paths.HOME)
    from .supervisor import Supervisor

    return Supervisor(paths.APP, paths.HOME)


def of(described: dict[str, Any]) -> Manager:
    """Return the service manager that a generation was made for."""
    return get(described["manager"])
