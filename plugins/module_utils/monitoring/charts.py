"""Pictures of series: paths, scales and numbers for people.

A picture is 1000 wide and 100 high, and the page stretches it.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .series import Values, latest, runs, stacked, summed

WIDTH, HEIGHT = 1000.0, 100.0
#: Series that a picture shows apart; there are as many colours in page.css.
MOST_SERIES = 8
#: Seconds between two marks of a scale, and how many marks there are at most.
TICKS = (60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
MOST_TICKS = 8
DAY = 86400


def number(value: float | None, unit: str = "") -> str:
    """A measured value for people."""
    if value is None:
        return "–"
    if unit == "seconds":
        return f"{value:.2g} s" if 1 <= value < 10 else f"{value:,.0f} s" if value >= 10 else f"{1000 * value:.3g} ms"
    if unit == "share":
        return f"{100 * value:.0f} %"
    if unit == "bytes":
        power = min(4, int(math.log(value, 1024))) if value >= 1 else 0
        return f"{value / 1024**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
    text = f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"
    return f"{text} / s" if unit == "rate" else text


def ceiling(most: float, unit: str = "") -> float:
    """Return a round number that is not below the most that is drawn."""
    if unit == "share":
        return max(1.0, most)
    if most <= 0:
        return 1.0
    base = 1024 ** int(math.log(most, 1024)) if unit == "bytes" and most >= 1024 else 1
    power = 10.0 ** math.floor(math.log10(most / base))
    # The smallest numbers that there are have no power of ten below them.
    round_one = next((one for step in (1, 2, 2.5, 5, 10, 20) if (one := step * power * base) >= most), most)
    return max(1.0, round_one) if unit in ("", "bytes") else round_one


def scale(start: float, end: float) -> list[dict[str, Any]]:
    """Return the marks of a scale: `x` and `text`, in UTC; a day's name where a day begins."""
    length = end - start
    step = next((each for each in TICKS if length / each <= MOST_TICKS), None)
    step = step or DAY * math.ceil(length / DAY / MOST_TICKS)
    moments = range(math.ceil(start / step) * step, math.floor(end) + 1, step)
    return [{"x": across(at, start, end), "text": moment(at, dated=at % DAY == 0)} for at in moments]


def moment(at: float, dated: bool = False) -> str:
    """A time of day in UTC, or a day."""
    when = time.gmtime(at)
    return f"{when.tm_mday} {time.strftime('%b', when)}" if dated else time.strftime("%H:%M", when)


def across(at: float, start: float, end: float) -> float:
    """Where a moment is in a picture."""
    return round(WIDTH * min(1.0, max(0.0, (at - start) / (end - start))), 1)


def line(values: Values, top: float) -> str:
    """The path of a line. It has gaps where nothing was measured, and a dash for a value alone."""
    parts = []
    width = WIDTH / max(1, len(values))
    for begin, end in runs(values):
        points = [(width * (place + 1), height(values[place], top)) for place in range(begin, end)]
        if len(points) == 1:
            points.insert(0, (points[0][0] - width, points[0][1]))
        parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points))
    return "".join(parts)


def area(floor: Values, roof: Values, top: float) -> str:
    """The path of an area with steps; empty if it has no height anywhere."""
    parts = []
    width = WIDTH / max(1, len(roof))
    drawn = [
        upper if upper is not None and lower is not None and upper > lower else None
        for lower, upper in zip(floor, roof, strict=True)
    ]
    for begin, end in runs(drawn):
        over = list(steps(roof[begin:end], begin, width, top))
        under = list(steps(floor[begin:end], begin, width, top))
        parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in [*over, *reversed(under)]) + "Z")
    return "".join(parts)


def steps(values: Values, begin: int, width: float, top: float) -> Iterator[tuple[float, float]]:
    """Yield the corners of a row of steps."""
    for place, value in enumerate(values, begin):
        yield width * place, height(value, top)
        yield width * (place + 1), height(value, top)


def height(value: float | None, top: float) -> float:
    """Where a value is in a picture, from its upper edge."""
    return HEIGHT * (1 - min(1.0, max(0.0, (value or 0.0) / top)))


def bands(values: Values) -> list[dict[str, float]]:
    """Return the parts of a picture in which something held: `x` and `w`."""
    width = WIDTH / max(1, len(values))
    held = [value if value else None for value in values]
    return [{"x": round(width * begin, 1), "w": round(width * (end - begin), 1)} for begin, end in runs(held)]


def chart(
    name: str, title: str, rows: Sequence[Mapping[str, Any]], unit: str = "", stack: bool = False
) -> dict[str, Any]:
    """Return a picture of some series, each with `name` and `values`, and perhaps `colour`.

    Lines are in the order of their names; only the highest are drawn if there are many. What is stacked is summed.
    """
    left_out = 0
    if not stack:
        highest = sorted(rows, key=lambda row: -peak(row["values"]))[:MOST_SERIES]
        left_out, rows = len(rows) - len(highest), sorted(highest, key=lambda row: natural(row["name"]))
    rows = [row for row in rows if any(value is not None for value in row["values"])]
    whole = summed([row["values"] for row in rows], len(rows[0]["values"])) if rows else []
    most = peak(whole) if stack else max((peak(row["values"]) for row in rows), default=0.0)
    top = ceiling(most, unit)
    piled = stacked([row["values"] for row in rows]) if stack else []
    drawn = [
        {
            "name": row["name"], "colour": row.get("colour") or f"c{place % MOST_SERIES + 1}",
            "path": area(*piled[place], top) if stack else line(row["values"], top),
            "now": "" if latest(row["values"]) is None else number(latest(row["values"]), unit),
            "most": number(peak(row["values"]), unit),
        }
        for place, row in enumerate(rows)
    ]  # fmt: skip
    return {
        "id": name, "title": title, "stack": stack, "top": number(top, unit), "series": drawn,
        "most": number(most, unit), "left_out": left_out, "bands": [],
    }  # fmt: skip


def peak(values: Values) -> float:
    """The highest value; 0 if there is none."""
    return max((value for value in values if value is not None), default=0.0)


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts names with numbers as people do."""
    return [(int(digits or -1), text) for digits, text in re.findall(r"(\d*)(\D*)", name)]
