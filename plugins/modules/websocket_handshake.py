#!/usr/bin/python
"""Ansible module: opens real WebSockets, talks, waits, and says in plain words what is wrong."""

from __future__ import annotations

DOCUMENTATION = r"""
module: websocket_handshake
short_description: Prove that a WebSocket works, with a real handshake
version_added: "1.0.0"
description:
  - Opens a WebSocket as a browser does, over TCP, TLS or the unix socket of one process, and checks what the server
    makes of it. With O(send), O(expect) and O(idle_seconds) it also checks that messages flow and that an idle socket
    stays open.
  - Several unix sockets are checked at the same time, and the problems of all of them are reported together, each with
    its likely cause and what to do.
  - Nothing changes on the host. The token and secret headers are masked in everything that is returned, also where
    the server echoes them.
requirements:
  - wsproto >= 1.2 on the host that runs it (Debian's package is python3-wsproto)
options:
  url:
    description:
      - The WebSocket's URL, V(ws://) or V(wss://). It gives the Host header and the path also where another option
        says where to connect to.
      - C({token}) in it stands for O(token), percent-encoded. A token that is written out here instead would be seen
        in Ansible's output and the host's log.
    type: str
    required: true
  token:
    description:
      - Fills C({token}) in O(url) (percent-encoded), and in O(headers), O(subprotocols) and O(send) (as it is).
    type: str
  token_command:
    description:
      - Command on the host whose last printed line is used as O(token), so that no token passes through the play.
    type: list
    elements: str
  unix_sockets:
    description:
      - Paths of unix sockets to connect to, each of which is checked. There is no TLS on them, so that the public
        V(wss://) URL can stay as it is.
      - Without any, the connection goes over TCP.
    type: list
    elements: path
    default: []
  connect_to:
    description:
      - C(HOST:PORT) to connect to in place of the one in O(url), as C(curl --connect-to). Host header and TLS server
        name stay those of O(url).
    type: str
  listeners:
    description:
      - Addresses that a proxy listens on, each of which is checked, in place of the one in O(url). Those of IPv6 are
        left out where the machine has no such loopback address.
    type: list
    elements: dict
    default: []
    suboptions:
      address: {description: C(HOST:PORT) to connect to., type: str, required: true}
      host: {description: Host header there. By default that of O(url)., type: str, default: ''}
      tls:
        description: Whether TLS is spoken there, whatever O(url) says. The certificate is not judged.
        type: bool
        default: false
      proxied:
        description: Whether the PROXY protocol is spoken there.
        type: bool
        default: false
  answered_by:
    description:
      - Unix sockets of processes, of which one has to be the one that answered. A proxy that knows says so in
        C(X-Channels-Upstream) of its answer to C(X-Channels-Probe); of another one it is enough that one of these
        sockets has a connection while the WebSocket is open.
    type: list
    elements: path
    default: []
  origin:
    description:
      - The Origin header. By default the one that a browser on the same site would send, C(http(s)://HOST[:PORT]) of
        O(url). The empty string sends none.
    type: str
  headers:
    description:
      - More request headers. A V(Host) replaces that of O(url).
      - Values are treated as secrets, except those of headers that are known not to hold any, such as
        V(X-Forwarded-For).
    type: dict
    default: {}
  subprotocols:
    description:
      - Subprotocols to offer, in order. The server must take one of them, as browsers demand.
    type: list
    elements: str
    default: []
  send:
    description:
      - Texts to send once the socket is open.
    type: list
    elements: str
    default: []
  expect:
    description:
      - Regular expressions, each of which has to be found in a text that the server sends within O(timeout).
    type: list
    elements: str
    default: []
  outcome:
    description:
      - What is right. V(accepted) is an open socket that stays open until the check ends (see O(close_codes)).
      - V(refused) is an HTTP answer other than 101 (see O(status)), or a socket that is closed with one of
        O(close_codes).
      - V(any) is any answer to the handshake, for looking without judging.
    type: str
    choices: [accepted, refused, any]
    default: accepted
  status:
    description:
      - The HTTP statuses that are right for O(outcome=refused). Any, if empty.
    type: list
    elements: int
    default: []
  close_codes:
    description:
      - The socket has to be closed by the server with one of these codes within O(timeout), such as V(4401) from a
        consumer that accepts first and then turns bad tokens away. 1006 is a connection cut without a close frame.
    type: list
    elements: int
    default: []
  idle_seconds:
    description:
      - How long the socket has to stay open after that without a word from this side; the server's pings are answered.
      - With V(0) it is still watched for a tenth of a second, to see a consumer that accepts and closes at once. An
        exception after the accept takes longer, since daphne looks for them once a second; V(1.5) sees those too.
    type: float
    default: 0
  timeout:
    description:
      - Seconds that the handshake may take, and again the texts of O(expect) and the close of O(close_codes).
    type: float
    default: 10
  wait_seconds:
    description:
      - How long to try again, in seconds, for a process that is starting. V(0) is one try.
      - A handshake that is refused with the same 4xx for three seconds is not tried any longer. What starts answers so
        for a moment at most, and what it says then it will say for good.
      - A 500 that comes again and again from the same process is not waited for either, where O(log_command) shows
        another reason than something that is still to come.
    type: float
    default: 0
  log_command:
    description:
      - Command on the host that prints the last log lines of what is tried, to tell an error that stays from one that
        passes, such as a database that is starting.
    type: list
    elements: str
    default: []
  delay:
    description:
      - Seconds between two tries.
    type: float
    default: 0.5
  validate_certs:
    description:
      - Whether TLS certificates are verified.
    type: bool
    default: true
  ca_path:
    description:
      - A file or folder of certificate authorities to trust in place of the system's.
    type: path
  http_path:
    description:
      - A path that is also fetched with GET from the same place, such as V(/health/).
    type: str
  http_sockets:
    description:
      - Paths of unix sockets that are asked for O(http_path) and for no handshake, in place of the other targets. For
        where plain HTTP is answered by other processes.
    type: list
    elements: path
    default: []
  http_status:
    description:
      - The statuses that are right for O(http_path). Any below 500, if empty.
    type: list
    elements: int
    default: []
attributes:
  check_mode:
    description: A handshake changes nothing, so that it is made in check mode too.
    support: full
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: The dashboard's WebSocket opens and stays open
  websocket_handshake:
    url: wss://dashboard.example.org/ws/dashboard/?token={token}
    token: "{{ dashboard_token }}"
    idle_seconds: 5

- name: Each process of the new generation answers HTTP and completes a handshake
  websocket_handshake:
    url: wss://dashboard.example.org/ws/dashboard/?token={token}
    token: "{{ dashboard_token }}"
    unix_sockets:
      - /run/dashboard/20260101T120000-1.sock
      - /run/dashboard/20260101T120000-2.sock
    http_path: /health/
    http_status: [200]
    wait_seconds: 30

- name: A wrong token is turned away
  websocket_handshake:
    url: ws://localhost:8000/ws/dashboard/?token={token}
    token: wrong
    outcome: refused
    status: [401, 403]
    close_codes: [4401]

- name: An echo comes back
  websocket_handshake:
    url: ws://localhost:8000/ws/echo/
    send: ['{"say": "hello"}']
    expect: ['"hello"']
"""

