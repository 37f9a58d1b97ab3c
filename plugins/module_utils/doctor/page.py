"""A report as a person reads it: lines for a terminal, and one HTML page that needs nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..text.templates import render
from ..websocket.http import telling
from .answers import outcome

#: Colours in a terminal, by the state of a hop or the weight of a finding.
COLOURS = {"ok": "green", "broken": "bright red", "unknown": "dark gray", "error": "bright red", "warning": "yellow",
           "note": "dark gray"}  # fmt: skip
MARKS = {"ok": "✓", "broken": "✗", "unknown": "·"}
#: Marks of a proof's results on the page.
RESULTS = {"passed": "✓", "failed": "✗", "warned": "!", "skipped": "–"}
#: What an exchange's kind means.
KINDS = {
    "good": "A handshake with a good token", "none": "A handshake with no token", "bad": "A handshake with a bad token",
    "expired": "A handshake with an expired token", "foreign": "A handshake with a foreign Origin",
    "http": "A plain request", "page": "A request for a page", "wsgi": "A plain request to the WSGI server",
}  # fmt: skip
PAGE = Path(__file__).parent / "templates" / "page.html.j2"


def plain(text: str, _colour: str) -> str:
    """A text without colour."""
    return text


def lines(report: dict[str, Any], paint: Callable[[str, str], str]) -> list[str]:
    """Return the summary for a terminal; `paint` gives a text a colour."""
    path = " → ".join(
        paint(f"{MARKS[hop['state']]} {hop['title']}" + (f" {_time(hop['ms'])}" if hop["ms"] else ""),
              COLOURS[hop["state"]]) for hop in report["hops"] if hop["state"] != "unknown"
    )  # fmt: skip
    shown = [f"{report['name']}  {report['url']}", f"  {path}" if path else "  no hop could be examined"]
    if report["finding"]:
        shown += _told(report["finding"], paint)
    else:
        shown.append(paint("  OK  nothing is broken", "green"))
    for each in report["noticed"]:
        shown.append(paint(f"  {each['code']}  {each['title']}", COLOURS[each["severity"]]))
        if each["severity"] != "note":
            shown += mending(each)
    shown.append("  Nothing was changed on the host.")
    return shown


def _told(finding: dict[str, Any], paint: Callable[[str, str], str]) -> list[str]:
    shown = [paint(f"  {finding['code']}  {finding['title']}", COLOURS["error"]), f"    cause: {finding['cause']}"]
    shown += [f"    seen:  {line}" for line in finding["seen"][:6]]
    return [*shown, *(paint(line, "cyan") for line in mending(finding))]


def mending(finding: dict[str, Any]) -> list[str]:
    """The fix, and on a host of this bundle what to set in its inventory and what to run then."""
    shown = [f"    fix:   {finding['fix']}"]
    shown += [f"    set:   {line}" for line in settings_lines(finding["settings"])]
    return shown + [f"    run:   {command}" for command in finding["commands"]]


def settings_lines(settings: dict[str, Any]) -> list[str]:
    """Variables as an inventory has them. A value in JSON is valid YAML as well."""
    return [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items()]


def _time(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def page(report: dict[str, Any]) -> str:
    """Return a report as one HTML page, with its styles and its picture inside."""
    tried = [] if "results" in report else list(tries_of(report.get("evidence") or {}))
    given = {"versions": {}, "results": [], "tried": tried, "marks": RESULTS, **report}
    return render(PAGE, given, {"as_yaml": settings_lines, "duration": _time})


def tries_of(evidence: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the doctor tried, and what came, in the form that a proof's results have."""
    for each in [*evidence.get("outside", []), *(evidence.get("host") or {}).get("exchanges", [])]:
        way = {"outside": "from here", "proxy": "on the host, through the proxy", "process": "straight to the process"}
        origin = f", Origin {each['origin']}" if each["origin"] else ""
        yield {"what": f"{KINDS.get(each['kind'], each['kind'])}{origin}, {way.get(each['via'], each['via'])}"
                       f" ({each['to']})",
               "came": outcome(each), "ms": each["ms"], "headers": telling(each["headers"])}  # fmt: skip
