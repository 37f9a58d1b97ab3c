#!/usr/bin/env python3
"""Break the product in small ways, one at a time, and list what no test notices.

    scripts/mutate.py                             try every change of every file that scripts/mutate.toml names
    scripts/mutate.py --only templates/nginx      only changes of files whose path contains this
    scripts/mutate.py --sample 100 --seed 7       a random sample of them
    scripts/mutate.py --seconds 600               start no further change after ten minutes; the next run continues
    scripts/mutate.py --list                      show them, and try none

A change removes a line or a task, flips yes and no, increases a number, loosens a mode, or negates a condition. Each is
made in a copy of the tree, and judged by the tests that scripts/mutate.toml names for the file, cheapest first. The
working tree is not touched. Results are kept in .cache/mutations.jsonl, and hold for the same file and the same tests.

Exits with 0 if tests noticed at least --least per cent, with 1 if they noticed fewer, and with 2 if nothing could be
tried.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import hashlib
import importlib
import itertools
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
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mutations import Change, changes

ROOT = Path(__file__).resolve().parents[1]
# Loaded once and shared by all children: loading them takes longer than most tests.
HEAVY = ("pytest", "yaml", "hypothesis", "crossplane", "ansible.template", "ansible.parsing.dataloader",
         "ansible.plugins.loader", "ansible.module_utils.basic")  # fmt: skip
NOTHING_COLLECTED = 5  # pytest's exit code
PATIENCE = 30.0  # seconds; tests that take five times as long as usual plus this are stuck


class Rule(NamedTuple):
    """Which tests judge a change; `late` if they read the file when they run, not when they are loaded."""

    tests: tuple[str, ...]
    select: str
    late: bool


class Mutant(NamedTuple):
    """A change of a file, the file's original text, and the tests that should notice the change."""

    path: str
    change: Change
    text: str
    rule: Rule

    def __str__(self) -> str:
        return f"{self.path}:{self.change.line}: {self.change.what}"


class Unusable(Exception):
    """Nothing can be tried; the text says why."""


def rules(root: Path) -> dict[str, Any]:
    """Return what scripts/mutate.toml says: which tests judge which files, and what no test could notice."""
    return tomllib.loads((root / "scripts" / "mutate.toml").read_text())


def tree(root: Path) -> list[str]:
    """Return the paths of all files in the working tree, except those that git ignores."""
    command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted(path for path in listed if path and os.path.lexists(root / path))


def equal(rule: dict[str, str], path: str, line: str, what: str) -> bool:
    """Tell whether a rule of the skip list covers a change of a line."""
    return (
        fnmatch.fnmatch(path, rule["path"])
        and bool(re.search(rule.get("line", ""), line))
        and bool(re.search(rule.get("what", ""), what))
    )


def mutants(root: Path, said: dict[str, Any], only: str = "") -> tuple[list[Mutant], Counter[str]]:
    """Return the changes to try, and how many are left out for each reason."""
    found, left = [], Counter[str]()
    for path in tree(root):
        rule = next((rule for rule in said["files"] if any(fnmatch.fnmatch(path, one) for one in rule["paths"])), None)
        if not rule or only not in path or not (root / path).is_file():
            continue
        text = (root / path).read_text()
        judges = Rule(tuple(rule["tests"]), rule.get("select", ""), rule.get("late", False))
        lines = text.splitlines()
        for change in changes(path, text):
            line = lines[change.line - 1]
            reason = next((skip["reason"] for skip in said["equal"] if equal(skip, path, line, change.what)), "")
            if reason:
                left[reason] += 1
            else:
                found.append(Mutant(path, change, text, judges))
    return found, left


def copied(root: Path, target: Path) -> None:
    """Copy the tree."""
    for path in tree(root):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, target / path, follow_symlinks=False)


