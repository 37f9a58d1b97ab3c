#!/usr/bin/python
"""Prove on a host, step by step, that WebSockets open, carry messages and stay open."""

from __future__ import annotations

DOCUMENTATION = r"""
module: websocket_proof
short_description: WebSockets provably work on this host
description:
  - Looks at the processes of the live generation, imports the application as they do, and opens real WebSockets to each
    process and through nginx on loopback; keeps them silent for a while, then sends a message from one process's socket
    to all others; and looks for the attempt, and for the token, in the logs.
  - Changes nothing, and does not fail. It returns one result for each thing that it tried, good or bad, so that all
    faults are seen at once; C(proof_report) makes a report and a verdict of them.
  - The result holds a token, so the task wants C(no_log).
options:
  home: {description: Folder of the project on the host., type: path, required: true}
  local_port: {description: Port of nginx on loopback., type: int, default: 8000}
  host: {description: Host header of the requests., type: str, default: localhost}
  path: {description: 'Path and query of the WebSocket; C({token}) stands for the token.', type: str, required: true}
  health_path: {description: Path of plain HTTP that must answer below 500., type: str, default: /}
  origin: {description: The Origin that a browser would send., type: str, default: ''}
  token: {description: A token that is good., type: str, default: ''}
  token_command: {description: Command of the project that prints a good token., type: list, elements: str, default: []}
  expired_token_command: {description: Command that prints an expired token., type: list, elements: str, default: []}
  send: {description: 'Message that is answered with one that holds its C({nonce}).', type: str, default: ''}
  broadcast: {description: 'Message that all sockets receive, with its C({nonce}).', type: str, default: ''}
  idle_seconds: {description: Seconds of silence that sockets must survive., type: float, default: 12}
  logs: {description: Log files that must not hold the token., type: list, elements: path, default: []}
  access_log: {description: nginx's access log, which must show the attempt., type: path, default: ''}
  timeout: {description: Seconds for each handshake and each answer., type: float, default: 10}
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: WebSockets are tried on the host
  websocket_proof:
    home: /srv/dashboard
    path: /ws/dashboard/?token={token}
    token_command: [python, manage.py, mint_token]
  register: __proof
  no_log: true
"""

RETURN = r"""
results:
  description: >-
    One for each thing tried, as C(id), C(title), C(state) (passed, failed, warned or skipped), C(seen) and C(fix).
  type: list
  elements: dict
  returned: always
token:
  description: The token that was minted, for the checks that follow from elsewhere.
  type: str
  returned: always
versions:
  description: Versions of Python and of the packages that matter, in the project's environment.
  type: dict
  returned: always
"""

import glob
import json
import os
import re
import shutil
import subprocess
import time
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.channels_websocket import (
    HAS_WSPROTO,
    Closed,
    HandshakeFailed,
    HandshakeRefused,
    Message,
    SocketClosed,
    WebSocket,
    explain,
    http_get,
    open_websocket,
    redact,
    watch,
)

