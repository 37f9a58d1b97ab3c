"""What the doctor says mends a host mends it: what its report holds is applied as it stands, and the proof passes."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from diagnosis import Diagnosis
from lab_host import LabHost, Run
from test_provisioned import SITE

testinfra_hosts = ["ansible://doctor-1"]

# Each is a mistake that an inventory may well hold, and that neither preflight nor the gate can see.
MISTAKES = {
    "nginx_header_buffers": "4 1k",
    "nginx_websocket_timeout": 4,
    "asgi_websocket_timeout": 5,
    "asgi_open_files": 64,
    "redis_maxclients": 24,
}
# Runs on the host: takes every connection that Redis still gives, and keeps it.
CROWD = """
import socket, time
held = []
for _ in range(60):
    way = socket.create_connection(("127.0.0.1", 6379))
    way.settimeout(0.2)
    try:
        refused = way.recv(100)
    except TimeoutError:
        held.append(way)
        continue
    if refused:
        break
time.sleep(120)
"""


class Inventory:
    """The variables of one host, in a file of the scenario's inventory, as a user has them in host_vars."""

    def __init__(self, lab: LabHost) -> None:
        self.lab = lab
        self.file = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "inventory", "host_vars", f"{lab.name}.yml")
        self.values: dict[str, Any] = {}

    def write(self, values: dict[str, Any]) -> None:
        """Set variables, dicts combined with what is there, as the reports' settings are meant."""
        for name, value in values.items():
            base = self.values.get(name) or (self.default(name) if isinstance(value, dict) else None)
            self.values[name] = {**base, **value} if isinstance(value, dict) else value
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(yaml.safe_dump(self.values))

    def default(self, name: str) -> dict[str, Any]:
        """What the lab's own inventory has."""
        shared = yaml.safe_load((self.file.parents[1] / "group_vars" / "all" / "main.yml").read_text())
        return shared.get(name, {})

    def apply(self, *findings: dict[str, Any]) -> None:
        """Do what findings say: their settings into the inventory, then each of their commands once."""
        for finding in findings:
            self.write(finding["settings"])
        commands = list(dict.fromkeys(command for finding in findings for command in finding["commands"]))
        assert commands, findings
        for command in commands:
            program, *arguments = shlex.split(command)
            assert program == "ansible-playbook"
            done = Run(*arguments, "--limit", self.lab.name, "--extra-vars", "handshake_idle_seconds=0")
            assert done.code == 0, done.output
        # Another generation may serve by now.
        for known in ("live", "units"):
            self.lab.__dict__.pop(known, None)


@pytest.fixture
def inventory(lab: LabHost) -> Iterator[Inventory]:
    """The host's own variables, gone when the test ends."""
    made = Inventory(lab)
    yield made
    made.file.unlink(missing_ok=True)


def verify(lab: LabHost, **variables: Any) -> Run:
    """Run the proof."""
    given = {"handshake_idle_seconds": 0, **variables}
    return Run("playbooks/verify.yml", "--limit", lab.name, "--extra-vars", json.dumps(given))


def found_in(diagnosis: Diagnosis, *codes: str) -> list[dict[str, Any]]:
    """The findings of some codes, the verdict's first; fail the test where one is missing."""
    report = diagnosis.report
    found = {each["code"]: each for each in [report["finding"], *report["noticed"]] if each}
    assert set(codes) <= set(found), f"{sorted(found)}:\n{diagnosis.told()}"
    return [found[code] for code in codes]


def test_settings(lab: LabHost, inventory: Inventory, repair: ExitStack) -> None:
    """Seven mistakes of an inventory: the report names the variable and its value for each, and those mend them all."""
    inventory.write(MISTAKES)
    assert Run("site.yml", "--limit", lab.name, "--extra-vars", "handshake_idle_seconds=0").code == 0
    for known in ("live", "units"):
        lab.__dict__.pop(known, None)
    long = lab.token(user="u" * 3600)
    # The page moves to another address, as nobody has told the project; tokens have grown; a client may be silent.
    moved = {"handshake_origin": "https://shop.example.org", "handshake_token": long}
    whole = {**moved, "handshake_idle_seconds": 7}
    broken = verify(lab, **whole)
    assert broken.code != 0, broken.output
    findings = found_in(
        Diagnosis(lab, **moved), "E304_HEADER_BUFFERS", "E405_ORIGIN", "W605_READ_TIMEOUT", "W608_WEBSOCKET_TIMEOUT"
    )
    lab.run("systemd-run --quiet --collect --unit=crowd python3 -c %s", CROWD)
    repair.callback(lab.host.run, "systemctl stop crowd")
    for _ in range(90):
        with_socket = ExitStack()
    with ExitStack() as sockets:
        del with_socket
        for _ in range(90):
            try:
                sockets.enter_context(lab.connect(open_timeout=1))
            except Exception:
                break
        crowded = Diagnosis(lab, doctor_timeout=3)
        findings += found_in(crowded, "E110_OPEN_FILES", "E507_REDIS_CLIENTS")
        inventory.apply(*findings)
    assert {each["code"]: each["settings"] for each in findings} == {
        "E304_HEADER_BUFFERS": {"nginx_header_buffers": "8 32k"},
        "E405_ORIGIN": {"release_environment": {"ALLOWED_HOSTS": "localhost,127.0.0.1,shop.example.org"}},
        "W605_READ_TIMEOUT": {"nginx_websocket_timeout": 3600},
        "W608_WEBSOCKET_TIMEOUT": {"asgi_websocket_timeout": -1},
        "E110_OPEN_FILES": {"asgi_open_files": 65536},
        "E507_REDIS_CLIENTS": {"redis_maxclients": 10000},
    }
    mended = verify(lab, **whole)
    assert mended.code == 0, mended.output


def test_playbook(lab: LabHost, inventory: Inventory, repair: ExitStack) -> None:
    """What was stopped or edited by hand has a playbook for its fix, and that mends it."""
    repair.callback(lab.await_handshakes)
    lab.run("sed -i -e /Upgrade/d -e '/Connection /d' %s; systemctl stop nginx %s", SITE, lab.units[0])
    stopped = found_in(Diagnosis(lab), "E308_PROXY_DOWN", "E301_UPGRADE_LOST", "E104_NOT_RUNNING")
    inventory.apply(*stopped)
    lab.run("systemctl stop redis-server %s", lab.units[0])
    lab.python("import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])", lab.live["sockets"][0])
    left = found_in(Diagnosis(lab), "E107_STALE_SOCKET", "E501_REDIS_DOWN")
    inventory.apply(*left)
    assert all(not each["settings"] for each in [*stopped, *left])
    done = verify(lab)
    assert done.code == 0, done.output
