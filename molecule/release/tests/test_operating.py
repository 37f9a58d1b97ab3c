"""What an operator does between deploys: look around, keep few releases, announce maintenance."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest
from lab_host import echoes
from pair import Pair, Playbook, deploy
from websockets.exceptions import ConnectionClosed


def test_limits_are_kept_and_status_shows_all(lab: Pair, copy: Callable, clients: Callable) -> None:
    """With release_keep and release_drain_generations at 1, the third generation ends the drain of the first."""
    limits = ["-e", "release_keep=1", "-e", "release_drain_generations=1"]
    lab.settle()
    first = lab.live()
    running = clients(sockets=10, rate=2)
    deploy(copy("second").folder, *limits, drain=180).succeeded()
    second = lab.live()
    running.grow()
    time.sleep(1)
    deploy(copy("third").folder, *limits, drain=180).succeeded()
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


HEALTH = "import urllib.request as r; print(r.urlopen('http://localhost:8000/health/', timeout=60).read().decode())"


@contextlib.contextmanager
def maintenance(lab: Pair, *given: str) -> Iterator[None]:
    """Switch maintenance on for a while."""
    try:
        yield Playbook("maintenance", "-e", "nginx_maintenance=on", *given).succeeded()
    finally:
        Playbook("maintenance", "-e", "maintenance=off").succeeded()


@pytest.mark.parametrize("sockets", ["keep", "close"])
def test_maintenance_answers_everybody_and_ends(lab: Pair, sockets: str) -> None:
    opened = {host.name: [host.connect() for _ in range(3)] for host in lab}
    given = ["-e", f"nginx_maintenance_sockets={sockets}", "-e", "release_drain_spread_seconds=1"]
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
    there = Playbook("rollback", "-e", f"rollback_to={wanted['release']}", "-e", "release_drain_seconds=5").succeeded()
    assert lab.live() == wanted["generation"] and "release_version is called" not in there.output
    told = Playbook("rollback", "-e", "rollback_to=v0.0.0").failed("keeps no earlier release named v0.0.0")
    assert kept[0]["version"] in told.output, "what could be taken back is not named"
    assert lab.live() == wanted["generation"]
    lab.settle()
    lab.assert_settled()


def test_rollback_by_the_old_name_of_its_variable(lab: Pair) -> None:
    told = Playbook("rollback", "-e", "release_version=v0.0.0").failed("keeps no earlier release named v0.0.0")
    assert "release_version is called rollback_to now" not in told.output, "nothing was gone back to"
    wanted = next(row for row in lab.hosts[0].overview() if row["state"] == "kept")
    options = ("-e", f"release_version={wanted['release']}", "-e", "release_drain_seconds=5")
    assert "release_version is called rollback_to now" in Playbook("rollback", *options).succeeded().output
    assert lab.live() == wanted["generation"]
    lab.settle()
    lab.assert_settled()


def still_open(websocket) -> bool:
    """Tell whether a socket still carries a message there and back."""
    try:
        return echoes(websocket)
    except ConnectionClosed:
        return False
