#!/usr/bin/env python3
"""Measure what one process carries, bare and behind the whole stack, with each server; write docs/capacity.md.

scripts/bench/capacity.py [--rounds N] [--seconds S] [--idle N] [--keep]

Makes a lab host of its own, and removes it at the end. Clients and server are on the host and share its cores, so only
the ratios within one run travel. Stops at the first measurement that fails. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from rig import HERE, ROOT, SSH_CONFIG, BenchError, Site, down, machine, row, say, ssh, up

HOST = "bench-capacity"
SERVERS = ("daphne", "uvicorn")
TARGET_RATIO = 0.9
IDLE_SECONDS = 90  # more than a ping's time and its timeout
BARE = {
    "daphne": "daphne -v0 -b 127.0.0.1 -p 9000 core.asgi:application",
    "uvicorn": "uvicorn --log-level warning --ws-per-message-deflate false --port 9000 core.asgi:application",
}
WAYS = {"bare": "127.0.0.1:9000", "socket": "", "nginx": "127.0.0.1:8000"}
LABELS = {
    "bare": "bare, on a TCP port",
    "socket": "of the stack, on its socket",
    "nginx": "of the stack, through nginx",
}
MEMORY = HERE / "memory.py"
# What comes after this line is written by hand and by scripts/sizing.py, whose figures a test compares with these.
KEPT = "<!-- From here on, scripts/bench/capacity.py changes nothing. -->"


class Capacity:
    """All measurements of one run, in a folder of its own."""

    def __init__(self, work: Path, seconds: int) -> None:
        self.work, self.seconds = work, seconds
        self.figures: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
        self.idle: dict[str, dict[str, float]] = {}
        self.site = Site(work, [HOST])

    def serve(self, playbook: str, server: str, **options: Any) -> dict[str, Any]:
        """Deploy the stack with a server; return what the host says about the generation."""
        given = {"asgi_server": server, "release_drain_seconds": 3, "handshake_idle_seconds": 0, **options}
        self.site.play(playbook, "-e", json.dumps(given))
        time.sleep(8)  # the previous generation has drained by then
        return json.loads(ssh(HOST, "dashboard-generations list --json")[1])["generations"][0]

    def rates(self, server: str, rounds: int) -> None:
        """Measure one process of a server in three ways, one after another; the order differs in each round."""
        live = self.serve("site.yml", server, asgi_processes=1)
        WAYS["socket"] = live["sockets"][0]
        within = f"runuser -u dashboard -- /srv/dashboard/live/within {BARE[server]}"
        ssh(HOST, f"systemd-run --quiet --collect --unit=bare {within}")
        time.sleep(5)
        try:
            for number in range(rounds):
                order = list(WAYS)
                for way in order[number % 3 :] + order[: number % 3]:
                    figures = self.client("rates", WAYS[way], self.seconds)
                    self.figures[server, way].append(figures)
                    say(f"{server}, {way}: " + ", ".join(f"{name} {value:.1f}" for name, value in figures.items()))
        finally:
            ssh(HOST, "systemctl stop bare")

    def many(self, server: str, number: int) -> None:
        """Measure the memory of many silent sockets through nginx, with the defaults."""
        live = self.serve("playbooks/deploy.yml", server)
        nginx = "$(pgrep -x nginx)"
        before = [self.memory(" ".join(map(str, live["pids"]))), self.memory(nginx)]
        command = self.command("idle", WAYS["nginx"], number)
        begun = time.monotonic()
        client = subprocess.Popen(
            ["ssh", "-F", SSH_CONFIG, HOST, command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        try:
            if client.stdout is None or client.stdin is None or client.stdout.readline() != "open\n":
                raise BenchError(f"{number} sockets could not be opened")
            opening = time.monotonic() - begun
            time.sleep(IDLE_SECONDS)
            after = [self.memory(" ".join(map(str, live["pids"]))), self.memory(nginx)]
            shown = json.loads(ssh(HOST, "dashboard-generations list --json")[1])["generations"][0]
            client.stdin.close()
            left = json.loads(client.stdout.readline())["open"]
        finally:
            client.kill()
        self.idle[server] = {
            "opened": number, "seconds": opening, "open": left, "connections": shown["connections"],
            "server": (after[0] - before[0]) / number, "nginx": (after[1] - before[1]) / number,
        }  # fmt: skip
        say(f"{server}: {self.idle[server]}")

    def command(self, what: str, target: str, number: int) -> str:
        """Return the command that runs clients on the host; the client's code is an argument, so nothing is copied."""
        token = ssh(HOST, "dashboard-manage mint_token --user bench --ttl 7200")[1].strip()
        text = (HERE / "client.py").read_text()
        return shlex.join(["python3", "-c", text, what, target, token, str(number)])

    def client(self, what: str, target: str, number: int) -> dict[str, float]:
        """Run clients on the host, and return their measurements."""
        return json.loads(ssh(HOST, self.command(what, target, number))[1])

    def memory(self, pids: str) -> int:
        """Return the memory of some processes, in kB."""
        return int(ssh(HOST, f"python3 -c {shlex.quote(MEMORY.read_text())} {pids}")[1])

    def median(self, server: str, way: str, name: str) -> float:
        """Return the median of a figure over all rounds."""
        return statistics.median(figures[name] for figures in self.figures[server, way])

    def page(self, rounds: int, load: float) -> str:
        """Return the page with all figures."""
        rates, ratios, idles = [], [], []
        for server in SERVERS:
            for way, label in LABELS.items():
                figures = [self.median(server, way, name) for name in ("handshakes", "echoes", "p50", "p99")]
                rates.append(row(f"{server}, {label}", *(f"{value:,.0f}" for value in figures[:2]),
                                 *(f"{value:.1f}" for value in figures[2:])))  # fmt: skip
            for one, other in (("nginx", "socket"), ("nginx", "bare")):
                pair = [self.median(server, one, name) / self.median(server, other, name)
                        for name in ("handshakes", "echoes")]  # fmt: skip
                met = "" if other == "bare" else "met" if min(pair) >= TARGET_RATIO else "**not met**"
                ratios.append(
                    row(
                        f"{server}: through nginx / {'its socket' if other == 'socket' else 'bare'}",
                        *(f"{value:.2f}" for value in pair),
                        f"≥ {TARGET_RATIO}" if met else "",
                        met,
                    )
                )
            if server in self.idle:
                told = self.idle[server]
                idles.append(row(server, f"{told['opened']:,}", f"{told['open']:,}", f"{told['seconds']:.0f}",
                                 f"{told['server']:.1f}", f"{told['nginx']:.1f}"))  # fmt: skip
        template = (HERE / "capacity.md").read_text(encoding="utf-8")
        return template.format(
            date=time.strftime("%Y-%m-%d", time.gmtime()), rates="\n".join(rates), ratios="\n".join(ratios),
            idles="\n".join(idles), machine=machine(HOST, load), rounds=rounds, seconds=self.seconds, idle=IDLE_SECONDS,
        )  # fmt: skip


def main() -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often the rates are measured (3)")
    parser.add_argument("--seconds", type=int, default=6, help="how long each rate is measured (6)")
    parser.add_argument("--idle", type=int, default=10000, help="silent sockets on the host (10000)")
    parser.add_argument("--keep", action="store_true", help="leave the host and the inventory for a look")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    work = Path(tempfile.mkdtemp(prefix="capacity-"))
    capacity = Capacity(work, options.seconds)
    try:
        up(HOST)
        for server in SERVERS:
            capacity.rates(server, options.rounds)
            capacity.many(server, options.idle)
        page = ROOT / "docs" / "capacity.md"
        rest = page.read_text(encoding="utf-8").partition(KEPT)[2]
        page.write_text(f"{capacity.page(options.rounds, load)}\n{KEPT}{rest}", encoding="utf-8")
        say("docs/capacity.md is written")
    except BenchError as error:
        print(f"capacity: {error}", file=sys.stderr)
        return 1
    finally:
        if not options.keep:
            down(HOST)
            shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
