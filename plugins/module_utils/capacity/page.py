"""The tables of docs/capacity.md that the model fills."""

from __future__ import annotations

import math
from typing import Any

from . import figures
from .figures import SERVERS, Figure
from .sizing import Demand, size
from .storm import Outcome, Storm, simulate, window_needed

#: Rows of the table: sockets; a message a second for each 100 sockets goes to 100 of them, and 1 in 1,000 comes anew.
SOCKETS = (1_000, 5_000, 10_000, 50_000, 100_000, 250_000, 500_000, 1_000_000)
#: Clients that come back, for each process that serves them.
RETURNING = (250, 500, 1_000, 2_000, 3_000, 5_000)


def demand_for(sockets: int) -> Demand:
    """The demand of a row: daphne behind HAProxy, or one host alone where that is enough."""
    return Demand(
        sockets=sockets, messages=sockets / 10_000, receivers=100, handshakes=sockets / 1000,
        edge="none" if sockets <= figures.HOST_SOCKETS.value else "haproxy", cores=8, memory_gb=16,
    )  # fmt: skip


def tables() -> str:
    """All tables, in Markdown."""
    return "\n\n".join((sizing_table(), storm_table(), sources())) + "\n"


def sizing_table() -> str:
    """What each number of sockets needs."""
    head = ["sockets", "app hosts", "processes", "MB each", "edges", "MB each", "files of an edge",
            "ports to each app host", "Redis", "commands/s", "decided by"]  # fmt: skip
    rows = []
    for sockets in SOCKETS:
        found = size(demand_for(sockets))
        rows.append([
            number(sockets), number(found["app_hosts"]), number(found["app_hosts"] * found["processes_per_host"]),
            number(found["memory_mb_per_host"]), number(found["edges"]), number(found["edge_memory_mb"]),
            number(found["edge_open_files"]), number(found["edge_ports_per_app_host"]),
            number(found["redis_primaries"]), number(found["redis_commands_per_second"]), found["why"],
        ])  # fmt: skip
    return table(head, rows, "r" * 10 + "l")


def storm_table() -> str:
    """What a storm does to each process."""
    head = ["server", "clients for each process", "all back", "p99", "peak attempts/s for each", "failures",
            "window that avoids them"]  # fmt: skip
    rows = []
    for server in SERVERS:
        for clients in RETURNING:
            storm = Storm(clients, 1, SERVERS[server]["handshakes"].value)
            found = simulate(storm)
            rows.append([server, number(clients), span(found.all_back), span(found.p99), number(found.peak),
                         number(sum(found.failures.values())), span(window_needed(storm))])  # fmt: skip
    return table(head, rows, "lrrrrrr")


def sources() -> str:
    """Every constant, and where it comes from."""
    found = [each for server in SERVERS.values() for each in server.values()]
    found += [each for each in vars(figures).values() if isinstance(each, Figure)]
    return table(["figure", "what", "from"], [[f"{each.value:,g}", each.what, each.source] for each in found], "rll")


def outcome_lines(storm: Storm, found: Outcome) -> list[str]:
    """What a simulation found, for people."""
    failed = ", ".join(f"{count:,} {why}" for why, count in sorted(found.failures.items())) or "none"
    return [
        f"all {storm.clients:,} back    {span(found.all_back)}" if math.isfinite(found.all_back)
        else f"never all back  {found.back:,} of {storm.clients:,} after an hour",
        f"half, p99       {span(found.p50)}, {span(found.p99)} after the loss",
        f"attempts        {found.attempts:,}, at most {found.peak:,} in a second",
        f"handshakes      at most {found.served:,} in a second",
        f"failures        {failed}",
    ]  # fmt: skip


def table(head: list[str], rows: list[list[str]], sides: str) -> str:
    """A table in Markdown; `sides` has l or r for each column."""
    marks = ["--:" if side == "r" else "---" for side in sides]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, marks, *rows))


def number(value: Any) -> str:
    """A whole number for people."""
    return f"{value:,.0f}"


def span(seconds: float) -> str:
    """Seconds for people."""
    return f"{seconds:.1f} s" if math.isfinite(seconds) else "never"
