"""What an operator does to a fleet all the time costs no client anything: a deploy, a way back, a host taken out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from clients import Clients
from fleet import APP_1, APP_2, Fleet, playbook
from lab_host import Run

KEEP = ("-e", "release_drain_seconds=900")


def test_deploy_and_rollback(
    lab: Fleet, clients: Callable[..., Clients], record_property: Callable[[str, object], None]
) -> None:
    before = {host.name: lab.processes(host) for host in lab.apps}
    running, begun = clients(*(edge.name for edge in lab.edges)), time.monotonic()
    playbook("playbooks/deploy.yml", "-e", "asgi_ping_interval=19", *KEEP)
    deployed = {host.name: lab.processes(host) for host in lab.apps}
    record_property("seconds of the deploy", round(time.monotonic() - begun))
    begun = time.monotonic()
    playbook("playbooks/rollback.yml", *KEEP)
    record_property("seconds of the rollback", round(time.monotonic() - begun))
    running.unharmed()
    assert {host.name: lab.processes(host) for host in lab.apps} == before
    assert all(deployed[name] != before[name] for name in before)


def test_host_is_taken_out_and_comes_back(lab: Fleet, clients: Callable[..., Clients]) -> None:
    """All its sockets move, and nobody is refused meanwhile. It gets what is deployed, stays out, and comes back."""
    running = clients(*(edge.name for edge in lab.edges))
    done = playbook("playbooks/drain_host.yml", "--limit", APP_2, "-e", "drain_spread_seconds=3")
    assert all(f"through {edge.name}" in done.output for edge in lab.edges)
    assert "through keepalived_address" in done.output
    lab.await_states({APP_1: "UP", APP_2: "NOLB"})
    noticed = running.stop()
    assert not noticed["failures"], noticed["failures"][:5]
    assert {each["machine"] for each in noticed["closings"]} == {APP_2}
    assert len(noticed["closings"]) >= 10, "no socket was on the host that was drained"
    assert Counter(each["machine"] for each in noticed["open"]) == {APP_1: 40}

    refused = Run("playbooks/drain_host.yml", "--limit", APP_1)
    assert refused.code and "an edge would have no host that serves" in " ".join(refused.output.split())

    playbook("playbooks/deploy.yml", "-e", "asgi_ping_interval=18", "-e", "release_drain_seconds=5")
    lab.await_states({APP_1: "UP", APP_2: "NOLB"})
    with lab.sockets(5) as websockets:
        assert sum(lab.spread(websockets).values(), Counter()) == {APP_1: 10}

    playbook("playbooks/drain_host.yml", "--limit", APP_2, "-e", "drain=off")
    lab.await_states({APP_1: "UP", APP_2: "UP"})
    with lab.sockets(20) as websockets:
        assert sum(lab.spread(websockets).values(), Counter())[APP_2] >= 5
