#!/usr/bin/env python3
"""Measure how long the bundle takes, beside a plain shell script that does the same by hand, and what clients notice of
a deploy; write docs/benchmarks.md and the picture in it.

scripts/bench.py [--rounds N] [--keep]

Makes its own lab hosts, and removes them at the end. Stops at the first measurement that fails. Standard library only.
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
from pathlib import Path

from deploy_plot import draw

ROOT = Path(__file__).resolve().parents[1]
LAB = ROOT / "molecule" / "lab" / "lab.py"
EXAMPLE = ROOT / "examples" / "dashboard"
# The source of the lab's base_ca_certificates.
AUTHORITIES = Path("/usr/local/share/ca-certificates")
PLAIN, STACK = "bench-plain", "bench-stack"  # the two hosts
SITE = ("site.yml", "--extra-vars", "handshake_idle_seconds=0")
UNCHANGED_RUNS = 3
TARGET_RATIO = 1.5
TARGET_UNCHANGED = 8.0  # seconds
TARGET_DEPLOY = 10.0  # seconds
# Clients of the deploy in the picture: open sockets, handshakes per second, and when and how fast the old sockets end.
SOCKETS, RATE, DRAIN, SPREAD = 200, 10, 25, 8
PHASES = ("prepared", "passed its gate", "switched")  # as a deploy reports them
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
  hosts:
    {host}: {{release_cache: {work}/releases, handshake_report: {work}/report.json}}
  children:
    app: {{hosts: {{{host}: }}}}
    redis: {{hosts: {{{host}: }}}}
"""
LABELS = {
    "script": "bare host to a 101, [plain script](../scripts/bench/plain.sh)",
    "site": "bare host to a proven WebSocket, `site.yml`",
    "unchanged": "`site.yml` again, nothing to change",
    "linear": "the same with Ansible's own `linear` strategy",
    "deploy": "`playbooks/deploy.yml`, code changed, requirements not",
}


class BenchError(Exception):
    """A measurement that failed; its text is the last lines of the output."""


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


def ssh(host: str, command: str, stdin: bytes | None = None) -> tuple[float, str]:
    """Run a command on a lab host over a new connection; return its wall time in seconds and its output."""
    return run("ssh", "-F", ROOT / ".lab" / "ssh_config", host, command, stdin=stdin)


