"""A small site that the proof is tried on: two server processes, something in nginx's place, and a project to ask."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible_collections.channels.stack.plugins.module_utils.host import raw
from small_server import EXPIRED, GOOD

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
GENERATION = "r1-123456"
SECRET = "secret-of-the-processes"


def load(kind: str, name: str) -> ModuleType:
    """A plugin as a Python module."""
    return importlib.import_module(f"ansible_collections.channels.stack.plugins.{kind}.{name}")


class Front:
    """What stands in nginx's place: it passes connections on to the processes, and logs each when it has ended."""

    def __init__(self, sockets: list[str], log: Path) -> None:
        self.log, self.wrong = log, set[str]()
        self._next = itertools.cycle(sockets)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                way, _address = self._listener.accept()
                threading.Thread(target=self._serve, args=[way], daemon=True).start()

    def _serve(self, way: socket.socket) -> None:
        head = b""
        with way, contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as inner:
            while b"\r\n\r\n" not in head and (data := way.recv(65536)):
                head += data
            if "upgrade" in self.wrong:
                head = head.replace(b"Upgrade: websocket\r\n", b"")
            if "token" in self.wrong:
                head = re.sub(rb"token=[^ &]*", b"token=" + urllib.parse.quote(GOOD, safe="").encode(), head)
            inner.connect(next(self._next))
            inner.sendall(head)
            begun = time.monotonic()
            while self._pass_on(way, inner):
                if "idle" in self.wrong and time.monotonic() - begun > 1:
                    break
        if "silent" not in self.wrong:
            request, _, rest = head.decode().partition("\r\n")
            target = request if "query" in self.wrong else request.partition("?")[0]
            with self.log.open("a") as log:
                log.write(f'127.0.0.1 "{target}" {rest!r}\n')

    @staticmethod
    def _pass_on(one: socket.socket, other: socket.socket) -> bool:
        """Pass on what came; whether both ends are still there."""
        for ready in select.select([one, other], [], [], 0.05)[0]:
            data = ready.recv(65536)
            if not data:
                return False
            (other if ready is one else one).sendall(data)
        return True


class Site:
    """Two processes and a front, with what the proof asks of a host that no test has: the project and the bundle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instances = [f"{GENERATION}-{number}" for number in (1, 2)]
        self.sockets = [str(folder / f"{name}.sock") for name in self.instances]
        self.access, self.error = folder / "access.log", folder / "error.log"
        self.running = [self.start(path) for path in self.sockets]
        self.front = Front(self.sockets, self.access)
        self.reset()

    def reset(self) -> None:
        """Have all be sound again."""
        self.wrong()
        self.front.wrong.clear()
        self.error.unlink(missing_ok=True)
        self.bundle: dict[str, Any] = {
            "app": "site", "generation": GENERATION, "manager": "systemd", "unit": "site-daphne", "server": "daphne",
            "application": "core.asgi:application", "user": "site", "home": "/srv/site/live",
            "instances": self.instances, "sockets": self.sockets,
        }  # fmt: skip
        self.disk: dict[str, str] | None = {"SECRET": SECRET}
        self.tool = Tool(self.rows())
        self.project: dict[str, Any] = {
            "versions": {"python": "3.11", "daphne": "4.2.3", "redis": "7.4.1"}, "import_ms": 5.0, "layer_ms": 2.0,
            "layer": "channels_redis.pubsub.RedisPubSubChannelLayer", "minted": {"good": GOOD, "expired": EXPIRED},
            "not_minted": {}, "secrets": [],
        }  # fmt: skip

    def wrong(self, **faults: Any) -> None:
        """Have the processes do wrong."""
        (self.folder / "faults.json").write_text(json.dumps(faults))

    def start(self, path: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a process on a socket, under the name of a server: `daphne`, or what `words` say."""
        self.wrong()
        words = words or ("daphne",)
        script = self.folder / words[0]
        script.unlink(missing_ok=True)
        script.symlink_to(Path(__file__).with_name("small_server.py"))
        process = subprocess.Popen(
            [sys.executable, str(script), *words[1:], "-u", path], env={**os.environ, "SECRET": SECRET}
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(path)
                return process
            time.sleep(0.02)
        raise AssertionError("the server did not start")

    def rows(self, **changes: Any) -> list[dict[str, Any]]:
        """What the host's tool lists: two servers and a worker, all of which have run for long; `changes` are its."""
        made = [
            {"unit": unit, "instance": instance, "kind": kind, "pid": pid, "restarts": 0, "age": 7200.0, "word": "up"}
            for unit, instance, kind, pid in (
                ("site-daphne", self.instances[0], "server", 101), ("site-daphne", self.instances[1], "server", 102),
                ("site-celery", f"{GENERATION}-celery-1", "worker", 103),
            )
        ]  # fmt: skip
        made[-1] |= changes
        return [{"generation": "r0-000000", "processes": []}, {"generation": GENERATION, "processes": made}]

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> None:
        """End a process and wait for it."""
        process.terminate()
        process.wait(10)

    def close(self) -> None:
        """End all of it."""
        self.front.close()
        for process in self.running:
            self.end(process)

    @property
    def url(self) -> str:
        """Where a browser would open a socket."""
        return f"ws://localhost:{self.front.port}/ws/"

    def params(self, module: ModuleType, **given: Any) -> dict[str, Any]:
        """The module's parameters, all of what can be proven asked for."""
        known = {name: each.get("default") for name, each in module.ARGUMENTS.items()}
        return known | {
            "app": "site", "local_port": self.front.port, "url": self.url, "query": "token={token}",
            "origin": "http://localhost", "foreign_origin": "https://foreign.invalid",
            "token_command": ["mint"], "expired_token_command": ["mint", "old"],
            "send": '{"type": "echo", "text": "{nonce}"}', "broadcast": '{"type": "all", "text": "{nonce}"}',
            "idle_seconds": 0.2, "timeout": 2, "access_log": str(self.access), "logs": [str(self.error)],
        } | given  # fmt: skip


class FakeProject:
    """The project of a site, in place of one that is asked in its own environment."""

    site: Site

    def __init__(self, *_arguments: Any) -> None:
        self.known = True

    def ask(self, _application: str, commands: dict[str, Any], *_given: Any, **_options: Any) -> dict[str, Any]:
        """What the project would say of itself."""
        project: dict[str, Any] = json.loads(json.dumps(self.site.project))
        project["minted"] = {name: token for name, token in project["minted"].items() if name in commands}
        return project

    def disk_environment(self) -> dict[str, str] | None:
        """What is on the disk."""
        return self.site.disk


class Tool:
    """The host's own tool, as far as it is asked: what it lists first, what from then on, and the last lines it has."""

    def __init__(self, first: Any, then: Any = None, log: list[str] | None = None) -> None:
        self.first, self.then, self.log = first, first if then is None else then, log or []
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, *command: str) -> str:
        """What it prints."""
        self.asked.append(command)
        if command[0] == "list":
            rows = self.first if len(self.asked) == 1 else self.then
            return rows if isinstance(rows, str) else json.dumps({"generations": rows, "history": []})
        (row,) = [row for row in self.then if row["generation"] == command[-1]]
        return json.dumps([{**each, "what": "is unsteady", "log": self.log} for each in row["processes"]])


def commands_of(site: Site, journal: str = "") -> Any:
    """A stand-in for the commands of a host: its tool, and a journal."""
    said = raw.output

    def output(*command: str, **options: Any) -> str:
        if command[0] == "/usr/local/sbin/site-generations":
            return site.tool(*command[1:])
        if command[0] == "journalctl" and journal:
            return journal
        return str(said(*command, **options))

    return output
