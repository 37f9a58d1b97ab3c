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
  app: {description: Name of the project on the host., type: str, required: true}
  local_port: {description: Port of nginx on loopback., type: int, default: 8000}
  host: {description: Host header of the requests., type: str, default: localhost}
  url: {description: 'Address of the WebSocket as browsers use it, without its query.', type: str, required: true}
  query: {description: 'The query; C({token}) stands for the token.', type: str, default: ''}
  health_path: {description: Path of plain HTTP that must answer below 500., type: str, default: /}
  origin: {description: The Origin that a browser would send., type: str, default: ''}
  foreign_origin: {description: An Origin that the project must refuse., type: str, default: ''}
  headers:
    {description: 'More headers of handshakes; C({token}) stands for the token.', type: dict, default: {}}
  subprotocols:
    {description: 'Subprotocols that handshakes offer; C({token}) as well.', type: list, elements: str, default: []}
  token: {description: A token that is good., type: str, default: ''}
  token_command: {description: Command of the project that prints a good token., type: list, elements: str, default: []}
  expired_token_command: {description: Command that prints an expired token., type: list, elements: str, default: []}
  send: {description: 'Message that is answered with one that holds its C({nonce}).', type: str, default: ''}
  broadcast: {description: 'Message that all sockets receive, with its C({nonce}).', type: str, default: ''}
  idle_seconds: {description: Seconds of silence that sockets must survive., type: float, default: 12}
  logs: {description: Log files that must not hold the token., type: list, elements: path, default: []}
  access_log: {description: nginx's access log, which must show the attempt., type: path, default: ''}
  timeout: {description: Seconds for each handshake and each answer., type: float, default: 10}
  asked_at: {description: The asking machine's seconds since 1970; 0 says none., type: float, default: 0}
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: WebSockets are tried on the host
  websocket_proof:
    app: dashboard
    url: wss://dashboard.example.org/ws/dashboard/
    query: token={token}
    token_command: [python, manage.py, mint_token]
  register: __proof
  no_log: true
"""

RETURN = r"""
results:
  description: >-
    One for each thing tried, as C(id), C(title), C(state) (passed, failed, warned or skipped), C(seen) and C(hints),
    which lead to the doctor's finding.
  type: list
  elements: dict
  returned: always
token:
  description: The token that was minted, for the checks that follow from elsewhere.
  type: str
  returned: always
evidence:
  description: What the doctor sees on the host; only the handshakes that opened a socket where nothing failed there.
  type: dict
  returned: always
versions:
  description: Versions of Python and of the packages that matter, in the project's environment.
  type: dict
  returned: always
"""

import glob
import os
import time
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.doctor.diagnosis import unsteady_values
from ..module_utils.doctor.examination import Examination, spoiled
from ..module_utils.doctor.https import forwarded, judge, leads_back
from ..module_utils.host import servers
from ..module_utils.host.project import Project, stale
from ..module_utils.host.steady import Watch, of_kind
from ..module_utils.proof.sockets import ACCEPTED, await_nonce, echo, refusal, unwelcome
from ..module_utils.text.secrets import harmless, header_secrets, redact
from ..module_utils.websocket.client import (
    HAS_WSPROTO,
    NO_SUBPROTOCOL,
    Closed,
    HandshakeFailed,
    HandshakeRefused,
    WebSocket,
    explain,
    http_get,
    open_websocket,
    watch,
)
from ..module_utils.websocket.exchange import carries_token, filled, offered, opened_exchange

ARGUMENTS: dict[str, dict[str, Any]] = {
    "app": {"type": "str", "required": True},
    "local_port": {"type": "int", "default": 8000},
    "host": {"type": "str", "default": "localhost"},
    "url": {"type": "str", "required": True},
    "query": {"type": "str", "default": "", "no_log": True},
    "health_path": {"type": "str", "default": "/"},
    "origin": {"type": "str", "default": ""},
    "foreign_origin": {"type": "str", "default": ""},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "subprotocols": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "token": {"type": "str", "default": "", "no_log": True},
    "token_command": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "expired_token_command": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "send": {"type": "str", "default": ""},
    "broadcast": {"type": "str", "default": ""},
    "idle_seconds": {"type": "float", "default": 12.0},
    "logs": {"type": "list", "elements": "path", "default": []},
    "access_log": {"type": "path", "default": ""},
    "timeout": {"type": "float", "default": 10.0},
    "asked_at": {"type": "float", "default": 0.0},
}
#: Seconds that a process may still take until it listens.
START_SECONDS = 3.0


class Proof:
    """The results so far, and how to add to them; doctor_proof.result says what the hints are."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []

    def add(self, name: str, title: str, state: str, seen: str, **hints: Any) -> bool:
        """Note a result; return whether it is good."""
        self.results.append({"id": name, "title": title, "state": state, "seen": seen, "hints": hints})
        return state in ("passed", "warned")

    def passed(self, name: str, title: str, seen: str) -> bool:
        """Note that something is as it should be."""
        return self.add(name, title, "passed", seen)

    def failed(self, name: str, title: str, seen: str, **hints: Any) -> bool:
        """Note that something is broken."""
        return self.add(name, title, "failed", seen, **hints)

    def skipped(self, name: str, title: str, why: str) -> bool:
        """Note that something was not tried, and why."""
        return self.add(name, title, "skipped", why)


class Host:
    """What the steps share: the module's parameters, the live generation, its processes, tokens and versions."""

    def __init__(self, params: dict) -> None:
        self.params = params
        self.bundle = servers.bundle(params["app"])
        self.home = Path("/srv", params["app"])
        self.generation: str = self.bundle.get("generation", "")
        self.instances: list[str] = self.bundle.get("instances", [])
        self.sockets: list[str] = self.bundle.get("sockets", [])
        #: By which the log shows a handshake with a good token: nginx writes its line last, when the socket has ended.
        self.mark = uuid.uuid4().hex
        self.tokens = {"good": params["token"], "expired": ""}
        self.token_errors: dict[str, str] = {}
        self.project: dict[str, Any] = {}
        self.environment: dict[str, str] | None = None
        self.secrets: list[str] = [params["token"], *header_secrets(params["headers"])]
        #: The processes that listen on the generation's sockets, by the socket.
        self.serving: dict[str, dict[str, Any]] = {}
        #: The handshakes that opened a socket, as the doctor has them.
        self.exchanges: list[dict[str, Any]] = []
        #: How silent sockets were closed, by where they led to.
        self.closed: dict[str, dict[str, Any]] = {}
        #: What was started, seen when the proof began; and at its end, what became of it.
        self.watch = Watch({})
        self.steady: dict[str, Any] = {}

    def gather(self) -> None:
        """Ask the project for its import, its layer, its environment and its tokens, and find its processes."""
        commands = {"good": self.params["token_command"], "expired": self.params["expired_token_command"]}
        if self.tokens["good"]:
            del commands["good"]
        project = Project(self.bundle, None, {})
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
        """Find who listens on the generation's sockets. One that was started just now gets a moment to do so."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            holders = {address: each for each in servers.processes() for address in each["listens"]}
            self.serving = {path: holders[f"unix:{path}"] for path in self.sockets if f"unix:{path}" in holders}
            if len(self.serving) == len(self.sockets) or time.monotonic() > deadline:
                return
            time.sleep(0.25)

    @property
    def manager_logs(self) -> list[str]:
        """The files that hold what the processes say, where the journal does not."""
        pattern = f"/var/log/supervisor/{self.bundle.get('unit')}@{self.generation}-*.log"
        return sorted(glob.glob(pattern)) if self.bundle.get("manager") == "supervisor" else []

    @property
    def path(self) -> str:
        """The path and query of the WebSocket."""
        return f"{urlsplit(self.params['url']).path or '/'}?{self.params['query']}".rstrip("?")

    def open(self, token: str, socket: str | None, **options) -> WebSocket:
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


def last_lines(text: str, number: int = 4) -> str:
    """Return the last lines of an output in one line."""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-number:])


# --- 1. processes ---------------------------------------------------------------------------------------------------


def check_processes(host: Host, proof: Proof) -> bool:
    """1: each socket has an ASGI server behind it, not runserver and not a WSGI server."""
    title = "Processes are an ASGI server"
    if not host.generation:
        return proof.failed("process", title, f"{host.home}/live is not there: nothing was deployed yet",
                            code="E117_NOT_DEPLOYED", values={"home": str(host.home)})  # fmt: skip
    missing = [Path(name).name for name in host.sockets if name not in host.serving]
    if missing:
        return proof.failed("process", title, f"no process listens on {', '.join(missing)}")
    silent = sorted({each["server"] for each in host.serving.values() if each["server"] and not each["speaks"]})
    if silent:
        return proof.failed(
            "process", title, f"the sockets are served by {', '.join(silent)}, which speaks no WebSocket"
        )
    names = ", ".join(sorted({each["server"] or each["name"] for each in host.serving.values()}))
    version = host.project.get("versions", {}).get(host.bundle["server"], "")
    if not version:
        return proof.failed("process", title, f"{host.bundle['server']} is not installed in {host.home}/live/venv",
                            code="E103_SERVER_MISSING")  # fmt: skip
    return proof.passed("process", title, f"{len(host.serving)} × {names} {version}, generation {host.generation}")


def check_environment(host: Host, proof: Proof) -> None:
    """1b: the processes run with the environment that is on the disk, so that a token of one is good for the other."""
    title = "Processes have the environment that is on the disk"
    running = [servers.environment_of(each["pid"]) for each in host.serving.values()]
    changed = ", ".join(sorted({name for each in running for name in stale(host.environment or {}, each)}))
    if not running:
        proof.skipped("environment", title, "no process runs")
    elif host.environment is None:
        proof.failed("environment", title, f"{host.home}/live/env cannot be read, so nothing could be compared")
    elif changed:
        proof.failed("environment", title, f"{changed} changed on the disk after the processes had started",
                     code="E114_ENVIRONMENT_STALE", values={"names": changed})  # fmt: skip
    else:
        values = len(host.environment) or "no"
        proof.passed("environment", title, f"{values} values are the same in {len(running)} processes")


def check_steady(host: Host, proof: Proof) -> None:
    """1c: what was started is alive at the end of the proof as it was at its beginning, workers too."""
    host.steady = host.watch.end()
    for worker, name, who, code in (
        (False, "steady", "Processes", "E121_PROCESS_UNSTEADY"),
        (True, "workers", "Workers", "E122_WORKER_UNSTEADY"),
    ):
        found, title = of_kind(host.steady, worker), f"{who} stay alive"
        told = [each for each in found if each["what"]]
        seen = "; ".join(each["what"] for each in told)
        if not host.steady and not worker:
            proof.skipped(name, title, "the host's tool does not say; it is of an older bundle, and a deploy renews it")
        elif not told and found:
            proof.passed(name, title, f"{len(found)} × the same for {host.steady['seconds']:.0f} s")
        elif told and told[0]["unsteady"]:
            # Why a server does not run may be known better; a worker is no hop of the way.
            hints = {"code" if worker else "guess": code, "values": unsteady_values(told[0], host.bundle)}
            proof.failed(name, title, seen, **hints)
        elif told:
            values = unsteady_values(told[0], host.bundle)
            proof.add(name, title, "warned", seen, code="W123_STARTED_AGAIN", values=values)


# --- 2. application and channel layer -------------------------------------------------------------------------------


def check_application(host: Host, proof: Proof) -> None:
    """2: the ASGI path imports."""
    title = f"{host.bundle['application']} imports"
    if error := host.project.get("import_error") or host.project.get("unasked"):
        proof.failed("application", title, error, guess="E204_IMPORT_ERROR", values={"error": error})
    else:
        versions = ", ".join(f"{name} {version}" for name, version in host.project.get("versions", {}).items())
        proof.passed("application", title, versions)


def check_layer(host: Host, proof: Proof) -> None:
    """The channel layer takes a message, and is no layer that is known to lose sockets."""
    title = "Channel layer carries a message"
    if "layer" not in host.project and "layer_error" not in host.project:
        proof.skipped("channel_layer", title, "the project has no channel layer, or it did not import")
    elif error := host.project.get("layer_error"):
        proof.failed("channel_layer", title, error, guess="E510_LAYER", values={"error": error})
    elif host.project["layer"].endswith("InMemoryChannelLayer") and len(host.sockets) > 1:
        count = len(host.sockets)
        proof.failed("channel_layer", title, f"{host.project['layer']} reaches one process only, and {count} serve",
                     code="E508_LAYER_MEMORY", values={"count": count})  # fmt: skip
    else:
        proof.passed("channel_layer", title, host.project["layer"])


REDIS_PY_SECONDS = 6  # its timeout of 5 s, and one for the close to arrive


def check_redis_py(host: Host, proof: Proof) -> None:
    """Warn of redis-py 8 under the core layer, where no silence was tried that would show it to be harmless or not."""
    redis = host.project.get("versions", {}).get("redis", "0")
    core = host.project.get("layer", "").startswith("channels_redis.core")
    tried = host.params["idle_seconds"] > REDIS_PY_SECONDS
    if core and int(redis.split(".")[0]) >= 8 and not host.project.get("patient") and not tried:
        seen = f"redis-py {redis}, and silence was not tried for long enough (handshake_idle_seconds)"
        title = "redis-py does not cut idle consumers"
        proof.add("redis_py", title, "warned", seen, code="W606_REDIS_PY_8", values={"version": redis})


# --- 3. HTTP --------------------------------------------------------------------------------------------------------


def check_http(host: Host, proof: Proof) -> None:
    """3: nginx's local port answers, and each process's socket does."""
    ways = [(f"port {host.params['local_port']}", {"address": f"127.0.0.1:{host.params['local_port']}"})]
    # Where plain HTTP is answered by processes of its own, the others may know none.
    plain = host.bundle.get("wsgi") or host.bundle
    ways += [
        (f"process {name}", {"unix_socket": path})
        for name, path in zip(plain.get("instances", []), plain.get("sockets", []), strict=True)
    ]
    answers, faults = [], []
    for name, way in ways:
        try:
            answer = http_get(
                host.params["health_path"], host=host.params["host"], timeout=host.params["timeout"],
                headers=forwarded(host.params["origin"]), **way,
            )  # fmt: skip
        except HandshakeFailed as error:
            faults.append(f"{name}: {explain(error)['what']}")
            continue
        answers.append(str(answer.status))
        location = answer.headers.get("location", "")
        if "unix_socket" in way and leads_back(
            host.params["origin"], host.params["health_path"], host.params["host"], answer.status, location
        ):
            faults.append(f"{name}: {answer.status}, which leads back to {host.params['health_path']}")
        elif answer.status >= 400:
            faults.append(f"{name}: {answer.status} {answer.reason} {answer.body[:120]}".strip())
    title = f"Port {host.params['local_port']} and each process answer HTTP"
    if faults:
        proof.failed("http", title, "; ".join(faults))
    else:
        proof.passed("http", title, f"{host.params['health_path']}: {', '.join(answers)}")


def check_pages(host: Host, proof: Proof) -> None:
    """3b: the project's settings know where the site's pages are: they do not loop, and forms and cookies work."""
    title = "Pages work at the address that browsers use"
    if "page" not in host.project:
        return
    found = list(judge(host.project["page"]))
    for code, seen, values in found:
        proof.add("pages", title, "failed" if code.startswith("E") else "warned", seen, code=code, values=values)
    if not found:
        proof.passed("pages", title, host.params["origin"])


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


def hints_of(attempt: object) -> dict[str, Any]:
    """Where an attempt that failed leads the diagnosis: a refusal is the application's, wherever it was seen."""
    if isinstance(attempt, WebSocket):
        status = f"101 and close {attempt.closed.code if attempt.closed else 0}"
        values = {"status": status, "error": "its error is in the server's log"}
        return {"guess": "E408_CONSUMER_RAISES", "hop": "origin", "values": values}
    hints: dict[str, Any] = {"fix": explain(attempt)["fix"]}
    if isinstance(attempt, HandshakeRefused) and attempt.status in (401, 403):
        hints["hop"] = "token"
    elif isinstance(attempt, HandshakeRefused) and attempt.status == 500:
        hints["hop"] = "origin"
    return hints


def check_good(host: Host, proof: Proof) -> list[tuple[str, WebSocket]]:
    """4 and 5: a good token opens a socket of each process, and through nginx; return the open ones."""
    opened: list[tuple[str, WebSocket]] = []
    if error := host.token_errors.get("good"):
        proof.failed("token", "A token is minted", f"handshake_token_command failed: {error}",
                     code="E411_TOKEN_COMMAND", values={"error": error})  # fmt: skip
        return opened
    for name, socket in [*zip(host.instances, host.sockets, strict=True), ("nginx", None)]:
        title = f"Handshake with a good token, {'through nginx on loopback' if socket is None else 'process ' + name}"
        identity = "handshake_nginx" if socket is None else f"handshake_{name.rpartition('-')[2]}"
        attempt = try_open(host, host.tokens["good"], socket)
        if not isinstance(attempt, WebSocket):
            proof.failed(identity, title, outcome(attempt), **hints_of(attempt))
            continue
        if host.params["subprotocols"] and not attempt.subprotocol:
            proof.failed(identity, title, f"{outcome(attempt)}, and none of the subprotocols", fix=NO_SUBPROTOCOL)
            attempt.close()
            continue
        wrong = (
            echo(attempt, host.params["send"], uuid.uuid4().hex, host.params["timeout"]) if host.params["send"] else ""
        )
        if wrong:
            proof.failed(identity, title, f"101, but the echo did not come back: {wrong}",
                         guess="E416_NO_ECHO", hop="origin", values={"error": wrong})  # fmt: skip
        else:
            proof.passed(identity, title, outcome(attempt) + (" and its echo" if host.params["send"] else ""))
            opened.append((name, attempt))
            host.exchanges.append(opened_exchange("process" if socket else "proxy", socket or "nginx", attempt.timings))
    if not host.params["send"]:
        seen = "handshake_send is empty, as where the consumer answers nothing; that sockets open and stay is tried"
        proof.skipped("echo", "A message is answered", seen)
    return opened


def check_refused(host: Host, proof: Proof, opened: list[tuple[str, WebSocket]]) -> None:
    """4 and 5: no token, a bad one and an expired one are refused, wherever a good one opens a socket."""
    title = "Who has no good token is refused"
    if host.token_errors.get("good"):
        return  # told already
    if not host.tokens["good"]:
        seen = "neither handshake_token_command nor handshake_token is set, as where everybody may connect"
        proof.skipped("refusals", title, seen)
        return
    if not carries_token(host.params):
        seen = "{token} is in none of handshake_path, handshake_headers and handshake_subprotocols"
        proof.skipped("refusals", title, seen)
        return
    paths = dict(zip(host.instances, host.sockets, strict=True))
    # Processes are alike; nginx is another way.
    ways = [paths[name] for name, _ in opened if name in paths][:1] + [None for name, _ in opened if name not in paths]
    if not ways:
        proof.skipped("refusals", title, "a good token opens no socket, so that a refusal shows nothing")
        return
    for kind, token in (("no", ""), ("a bad", spoiled(host.tokens["good"])), ("an expired", host.tokens["expired"])):
        title = f"Handshake with {kind} token is refused"
        identity = f"refused_{kind.split()[-1]}"
        if kind == "an expired" and not token:
            if error := host.token_errors.get("expired"):
                proof.failed(identity, title, error, code="E411_TOKEN_COMMAND", values={"error": error})
            else:
                proof.skipped(identity, title, "handshake_expired_token_command is empty")
        else:
            check_one_refused(host, proof, ways, identity, title, token, kind)


def check_one_refused(
    host: Host, proof: Proof, ways: list[str | None], identity: str, title: str, token: str, kind: str
) -> None:
    """A token is refused by a process, and through nginx, which is None among `ways`."""
    told = []
    for socket in ways:
        attempt, where = try_open(host, token, socket), "through nginx: " if socket is None else ""
        if not (refused := refusal(attempt)):
            seen = unwelcome(attempt)
            unchecked = {"code": "W412_TOKEN_UNCHECKED", "values": {"kind": kind}}
            proof.failed(identity, title, where + seen, **(unchecked if seen == ACCEPTED else hints_of(attempt)))
            return
        told.append(where + refused)
    proof.passed(identity, title, ", ".join(told))


# --- 6 and 7. silence, and a message from one process to another ------------------------------------------------------


def check_silence(host: Host, proof: Proof, opened: list[tuple[str, WebSocket]]) -> list[tuple[str, WebSocket]]:
    """6: silent sockets stay open, and still receive, which a message to all shows where there is one; return them."""
    seconds = host.params["idle_seconds"]
    title = f"Silent sockets are still open after {seconds:g} s, and still receive"
    if seconds <= 0:
        proof.skipped("idle", title, "handshake_idle_seconds is 0")
        return opened
    reports = watch([websocket for _, websocket in opened], seconds)
    closed = [(name, report.closed) for (name, _), report in zip(opened, reports, strict=True) if report.closed]
    if closed:
        note_closed(host, proof, title, closed, len(opened))
        return [entry for entry, report in zip(opened, reports, strict=True) if not report.closed]
    if host.params["broadcast"] or not host.params["send"]:
        shown = "" if host.params["broadcast"] else "; that they receive is not tried, as handshake_send is empty"
        proof.passed("idle", title, f"{len(opened)} of {len(opened)}{shown}")
        return opened
    if deaf := deaf_among(host, opened):
        name, why = next(iter(deaf.items()))
        seen = f"all are open, and {len(deaf)} of {len(opened)} do not answer any more; {name}: {why}"
        proof.failed("idle", title, seen, guess="E609_DEAF", values={"error": why, "seconds": f"{seconds:g}"})
    else:
        proof.passed("idle", title, f"{len(opened)} of {len(opened)}, and each answers")
    return opened


def deaf_among(host: Host, opened: list[tuple[str, WebSocket]]) -> dict[str, str]:
    """The sockets that do not answer any more, and what came instead; none where nothing is known to be answered."""
    if not host.params["send"]:
        return {}
    wrong = {name: echo(each, host.params["send"], uuid.uuid4().hex, host.params["timeout"]) for name, each in opened}
    return {name: why for name, why in wrong.items() if why}


def note_closed(host: Host, proof: Proof, title: str, closed: list[tuple[str, Closed]], number: int) -> None:
    """Note which silent sockets were closed, how, and how long after their handshake."""
    paths = dict(zip(host.instances, host.sockets, strict=True))
    for name, end in closed:
        host.closed[paths.get(name, name)] = {"code": end.code, "reason": end.reason, "at": round(end.at, 1)}
    name, end = next((each for each in closed if each[0] in paths), closed[0])
    values = {"close": end.code, "seconds": f"{end.at:.1f}", "half": max(1, round(end.at / 2)), "timeout": "not known"}
    seen = f"{len(closed)} of {number} were closed, {name} with {end.code} {end.at:.1f} s after its handshake"
    proof.failed("idle", title, seen, guess="E604_IDLE_SERVER" if name in paths else "E601_IDLE_PROXY", values=values)


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
        lost = {name: why for name, why in wrong.items() if why}
        if lost:
            seen = f"sent by {sender}, not received by " + "; ".join(f"{name}: {why}" for name, why in lost.items())
            deaf = deaf_among(host, [each for each in opened if each[0] in lost])
            values = {"error": next(iter(deaf.values()), ""), "seconds": f"{host.params['idle_seconds']:g}"}
            proof.failed("broadcast", title, seen, guess="E609_DEAF" if deaf else "E512_NOT_SHARED", values=values)
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
    if host.token_errors.get("good"):
        proof.skipped("logs", title, "there was no token to try a handshake with")
        return
    deadline = time.monotonic() + 3
    while host.mark not in (lines := read_new(access, offsets)) and time.monotonic() < deadline:
        time.sleep(0.1)
    journal = servers.output("journalctl", "--no-pager", "--output=cat", f"--since=@{int(begun)}")
    texts = {"journal": journal, access: lines}
    texts |= {path: read_new(path, offsets) for path in (*host.params["logs"], *host.manager_logs)}
    secrets = [token for token in host.tokens.values() if token]
    # nginx logs a query as it came, where a token's own signs are escaped.
    leaking = [name for name, text in texts.items() if redact(text, secrets) != text]
    if leaking:
        proof.failed("logs", title, f"the token stands in {', '.join(leaking)}",
                     code="E414_TOKEN_LOGGED", values={"logs": ", ".join(leaking)})  # fmt: skip
    elif host.mark not in lines:
        proof.failed("logs", title, f"{access} does not show the handshake through nginx",
                     guess="E415_NOT_LOGGED", hop="proxy", values={"logs": access})  # fmt: skip
    else:
        proof.passed("logs", title, f"{access} shows it; {len(texts)} logs hold no token")


def prove(host: Host, proof: Proof) -> None:
    """Run all steps; those that cannot be tried say so."""
    begun = time.time()
    watched = [*host.params["logs"], *host.manager_logs, host.params["access_log"]]
    offsets = {path: os.path.getsize(path) for path in watched if path and os.path.exists(path)}
    if host.generation:
        host.gather()
    if not check_processes(host, proof) and not host.generation:
        return
    check_environment(host, proof)
    check_application(host, proof)
    check_layer(host, proof)
    check_redis_py(host, proof)
    check_http(host, proof)
    check_pages(host, proof)
    opened = check_good(host, proof)
    aside = Proof()
    # Beside the silence, which begins at once: how long after its handshake a socket was closed is to be told.
    with ThreadPoolExecutor(1) as pool:
        refusing = pool.submit(check_refused, host, aside, opened) if host.sockets else None
        still_open = check_silence(host, proof, opened) if opened else []
    if refusing:
        refusing.result()
        proof.results += aside.results
    if opened:
        opened = still_open
        check_broadcast(host, proof, opened)
    else:
        proof.skipped("idle", "Silent sockets stay open", "no socket could be opened")
    for _, websocket in opened:
        websocket.close()
    check_logs(host, proof, offsets, begun)
    check_steady(host, proof)


def why(host: Host) -> dict[str, Any]:
    """What the doctor sees on this host, with how the proof's own silent sockets ended: evidence of why it failed."""
    named = (
        "app",
        "url",
        "query",
        "headers",
        "subprotocols",
        "origin",
        "foreign_origin",
        "token_command",
        "expired_token_command",
        "timeout",
        "asked_at",
    )
    asked = {name: host.params[name] for name in named}
    examination = Examination({**asked, "token": host.tokens["good"], "idle_seconds": 0})
    examination.secrets += host.secrets
    examination.examine()
    # What the proof saw took longer, and is what it has told.
    examination.evidence["steady"] = host.steady
    evidence = examination.shown()
    for each in evidence["exchanges"]:
        place = each["to"] if each["via"] == "process" else "nginx"
        if each["kind"] == "good" and place in host.closed:
            each["close"] = host.closed[place]
    return evidence


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.no_log_values.difference_update(harmless(module.params["headers"], module.params["subprotocols"]))
    host, proof = Host(module.params), Proof()
    if not HAS_WSPROTO:
        title, seen = "The proof's library is there", "python3-wsproto is missing on this host"
        proof.failed("wsproto", title, seen, code="E906_NO_LIBRARY")
    else:
        try:
            prove(host, proof)
        except Exception:  # a fault of the proof must not hide what it has found so far
            proof.failed("proof", "The proof itself works", last_lines(traceback.format_exc()), fix="Report this")
    failed = any(each["state"] == "failed" for each in proof.results)
    module.exit_json(
        changed=False, results=redact(proof.results, host.secrets), token=host.tokens["good"],
        versions=host.project.get("versions", {}), generation=host.generation,
        evidence=why(host) if failed else {"exchanges": host.exchanges},
    )  # fmt: skip


if __name__ == "__main__":
    main()