def digest(root: Path, tests: tuple[str, ...]) -> str:
    """Return a digest of some tests and everything that all tests share."""
    files = {file for test in tests for file in (root / test).parent.glob("*.py") if not file.name.startswith("test_")}
    shared = sorted({*files, *(root / test for test in tests), root / "tests" / "conftest.py"})
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in shared if file.is_file())).hexdigest()


class Memory:
    """The results so far, in a file: one line for each change that was tried."""

    def __init__(self, root: Path) -> None:
        self.root, self.file = root, root / ".cache" / "mutations.jsonl"
        self.tests: dict[tuple[str, ...], str] = {}
        self.keys: dict[Mutant, str] = {}
        self.known: dict[str, bool] = {}
        for line in self.file.read_text().splitlines() if self.file.exists() else []:
            with contextlib.suppress(ValueError):  # the last line of a killed run
                self.known |= json.loads(line)

    def key(self, mutant: Mutant) -> str:
        """Return the key of a change: a digest of the changed file and the tests."""
        if mutant in self.keys:
            return self.keys[mutant]
        tests = mutant.rule.tests
        if tests not in self.tests:
            self.tests[tests] = digest(self.root, tests)
        said = "\0".join((mutant.path, mutant.change.applied(mutant.text), mutant.rule.select, self.tests[tests]))
        return self.keys.setdefault(mutant, hashlib.sha256(said.encode()).hexdigest()[:24])

    def note(self, mutant: Mutant, caught: bool) -> None:
        """Remember whether a change was noticed."""
        self.known[self.key(mutant)] = caught
        self.file.parent.mkdir(exist_ok=True)
        with self.file.open("a") as file:
            file.write(json.dumps({self.key(mutant): caught}) + "\n")


class Collected:
    """A pytest plugin that collects and runs tests once, and again in a new process whenever asked to."""

    def __init__(self, serve: Callable[[Callable[[], int]], None]) -> None:
        self.serve = serve

    def pytest_runtestloop(self, session: Any) -> bool:
        """Replace pytest's own loop. The first run warms up what all later runs share."""
        self.run(session)
        self.serve(lambda: self.run(session))
        return True

    @staticmethod
    def run(session: Any) -> int:
        """Run tests until one fails, and return pytest's exit code."""
        if not session.items:
            return NOTHING_COLLECTED
        session.testsfailed, session.shouldfail = 0, False
        for item, following in itertools.zip_longest(session.items, session.items[1:]):
            item._initrequest()  # makes its fixtures again
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                break
        return int(session.testsfailed > 0)


