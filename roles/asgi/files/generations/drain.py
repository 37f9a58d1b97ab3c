"""Drain a generation: wait for its sockets to end, then stop it. This runs for hours."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from . import managers, paths
from .close import SETTLE, close_all
from .generation import describe, listening, live, processes, steady
from .locks import Refused
from .sockets import accepted
from .stop import stop


def drain(generation: str, seconds: float, spread: float, command: list[str]) -> None:
    """Wait for a generation's sockets to end, close the rest at the deadline, and stop its processes.

    `command` runs before the deadline, in the generation's environment: a project's own, friendlier way to make its
    clients leave. Sockets that it leaves open are closed at the deadline anyway. The deadline is at least `SETTLE`
    away, because a socket cannot be told from a request that is being answered.
    """
    seconds = max(seconds, SETTLE)
    folder = paths.HOME / "generations" / generation
    described = describe(generation)
    manager = managers.of(described)  # before any work, because it imports
    deadline = time.time() + seconds
    (folder / "deadline").write_text(f"{deadline}\n")
    # After a reboot, the generation that serves comes back, and this one doesn't.
    manager.forget(processes(described))
    # If this run is ended early, the next one must not close the clients of these sockets a second time.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{generation}: not drained any more"))
    # Workers finish what they are doing, which may take longer than any deploy would wait.
    manager.stop(steady(described))
    time.sleep(SETTLE)
    asked = not command
    while accepted(listening(described)) and time.time() < deadline:
        if live() == generation:
            raise Refused(f"{generation} serves again, so it stays")
        if not asked and time.time() >= deadline - spread:
            asked = True
            within = ["runuser", "--user", described["user"], "--", str(folder / "within")]
            subprocess.Popen([*within, *command], stdin=subprocess.DEVNULL)
        time.sleep(0.25)
    if live() == generation:
        raise Refused(f"{generation} serves again, so it stays")
    # A project that took part used the time before the deadline to spread its clients.
    closed = close_all(listening(described), 1.0 if command else spread, described["user"])
    print(f"{generation}: {closed} sockets closed at the deadline", flush=True)
    ending = time.monotonic() + SETTLE
    while accepted(listening(described)) and time.monotonic() < ending:
        time.sleep(0.1)
    stop(described)
    (folder / "deadline").unlink(missing_ok=True)
    print(f"{generation}: stopped", flush=True)
