"""What Prometheus has seen of a site: data, lines for a terminal, and a page that needs nothing from elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..text import report_files
from ..text.templates import render
from . import charts, series

SCHEMA = 1
PAGE = Path(__file__).parent / "templates" / "page.html.j2"
#: Parts of a page's width that a deploy's number needs.
ROOM = 25.0
#: What the statuses of handshakes mean, by their first letter: title, colour.
RESULTS = (
    ("opened", "1", "Opened (101)", "good"),
    ("refused", "4", "Refused (4xx)", "slow"),
    ("failed", "5", "Failed (5xx)", "bad"),
)


def made(app: str, watcher: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report as data, from the answers of `ranges.look` to `queries.queries`."""
    answers, start, step = found["answers"], found["start"], found["step"]
    known = answers.get("generations", [])
    releases = {each["labels"].get("generation", ""): each["labels"].get("release", "") for each in known}
    live = sorted(
        {
            each["labels"].get("release", "")
            for each in known
            if each["labels"].get("state") == "live" and series.latest(each["values"])
        }
    )
    by_status = series.handshakes(answers.get("handshakes", []))
    probes = [(place(each), series.latest(each["values"])) for each in answers.get("probe", [])]
    sockets, now = (
        series.summed([each["values"] for each in answers.get(name, [])], found["count"] + 1)
        for name in ("sockets", "open")
    )
    return {
        "schema": SCHEMA, "app": app, "watcher": watcher, "start": start, "end": found["end"], "step": step,
        "count": found["count"], "problems": list(found["problems"]), "live": live,
        "sockets": {"now": series.latest(now), "most": charts.peak(sockets[1:])},
        "handshakes": {status: round(series.total(grown)) for status, grown in by_status.items()},
        "probes": {"failing": sorted(name for name, value in probes if value == 0), "known": len(probes)},
        "deploys": series.deploys(answers.get("served", []), releases, start),
        "alerts": alerts(answers.get("alerts", []), start, step), "answers": answers,
    }  # fmt: skip


def alerts(found: Iterable[Mapping[str, Any]], start: float, step: int) -> list[dict[str, Any]]:
    """Return when alerts fired, those that still do first, then the newest: `end` is None while one fires."""
    fired = [
        {
            "name": each["labels"].get("alertname", ""), "host": each["labels"].get("instance", ""),
            "severity": each["labels"].get("severity", ""), "start": begin, "end": end,
        }
        for each in found for begin, end in series.spans(each["values"][1:], start, step)
    ]  # fmt: skip
    return sorted(fired, key=lambda one: (one["end"] is not None, -one["start"], one["name"], one["host"]))


def place(each: Mapping[str, Any]) -> str:
    """What a probe's series is about: where it goes, and from where."""
    target, host = each["labels"].get("target", ""), each["labels"].get("instance", "")
    return f"{target} from {host}" if target not in ("", host) else host


def result_of(report: Mapping[str, Any], letter: str) -> int:
    """The number of handshakes with one kind of result."""
    return sum(number for status, number in report["handshakes"].items() if status.startswith(letter))