# Runs in the project's environment: what its processes would import, what its channel layer answers, and the commands
# of manage.py that mint tokens, which would each need as long again to import the project for themselves.
PROBE = r"""
import asyncio, contextlib, importlib, importlib.metadata, io, json, os, re, sys, traceback
found = {"versions": {"python": sys.version.split()[0]}}
for name in ("django", "channels", "channels-redis", "redis", "daphne", "uvicorn", "websockets"):
    try:
        found["versions"][name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
sys.path.insert(0, "")
module, _, attribute = sys.argv[1].partition(":")
try:
    part = importlib.import_module(module)
    for name in (attribute or "application").split("."):
        part = getattr(part, name)
    found["callable"] = callable(part)
except BaseException as error:
    found["import_error"] = traceback.format_exception_only(type(error), error)[-1].strip()
    found["import_trace"] = traceback.format_exc().strip().splitlines()[-7:]
else:
    async def ask():
        from channels.layers import get_channel_layer
        layer = get_channel_layer()
        if layer is not None:
            found["layer"] = type(layer).__module__ + "." + type(layer).__qualname__
            hosts = getattr(layer, "hosts", None) or getattr(layer, "_hosts", None) or []
            found["patient"] = any(isinstance(h, dict) and {"socket_timeout", "retry"} & set(h) for h in hosts)
            channel = await layer.new_channel()
            await asyncio.wait_for(layer.send(channel, {"type": "probe"}), 5)
            await asyncio.wait_for(layer.receive(channel), 5)
    try:
        asyncio.run(ask())
    except BaseException as error:
        found["layer_error"] = type(error).__name__ + ": " + str(error)
found["minted"], found["not_minted"] = {}, {}
for name, command in json.loads(sys.argv[2]).items() if "import_error" not in found else ():
    printed = io.StringIO()
    try:
        from django.core.management import execute_from_command_line
        sys.argv = command
        with contextlib.redirect_stdout(printed):
            execute_from_command_line(command)
    except BaseException as error:
        if getattr(error, "code", 1):
            found["not_minted"][name] = traceback.format_exception_only(type(error), error)[-1].strip()
    if printed.getvalue().strip():
        found["minted"][name] = printed.getvalue().strip().splitlines()[-1]
    else:
        found["not_minted"].setdefault(name, "it printed nothing")
print("\n@@probe@@" + json.dumps(found))
"""

#: How a server is told from its command line: name, what its command line holds, whether it speaks WebSocket.
SERVERS = (
    ("runserver", re.compile(r"manage\.py\s+runserver"), False),
    ("gunicorn with uvicorn workers", re.compile(r"gunicorn.*uvicorn"), True),
    ("gunicorn", re.compile(r"gunicorn"), False),
    ("uwsgi", re.compile(r"uwsgi"), False),
    ("wsgiref", re.compile(r"wsgi"), False),
    ("daphne", re.compile(r"daphne"), True),
    ("uvicorn", re.compile(r"uvicorn"), True),
    ("hypercorn", re.compile(r"hypercorn"), True),
)


class Proof:
    """The results so far, and how to add to them."""

    def __init__(self) -> None:
        self.results: list[dict[str, str]] = []

    def add(self, name: str, title: str, state: str, seen: str, fix: str = "") -> bool:
        """Note a result; return whether it is good."""
        self.results.append({"id": name, "title": title, "state": state, "seen": seen, "fix": fix})
        return state in ("passed", "warned")

    def passed(self, name: str, title: str, seen: str) -> bool:
        """Note that something is as it should be."""
        return self.add(name, title, "passed", seen)

    def failed(self, name: str, title: str, seen: str, fix: str) -> bool:
        """Note that something is broken, and what to do."""
        return self.add(name, title, "failed", seen, fix)

    def skipped(self, name: str, title: str, why: str) -> bool:
        """Note that something was not tried, and why."""
        return self.add(name, title, "skipped", why)


