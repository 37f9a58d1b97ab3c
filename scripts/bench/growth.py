"""How a run's time grows with the number of hosts and with the size of the project."""

from __future__ import annotations

import json
import random
import re
import shutil
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from curves import Panel
from rig import EXAMPLE, ROOT, SITE, BenchError, Site, Work, changed_copy, row, say, spread, up, weighed

#: Megabytes and files of projects, each added to the example's own.
SIZES = ((1, 10), (10, 1_000), (100, 10_000))
#: Numbers of packages; the names come from the lock files of the bundle's own tools, whose versions fit together.
PACKAGES = (10, 40, 90)
LOCKS = ("requirements.lock", "scripts/docs/requirements.lock", "scripts/bench/requirements.lock")
GOALS = {"unchanged": 2.5, "deploy": 3.0}  # times the time of one host
LEAST = "least"  # one task on each host, below which no run can come
# In this order: what a deploy leaves to end on the hosts would slow down the others.
WORDS = {"unchanged": "nothing changed", LEAST: "one task, `ping`", "deploy": "code changed"}


class Growth:
    """Measurements of fleets and projects; ratios are to what one host or the example took in the same round."""

    def __init__(self, work: Path, hosts: int, rounds: int) -> None:
        self.work, self.rounds = work, rounds
        self.names = [f"bench-{number:02}" for number in range(1, hosts + 1)]
        self.seconds: dict[tuple[str, str], list[float]] = defaultdict(list)  # of a kind, by what was varied
        self.ratios: dict[str, list[float]] = defaultdict(list)
        self.work_of: dict[tuple[str, int], list[Work]] = defaultdict(list)  # of a kind, by the number of hosts

    # --- hosts

    def fleet(self, single: Site) -> None:
        """Measure fleets of several sizes beside one host."""
        up(*self.names)
        whole = Site(self.work, self.names)
        say(f"{len(self.names)} hosts, bare")
        whole.play(*SITE)
        counts = sorted({2, 5, len(self.names)} & set(range(2, len(self.names) + 1)))
        for number in range(self.rounds):
            for kind in WORDS:
                work = {1: self.once(kind, single, f"one-{number}")}
                # The first hosts are in each part, so each deploy gets code of its own.
                for count in counts:
                    folder = self.work / f"{kind}-{number}-{count}"
                    folder.mkdir()
                    part = Site(folder, self.names[:count])
                    work[count] = self.once(kind, part, f"{count}-{number}")
                for count, done in work.items():
                    self.seconds[kind, str(count)].append(done.wall)
                    self.work_of[kind, count].append(done)
                if kind in GOALS:
                    self.ratios[kind].append(work[len(self.names)].wall / work[1].wall)
                say(f"{kind}: " + ", ".join(f"{count} hosts {done.wall:.1f} s" for count, done in work.items()))

    def once(self, kind: str, site: Site, name: str) -> Work:
        """Return the cost of one run on all hosts of a site."""
        if kind == "deploy":
            folder = changed_copy(self.work, f"fleet-{name}")
            given = ("playbooks/deploy.yml", "-e", f"release_folder={folder}")
            return weighed(lambda: site.play(*given, changes=True)[0])
        if kind == LEAST:
            works = [weighed(lambda: site.play("scripts/bench/one_task.yml", changes=False)[0]) for _ in range(3)]
            return sorted(works)[1]
        site.play(*SITE)  # a deploy may have brought other code
        return weighed(lambda: site.play(*SITE, changes=False)[0])

    # --- projects

    def sizes(self, site: Site) -> None:
        """Measure first deploys of larger projects on one host, beside one of the example with other code."""
        for number in range(self.rounds):
            small = self.first(site, f"small-{number}", 0, 0)
            self.seconds["size", "the example"].append(small)
            for megabytes, files in SIZES:
                label = f"{megabytes} MB, {files:,} files"
                self.seconds["size", label].append(self.first(site, f"size-{megabytes}-{number}", megabytes, files))
        for count in PACKAGES:  # once: the environment is kept
            options = {"release_packages": packages(count), "release_folder": str(EXAMPLE)}
            taken, _ = site.play("playbooks/deploy.yml", "-e", json.dumps(options), changes=True)
            self.seconds["packages", str(count)].append(taken)
            say(f"{count} packages: {taken:.1f} s")

    def first(self, site: Site, name: str, megabytes: int, files: int) -> float:
        """Return the seconds of the deploy of a project with this much more in it."""
        folder = changed_copy(self.work, name)
        for number in range(files):
            path = folder / "backend" / "data" / f"{number // 100:03}" / f"{number:05}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(noise(megabytes * 1_000_000 // files, number))
        taken, _ = site.play("playbooks/deploy.yml", "-e", f"release_folder={folder}", changes=True)
        shutil.rmtree(folder)
        say(f"{megabytes} MB in {files:,} files: {taken:.1f} s")
        return taken

    # --- the page

    def rows(self) -> Iterator[str]:
        """Yield the lines of the table of ratios."""
        labels = {"unchanged": "`site.yml`, nothing changed", "deploy": "`playbooks/deploy.yml`, code changed"}
        for kind, goal in GOALS.items():
            ratio = statistics.median(self.ratios[kind])
            one, many = self.seconds[kind, "1"], self.seconds[kind, str(len(self.names))]
            yield row(f"{labels[kind]}, {len(self.names)} hosts", "the same on one host", spread(one), spread(many),
                      len(many), spread(self.ratios[kind], 2), f"≤ {goal:g}",
                      "met" if ratio <= goal else "**not met**")  # fmt: skip

    def costs(self) -> Iterator[str]:
        """Yield the lines of the table of CPU time."""
        for (kind, count), runs in self.work_of.items():
            median = Work(*(statistics.median(figures) for figures in zip(*runs, strict=True)))
            yield row(WORDS[kind], count, f"{median.wall:.1f}", f"{median.controller:.1f}", f"{median.rest:.1f}",
                      f"{100 * median.busy:.0f} %")  # fmt: skip

    def lines(self) -> Iterator[str]:
        """Yield the lines of the table of sizes."""
        words = {kind: f"{text}, {{}} hosts" for kind, text in WORDS.items()}
        words |= {"size": "code changed, {}", "packages": "{} packages, first deploy"}
        for (kind, what), figures in self.seconds.items():
            yield row(words[kind].format(what).replace(" 1 hosts", " 1 host"), spread(figures), len(figures))

    def panels(self) -> list[Panel]:
        """Return what the picture shows."""
        hosts = {kind: [(float(count), statistics.median(figures)) for (other, count), figures in self.seconds.items()
                        if other == kind] for kind in WORDS}  # fmt: skip
        sizes = [(float(re.sub(r" .*", "", what)), statistics.median(figures))
                 for (kind, what), figures in self.seconds.items() if kind == "size" and what[0].isdigit()]  # fmt: skip
        counts = [(float(what), statistics.median(figures))
                  for (kind, what), figures in self.seconds.items() if kind == "packages"]  # fmt: skip
        return [
            Panel("Hosts", {WORDS[kind]: figures for kind, figures in hosts.items()}),
            Panel("Size of the project, in MB", {"code changed": sizes}),
            Panel("Packages of a first deploy", {"with its environment": counts}),
        ]


def noise(size: int, seed: int) -> bytes:
    """Return bytes that do not get smaller when they are packed, the same ones for the same seed."""
    return random.Random(seed).randbytes(size)


def packages(count: int) -> list[str]:
    """Return requirements that fit together and that the example lacks; raise BenchError if there are too few."""
    own = (EXAMPLE / "backend" / "requirements" / "base.lock").read_text()
    owned = set(re.findall(r"^([a-z0-9._-]+)==", own, re.MULTILINE))
    found: dict[str, str] = {}
    for lock in LOCKS:
        # With a condition behind it, a package may be for another system or Python.
        for name, version in re.findall(r"^([a-z0-9._-]+)==(\S+) \\$", (ROOT / lock).read_text(), re.MULTILINE):
            if name not in owned:
                found.setdefault(name, f"{name}=={version}")
    if len(found) < count:
        raise BenchError(f"the lock files have {len(found)} packages, not {count}")
    return list(found.values())[:count]
