"""What the sockets of all app hosts do, in one table for a person, with what is wrong marked. Controller only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEAD = (
    "  HOST", "GENERATION", "STATE", "SOCKETS", "OLDEST", "WAITING", "HANDSHAKES/S", "FAILED/S", "IN/S", "OUT/S",
    "CPU %", "MEMORY", "LOAD", "REDIS", "",
)  # fmt: skip


def top_table_of(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of what hosts say of themselves: a line for each generation that has processes."""
    lines = [row for name, said in found.items() for row in rows_of(name, said)]
    wide = [max(len(row[column]) for row in [HEAD, *lines]) for column in range(len(HEAD))]
    table = ["  ".join(f"{text:<{size}}" for text, size in zip(row, wide, strict=True)).rstrip()
             for row in [HEAD, *lines]]  # fmt: skip
    return "\n".join([*table, summary(found)])


def rows_of(name: str, said: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the lines of one host."""
    shown = [row for row in said["generations"] if row["running"] or row["state"] in ("live", "broken")]
    rows: list[tuple[str, ...]] = []
    for number, row in enumerate(shown):
        notes = generation_notes(row) + (redis_notes(said) if number == 0 else [])
        host = (
            f"{said['handshakes_per_second']:g}", f"{said['failed_per_second']:g}", *packets(said), f"{row['cpu']:g}",
            megabytes(row["memory"]), f"{said['host']['load']:g} on {said['host']['cores']}", redis(said),
        )  # fmt: skip
        if number:  # what a host says of itself stands once
            host = ("", "", "", "", host[4], host[5], "", "")
        oldest = "-" if row["oldest_at_least"] is None else f"≥{span(row['oldest_at_least'])}"
        rows.append((
            f"{'!' if notes else ' '} {name if number == 0 else ''}", row["generation"], row["state"],
            str(row["sockets"]), oldest, str(row["waiting"]), *host, "; ".join(notes),
        ))  # fmt: skip
    return rows or [(f"! {name}", *["-"] * (len(HEAD) - 2), "nothing serves")]


def generation_notes(row: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a generation."""
    notes = [str(row["fault"])] if row["fault"] else []
    if row["state"] in ("live", "draining") and row["running"] < row["expected"]:
        notes.append(f"{row['running']} of {row['expected']} processes run")
    return notes


def redis_notes(said: Mapping[str, Any]) -> list[str]:
    """Return which Redises do not answer a host."""
    return [f"Redis at {one['address']}: {one['fault']}" for one in said["redis"] if one["fault"]]


def packets(said: Mapping[str, Any]) -> tuple[str, str]:
    """Return how many packets with data come and go in a second; a host of an earlier version does not say."""
    if not (known := said.get("clients")):
        return "-", "-"
    return f"{known['packets_in_per_second']:g}", f"{known['packets_out_per_second']:g}"


def redis(said: Mapping[str, Any]) -> str:
    """Return how fast the slowest Redis of a host answers."""
    answers = [one["milliseconds"] for one in said["redis"] if not one["fault"]]
    return f"{max(answers):g} ms" if answers else "-"


def span(seconds: float) -> str:
    """Return a time span in at most two figures."""
    whole = int(seconds)
    for size, letter, lesser, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{letter} {whole % size // lesser}{small}"
    return f"{whole}s"


def megabytes(number: float) -> str:
    """Return a number of bytes in megabytes."""
    return f"{number / 2**20:.0f} MB" if number else "-"


def summary(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the sums of all hosts."""
    sockets = sum(row["sockets"] for said in found.values() for row in said["generations"])
    rate, failed = (sum(said[key] for said in found.values()) for key in ("handshakes_per_second", "failed_per_second"))
    return f"{sockets} sockets on {len(found)} hosts, {rate:g} handshakes/s, {failed:g} failed/s"
