"""All hosts of the scenario as its tests see them: what serves, drains or is left behind, and runs of playbooks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any, ClassVar

import pytest
from clients import NAMES
from lab_host import ROOT, LabHost, playbook_command

RUN_SECONDS = 900  # a run that takes longer hangs
SETTLE_SECONDS = 180
# Runs on the host: everything that belongs to the project, except its history.
SNAPSHOT = """
import json, pathlib, subprocess
def names(folder, pattern="*"):
    return sorted(path.name for path in pathlib.Path(folder).glob(pattern))
def lines(*command):
    return sorted(subprocess.run(command, capture_output=True, text=True).stdout.splitlines())
home = pathlib.Path("/srv/dashboard")
found = {kind: names(home / kind) for kind in ("generations", "releases", "venvs", "static", "instances")}
found["live"] = (home / "live").resolve().name
found["lock"] = (home / "deploy.lock").exists()
found["sockets"] = names("/run/dashboard", "*.sock")
found["enabled"] = names("/etc/systemd/system/multi-user.target.wants", "dashboard-*")
found["enabled"] += names("/etc/supervisor/conf.d", "dashboard-*")
found["units"] = []
if pathlib.Path("/run/systemd/system").exists():
    found["units"] = lines("systemctl", "list-units", "--all", "--plain", "--no-legend", "dashboard-*")
    found["units"] = [" ".join(line.split()[:4]) for line in found["units"]]
if pathlib.Path("/run/supervisor.sock").exists():
    programs = [line.split()[:2] for line in lines("supervisorctl", "status")]
    # A drain that has ended is shown until the next deploy.
    found["units"] += [" ".join(line) for line in programs if not (line[1] == "EXITED" and "-drain-" in line[0])]
# What reads nginx's errors belongs to the site, whatever serves.
for kind in ("enabled", "units"):
    found[kind] = [entry for entry in found[kind] if "-nginx-errors" not in entry]
found["processes"] = lines("pgrep", "--uid", "dashboard", "--list-full")
print(json.dumps(found))
"""


class Playbook:
    """A run of a playbook, as its user starts it; `output` is everything it has printed so far."""

    started: ClassVar[list[Playbook]] = []

    def __init__(self, name: str, *arguments: str) -> None:
        command, environment = playbook_command(f"playbooks/{name}.yml", *arguments)
        # Without this, Ansible reports a task when it has ended, not when it begins.
        environment |= {"ANSIBLE_DISPLAY_SKIPPED_HOSTS": "1"}
        self.mark = f"RELEASE_TEST_RUN={uuid.uuid4()}"
        environment |= dict([self.mark.split("=")])
        self.output, self.code = "", None
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.started.append(self)

    def until(self, task: str) -> Playbook:
        """Read its output until a task begins; fail the test if it ends before that."""
        for line in self.process.stdout:
            self.output += line
            if line.startswith("TASK [") and line.split("]")[0].endswith(task):
                return self
        pytest.fail(f"the run ended, and task {task!r} never began:\n{self.output}")

    def kill(self) -> None:
        """Kill it and everything in its process group."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def clean(self) -> None:
        """Kill what is left of it; processes that it started in their own sessions survive."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (folder / "environ").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)

    def end(self) -> Playbook:
        """Wait for its end; fail the test if that takes too long."""
        try:
            self.output += self.process.communicate(timeout=RUN_SECONDS)[0]
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            pytest.fail(f"the run did not end within {RUN_SECONDS} s:\n{self.output}")
        self.code = self.process.returncode
        return self

    def succeeded(self) -> Playbook:
        """Wait for its end; fail the test if the run failed."""
        if self.end().code:
            pytest.fail(f"the run ended with {self.code}:\n{self.output}")
        return self

    def failed(self, *reasons: str) -> Playbook:
        """Wait for its end; fail the test if the run succeeded, or doesn't give all of these reasons."""
        if not self.end().code:
            pytest.fail(f"the run succeeded, and should not have:\n{self.output}")
        told = " ".join(self.output.split())
        missing = [reason for reason in reasons if reason not in told]
        if missing:
            pytest.fail(f"the run failed without telling {missing}:\n{self.output}")
        return self

    def changed(self) -> dict[str, int]:
        """Return how many tasks changed something, by host."""
        recap = re.findall(r"^(\S+)\s*: ok=.* changed=(\d+)", self.output, re.MULTILINE)
        return {name: int(number) for name, number in recap if name in NAMES}


def deploy(folder: Path, *arguments: str, drain: float = 5, spread: float = 1) -> Playbook:
    """Start a deploy of a folder; its predecessor's sockets close after `drain` seconds, over `spread` seconds."""
    given = (f"release_folder={folder}", f"release_drain_seconds={drain}", f"release_drain_spread_seconds={spread}")
    return Playbook("deploy", *(item for pair in given for item in ("-e", pair)), *arguments)


def tagged(folder: Path, tag: str) -> tuple[str, ...]:
    """Turn a folder into a git repository with a tag; return what makes a deploy use that instead of the folder."""
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (("init", "-q"), ("add", "--all"), (*identity, "commit", "-qm", "first"), ("tag", tag)):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    source = (f"release_repository={folder}", "release_folder=", f"release_version={tag}")
    return tuple(item for pair in source for item in ("-e", pair))


