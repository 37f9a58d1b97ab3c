"""What an operator does between deploys: look, keep few releases, announce maintenance, reboot."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from lab_host import echoes
from pair import Pair, Playbook, ReleaseHost, deploy
from websockets.exceptions import ConnectionClosed, InvalidHandshake


def test_limits_are_kept_and_status_shows_all(lab: Pair, copy: Callable, clients: Callable) -> None:
    """With release_keep and release_drain_generations 1, the third generation ends the drain of the first."""
    limits = ["-e", "release_keep=1", "-e", "release_drain_generations=1"]
    lab.settle()
    first = lab.live()
    running = clients(sockets=10, rate=2)
    deploy(copy("second").folder, *limits, drain=90).succeeded()
    second = lab.live()
    running.grow()
    time.sleep(1)
    deploy(copy("third").folder, *limits, drain=90).succeeded()
    third = lab.live()
    for host in lab:
        states = host.states()
        assert states[third] == "live" and states[second] == "draining", states
        assert [state for _, state in sorted(states.items())].count("draining") == 1, states
        assert list(states.values()).count("kept") <= 1, states
        assert not host.run(f"pgrep --uid dashboard --list-full | grep -e {first}- || true"), "the first still runs"
    shown = Playbook("status").succeeded().output
    for state in ("live", "draining", "kept"):
        assert sum(f" {state} " in line for line in shown.splitlines()) >= len(lab.hosts), shown
    noticed = running.stop()
    assert noticed["failures"] == []
    assert {closing["process"].rpartition("-")[0] for closing in noticed["closings"]} == {first}
    lab.settle()
    lab.assert_settled()


HEALTH = "import urllib.request as r; print(r.urlopen('http://localhost:8000/health/', timeout=10).read().decode())"


@contextlib.contextmanager
def maintenance(lab: Pair, *given: str) -> Iterator[None]:
    """Be in maintenance for a while."""
    try:
        yield Playbook("maintenance", "-e", "maintenance=on", *given).succeeded()
    finally:
        Playbook("maintenance", "-e", "maintenance=off").succeeded()


@pytest.mark.parametrize("sockets", ["keep", "close"])
def test_maintenance_answers_everybody_and_ends(lab: Pair, sockets: str) -> None:
    opened = {host.name: [host.connect() for _ in range(3)] for host in lab}
    given = ["-e", f"maintenance_sockets={sockets}", "-e", "release_drain_spread_seconds=1"]
    with maintenance(lab, *given):
        for host in lab:
            status, headers, body = host.get("/")
            assert (status, headers.get("retry-after")) == (503, "120"), headers
            assert "back soon" in body
            assert host.refusal() == 503
            for websocket in opened[host.name]:
                assert still_open(websocket) == (sockets == "keep"), f"{host.name}: {sockets}"
            with host.tunnel("localhost:8000") as port:  # from an address that is let through
                assert host.refusal(port=port) == 101
            assert '"ok"' in host.run("python3 -c %s", HEALTH)
    for host in lab:
        assert host.get("/health/")[0] == 200
        assert host.refusal() == 101
        for websocket in opened[host.name]:
            assert still_open(websocket) == (sockets == "keep"), f"{host.name}: after maintenance"
            websocket.close()


def test_any_kept_release_is_taken_back_by_its_name(lab: Pair) -> None:
    lab.settle()
    kept = [row for row in lab.hosts[0].overview() if row["state"] == "kept"]
    wanted = kept[-1]
    Playbook("rollback", "-e", f"release_version={wanted['release']}", "-e", "release_drain_seconds=5").succeeded()
    assert lab.live() == wanted["generation"]
    told = Playbook("rollback", "-e", "release_version=v0.0.0").failed("keeps no earlier release named v0.0.0")
    assert kept[0]["version"] in told.output, "what could be taken back is not named"
    assert lab.live() == wanted["generation"]
    lab.settle()
    lab.assert_settled()


def still_open(websocket) -> bool:
    """Tell whether a socket still carries a message there and back."""
    try:
        return echoes(websocket)
    except ConnectionClosed:
        return False


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
    """Wait until a host can be logged in to."""
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
        assert still_open(websocket), "the deploy closed an open socket"
        assert host.states()[before] == "draining"
        subprocess.run(["docker", "restart", host.name], check=True, capture_output=True)
    await_handshake(host)
    await_ssh(host)
    live = lab.live()
    assert live != before
    # Links of what drained are left; they are nothing that runs.
    lab.assert_only(host.name, host.snapshot() | {"instances": [live, live]}, live)
    assert host.states()[live] == "live" and host.states()[before] == "kept"
    host.run("dashboard-generations tidy 3 3")  # as the end of the next deploy does
    lab.settle()
    lab.assert_settled()
