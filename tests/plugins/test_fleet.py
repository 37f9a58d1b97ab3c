"""Many app hosts as one: batches, the record of what each has, what a run leaves different, and the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.fleet import record
from ansible_collections.channels.stack.plugins.module_utils.fleet.batches import batches
from ansible_collections.channels.stack.plugins.module_utils.fleet.table import table_of
from ansible_collections.channels.stack.plugins.module_utils.fleet.views import Views
from ansible_collections.channels.stack.plugins.module_utils.host import fleet_record

HOSTS = ["a", "b", "c", "d", "e"]
V1 = {"name": "r1", "version": "v1"}
V2 = {"name": "r2", "version": "v2"}
V3 = {"name": "r3", "version": "v3"}


@pytest.mark.parametrize(
    ("serial", "sizes"),
    [
        (0, [5]),
        ("0", [5]),
        (1, [1, 1, 1, 1, 1]),
        ("2", [2, 2, 1]),
        ("40%", [2, 2, 1]),
        ("1%", [1, 1, 1, 1, 1]),
        ("100%", [5]),
        ([1, "50%"], [1, 2, 2]),
        ([1, 0], [1, 4]),
        (["20%", 3], [1, 3, 1]),
        (99, [5]),
    ],
)
def test_batches_are_as_in_serial(serial: Any, sizes: list[int]) -> None:
    found = batches(HOSTS, serial)
    assert [len(batch) for batch in found] == sizes
    assert [host for batch in found for host in batch] == HOSTS


def test_no_hosts_are_no_batches() -> None:
    assert batches([], 1) == []


@pytest.mark.parametrize("serial", ["many", "1.5", [], [1, "x"], None])
def test_other_sizes_are_refused(serial: Any) -> None:
    with pytest.raises(ValueError, match=r"neither a number nor a percentage|empty"):
        batches(HOSTS, serial)


def deployed(
    before: dict[str, Any], served: str, release: dict[str, str], skipped: str = "", now: float = 0.0
) -> dict[str, Any]:
    """The record after a deploy to some of five hosts, whose names are letters."""
    generation = release["name"] + "-1"
    return record.renewed(before, HOSTS, dict.fromkeys(served, generation), release, list(skipped), now)


def test_record_says_what_each_host_has_and_since_when() -> None:
    first = deployed({}, "abcde", V1, now=0)
    again = deployed(first, "ab", V1, now=60)
    assert again["hosts"] == first["hosts"], "what serves already serves since then"
    second = deployed(first, "ab", V2, now=3600)
    assert second["hosts"]["a"] == {
        "version": "v2", "release": "r2", "generation": "r2-1", "since": "1970-01-01 01:00 UTC",
    }  # fmt: skip
    assert second["hosts"]["c"] == first["hosts"]["c"]


def test_host_that_was_missed_stays_so_until_a_run_reaches_it() -> None:
    missed = deployed(deployed({}, "abcde", V1), "abcd", V2, skipped="e", now=60)
    later = deployed(missed, "ab", V3, now=120)
    assert later["missed"] == missed["missed"] == {"e": {"version": "v2", "since": "1970-01-01 00:01 UTC"}}
    assert deployed(later, "abcd", V3, skipped="e", now=180)["missed"] == missed["missed"], "since the first time"
    assert deployed(later, "e", V3, now=240)["missed"] == {}


def test_hosts_that_left_the_inventory_are_forgotten() -> None:
    before = deployed(deployed({}, "abcde", V1), "abcd", V2, skipped="e")
    after = record.renewed(before, ["a", "b"], {"a": "r3-1", "b": "r3-1"}, V3)
    assert set(after["hosts"]) == {"a", "b"}
    assert after["missed"] == {}


def test_newer_record_wins_whatever_the_clocks_say() -> None:
    late = deployed({}, "abcde", V1, now=1000)
    after = deployed(late, "abcde", V2, now=10)
    assert record.newest([{}, late, None, after]) is after
    assert record.newest([{}, None]) == {}


def test_run_says_what_it_leaves_different() -> None:
    before = deployed(deployed({}, "abcd", V1, now=0), "b", V2, now=60)
    lines = record.left_behind(before, HOSTS, {"a": "r2-1"}, ["d"])
    assert lines == [
        "c serves v1 (r1-1) since 1970-01-01 00:00 UTC; it was not in this run",
        "d did not answer; served v1 (r1-1) since 1970-01-01 00:00 UTC. It must get no traffic until a run has reached "
        "it",
        "e is not recorded; it was not in this run",
    ]  # b has the same already


def test_run_says_which_hosts_still_miss_deploys_and_which_have_caught_up() -> None:
    before = deployed(deployed({}, "abcde", V1, now=0), "abc", V2, skipped="de", now=60)
    served = {"a": "r3-1", "d": "r3-1"}
    told = record.left_behind(before, ["a", "d", "e"], served, [])
    assert told == [
        "e serves v1 (r1-1) since 1970-01-01 00:00 UTC. It has not caught up since it did not answer at "
        "1970-01-01 00:01 UTC"
    ]
    assert record.caught_up(before, served) == [
        "d has caught up: it had not answered since 1970-01-01 00:01 UTC, when v2 was deployed"
    ]


def test_record_on_a_host_is_whole_and_never_older(tmp_path: Path) -> None:
    old, new = deployed({}, "a", V1, now=1), deployed({}, "a", V2, skipped="b", now=2)
    assert fleet_record.read(tmp_path) == {}
    assert fleet_record.write(tmp_path, new)
    assert not fleet_record.write(tmp_path, old)
    assert not fleet_record.write(tmp_path, {})
    assert fleet_record.read(tmp_path) == new
    assert [path.name for path in tmp_path.iterdir()] == ["fleet.json"]
    assert fleet_record.told(new) == [
        "b did not answer when v2 was deployed (1970-01-01 00:00 UTC), and has not caught up"
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": 1}', "\x00"])
def test_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "fleet.json").write_text(text)
    assert fleet_record.read(tmp_path) == {}
    assert fleet_record.write(tmp_path, deployed({}, "a", V1, now=1)), "it is replaced"


def listing(generation: str, version: str, running: int = 2, drains: int = 0) -> dict[str, Any]:
    """What a host's tool lists."""
    live = {"state": "live", "generation": generation, "version": version, "running": running, "instances": ["1", "2"],
            "connections": 7, "manager": "systemd"}  # fmt: skip
    return {"generations": [live, *[{"state": "draining", "connections": 3}] * drains]}


