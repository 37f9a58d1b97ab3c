"""What the code around a service may ask of it, whatever starts it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

#: Runs a command as `AnsibleModule.run_command` does; returns its exit code, output and errors. With `check_rc=True` it
#: does not return from a command that fails.
Run = Callable[..., tuple[int, str, str]]


class ServiceError(Exception):
    """A service is not as it should be; the text says why, for a person."""


class Service(Protocol):
    """A service on this host."""

    @property
    def name(self) -> str:
        """Its name for whatever starts it."""

    @property
    def same_workers(self) -> bool:
        """Whether no reload gives it other workers: it has none, or they read the files again themselves."""

    @property
    def installed(self) -> bool:
        """Whether there is such a service."""

    @property
    def running(self) -> bool:
        """Whether it runs."""

    @property
    def found(self) -> str:
        """The state in which it was found, in words for a person."""

    @property
    def enabled(self) -> bool:
        """Whether it starts with the machine."""

    @property
    def stale(self) -> bool:
        """Whether whatever starts it has not read its unit as it is now."""

    @property
    def main_pid(self) -> int:
        """Id of its main process, 0 if there is none."""

    @property
    def log(self) -> Path:
        """The file that it writes its log to."""

    @property
    def old_workers_stay(self) -> bool:
        """Whether workers from before a reload look like new ones until their connections have ended."""

    def apply(self, action: str) -> None:
        """Enable it if it is not enabled, and start, reload or restart it. May raise ServiceError."""