class Host:
    """What the steps share: the module's parameters, the live generation, tokens and versions."""

    def __init__(self, params: dict) -> None:
        self.params = params
        self.home = Path(params["home"])
        described = self.home / "live" / "generation.json"
        self.live: dict = json.loads(described.read_text()) if described.exists() else {}
        self.generation: str = self.live.get("generation", "")
        self.instances: list[str] = self.live.get("instances", [])
        self.sockets: list[str] = self.live.get("sockets", [])
        self.nonce = uuid.uuid4().hex
        self.tokens = {"good": params["token"], "expired": ""}
        self.token_errors: dict[str, str] = {}
        self.probe: dict = {}
        self.environment: dict[str, str] = {}

    @property
    def journal(self) -> str:
        """The command that shows the processes' log."""
        return f"{self.live.get('app')}-generations logs {self.generation}"

    @property
    def manager_logs(self) -> list[str]:
        """The files that hold what the processes say, where the journal does not."""
        pattern = f"/var/log/supervisor/{self.live.get('unit')}@{self.generation}-*.log"
        return sorted(glob.glob(pattern)) if self.live.get("manager") == "supervisor" else []

    def within(self, command: list[str], timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command of the project as its user, in the live generation's environment."""
        script = str(self.home / "live" / "within")
        return subprocess.run(
            ["runuser", "--user", self.live["user"], "--", script, *command],
            capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def url(self, token: str, port: int | None = None) -> str:
        """Return the WebSocket's address with a token in its place."""
        address = self.params["host"] if port is None else f"{self.params['host']}:{port}"
        return f"ws://{address}{self.params['path'].replace('{token}', quote(token, safe=''))}"

    def open(self, token: str, socket: str | None, **options) -> WebSocket:
        """Open a WebSocket to a process's socket, or through nginx on loopback."""
        port = None if socket else self.params["local_port"]
        options.setdefault("origin", self.params["origin"] or None)
        if not socket:
            options["connect_to"] = f"127.0.0.1:{port}"
        headers = {"User-Agent": f"websocket-proof/{self.nonce}"}
        return open_websocket(
            self.url(token, port), unix_socket=socket, headers=headers, timeout=self.params["timeout"], **options
        )


def gather(host: Host) -> None:
    """Ask the project for its import, its environment and its tokens, all at the same time."""
    minting = {"good": host.params["token_command"], "expired": host.params["expired_token_command"]}
    if host.tokens["good"]:
        del minting["good"]
    with_manage = {name: command[1:] for name, command in minting.items() if command[:2] == ["python", "manage.py"]}
    jobs = {
        "probe": ["python", "-c", PROBE, host.live["application"], json.dumps(with_manage)],
        "environment": ["env", "-0"],
        **{name: command for name, command in minting.items() if name not in with_manage},
    }
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = {name: pool.submit(host.within, command) for name, command in jobs.items() if command}
    for name, job in running.items():
        try:
            done = job.result()
        except (OSError, subprocess.TimeoutExpired) as error:
            host.token_errors[name] = str(error)
            continue
        if name == "probe":
            _, mark, found = done.stdout.rpartition("\n@@probe@@")
            host.probe = json.loads(found) if mark else {"import_error": last_lines(done.stderr) or "no output"}
        elif name == "environment":
            host.environment = dict(entry.split("=", 1) for entry in done.stdout.split("\0") if "=" in entry)
        else:
            take_token(host, name, done)
    host.tokens |= host.probe.get("minted", {})
    host.token_errors |= host.probe.get("not_minted", {})
    if "import_error" in host.probe:  # manage.py may work all the same
        for name, command in with_manage.items():
            take_token(host, name, host.within(["python", *command]))


def take_token(host: Host, name: str, done: subprocess.CompletedProcess[str]) -> None:
    """Note the token that a command printed, or what it complained of."""
    if done.returncode or not done.stdout.strip():
        host.token_errors[name] = last_lines(done.stderr) or "it printed nothing"
    else:
        host.tokens[name] = done.stdout.strip().splitlines()[-1]


def last_lines(text: str, number: int = 4) -> str:
    """Return the last lines of an output in one line."""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-number:])


# --- 1. processes ---------------------------------------------------------------------------------------------------


def listeners(sockets: list[str]) -> dict[str, int]:
    """Return which process listens on each unix socket; sockets without one are left out."""
    inodes = {}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[-1] in sockets and fields[3] == "00010000":  # flag __SO_ACCEPTCON: it listens
            inodes[f"socket:[{fields[6]}]"] = fields[-1]
    found: dict[str, int] = {}
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            targets = {os.readlink(entry) for entry in folder.iterdir()}
        except OSError:
            continue  # it ended meanwhile
        for inode in targets & inodes.keys():
            found.setdefault(inodes[inode], int(folder.parent.name))
    return found


