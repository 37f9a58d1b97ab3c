"""A deploy goes on without a host that does not answer, and edges send that host nothing until it has caught up."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from fleet import APP_1, APP_2, Fleet, playbook
from lab_host import Run, echoes

DEPLOY = ("playbooks/deploy.yml", "-e", "asgi_ping_interval=17")
SKIP = ("-e", "preflight_skip_unreachable=true")


def inside(name: str, command: str) -> None:
    """Run a command in a host that has no SSH."""
    subprocess.run(["docker", "exec", name, "sh", "-c", command], check=True, capture_output=True)


@pytest.fixture
def ssh() -> Iterator[Callable[[bool], None]]:
    """Switch a host's SSH off, so that it serves on and no run reaches it, or on; it is on when the test ends."""

    def switch(on: bool) -> None:
        # Sessions that are open end, too: runs share them.
        off = "systemctl stop ssh.socket ssh.service 2>/dev/null; pkill -x sshd; true"
        inside(APP_2, "systemctl start ssh" if on else off)

    yield switch
    switch(True)


def test_host_that_missed_a_deploy_gets_nothing_until_it_has_caught_up(lab: Fleet, ssh: Callable[[bool], None]) -> None:
    with lab.sockets(6) as websockets:
        assert sum(lab.spread(websockets).values(), Counter())[APP_2] > 0
        lab.await_states({APP_1: "UP", APP_2: "UP"})
        ssh(False)
        missed = Run(*DEPLOY, *SKIP)
        assert missed.code == 4, missed.output
        lab.await_states({APP_1: "UP", APP_2: "MAINT"})
        assert all(echoes(websocket) for _, websocket in websockets), "sockets of the host that is left out have ended"

    # It is back: it serves its old release, and nobody is sent there, whatever becomes of HAProxy.
    ssh(True)
    first, second = lab.edges
    first.run("systemctl restart haproxy")
    second.run("systemctl reload haproxy")
    lab.await_states({APP_1: "UP", APP_2: "MAINT"})
    with lab.sockets(4) as websockets:
        assert sum(lab.spread(websockets).values(), Counter()) == {APP_1: 8}
    # Not even where an edge is built anew.
    first.run("rm /etc/haproxy/haproxy.cfg")
    done = playbook("playbooks/provision.yml", "--limit", "proxy")
    assert [done.changed(edge.name) > 0 for edge in lab.edges] == [True, False], done.output
    lab.await_states({APP_1: "UP", APP_2: "MAINT"})

    # A run without it changes nothing of that, and mends an edge that has lost it.
    first.run("sed -i 's/ disabled$//' /etc/haproxy/haproxy.cfg && systemctl reload haproxy")
    playbook(*DEPLOY, "--limit", APP_1)
    lab.await_states({APP_1: "UP", APP_2: "MAINT"})

    caught_up = playbook(*DEPLOY)
    assert "has caught up" in " ".join(caught_up.output.split()), caught_up.output
    lab.await_states({APP_1: "UP", APP_2: "UP"})
    with lab.sockets(20) as websockets:
        assert sum(lab.spread(websockets).values(), Counter())[APP_2] >= 5
    again = playbook(*DEPLOY)
    assert [again.changed(host.name) for host in (*lab.apps, *lab.edges)] == [0, 0, 0, 0], again.output