def differences(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[str]:
    """Return what appeared on a host and what disappeared between two snapshots, one line each."""
    return [
        f"{host}: {kind} were {shown[kind]}, are {after[host][kind]}"
        for host, shown in before.items()
        for kind in shown
        if shown[kind] != after[host][kind]
    ]


class ReleaseHost(LabHost):
    """One of the hosts, and what it reports about its generations. `live` is asked each time: here, it changes."""

    @property
    def live(self) -> dict[str, Any]:
        """What the live generation is now."""
        return json.loads(self.run("cat /srv/dashboard/live/generation.json"))

    @property
    def units(self) -> list[str]:
        """The units of its processes."""
        live = self.live
        return [f"{live['unit']}@{instance}.service" for instance in live["instances"]]

    def overview(self) -> list[dict[str, Any]]:
        """Return all generations on the host, first the one that serves."""
        return json.loads(self.run("dashboard-generations list --json"))["generations"]

    def states(self) -> dict[str, str]:
        """Return the state of each generation, by its name."""
        return {row["generation"]: row["state"] for row in self.overview()}

    def snapshot(self) -> dict[str, Any]:
        """Return everything on the host that belongs to the project."""
        return json.loads(self.python(SNAPSHOT))

    def last_log_lines(self) -> str:
        """Return the host's generations and last log lines."""
        try:
            return self.host.run("dashboard-generations list").stdout + super().last_log_lines()
        except RuntimeError as error:  # it cannot be reached, for example while it boots
            return str(error)


class Pair:
    """All hosts: two, or one if two would prove no more."""

    name = " and ".join(NAMES)

    def __init__(self, hosts: list[ReleaseHost]) -> None:
        self.hosts = hosts

    def __iter__(self):
        return iter(self.hosts)

    def load_options(self, *places: str) -> list[str]:
        """Return what leads the load generator to hosts, by default to all of them."""
        ports = [f"{host.name}={host.port}" for host in self if host.name in (places or NAMES)]
        return ["--token", self.hosts[0].token("load", 7200), *ports]

    def redis(self, command: str) -> list[str]:
        """Return the words of Redis's answer to a command, sent as a user who may see everything."""
        host = self.hosts[0]
        observe = f'REDISCLI_AUTH="$1" redis-cli --user observer --raw {command}'
        return host.run("sh -c %s redis %s", observe, host.secrets()["Redis password"]).split()

    def last_log_lines(self) -> str:
        """Return what a person would look at first after a failure."""
        return "\n".join(f"--- {host.name}\n{host.last_log_lines()}" for host in self)

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """Return everything that belongs to the project on each host."""
        return {host.name: host.snapshot() for host in self}

    def live(self) -> str:
        """Return the generation that serves; fail the test if it is not the same on all hosts."""
        found = {name: shown["live"] for name, shown in self.snapshot().items()}
        assert len(set(found.values())) == 1, f"hosts serve different generations: {found}"
        return next(iter(found.values()))

    def deadlines(self) -> dict[tuple[str, str], float]:
        """Return when the sockets of draining generations are closed, by host and generation."""
        rows = [(host.name, row) for host in self for row in host.overview() if row["state"] == "draining"]
        return {(name, row["generation"]): row["deadline"] for name, row in rows}

    def settle(self, seconds: float = SETTLE_SECONDS) -> None:
        """Wait until nothing drains."""
        ending = time.monotonic() + seconds
        while drains := self.deadlines():
            assert time.monotonic() < ending, f"still draining after {seconds:.0f} s: {drains}"
            time.sleep(1)

    def assert_settled(self) -> None:
        """Fail the test if a host has anything but the generation that serves and those that are kept."""
        for host in self:
            shown = host.snapshot()
            states = host.states()
            assert set(states.values()) <= {"live", "kept"}, f"{host.name} has {states}"
            assert not shown["lock"], f"{host.name} is locked"
            self.assert_only(host.name, shown, shown["live"])

    def assert_only(self, name: str, shown: dict[str, Any], generation: str) -> None:
        """Fail the test if a host has a process, socket, link or unit of another generation."""
        for kind in ("instances", "sockets", "enabled", "units", "processes"):
            others = [entry for entry in shown[kind] if generation not in entry]
            assert not others, f"{name} has {kind} of other generations than {generation}: {others}"
            assert shown[kind], f"{name} has no {kind}"


class Copy:
    """A copy of the example project, for changes."""

    def __init__(self, folder: Path) -> None:
        ignored = shutil.ignore_patterns(".*_cache", "__pycache__", "*.sqlite3", "tests")
        shutil.copytree(ROOT / "examples" / "dashboard", folder, ignore=ignored)
        self.folder = folder

    def append(self, path: str, text: str) -> Path:
        """Append lines to a file of the backend, which may not exist yet; return the copy's folder."""
        file = self.folder / "backend" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((file.read_text() if file.exists() else "") + text + "\n")
        return self.folder
