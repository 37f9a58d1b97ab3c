"""One Redis of three is lost: handshakes work again, sockets stay open, and no process stays with a former primary."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator

import pytest
from lab_host import LabHost, Run
from redis_group import PATIENCE, Group, reaches, shaken, speaks
from websockets.sync.client import ClientConnection


@pytest.fixture
def sockets(group: Group) -> Iterator[list[ClientConnection]]:
    """Sockets on each process of each app host, from before Redis is lost."""
    group.healthy()
    with contextlib.ExitStack() as stack:
        yield [
            websocket for lab in group.apps for websocket in stack.enter_context(lab.socket_on_each_process()).values()
        ]


def nobody_stays(group: Group, primary: LabHost) -> None:
    """Wait until processes are connected to the primary alone."""
    former = [f"{address}:6379" for address, lab in group.places.items() if lab is not primary]
    deadline = time.monotonic() + PATIENCE
    while left := [
        line
        for lab in group.apps
        for line in group.foreign_clients(lab).splitlines()
        if any(place in line for place in former)
    ]:
        assert time.monotonic() < deadline, f"processes stay with a replica: {left}"


def all_is_well(group: Group, sockets: list[ClientConnection], text: str) -> LabHost:
    """Check that one Redis is the primary, takes writes alone, and that all sockets hear each other through it."""
    primary = group.healthy()
    nobody_stays(group, primary)
    assert all(map(speaks, sockets)), "a socket from before was closed"
    for number, sender in enumerate(sockets):
        reaches(sender, sockets, f"{text} {number}")
    for lab in group.hosts:
        answer = group.as_project(lab, "ZADD", f"asgi-{text}", "1", "x")
        assert answer.startswith("READONLY") != (lab is primary), f"{lab.name}: {answer}"
    return primary


def test_killed(group: Group, sockets: list[ClientConnection], record_property: pytest.RecordProperty) -> None:
    """Its replicas keep what it had, although it is back at once, and empty."""
    primary = group.healthy()
    assert group.as_project(primary, "ZADD", "asgi-kept", "1", "x") in ("0", "1")
    primary.run("kill -KILL $(cat /run/redis/redis-server.pid || pidof redis-server)")
    seconds = [shaken(lab) for lab in group.apps]
    record_property("seconds", seconds)
    now = all_is_well(group, sockets, "killed")
    assert now is not primary and group.as_project(now, "ZCOUNT", "asgi-kept", "-inf", "+inf") == "1"


def test_cut_off(group: Group, sockets: list[ClientConnection], record_property: pytest.RecordProperty) -> None:
    """Whoever is left has a primary; the former one takes no writes, and is a replica once it is back."""
    primary = group.healthy()
    left = [lab for lab in group.apps if lab is not primary]
    with group.cut_off(primary):
        begun, refused, promoted = time.monotonic(), None, None
        while refused is None or promoted is None:
            if refused is None and group.as_project(primary, "ZADD", "asgi-cut", "1", "x").startswith("NOREPLICAS"):
                refused = time.monotonic() - begun
            said = group.status(group.others(primary)[0])["redis"]
            if promoted is None and "primary" in said.values():
                promoted = time.monotonic() - begun
            assert time.monotonic() < begun + PATIENCE, (refused, promoted)
        seconds = [shaken(lab) for lab in left]
        record_property("seconds", {"refused": refused, "promoted": promoted, "handshakes": seconds})
        answer = group.as_project(primary, "ZADD", "asgi-cut", "1", "x")
        assert answer.startswith("NOREPLICAS"), f"two primaries take writes: {answer}"
    assert all_is_well(group, sockets, "cut") is not primary


def test_planned(group: Group, sockets: list[ClientConnection]) -> None:
    """The playbook switches; nobody notices, and the next run of provision.yml changes nothing."""
    primary = group.healthy()
    run = Run("playbooks/redis_switchover.yml")
    assert run.code == 0, run.output
    for lab in group.apps:
        shaken(lab)
    now = all_is_well(group, sockets, "planned")
    assert now is not primary and f"{group.address(now)} is the primary after" in run.output
    again = Run("playbooks/provision.yml")
    assert [again.changed(lab.name) for lab in group.hosts] == [0] * len(group.hosts), again.output
    assert group.healthy() is now


def test_unhealthy_group_is_left_alone(group: Group) -> None:
    """A switch that could fail is not begun."""
    primary = group.healthy()
    victim = group.others(primary)[0]
    victim.run("systemctl stop redis-sentinel")
    try:
        done = primary.host.run("redis-primary switch")
        assert done.rc == 1 and "Nothing was changed" in json.loads(done.stdout)["error"], done.stdout
    finally:
        victim.run("systemctl start redis-sentinel")
    assert group.healthy() is primary