RETURN = r"""
handshakes:
  description: One entry for each target, in the order of O(unix_sockets), O(listeners) and O(http_sockets).
  returned: always, except for wrong options
  type: list
  elements: dict
  contains:
    target:
      description: The unix socket's path, or HOST:PORT.
      type: str
      sample: /run/dashboard/20260101T120000-1.sock
    ok:
      description: Whether all that was asked for is so.
      type: bool
    outcome:
      description: What happened, V(accepted), V(refused) or V(failed) (no answer).
      type: str
    status:
      description: The HTTP status of the answer, 101 for an accepted handshake, null without an answer.
      type: int
      sample: 101
    close_code:
      description: The code with which the socket was closed from outside, null if it stayed open until the check ended.
      type: int
      sample: 4401
    close_reason:
      description: The text that came with it.
      type: str
    subprotocol:
      description: The subprotocol that the server chose, or null.
      type: str
    headers:
      description: The answer's headers, names in lower case. Cookies are masked.
      type: dict
    body:
      description: The first 2 kB of a refusal's body.
      type: str
    received:
      description: The first 20 texts received, each cut at 500 characters.
      type: list
      elements: str
    timings_ms:
      description: Milliseconds for C(connect) (with the name's lookup), C(tls) (null without) and C(handshake).
      type: dict
      sample: {connect: 0.1, tls: null, handshake: 4.2}
    idle_seconds:
      description: How long the socket was watched in silence.
      type: float
    http:
      description: The answer to O(http_path), with C(status), C(body) and C(ok); null if none was asked for or came.
      type: dict
    attempts:
      description: How many times it was tried.
      type: int
    problem:
      description: What is wrong, as C(what), C(likely) (the cause) and C(fix); null if nothing is.
      type: dict
      sample:
        what: "No connection to the unix socket: No such file or directory."
        likely: The process does not run.
        fix: Look at the process's state and log.
"""

