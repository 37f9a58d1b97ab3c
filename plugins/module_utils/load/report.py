"""The report of a load test: JSON, and a page in Markdown beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..capacity.figures import SERVERS
from ..text import report_files


def lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield the results of one host for people."""
    found = report["result"]
    yield (
        f"{found['opened']:,} of {found['asked']:,} sockets opened in {found['seconds']:g} s: "
        f"{found['handshakes_per_second']:g} handshakes/s, p50 {found['p50_ms']:g} ms, p99 {found['p99_ms']:g} ms"
    )
    for name, number in sorted(found["failures"].items()):
        yield f"failed: {number:,} with {name}"
    for code, number in sorted(found["lost"].items()):
        yield f"lost: {number:,} open sockets ended with {code}"
    yield f"the host counts {found['sockets_on_host']:,} more sockets than before"
    for title, key, unit in (("memory of a socket", "kb_per_socket", "kB"),
                             ("CPU of a handshake", "cpu_ms_per_handshake", "ms")):  # fmt: skip
        if found[key]:
            yield f"{title}: " + ", ".join(f"{name} {value:g} {unit}" for name, value in found[key].items())
    yield from reused(found)
    gave = found["gave_way"]
    if gave["what"]:
        yield f"gave way first: {gave['what']}. {gave['fix']}"
    else:
        yield f"nothing gave way; nearest to its limit: {gave['near']}"
    yield from sizing_lines(report["sizing"])


def reused(found: dict[str, Any]) -> Iterator[str]:
    """Yield a warning if memory of earlier sockets hides what these took."""
    least = min(each["kb"].value for each in SERVERS.values()) / 2
    if "processes" in found["kb_per_socket"] and found["kb_per_socket"]["processes"] < least:
        yield "that is less than it can be: processes reuse what earlier sockets left; test right after a deploy"


def sizing_lines(sizing: dict[str, Any]) -> Iterator[str]:
    """Yield what the model says about more of the same."""
    asked = sizing["for"]
    alone = "one app host, which is its own edge" if not sizing["edges"] and sizing["app_hosts"] == 1 else (
        f"{sizing['app_hosts']} app hosts and {sizing['edges']} edges, one of each to spare"
    )  # fmt: skip
    yield (
        f"{asked['sockets']:,} sockets on hosts like this ({asked['cores']} cores, {asked['memory_gb']:g} GB) need "
        f"{alone}; decided by {sizing['why']} (docs/capacity.md)"
    )
    for each in sizing["beyond"]:
        yield f"never measured: {each}"


def page(report: dict[str, Any]) -> str:
    """Return the report in Markdown."""
    found = report["result"]
    used = "\n".join(f"| {name} | {part:.0%} |" for name, part in found["use"].items())
    told = "\n".join(f"- {line}" for line in lines(report))
    return (
        f"# Load test of {report['name']}\n\n{report['at']}, {report['url']}\n\n{told}\n\n"
        f"| limit | used |\n| --- | --: |\n{used}\n"
    )


def write(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON and as a page, each whole or not at all."""
    report_files.write(path, report, ".md", page(report))
