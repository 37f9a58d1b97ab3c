"""A machine of the fleet is lost without a word: others take its work, and nobody else notices."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from boots import await_handshake, await_ssh, engine
from clients import Clients
from fleet import APP_1, APP_2, SHARED, Fleet, failures_after
from lab_host import LabHost
from redis_group import Group

Record = Callable[[str, object], None]
# Runs on an edge, with a moment: waits until keepalived has seen since then that HAProxy answers.
AWAIT_CHECK = """for _ in $(seq 1200); do
    journalctl --unit=keepalived --since=@%s --output=cat | grep -q 'haproxy_answers) succeeded' && exit 0
    sleep 0.3
done
exit 1"""


@pytest.fixture
def killed(lab: Fleet, group: Group) -> Iterator[LabHost]:
    """An app host that is killed in the test, without the primary of the Redises. It is there again afterwards."""
    primary = group.healthy()
    host = next(host for host in reversed(lab.apps) if host is not primary)
    yield host
    engine("start", host.name)
    await_ssh(host)
    lab.await_states({APP_1: "UP", APP_2: "UP"})
    group.healthy()


def test_app_host_is_lost(
    lab: Fleet, killed: LabHost, clients: Callable[..., Clients], record_property: Record
) -> None:
    """Its sockets end and come back on the other host, whose own stay; once it is left out, nothing fails."""
    other = next(host.name for host in lab.apps if host is not killed)
    running = clients(SHARED, sockets=40)
    held = lab.seen(lab.owner()).popitem()[1][killed.name][1]
    begun = time.time()
    engine("kill", killed.name)
    left_out = lab.await_states({other: "UP", killed.name: "DOWN"})
    lab.await_no_connections(killed.name)
    record_property("seconds", {"left out": left_out - begun, "sockets ended": time.time() - begun})
    noticed = running.stop()
    assert held >= 10 and {each["machine"] for each in noticed["closings"]} <= {killed.name, "?"}, noticed["closings"]
    assert Counter(each["machine"] for each in noticed["open"]) == {other: 40}
    # Its sockets hear nothing more until their ends are noticed.
    failed = [each for each in failures_after(noticed, left_out) if killed.name not in each["why"]]
    assert not failed, failed[:5]
    record_property("failed until it was left out", Counter(each["what"] for each in noticed["failures"]))


@pytest.fixture
def edge(lab: Fleet) -> Iterator[LabHost]:
    """The edge with the shared address. Its HAProxy is there again after the test, and could take the address."""
    edge = lab.owner()
    yield edge
    edge.run("systemctl unmask --runtime haproxy && systemctl start haproxy")


def test_edge_is_lost(lab: Fleet, edge: LabHost, clients: Callable[..., Clients], record_property: Record) -> None:
    """Its sockets are lost, and new ones open at the same address; those through the other edge stay.

    When its HAProxy is back, the address stays where it is: nothing moves a second time.
    """
    other = next(one for one in lab.edges if one is not edge)
    running = clients(SHARED, other.name, sockets=20)
    edge.run("systemctl mask --runtime haproxy")
    begun = time.time()
    edge.run("pkill -KILL -x haproxy")
    await_handshake(SHARED, lab.shake)
    moved = time.time()
    assert lab.owner() is other
    edge.run("systemctl unmask --runtime haproxy && systemctl start haproxy")
    edge.run(AWAIT_CHECK, str(int(moved)))
    time.sleep(3)  # as long as it would take to take the address back
    assert lab.owner() is other, "the address has moved back"
    noticed = running.stop()
    record_property("seconds until a handshake worked", moved - begun)
    closings = Counter(each["host"] for each in noticed["closings"])
    assert closings == {SHARED: 20}, closings
    assert Counter(each["host"] for each in noticed["open"]) == {SHARED: 20, other.name: 20}
    assert {each["host"] for each in noticed["failures"] if each["what"] != "message"} <= {SHARED}
    assert not failures_after(noticed, moved), failures_after(noticed, moved)[:5]
