"""A lab host as tests see it: WebSockets opened from outside as a browser would, and root's view from inside."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from testinfra.host import Host
from websockets.exceptions import InvalidMessage, InvalidStatus
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[2]
SSH_CONFIG = ROOT / ".lab" / "ssh_config"
NO_SOCKET = "/run/dashboard/none.sock"
#: Seconds that a test waits for what must come, far more than it takes: the machine may be busy.
PATIENCE = 180
GOOD = "{good}"  # stands for a good token of the host
# Runs on the host; an argument is the path of one process's socket.
SERVING = """
import socket, sys, time
deadline = time.monotonic() + 180
for path in sys.argv[1:]:
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as way:
                way.settimeout(5)
                way.connect(path)
                way.sendall(b"GET /health/ HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n")
                answer = way.recv(200).split(b"\\r\\n")[0].decode()
        except OSError as error:
            answer = repr(error)
        if " 200 " in answer:
            break
        if time.monotonic() > deadline:
            sys.exit(f"{path} is not healthy after 180 s: {answer}")
        time.sleep(0.05)
"""
# Runs on the host; a reload returns before the new workers serve.
RELOAD = """
import pathlib, subprocess, sys, time
def workers():
    main = pathlib.Path("/run/nginx.pid").read_text().strip()
    found = {}
    for pid in pathlib.Path(f"/proc/{main}/task/{main}/children").read_text().split():
        try:
            found[pid] = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            pass
    return {pid for pid, title in found.items() if title.rstrip(b"\\0 ") == b"nginx: worker process"}
before = workers()
subprocess.run(["nginx", "-t", "-q"], check=True)
subprocess.run(["service", "nginx", "reload"], check=True)
deadline = time.monotonic() + 180
while not workers() or workers() & before:
    if time.monotonic() > deadline:
        sys.exit("nginx has no new workers 180 s after its reload")
    time.sleep(0.02)
"""


def ask(websocket: ClientConnection, request: dict[str, Any], kind: str = "") -> dict[str, Any]:
    """Send a request; return the first answer of a kind, by default the request's own; TimeoutError if none comes."""
    websocket.send(json.dumps(request))
    return await_kind(websocket, kind or request["type"])


def await_kind(websocket: ClientConnection, kind: str, seconds: float = PATIENCE) -> dict[str, Any]:
    """Return the next message of a kind; raise TimeoutError if none comes within some seconds."""
    deadline = time.monotonic() + seconds
    while True:
        came = json.loads(websocket.recv(timeout=max(0.0, deadline - time.monotonic())))
        if came["type"] == kind:
            return came


def deliver(text: str, sender: ClientConnection, *receivers: ClientConnection) -> dict[str, Any]:
    """Send a message until it has come to its sender and all receivers; return what came.

    Again each second, because a channel layer may lose what is sent right after a handshake (docs/projects.md).
    """
    for _ in range(PATIENCE):
        sender.send(json.dumps({"type": "message", "text": text}))
        with contextlib.suppress(TimeoutError):
            return [await_message(websocket, text) for websocket in (sender, *receivers)][-1]
    pytest.fail(f"message {text!r} has not reached {len(receivers) + 1} sockets")


def await_message(websocket: ClientConnection, text: str, seconds: float = 1) -> dict[str, Any]:
    """Return a message once it comes; raise TimeoutError if it does not within some seconds."""
    deadline = time.monotonic() + seconds
    while (came := await_kind(websocket, "message", max(0.0, deadline - time.monotonic())))["text"] != text:
        pass
    return came


def echoes(websocket: ClientConnection, text: str = "still here") -> bool:
    """Tell whether a socket carries a message there and back."""
    return ask(websocket, {"type": "echo", "text": text})["text"] == text


