"""The fleet as its tests see it: edges, app hosts, and sockets that clients open through an edge."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import ssl
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import pytest
from clients import NAMES
from lab_host import ROOT, LabHost, Run, ask
from tls_relay import through_tls
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

#: The address that the edges share, as a place beside the edges' own names.
SHARED = "shared"
APP_1, APP_2 = (name for name in NAMES if "-app-" in name)
#: Seconds that a test waits for what must come; what it says about time it measures.
PATIENCE = 240
CA = ROOT / ".lab" / "authority" / "authority.crt"
# Runs on an edge; prints the state of each app host and the number of its connections, by name.
SEEN = """
import csv, json, socket
with socket.socket(socket.AF_UNIX) as way:
    way.connect("/run/haproxy/admin.sock")
    way.sendall(b"show stat\\n")
    answer = b""
    while part := way.recv(65536):
        answer += part
rows = csv.DictReader(answer.decode().removeprefix("# ").splitlines())
print(json.dumps({row["svname"]: [row["status"].split(" ")[0], int(row["scur"])] for row in rows
                  if row["pxname"] == "app" and row["svname"] != "BACKEND"}))
"""


class Fleet:
    """All hosts."""

    name = " and ".join(NAMES)

    def __init__(self, hosts: list[LabHost]) -> None:
        self.hosts = hosts
        self.edges = [host for host in hosts if "-edge-" in host.name]
        self.apps = [host for host in hosts if "-app-" in host.name]

    def host(self, name: str) -> LabHost:
        """The host of a name."""
        return next(host for host in self.hosts if host.name == name)

    def address(self, name: str) -> str:
        """A host's address in the fleet's network, or the address that the edges share."""
        return (ROOT / ".lab" / "addresses" / name).read_text().partition("/")[0].strip()

    # --- as clients see it ------------------------------------------------------------------------------------------

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """What trusts the lab's authority."""
        return ssl.create_default_context(cafile=str(CA))

    def place(self, name: str, port: int = 443) -> tuple[str, int]:
        """Where clients connect to: the shared address or an app host's, or an edge's port as this machine has it."""
        if name not in [edge.name for edge in self.edges]:
            return self.address(name), port
        return "localhost", int(json.loads((ROOT / ".lab" / "ports" / f"{name}.json").read_text())[str(port)])

    def load_options(self, *places: str) -> list[str]:
        """Return what leads the load generator to places, by default to the shared address."""
        found = {name: self.place(name) for name in places or (SHARED,)}
        given = [f"{name}={address}:{port}" for name, (address, port) in found.items()]
        return ["--token", self.apps[0].token("load", 7200), "--ca", str(CA), *given]

    def token(self) -> str:
        """A good token."""
        return self.apps[0].token()

    def connect(self, place: str = SHARED, **options: Any) -> ClientConnection:
        """Open a WebSocket through a place, as a browser would."""
        address, port = self.place(place)
        options = {"open_timeout": 30, "close_timeout": 2, "ping_interval": None, "proxy": None, **options}
        url = f"ws://localhost:{port}/ws/dashboard/?token={self.token()}"
        return connect(url, sock=through_tls(address, port, self.tls, "localhost"), **options)

    def shake(self, place: str = SHARED) -> int:
        """Make a handshake; return its status."""
        try:
            self.connect(place).close()
        except InvalidStatus as error:
            return error.response.status_code
        return 101

    @contextlib.contextmanager
    def sockets(self, number: int, *places: str) -> Iterator[list[tuple[str, ClientConnection]]]:
        """Hold a number of sockets through each place, by default each edge, for a while; yield them with the place."""
        with contextlib.ExitStack() as stack:
            names = places or [edge.name for edge in self.edges]
            yield [(name, stack.enter_context(self.connect(name))) for name in names for _ in range(number)]

    @contextlib.contextmanager
    def socket_on_each_process(self) -> Iterator[dict[tuple[str, str], ClientConnection]]:
        """Open sockets until each process of each app host has one; yield them by host and process."""
        wanted = {(host.name, process) for host in self.apps for process in self.processes(host)}
        found: dict[tuple[str, str], ClientConnection] = {}
        with contextlib.ExitStack() as kept:
            with contextlib.ExitStack() as others:
                for _ in range(80):
                    websocket = self.connect()
                    new = found.setdefault(holder_of(websocket), websocket) is websocket
                    (kept if new else others).enter_context(websocket)
                    if found.keys() >= wanted:
                        break
                else:
                    pytest.fail(f"80 sockets reached {sorted(found)} only, of {sorted(wanted)}")
            yield found

    def spread(self, websockets: Iterable[tuple[str, ClientConnection]]) -> dict[str, Counter[str]]:
        """How many sockets each app host holds, by the place that they were opened through."""
        found: dict[str, Counter[str]] = {}
        for place, websocket in websockets:
            found.setdefault(place, Counter())[holder_of(websocket)[0]] += 1
        return found

    def page(self, edge: LabHost, path: str = "/", port: int = 443, **headers: str) -> http.client.HTTPResponse:
        """Request a page through an edge, by TLS on port 443 and without it on port 80."""
        place = self.place(edge.name, port)
        way = (
            http.client.HTTPSConnection(*place, timeout=PATIENCE, context=self.tls)
            if port == 443
            else http.client.HTTPConnection(*place, timeout=PATIENCE)
        )
        way.request("GET", path, headers=headers)
        return way.getresponse()

    # --- as its hosts see it ----------------------------------------------------------------------------------------

    def processes(self, host: LabHost) -> list[str]:
        """The processes of a host's live generation; another release may have come."""
        return json.loads(host.run("cat /srv/dashboard/live/generation.json"))["instances"]

    def owner(self) -> LabHost:
        """Wait until one edge alone has the shared address; return it."""
        deadline, address = time.monotonic() + PATIENCE, self.address(SHARED)
        while True:
            owners = [edge for edge in self.edges if f" {address}/" in edge.run("ip -oneline address show")]
            if len(owners) == 1:
                return owners[0]
            assert time.monotonic() < deadline, f"{address} is on {[edge.name for edge in owners]}"
            time.sleep(0.2)

    def seen(self, *edges: LabHost) -> dict[str, dict[str, tuple[str, int]]]:
        """HAProxy's word for each app host, and the number of its connections, by edge and app host."""
        found = {edge.name: json.loads(edge.python(SEEN)) for edge in edges or self.edges}
        return {edge: {name: (word, count) for name, (word, count) in shown.items()} for edge, shown in found.items()}

    def await_states(self, states: Mapping[str, str]) -> float:
        """Wait until all edges say of app hosts what they should, and nothing of others; return when they did.

        A word may be one of several: `NOLB|DOWN`.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            words = {edge: {name: word for name, (word, _) in shown.items()} for edge, shown in self.seen().items()}
            if all(
                shown.keys() == states.keys() and all(word in states[name].split("|") for name, word in shown.items())
                for shown in words.values()
            ):
                return time.time()
            assert time.monotonic() < deadline, f"edges do not see {states} after {PATIENCE} s: {words}"
            time.sleep(0.3)

    def await_no_connections(self, name: str) -> None:
        """Wait until no edge has a connection to an app host."""
        deadline = time.monotonic() + PATIENCE
        while left := {edge: shown[name][1] for edge, shown in self.seen().items() if shown[name][1]}:
            assert time.monotonic() < deadline, f"edges keep connections to {name}: {left}"
            time.sleep(0.5)

    def last_log_lines(self) -> str:
        """Return what a person would look at first after a failure."""
        shown = []
        for host in self.hosts:
            with contextlib.suppress(RuntimeError):  # it is down
                units = "--unit=haproxy --unit=keepalived --unit=redis-server --unit=redis-sentinel"
                log = host.host.run(f"journalctl --no-pager --lines=20 {units}").stdout
                shown.append(f"--- {host.name}\n{log}" + (host.last_log_lines() if host in self.apps else ""))
        return "\n".join(shown)


def holder_of(websocket: ClientConnection) -> tuple[str, str]:
    """The host and the process that hold a socket, as the process says."""
    told = ask(websocket, {"type": "status"})
    return told["host"], told["process"]


def playbook(*arguments: str) -> Run:
    """Run a playbook; fail the test if it fails."""
    done = Run(*arguments)
    if done.code:
        pytest.fail(f"the run ended with {done.code}:\n{done.output}")
    return done


def failures_after(noticed: Mapping[str, Any], moment: float) -> list[dict[str, Any]]:
    """Return the failures of what clients began after a moment, or sent in the case of messages."""
    return [failure for failure in noticed["failures"] if begun(failure, noticed["sent"]) > moment]


def begun(failure: Mapping[str, Any], sent: list[float]) -> float:
    """When what failed had begun. A message that never came is noticed when a later one comes."""
    lost = re.match(r"\[([\d, ]+)\] never came", failure["why"])
    return max(sent[int(number)] for number in lost[1].split(",")) if lost else failure["begun"]
