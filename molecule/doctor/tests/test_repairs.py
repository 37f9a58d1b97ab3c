"""The doctor's fixes work: each fix in its report is applied exactly as it is written, and then the proof passes."""

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

# Mistakes that an inventory may well contain, and that neither preflight nor the gate can see.
MISTAKES = {
    "nginx_header_buffers": "4 1k",
    "asgi_websocket_timeout": 5,
    "asgi_open_files": 64,
    "redis_maxclients": 24,
}
# Runs on the host: takes all the files that processes have left and all the connections that Redis allows; keeps them.
CROWD = """
import pathlib, socket, sys, time
held = []
for path in sys.argv[1:] * 64:
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(path)
for _ in range(60):
    way = socket.create_connection(("127.0.0.1", 6379))
    way.settimeout(0.05)
    try:
        if way.recv(100):
            break
    except TimeoutError:
        held.append(way)
pathlib.Path("/run/crowded").touch()
time.sleep(120)
"""


class Inventory:
    """The variables of one host, in a file of the scenario's inventory, as users have them in host_vars."""

    def __init__(self, lab: LabHost) -> None:
        self.lab = lab
        self.file = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "inventory", "host_vars", f"{lab.name}.yml")
        self.values: dict[str, Any] = {}

    def write(self, values: dict[str, Any]) -> None:
        """Set variables; a dict is combined with the existing one, which is how the reports' settings are meant."""
        for name, value in values.items():
            present = self.values.get(name, self.shared(name))
            self.values[name] = {**present, **value} if isinstance(value, dict) else value
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(yaml.safe_dump(self.values))

    def shared(self, name: str) -> Any:
        """The value of a variable in the lab's own inventory."""
        return yaml.safe_load((self.file.parents[1] / "group_vars" / "all" / "main.yml").read_text()).get(name)

    def run(self, *arguments: str) -> Run:
        """Run a playbook with these variables. Afterwards another generation may serve."""
        done = Run(*arguments, "--limit", self.lab.name, "--extra-vars", "handshake_idle_seconds=0")
        for known in ("live", "units"):
            self.lab.__dict__.pop(known, None)
        return done

    def apply(self, *findings: dict[str, Any]) -> None:
        """Do what findings say: put their settings into the inventory, then run each of their commands once."""
        for finding in findings:
            self.write(finding["settings"])
        commands = list(dict.fromkeys(command for finding in findings for command in finding["commands"]))
        assert commands, findings
        for command in commands:
            program, *arguments = shlex.split(command)
            assert program == "ansible-playbook"
            done = self.run(*arguments)
            assert done.code == 0, done.output


@pytest.fixture
def inventory(lab: LabHost) -> Iterator[Inventory]:
    """The host's own variables, which are removed when the test ends."""
    made = Inventory(lab)
    yield made
    made.file.unlink(missing_ok=True)


def verify(lab: LabHost, **variables: Any) -> Run:
    """Run the proof."""
    given = {"handshake_idle_seconds": 0, **variables}
    return Run("playbooks/handshake.yml", "--limit", lab.name, "--extra-vars", json.dumps(given))


def crowd(lab: LabHost) -> None:
    """Take up many of each process's files and many of Redis's client slots, replacing an earlier crowd."""
    lab.host.run("systemctl stop crowd; rm -f /run/crowded")
    lab.run("systemd-run --quiet --collect --unit=crowd python3 -c %s " + " ".join(lab.live["sockets"]), CROWD)
    lab.run("for i in $(seq 1200); do [ -e /run/crowded ] && exit 0; sleep 0.1; done; exit 1")


def test_settings(lab: LabHost, inventory: Inventory, repair: ExitStack) -> None:
    """Six mistakes in an inventory: the report gives each one's variable and value, and with those, all are mended."""
    inventory.write(MISTAKES)
    bad = inventory.run("site.yml")
    assert bad.code == 0, bad.output
    # Preflight refuses a timeout below the interval of the pings, so this stands for an edit by hand.
    lab.run("sed -i '/location .ws/,/}/s/proxy_read_timeout .*/proxy_read_timeout 4s;/' %s", SITE)
    lab.reload_nginx()
    # The page moves to an address that the project doesn't know; tokens have grown; clients may be silent.
    moved = {"handshake_origin": "https://shop.example.org", "handshake_token": lab.token(user="u" * 3600)}
    whole = {**moved, "handshake_idle_seconds": 7}
    assert verify(lab, **whole).code != 0
    first = Diagnosis(lab, **moved)
    repair.callback(lab.host.run, "systemctl stop crowd; rm -f /run/crowded")
    crowd(lab)
    second = Diagnosis(lab, doctor_timeout=3)
    expected = {
        "E304_HEADER_BUFFERS": (first, {"nginx_header_buffers": "1 12k"}),
        "E405_ORIGIN": (first, {"release_environment": {"ALLOWED_HOSTS": "localhost,127.0.0.1,shop.example.org"}}),
        "W605_READ_TIMEOUT": (first, {"nginx_websocket_timeout": 3600}),
        "W608_WEBSOCKET_TIMEOUT": (first, {"asgi_websocket_timeout": -1}),
        "E110_OPEN_FILES": (second, {"asgi_open_files": 65536}),
        "E507_REDIS_CLIENTS": (second, {"redis_maxclients": 10000}),
    }
    findings = [diagnosis.finding(code) for code, (diagnosis, _settings) in expected.items()]
    assert [each["settings"] for each in findings] == [settings for _diagnosis, settings in expected.values()]
    first.blames("E304_HEADER_BUFFERS", "nginx_header_buffers", "414")
    assert '    set:   nginx_header_buffers: "1 12k"\n    run:   ansible-playbook site.yml\n' in first.run.output
    second.blames("E110_OPEN_FILES", "LimitNOFILE=65536", "files open")
    inventory.apply(*findings)
    crowd(lab)
    mended = verify(lab, **whole)
    assert mended.code == 0, mended.output


def test_playbook(lab: LabHost, inventory: Inventory) -> None:
    """What was stopped, left behind or edited by hand has a playbook as its fix, which mends it and proves it."""
    lab.run("sed -i -e /Upgrade/d -e '/Connection /d' %s; systemctl stop nginx redis-server %s", SITE, lab.units[0])
    lab.python("import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])", lab.live["sockets"][0])
    found = Diagnosis(lab)
    found.blames("E308_PROXY_DOWN", "systemctl start nginx")
    stale = found.finding("E107_STALE_SOCKET")
    assert f"systemctl start {lab.units[0]}" in stale["fix"] and "nobody listens on unix:" in str(stale["seen"])
    findings = [stale, *map(found.finding, ("E308_PROXY_DOWN", "E301_UPGRADE_LOST", "E501_REDIS_DOWN"))]
    assert {(*each["commands"], *each["settings"]) for each in findings} == {("ansible-playbook site.yml",)}
    inventory.apply(*findings)
    assert Diagnosis(lab).report["ok"]
