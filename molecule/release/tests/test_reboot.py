"""A machine that is rebooted comes back by itself, with what served and without what drained."""

from __future__ import annotations

from collections.abc import Callable

from boots import await_handshake, await_ssh, engine
from lab_host import echoes
from pair import Pair, deploy


def test_reboot_brings_back_what_serves_and_not_what_drains(lab: Pair, copy: Callable) -> None:
    lab.settle()
    before, host = lab.live(), lab.hosts[-1]
    with host.connect() as websocket:
        deploy(copy("reboot").folder, drain=600).succeeded()
        assert echoes(websocket), "the deploy closed an open socket"
        assert host.states()[before] == "draining"
        engine("restart", host.name)
    await_handshake(host.name, host.refusal)
    await_ssh(host)
    live = lab.live()
    assert live != before
    # Links of what drained are still there, but none of it runs.
    lab.assert_only(host.name, host.snapshot() | {"instances": [live, live]}, live)
    assert host.states()[live] == "live" and host.states()[before] == "kept"
    host.run("dashboard-generations tidy 3 3")  # as the end of the next deploy does
    lab.settle()
    lab.assert_settled()
