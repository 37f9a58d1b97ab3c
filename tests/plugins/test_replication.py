"""A standby is copied once, never over data; a primary keeps slots of nobody; nothing is promoted too early."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.host import replication
from ansible_collections.channels.stack.plugins.module_utils.host.replication import Cluster, ReplicationError
from ansible_collections.channels.stack.plugins.module_utils.host.scram import verifier

EMPTY = ["postgres", "template1", "template0"]
PASSWORD = "correct horse battery"
SLOT = "channels_10_0_0_2"
FINE = {"active": True, "lost": False, "kept": 0, "behind": 0}


class Host:
    """Stands in the place of the host's commands: what PostgreSQL answers, and what was run."""

    def __init__(self, folder: Path) -> None:
        self.state: dict[str, Any] = {
            "standby": False, "read": 0, "verifier": None, "user": False, "databases": EMPTY, "source": "streaming",
            "waits": 3, "unplayed": 0, "slots": {},
        }  # fmt: skip
        self.answers: dict[str, str] = {}
        self.ran: list[str] = []
        self.refuses = ""
        self.cluster = Cluster("15", 5432, self.run)
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

    def has_run(self, *parts: str) -> bool:
        """Tell whether a command was run that has one of some texts in it."""
        return any(part in line for line in self.ran for part in parts)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with a cluster as Debian's package makes it, where nothing is waited for."""
    monkeypatch.setattr(replication, "PATIENCE", 0)
    (tmp_path / "main").mkdir()
    (tmp_path / "main/PG_VERSION").touch()
    return Host(tmp_path)


def standby(host: Host, rebuild: bool = False, check: bool = False) -> list[str]:
    """Make it a standby."""
    return replication.become_standby(host.cluster, "host=10.0.0.1", SLOT, rebuild, check)


def test_an_empty_cluster_is_replaced_once(host: Host) -> None:
    assert standby(host, check=True) and not host.has_run("pg_basebackup", "stop")
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
    assert not host.has_run("pg_basebackup", "systemctl")


@pytest.mark.parametrize("signal", [False, True])
def test_data_are_put_aside_when_told(host: Host, signal: bool) -> None:
    """Also those of a standby that cannot follow any more."""
    host.state["databases"] = [*EMPTY, "shop"]
    if signal:
        (host.cluster.data / "standby.signal").touch()
    (done,) = standby(host, rebuild=True)
    (aside,) = host.cluster.home.glob("main.before-*")
    assert str(aside) in done and (aside / "PG_VERSION").exists()


def test_a_copy_that_fails_leaves_everything(host: Host) -> None:
    host.refuses = "touch"
    with pytest.raises(ReplicationError):
        standby(host)
    assert (host.cluster.data / "PG_VERSION").exists() and not host.has_run("systemctl stop")
    host.refuses = ""
    assert standby(host)


def test_a_standby_that_receives_nothing_is_reported(host: Host) -> None:
    host.state["source"] = None
    with pytest.raises(ReplicationError, match="receives nothing from the primary"):
        standby(host)


def test_a_primary_keeps_the_slot_of_its_standby_alone(host: Host) -> None:
    host.state["slots"] = {"channels_10_0_0_9": FINE}
    done = replication.serve_standby(host.cluster, PASSWORD, SLOT, False)
    assert done == [
        "user channels_replication was given its password", "slot channels_10_0_0_9 was dropped",
        f"slot {SLOT} was made",
    ]  # fmt: skip
    assert not host.has_run(PASSWORD)
    host.state |= {"slots": {SLOT: FINE}, "verifier": verifier(PASSWORD), "user": True}
    assert replication.serve_standby(host.cluster, PASSWORD, SLOT, False) == []


def test_a_lost_slot_is_made_again(host: Host) -> None:
    host.state |= {"slots": {SLOT: {**FINE, "lost": True}}, "verifier": verifier(PASSWORD), "user": True}
    done = replication.serve_standby(host.cluster, PASSWORD, SLOT, False)
    assert done == [f"slot {SLOT} was dropped", f"slot {SLOT} was made"]


def test_without_a_standby_nothing_is_left(host: Host) -> None:
    host.state |= {"slots": {SLOT: FINE}, "user": True}
    done = replication.serve_standby(host.cluster, "", "", True)
    assert done == [f"slot {SLOT} was dropped", "user channels_replication was dropped"]
    assert not host.has_run("DROP ROLE")


def test_nothing_is_promoted_before_it_has_everything(host: Host) -> None:
    host.answers = {"pg_last_wal_replay_lsn() >": "f"}
    with pytest.raises(ReplicationError, match="was not promoted"):
        replication.promote(host.cluster, "0/5")
    assert not host.has_run("pg_promote")
    host.answers = {}
    assert replication.promote(host.cluster, "0/5") == 3 and host.has_run("pg_promote")
    host.ran.clear()
    host.state["unplayed"] = 7
    with pytest.raises(ReplicationError, match="was not promoted"):
        replication.promote(host.cluster, "")
    assert not host.has_run("pg_promote")


@pytest.mark.parametrize("state", ["shut down", "in production"])
def test_a_primary_is_stopped_cleanly(host: Host, state: str) -> None:
    text = f"Database cluster state:   {state}\nLatest checkpoint location:  0/4000028\n"
    host.answers = {"pg_controldata": text}
    host.state["slots"] = {SLOT: FINE}
    if state == "shut down":
        assert replication.stop_primary(host.cluster, SLOT) == "0/4000028"
    else:
        with pytest.raises(ReplicationError, match="not stopped cleanly"):
            replication.stop_primary(host.cluster, SLOT)


@pytest.mark.parametrize("slots", [{}, {SLOT: {**FINE, "active": False}}])
def test_a_primary_that_nobody_follows_is_not_stopped(host: Host, slots: dict[str, Any]) -> None:
    host.state["slots"] = slots
    with pytest.raises(ReplicationError, match="Nothing was changed"):
        replication.stop_primary(host.cluster, SLOT)
    assert not host.has_run("systemctl stop")


def test_a_former_primary_keeps_nothing_for_its_former_standby(host: Host) -> None:
    host.state["slots"] = {SLOT: FINE}
    replication.follow(host.cluster)
    assert host.cluster.is_standby and host.has_run(f"pg_drop_replication_slot('{SLOT}')")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"slots": {SLOT: {**FINE, "behind": 12}}}, "The standby 10.0.0.2 follows it, 12 bytes behind"),
        ({"slots": {SLOT: {**FINE, "active": False, "kept": 5 << 20}}}, "is away; 5 MB are kept for it"),
        ({"slots": {SLOT: {**FINE, "lost": True}}}, "-e postgresql_rebuild="),
        ({}, "without a standby"),
        ({"standby": True}, "receives from the primary"),
        ({"standby": True, "source": None}, "receives nothing from the primary. Its latest change is 3 s old"),
    ],
)
def test_status(host: Host, state: dict[str, Any], said: str) -> None:
    host.state |= state
    assert said in replication.described(host.cluster)


def test_status_of_what_does_not_run(host: Host) -> None:
    host.refuses = "is-active"
    assert "stopped" in replication.described(host.cluster)
    (host.cluster.data / replication.SUPERSEDED).touch()
    assert "former primary" in replication.described(host.cluster)
