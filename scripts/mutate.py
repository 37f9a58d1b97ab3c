#!/usr/bin/env python3
"""Break the product in small ways, one at a time, and list what no test notices.

    scripts/mutate.py                             try every change of every file that scripts/mutate.toml names
    scripts/mutate.py --only templates/nginx      those of some files, by a part of their path
    scripts/mutate.py --sample 100 --seed 7       some of them, by chance
    scripts/mutate.py --seconds 600               begin no other after ten minutes; the next run goes on
    scripts/mutate.py --list                      show them, and try none

A change removes a line or a task, flips yes and no, counts a number up, loosens a mode, or negates a condition. Each is
made in a copy of the tree, and judged by the tests that scripts/mutate.toml names for the file, cheapest first. The
working tree is not touched. What was found is kept in .cache/mutations.jsonl, for the same file and the same tests.

Ends with 0 where at least --least per cent were noticed, with 1 where fewer were, with 2 where nothing could be tried.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from mutations import Change, changes

ROOT = Path(__file__).resolve().parents[1]
# Loaded once, and there in each child: they take longer than most tests.
HEAVY = ("pytest", "yaml", "hypothesis", "crossplane", "ansible.template", "ansible.parsing.dataloader",
         "ansible.plugins.loader", "ansible.module_utils.basic")  # fmt: skip
NOTHING_COLLECTED = 5  # pytest's exit code
PATIENCE = 30.0  # seconds beside five times what the tests take, after which they hang


class Mutant(NamedTuple):
    """A change of a file, what that file says without it, and the tests that are to notice it."""

    path: str
    change: Change
    text: str
    tests: tuple[str, ...]
    select: str

    def __str__(self) -> str:
        return f"{self.path}:{self.change.line}: {self.change.what}"


class Unusable(Exception):
    """Nothing can be tried; the text says why."""


def rules(root: Path) -> dict[str, Any]:
    """Return what scripts/mutate.toml says: which tests judge which files, and what no test could notice."""
    return tomllib.loads((root / "scripts" / "mutate.toml").read_text())


def tree(root: Path) -> list[str]:
    """Return the files of the working tree, by their paths, but for those that git ignores."""
    command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted(path for path in listed if path and os.path.lexists(root / path))


def equal(rule: dict[str, str], path: str, line: str, what: str) -> bool:
    """Tell whether a rule of the skip list is for a change of a line."""
    return (
        fnmatch.fnmatch(path, rule["path"])
        and bool(re.search(rule.get("line", ""), line))
        and bool(re.search(rule.get("what", ""), what))
    )


def mutants(root: Path, said: dict[str, Any], only: str = "") -> tuple[list[Mutant], Counter[str]]:
    """Return what is to be tried, and how many changes are left out, by the reason."""
    found, left = [], Counter[str]()
    for path in tree(root):
        rule = next((rule for rule in said["files"] if any(fnmatch.fnmatch(path, one) for one in rule["paths"])), None)
        if not rule or only not in path or not (root / path).is_file():
            continue
        text = (root / path).read_text()
        lines = text.splitlines()
        for change in changes(path, text):
            line = lines[change.line - 1]
            reason = next((skip["reason"] for skip in said["equal"] if equal(skip, path, line, change.what)), "")
            if reason:
                left[reason] += 1
            else:
                found.append(Mutant(path, change, text, tuple(rule["tests"]), rule.get("select", "")))
    return found, left


def copied(root: Path, target: Path) -> None:
    """Copy the tree."""
    for path in tree(root):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, target / path, follow_symlinks=False)


def digest(root: Path, tests: tuple[str, ...]) -> str:
    """Return a digest of some tests, and of what all tests have in common."""
    files = {file for test in tests for file in (root / test).parent.glob("*.py") if not file.name.startswith("test_")}
    shared = sorted({*files, *(root / test for test in tests), root / "tests" / "conftest.py"})
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in shared if file.is_file())).hexdigest()


class Memory:
    """What was found, in a file: a line for each change that was tried."""

    def __init__(self, root: Path) -> None:
        self.root, self.file = root, root / ".cache" / "mutations.jsonl"
        self.tests: dict[tuple[str, ...], str] = {}
        self.keys: dict[Mutant, str] = {}
        self.known: dict[str, bool] = {}
        for line in self.file.read_text().splitlines() if self.file.exists() else []:
            with contextlib.suppress(ValueError):  # the last line of a run that was killed
                self.known |= json.loads(line)

    def key(self, mutant: Mutant) -> str:
        """Return what a change is known by: the file as it would be, and the tests."""
        if mutant in self.keys:
            return self.keys[mutant]
        if mutant.tests not in self.tests:
            self.tests[mutant.tests] = digest(self.root, mutant.tests)
        said = "\0".join((mutant.path, mutant.change.applied(mutant.text), mutant.select, self.tests[mutant.tests]))
        return self.keys.setdefault(mutant, hashlib.sha256(said.encode()).hexdigest()[:24])

    def note(self, mutant: Mutant, caught: bool) -> None:
        """Remember whether a change was noticed."""
        self.known[self.key(mutant)] = caught
        self.file.parent.mkdir(exist_ok=True)
        with self.file.open("a") as file:
            file.write(json.dumps({self.key(mutant): caught}) + "\n")


class Bench:
    """A copy of the tree, in which one change at a time is made and judged."""

    def __init__(self, root: Path, folder: Path) -> None:
        copied(root, folder)
        self.folder, self.pid, self.begun = folder, 0, 0.0
        self.mutant: Mutant | None = None

    def begin(self, tests: tuple[str, ...], select: str, mutant: Mutant | None = None) -> None:
        """Make a change, and have tests run in a process of their own."""
        self.mutant, self.begun = mutant, time.monotonic()
        if mutant:
            (self.folder / mutant.path).write_text(mutant.change.applied(mutant.text))
        self.pid = os.fork()
        if not self.pid:
            self.judge(tests, select)

    def judge(self, tests: tuple[str, ...], select: str) -> None:
        """Run tests, and end with pytest's exit code."""
        code = 70
        try:
            os.setsid()
            os.chdir(self.folder)
            log = os.open("mutate.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(log, stream)
            options = ["-qx", "-p", "no:cacheprovider", "--rootdir", str(self.folder)]
            code = int(importlib.import_module("pytest").main([*options, "-k", select, *tests]))
        finally:
            sys.stdout.flush()
            os._exit(code)

    def ended(self, patience: float) -> int | None:
        """Return the exit code of the tests that ran, or None while they do; what takes too long is ended."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid and time.monotonic() - self.begun > patience:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            pid, status = os.waitpid(self.pid, 0)
        if not pid:
            return None
        with contextlib.suppress(ProcessLookupError):  # what the tests left running
            os.killpg(self.pid, signal.SIGKILL)
        if self.mutant:
            (self.folder / self.mutant.path).write_text(self.mutant.text)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def last_lines(self) -> str:
        """Return what the tests said last."""
        return "\n".join((self.folder / "mutate.log").read_text().splitlines()[-15:])


def run(wanted: list[Mutant], memory: Memory, jobs: int, until: float) -> int:
    """Try changes, and return how many; raise Unusable where the tests fail without any."""
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        benches = [Bench(memory.root, Path(folder) / str(number)) for number in range(jobs)]
        patience = 0.0
        for tests, select in sorted({(mutant.tests, mutant.select) for mutant in wanted}):
            benches[0].begin(tests, select)
            while (code := benches[0].ended(3600)) is None:
                time.sleep(0.05)
            patience = max(patience, PATIENCE + 5 * (time.monotonic() - benches[0].begun))
            if code:
                raise Unusable(f"{' '.join(tests)} fail by themselves ({code}):\n{benches[0].last_lines()}")
        waiting, tried = list(reversed(wanted)), 0
        try:
            while (waiting and time.monotonic() < until) or any(bench.pid for bench in benches):
                for bench in benches:
                    if bench.pid and bench.mutant and (code := bench.ended(patience)) is not None:
                        if code == NOTHING_COLLECTED:
                            raise Unusable(f"{' '.join(bench.mutant.tests)} hold no test")
                        memory.note(bench.mutant, code != 0)
                        tried += 1
                        show(f"{tried} of {len(wanted)}" + ("" if code else f"  survived: {bench.mutant}"), bool(code))
                    if not bench.pid and waiting and time.monotonic() < until:
                        mutant = waiting.pop()
                        bench.begin(mutant.tests, mutant.select, mutant)
                time.sleep(0.02)
        finally:
            for bench in benches:
                if bench.pid:
                    bench.ended(0)
        return tried


def show(text: str, passing: bool) -> None:
    """Tell how far it is; what is passing is written over where there is a terminal, and not at all where is none."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="" if passing else "\n", flush=True)
    elif not passing:
        print(text, flush=True)


def report(chosen: list[Mutant], memory: Memory, left: Counter[str]) -> float:
    """Print what was found, and return how many per cent of what was tried were noticed."""
    known = [(mutant, memory.known[memory.key(mutant)]) for mutant in chosen if memory.key(mutant) in memory.known]
    survivors = [mutant for mutant, caught in known if not caught]
    show("", True)
    print(f"\n{len(survivors)} changes that no test notices:" if survivors else "\nEvery change is noticed.")
    for mutant in survivors:
        print(f"  {mutant}")
    groups: dict[str, list[bool]] = {}
    for mutant, caught in known:
        groups.setdefault("/".join(mutant.path.split("/")[:2]), []).append(caught)
    for name, results in sorted(groups.items()):
        print(f"{name:<24}{sum(results):>5} of {len(results):<5}{100 * sum(results) / len(results):6.1f} %")
    if len(known) < len(chosen):
        print(f"{len(chosen) - len(known)} were not tried; the next run goes on with them.")
    print(f"{left.total()} are left out because no test could notice them (scripts/mutate.toml says why).")
    share = 100 * (len(known) - len(survivors)) / len(known) if known else 100.0
    print(f"{share:.1f} % of {len(known)} are noticed.")
    return share


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Read the command line and do as it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="PATTERN", help="files whose path has this in it")
    parser.add_argument("--sample", type=int, metavar="N", help="that many, by chance")
    parser.add_argument("--seed", type=int, default=0, help="another chance")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="that many at a time (2)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin none after that time")
    parser.add_argument("--least", type=float, default=95.0, metavar="PERCENT", help="what is enough (95)")
    parser.add_argument("--fresh", action="store_true", help="forget what was found before")
    parser.add_argument("--list", action="store_true", help="show the changes, and try none")
    given = parser.parse_args(arguments)
    found, left = mutants(root, rules(root), given.only)
    if given.sample is not None and given.sample < len(found):
        chosen = sorted(random.Random(given.seed).sample(range(len(found)), given.sample))
        found = [found[number] for number in chosen]
    if not found:
        print(f"mutate: nothing to change in files with {given.only!r} in their path", file=sys.stderr)
        return 2
    if given.list:
        print("\n".join(map(str, found)))
        return 0
    memory = Memory(root)
    if given.fresh:
        memory.known = {}
    wanted = [mutant for mutant in found if memory.key(mutant) not in memory.known]
    try:
        run(wanted, memory, max(1, min(given.jobs, len(wanted))), time.monotonic() + given.seconds)
    except Unusable as error:
        print(f"mutate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nmutate: ended early; the next run goes on", file=sys.stderr)
    return 0 if report(found, memory, left) >= given.least else 1


if __name__ == "__main__":
    sys.exit(main())
