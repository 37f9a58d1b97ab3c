"""An app host leaves the fleet for good, and a bare one takes its place. No client notices more than a move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import yaml
from clients import INVENTORY, Clients
from fleet import APP_1, APP_2, Fleet, playbook

# Runs on a host: the daemons of the group of Redises, and the users that they know.
REDIS = "systemctl show --property=MainPID redis-server redis-sentinel; cat /etc/redis/users.acl"


@pytest.fixture
def without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """Have runs use the scenario's inventory with one app host less, for a while. It still runs a Redis."""
    folder = tmp_path / "inventory"
    folder.mkdir()
    for path in INVENTORY.iterdir():
        if path.name != "ansible_inventory.yml":
            (folder / path.name).symlink_to(path.resolve())
    known = yaml.safe_load((INVENTORY / "ansible_inventory.yml").read_text())
    del known["app"]["hosts"][APP_2]
    (folder / "ansible_inventory.yml").write_text(yaml.safe_dump(known))

    @contextmanager
    def used() -> Iterator[None]:
        with monkeypatch.context() as changed:
            changed.setenv("MOLECULE_EPHEMERAL_DIRECTORY", str(tmp_path))
            yield

    return used


def test_app_host_is_removed_and_another_one_added(
    lab: Fleet, without: Callable[[], AbstractContextManager[None]], clients: Callable[..., Clients]
) -> None:
    edges, place = [edge.name for edge in lab.edges], lab.host(APP_2)
    running, redis = clients(*edges), place.run(REDIS)
    playbook("playbooks/drain_host.yml", "--limit", APP_2, "-e", "drain_spread_seconds=3")
    playbook("playbooks/remove.yml", "--limit", APP_2, "-e", "remove_data=true")
    assert not place.host.file("/srv/dashboard").exists
    assert place.run(REDIS) == redis, "the Redis that others use was stopped"
    assert "dport 6379" in place.run("nft list table inet channels"), "the firewall of that Redis is gone"
    with without():
        playbook("playbooks/provision.yml")
    noticed = running.stop()
    assert not noticed["failures"], noticed["failures"][:5]
    assert {each["machine"] for each in noticed["closings"]} == {APP_2}
    lab.await_states({APP_1: "UP"})

    running = clients(*edges)
    playbook("site.yml")
    lab.await_states({APP_1: "UP", APP_2: "UP"})
    with lab.sockets(10) as websockets:
        found = lab.spread(websockets)
    noticed = running.unharmed()
    assert Counter(each["machine"] for each in noticed["open"]) == {APP_1: 40}, "old sockets stay where they are"
    assert all(found[edge][APP_2] >= 5 for edge in edges), f"the new host gets no share: {found}"