class LabHost:
    """One lab host and the project on it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.name: str = host.backend.host

    # --- as root on the host ----------------------------------------------------------------------------------------

    def run(self, command: str, *arguments: str) -> str:
        """Run an sh command and return its output; fail the test if it fails."""
        done = self.host.run(command, *arguments)
        if done.rc:
            pytest.fail(f"on {self.name}, `{command}` ended with {done.rc}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def python(self, script: str, *arguments: str) -> str:
        """Run a Python script and return its output; fail the test if it fails."""
        return self.run("python3 -c %s" + " %s" * len(arguments), script, *arguments)

    def as_project(self, command: str) -> str:
        """Run an sh command as the project's user in the environment of its processes; return its output."""
        return self.run("runuser --user dashboard -- /srv/dashboard/live/within sh -c %s", command)

    @cached_property
    def live(self) -> dict[str, Any]:
        """The live generation: its instances, sockets, unit and so on."""
        return json.loads(self.run("cat /srv/dashboard/live/generation.json"))

    @cached_property
    def units(self) -> list[str]:
        """The units of the live generation's processes."""
        return [f"{self.live['unit']}@{instance}.service" for instance in self.live["instances"]]

    def pids(self) -> dict[str, int]:
        """Return the process of each unit, by the unit's name; 0 if there is none."""
        live = json.loads(self.run("dashboard-generations list --json"))["generations"][0]
        return dict(zip(self.units, live["pids"], strict=True))

    def environment(self) -> dict[str, str]:
        """Return the variables that the live generation's env file sets."""
        names = set(re.findall(r"^([A-Za-z_]\w*)=", self.run("cat /srv/dashboard/live/env"), re.MULTILINE))
        entries = self.as_project("env -0").split("\0")
        return {name: value for name, _, value in (entry.partition("=") for entry in entries) if name in names}

    def secrets(self) -> dict[str, str]:
        """Return the secret values, by what they are for."""
        environment = self.environment()
        password = re.search(r"://[^:@/]*:([^@]+)@", environment["REDIS_URL"])
        assert password, "REDIS_URL on the host holds no password, so there is nothing to look for"
        found = {name: environment[name] for name in ("SECRET_KEY", "JWT_SECRET")}
        return found | {"Redis password": unquote(password[1])}

    def reload_nginx(self) -> None:
        """Reload nginx and wait until only new workers accept connections."""
        self.python(RELOAD)

    def await_serving(self) -> None:
        """Wait until each process reports that it is healthy."""
        self.python(SERVING, *self.live["sockets"])

    def await_handshakes(self) -> None:
        """Let each process notice that Redis was restarted: one without sockets notices at its next handshake."""
        self.await_serving()
        for path in self.live["sockets"]:
            with self.tunnel(path) as port:
                last = [self.refusal(port=port) for _ in range(3)][-1]
                assert last == 101, f"{path} answers {last} to a third handshake"

    def assert_only_nginx_reaches(self, sockets: list[str]) -> None:
        """Fail the test if anybody else can connect to a process, bypassing nginx, or if nginx's user cannot.

        The folder must not let them either: uvicorn and gunicorn leave the sockets themselves open to everybody.
        """
        script = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        for path in sockets:
            for user, code in (("www-data", 0), ("nobody", 1)):
                done = self.host.run(f"runuser --user {user} -- python3 -c %s %s", script, path)
                assert done.rc == code, f"{user} {'cannot' if done.rc else 'can'} connect to {path}: {done.stderr}"
            folder = self.run("stat --format='%%a %%G' $(dirname %s)", path).strip()
            assert folder == "2750 www-data", f"the folder of {path} is {folder}"

    def restart_processes(self) -> None:
        """Restart the live generation's processes and wait until they are healthy."""
        self.run("systemctl restart " + " ".join(self.units))
        self.await_serving()

    def last_log_lines(self) -> str:
        """Return what a person would look at first after a failure."""
        shown = self.host.run(
            "dashboard-generations logs --lines=15; journalctl --no-pager --lines=15 --unit=nginx --unit=redis-server; "
            "tail -n 5 /var/log/nginx/dashboard.access.log /var/log/nginx/error.log; "
            "systemctl --no-pager --no-legend --failed || supervisorctl status"
        )
        return shown.stdout + shown.stderr

    @contextlib.contextmanager
    def edited(self, path: str, *scripts: str) -> Iterator[None]:
        """Edit a file with sed for a while. At the end, in any case, its old content, owner and mode are restored."""
        kept = self.run("mktemp").strip()
        self.run("cp --archive --dereference %s %s", path, kept)
        try:
            self.run("sed --in-place --follow-symlinks" + " -e %s" * len(scripts) + " %s", *scripts, path)
            assert self.host.run("cmp %s %s", path, kept).rc == 1, f"{scripts} changed nothing in {path}"
            yield
        finally:
            self.run("cp --archive %s $(readlink -f %s) && rm %s", kept, path, kept)

    @contextlib.contextmanager
    def nginx_edited(self, path: str, *scripts: str) -> Iterator[None]:
        """Make nginx run with an edited file for a while."""
        try:
            with self.edited(path, *scripts):
                self.reload_nginx()
                yield
        finally:
            self.reload_nginx()

    @contextlib.contextmanager
    def upstream(self, path: str) -> Iterator[None]:
        """Make nginx pass all requests to a unix socket for a while."""
        file = self.run("grep --recursive --files-with-matches '^upstream dashboard ' /etc/nginx").strip()
        with self.nginx_edited(file, f"s|server unix:.*;|server unix:{path};|"):
            yield

    # --- from outside, through the published port -------------------------------------------------------------------

    @cached_property
    def port(self) -> int:
        """The port on this machine that leads to the host's port 80."""
        return int(json.loads((ROOT / ".lab" / "ports" / f"{self.name}.json").read_text())["80"])

    @cache  # noqa: B019 - there are as many objects as hosts, and they live as long as the run
    def token(self, user: str = "tester", seconds: int = 7200) -> str:
        """Return a user's token, minted on the host as an operator would."""
        return self.run("dashboard-manage mint_token --user %s --ttl %s", user, str(seconds)).strip()

    def url(self, token: str | None, port: int = 0) -> str:
        """Return the WebSocket's address, without a query if the token is None."""
        query = "" if token is None else f"?token={token}"
        return f"ws://localhost:{port or self.port}/ws/dashboard/{query}"

    def connect(self, token: str | None = GOOD, port: int = 0, **options: Any) -> ClientConnection:
        """Open a WebSocket, with a good token unless another one, or None for no query, is given."""
        options = {"open_timeout": 60, "close_timeout": 2, "ping_interval": None, "proxy": None, **options}
        return connect(self.url(self.token() if token == GOOD else token, port), **options)

    def refusal(self, token: str | None = GOOD, **options: Any) -> int:
        """Return the HTTP status that refuses a handshake, 0 if nothing answers it, or 101 if it is not refused."""
        try:
            self.connect(token, **options).close()
        except InvalidStatus as error:
            return error.response.status_code
        except InvalidMessage:  # as when a process notices at this handshake that its Redis was restarted
            return 0
        return 101

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        """Request a path exactly as it is written; return status, headers (names in lower case) and body.

        Write a header's name with underscores, as in X_Forwarded_For.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", path, headers={"Host": "localhost", **given})
            answer = connection.getresponse()
            received = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, received, answer.read().decode(errors="replace")
        finally:
            connection.close()

    @contextlib.contextmanager
    def socket_on_each_process(self) -> Iterator[dict[str, ClientConnection]]:
        """Open sockets through nginx until each process has one; yield them by the process's name."""
        with contextlib.ExitStack() as stack:
            found: dict[str, ClientConnection] = {}
            for _ in range(40):
                websocket = stack.enter_context(self.connect())
                found.setdefault(ask(websocket, {"type": "status"})["process"], websocket)
                if found.keys() >= set(self.live["instances"]):
                    break
            else:
                pytest.fail(f"40 sockets through nginx reached {sorted(found)} only, of {self.live['instances']}")
            yield found

    @contextlib.contextmanager
    def tunnel(self, target: str) -> Iterator[int]:
        """Yield a port on this machine that leads to an address or a unix socket as seen from the host."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = ["ssh", "-F", str(SSH_CONFIG), "-o", "ControlPath=none", "-o", "ExitOnForwardFailure=yes"]
        tunnel = subprocess.Popen([*command, "-N", "-L", f"127.0.0.1:{port}:{target}", self.name])
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 60):
                    break
                assert tunnel.poll() is None and time.monotonic() < deadline, f"no tunnel to {target} on {self.name}"
                time.sleep(0.02)
            yield port
        finally:
            # Not SIGTERM: if ssh gets it just before it waits for its connections, it may not notice.
            tunnel.kill()
            tunnel.wait(5)


def playbook_command(*arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return the command for a run on the scenario's hosts, and the environment in which its user starts it."""
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    inventory = str(Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory")
    # Molecule and testinfra set variables that a user doesn't have.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PY_COLORS"))}
    environment |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return [program, "--inventory", inventory, *arguments], environment


class Run:
    """One run of a playbook, as its user sees it."""

    def __init__(self, *arguments: str) -> None:
        command, environment = playbook_command(*arguments)
        done = subprocess.run(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        self.code, self.output = done.returncode, done.stdout

    def changed(self, name: str) -> int:
        """Return how many tasks changed something on a host; fail the test if the run failed."""
        found = re.search(rf"^{re.escape(name)}\s*:.* changed=(\d+)", self.output, re.MULTILINE)
        if self.code or not found:
            pytest.fail(f"the run ended with {self.code}:\n{self.output}")
        return int(found[1])
