"""What is on this host: each generation with its state, its processes and its sockets."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import managers, paths
from .generation import (
    deadline,
    describe,
    drain_name,
    generations,
    kind,
    listening,
    live,
    processes,
    served,
    steady,
    switch,
)
from .history import told
from .locks import Refused
from .protect import exposed
from .sockets import accepted


class Now(NamedTuple):
    """What the states of all generations are derived from, read once."""

    draining: dict[str, float]  # as `drains` returns them
    serving: str  # the generation's name
    upstream: str  # nginx's own text that says where to pass connections


def overview() -> list[dict[str, Any]]:
    """Return all generations with their state: first the one that serves, then the newer before the older."""
    found = generations()
    now = Now(drains(found), live(), paths.UPSTREAM.read_text() if paths.UPSTREAM.exists() else "")
    rows = [row_of(described, now) for described in found.values()]
    order = sorted(rows, key=lambda row: (row["state"] != "live", -switch(row["generation"]), -row["served"]))
    return order + broken()


def row_of(described: dict[str, Any], now: Now) -> dict[str, Any]:
    """Return a generation's description, with its state and the state of its processes."""
    name = described["generation"]
    servers, helpers = processes(described), steady(described)
    states = iter(managers.of(described).states([*servers, *helpers]))
    shown = [
        {
            "unit": group["unit"], "instance": instance, "kind": kind(group, described),
            **next(states)._asdict(),
        }
        for group in (*servers, *helpers) for instance in group["instances"]
    ]  # fmt: skip
    ours = [one for one in shown if one["kind"] == "server"]
    others = [one for one in shown if one["kind"] != "server"]
    running = [one for one in ours if one["pid"]]
    return {
        **described, "state": state_of(described, now, bool(running)), "served": served(name), "told": told(name),
        "running": len(running), "pids": [one["pid"] for one in ours], "processes": shown,
        "working": len([one for one in others if one["pid"]]), "expected": len(others),
        "connections": len(accepted(listening(described))),
        "memory": sum(one["memory"] for one in shown if one["pid"]), "deadline": now.draining.get(name, 0.0),
        "exposed": exposed(described),
        "installed": name != now.serving or managers.of(described).installed([*servers, *helpers]),
    }  # fmt: skip


def state_of(described: dict[str, Any], now: Now, runs: bool) -> str:
    """Return the state of a generation in one word; `runs` tells whether any of its processes runs."""
    name = described["generation"]
    if name == now.serving:
        return "live"
    if any(f"unix:{path} " in now.upstream for path in described["sockets"]):
        return "switching"  # nginx passes connections to it, and the run that did that was killed or isn't done
    if name in now.draining:
        return "draining"
    if served(name):
        return "left" if runs else "kept"  # a run was killed before it began to drain this one
    return "new"


def drains(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return which of some generations are draining, and their deadlines in seconds since the epoch."""
    draining = {}
    for each in managers.KINDS:
        names = {drain_name(name): name for name, described in found.items() if described["manager"] == each}
        for name in managers.get(each).begun(list(names)) if names else ():
            draining[names[name]] = deadline(names[name])
    return draining


def broken() -> list[dict[str, Any]]:
    """Return rows for generations that cannot be read: what is still known, and what to do as `fault`."""
    rows = []
    for folder in sorted((paths.HOME / "generations").glob("*")):
        if not (folder / "generation.json").exists() and folder.name != live():
            continue  # a deploy has just begun with it
        try:
            describe(folder.name)
        except Refused as refusal:
            rows.append(broken_row(folder.name, str(refusal)))
    return rows


def broken_row(name: str, fault: str) -> dict[str, Any]:
    """Return the row for a generation that cannot be read."""
    links = [link.name for link in (paths.HOME / "instances").glob(f"{name}-*")]
    releases, code = paths.HOME / "releases", paths.HOME / "generations" / name / "code"
    inside = code.is_symlink() and code.readlink().is_relative_to(releases)
    release = code.readlink().relative_to(releases).parts[0] if inside else name.rpartition("-")[0]
    return {
        **dict.fromkeys(("unit", "manager", "server", "version"), ""), "generation": name, "user": paths.APP,
        "release": release, "state": "broken", "fault": fault, "serves": name == live(),
        "instances": links, "sockets": [], "pids": [], "served": served(name), "told": True,
        "running": len(links), "working": 0, "expected": 0, "connections": 0, "memory": 0, "deadline": 0.0,
    }  # fmt: skip
