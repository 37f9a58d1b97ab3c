"""A report as a person reads it: lines for a terminal, and one HTML page that needs nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from typing import Any

#: Colours in a terminal, by the state of a hop or the weight of a finding.
COLOURS = {"ok": "green", "broken": "bright red", "unknown": "dark gray", "error": "bright red", "warning": "yellow",
           "note": "dark gray"}  # fmt: skip
MARKS = {"ok": "✓", "broken": "✗", "unknown": "·"}
ROW, LEFT, WIDTH = 46, 26, 360  # pixels of the picture

_STYLE = """
:root{color-scheme:light dark;--back:#f6f7f9;--card:#fff;--text:#1b2430;--dim:#667085;--line:#d5dae1;--ok:#17855b;
--broken:#d1293d;--warning:#a15c00;--code:#eef1f5}
@media(prefers-color-scheme:dark){:root{--back:#0f141b;--card:#18202a;--text:#e8edf3;--dim:#93a1b3;--line:#344152;
--ok:#3ecf8e;--broken:#ff6b7a;--warning:#f0b429;--code:#0f161e}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:62rem;margin:0 auto;padding:1rem}
h1{font-size:1.3rem;margin:.3rem 0}h2{font-size:1.05rem;margin:0 0 .5rem}
.dim{color:var(--dim)}.parts{display:grid;gap:1rem;grid-template-columns:minmax(0,1fr)}
@media(min-width:52rem){.parts{grid-template-columns:23rem minmax(0,1fr)}}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1rem}
.error{border-left:5px solid var(--broken)}.ok{border-left:5px solid var(--ok)}
.warning{border-left:5px solid var(--warning)}
section+section{margin-top:1rem}.parts>*{margin-top:0;min-width:0}
pre{background:var(--code);border-radius:6px;padding:.6rem;margin:.4rem 0;white-space:pre-wrap;font-size:.85rem}
svg{width:100%;max-width:23rem;height:auto;display:block}
svg text{fill:var(--text);font:600 14px system-ui,sans-serif}svg .dim{fill:var(--dim);font:12px system-ui,sans-serif}
svg line{stroke:var(--line);stroke-width:3}svg line.ok{stroke:var(--ok)}svg line.broken{stroke:var(--broken);
stroke-dasharray:3 5}
svg circle{fill:var(--card);stroke:var(--line);stroke-width:3}
svg .ok circle{stroke:var(--ok);fill:var(--ok)}svg .broken circle{stroke:var(--broken);fill:var(--broken)}
svg .broken text{fill:var(--broken)}
"""


def plain(text: str, _colour: str) -> str:
    """A text without colour."""
    return text


def lines(report: dict[str, Any], paint: Callable[[str, str], str]) -> list[str]:
    """Return the summary for a terminal; `paint` gives a text a colour."""
    path = " → ".join(
        paint(f"{MARKS[hop['state']]} {hop['title']}" + (f" {_time(hop['ms'])}" if hop["ms"] else ""),
              COLOURS[hop["state"]]) for hop in report["hops"] if hop["state"] != "unknown"
    )  # fmt: skip
    shown = [f"{report['name']}  {report['url']}", f"  {path}" if path else "  nothing of the way could be walked"]
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
    """Variables of an inventory as they are written there. JSON's form of a value is YAML's as well."""
    return [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items()]


def _time(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def page(report: dict[str, Any]) -> str:
    """Return a report as one HTML page, with its styles and its picture inside."""
    first = report["finding"]
    verdict = _finding(first) if first else '<section class="ok"><h2>OK</h2>Nothing is broken.</section>'
    noticed = "".join(_finding(each) for each in report["noticed"])
    versions = ", ".join(f"{name} {version}" for name, version in report.get("versions", {}).items())
    title = f"{report['verdict']}: {report['name']}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(report['name'])}</h1><p class=dim>{escape(report['url'])} · {escape(report['at'])}</p>"
        f'<div class="parts"><section><h2>The way of a handshake</h2>{picture(report["hops"])}</section>'
        f'<div id="findings">{verdict}{noticed}</div></div>'
        f"<p class=dim>{escape(versions)}</p><p class=dim>Nothing was changed on the host.</p></main></body></html>\n"
    )


def _finding(finding: dict[str, Any]) -> str:
    seen, settings = "\n".join(finding["seen"]), "\n".join(settings_lines(finding["settings"]))
    return (
        f'<section class="{escape(finding["severity"])}"><h2>{escape(finding["code"])}: {escape(finding["title"])}</h2>'
        f"<p>{escape(finding['cause'])}</p>"
        + (f"<div class=dim>Seen</div><pre>{escape(seen)}</pre>" if seen else "")
        + f'<div class=dim>Fix</div><pre class="fix">{escape(finding["fix"])}</pre>'
        + (f'<div class=dim>In the inventory</div><pre class="settings">{escape(settings)}</pre>' if settings else "")
        + "".join(f'<div class=dim>Run</div><pre class="run">{escape(each)}</pre>' for each in finding["commands"])
        + "</section>"
    )


def picture(hops: list[dict[str, Any]]) -> str:
    """Return the way of a handshake as SVG: a line from hop to hop, with the time that each took."""
    parts = []
    for index, hop in enumerate(hops):
        y = ROW // 2 + index * ROW
        if index:
            parts.append(f'<line class="{hop["state"]}" x1="{LEFT}" x2="{LEFT}" y1="{y - ROW + 9}" y2="{y - 9}"/>')
        took = _time(hop["ms"]) if hop["ms"] is not None else ""
        detail = hop["detail"] if len(hop["detail"]) <= 42 else hop["detail"][:41] + "…"
        parts.append(
            f'<g class="{hop["state"]}" data-hop="{hop["id"]}"><circle cx="{LEFT}" cy="{y}" r="8"/>'
            f'<text x="{LEFT + 20}" y="{y}">{escape(hop["title"])}</text>'
            f'<text class="dim" x="{LEFT + 20}" y="{y + 15}">{escape(detail)}</text>'
            f'<text class="dim" x="{WIDTH - 4}" y="{y + 5}" text-anchor="end">{took}</text></g>'
        )
    broken = next((hop["title"] for hop in hops if hop["state"] == "broken"), "none")
    return (
        f'<svg viewBox="0 0 {WIDTH} {len(hops) * ROW}" role="img" '
        f'aria-label="Hops of a handshake; broken: {escape(broken)}">{"".join(parts)}</svg>'
    )
