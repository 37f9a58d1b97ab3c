"""TLS between edges and app hosts: sockets go through it, and an edge refuses hosts that it cannot verify."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fleet import APP_1, APP_2, PATIENCE, Fleet, playbook
from lab_host import LabHost, echoes

PROVISION = ("playbooks/provision.yml",)
HANDSHAKE = ("playbooks/handshake.yml",)
AUTHORITY = "/etc/haproxy/app-authority.pem"
# Runs on an app host: how many connections its nginx has at a port.
OPEN = "ss --no-header --tcp --numeric state established 'sport = :{port}' | wc -l"


@pytest.fixture(scope="module")
def inventory(lab: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The fleet with TLS everywhere, without the loss of a socket; at the end, it is plain again behind the edges."""
    more = tmp_path_factory.mktemp("tls") / "tls.yml"
    values = {host.name: {"certificate_source": "self_signed"} for host in lab.apps}
    more.write_text(yaml.safe_dump({"all": {"hosts": values}}))
    with lab.sockets(3) as websockets:
        playbook(*PROVISION, "-i", str(more))
        values |= {edge.name: {"haproxy_app_tls": True} for edge in lab.edges}
        more.write_text(yaml.safe_dump({"all": {"hosts": values}}))
        playbook(*PROVISION, "-i", str(more))
        assert all(echoes(websocket) for _, websocket in websockets), "to begin with TLS has cost a socket"
    lab.await_states({APP_1: "UP", APP_2: "UP"})
    yield more
    playbook(*PROVISION, "--limit", "proxy")
    playbook(*PROVISION)
    lab.await_states({APP_1: "UP", APP_2: "UP"})


def await_down(lab: Fleet, edge: LabHost) -> None:
    """Wait until an edge has given up all app hosts."""
    deadline = time.monotonic() + PATIENCE
    while any(word != "DOWN" for word, _ in lab.seen(edge)[edge.name].values()):
        assert time.monotonic() < deadline, f"{edge.name} takes hosts that it cannot verify: {lab.seen(edge)}"
        time.sleep(0.3)


def test_sockets_go_through_tls(lab: Fleet, inventory: Path) -> None:
    before = {port: sum(int(host.run(OPEN.format(port=port))) for host in lab.apps) for port in (80, 443)}
    with lab.sockets(10) as websockets:
        for edge, counted in lab.spread(websockets).items():
            assert len(counted) == 2, f"{edge} uses one host: {counted}"
        now = {port: sum(int(host.run(OPEN.format(port=port))) for host in lab.apps) for port in (80, 443)}
    assert now[443] >= before[443] + 15 and now[80] <= before[80], (before, now)


def test_second_run_changes_nothing(lab: Fleet, inventory: Path) -> None:
    done = playbook(*PROVISION, "-i", str(inventory))
    assert [done.changed(host.name) for host in (*lab.apps, *lab.edges)] == [0, 0, 0, 0], done.output


def test_proof_goes_through_it(lab: Fleet, inventory: Path) -> None:
    done = playbook(*HANDSHAKE, "-i", str(inventory))
    assert all(f"through {edge.name}" in done.output for edge in lab.edges)


def test_host_of_another_authority_gets_nothing(lab: Fleet, inventory: Path) -> None:
    """Neither checks nor handshakes; the next run puts the edge right."""
    first, second = lab.edges
    other = "openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=other -keyout /dev/null"
    second.run(f"{other} -out {AUTHORITY} && systemctl reload haproxy")
    await_down(lab, second)
    assert lab.page(second).status == 503
    with lab.connect(first.name) as websocket:
        assert echoes(websocket)
    assert playbook(*PROVISION, "--limit", "proxy", "-i", str(inventory)).changed(second.name) > 0
    lab.await_states({APP_1: "UP", APP_2: "UP"})
    with lab.sockets(4) as websockets:
        assert sum(lab.spread(websockets).values(), Counter()).total() == 8