class Bench:
    """All measurements of one run, in a folder of its own."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.phases: dict[str, list[float]] = defaultdict(list)
        self.clients: dict[str, str] = {}  # figures from the clients of the deploy in the picture
        self.recaps: dict[str, tuple[int, int]] = {}  # tasks and changes of the last run
        self.inventory = work / "inventory"
        self.inventory.mkdir()
        (self.inventory / "group_vars").symlink_to(ROOT / "inventories" / "lab" / "group_vars")
        values = {"ssh_config": ROOT / ".lab" / "ssh_config", "work": work, "host": STACK}
        (self.inventory / "hosts.yml").write_text(INVENTORY.format(**values))

    def round(self, number: int) -> None:
        """Measure everything once, on two new hosts; the order of the first two steps differs from round to round."""
        run(sys.executable, LAB, "down", PLAIN, STACK)
        for host in (PLAIN, STACK):
            run(sys.executable, LAB, "up", host, "--publish", "0:80")
        shutil.rmtree(self.work / "releases", ignore_errors=True)
        for measure in (self.script, self.site) if number % 2 else (self.site, self.script):
            measure()
        for attempt in range(UNCHANGED_RUNS):
            self.play("unchanged", *SITE)
            if attempt == 0:
                self.play("linear", *SITE, ANSIBLE_STRATEGY="ansible.builtin.linear")
        self.deploy(number)

    def script(self) -> None:
        """Measure the plain script."""
        bundle = io.BytesIO()
        started = time.monotonic()
        with tarfile.open(fileobj=bundle, mode="w") as tar:
            tar.add(ROOT / "scripts" / "bench" / "plain.sh", "plain.sh")
            tar.add(EXAMPLE, "project", filter=sources)
            for certificate in AUTHORITIES.glob("*.crt"):
                tar.add(certificate, f"authorities/{certificate.name}")
        packed = time.monotonic() - started
        unpack = "mkdir bench && tar --extract --no-same-owner --directory bench && sh bench/plain.sh"
        taken, _ = ssh(PLAIN, unpack, stdin=bundle.getvalue())
        self.note("script", packed + taken)

    def site(self) -> None:
        """Measure site.yml on a bare host."""
        self.play("site", *SITE)

    def deploy(self, number: int) -> None:
        """Measure the deploy of a change to the code, and its phases."""
        folder = self.changed(f"change-{number}")
        output = self.play("deploy", "playbooks/deploy.yml", "--extra-vars", f"release_folder={folder}")
        for phase in PHASES:
            self.phases[phase].append(float(re.findall(rf"{phase} in ([0-9.]+) s", output)[0]))
        told = sum(self.phases[phase][-1] for phase in PHASES)
        self.phases["start, preflight, packing and end"].append(self.seconds["deploy"][-1] - told)

    def changed(self, name: str) -> Path:
        """Return a copy of the example with one extra line of code."""
        folder = self.work / name
        shutil.copytree(EXAMPLE, folder)
        with (folder / "backend" / "core" / "urls.py").open("a") as module:
            module.write(f"# {name}\n")
        return folder

    def watch_deploy(self) -> str:
        """Deploy while clients come and go; return a picture of what they noticed."""
        say(f"a deploy with {SOCKETS} open sockets and {RATE} handshakes a second")
        port = json.loads((ROOT / ".lab" / "ports" / f"{STACK}.json").read_text())["80"]
        _, token = ssh(STACK, "dashboard-manage mint_token --user bench --ttl 3600")
        report, before = self.work / "clients.json", self.generation()
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
            options = {"release_folder": str(self.changed("watched")), "release_drain_seconds": DRAIN,
                       "release_drain_spread_seconds": SPREAD}  # fmt: skip
            run("ansible-playbook", "--inventory", self.inventory, "playbooks/deploy.yml", "-e", json.dumps(options))
            after = self.generation()
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

    def generation(self) -> str:
        """Return the generation that serves."""
        return ssh(STACK, "readlink /srv/dashboard/live")[1].strip().rpartition("/")[2]

    def play(self, name: str, playbook: str, *options: str, **variables: str) -> str:
        """Measure a playbook over new SSH connections, and return its output.

        Raise BenchError if it changed what it should not.
        """
        sockets = tempfile.mkdtemp(dir=self.work)
        variables["ANSIBLE_SSH_CONTROL_PATH_DIR"] = sockets
        taken, output = run("ansible-playbook", "--inventory", self.inventory, playbook, *options, env=variables)
        recap = dict(re.findall(r"^(\S+)\s+: (ok=.*)$", output, re.MULTILINE))
        if STACK not in recap:
            raise BenchError(f"{playbook} has no recap for its host:\n{output[-2000:]}")
        counts = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", recap[STACK])}
        if (counts["changed"] == 0) != (name in ("unchanged", "linear")):
            changed = "\n".join(re.findall(r"^TASK .*\n(?:changed: .*\n)+", output, re.MULTILINE))
            raise BenchError(f"{name}: {playbook} reports changed={counts['changed']}\n{changed}")
        self.recaps[name] = counts["ok"], counts["changed"]
        self.note(name, taken)
        return output

    def note(self, name: str, taken: float) -> None:
        """Record a figure in seconds, and print it."""
        self.seconds[name].append(taken)
        say(f"{name}: {taken:.1f} s")

    def page(self, rounds: int, load: float) -> str:
        """Return the page with all figures; `load` is the machine's load average before the bench."""
        template = (ROOT / "scripts" / "bench" / "page.md").read_text(encoding="utf-8")
        return template.format(
            date=time.strftime("%Y-%m-%d", time.gmtime()),
            table="\n".join(self.table()),
            phases="\n".join(row(name, f"{statistics.median(figures):.1f}") for name, figures in self.phases.items()),
            sockets=SOCKETS,
            rate=RATE,
            drain=DRAIN,
            spread=SPREAD,
            clients=self.clients,
            machine=machine(load),
            rounds="One round." if rounds == 1 else f"{rounds} rounds.",
            order="This run had one round only, in which the script came first." if rounds == 1 else "",
        )

    def table(self) -> list[str]:
        """Return the table's lines."""
        median = {name: statistics.median(figures) for name, figures in self.seconds.items()}
        lines = []
        for name, label in LABELS.items():
            figures = self.seconds[name]
            tasks, changed = self.recaps.get(name, ("", ""))
            limit = {"unchanged": TARGET_UNCHANGED, "deploy": TARGET_DEPLOY}.get(name)
            target = verdict(median[name], limit, " s") if limit else ("", "")
            span = f"{min(figures):.1f} – {max(figures):.1f}" if len(figures) > 1 else ""
            lines.append(row(label, f"{median[name]:.1f}", span, len(figures), tasks, changed, *target))
        ratio = median["site"] / median["script"]
        label = "`site.yml` on a bare host / plain script"
        lines.append(row(label, f"{ratio:.2f} ×", "", "", "", "", *verdict(ratio, TARGET_RATIO, " ×")))
        return lines