class Bench:
    """A copy of the tree for one change at a time. A process that has loaded the tests judges it."""

    def __init__(self, root: Path, folder: Path) -> None:
        copied(root, folder)
        self.folder, self.server, self.child, self.begun = folder, 0, 0, 0.0
        self.mutant: Mutant | None = None
        self.busy = False

    def prepare(self, rule: Rule) -> None:
        """Start the process that judges with some tests."""
        self.close()
        commands, self.ask = os.pipe()
        self.answer, answers = os.pipe()
        self.server, self.said = os.fork(), b""
        if not self.server:
            code = 70
            try:
                for end in (self.ask, self.answer):
                    os.close(end)
                self.judge(rule, commands, answers)
                code = 0
            finally:
                os._exit(code)
        for end in (commands, answers):
            os.close(end)
        os.set_blocking(self.answer, False)

    def judge(self, rule: Rule, commands: int, answers: int) -> None:
        """For each byte that comes, let a child run the tests; answer with its process id, and then its exit code."""
        os.chdir(self.folder)
        log = os.open("mutate.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        pytest = importlib.import_module("pytest")
        options = ["-q", "-p", "no:cacheprovider", "-o", "tmp_path_retention_policy=none", "-k", rule.select]
        options += ["--rootdir", str(self.folder), "--basetemp", str(self.folder / "mutate.tmp"), *rule.tests]

        def serve(judge: Callable[[], int]) -> None:
            while os.read(commands, 1):
                child = os.fork()
                if not child:
                    os.setsid()
                    code = 70
                    try:
                        code = judge()
                    finally:
                        sys.stdout.flush()
                        os._exit(code)
                os.write(answers, f"{child}\n".encode())
                _, status = os.waitpid(child, 0)
                os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())

        if rule.late:
            pytest.main(options, plugins=[Collected(serve)])
        else:
            serve(lambda: int(pytest.main(["-x", *options])))

    def begin(self, mutant: Mutant | None = None) -> None:
        """Make a change, and start the tests."""
        self.mutant, self.busy, self.child, self.begun = mutant, True, 0, time.monotonic()
        if mutant:
            (self.folder / mutant.path).write_text(mutant.change.applied(mutant.text))
        with contextlib.suppress(BrokenPipeError):  # it has ended; ended() will notice
            os.write(self.ask, b".")

    def ended(self, patience: float) -> int | None:
        """Return the tests' exit code, or None while they run; kill them if they take too long."""
        with contextlib.suppress(BlockingIOError):
            if not (came := os.read(self.answer, 100)):
                came = b"0\n70\n"
            self.said += came
        number, _, code = self.said.decode().partition("\n")
        if not code.endswith("\n"):
            if number and time.monotonic() - self.begun > patience:
                self.kill(int(number))
            return None
        self.kill(int(number))  # processes that the tests left running
        if self.mutant:
            (self.folder / self.mutant.path).write_text(self.mutant.text)
        self.busy, self.said = False, b""
        return int(code)

    @staticmethod
    def kill(group: int) -> None:
        """End the tests and everything that they have started."""
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(group, signal.SIGKILL)

    def close(self) -> None:
        """End the process that judges."""
        if self.server:
            self.kill(int(self.said.decode().partition("\n")[0] or 0))
            os.close(self.ask)
            os.close(self.answer)
            os.waitpid(self.server, 0)
        self.server = 0

    def last_lines(self) -> str:
        """Return the last lines of the tests' output."""
        return "\n".join((self.folder / "mutate.log").read_text().splitlines()[-15:])


def run(wanted: list[Mutant], memory: Memory, jobs: int, until: float) -> None:
    """Try changes; raise Unusable if the tests fail without any."""
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    tried = 0
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder, contextlib.ExitStack() as stack:
        benches = [Bench(memory.root, Path(folder) / str(number)) for number in range(jobs)]
        for bench in benches:
            stack.callback(bench.close)
        for rule in dict.fromkeys(mutant.rule for mutant in wanted):
            waiting = [mutant for mutant in reversed(wanted) if mutant.rule == rule]
            patience = 0.0
            for bench in benches[: len(waiting)]:
                bench.prepare(rule)
                bench.begin()
                while (code := bench.ended(3600)) is None:
                    time.sleep(0.02)
                patience = max(patience, PATIENCE + 5 * (time.monotonic() - bench.begun))
                if code:
                    raise Unusable(f"{' '.join(rule.tests)} fail by themselves ({code}):\n{bench.last_lines()}")
            while (waiting and time.monotonic() < until) or any(bench.busy for bench in benches):
                for bench in benches:
                    if bench.busy and bench.mutant and (code := bench.ended(patience)) is not None:
                        memory.note(bench.mutant, code != 0)
                        tried += 1
                        show(f"{tried} of {len(wanted)}" + ("" if code else f"  survived: {bench.mutant}"), bool(code))
                    if not bench.busy and bench.server and waiting and time.monotonic() < until:
                        bench.begin(waiting.pop())
                time.sleep(0.01)


def show(text: str, passing: bool) -> None:
    """Show progress; on a terminal, passing messages overwrite each other, and elsewhere they are not shown."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="" if passing else "\n", flush=True)
    elif not passing:
        print(text, flush=True)


def report(chosen: list[Mutant], memory: Memory, left: Counter[str]) -> float:
    """Print the results, and return the percentage of tried changes that were noticed."""
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
