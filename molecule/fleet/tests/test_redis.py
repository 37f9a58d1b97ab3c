"""One Redis of three is lost: handshakes work again, sockets stay open, and no process stays with a former primary."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import pytest
from boots import await_handshake
from clients import Clients
from fleet import APP_1, APP_2, PATIENCE, SHARED, Fleet, failures_after
from lab_host import LabHost, Run
from redis_group import Group, reaches, speaks
from websockets.sync.client import ClientConnection

Sockets = dict[tuple[str, str], ClientConnection]
Record = Callable[[str, object], None]
WHOLE = {APP_1: "UP", APP_2: "UP"}


@pytest.fixture
def sockets(lab: Fleet, group: Group) -> Iterator[Sockets]:
    """A socket on each process of each app host, from before Redis is lost, by host and process."""
    group.healthy()
    with lab.socket_on_each_process() as found:
        yield found


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


def all_is_well(group: Group, sockets: Iterable[ClientConnection], text: str) -> LabHost:
    """Check that one Redis is the primary, takes writes alone, and that all sockets hear each other through it."""
    primary, held = group.healthy(), list(sockets)
    nobody_stays(group, primary)
    assert all(map(speaks, held)), "a socket from before was closed"
    for number, sender in enumerate(held):
        reaches(sender, held, f"{text} {number}")
    for lab in group.hosts:
        answer = group.as_project(lab, "ZADD", f"asgi-{text}", "1", "x")
        assert answer.startswith("READONLY") != (lab is primary), f"{lab.name}: {answer}"
    return primary


def test_killed(
    lab: Fleet, group: Group, sockets: Sockets, clients: Callable[..., Clients], record_property: Record
) -> None:
    """Its replicas keep what it had, although it is back at once, and empty. No socket is closed."""
    primary, running = group.healthy(), clients()
    assert group.as_project(primary, "ZADD", "asgi-kept", "1", "x") in ("0", "1")
    begun = time.time()
    primary.run("kill -KILL $(cat /run/redis/redis-server.pid || pidof redis-server)")
    await_handshake(SHARED, lab.shake)
    record_property("seconds until a handshake worked", time.time() - begun)
    now = all_is_well(group, sockets.values(), "killed")
    assert now is not primary and group.as_project(now, "ZCOUNT", "asgi-kept", "-inf", "+inf") == "1"
    recovered = lab.await_states(WHOLE)
    noticed = running.stop()
    assert not noticed["closings"], noticed["closings"][:5]
    assert not failures_after(noticed, recovered), failures_after(noticed, recovered)[:5]
    record_property("failed until then", Counter(each["what"] for each in noticed["failures"]))


def test_cut_off(
    lab: Fleet, group: Group, sockets: Sockets, clients: Callable[..., Clients], record_property: Record
) -> None:
    """Together with its app host, whose sockets end. Whoever is left has a primary, and other sockets stay.

    The former one takes no writes, and is a replica once it is back.
    """
    primary = group.led_by_app_host()
    (other,) = (host.name for host in lab.apps if host is not primary)
    staying = [websocket for (host, _), websocket in sockets.items() if host == other]
    running = clients()
    with group.cut_off(primary):
        begun, refused, promoted, answer = time.time(), None, None, ""
        while refused is None or promoted is None:
            if refused is None:
                answer = group.as_project(primary, "ZADD", "asgi-cut", "1", "x")
                refused = time.time() - begun if answer.startswith("NOREPLICAS") else None
            said = group.status(group.others(primary)[0])["redis"]
            if promoted is None and "primary" in said.values():
                promoted = time.time() - begun
            assert time.time() < begun + PATIENCE, (refused, promoted, answer, said)
        await_handshake(SHARED, lab.shake)
        handshakes = time.time() - begun
        left_out = lab.await_states({other: "UP", primary.name: "DOWN"})
        answer = group.as_project(primary, "ZADD", "asgi-cut", "1", "x")
        assert answer.startswith("NOREPLICAS"), f"two primaries take writes: {answer}"
        lab.await_no_connections(primary.name)
        noticed = running.stop()
    record_property("seconds", {"refused": refused, "promoted": promoted, "handshakes": handshakes})
    assert {each["machine"] for each in noticed["closings"]} <= {primary.name, "?"}, noticed["closings"][:5]
    failed = [each for each in failures_after(noticed, left_out) if primary.name not in each["why"]]
    assert not failed, failed[:5]
    assert all_is_well(group, staying, "cut") is not primary


def test_planned(group: Group, sockets: Sockets, clients: Callable[..., Clients], record_property: Record) -> None:
    """The playbook switches; sockets stay open, at most handshakes of that moment fail, and a run changes nothing.

    Sentinels that have run since before an upgrade of what they call do their part in it.
    """
    primary, running = group.healthy(), clients()
    failed = group.replace_programs()
    run = Run("playbooks/redis_switchover.yml")
    assert run.code == 0, run.output
    now = all_is_well(group, sockets.values(), "planned")
    switched = time.time()
    await_handshake(SHARED, group.lab.shake)
    noticed = running.stop()
    assert not noticed["closings"], noticed["closings"][:5]
    assert not failures_after(noticed, switched), failures_after(noticed, switched)[:5]
    record_property("failed in the switch", Counter(each["what"] for each in noticed["failures"]))
    (place,) = (address for address, host in group.places.items() if host is now)
    assert now is not primary and f"{place} is the primary after" in run.output
    assert group.failed_scripts() == failed, "a Sentinel cannot run what is called after a switch"
    again = Run("playbooks/provision.yml", "--tags", "redis,sentinel")
    assert [again.changed(host.name) for host in group.hosts] == [0] * len(group.hosts), again.output
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
