#!/usr/bin/env python3
"""Measure how long the bundle takes beside what does the same by hand or with another tool, how that grows with hosts
and projects, and what clients notice of a deploy; write docs/benchmarks.md and the pictures in it.

scripts/bench/times.py [--rounds N] [--fleet N] [--keep]

Makes its own lab hosts, and removes them at the end. Stops at the first measurement that fails. Ratios are of pairs
that were measured one after the other, so they mean something on a busy machine, too; seconds do not.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from curves import curves
from deploy_plot import draw
from growth import LEAST, Growth
from rig import (
    ENVIRONMENT,
    EXAMPLE,
    HERE,
    ROOT,
    SITE,
    SSH_CONFIG,
    BenchError,
    Site,
    changed_copy,
    down,
    machine,
    recap,
    row,
    run,
    say,
    spread,
    ssh,
    up,
)

# The source of the lab's base_ca_certificates.
AUTHORITIES = Path("/usr/local/share/ca-certificates")
PLAIN, STACK = "bench-plain", "bench-stack"  # the two hosts
# Clients of the deploy in the picture: open sockets, handshakes per second, and when and how fast the old sockets end.
SOCKETS, RATE, DRAIN, SPREAD = 200, 10, 25, 8
PHASES = ("prepared", "passed its gate", "switched")  # as a deploy reports them


class Pair(NamedTuple):
    """Two ways to do the same, how often both are measured in a round, and the ratio that is wanted."""

    label: str
    reference: str
    times: int
    goal: float


PAIRS = {
    "bare": Pair("bare host to a proven WebSocket, `site.yml`", "[plain script](../scripts/bench/plain.sh)", 1, 0.95),
    "unchanged": Pair("`site.yml`, nothing changed", "[pyinfra](../scripts/bench/pyinfra_stack.py)", 3, 0.5),
    "deploy": Pair("`playbooks/deploy.yml`, code changed", "[script](../scripts/bench/redeploy.sh)", 2, 1.6),
}
NOTABLE = 0.4  # seconds of a task that is named
# Tasks that wait for what no tool can leave out: packages, the project's own start, and the proof of its sockets.
WAITS = (
    "Probe each host",
    "Fetch the list of packages",
    "Install the packages of the host's groups on a bare host",
    "Install the pinned uv",
    "Install the requirements",
    "Check the project, collect its static files and migrate its database",
    "Start the new processes",
    "Wait until each process answers HTTP and completes a handshake",
    "Hold sockets to the new processes, directly and through nginx",
    "Try the WebSockets on the host",
)
DOCTOR_GOAL = 10.0  # seconds, without the idle socket


class Bench:
    """All measurements of one run, in a folder of its own."""

    def __init__(self, work: Path, pyinfra: Path) -> None:
        self.work, self.pyinfra = work, pyinfra
        self.site = Site(work, [STACK])
        self.pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)  # seconds of the reference, and ours
        self.linear: list[float] = []
        self.doctor: list[float] = []
        self.phases: dict[str, list[float]] = defaultdict(list)
        self.counts: dict[str, tuple[int, int]] = {}  # tasks and changes of the last run
        self.tasks: dict[str, list[tuple[str, float]]] = {}  # of the last run of each kind, with their seconds
        self.clients: dict[str, str] = {}  # figures from the clients of the deploy in the picture
        self.number = 0

    def round(self, number: int) -> None:
        """Measure everything once, on two new hosts."""
        down(PLAIN, STACK)
        up(PLAIN, STACK)
        shutil.rmtree(self.work / "releases", ignore_errors=True)
        self.pair("bare", self.script, lambda: self.ours("bare", *SITE, changes=True))
        self.with_pyinfra()  # the first time, it may have something to change
        self.pair("unchanged", self.with_pyinfra, lambda: self.ours("unchanged", *SITE, changes=False))
        self.linear.append(self.site.play(*SITE, changes=False, ANSIBLE_STRATEGY="ansible.builtin.linear")[0])
        self.pair("deploy", self.redeploy, self.deploy)
        taken, _ = self.site.play("playbooks/doctor.yml", "-e", "doctor_idle_seconds=0")
        self.doctor.append(taken)
        say(f"round {number}: doctor {taken:.1f} s")

    def pair(self, name: str, reference: Callable[[], float], ours: Callable[[], float]) -> None:
        """Measure a pair as often as it wants; which of both comes first alternates."""
        for _ in range(PAIRS[name].times):
            self.number += 1
            if self.number % 2:
                other = reference()
                own = ours()
            else:
                own = ours()
                other = reference()
            self.pairs[name].append((other, own))
            say(f"{name}: {own:.1f} s, reference {other:.1f} s, ratio {own / other:.2f}")

    def script(self) -> float:
        """Return the seconds of the plain script on a bare host."""
        started = time.monotonic()
        bundle = packed({"plain.sh": HERE / "plain.sh", "project": EXAMPLE}
                        | {f"authorities/{path.name}": path for path in AUTHORITIES.glob("*.crt")})  # fmt: skip
        unpack = "mkdir bench && tar --extract --no-same-owner --directory bench && sh bench/plain.sh"
        ssh(PLAIN, unpack, stdin=bundle)
        return time.monotonic() - started

    def redeploy(self) -> float:
        """Return the seconds of a deploy by script, with one line of code changed."""
        folder = changed_copy(self.work, f"redeploy-{self.number}")
        started = time.monotonic()
        text = (HERE / "redeploy.sh").read_text()
        ssh(PLAIN, f"cat >redeploy.tar && sh -c '{quoted(text)}' <redeploy.tar", stdin=packed({"project": folder}))
        return time.monotonic() - started

    def with_pyinfra(self) -> float:
        """Return the seconds of pyinfra with twelve operations, on the host of the plain script."""
        options = ("--yes", "--data", f"ssh_config_file={SSH_CONFIG}", "--data", "ssh_strict_host_key_checking=off")
        taken, output = run(self.pyinfra, *options, f"@ssh/{PLAIN}", HERE / "pyinfra_stack.py")
        if not re.search(r"^ *Grand total +12 ", output, re.MULTILINE):
            raise BenchError(f"pyinfra did not run its twelve operations:\n{output[-2000:]}")
        return taken

    def ours(self, name: str, playbook: str, *options: str, changes: bool) -> float:
        """Return the seconds of a playbook, and note what it did."""
        taken, output = self.site.play(playbook, *options, changes=changes)
        self.counts[name], self.tasks[name] = recap(output)[STACK], self.site.tasks
        return taken

    def deploy(self) -> float:
        """Return the seconds of a deploy of a change to the code, and note its phases."""
        folder = changed_copy(self.work, f"deploy-{self.number}")
        taken, output = self.site.play("playbooks/deploy.yml", "-e", f"release_folder={folder}", changes=True)
        self.counts["deploy"], self.tasks["deploy"] = recap(output)[STACK], self.site.tasks
        for phase in PHASES:
            self.phases[phase].append(float(re.findall(rf"{phase} in ([0-9.]+) s", output)[0]))
        told = sum(self.phases[phase][-1] for phase in PHASES)
        self.phases["start, preflight, packing and end"].append(taken - told)
        return taken

    def watch_deploy(self) -> str:
        """Deploy while clients come and go; return a picture of what they noticed."""
        say(f"a deploy with {SOCKETS} open sockets and {RATE} handshakes a second")
        port = json.loads((ROOT / ".lab" / "ports" / f"{STACK}.json").read_text())["80"]
        _, token = ssh(STACK, "dashboard-manage mint_token --user bench --ttl 3600")
        report, before = self.work / "clients.json", generation()
        clients = subprocess.Popen(
            [ROOT / ".venv" / "bin" / "python", ROOT / "molecule" / "resources" / "load.py", f"{STACK}={port}",
             "--token", token.strip(), "--report", report, "--sockets", str(SOCKETS), "--rate", str(RATE)],
            stdout=subprocess.PIPE, env=ENVIRONMENT,
        )  # fmt: skip
        try:
            if clients.stdout is None or clients.stdout.readline() != b"ready\n":
                raise BenchError("the clients could not open their sockets")
            time.sleep(8)
            begun = time.time()
            options = {"release_folder": str(changed_copy(self.work, "watched")), "release_drain_seconds": DRAIN,
                       "release_drain_spread_seconds": SPREAD}  # fmt: skip
            self.site.play("playbooks/deploy.yml", "-e", json.dumps(options))
            after = generation()
            _, shown = ssh(STACK, "dashboard-generations list --json")
            rows = {row["generation"]: row for row in json.loads(shown)["generations"]}
            switched, deadline = rows[after]["served"], rows[before]["deadline"]
            time.sleep(max(0.0, deadline + SPREAD + 6 - time.time()))
            clients.terminate()
            clients.wait(60)
        finally:
            clients.kill()
        noticed = json.loads(report.read_text())
        taken = sorted(value for _, value in noticed["latencies"])
        during = [value for moment, value in noticed["latencies"] if begun <= moment <= deadline + SPREAD]
        self.clients = {
            "handshakes": f"{noticed['figures']['handshakes']:,}", "requests": f"{noticed['figures']['requests']:,}",
            "deliveries": f"{noticed['figures']['deliveries']:,}", "failures": str(len(noticed["failures"])),
            "early": str(sum(closing["at"] < deadline for closing in noticed["closings"])),
            "closed": str(len(noticed["closings"])), "p50": f"{statistics.median(taken):.1f}",
            "p99": f"{statistics.quantiles(taken, n=100)[98]:.0f}", "most": f"{max(during):.0f}",
        }  # fmt: skip
        say(", ".join(f"{name} {value}" for name, value in self.clients.items()))
        marks = [(begun, "deploy begins"), (switched, "switch"), (deadline, "deadline")]
        return draw(noticed["samples"], noticed["latencies"], marks, (before, after))

    def table(self, growth: Growth) -> list[str]:
        """Return the lines of the table of ratios."""
        lines = []
        for name, pair in PAIRS.items():
            others, own = zip(*self.pairs[name], strict=True)
            ratios = [one / other for other, one in self.pairs[name]]
            lines.append(row(pair.label, pair.reference, spread(others), spread(own), len(own), spread(ratios, 2),
                             *verdict(statistics.median(ratios), pair.goal)))  # fmt: skip
        lines.extend(growth.rows())
        label = "`playbooks/doctor.yml` on a healthy host, without its idle socket"
        met = verdict(statistics.median(self.doctor), DOCTOR_GOAL, " s")
        lines.append(row(label, "", "", spread(self.doctor), len(self.doctor), "", *met))
        return lines

    def sums(self) -> dict[str, dict[str, float]]:
        """Return the seconds of each task in the last run of each kind; raise BenchError if a task of WAITS is gone."""
        sums: dict[str, dict[str, float]] = {}
        for name, tasks in self.tasks.items():
            sums[name] = defaultdict(float)
            for task, seconds in tasks:
                sums[name][task] += seconds
        if gone := set(WAITS).difference(*sums.values()):
            raise BenchError(f"no run has these tasks, which WAITS names: {', '.join(sorted(gone))}")
        return sums

    def floors(self, growth: Growth) -> list[str]:
        """Return the lines of the table of floors: a run of one task, and the tasks that wait."""
        least = statistics.median(growth.seconds[LEAST, "1"])
        lines = []
        for name, tasks in self.sums().items():
            waits = sum(seconds for task, seconds in tasks.items() if task in WAITS)
            allowed = PAIRS[name].goal * statistics.median(other for other, _ in self.pairs[name])
            lines.append(row(PAIRS[name].label, *(f"{figure:.1f}" for figure in (allowed, least, waits, least + waits)),
                             "" if least + waits <= allowed else "out of reach"))  # fmt: skip
        return lines

    def longest(self) -> list[str]:
        """Return the lines of the table of the tasks that take longest in any of the runs."""
        sums = self.sums()
        shown = [task for task in dict.fromkeys(task for tasks in sums.values() for task in tasks)
                 if any(tasks.get(task, 0) >= NOTABLE for tasks in sums.values())]  # fmt: skip
        rest = {name: sum(seconds for task, seconds in tasks.items() if task not in shown)
                for name, tasks in sums.items()}  # fmt: skip
        lines = [row(task, *(f"{sums[name][task]:.1f}" if task in sums[name] else "" for name in PAIRS))
                 for task in shown]  # fmt: skip
        return [*lines, row(f"all others, each below {NOTABLE} s", *(f"{rest[name]:.1f}" for name in PAIRS))]

    def page(self, rounds: int, load: float, growth: Growth) -> str:
        """Return the page with all figures; `load` is the machine's load average before the bench."""
        counts = {name: f"{tasks} tasks, {changed} changes" for name, (tasks, changed) in self.counts.items()}
        return (HERE / "page.md").read_text(encoding="utf-8").format(
            date=time.strftime("%Y-%m-%d", time.gmtime()),
            table="\n".join(self.table(growth)),
            growth="\n".join(growth.lines()),
            tasks="\n".join(self.longest()),
            floors="\n".join(self.floors(growth)),
            costs="\n".join(growth.costs()),
            counts=counts,
            linear=spread(self.linear),
            phases="\n".join(row(name, f"{statistics.median(figures):.1f}") for name, figures in self.phases.items()),
            sockets=SOCKETS, rate=RATE, drain=DRAIN, spread=SPREAD, clients=self.clients,
            machine=machine(STACK, load),
            rounds="One round" if rounds == 1 else f"{rounds} rounds",
        )  # fmt: skip


