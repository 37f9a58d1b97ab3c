"""Which Redis a host takes for the primary, and what it writes for Redis and Sentinel before they start."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterable
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


def say(primary: int, epoch: int = 5, switching: bool = False, sentinels: Iterable[int] = (1, 2, 3)) -> dict[str, Any]:
    """What these Sentinels of the group say."""
    return {f"10.0.0.{each}": tool.Said(epoch, (f"10.0.0.{primary}", 6379), switching) for each in sentinels}


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
    (place / "sentinel").write_text(OLD.replace("10.0.0.3", "10.0.0.9", 1))  # a host that has left the group
    assert tool.primary(SETTINGS) == ("10.0.0.3", 6379)
    monkeypatch.setattr(tool, "said_by_sentinels", lambda settings: {**say(1, 4), **say(3, 5, sentinels=[2])})
    assert tool.primary(SETTINGS) == ("10.0.0.3", 6379)


def test_empty_primary_hands_over(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a primary starts again, its replicas would throw their data away; where there are none, it goes on."""
    monkeypatch.setattr(tool, "said_by_sentinels", lambda settings: say(1, 5))
    monkeypatch.setattr(tool, "agreed", lambda *arguments, asking: ("10.0.0.2", 6379) if asking else None)
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
    """Although one of its connections is closed, as the end of another switch closes it.

    The Redis that led before is made a replica once: where it leads again, it has been chosen by another switch.
    """
    monkeypatch.setattr(tool.time, "sleep", lambda seconds: None)
    tried: list[Any] = []

    def send_away(settings: dict[str, Any], chosen: Any, still_leads: bool) -> None:
        assert chosen == ("10.0.0.2", 6379)
        tried.append(still_leads)
        if len(tried) == 1:
            raise ConnectionResetError

    monkeypatch.setattr(tool, "send_away", send_away)
    monkeypatch.setattr(tool, "said_by_sentinels", lambda settings: say(2))
    tool.follow(SETTINGS, "10.0.0.1", "10.0.0.2")
    assert tried == [True, True, False, False]
    tool.follow(SETTINGS, "10.0.0.3", "10.0.0.2")
    assert tried[4:] == [False] * len(tool.SWEEPS)


@pytest.mark.parametrize("next_one", [
    pytest.param([*[say(2)] * 2, say(1), say(2)], id="this Redis is to be the primary"),
    pytest.param([*[say(2)] * 2, {**say(2), **say(2, switching=True, sentinels=[3])}, say(1)], id="it may become it"),
    pytest.param([*[say(2)] * 2, {}, say(1)], id="nobody says who is to be it"),
])  # fmt: skip
def test_next_switch_is_left_alone(monkeypatch: pytest.MonkeyPatch, next_one: list[dict[str, Any]]) -> None:
    """By the run of the one before, which has made this Redis a replica and could do it again."""
    said, tried = iter(next_one), []
    monkeypatch.setattr(tool.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(tool, "said_by_sentinels", lambda settings: next(said))
    monkeypatch.setattr(tool, "send_away", lambda *arguments: tried.append(arguments))
    tool.follow(SETTINGS, "10.0.0.1", "10.0.0.2")
    assert len(tried) == 1


@pytest.mark.parametrize(("role", "still_leads", "asked"), [
    ("master", True, ["ROLE", "MULTI", "REPLICAOF", "CLIENT", "CLIENT", "EXEC"]),
    ("slave", False, ["ROLE", "MULTI", "CLIENT", "CLIENT", "EXEC"]),
    ("master", False, ["ROLE"]),  # the next switch has begun, and this one is to be the primary
])  # fmt: skip
def test_only_the_former_primary_is_made_a_replica(
    monkeypatch: pytest.MonkeyPatch, role: str, still_leads: bool, asked: list[str]
) -> None:
    said: list[str] = []

    class Redis:
        def ask(self, *words: Any) -> Any:
            said.append(words[0])
            return [role]

    monkeypatch.setattr(tool, "connected", lambda *arguments: contextlib.nullcontext(Redis()))
    tool.send_away(SETTINGS, ("10.0.0.2", 6379), still_leads)
    assert said == asked


def test_switch_waits_for_a_busy_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not answer at once stops no switch."""
    well = {"healthy": True, "primary": "10.0.0.1"}
    said = iter([{**well, "healthy": False}, well, {**well, "healthy": False}, {**well, "primary": "10.0.0.2"}])
    monkeypatch.setattr(tool, "status", lambda settings: next(said))
    monkeypatch.setattr(tool, "agreed", lambda *arguments, asking: ("10.0.0.2", 6379) if asking else None)
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


def test_switch_is_begun_again_if_a_sentinel_gave_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """But not while one is at it, is silent, so that it may be at it, or knows of the new primary already."""
    at_it = {**say(1), **say(1, switching=True, sentinels=[2])}
    one_silent, some_know = say(1, sentinels=[1, 2]), {**say(1), **say(2, sentinels=[3])}
    rounds = [say(1), at_it, at_it, one_silent, say(1), at_it, some_know, say(2)]
    said, asked = iter(rounds), []
    monkeypatch.setattr(tool.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(tool, "said_by_sentinels", lambda settings: next(said))
    monkeypatch.setattr(tool, "hand_over", lambda settings: asked.append(settings))
    assert tool.agreed(SETTINGS, ("10.0.0.1", 6379), 1000, asking=True) == ("10.0.0.2", 6379)
    assert len(asked) == 2 and next(said, None) is None
    said = iter(rounds)
    assert tool.agreed(SETTINGS, ("10.0.0.1", 6379), 1000) == ("10.0.0.2", 6379) and len(asked) == 2
