"""Which Redis a host takes for the primary, and what it writes for Redis and Sentinel before they start."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("redis_primary", ROOT / "roles/redis/files/redis_primary.py")
assert SPEC and SPEC.loader
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)

SETTINGS = {
    "name": "channels", "address": "10.0.0.1", "port": 6379, "sentinel_port": 26379, "quorum": 2,
    "members": ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
}  # fmt: skip
OLD = """sentinel monitor channels 10.0.0.3 6379 2
sentinel myid 0123
sentinel down-after-milliseconds channels 30000
sentinel config-epoch channels 7
sentinel known-replica channels 10.0.0.1 6379
sentinel known-replica channels 10.0.0.9 6379
sentinel known-sentinel channels 10.0.0.2 26379 4567
sentinel known-replica other 10.0.0.2 6379
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its files, and a group in which nobody answers."""
    for name in ("FIRST", "ROLE", "SENTINEL_BASE", "SENTINEL"):
        monkeypatch.setattr(tool, name, tmp_path / name.lower())
    monkeypatch.setattr(tool, "said_by_sentinels", lambda settings: {})
    monkeypatch.setattr(tool, "said_by_redises", lambda settings: {})
    return tmp_path


def test_sentinels_know_best(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that has seen the latest switch, whatever files say."""
    (place / "first").write_text("10.0.0.1")
    assert tool.primary(SETTINGS) == ("10.0.0.1", 6379)
    monkeypatch.setattr(tool, "said_by_redises", lambda settings: {"10.0.0.2": ["slave", "10.0.0.3", 6379]})
    assert tool.primary(SETTINGS) == ("10.0.0.3", 6379)
    (place / "sentinel").write_text(OLD.replace("10.0.0.3", "10.0.0.2", 1))
    assert tool.primary(SETTINGS) == ("10.0.0.2", 6379)
    said = {"10.0.0.1": (4, ("10.0.0.1", 6379)), "10.0.0.2": (5, ("10.0.0.3", 6379))}
    monkeypatch.setattr(tool, "said_by_sentinels", lambda settings: said)
    assert tool.primary(SETTINGS) == ("10.0.0.3", 6379)


def test_empty_primary_hands_over(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a primary starts again, its replicas would throw their data away; where there are none, it goes on."""
    monkeypatch.setattr(tool, "said_by_sentinels", lambda settings: {"10.0.0.2": (5, ("10.0.0.1", 6379))})
    monkeypatch.setattr(tool, "agreed", lambda *arguments: ("10.0.0.2", 6379))
    asked: list[Any] = []
    monkeypatch.setattr(tool, "hand_over", lambda settings: bool(asked.append(settings)) or len(asked) == 1)
    tool.start_redis(SETTINGS)
    assert (place / "role").read_text().splitlines()[1:] == ["replicaof 10.0.0.2 6379"]
    tool.start_redis(SETTINGS)
    assert (place / "role").read_text().splitlines()[1:] == [] and len(asked) == 2


def test_sentinel_keeps_what_it_has_found_out(place: Path) -> None:
    """Of hosts that still belong to the group; what it is to do comes from the managed file alone."""
    (place / "sentinel_base").write_text("sentinel down-after-milliseconds channels 5000\n")
    (place / "sentinel").write_text(OLD)
    tool.start_sentinel(SETTINGS)
    assert (place / "sentinel").read_text().split("\n") == [
        "sentinel monitor channels 10.0.0.3 6379 2",
        "sentinel down-after-milliseconds channels 5000",
        "",
        "sentinel myid 0123",
        "sentinel config-epoch channels 7",
        "sentinel known-replica channels 10.0.0.1 6379",
        "sentinel known-sentinel channels 10.0.0.2 26379 4567",
        "",
    ]
    assert (place / "sentinel").stat().st_mode & 0o777 == 0o640


def test_replica_does_not_follow_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The new primary is called by its Sentinel, too."""
    monkeypatch.setattr(tool, "connected", lambda *arguments: pytest.fail("it was touched"))
    tool.follow(SETTINGS, "10.0.0.2", "10.0.0.1")


def test_clients_are_sent_away_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although one of its connections is closed, as the end of another switch closes it."""
    monkeypatch.setattr(tool, "agreed", lambda *arguments: ("10.0.0.2", 6379))
    monkeypatch.setattr(tool.time, "sleep", lambda seconds: None)
    tried: list[Any] = []

    def send_away(settings: dict[str, Any], chosen: Any, former: bool) -> None:
        assert former
        tried.append(chosen)
        if len(tried) == 1:
            raise ConnectionResetError

    monkeypatch.setattr(tool, "send_away", send_away)
    monkeypatch.setattr(tool, "primary", lambda settings: ("10.0.0.2", 6379))
    tool.follow(SETTINGS, "10.0.0.1", "10.0.0.2")
    assert tried == [("10.0.0.2", 6379)] * len(tool.SWEEPS)
    # Once this Redis is to be the primary, the run of the switch before leaves it alone.
    monkeypatch.setattr(tool, "primary", lambda settings: ("10.0.0.1", 6379))
    tool.follow(SETTINGS, "10.0.0.1", "10.0.0.2")
    assert len(tried) == len(tool.SWEEPS)


@pytest.mark.parametrize(("role", "former", "asked"), [
    ("master", True, ["ROLE", "MULTI", "REPLICAOF", "CLIENT", "CLIENT", "EXEC"]),
    ("slave", False, ["ROLE", "MULTI", "CLIENT", "CLIENT", "EXEC"]),
    ("master", False, ["ROLE"]),  # the next switch has begun, and this one is to be the primary
])  # fmt: skip
def test_only_the_former_primary_is_made_a_replica(
    monkeypatch: pytest.MonkeyPatch, role: str, former: bool, asked: list[str]
) -> None:
    said: list[str] = []

    class Redis:
        def ask(self, *words: Any) -> Any:
            said.append(words[0])
            return [role]

    monkeypatch.setattr(tool, "connected", lambda *arguments: contextlib.nullcontext(Redis()))
    tool.send_away(SETTINGS, ("10.0.0.2", 6379), former)
    assert said == asked


def test_switch_waits_for_a_busy_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not answer at once, or a Sentinel that has just missed a replica, stops no switch."""
    well = {"healthy": True, "primary": "10.0.0.1"}
    said = iter([{**well, "healthy": False}, well, {**well, "healthy": False}, {**well, "primary": "10.0.0.2"}])
    begun = iter([False, True])
    monkeypatch.setattr(tool, "status", lambda settings: next(said))
    monkeypatch.setattr(tool, "hand_over", lambda settings: next(begun))
    monkeypatch.setattr(tool, "agreed", lambda *arguments: ("10.0.0.2", 6379))
    monkeypatch.setattr(tool.time, "sleep", lambda seconds: None)
    done = tool.switch(SETTINGS)
    assert (done["former"], done["primary"], done["healthy"]) == ("10.0.0.1", "10.0.0.2", True) and "error" not in done


def test_switch_leaves_a_broken_group_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so once the time is over, and asks no Sentinel."""
    clock = iter(range(0, 1000, 5))
    monkeypatch.setattr(tool.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(tool.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(tool, "status", lambda settings: {"healthy": False, "primary": None})
    monkeypatch.setattr(tool, "hand_over", lambda settings: pytest.fail("it was asked"))
    assert tool.switch(SETTINGS)["error"].startswith("Nothing was changed")
