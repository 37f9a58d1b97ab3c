"""An app host leaves the fleet for good, the rest becomes one machine and a fleet again, and a bare host is added."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from clients import INVENTORY, Clients
from fleet import APP_1, APP_2, Fleet, playbook
from lab_host import ask

# Runs on a host: the daemons of the group of Redises, and the users that they know.
REDIS = "systemctl show --property=MainPID redis-server redis-sentinel; cat /etc/redis/users.acl"


# What an inventory of one machine has in place of a fleet's.
ALONE = {
    "certificate_source": "self_signed",
    "keepalived_address": "",
    "handshake_edges": {},
    "handshake_connect_to": "{{ private_address }}",
}


@pytest.fixture
def without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AbstractContextManager[None]]:
    """Have runs use the scenario's inventory without some app hosts and edges, for a while. They still run a Redis."""

    def written(names: tuple[str, ...]) -> Path:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        (folder / "inventory").mkdir()
        for path in INVENTORY.iterdir():
            if path.name != "ansible_inventory.yml":
                (folder / "inventory" / path.name).symlink_to(path.resolve())
        known = yaml.safe_load((INVENTORY / "ansible_inventory.yml").read_text())
        for group in ("app", "proxy"):
            known[group]["hosts"] = {name: each for name, each in known[group]["hosts"].items() if name not in names}
        (folder / "inventory" / "ansible_inventory.yml").write_text(yaml.safe_dump(known))
        return folder

    @contextmanager
    def used(*names: str) -> Iterator[None]:
        with monkeypatch.context() as changed:
            changed.setenv("MOLECULE_EPHEMERAL_DIRECTORY", str(written(names)))
            yield

    return used


def test_app_host_is_removed_and_another_one_added(
    lab: Fleet, without: Callable[..., AbstractContextManager[None]], clients: Callable[..., Clients]
) -> None:
    edges, place = [edge.name for edge in lab.edges], lab.host(APP_2)
    running, redis = clients(*edges), place.run(REDIS)
    playbook("playbooks/drain_host.yml", "--limit", APP_2, "-e", "drain_spread_seconds=3")
    playbook("playbooks/remove.yml", "--limit", APP_2, "-e", "remove_data=true")
    assert not place.host.file("/srv/dashboard").exists
    assert place.run(REDIS) == redis, "the Redis that others use was stopped"
    assert "dport 6379" in place.run("nft list table inet channels"), "the firewall of that Redis is gone"
    with without(APP_2):
        playbook("playbooks/provision.yml")
    noticed = running.stop()
    assert not noticed["failures"], noticed["failures"][:5]
    assert {each["machine"] for each in noticed["closings"]} == {APP_2}
    lab.await_states({APP_1: "UP"})

    with ExitStack() as kept:
        opened = [websocket for _, websocket in kept.enter_context(lab.sockets(5))]
        with without(APP_2, *edges):
            playbook("site.yml", "--extra-vars", json.dumps(ALONE))
        # The other one is still in this inventory, for its Redis, and its firewall has closed the ports of an edge.
        assert lab.shake(edges[-1]) == 503, "what is no edge any more gets served"
        opened += [websocket for _, websocket in kept.enter_context(lab.sockets(5, APP_1))]
        with without(APP_2):
            playbook("site.yml")
        lab.await_states({APP_1: "UP"})
        assert [ask(websocket, {"type": "status"})["host"] for websocket in opened] == [APP_1] * 15

    running = clients(*edges)
    playbook("site.yml")
    lab.await_states({APP_1: "UP", APP_2: "UP"})
    with lab.sockets(10) as websockets:
        found = lab.spread(websockets)
    noticed = running.unharmed()
    assert Counter(each["machine"] for each in noticed["open"]) == {APP_1: 40}, "old sockets stay where they are"
    assert all(found[edge][APP_2] >= 5 for edge in edges), f"the new host gets no share: {found}"