import re
import socket
import ssl
import struct
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils.doctor.https import REDIRECTS, forwarded, leads_back
from ..module_utils.text.secrets import MASK, header_secrets, redact
from ..module_utils.websocket.client import (
    HAS_WSPROTO,
    NO_SUBPROTOCOL,
    WSPROTO_IMPORT_ERROR,
    Closed,
    HandshakeFailed,
    HandshakeRefused,
    Message,
    SocketClosed,
    WebSocket,
    explain,
    http_get,
    open_websocket,
    watch,
)

#: A consumer that accepts and then closes does so within milliseconds; without this look it would pass as open.
SETTLE_SECONDS = 0.1
#: Of an application that is there, and has looked at it.
REFUSALS = REDIRECTS | {400, 401, 403, 404, 405, 410, 426}
REFUSED_SECONDS = 3
REFUSING_CODES = frozenset({1000, 1008, *range(3000, 5000)})  # of a consumer that accepts, and then turns away
FAILED_SECONDS = 6  # of the same failure, with a reason in the log that does not pass
UNKNOWN_SECONDS = 12  # of the same failure without a reason: Django logs none for a page, unless it is told to
FAILED_TRIES = 4
REASON = re.compile(
    r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*"
    r"(?:Error|Exception|Configured|DoesNotExist|NotReady|Refused|Timeout|Mismatch|Operation|Denied)\b"
)
#: Reasons that are another service's, which may be starting.
PASSING = re.compile(
    r"refused|timed? ?out|Errno (?:11[0-3]|-[2-5])\b|Error (?:11[0-3]|-[2-5]) connecting|reset by peer|Broken pipe|"
    r"Name or service not known|name resolution|No route to host|\bLOADING\b|MASTERDOWN|READONLY|starting up|"
    r"shutting down|not yet accepting|too many (?:clients|connections)|database is locked",
    re.IGNORECASE,
)
LOG_SECONDS = 1  # between two looks at the log
PROBE_HEADERS = {"X-Channels-Probe": "upstream"}  # templates/nginx/site.conf.j2 answers it
UNIX_SOCKETS = Path("/proc/net/unix")
IPV6_ADDRESSES = Path("/proc/net/if_inet6")
MAX_TEXTS = 20
MAX_TEXT_LENGTH = 500
MAX_THREADS = 32

SECRET_PARAMETER = re.compile(r"token|jwt|secret|passw|auth|ticket|session|signature|api_?key|^key$", re.IGNORECASE)

ARGUMENTS: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "required": True},
    "token": {"type": "str", "no_log": True},
    "token_command": {"type": "list", "elements": "str", "no_log": False},
    "unix_sockets": {"type": "list", "elements": "path", "default": []},
    "connect_to": {"type": "str"},
    "listeners": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "address": {"type": "str", "required": True},
            "host": {"type": "str", "default": ""},
            "tls": {"type": "bool", "default": False},
            "proxied": {"type": "bool", "default": False},
        },
    },
    "answered_by": {"type": "list", "elements": "path", "default": []},
    "origin": {"type": "str"},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "subprotocols": {"type": "list", "elements": "str", "default": []},
    "send": {"type": "list", "elements": "str", "default": []},
    "expect": {"type": "list", "elements": "str", "default": []},
    "outcome": {"type": "str", "choices": ["accepted", "refused", "any"], "default": "accepted"},
    "status": {"type": "list", "elements": "int", "default": []},
    "close_codes": {"type": "list", "elements": "int", "default": []},
    "idle_seconds": {"type": "float", "default": 0},
    "timeout": {"type": "float", "default": 10},
    "wait_seconds": {"type": "float", "default": 0},
    "log_command": {"type": "list", "elements": "str", "default": []},
    "delay": {"type": "float", "default": 0.5},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "http_path": {"type": "str"},
    "http_sockets": {"type": "list", "elements": "path", "default": []},
    "http_status": {"type": "list", "elements": "int", "default": []},
}

Problem = dict[str, str]


