"""A lab host that is switched off and on again, as by somebody who pulls its plug."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable

import pytest
from lab_host import PATIENCE, LabHost
from websockets.exceptions import ConnectionClosed, InvalidHandshake


def engine(*command: str) -> None:
    """Have the engine do something to a host; fail the test if it cannot."""
    subprocess.run(["docker", *command], check=True, capture_output=True)


def await_handshake(name: str, shake: Callable[[], int], seconds: float = PATIENCE) -> None:
    """Wait until handshakes work; `shake` makes one, and returns its status."""
    ending, last = time.monotonic() + seconds, "nothing tried"
    while time.monotonic() < ending:
        with contextlib.suppress(OSError, EOFError, TimeoutError, ConnectionClosed, InvalidHandshake):
            last = shake()
            if last == 101:
                return
        time.sleep(0.5)
    pytest.fail(f"{name} accepts no handshake after {seconds:.0f} s: {last}")


def await_ssh(host: LabHost, seconds: float = PATIENCE) -> None:
    """Wait until a host accepts SSH logins."""
    ending = time.monotonic() + seconds
    while True:
        try:
            host.run("true")
            return
        except RuntimeError:
            assert time.monotonic() < ending, f"{host.name} cannot be logged in to {seconds:.0f} s after its boot"
            time.sleep(0.5)
