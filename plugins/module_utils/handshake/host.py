"""The host that the proof is made on: its live generation, its processes, and how to open a WebSocket there."""

from __future__ import annotations

import glob
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..host import deployed
from ..host.processes import processes
from ..host.project import Project
from ..host.steady import Watch
from ..text.secrets import header_secrets
from ..websocket.client import WebSocket, open_websocket
from ..websocket.exchange import filled, offered

#: Seconds that a process may still take until it listens.
START_SECONDS = 3.0


class Host:
    """What the steps share: the module's parameters, the live generation, its processes, tokens and versions."""

    def __init__(self, params: dict) -> None:
        self.params = params
        self.bundle = deployed.bundle(params["app"])
        self.home = Path("/srv", params["app"])
        self.generation: str = self.bundle.get("generation", "")
        self.instances: list[str] = self.bundle.get("instances", [])
        self.sockets: list[str] = self.bundle.get("sockets", [])
        #: Marks handshakes with a good token in the log. nginx writes its line last, when the socket has ended.
        self.mark = uuid.uuid4().hex
        self.tokens = {"good": params["token"], "expired": ""}
        self.token_errors: dict[str, str] = {}
        self.project: dict[str, Any] = {}
        self.environment: dict[str, str] | None = None
        self.secrets: list[str] = [params["token"], *header_secrets(params["headers"])]
        #: The processes that listen on the generation's sockets, by the socket.
        self.serving: dict[str, dict[str, Any]] = {}
        #: The handshakes that opened a socket, in the doctor's form.
        self.exchanges: list[dict[str, Any]] = []
        #: How silent sockets were closed, by where they led.
        self.closed: dict[str, dict[str, Any]] = {}
        #: What was started, as seen when the proof began; and what became of it by the end.
        self.watch = Watch({})
        self.steady: dict[str, Any] = {}

    def gather(self) -> None:
        """Ask the project for its import, its layer, its environment and its tokens, and find its processes."""
        commands = {"good": self.params["token_command"], "expired": self.params["expired_token_command"]}
        if self.tokens["good"]:
            del commands["good"]
        project = Project(self.bundle, None, {}, self.params["probe"])
        with ThreadPoolExecutor(2) as pool:
            disk = pool.submit(project.disk_environment)
            watching = pool.submit(Watch, self.bundle)
            wanted = {name: line for name, line in commands.items() if line}
            self.project = project.ask(self.bundle["application"], wanted, self.params["origin"])
        self.environment, self.watch = disk.result(), watching.result()
        self.find_processes()
        minted = self.project.pop("minted")
        self.tokens |= minted
        self.secrets += [*self.project.pop("secrets", []), *minted.values()]
        self.token_errors = self.project["not_minted"]

    def find_processes(self) -> None:
        """Find who listens on the generation's sockets. One that has just started gets a moment to do so."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            holders = {address: each for each in processes() for address in each["listens"]}
            self.serving = {path: holders[f"unix:{path}"] for path in self.sockets if f"unix:{path}" in holders}
            if len(self.serving) == len(self.sockets) or time.monotonic() > deadline:
                return
            time.sleep(0.25)

    @property
    def manager_logs(self) -> list[str]:
        """The files that hold what the processes say, if the journal does not."""
        pattern = f"/var/log/supervisor/{self.bundle.get('unit')}@{self.generation}-*.log"
        return sorted(glob.glob(pattern)) if self.bundle.get("manager") == "supervisor" else []

    @property
    def path(self) -> str:
        """The path and query of the WebSocket."""
        return f"{urlsplit(self.params['url']).path or '/'}?{self.params['query']}".rstrip("?")

    def asking(self, socket: str | None) -> str:
        """What a handshake asks, and where: at a process's socket, or at nginx on loopback."""
        place = socket or f"127.0.0.1:{self.params['local_port']}"
        origin = f", Origin {self.params['origin']}" if self.params["origin"] else ""
        return f"GET {self.path.partition('?')[0]}{origin}, at {place},"

    def open(self, token: str, socket: str | None, **options: Any) -> WebSocket:
        """Open a WebSocket to a process's socket, or through nginx on loopback."""
        host, port = self.params["host"], self.params["local_port"]
        options.setdefault("origin", self.params["origin"] or None)
        if not socket:
            host, options["connect_to"] = f"{host}:{port}", f"127.0.0.1:{port}"
        more = offered(self.params, token)
        mark = self.mark if token == self.tokens["good"] else "refused"
        headers = {"User-Agent": f"websocket-proof/{mark}", **more["headers"]}
        return open_websocket(
            f"ws://{host}{filled(self.path, token)}", unix_socket=socket, headers=headers,
            subprotocols=more["subprotocols"], timeout=self.params["timeout"], **options,
        )  # fmt: skip
