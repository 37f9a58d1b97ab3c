"""A reload: whether a service's main process started new workers, and what its log says if it did not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from .. import proc
from .service import Service, ServiceError

RELOAD_SECONDS = 30  # for a daemon to have new processes after it was told to reload
QUIET_SECONDS = 1  # without a line in its log, after which a reload has failed for good; nginx tries every half second


def workers(pid: int) -> set[str]:
    """Return names of a process's direct children, without those that only wait for their sockets to end."""
    serving = [child for child in proc.children(pid) if "shutting down" not in proc.text(child, "cmdline")]
    return {proc.identity(child) for child in serving} - {""}


def orphans(name: str) -> list[int]:
    """Return ids of a daemon's workers, named as nginx names them, whose main process was killed."""
    masters = set(proc.titled(f"{name}: master process"))
    # Other workers still have one, such as those in a container on this machine.
    return [
        pid
        for pid in proc.titled(f"{name}: worker process")
        if (stat := proc.living(pid)) and int(stat[1]) not in masters
    ]


class Log:
    """What a daemon writes into its log from now on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size if path.exists() else 0

    def lines(self) -> list[str]:
        """Return its lines."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as file:
            file.seek(self.size)
            return file.read().decode(errors="replace").splitlines()

    def told(self, lines: list[str]) -> str:
        """Return the newest of some lines, each once, for a message."""
        newest = list({re.sub(r"^[\d/:. -]+", "", line): line for line in lines}.values())[-15:]
        return "\n".join([f"\nIn {self.path} since:", *(newest or ["(nothing)"])]) if self.path.is_file() else ""


def reload(service: Service, ask: Callable[[], object]) -> None:
    """Ask a daemon to reload, and wait until its main process has new workers.

    nginx tests no address beforehand. If another process has one, only the main process finds out: it goes on with what
    it had, but whoever asked for the reload was told that all is well. Raise ServiceError if it keeps its workers.
    A daemon that has none, or keeps them, is only asked.
    """
    if service.same_workers:
        ask()
        return
    main = service.main_pid
    stderr = Path(proc.link(main, "fd/2") or "/dev/null")
    log = Log(stderr if stderr.is_file() else service.log)
    had, refused = workers(main), False
    lines: list[str] = []
    ask()
    quiet = began = time.monotonic()
    while True:
        time.sleep(0.02)
        now = workers(main)
        if (read := log.lines()) != lines:
            lines, quiet = read, time.monotonic()
            # Only lines of nginx's main process count: a worker that was started again is as new as one after a reload.
            refused = any(f"[emerg] {main}#" in line for line in lines)
        if now - had and (service.old_workers_stay or not now & had) and not refused:
            return
        if time.monotonic() - (quiet if refused else began) > (QUIET_SECONDS if refused else RELOAD_SECONDS):
            break
    if refused:
        lines = [line for line in lines if f"[emerg] {main}#" in line]
    raise ServiceError(
        f"{service.name} was told to reload, and goes on with the configuration that it had. The next run tries "
        f"again.{log.told(lines)}"
    )
