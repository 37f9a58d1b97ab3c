"""The fleet as its tests see it: edges, app hosts, and sockets that clients open through an edge."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab_host import ROOT, LabHost, Run, ask
from websockets.sync.client import ClientConnection, connect

INVENTORY = Path(os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY", ".")) / "inventory"
NAMES = tuple(host["name"] for host in yaml.safe_load(Path(os.environ["MOLECULE_FILE"]).read_text())["platforms"])
CA = ROOT / ".lab" / "authority" / "authority.crt"
# Runs on an edge; prints the states of the app hosts by name.
STATES = """
import csv, json, socket
with socket.socket(socket.AF_UNIX) as way:
    way.connect("/run/haproxy/admin.sock")
    way.sendall(b"show stat\\n")
    answer = b""
    while part := way.recv(65536):
        answer += part
rows = csv.DictReader(answer.decode().removeprefix("# ").splitlines())
print(json.dumps({row["svname"]: row["status"] for row in rows if row["svname"].startswith("fleet-app-")}))
"""


class Fleet:
    """All hosts."""

    name = " and ".join(NAMES)

    def __init__(self, hosts: list[LabHost]) -> None:
        self.edges = [host for host in hosts if "-edge-" in host.name]
        self.apps = [host for host in hosts if "-app-" in host.name]

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """What trusts the lab's authority.

        Without TLS 1.3: the clients' library reads and writes in two threads, and OpenSSL then sometimes loses what is
        written while session tickets arrive (seen in 2 of 120 handshakes; asyncio and plain sockets lost 0 of 860).
        """
        context = ssl.create_default_context(cafile=str(CA))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    def port(self, edge: LabHost, port: int = 443) -> int:
        """The port on this machine that leads to an edge's."""
        return int(json.loads((ROOT / ".lab" / "ports" / f"{edge.name}.json").read_text())[str(port)])

    def token(self) -> str:
        """A good token."""
        return self.apps[0].token()

    def connect(self, edge: LabHost, **options: Any) -> ClientConnection:
        """Open a WebSocket through an edge, as a browser would."""
        options = {"open_timeout": 30, "close_timeout": 2, "ping_interval": None, "proxy": None, **options}
        url = f"wss://localhost:{self.port(edge)}/ws/dashboard/?token={self.token()}"
        return connect(url, ssl=self.tls, **options)

    @contextlib.contextmanager
    def sockets(self, number: int) -> Iterator[list[tuple[LabHost, ClientConnection]]]:
        """Hold a number of sockets through each edge for a while."""
        with contextlib.ExitStack() as stack:
            yield [(edge, stack.enter_context(self.connect(edge))) for edge in self.edges for _ in range(number)]

    def page(self, edge: LabHost, path: str = "/", port: int = 443, **headers: str) -> http.client.HTTPResponse:
        """Request a page through an edge, by TLS on port 443 and without it on port 80."""
        place = ("localhost", self.port(edge, port))
        way = (
            http.client.HTTPSConnection(*place, timeout=30, context=self.tls)
            if port == 443
            else http.client.HTTPConnection(*place, timeout=30)
        )
        way.request("GET", path, headers=headers)
        return way.getresponse()

    @property
    def processes(self) -> dict[str, str]:
        """The app host of each process of the live generations, by the process's name."""
        found = {}
        for host in self.apps:
            for name in json.loads(host.run("cat /srv/dashboard/live/generation.json"))["instances"]:
                found[name] = host.name
        return found

    def spread(self, websockets: list[tuple[LabHost, ClientConnection]]) -> dict[str, Counter[str]]:
        """How many sockets each app host holds, by edge."""
        processes = self.processes
        found: dict[str, Counter[str]] = {edge.name: Counter() for edge in self.edges}
        for edge, websocket in websockets:
            found[edge.name][processes[ask(websocket, {"type": "status"})["process"]]] += 1
        return found

    def states(self) -> dict[str, dict[str, str]]:
        """HAProxy's words for each app host, by edge."""
        return {edge.name: json.loads(edge.python(STATES)) for edge in self.edges}

    def await_states(self, seconds: float = 60, **wanted: str) -> None:
        """Wait until all edges say of app hosts (as `app_1`) what they should."""
        deadline = time.monotonic() + seconds
        while True:
            seen = self.states()
            if all(
                shown[f"fleet-{name.replace('_', '-')}"].split(" ")[0] == word
                for shown in seen.values()
                for name, word in wanted.items()
            ):
                return
            assert time.monotonic() < deadline, f"edges do not see {wanted} after {seconds:.0f} s: {seen}"
            time.sleep(0.3)

    def last_log_lines(self) -> str:
        """Return what a person would look at first after a failure."""
        logs = [edge.host.run("journalctl --no-pager --lines=30 --unit=haproxy").stdout for edge in self.edges]
        told = [f"--- {edge.name}\n{log}" for edge, log in zip(self.edges, logs, strict=True)]
        return "\n".join([*told, *(f"--- {host.name}\n{host.last_log_lines()}" for host in self.apps)])


def playbook(*arguments: str) -> Run:
    """Run a playbook; fail the test if it fails."""
    done = Run(*arguments)
    if done.code:
        pytest.fail(f"the run ended with {done.code}:\n{done.output}")
    return done


class Clients:
    """The load generator, running through all edges."""

    def __init__(self, lab: Fleet, report: Path, sockets: int = 20, rate: float = 4) -> None:
        self.report = report
        options = ["--token", lab.apps[0].token("load", 7200), "--report", str(report), "--sockets", str(sockets)]
        options += ["--rate", str(rate), "--ca", str(CA), *(f"{edge.name}={lab.port(edge)}" for edge in lab.edges)]
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "molecule" / "resources" / "load.py"), *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n", "the clients could not open their sockets"

    def stop(self) -> dict[str, Any]:
        """End the run; return what the clients noticed."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)
        noticed = json.loads(self.report.read_text())
        print("clients:", noticed["figures"], f"closings: {len(noticed['closings'])}")
        return noticed