def server_of(pid: int) -> tuple[str, bool]:
    """Return the name of the server that a process runs, and whether it speaks WebSocket."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    for name, pattern, speaks in SERVERS:
        if pattern.search(command):
            return name, speaks
    return command[:80] or "unknown", True


def check_processes(host: Host, proof: Proof) -> bool:
    """1: each socket has an ASGI server behind it, not runserver and not a WSGI server."""
    title = "Processes are an ASGI server"
    if not host.generation:
        return proof.failed("process", title, f"{host.home}/live is not there: nothing was deployed yet",
                            "ansible-playbook site.yml")  # fmt: skip
    found = listeners(host.sockets)
    missing = [Path(name).name for name in host.sockets if name not in found]
    if missing:
        names = [Path(name).stem for name in missing]
        units = " ".join(f"{host.live['unit']}@{name}" for name in names)
        status = f"systemctl status {units}"
        if host.live.get("manager") == "supervisor":
            status = f"supervisorctl status '{host.live['unit']}@{host.generation}:*'"
        return proof.failed("process", title, f"no process listens on {', '.join(missing)}",
                            f"{status}; {host.journal}")  # fmt: skip
    servers = {server_of(pid) for pid in found.values()}
    silent = [name for name, speaks in servers if not speaks]
    if silent:
        return proof.failed(
            "process", title, f"the sockets are served by {', '.join(silent)}, which speaks no WebSocket",
            f"serve the project with {host.live['server']}: it is the command in {host.home}/live/serve",
        )  # fmt: skip
    names = ", ".join(name for name, _ in servers)
    version = host.probe.get("versions", {}).get(host.live["server"], "")
    if not version:
        return proof.failed("process", title, f"{host.live['server']} is not installed in {host.home}/live/venv",
                            f"add {host.live['server']} to the project's requirements")  # fmt: skip
    return proof.passed("process", title, f"{len(found)} × {names} {version}, generation {host.generation}")


def check_environment(host: Host, proof: Proof) -> None:
    """1b: the processes run with the environment that is on the disk, so that a token of one is good for the other."""
    title = "Processes have the environment that is on the disk"
    stale: set[str] = set()
    for pid in listeners(host.sockets).values():
        entries = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="surrogateescape").split("\0")
        running = dict(entry.split("=", 1) for entry in entries if "=" in entry)
        declared = (host.home / "live" / "env").read_text().splitlines()
        names = {line.split("=", 1)[0] for line in declared if re.match(r"^[A-Za-z_]\w*=", line)}
        stale |= {name for name in names if running.get(name) != host.environment.get(name)}
    if stale:
        proof.failed(
            "environment", title, f"{', '.join(sorted(stale))} changed on the disk after the processes had started",
            "ansible-playbook playbooks/deploy.yml (a changed environment makes a new generation)",
        )  # fmt: skip
    else:
        proof.passed("environment", title, "all values are the same")


# --- 2. application and channel layer -------------------------------------------------------------------------------


def check_application(host: Host, proof: Proof) -> None:
    """2: the ASGI path imports."""
    title = f"{host.live['application']} imports"
    if "import_error" in host.probe:
        problem = explain(HandshakeFailed("handshake", host.probe["import_error"]))
        proof.failed("application", title, host.probe["import_error"],
                     problem["fix"] if "import" in problem["likely"] else "correct asgi_application, or the module "
                     f"that it names; see for yourself: {host.home}/live/within python -c 'import "
                     f"{host.live['application'].partition(':')[0]}'")  # fmt: skip
    else:
        versions = ", ".join(f"{name} {version}" for name, version in host.probe.get("versions", {}).items())
        proof.passed("application", title, versions)


def check_layer(host: Host, proof: Proof) -> None:
    """The channel layer takes a message, and is no layer that is known to lose sockets."""
    title = "Channel layer carries a message"
    if "layer" not in host.probe and "layer_error" not in host.probe:
        proof.skipped("channel_layer", title, "the project has no channel layer, or it did not import")
    elif error := host.probe.get("layer_error"):
        proof.failed("channel_layer", title, error, layer_fix(error))
    else:
        proof.passed("channel_layer", title, host.probe["layer"])


REDIS_PY_SECONDS = 6  # its timeout of 5 s, and one for the close to arrive
REDIS_PY = (
    "write redis<8 into the project's requirements and deploy, or set socket_timeout to 30 in the layer's hosts, or "
    "use channels_redis.pubsub.RedisPubSubChannelLayer"
)


def check_redis_py(host: Host, proof: Proof) -> None:
    """Warn of redis-py 8 under the core layer, where no silence was tried that would show it to be harmless or not."""
    redis = host.probe.get("versions", {}).get("redis", "0")
    core = host.probe.get("layer", "").startswith("channels_redis.core")
    tried = host.params["idle_seconds"] > REDIS_PY_SECONDS
    if core and int(redis.split(".")[0]) >= 8 and not host.probe.get("patient") and not tried:
        proof.add(
            "redis_py",
            "redis-py does not cut idle consumers",
            "warned",
            f"redis-py {redis} reads with a timeout of 5 s, as long as the core layer's own wait; whether it closes "
            "silent sockets was not tried (handshake_idle_seconds)",
            REDIS_PY,
        )


def layer_fix(error: str) -> str:
    """Return what to do about an error of the channel layer."""
    if re.search(r"Error (111|-2|-3|110|113)|refused|Connect call failed|Timeout", error, re.IGNORECASE):
        return "start Redis, or correct its address in the project's environment: systemctl status redis-server"
    if re.search(r"WRONGPASS|NOAUTH|Authentication|invalid username", error, re.IGNORECASE):
        return "the password or user in the project's Redis URL is not the one of /etc/redis/users.acl: run site.yml"
    if re.search(r"NOPERM|NoPermission", error, re.IGNORECASE):
        return "the layer's prefix is not redis_prefix, or it uses a command that the ACL lacks: see redis_extra_users"
    return "see the error; the layer is CHANNEL_LAYERS in the project's settings"


# --- 3. HTTP --------------------------------------------------------------------------------------------------------


def check_http(host: Host, proof: Proof) -> None:
    """3: nginx's local port answers, and each process's socket does."""
    ways = [(f"port {host.params['local_port']}", {"address": f"127.0.0.1:{host.params['local_port']}"})]
    ways += [
        (f"process {name}", {"unix_socket": path}) for name, path in zip(host.instances, host.sockets, strict=True)
    ]
    answers, faults, fixes = [], [], []
    for name, way in ways:
        try:
            answer = http_get(
                host.params["health_path"], host=host.params["host"], timeout=host.params["timeout"], **way
            )
        except HandshakeFailed as error:
            faults.append(f"{name}: {explain(error)['what']}")
            fixes.append(explain(error)["fix"])
            continue
        answers.append(str(answer.status))
        if answer.status >= 400:
            faults.append(f"{name}: {answer.status} {answer.reason} {answer.body[:120]}".strip())
            fixes.append(explain(HandshakeRefused(answer.status, answer.reason, answer.headers, answer.body))["fix"])
    title = f"Port {host.params['local_port']} and each process answer HTTP"
    if faults:
        proof.failed("http", title, "; ".join(faults), next((fix for fix in fixes if fix), host.journal))
    else:
        proof.passed("http", title, f"{host.params['health_path']}: {', '.join(answers)}")


# --- 4 and 5. handshakes --------------------------------------------------------------------------------------------


def try_open(host: Host, token: str, socket: str | None, **options) -> WebSocket | HandshakeFailed | HandshakeRefused:
    """Open a WebSocket, or return what came instead."""
    try:
        return host.open(token, socket, **options)
    except (HandshakeFailed, HandshakeRefused) as error:
        return error


def outcome(attempt: object) -> str:
    """Tell in a few words how an attempt ended."""
    if isinstance(attempt, WebSocket):
        return f"101 in {attempt.timings['handshake']:.0f} ms"
    return explain(attempt)["what"]


def echo(websocket: WebSocket, message: str, nonce: str, timeout: float) -> str:
    """Send a message and wait for one that holds its nonce; return what went wrong, or nothing."""
    try:
        websocket.send(message.replace("{nonce}", nonce))
    except SocketClosed as error:
        return explain(error.closed)["what"]
    return await_nonce(websocket, nonce, timeout)


def await_nonce(websocket: WebSocket, nonce: str, timeout: float) -> str:
    """Wait for a message that holds a nonce; return what went wrong, or nothing."""
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        came = websocket.receive(left)
        if isinstance(came, Closed):
            return explain(came)["what"]
        if isinstance(came, Message) and nonce in came.text:
            return ""
    return f"nothing came within {timeout:.0f} s"


def check_good(host: Host, proof: Proof) -> list[tuple[str, WebSocket]]:
    """4 and 5: a good token opens a socket of each process, and through nginx; return the open ones."""
    opened: list[tuple[str, WebSocket]] = []
    if "good" in host.token_errors:
        proof.failed("token", "A token is minted", f"handshake_token_command failed: {host.token_errors['good']}",
                     "correct handshake_token_command, which runs in the project's folder and environment")  # fmt: skip
        return opened
    direct_ok = False
    for name, socket in [*zip(host.instances, host.sockets, strict=True), ("nginx", None)]:
        title = f"Handshake with a good token, {'through nginx on loopback' if socket is None else 'process ' + name}"
        identity = "handshake_nginx" if socket is None else f"handshake_{name.rpartition('-')[2]}"
        attempt = try_open(host, host.tokens["good"], socket)
        if not isinstance(attempt, WebSocket):
            problem = explain(attempt)
            fix = problem["fix"]
            if socket is None and direct_ok and isinstance(attempt, HandshakeRefused) and attempt.status == 502:
                fix = (f"the processes accept, and nginx does not reach them: its upstream for {host.live['app']} "
                       "leads elsewhere. Have it lead to the live generation again: ansible-playbook "
                       "playbooks/deploy.yml")  # fmt: skip
            elif socket is None and direct_ok:
                fix = ("the processes accept what nginx does not pass on: it drops the Upgrade or Connection header, "
                       "or its site was edited. Render it again: ansible-playbook site.yml --tags nginx")  # fmt: skip
            elif isinstance(attempt, HandshakeRefused) and attempt.status == 403:
                fix = ("a token minted just now in the environment on the disk is refused: the processes were started "
                       f"with another secret, or the Origin {host.params['origin']} is not allowed. Deploy again, or "
                       f"see {host.journal}")  # fmt: skip
            proof.failed(identity, title, problem["what"], fix or host.journal)
            continue
        direct_ok = True
        wrong = (
            echo(attempt, host.params["send"], uuid.uuid4().hex, host.params["timeout"]) if host.params["send"] else ""
        )
        if wrong:
            proof.failed(identity, title, f"101, but the echo did not come back: {wrong}",
                         f"see the consumer's error: {host.journal}")  # fmt: skip
        else:
            proof.passed(identity, title, outcome(attempt) + (" and its echo" if host.params["send"] else ""))
            opened.append((name, attempt))
    return opened


def spoiled(token: str) -> str:
    """Return a token with one character of its signature changed, far enough from the end to matter."""
    position = max(0, len(token) - 8)
    return token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]


def check_refused(host: Host, proof: Proof) -> None:
    """4: no token, a bad one and an expired one are refused."""
    if "{token}" not in host.params["path"]:
        proof.skipped("refusals", "Bad tokens are refused", "handshake_path has no {token}, so nothing can be proven")
        return
    socket = host.sockets[0]
    for kind, token in (("no", ""), ("a bad", spoiled(host.tokens["good"])), ("an expired", host.tokens["expired"])):
        title = f"Handshake with {kind} token is refused"
        identity = f"refused_{kind.split()[-1]}"
        if kind == "an expired" and not token:
            why = host.token_errors.get("expired") or "handshake_expired_token_command is empty"
            state = "failed" if "expired" in host.token_errors else "skipped"
            proof.add(identity, title, state, why, "correct it, or leave it empty" if state == "failed" else "")
            continue
        attempt = try_open(host, token, socket)
        ended = attempt.receive(1.0) if isinstance(attempt, WebSocket) else None
        if isinstance(attempt, HandshakeRefused) and attempt.status in (401, 403):
            proof.passed(identity, title, f"{attempt.status} {attempt.reason}")
        elif isinstance(ended, Closed):
            proof.passed(identity, title, f"101, then closed with {ended.code}")
        elif isinstance(attempt, WebSocket):
            attempt.close()
            proof.failed(
                identity, title, "it was accepted with 101", "the consumer must check the token before accept()"
            )
        else:
            proof.failed(identity, title, outcome(attempt), explain(attempt)["fix"] or host.journal)


# --- 6 and 7. silence, and a message from one process to another ------------------------------------------------------


def check_silence(host: Host, proof: Proof, opened: list[tuple[str, WebSocket]]) -> list[tuple[str, WebSocket]]:
    """6: silent sockets stay open; return those that did."""
    seconds = host.params["idle_seconds"]
    title = f"Silent sockets are still open after {seconds:g} s"
    if seconds <= 0:
        proof.skipped("idle", title, "handshake_idle_seconds is 0")
        return opened
    reports = watch([websocket for _, websocket in opened], seconds)
    closed = [(name, report) for (name, _), report in zip(opened, reports, strict=True) if report.closed]
    if not closed:
        proof.passed("idle", title, f"{len(opened)} of {len(opened)}")
        return opened
    name, report = closed[0]
    redis = host.probe.get("versions", {}).get("redis", "0")
    because_of_redis_py = report.closed.code == 1011 and int(redis.split(".")[0]) >= 8
    fix = f"redis-py {redis} cuts idle consumers: {REDIS_PY}" if because_of_redis_py else explain(report.closed)["fix"]
    proof.failed("idle", title, f"{len(closed)} of {len(opened)} were closed, {name} with {report.closed.code} after "
                 f"{report.seconds:.1f} s", fix or host.journal)  # fmt: skip
    return [entry for entry, report in zip(opened, reports, strict=True) if not report.closed]


def check_broadcast(host: Host, proof: Proof, opened: list[tuple[str, WebSocket]]) -> None:
    """6 and 7: a message over a socket of one process reaches the sockets of all others, after the silence too."""
    title = "A message reaches the sockets of all processes"
    if not host.params["broadcast"]:
        proof.skipped("broadcast", title, "handshake_broadcast is empty, so it is not known what to send")
    elif len(opened) < 2:
        proof.skipped("broadcast", title, "fewer than two sockets are open")
    else:
        nonce, (sender, first) = uuid.uuid4().hex, opened[0]
        begun = time.monotonic()
        wrong = {sender: echo(first, host.params["broadcast"], nonce, host.params["timeout"])}
        for name, websocket in opened[1:]:
            wrong[name] = await_nonce(websocket, nonce, host.params["timeout"])
        lost = [f"{name}: {why}" for name, why in wrong.items() if why]
        if lost:
            proof.failed("broadcast", title, f"sent by {sender}, not received by " + "; ".join(lost),
                         "processes do not share a channel layer: use one of channels_redis, with the same Redis "
                         "database and prefix everywhere; see also the result for the channel layer")  # fmt: skip
        else:
            spent = (time.monotonic() - begun) * 1000
            proof.passed("broadcast", title, f"sent by {sender}, received by {len(wrong)} sockets in {spent:.0f} ms")


# --- 8. logs --------------------------------------------------------------------------------------------------------


def read_new(path: str, offsets: dict[str, int]) -> str:
    """Return what was written to a log since its offset was noted."""
    try:
        with open(path, "rb") as log:
            log.seek(min(offsets.get(path, 0), os.path.getsize(path)))
            return log.read().decode(errors="replace")
    except OSError:
        return ""


def check_logs(host: Host, proof: Proof, offsets: dict[str, int], begun: float) -> None:
    """8: the access log shows the attempt, and no log holds the token."""
    access, title = host.params["access_log"], "The log shows the attempt, and not the token"
    if not access:
        proof.skipped("logs", title, "no access log is named")
        return
    deadline = time.monotonic() + 3
    while host.nonce not in (lines := read_new(access, offsets)) and time.monotonic() < deadline:
        time.sleep(0.1)
    texts = {path: read_new(path, offsets) for path in (*host.params["logs"], *host.manager_logs)} | {access: lines}
    if shutil.which("journalctl"):
        since = ["journalctl", "--no-pager", "--output=cat", f"--since=@{int(begun)}"]
        texts["journal"] = subprocess.run(since, capture_output=True, text=True, check=False).stdout
    secrets = [token for token in host.tokens.values() if token]
    leaking = [name for name, text in texts.items() if any(secret in text for secret in secrets)]
    if leaking:
        proof.failed("logs", title, f"the token stands in {', '.join(leaking)}",
                     "let nginx log $uri and not $request, and the server log no query: run site.yml")  # fmt: skip
    elif host.nonce not in lines:
        proof.failed("logs", title, f"{access} does not show the handshake through nginx",
                     "nginx logs elsewhere, or the handshake did not reach it: run site.yml")  # fmt: skip
    else:
        proof.passed("logs", title, f"{access} shows it; {len(texts)} logs hold no token")


def prove(host: Host, proof: Proof) -> None:
    """Run all steps; those that cannot be tried say so."""
    begun = time.time()
    watched = [*host.params["logs"], *host.manager_logs, host.params["access_log"]]
    offsets = {path: os.path.getsize(path) for path in watched if path and os.path.exists(path)}
    if host.generation:
        gather(host)
    if not check_processes(host, proof) and not host.generation:
        return
    check_environment(host, proof)
    check_application(host, proof)
    check_layer(host, proof)
    check_redis_py(host, proof)
    check_http(host, proof)
    opened = check_good(host, proof)
    if host.tokens["good"] and host.sockets:
        check_refused(host, proof)
    if opened:
        opened = check_silence(host, proof, opened)
        check_broadcast(host, proof, opened)
    else:
        proof.skipped("idle", "Silent sockets stay open", "no socket could be opened")
    for _, websocket in opened:
        websocket.close()
    check_logs(host, proof, offsets, begun)


def main() -> None:
    """Run the module."""
    texts = {name: {"type": "str", "default": ""} for name in ("origin", "send", "broadcast")}
    module = AnsibleModule(
        argument_spec={
            "home": {"type": "path", "required": True},
            "local_port": {"type": "int", "default": 8000},
            "host": {"type": "str", "default": "localhost"},
            "path": {"type": "str", "required": True},
            "health_path": {"type": "str", "default": "/"},
            "token": {"type": "str", "default": "", "no_log": True},
            "token_command": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "expired_token_command": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "idle_seconds": {"type": "float", "default": 12.0},
            "logs": {"type": "list", "elements": "path", "default": []},
            "access_log": {"type": "path", "default": ""},
            "timeout": {"type": "float", "default": 10.0},
            **texts,
        },
        supports_check_mode=True,
    )
    host, proof = Host(module.params), Proof()
    if not HAS_WSPROTO:
        proof.failed("wsproto", "The proof's library is there", "python3-wsproto is missing on this host",
                     "ansible-playbook site.yml --tags base")  # fmt: skip
    else:
        try:
            prove(host, proof)
        except Exception:  # a fault of the proof must not hide what it has found so far
            proof.failed("proof", "The proof itself works", last_lines(traceback.format_exc()), "report this as a bug")
    results = redact(proof.results, [*host.tokens.values()])
    module.exit_json(
        changed=False, results=results, token=host.tokens["good"], versions=host.probe.get("versions", {}),
        generation=host.generation,
    )  # fmt: skip


if __name__ == "__main__":
    main()
