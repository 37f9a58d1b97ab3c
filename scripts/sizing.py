#!/usr/bin/env python3
"""Say what a number of sockets needs, from what was measured (docs/capacity.md). Standard library only.

scripts/sizing.py hosts --sockets 20000 --messages 50 --receivers 200 --handshakes 20
scripts/sizing.py storm --clients 20000 --processes 32     an edge or a host dies, and all of its clients come back
scripts/sizing.py page [--check]                           write docs/capacity.md's tables; --check: only say if stale

Each has --help, and --json for programs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.channels.stack.plugins.module_utils.capacity import page  # noqa: E402
from ansible_collections.channels.stack.plugins.module_utils.capacity.figures import SERVERS  # noqa: E402
from ansible_collections.channels.stack.plugins.module_utils.capacity.sizing import EDGES, Demand, size  # noqa: E402
from ansible_collections.channels.stack.plugins.module_utils.capacity.storm import (  # noqa: E402
    Backoff,
    Storm,
    simulate,
    window_needed,
)

PAGE = ROOT / "docs" / "capacity.md"
BEGIN, END = "<!-- begin: scripts/sizing.py page -->\n", "<!-- end: scripts/sizing.py page -->"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    whole = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parts = whole.add_subparsers(dest="what", required=True)
    hosts = parts.add_parser("hosts", help="edges, app hosts, memory, files and ports", description=Demand.__doc__)
    hosts.add_argument("--sockets", type=int, required=True, help="open sockets at the peak")
    hosts.add_argument("--messages", type=float, default=0, help="messages that the project sends, a second")
    hosts.add_argument("--receivers", type=float, default=1, help="sockets that each message goes to")
    hosts.add_argument("--handshakes", type=float, default=0, help="new sockets a second, from growth and reconnects")
    hosts.add_argument("--return-seconds", type=float, default=30, help="all clients of a dead host are back by then")
    hosts.add_argument("--server", default="daphne", choices=list(SERVERS))
    hosts.add_argument("--edge", default="nginx", choices=EDGES, help="none: a single host is its own edge")
    hosts.add_argument("--cores", type=int, default=4, help="cores of an app host (4)")
    hosts.add_argument("--memory-gb", type=float, default=8, help="memory of an app host (8)")
    hosts.add_argument("--edge-memory-gb", type=float, default=4, help="memory of an edge (4)")
    storm = parts.add_parser("storm", help="all clients come back at once", description=Storm.__doc__)
    storm.add_argument("--clients", type=int, required=True)
    storm.add_argument("--processes", type=int, required=True, help="that serve them, on all app hosts")
    storm.add_argument("--server", default="daphne", choices=list(SERVERS))
    storm.add_argument("--rate", type=float, help="handshakes/s of a process (by default, as measured)")
    storm.add_argument("--addresses", type=int, default=0, help="that they come from (0: one for each client)")
    storm.add_argument("--limit", type=float, default=100, help="nginx_address_handshakes (100; 0: none)")
    storm.add_argument("--burst", type=int, default=4000, help="nginx_address_handshakes_burst (4000)")
    storm.add_argument("--timeout", type=float, default=10, help="asgi_websocket_connect_timeout (10)")
    storm.add_argument("--away", type=float, default=0, help="seconds in which nobody answers (0)")
    storm.add_argument("--window", type=float, default=0.5, help="seconds within which clients try first (0.5)")
    storm.add_argument("--most", type=float, default=30, help="the longest back-off in seconds (30)")
    storm.add_argument("--seed", type=int, default=1)
    for part in (hosts, storm):
        part.add_argument("--json", action="store_true", help="print JSON")
    write = parts.add_parser("page", help="write the tables of docs/capacity.md")
    write.add_argument("--check", action="store_true", help="write nothing; exit 1 if they are stale")
    return whole


def hosts(given: argparse.Namespace) -> int:
    """Print what a demand needs."""
    demand = Demand(**{each.name: getattr(given, each.name) for each in dataclasses.fields(Demand)})
    found = size(demand)
    if given.json:
        print(json.dumps(found, indent=2))
        return 0
    width = max(map(len, found))
    for name, value in found.items():
        if name != "beyond":
            print(f"{name:{width}}  {value:,}" if not isinstance(value, str) else f"{name:{width}}  {value}")
    for each in found["beyond"]:
        print(f"never measured: {each}")
    return 0


def storm(given: argparse.Namespace) -> int:
    """Print what a storm does."""
    numbers = {"clients": given.clients, "processes": given.processes, "burst": given.burst}
    wrong = [f"--{name} is {value}; write at least 1" for name, value in numbers.items() if value < 1]
    rate = SERVERS[given.server]["handshakes"].value if given.rate is None else given.rate
    wrong += [] if 0 < rate < math.inf else [f"--rate is {rate:g}; write more than 0"]
    numbers = {"addresses": given.addresses, "limit": given.limit, "away": given.away, "window": given.window}
    wrong += [f"--{name} is {value:g}; write at least 0" for name, value in numbers.items() if value < 0]
    wrong += [] if given.most >= 1 else [f"--most is {given.most:g}; write at least 1"]
    wrong += [] if given.timeout > 0 else [f"--timeout is {given.timeout:g}; write more than 0"]
    if wrong:
        raise ValueError("; ".join(wrong))
    asked = Storm(
        given.clients, given.processes, rate, given.addresses, given.limit, given.burst, timeout=given.timeout,
        away=given.away, backoff=Backoff(given.window, 1.0, given.most), seed=given.seed,
    )  # fmt: skip
    found, window = simulate(asked), window_needed(asked)
    if given.json:
        print(json.dumps({**dataclasses.asdict(found), "window_needed": window}, indent=2))
        return 0
    print("\n".join(page.outcome_lines(asked, found)))
    print(f"first window    {page.span(window)} lets no attempt fail" if math.isfinite(window)
          else "first window    none lets no attempt fail: add processes, or raise a limit")  # fmt: skip
    return 0


def write(given: argparse.Namespace) -> int:
    """Write the page's tables, or tell whether they are stale."""
    present = PAGE.read_text(encoding="utf-8")
    head, _, rest = present.partition(BEGIN)
    wanted = f"{head}{BEGIN}{page.tables()}{END}{rest.partition(END)[2]}"
    if not given.check:
        PAGE.write_text(wanted, encoding="utf-8")
    elif wanted != present:
        print("docs/capacity.md is stale: run scripts/sizing.py page", file=sys.stderr)
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Do as the command line says; return the exit status."""
    given = parser().parse_args(arguments)
    try:
        return {"hosts": hosts, "storm": storm, "page": write}[given.what](given)
    except ValueError as error:
        print(f"sizing: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