def packed(paths: dict[str, Path]) -> bytes:
    """Return an archive of files and folders under these names, without what tools left in them."""

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if Path(member.name).name.startswith((".", "__pycache__")) else member

    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w") as tar:
        for name, path in paths.items():
            tar.add(path, name, filter=wanted)
    return text.getvalue()


def quoted(text: str) -> str:
    """Return a text as it stands between single quotes of a shell."""
    return text.replace("'", "'\\''")


def generation() -> str:
    """Return the generation that serves."""
    return ssh(STACK, "readlink /srv/dashboard/live")[1].strip().rpartition("/")[2]


def verdict(figure: float, goal: float, unit: str = "") -> tuple[str, str]:
    """Return the goal, and whether a figure meets it."""
    return f"≤ {goal:g}{unit}", "met" if figure <= goal else "**not met**"


def pyinfra_program() -> Path:
    """Return pyinfra's program, in an environment of its own."""
    _, output = run("scripts/more_tools.sh", "bench")
    return Path(output.splitlines()[-1]) / "pyinfra"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument("--fleet", type=int, default=10, help="hosts of the largest fleet (10)")
    parser.add_argument("--keep", action="store_true", help="keep the hosts and the inventories, to look at them")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.fleet < 2:
        parser.error("--rounds must be 1 or more, and --fleet 2 or more")
    load = os.getloadavg()[0]
    work = Path(tempfile.mkdtemp(prefix="bench-"))
    growth = Growth(work, options.fleet, options.rounds)
    try:
        bench = Bench(work, pyinfra_program())
        for number in range(1, options.rounds + 1):
            say(f"round {number} of {options.rounds}")
            bench.round(number)
        picture = bench.watch_deploy()
        growth.sizes(bench.site)
        down(PLAIN)
        growth.fleet(bench.site)
        docs = ROOT / "docs"
        (docs / "benchmarks.md").write_text(bench.page(options.rounds, load, growth), encoding="utf-8")
        (docs / "deploy.svg").write_text(picture, encoding="utf-8")
        (docs / "growth.svg").write_text(curves(growth.panels()), encoding="utf-8")
        say("docs/benchmarks.md is written")
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if options.keep:
            say(f"kept: the hosts, and {work}")
        else:
            down(PLAIN, STACK, *growth.names)
            shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