def test_table_marks_what_differs() -> None:
    found = {"a": listing("r2-1", "v2"), "b": listing("r2-1", "v2", drains=2), "c": listing("r1-1", "v1"),
             "d": listing("r2-1", "v2", running=1)}  # fmt: skip
    known = deployed(deployed({}, "abcde", V1, now=0), "abd", V2, skipped="e", now=60)
    head, *lines = table_of(HOSTS, found, known).splitlines()
    assert head.split() == ["HOST", "VERSION", "GENERATION", "PROCESSES", "SOCKETS", "DRAINS", "MANAGER"]
    assert lines[0].split() == ["a", "v2", "r2-1", "2/2", "7", "-", "systemd"]
    assert "2 with 6 sockets" in lines[1]
    assert [line[0] for line in lines] == [" ", " ", "!", "!", "!"]
    assert lines[2].endswith("serves something else than most")
    assert lines[3].endswith("lacks processes")
    assert "v1" in lines[4]
    assert "this is what was recorded" in lines[4]
    assert lines[4].endswith("missed deploys since 1970-01-01 00:01 UTC")


def test_settings_of_a_host_alone_are_no_difference() -> None:
    """One of them has the Redis that it reaches at 127.0.0.1, or what runs only once in all."""
    found = {"a": listing("r1-1", "v1"), "b": listing("r1-2", "v1"), "c": listing("r1-1", "v1")}
    assert [line[0] for line in table_of("abc", found, {}).splitlines()[1:]] == [" ", " ", " "]


def test_table_shows_hosts_on_which_nothing_serves() -> None:
    assert "nothing serves" in table_of(["a", "b"], {"a": {"generations": []}}, {})


# --- what the parts of a fleet say of each other


def listed(*states: str) -> dict[str, Any]:
    """What a host's tool lists: generations in some states."""
    return {
        "generations": [
            {"state": state, "version": "v1", "generation": "r1-1", "running": 2, "instances": ["a", "b"],
             "connections": 7, "manager": "systemd"} for state in states
        ]
    }  # fmt: skip