@dataclass(frozen=True)
class Plan:
    """The options with the token filled in. Holds secrets: nothing of it is returned without redact()."""

    url: str
    origin: str | None
    headers: dict[str, str]
    subprotocols: list[str]
    send: list[str]
    expect: list[re.Pattern[str]]
    context: ssl.SSLContext | None
    secrets: list[str]
    options: Mapping[str, Any]

    @property
    def timeout(self) -> float:
        """Seconds for each step."""
        return float(self.options["timeout"])


def make_plan(options: Mapping[str, Any], secrets: Iterable[str]) -> Plan:
    """Raises ValueError with the option's name for what cannot be."""
    token = options["token"]
    texts = [options["url"], *options["subprotocols"], *options["send"], *map(str, options["headers"].values())]
    if token is None and any("{token}" in text for text in texts):
        raise ValueError("{token} is used, but the option token is not set")

    def fill(text: Any) -> str:
        return str(text).replace("{token}", token or "")

    url = options["url"].replace("{token}", urllib.parse.quote(token or "", safe=""))
    return Plan(
        url=url,
        origin=default_origin(url) if options["origin"] is None else options["origin"] or None,
        headers={str(name): fill(value) for name, value in options["headers"].items()},
        subprotocols=[fill(text) for text in options["subprotocols"]],
        send=[fill(text) for text in options["send"]],
        expect=[compile_pattern(pattern) for pattern in options["expect"]],
        context=make_context(options) if url.startswith("wss:") else None,
        secrets=list(secrets),
        options=options,
    )


def through(plan: Plan, listener: Mapping[str, Any]) -> Plan:
    """Return the plan of a check through one address that a proxy listens on."""
    host = {"Host": listener["host"]} if listener.get("host") else {}
    parts = urllib.parse.urlsplit(plan.url)
    tls = bool(listener.get("tls"))
    # Its name is asked for in TLS, too.
    url = parts._replace(scheme="wss" if tls else "ws", netloc=listener.get("host") or parts.netloc).geturl()
    return replace(
        plan,
        url=url,
        context=make_context({"ca_path": None, "validate_certs": False}) if tls else None,
        headers={**plan.headers, **PROBE_HEADERS, **host},
        options={**plan.options, "connect_to": listener["address"], "proxied": bool(listener.get("proxied"))},
    )


def has_ipv6() -> bool:
    """Tell whether this machine has IPv6's loopback address (proc_net(5): 32 digits, and the device's name at last)."""
    try:
        return any(line.split()[-1] == "lo" for line in IPV6_ADDRESSES.read_text().splitlines() if line.strip())
    except OSError:
        return False


def default_origin(url: str) -> str:
    """The Origin of a page that was loaded from where the socket goes to."""
    parts = urllib.parse.urlsplit(url)
    return f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Raises ValueError that names the pattern."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"expect holds {pattern!r}, which is no regular expression: {error}") from error


def make_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """Raises ValueError when ca_path cannot be read."""
    authorities = options["ca_path"]
    try:
        folder = authorities is not None and Path(authorities).is_dir()
        context = ssl.create_default_context(
            cafile=None if folder else authorities, capath=authorities if folder else None
        )
    except OSError as error:
        raise ValueError(f"ca_path {authorities} cannot be used: {error.strerror or error}") from error
    if not options["validate_certs"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def url_secrets(url: str) -> set[str]:
    """Values in the URL that look like secrets, should somebody have written one out."""
    pairs = urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query)
    return {value for name, value in pairs if SECRET_PARAMETER.search(name) and "{token}" not in value}


# --- a check


Try = Callable[[Plan, "str | None"], dict[str, Any]]


def check(plan: Plan, unix_socket: str | None, attempt: Try) -> dict[str, Any]:
    """Try one target until it is right, has made up its mind, or the time to wait is over."""
    give_up = time.monotonic() + plan.options["wait_seconds"]
    attempts, answer, since, first, look_at = 0, (), 0.0, 0, 0.0
    while True:
        attempts += 1
        result = attempt(plan, unix_socket)
        now = time.monotonic()
        if result["ok"] or now + plan.options["delay"] > give_up:
            return {**result, "attempts": attempts}
        kind, *codes = kind_of(result)
        said = (kind, *codes, process_behind(unix_socket) if kind else 0)
        if said != answer:
            answer, since, first = said, now, attempts
        if kind == "refused" and now > since + REFUSED_SECONDS:
            return {**result, "attempts": attempts}
        if kind == "failed" and now > max(since + FAILED_SECONDS, look_at) and attempts >= first + FAILED_TRIES:
            look_at, passes = now + LOG_SECONDS, may_pass(plan)
            if passes is False or (passes is None and now > since + UNKNOWN_SECONDS):
                result["problem"]["what"] += f" So it did for {now - since:.0f} s, and its process runs on."
                return {**result, "attempts": attempts}
        time.sleep(plan.options["delay"])


