"""A standby is copied once, never over data; a primary keeps no slot of nobody; nothing is promoted too early."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.host import replication
from ansible_collections.channels.stack.plugins.module_utils.host.replication import Cluster, ReplicationError
from ansible_collections.channels.stack.plugins.module_utils.host.scram import verifier

EMPTY = ["postgres", "template1", "template0"]


class Host:
    """Stands in the place of the host's commands: what PostgreSQL answers, and what was run."""

    def __init__(self, folder: Path) -> None:
        self.state: dict[str, Any] = {
            "standby": False, "verifier": None, "there": False, "super": False, "slots": [], "databases": EMPTY,
        }  # fmt: skip
        self.answers: dict[str, str] = {}
        self.ran: list[str] = []
        self.refuses = ""
        self.cluster = Cluster("15", 5432, "replicator", self.run)
        self.cluster.home, self.cluster.data = folder, folder / "main"
        self.cluster.copy = folder / "main.copy"

    def run(self, words: list[str], data: str = "", **_: Any) -> tuple[int, str, str]:
        """Run a command, as `AnsibleModule.run_command` does."""
        line = " ".join(map(str, words))
        self.ran.append(f"{line} {data}")
        if self.refuses and self.refuses in line + data:
            return 1, "", "no"
        if "pg_basebackup" in line:
            self.cluster.copy.mkdir()
        if "touch" in line:
            Path(words[-1]).touch()
        if data == replication.STATE:
            return 0, json.dumps(self.state), ""
        return next(((0, text, "") for key, text in self.answers.items() if key in line + data), (0, "t", ""))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with a cluster as Debian's package makes it."""
    (tmp_path / "main").mkdir()
    (tmp_path / "main/PG_VERSION").touch()
    return Host(tmp_path)


def standby(host: Host, rebuild: bool = False) -> list[str]:
    """Make it a standby."""
    return replication.become_standby(host.cluster, "host=10.0.0.1", "channels_x__db", rebuild, check=False)


def test_an_empty_cluster_is_replaced_once(host: Host) -> None:
    assert standby(host) and host.cluster.is_standby
    assert not list(host.cluster.home.glob("*.before-*"))
    ran = len(host.ran)
    assert standby(host) == [] and len(host.ran) == ran


@pytest.mark.parametrize("databases", [[*EMPTY, "shop"], None])
def test_data_are_never_replaced(host: Host, databases: list[str] | None) -> None:
    """Nor is a cluster that does not say what it holds."""
    if databases:
        host.state["databases"] = databases
    else:
        host.refuses = "psql"
    with pytest.raises(ReplicationError, match=r"not replaced|nothing was replaced"):
        standby(host)
    assert not any("pg_basebackup" in line or "systemctl" in line for line in host.ran)


def test_data_are_put_aside_when_told(host: Host) -> None:
    host.state["databases"] = [*EMPTY, "shop"]
    (done,) = standby(host, rebuild=True)
    (aside,) = host.cluster.home.glob("main.before-*")
    assert str(aside) in done and (aside / "PG_VERSION").exists()


def test_a_killed_copy_is_made_again_and_a_finished_one_is_used(host: Host) -> None:
    host.refuses = "touch"
    with pytest.raises(ReplicationError):
        standby(host)
    host.refuses = ""
    assert standby(host)
    for path in host.cluster.data.iterdir():
        path.unlink()
    host.cluster.data.rmdir()
    host.cluster.copy.mkdir()
    (host.cluster.copy / "standby.signal").touch()
    host.ran.clear()
    assert standby(host) and not any("pg_basebackup" in line for line in host.ran)


def test_a_primary_keeps_slots_of_its_standbys_alone(host: Host) -> None:
    host.state["slots"] = ["channels_x__gone", "channels_y__other", "mine"]
    done = replication.serve_standbys(host.cluster, "correct horse battery", ["channels_x__db"], "channels_x__", False)
    assert done == [
        "user replicator may copy the data", "slot channels_x__db was made", "slot channels_x__gone was dropped",
    ]  # fmt: skip
    assert not any("correct horse" in line for line in host.ran)
    host.state |= {"slots": ["channels_x__db"], "verifier": verifier("correct horse battery"), "there": True}
    assert (
        replication.serve_standbys(host.cluster, "correct horse battery", ["channels_x__db"], "channels_x__", False)
        == []
    )


def test_an_administrator_is_left_alone(host: Host) -> None:
    host.state["super"] = True
    with pytest.raises(ReplicationError, match="postgresql_replication_user"):
        replication.serve_standbys(host.cluster, "correct horse battery", ["channels_x__db"], "channels_x__", False)


def test_nothing_is_promoted_before_it_has_everything(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "PATIENCE", 0)
    had = {"received": "0/2", "replayed": "0/2", "waiting": 0, "age": 3}
    host.answers = {"pg_last_wal_receive_lsn": json.dumps(had), "until": "f"}
    with pytest.raises(ReplicationError, match="was not promoted"):
        replication.promote(host.cluster, "0/5")
    assert not any("pg_promote" in line for line in host.ran)
    host.answers["until"] = "t"
    assert replication.promote(host.cluster, "0/5") == had and "pg_promote" in host.ran[-1]


@pytest.mark.parametrize("state", ["shut down", "in production"])
def test_a_primary_is_stopped_cleanly(host: Host, state: str) -> None:
    text = f"Database cluster state:   {state}\nLatest checkpoint location:  0/4000028\n"
    host.answers = {"pg_controldata": text}
    if state == "shut down":
        assert replication.stop_primary(host.cluster) == "0/4000028"
    else:
        with pytest.raises(ReplicationError, match="not stopped cleanly"):
            replication.stop_primary(host.cluster)