def server(name: str, state: str = "up", check: str = "L7OK 200") -> dict[str, Any]:
    return {"name": name, "state": state, "check": check, "connections": 3}


def viewed(found: dict[str, Any] | None = None, **given: Any) -> list[str]:
    """The lines of the table of two app hosts behind two edges."""
    both = {"servers": [server("a"), server("b")]}
    views = {"edges": {"edge-1": both, "edge-2": both}, "drained": {"a": False, "b": False}, **given}
    known = {"a": listed("live"), "b": listed("live")} if found is None else found
    return table_of(["a", "b"], known, {}, Views(views)).splitlines()


def test_views_that_agree_are_shown_and_not_marked() -> None:
    head, first, second = viewed()
    assert head.split() == ["HOST", "VERSION", "GENERATION", "PROCESSES", "SOCKETS", "DRAINS", "MANAGER", "SERVES",
                            "EDGE-1", "EDGE-2"]  # fmt: skip
    assert first.split() == ["a", "v1", "r1-1", "2/2", "7", "-", "systemd", "yes", "up,", "3", "up,", "3"]
    assert second.startswith("  b")


@pytest.mark.parametrize(
    ("state", "drained", "states", "note"),
    [
        ("up", True, ["live"], "edge-1 still sends it handshakes"),
        ("drain", True, ["live"], ""),
        ("drain", False, ["live"], "edge-1 takes it for drained"),
        ("down", False, ["live"], "edge-1 has it down (L4TOUT)"),
        ("down", True, ["live"], ""),
        ("maintenance", False, ["live"], "edge-1 has it maintenance (L4TOUT)"),
        ("up", False, ["kept"], "edge-1 sends it handshakes, and nothing serves"),
        ("down", False, ["kept"], ""),
    ],
)
def test_views_that_differ_are_marked(state: str, drained: bool, states: list[str], note: str) -> None:
    edges = {"edge-1": {"servers": [server("a", state, "L4TOUT"), server("b")]}}
    found = {"a": listed(*states), "b": listed("live")}
    line = viewed(found, edges=edges, drained={"a": drained, "b": False})[1]
    assert line.endswith(note) and (f"; {note}" in line or f"  {note}" in line or not note), line
    assert line.startswith("!") is bool(note)
    assert ("no new, 3" in line) is (state == "drain")


def test_edge_that_does_not_answer_and_host_that_was_not_asked() -> None:
    edges = {"edge-1": {"msg": "HAProxy does not answer at /run/haproxy/admin.sock"}}
    lines = viewed({"a": listed("live")}, edges=edges)
    assert lines[1].split()[-2:] == ["yes", "?"] and lines[2].split()[8] == "?"
    assert lines[3] == "! edge-1 does not say how it sees the hosts: HAProxy does not answer at /run/haproxy/admin.sock"


@pytest.mark.parametrize(
    ("holders", "line"),
    [(["edge-1"], "  10.0.0.100 is on edge-1"), ([], "! 10.0.0.100 is on no edge"),
     (["edge-1", "edge-2"], "! 10.0.0.100 is on edge-1 and edge-2"), (None, None)],
)  # fmt: skip
def test_address_that_edges_share(holders: list[str] | None, line: str | None) -> None:
    assert viewed(shared="10.0.0.100", holders=holders)[3:] == ([line] if line else [])


def test_redises_of_a_group() -> None:
    redis = {
        "healthy": False, "in_step": ["10.0.0.12"],
        "redis": {"10.0.0.11": "primary", "10.0.0.12": "replica", "10.0.0.13": "replica", "10.0.0.14": "down"},
    }  # fmt: skip
    names = {"10.0.0.11": "r1", "10.0.0.12": "r2", "10.0.0.13": "r3"}
    told = "Redis: r1 primary, r2 replica, r3 replica that is behind, 10.0.0.14 down"
    assert viewed(redis=redis, names=names)[3:] == [f"! {told}"]
    assert viewed(redis={**redis, "healthy": True}, names=names)[3:] == [f"  {told}"]
    assert viewed(redis={"redis": {}})[3:] == ["! Redis: no answer"]


def test_without_edges_the_table_is_as_it_was() -> None:
    assert "SERVES" not in table_of(["a"], {"a": listed("live")}, {})
    assert Views({"edges": {}}).lines() == []