def kind_of(result: Mapping[str, Any]) -> tuple[str, int | None, int | None, int | None]:
    """Return whether an answer is the application's word (refused), its error (failed) or neither, and its codes.

    502 to 504 are neither: they say that something is not there yet.
    """
    http = result["http"] or {"ok": True, "status": None}
    statuses = {result["status"], None if http["ok"] else http["status"]}
    code = result["close_code"]
    kind = "refused" if statuses & REFUSALS or code in REFUSING_CODES else ""
    return kind or ("failed" if 500 in statuses or code == 1011 else ""), result["status"], http["status"], code


def process_behind(unix_socket: str | None) -> int:
    """Return the process that has made a unix socket (unix(7), SO_PEERCRED); 0 where that cannot be told."""
    if unix_socket is None:
        return 0
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(unix_socket)
            found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return 0
    return int(struct.unpack("3i", found)[0])


def may_pass(plan: Plan) -> bool | None:
    """Tell by the log whether an error is of something that may still come; None where it does not say."""
    if not plan.options["log_command"]:
        return None
    try:
        done = subprocess.run(plan.options["log_command"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    reasons = [line for line in done.stdout.decode(errors="replace").splitlines() if REASON.match(line)]
    return any(PASSING.search(line) for line in reasons) if reasons else None


def attempt(plan: Plan, unix_socket: str | None) -> dict[str, Any]:
    """One try on one target: the GET first, which a process can answer before its sockets work, then the handshake."""
    result = empty_result(unix_socket or tcp_target(plan))
    http_problem = None if plan.options["http_sockets"] else attempt_http(plan, unix_socket, result)
    # A try that has failed already need not watch the socket as well.
    hurried = replace(plan, options={**plan.options, "idle_seconds": 0}) if http_problem else plan
    problem = attempt_handshake(hurried, unix_socket, result) or http_problem
    return settled(plan, result, problem)


def attempt_plain(plan: Plan, unix_socket: str | None) -> dict[str, Any]:
    """One try on a target that answers plain HTTP and nothing else."""
    result = empty_result(str(unix_socket))
    return settled(plan, result, attempt_http(plan, unix_socket, result))


def settled(plan: Plan, result: dict[str, Any], problem: Problem | None) -> dict[str, Any]:
    """Return a result with its problem, and without what nobody may see."""
    result.update(ok=problem is None, problem=problem)
    if "set-cookie" in result["headers"]:
        result["headers"]["set-cookie"] = MASK
    redacted: dict[str, Any] = redact(result, plan.secrets)
    # Cut only now: a piece of a secret at the cut would not be found.
    redacted["received"] = [text[:MAX_TEXT_LENGTH] for text in redacted["received"]]
    return redacted


def empty_result(target: str) -> dict[str, Any]:
    """Return the entry of a target that was not tried yet."""
    return {
        "target": target,
        "ok": False,
        "outcome": "failed",
        "status": None,
        "close_code": None,
        "close_reason": "",
        "subprotocol": None,
        "headers": {},
        "body": "",
        "received": [],
        "timings_ms": {},
        "idle_seconds": 0.0,
        "http": None,
        "problem": None,
    }


def tcp_target(plan: Plan) -> str:
    """HOST:PORT of what is connected to without a unix socket."""
    if plan.options["connect_to"]:
        return str(plan.options["connect_to"])
    parts = urllib.parse.urlsplit(plan.url)
    return parts.netloc if parts.port else f"{parts.netloc}:{443 if parts.scheme == 'wss' else 80}"


def attempt_http(plan: Plan, unix_socket: str | None, result: dict[str, Any]) -> Problem | None:
    """GET the HTTP path, note what came in `result`, and return the problem, if there is one."""
    path = plan.options["http_path"]
    if not path:
        return None
    host = next((v for k, v in plan.headers.items() if k.lower() == "host"), urllib.parse.urlsplit(plan.url).netloc)
    try:
        answer = http_get(
            path,
            unix_socket=unix_socket,
            address=None if unix_socket else tcp_target(plan),
            host=host,
            headers={
                **(forwarded(plan.origin or "") if unix_socket else {}),
                **{name: plan.headers[name] for name in PROBE_HEADERS if name in plan.headers},
            },
            timeout=plan.timeout,
            ssl_context=None if unix_socket else plan.context,
            proxied=plan.options.get("proxied", False),
        )
    except HandshakeFailed as error:
        return as_problem(error)
    right = plan.options["http_status"]
    location = answer.headers.get("location", "")
    if unix_socket and leads_back(plan.origin or "", path, host, answer.status, location):
        result["http"] = {"status": answer.status, "body": answer.body, "ok": False}
        return {
            "what": f"GET {path} was answered with {answer.status} and sent to the same address: it would never end.",
            "likely": "SECURE_SSL_REDIRECT is on, and Django takes what came by https for plain HTTP.",
            "fix": 'SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") in the settings: nginx sets that '
            "header itself.",
        }
    ok = answer.status in right if right else answer.status < 500
    result["http"] = {"status": answer.status, "body": answer.body, "ok": ok}
    if ok:
        return None
    return {
        "what": f"GET {path} was answered with {answer.status} {answer.reason}, not with {one_of(right, 'below 500')}.",
        "likely": "The process runs, but the application behind this path is not well, or it does not know the path or "
        f"the host name {host} (ALLOWED_HOSTS).",
        "fix": "Read the application's log, and the answer: "
        + (answer.body[:MAX_TEXT_LENGTH].strip() or "it is empty."),
    }


def attempt_handshake(plan: Plan, unix_socket: str | None, result: dict[str, Any]) -> Problem | None:
    """Shake hands and talk, note what came in `result`, and return the problem, if there is one."""
    try:
        websocket = open_websocket(
            plan.url,
            unix_socket=unix_socket,
            connect_to=plan.options["connect_to"],
            origin=plan.origin,
            headers=plan.headers,
            subprotocols=plan.subprotocols,
            timeout=plan.timeout,
            ssl_context=plan.context,
            proxied=plan.options.get("proxied", False),
        )
    except HandshakeFailed as error:
        return as_problem(error)
    except HandshakeRefused as error:
        result.update(outcome="refused", status=error.status, headers=error.headers, body=error.body)
        return judge_refusal(plan, error)
    with websocket:
        return converse(plan, websocket, result)


def as_problem(error: HandshakeRefused | HandshakeFailed | Closed) -> Problem:
    """Return what an error means, as a problem."""
    problem: Problem = explain(error)
    return problem


def judge_refusal(plan: Plan, error: HandshakeRefused) -> Problem | None:
    """Return what is wrong with a refusal, or None where it was to be refused so."""
    outcome, right = plan.options["outcome"], plan.options["status"]
    if outcome == "any" or (outcome == "refused" and (not right or error.status in right)):
        return None
    problem = as_problem(error)
    if outcome == "refused":
        problem["what"] += f" It was to be refused, but with {one_of(right)}."
    return problem


def converse(plan: Plan, websocket: WebSocket, result: dict[str, Any]) -> Problem | None:
    """Send, wait for what is expected, then be silent; fills in the result and judges it."""
    result.update(
        outcome="accepted",
        status=101,
        subprotocol=websocket.subprotocol,
        headers=websocket.headers,
        timings_ms=websocket.timings,
    )
    if problem := wrong_process(plan, websocket):
        websocket.close()
        return problem
    texts: list[str] = []
    missing = talk(plan, websocket, texts)
    if plan.options["close_codes"]:
        listen(websocket, plan.timeout, texts)
    else:
        # Watched in any case: what a broken expectation is due to is often the close that follows.
        idle = watch([websocket], SETTLE_SECONDS if missing else max(SETTLE_SECONDS, plan.options["idle_seconds"]))[0]
        texts += [message.text for message in idle.messages]
        result["idle_seconds"] = idle.seconds
    closed: Closed | None = websocket.close()
    if closed and closed.by == "client" and closed.code == 1000:
        closed = None
    result["received"] = texts[:MAX_TEXTS]
    if closed:
        result.update(close_code=closed.code, close_reason=closed.reason)
    return judge_conversation(plan, result, closed, missing, texts)


def wrong_process(plan: Plan, websocket: WebSocket) -> Problem | None:
    """Return the problem of a socket that is open and leads to another process than to one of `answered_by`."""
    meant = plan.options["answered_by"]
    if not meant:
        return None
    said = websocket.headers.get("x-channels-upstream", "")
    answered = said.split(", ")[-1].removeprefix("unix:")
    if answered in meant or (not said and connected(meant)):
        return None
    return {
        "what": f"The handshake was accepted by {answered or 'another process'}, not by one of "
        f"{one_of(sorted(meant))}.",
        "likely": "The proxy runs another configuration than the one on the disk: it could not load it, or something "
        "else listens on this address.",
        "fix": "Read the proxy's error log, and see who listens: ss -ltnp",
    }


def connected(sockets: Iterable[str]) -> bool:
    """Tell whether one of some unix sockets has a connection (state 03 in /proc/net/unix, unix(7))."""
    lines = [line.split() for line in UNIX_SOCKETS.read_text().splitlines()[1:]]
    return any(line[5] == "03" and line[-1] in set(sockets) for line in lines)


def talk(plan: Plan, websocket: WebSocket, texts: list[str]) -> list[str]:
    """Send everything and collect texts until all expected ones came; returns the patterns that were not found."""
    try:
        for text in plan.send:
            websocket.send(text)
    except SocketClosed:
        pass  # What came before is still to be read; the close itself is judged later.
    missing = list(plan.expect)
    deadline = time.monotonic() + plan.timeout
    while missing:
        got = websocket.receive(max(0.0, deadline - time.monotonic()))
        if not isinstance(got, Message):
            break
        texts.append(got.text)
        missing = [pattern for pattern in missing if not pattern.search(got.text)]
    return [pattern.pattern for pattern in missing]


def listen(websocket: WebSocket, seconds: float, texts: list[str]) -> None:
    """Collect texts until the socket is closed or the time is over."""
    report = watch([websocket], seconds)[0]
    texts += [message.text for message in report.messages]


def judge_conversation(
    plan: Plan, result: dict[str, Any], closed: Closed | None, missing: list[str], texts: list[str]
) -> Problem | None:
    """Return what is wrong with a conversation, or None where it went as expected."""
    outcome, codes = plan.options["outcome"], plan.options["close_codes"]
    if outcome == "any":
        return None
    if outcome == "refused":
        return None if closed and closed.code in codes else not_refused(closed, codes)
    if plan.subprotocols and not result["subprotocol"] and not closed:
        return no_subprotocol()
    if missing:
        return not_received(plan, closed, missing, texts)
    if codes:
        return None if closed and closed.code in codes else not_closed(plan, closed, codes)
    return as_problem(closed) if closed else None


def no_subprotocol() -> Problem:
    """Return the problem of an answer that takes none of the subprotocols."""
    return {
        "what": "The handshake was accepted, but with none of the subprotocols that were offered.",
        "likely": "The consumer accepts without naming one. Browsers end such a socket at once.",
        "fix": NO_SUBPROTOCOL,
    }


def not_refused(closed: Closed | None, codes: list[int]) -> Problem:
    """Return the problem of a handshake that was to be refused and was not."""
    if closed:
        return {
            "what": f"The handshake was accepted and then closed with code {closed.code}; it was to be refused.",
            "likely": "This may be how the application refuses: it accepts first and then closes.",
            "fix": f"If so, add {closed.code} to close_codes; otherwise look in the consumer for this code.",
        }
    closing = f", nor was the socket closed with {one_of(codes)}" if codes else ""
    return {
        "what": f"The handshake was accepted, where a refusal was expected{closing}.",
        "likely": "The application does not check the token or the Origin on this path, or what was sent is valid.",
        "fix": "Check the token in connect(), before accept(); wrap the routes in AllowedHostsOriginValidator.",
    }


def not_received(plan: Plan, closed: Closed | None, missing: list[str], texts: list[str]) -> Problem:
    """Return the problem of texts that did not come."""
    came = f"{len(texts)} other texts came" if texts else "no text came"
    what = f"The socket opened, but {came}, and none matched {one_of([repr(m) for m in missing])}"
    if closed:
        problem = as_problem(closed)
        return {**problem, "what": f"{what}. {problem['what']}"}
    return {
        "what": f"{what} within {plan.timeout:g} s.",
        "likely": "The consumer does not answer what was sent, or it answers otherwise; or the channel layer does not "
        "deliver (Redis down, or two processes with different ones).",
        "fix": "Compare send and expect with the consumer; read its log; check the channel layer.",
    }


def not_closed(plan: Plan, closed: Closed | None, codes: list[int]) -> Problem:
    """Return the problem of a close that did not come, or came with another code."""
    if closed:
        problem = as_problem(closed)
        return {**problem, "what": f"{problem['what']} It was to be closed with {one_of(codes)}."}
    return {
        "what": f"The socket stayed open for {plan.timeout:g} s, where a close with {one_of(codes)} was expected.",
        "likely": "The application accepts what it was expected to turn away.",
        "fix": "Look in the consumer for where it closes with this code.",
    }


def one_of(values: Iterable[Any], otherwise: str = "") -> str:
    """A list in words."""
    return " or ".join(str(value) for value in values) or otherwise


# --- module


def failure_text(options: Mapping[str, Any], handshakes: list[dict[str, Any]]) -> str:
    """All the problems of all the targets, for a person."""
    wrong = [entry for entry in handshakes if not entry["ok"]]
    lines = [f"{len(wrong)} of {len(handshakes)} WebSocket checks of {options['url']} failed:"]
    for entry in wrong:
        problem = entry["problem"]
        tried = f" (tried {entry['attempts']} times)" if entry["attempts"] > 1 else ""
        lines += [f"{entry['target']}{tried}: {problem['what']}"]
        lines += [f"  Likely: {problem['likely']}", f"  Fix: {problem['fix']}"]
    return "\n".join(lines)


def run(options: Mapping[str, Any], secrets: Iterable[str]) -> tuple[list[dict[str, Any]], str]:
    """All checks; returns the entries and, for wrong options, what is wrong with them. Raises nothing.

    An exception that reached Ansible would be shown with its text, in which a secret may stand.
    """
    secrets = list(secrets)
    try:
        plan = make_plan(options, secrets)
        listeners = [one for one in options["listeners"] if has_ipv6() or not one["address"].startswith("[")]
        targets: list[tuple[Plan, str | None, Try]] = [(plan, target, attempt) for target in options["unix_sockets"]]
        targets += [(through(plan, listener), None, attempt) for listener in listeners]
        targets += [] if targets else [(plan, None, attempt)]
        targets += [(plan, target, attempt_plain) for target in options["http_sockets"]]
        with ThreadPoolExecutor(max_workers=min(len(targets), MAX_THREADS)) as pool:
            return list(pool.map(lambda target: check(*target), targets)), ""
    except ValueError as error:
        return [], str(redact(str(error), secrets))
    except Exception as error:
        return [], str(redact(f"unexpected {type(error).__name__}: {error}", secrets))


def minted(module: AnsibleModule, command: list[str]) -> str:
    """Return the last line that a command prints; end the module with what it complained of when it fails."""
    code, out, err = module.run_command(command)
    lines = out.strip().splitlines()
    if code or not lines:
        said = "\n".join(err.strip().splitlines()[-8:]) or "it printed nothing"
        module.fail_json(
            msg=f"token_command failed with {code}, so no handshake was tried: {' '.join(command)}\n{said}"
        )
    return str(lines[-1])


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS, mutually_exclusive=[("token", "token_command")], supports_check_mode=True
    )
    options = module.params
    if options["token_command"]:
        options["token"] = minted(module, options["token_command"])
    from_headers, from_url = header_secrets(options["headers"]), url_secrets(options["url"])
    token = options["token"] or ""
    secrets = {token, *from_headers, *from_url} - {""}
    # Ansible masks every value of a no_log dict wherever it occurs, even within numbers: "10" from a harmless header
    # would make status 101 unreadable. And it masks only plain values, so the encoded token is added.
    module.no_log_values.difference_update({str(value) for value in options["headers"].values()} - secrets)
    module.no_log_values.update(secrets | {urllib.parse.quote(token, safe="")} - {""})
    if from_url:
        module.warn("The url holds what looks like a secret, which Ansible logs: pass it as token, and {token} in url.")
    if not HAS_WSPROTO:
        module.fail_json(
            msg=missing_required_lib("wsproto", reason="for WebSocket handshakes; on Debian: python3-wsproto"),
            exception=WSPROTO_IMPORT_ERROR,
        )
    handshakes, wrong_options = run(options, secrets)
    if wrong_options:
        module.fail_json(msg=wrong_options)
    safe_options = redact(options, secrets)
    if all(entry["ok"] for entry in handshakes):
        module.exit_json(changed=False, handshakes=handshakes)
    module.fail_json(msg=failure_text(safe_options, handshakes), changed=False, handshakes=handshakes)


if __name__ == "__main__":
    main()
