"""The report of a drill: lines for a terminal, JSON, and one page that needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..text import report_files
from ..text.templates import render
from .judge import KEPT, NOT_TRIED, summed

SCHEMA = 1
PAGE = Path(__file__).parent / "templates" / "page.html.j2"
MARKS = {KEPT: "ok  ", NOT_TRIED: "skip"}
#: Seconds before a part is broken that a timeline shows.
BEFORE = 2.0
#: A handshake that took longer than this is drawn as long as it took.
SHORT = 0.5
#: Steps of a timeline's scale, in seconds, and how many there are at most.
STEPS, MOST_STEPS = (1, 2, 5, 10, 20, 30, 60, 120), 7


def made(
    name: str, at: str, results: Sequence[Mapping[str, Any]], shape: Sequence[str], problems: Sequence[str]
) -> dict[str, Any]:
    """Return the report as data. `problems` are what is not whole again afterwards."""
    sums = summed(results)
    return {
        "schema": SCHEMA, "name": name, "at": at, **sums, "ok": sums["ok"] and not problems, "shape": list(shape),
        "problems": list(problems), "results": [dict(each) for each in results],
    }  # fmt: skip


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the report for people."""
    for each in report["results"]:
        yield f"{MARKS.get(each['verdict'], 'FAIL')} {each['title']} on {each['host']}: {cost(each)}"
        for reason in each["reasons"]:
            yield f"     {reason}"
        if each["reasons"] and each["verdict"] != NOT_TRIED:
            yield f"     look at: {each['advice']}"
    for problem in report["problems"]:
        yield f"FAIL afterwards: {problem}"
    yield conclusion(report)


def conclusion(report: Mapping[str, Any]) -> str:
    """Return the verdict of the whole drill in a sentence."""
    if not report["results"]:
        return "Nothing was tried."
    kept = f"{report['kept']} of {len(report['results'])} promises were kept"
    return kept + (f", {report['not_tried']} not tried" if report["not_tried"] else "") + "."


def cost(result: Mapping[str, Any]) -> str:
    """Return what a failure has cost, in words."""
    if result["verdict"] == NOT_TRIED:
        return "not tried"
    sockets = f"{result['lost']} of {result['held']} sockets lost"
    return f"{duration(result['waited'])} until new sockets opened, {sockets}"


def duration(seconds: float | None) -> str:
    """Return a number of seconds for people; None never ended."""
    return "never" if seconds is None else f"{seconds:.1f} s" if seconds >= 0.95 else f"{1000 * seconds:.0f} ms"


def timeline(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a page draws of a step: places are parts of the whole width, from 0 to 1000.

    `rows` has, by way, a mark for each client with `x`, `w` and its `state`; `events` and `scale` have `x` and `text`.
    """
    if not (attempts := result["attempts"]):
        return {"rows": {}, "events": [], "scale": []}
    start = result["at"] - BEFORE
    end = max([each["at"] + each["took"] for each in attempts] + [start + 1])

    def place(moment: float) -> float:
        return round(1000 * min(1.0, max(0.0, (moment - start) / (end - start))), 1)

    rows: dict[str, list[dict[str, Any]]] = {}
    for each in sorted(attempts, key=lambda one: one["at"]):
        if each["at"] < start:
            continue
        state = "bad" if each["failure"] else "slow" if each["took"] > SHORT else "good"
        long = each["took"] > SHORT
        width = place(each["at"] + each["took"]) - place(each["at"]) if long else 0
        rows.setdefault(each["way"], []).append({"x": place(each["at"]), "w": round(width, 1), "state": state})
    events = [{"x": place(result["at"]), "text": "cut" if result["healed"] is not None else "killed"}]
    if result["healed"] is not None:
        events.append({"x": place(result["healed"]), "text": "connected again"})
    length = end - result["at"]
    step = next((each for each in STEPS if length / each <= MOST_STEPS), STEPS[-1])
    scale = [{"x": place(result["at"] + at), "text": f"{at} s"} for at in range(0, int(length) + 1, step)]
    return {"rows": rows, "events": events, "scale": scale}


def page(report: Mapping[str, Any]) -> str:
    """Return a report as one HTML page, with its styles and its pictures inside."""
    return render(PAGE, {**report, "conclusion": conclusion(report)}, {"timeline": timeline, "duration": duration})


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report as JSON and as a page, each whole or not at all."""
    report_files.write(path, report, ".html", page(report))
