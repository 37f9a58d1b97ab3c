"""All app hosts in one table for a person, with what differs marked. Controller only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .views import Views

HEAD = ("HOST", "VERSION", "GENERATION", "PROCESSES", "SOCKETS", "DRAINS", "MANAGER", "")


def table_of(
    members: Sequence[str], found: Mapping[str, Mapping[str, Any]], record: Mapping[str, Any],
    views: Views | None = None,
) -> str:  # fmt: skip
    """Return the table of all app hosts: those that answered with what they say, others with what is recorded.

    `found` has, by host, what its tool lists as JSON. A host that differs from most others is marked with `!`,
    and so is one that edges see differently; `views` has what they say.
    """
    views = views or Views()
    head = (*HEAD[:-1], *views.columns, "")
    rows = {name: row_of(found[name]) if name in found else recorded(name, record) for name in members}
    serving = Counter(release_of(rows[name]) for name in members if name in found)
    usual = serving.most_common(1)[0][0] if serving else ""
    lines = []
    for name, row in rows.items():
        serves = any(one["state"] == "live" for one in found[name].get("generations") or []) if name in found else None
        notes = notes_of(name, row, usual, name in found, record) + views.notes(name, serves)
        lines.append((f"{'!' if notes else ' '} {name}", *row, *views.cells(name, serves), "; ".join(notes)))
    wide = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    wide[0] = max(wide[0], len(head[0]) + 2)
    shown = ["  ".join(f"{text:<{size}}" for text, size in zip(line, wide, strict=True)).rstrip()
             for line in [("  " + head[0], *head[1:]), *lines]]  # fmt: skip
    return "\n".join([*shown, *views.lines()])


def row_of(listed: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns of a host that answered, but its name and notes."""
    rows = listed.get("generations") or []
    live = next((row for row in rows if row["state"] == "live"), None)
    draining = [row for row in rows if row["state"] == "draining"]
    drains = f"{len(draining)} with {sum(row['connections'] for row in draining)} sockets" if draining else "-"
    if not live:
        return "-", "nothing serves", "-", "-", drains, "-"
    processes = f"{live['running']}/{len(live['instances'])}"
    return live["version"], live["generation"], processes, str(live["connections"]), drains, live["manager"]


def release_of(row: tuple[str, ...]) -> str:
    """Return the release in a host's columns; empty if nothing serves.

    A generation's name also has a digest of its settings, and these may differ between hosts for good reasons: one of
    them has the Redis that it reaches at 127.0.0.1, or the workers that run only once.
    """
    return row[1].rpartition("-")[0]


def recorded(name: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns of a host that did not answer: what the last deploy wrote down."""
    known = (record.get("hosts") or {}).get(name) or {}
    return known.get("version", "?"), known.get("generation", "?"), "?", "?", "?", "?"


def notes_of(name: str, row: tuple[str, ...], usual: str, answered: bool, record: Mapping[str, Any]) -> list[str]:
    """Return what is unusual about a host."""
    notes = [] if answered else ["not asked or no answer; this is what was recorded"]
    if usual and row[1] != "?" and release_of(row) != usual:
        notes.append("serves something else than most")
    running, _, wanted = row[2].partition("/")
    if running != wanted and wanted:
        notes.append("lacks processes")
    if missed := (record.get("missed") or {}).get(name):
        notes.append(f"missed deploys since {missed['since']}")
    return notes
