"""What all benchmarks have in common: lab hosts, sites on them, and runs whose time is measured."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "molecule" / "lab" / "lab.py"
HERE = ROOT / "scripts" / "bench"
EXAMPLE = ROOT / "examples" / "dashboard"
SSH_CONFIG = ROOT / ".lab" / "ssh_config"
# All of the stack, without the part of the proof that waits on purpose.
SITE = ("site.yml", "--extra-vars", "handshake_idle_seconds=0")
# A user's own settings would distort the measurement.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")} | {
    "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
    "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    "ANSIBLE_NOCOLOR": "1",
}
INVENTORY = """\
all:
  vars:
    ansible_ssh_common_args: -F {ssh_config}
    release_cache: {work}/releases
    handshake_report: {work}/{{{{ inventory_hostname }}}}.json
  children:
    app: &hosts {{hosts: {{{hosts}}}}}
    redis: *hosts
"""


class BenchError(Exception):
    """A measurement that failed; its text is the last lines of the output."""


class Work(NamedTuple):
    """What a run cost this machine, in seconds."""

    wall: float
    controller: float  # CPU time of Ansible and what it started
    rest: float  # CPU time of all else, which is the hosts, unless somebody uses the machine

    @property
    def busy(self) -> float:
        """The part of the cores' time that was used, from 0 to 1."""
        return (self.controller + self.rest) / self.wall / (os.cpu_count() or 1)


class Counts(NamedTuple):
    """What a run of Ansible did on one host, by its recap."""

    ok: int
    changed: int


def say(text: str) -> None:
    """Print one line of progress at once."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run(*command: str | Path, stdin: bytes | None = None, env: dict[str, str] | None = None) -> tuple[float, str]:
    """Run a command; return its wall time in seconds and its output, or raise BenchError with its last lines."""
    started = time.monotonic()
    done = subprocess.run(
        command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, env=ENVIRONMENT | (env or {}),
        check=False,
    )  # fmt: skip
    seconds = time.monotonic() - started
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        tail = "\n".join(output.strip().splitlines()[-30:])
        raise BenchError(f"`{' '.join(map(str, command))}` failed with {done.returncode}:\n{tail}")
    return seconds, output


def used() -> float:
    """Return this machine's CPU time since its start, in seconds (proc(5): the 4th and 5th are idle and waiting)."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def weighed(job: Callable[[], float]) -> Work:
    """Do what returns its wall time in seconds, and return that with its CPU time."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), used()
    wall = job()
    after, whole = resource.getrusage(resource.RUSAGE_CHILDREN), used() - begun
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Work(wall, own, max(0.0, whole - own))


def ssh(host: str, command: str, stdin: bytes | None = None) -> tuple[float, str]:
    """Run a command on a lab host over a new connection; return its wall time in seconds and its output."""
    return run("ssh", "-F", SSH_CONFIG, host, command, stdin=stdin)


def up(*names: str) -> None:
    """Have lab hosts run; they are created if they are missing."""
    for name in names:
        run(sys.executable, LAB, "up", name, "--publish", "0:80")


def down(*names: str) -> None:
    """Remove lab hosts, if they are there."""
    if names:
        run(sys.executable, LAB, "down", *names)


class Site:
    """The example project on some lab hosts, with an inventory of its own."""

    def __init__(self, work: Path, hosts: Sequence[str]) -> None:
        self.hosts, self.work = list(hosts), work
        self.tasks: list[tuple[str, float]] = []  # of the last run, with their seconds
        self.inventory = work / f"inventory-{hosts[0]}-{len(hosts)}"
        self.inventory.mkdir()
        (self.inventory / "group_vars").symlink_to(ROOT / "inventories" / "lab" / "group_vars")
        values = {"ssh_config": SSH_CONFIG, "work": work, "hosts": ", ".join(f"{host}: " for host in hosts)}
        (self.inventory / "hosts.yml").write_text(INVENTORY.format(**values))

    def play(self, playbook: str, *options: str, changes: bool | None = None, **variables: str) -> tuple[float, str]:
        """Run a playbook over new SSH connections; return its wall time in seconds and its output.

        With `changes`, raise BenchError if it changed something on any host and should not have, or the reverse.
        """
        variables["ANSIBLE_SSH_CONTROL_PATH_DIR"] = tempfile.mkdtemp(dir=self.work)
        times = self.work / "tasks.json"
        variables |= {"ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callbacks"), "BENCH_TASKS": str(times)}
        taken, output = run("ansible-playbook", "--inventory", self.inventory, playbook, *options, env=variables)
        self.tasks = [(name, seconds) for name, seconds in json.loads(times.read_text())]
        if changes is not None:
            wrong = [host for host, counts in recap(output).items() if (counts.changed > 0) != changes]
            if wrong:
                changed = "\n".join(re.findall(r"^TASK .*\n(?:changed: .*\n)+", output, re.MULTILINE))
                raise BenchError(f"{playbook} {'changed nothing' if changes else 'changed'} on {wrong}\n{changed}")
        return taken, output


def recap(output: str) -> dict[str, Counts]:
    """Return what a run's recap says, by host, without the controller's own line."""
    rows = re.findall(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)", output, re.MULTILINE)
    return {host: Counts(int(ok), int(changed)) for host, ok, changed in rows if host != "localhost"}


def changed_copy(work: Path, name: str) -> Path:
    """Return a copy of the example with one extra line of code."""
    folder = work / name
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    with (folder / "backend" / "core" / "urls.py").open("a") as module:
        module.write(f"# {name}\n")
    return folder


def row(*cells: object) -> str:
    """Return a table's line."""
    return "| " + " | ".join(map(str, cells)) + " |"


def spread(figures: Iterable[float], digits: int = 1) -> str:
    """Return the median of some figures, and in brackets the lowest and the highest."""
    found = sorted(figures)
    middle = f"{statistics.median(found):.{digits}f}"
    return middle if len(found) == 1 else f"{middle} ({found[0]:.{digits}f} – {found[-1]:.{digits}f})"


def machine(host: str, load: float) -> str:
    """Return a description of the machine and of a host; `load` is the machine's load average before."""
    _, ansible = run("ansible", "--version")
    _, controller = run("python3", "-c", "import importlib.metadata as m, platform as p; "
                        "print(p.python_version(), m.version('mitogen'))")  # fmt: skip
    python, mitogen = controller.split()
    _, docker = run("docker", "version", "--format", "{{.Server.Version}}")
    packages = "dpkg-query --show --showformat '${Package} ${Version}, ' nginx redis-server python3 systemd"
    _, told = ssh(host, f"cat /etc/debian_version; {packages}; echo; /opt/uv/bin/uv --version")
    debian, versions, uv = told.split("\n")[:3]
    freeze = "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in ('Django', 'channels', 'daphne')))"
    _, project = ssh(host, f'/srv/dashboard/live/venv/bin/python -c "{freeze}"')
    django, channels, daphne = (" ".join(pair) for pair in zip(*[iter(project.split())] * 2, strict=True))
    quiet = "" if load < 0.5 else ": the machine was **not** quiet"
    return (
        f"- {os.cpu_count()} cores ({os.uname().machine}), shared by Ansible and the hosts;"
        f" load average before the bench {load:.1f}{quiet}\n"
        f"- controller: {ansible.splitlines()[0]}, Mitogen {mitogen}, Python {python}, Docker {docker.strip()}\n"
        f"- hosts: Debian {debian}, {versions.rstrip(', ')}, {' '.join(uv.split()[:2])}, {django}, {channels}, {daphne}"
    )