def firing(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The alerts that fire at the end."""
    return [one for one in report["alerts"] if one["end"] is None]


def conclusion(report: Mapping[str, Any]) -> str:
    """Return how the site is, in a sentence."""
    if now := firing(report):
        return f"{len(now)} alert{'s fire' if len(now) > 1 else ' fires'}: {', '.join(one['name'] for one in now)}."
    if failing := report["probes"]["failing"]:
        return f"The probe opens no socket to {', '.join(failing)}."
    if report["sockets"]["now"] is None:
        return "Nothing is known of its sockets at the moment."
    if any(problem.startswith("alerts:") for problem in report["problems"]):
        return "Whether an alert fires is not known."
    return "No alert fires."


def state(report: Mapping[str, Any]) -> str:
    """Return `kept` if there is nothing to do, `noted` if it can wait until the morning, else `missed`."""
    if report["probes"]["failing"] or any(one["severity"] == "page" for one in firing(report)):
        return "missed"
    return "kept" if conclusion(report) == "No alert fires." else "noted"


def lines(report: Mapping[str, Any]) -> list[str]:
    """Return the report for a terminal."""
    sockets, shown = report["sockets"], charts.number
    shaken = ", ".join(f"{shown(result_of(report, letter))} {name}" for name, letter, _, _ in RESULTS)
    told = [
        f"{report['app']} in the last {length(report)}, as {report['watcher']} has seen it: {conclusion(report)}",
        f"sockets     {shown(sockets['now'])} now, {shown(sockets['most'])} at most",
        f"handshakes  {shaken}",
        f"deploys     {len(report['deploys'])}",
    ]
    return told + [f"not known   {problem}" for problem in report["problems"]]


def length(report: Mapping[str, Any]) -> str:
    """How long the report looks back."""
    hours = (report["end"] - report["start"]) / 3600
    return f"{60 * hours:.0f} minutes" if hours < 2 else f"{hours:.3g} hours"


def pictures(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all pictures, in the page's sections: `title`, `note` and `charts`."""
    step = report["step"]
    each_step = f"{step // 60} minutes" if step % 60 == 0 and step > 60 else f"{step} seconds"
    sockets = charts.chart("sockets", "", generations(report), stack=True)
    latencies = charts.chart("latencies", "", waits(report), "seconds")
    failed = series.summed([[value == 0 for value in row] for row in values(report, "probe")], report["count"])
    latencies["bands"] = charts.bands(failed)
    redis = [
        of_hosts(report, "redis_memory", "Memory", "bytes"), of_hosts(report, "redis_commands", "Commands", "rate"),
        of_hosts(report, "redis_clients", "Connections"),
    ]  # fmt: skip
    hosts = [
        of_hosts(report, "processor", "Processor", "share"), of_hosts(report, "memory", "Memory in use", "share"),
        of_hosts(report, "disk", "The fullest disk", "share"),
    ]  # fmt: skip
    return [
        section("Open sockets by generation", f"The most in each {each_step}, one generation upon the other.", sockets),
        section("Handshakes by result", f"In each {each_step}. A socket counts when it has ended.", *results(report)),
        section("What the probe waits for", f"The most in each {each_step}. Red is where one failed.", latencies),
        section("Redis", "", *redis), section("Hosts", "", *hosts),
    ]  # fmt: skip


def section(title: str, note: str, *drawn: Mapping[str, Any]) -> dict[str, Any]:
    """A section of the page."""
    return {"title": title, "note": note, "charts": drawn}


def values(report: Mapping[str, Any], name: str) -> list[list[float | None]]:
    """The values of an answer, without the moment at which the first step begins."""
    return [each["values"][1:] for each in report["answers"].get(name, [])]


def of_hosts(report: Mapping[str, Any], name: str, title: str, unit: str = "") -> dict[str, Any]:
    """A picture with a line for each host."""
    rows = [
        {"name": each["labels"].get("instance", ""), "values": each["values"][1:]}
        for each in report["answers"].get(name, [])
    ]
    return charts.chart(name, title, rows, unit)


def generations(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sockets of each generation, the oldest first; the oldest ones are put together if there are many."""
    rows = [
        {"name": each["labels"].get("generation", ""), "values": each["values"][1:]}
        for each in report["answers"].get("sockets", [])
    ]
    rows.sort(key=lambda row: (series.first(row["values"]), row["name"]))
    # A generation that is kept has no sockets; so it has no colour either, unless there is nothing else.
    rows = [row for row in rows if charts.peak(row["values"])] or rows[-1:]
    if len(rows) > charts.MOST_SERIES:
        older, rows = rows[: 1 - charts.MOST_SERIES], rows[1 - charts.MOST_SERIES :]
        together = series.summed([row["values"] for row in older], report["count"])
        rows.insert(0, {"name": f"{len(older)} earlier ones", "values": together})
    return rows


def results(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A picture for each kind of result: a single failure would be invisible beside thousands that went well."""
    by_status = series.handshakes(report["answers"].get("handshakes", []))
    found = []
    for name, letter, title, colour in RESULTS:
        grown = series.summed(
            [each for status, each in by_status.items() if status.startswith(letter)], report["count"]
        )  # fmt: skip
        row = {"name": name, "values": grown, "colour": colour}
        found.append(charts.chart(f"handshakes-{name}", title, [row], stack=True))
    return found


def waits(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The times that probes have measured."""
    return [
        {"name": f"{what}, {place(each)}", "values": each["values"][1:]}
        for name, what in (("handshake", "handshake"), ("echo", "echo"), ("group", "message to another process"))
        for each in report["answers"].get(name, [])
    ]


def marks(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The deploys as marks: `x`, and a number where there is room for it."""
    found: list[dict[str, Any]] = []
    shown = -ROOM
    for place_, each in enumerate(report["deploys"], 1):
        x = charts.across(each["at"], report["start"], report["end"])
        text = str(place_) if x - shown >= ROOM else ""
        shown = x if text else shown
        found.append({"x": x, "text": text})
    return found


def stamp(at: float | None) -> str:
    """A moment for people."""
    return "" if at is None else time.strftime("%Y-%m-%d %H:%M", time.gmtime(at))


def page(report: Mapping[str, Any]) -> str:
    """Return a report as one HTML page, with its styles and its pictures inside."""
    sockets = report["sockets"]
    tiles: Sequence[tuple[str, Any, str]] = [
        ("open sockets", charts.number(sockets["now"]), f"{charts.number(sockets['most'])} at most"),
        *(
            (f"handshakes {name}", charts.number(result_of(report, letter)), "")
            for name, letter, _, _ in RESULTS
        ),
    ]  # fmt: skip
    given = {
        "conclusion": conclusion(report), "state": state(report), "length": length(report), "tiles": tiles,
        "sections": pictures(report), "marks": marks(report), "scale": charts.scale(report["start"], report["end"]),
    }  # fmt: skip
    return render(PAGE, {**report, **given}, {"stamp": stamp, "number": charts.number})


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report as JSON and as a page, each whole or not at all."""
    report_files.write(path, report, ".html", page(report))
