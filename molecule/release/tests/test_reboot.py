"""A machine that is rebooted comes back by itself, with what served and without what drained."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable

import pytest
from lab_host import echoes
from pair import Pair, ReleaseHost, deploy
from websockets.exceptions import ConnectionClosed, InvalidHandshake


def await_handshake(host: ReleaseHost, seconds: float = 60) -> None:
    """Wait until a host accepts handshakes through nginx."""
    ending, last = time.monotonic() + seconds, "nothing tried"
    while time.monotonic() < ending:
        with contextlib.suppress(OSError, EOFError, TimeoutError, ConnectionClosed, InvalidHandshake):
            last = host.refusal()
            if last == 101:
                return
        time.sleep(0.5)
    pytest.fail(f"{host.name} accepts no handshake {seconds:.0f} s after its boot: {last}")


def await_ssh(host: ReleaseHost, seconds: float = 30) -> None:
    """Wait until a host accepts SSH logins."""
    ending = time.monotonic() + seconds
    while True:
        try:
            host.run("true")
            return
        except RuntimeError:
            assert time.monotonic() < ending, f"{host.name} cannot be logged in to {seconds:.0f} s after its boot"
            time.sleep(0.5)


def test_reboot_brings_back_what_serves_and_not_what_drains(lab: Pair, copy: Callable) -> None:
    lab.settle()
    before, host = lab.live(), lab.hosts[-1]
    with host.connect() as websocket:
        deploy(copy("reboot").folder, drain=600).succeeded()
        assert echoes(websocket), "the deploy closed an open socket"
        assert host.states()[before] == "draining"
        subprocess.run(["docker", "restart", host.name], check=True, capture_output=True)
    await_handshake(host)
    await_ssh(host)
    live = lab.live()
    assert live != before
    # Links of what drained are still there, but none of it runs.
    lab.assert_only(host.name, host.snapshot() | {"instances": [live, live]}, live)
    assert host.states()[live] == "live" and host.states()[before] == "kept"
    host.run("dashboard-generations tidy 3 3")  # as the end of the next deploy does
    lab.settle()
    lab.assert_settled()