def sources(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Exclude from an archive what tools left in the folder."""
    skip = Path(member.name).name.startswith((".", "__pycache__"))
    return None if skip else member


def row(*cells: object) -> str:
    """Return a table's line."""
    return "| " + " | ".join(map(str, cells)) + " |"


def verdict(figure: float, target: float, unit: str) -> tuple[str, str]:
    """Return the target, and whether a figure meets it."""
    return f"≤ {target:g}{unit}", "met" if figure <= target else "**not met**"


def machine(load: float) -> str:
    """Return a description of the machine and the hosts; `load` is the machine's load average before."""
    _, ansible = run("ansible", "--version")
    _, controller = run("python3", "-c", "import importlib.metadata as m, platform as p; "
                        "print(p.python_version(), m.version('mitogen'))")  # fmt: skip
    python, mitogen = controller.split()
    _, docker = run("docker", "version", "--format", "{{.Server.Version}}")
    packages = "dpkg-query --show --showformat '${Package} ${Version}, ' nginx redis-server python3 systemd"
    _, host = ssh(STACK, f"cat /etc/debian_version; {packages}; echo; /opt/uv/bin/uv --version")
    debian, versions, uv = host.split("\n")[:3]
    freeze = "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in ('Django', 'channels', 'daphne')))"
    _, project = ssh(STACK, f'/srv/dashboard/live/venv/bin/python -c "{freeze}"')
    django, channels, daphne = (" ".join(pair) for pair in zip(*[iter(project.split())] * 2, strict=True))
    return (
        f"- {os.cpu_count()} cores ({os.uname().machine}), shared by Ansible and the hosts;"
        f" load average before the bench {load:.1f}\n"
        f"- controller: {ansible.splitlines()[0]}, Mitogen {mitogen}, Python {python}, Docker {docker.strip()}\n"
        f"- hosts: Debian {debian}, {versions.rstrip(', ')}, {' '.join(uv.split()[:2])}, {django}, {channels}, {daphne}"
    )


def main() -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="how often everything is measured (2)")
    parser.add_argument("--keep", action="store_true", help="leave the hosts and the inventory for a look")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    load = os.getloadavg()[0]
    work = Path(tempfile.mkdtemp(prefix="bench-"))
    bench = Bench(work)
    try:
        for number in range(1, options.rounds + 1):
            say(f"round {number} of {options.rounds}")
            bench.round(number)
        picture = bench.watch_deploy()
        (ROOT / "docs" / "benchmarks.md").write_text(bench.page(options.rounds, load), encoding="utf-8")
        (ROOT / "docs" / "deploy.svg").write_text(picture, encoding="utf-8")
        say("docs/benchmarks.md is written")
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if options.keep:
            say(f"kept: hosts {PLAIN} and {STACK}, inventory {bench.inventory}")
        else:
            subprocess.run([sys.executable, LAB, "down", PLAIN, STACK], check=False)
            shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
