"""What is computed from series: increments of counters, sums, times at which something held, and deploys.

A series has a value for each moment of a grid, or None where nothing was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Values = Sequence[float | None]
#: Seconds within which the hosts of a fleet begin to serve a release, at most; then it was one deploy.
ONE_DEPLOY = 900.0


def increments(values: Values, from_zero: bool = False) -> list[float | None]:
    """Return by how much a counter has grown in each step: one less than there are moments.

    A counter that is smaller than before has begun again at 0. What it has grown while nobody looked is spread over
    that time. `from_zero` says that what is seen first has grown from 0, in the step before it is seen.
    """
    grown: list[float | None] = [None] * (len(values) - 1)
    before, seen = values[0], 0
    for place, value in enumerate(values[1:], 1):
        if value is None:
            continue
        if before is None and from_zero:
            before, seen = 0.0, place - 1
        if before is not None:
            whole = value - before if value >= before else value
            grown[seen:place] = [whole / (place - seen)] * (place - seen)
        before, seen = value, place
    return grown


def handshakes(series: Iterable[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Return the handshakes of all hosts in each step, by status.

    A host counts a status from 0 when it first sees it. So one that comes later than others of the same host is new.
    """
    series = list(series)
    begun: dict[str, int] = {}
    for each in series:
        host = each["labels"].get("instance", "")
        begun[host] = min(begun.get(host, len(each["values"])), first(each["values"]))
    found: dict[str, list[float | None]] = {}
    for each in series:
        late = first(each["values"]) > begun[each["labels"].get("instance", "")]
        grown = increments(each["values"], from_zero=late)
        status = each["labels"].get("status", "")
        found[status] = added(found[status], grown) if status in found else grown
    return dict(sorted(found.items()))


def first(values: Values) -> int:
    """The place of the first value; the number of places if there is none."""
    return next((place for place, value in enumerate(values) if value is not None), len(values))


def latest(values: Values) -> float | None:
    """What was measured at the very end; None if nothing was."""
    return values[-1] if values else None


def added(one: Values, other: Values) -> list[float | None]:
    """Add two series; there is nothing where neither has a value."""
    return [
        None if left is None and right is None else (left or 0.0) + (right or 0.0)
        for left, right in zip(one, other, strict=True)
    ]


def summed(rows: Sequence[Values], count: int) -> list[float | None]:
    """Add several series."""
    total: list[float | None] = [None] * count
    for row in rows:
        total = added(total, row)
    return total


def total(values: Values) -> float:
    """Add all values of a series."""
    return sum(value for value in values if value is not None)


def runs(values: Values) -> Iterator[tuple[int, int]]:
    """Yield where values stand without a gap: the first place, and the one after the last."""
    begin = None
    for place, value in enumerate([*values, None]):
        if value is not None and begin is None:
            begin = place
        elif value is None and begin is not None:
            yield begin, place
            begin = None


def stacked(rows: Sequence[Values]) -> list[tuple[list[float | None], list[float | None]]]:
    """Put series upon each other: where each begins and ends. Where a single one has no value, it has no height."""
    count = len(rows[0]) if rows else 0
    ground = summed(rows, count)
    base: list[float | None] = [None if value is None else 0.0 for value in ground]
    found = []
    for row in rows:
        roof = [
            None if below is None else below + (value or 0.0) for below, value in zip(base, row, strict=True)
        ]  # fmt: skip
        found.append((base, roof))
        base = roof
    return found


def spans(values: Values, start: float, step: int) -> list[tuple[float, float | None]]:
    """Return from when until when something held, from the steps in which it did; None if it still does."""
    held = [value if value else None for value in values]
    return [
        (start + step * begin, None if end == len(held) else start + step * end) for begin, end in runs(held)
    ]  # fmt: skip


def deploys(served: Iterable[Mapping[str, Any]], releases: Mapping[str, str], start: float) -> list[dict[str, Any]]:
    """Return when a generation began to serve since a moment: `at`, `generation`, `release` and the number of `hosts`.

    Hosts that begin to serve the same generation soon after each other have had one deploy, or one rollback.
    """
    seen = sorted(
        {
            (value, each["labels"].get("generation", ""), each["labels"].get("instance", ""))
            for each in served
            for value in each["values"]
            if value is not None and value >= start
        }
    )
    found: list[dict[str, Any]] = []
    for moment, generation, host in seen:
        last = next((each for each in reversed(found) if each["generation"] == generation), None)
        if last and moment - last["at"] <= ONE_DEPLOY and host not in last["hosts"]:
            last["hosts"].append(host)
            continue
        release = releases.get(generation, generation)
        found.append({"at": moment, "generation": generation, "release": release, "hosts": [host]})
    return found
