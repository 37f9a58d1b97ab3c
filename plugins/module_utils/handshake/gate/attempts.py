"""One try on one target: a GET, a handshake and a conversation, recorded as the entry that the module returns."""

from __future__ import annotations

import urllib.parse
from dataclasses import replace
from typing import Any

from ...doctor.https import forwarded, leads_back
from ...text.secrets import MASK, redact
from ...websocket.client import open_websocket
from ...websocket.errors import HandshakeFailed, HandshakeRefused
from ...websocket.http import http_get
from .conversation import converse
from .plan import PROBE_HEADERS, Plan, tcp_target
from .problems import Problem, as_problem, judge_refusal, one_of

MAX_TEXT_LENGTH = 500


def attempt(plan: Plan, unix_socket: str | None) -> dict[str, Any]:
    """One try on one target: the GET first, which a process can answer before its sockets work, then the handshake."""
    result = empty_result(unix_socket or tcp_target(plan))
    elsewhere = plan.options["http_sockets"] and unix_socket  # other processes answer plain HTTP
    http_problem = None if elsewhere else attempt_http(plan, unix_socket, result)
    # A try that has already failed need not watch the socket as well.
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
    # Cut only now: a secret that is cut in two would not be found.
    redacted["received"] = [text[:MAX_TEXT_LENGTH] for text in redacted["received"]]
    return redacted


def empty_result(target: str) -> dict[str, Any]:
    """Return the entry of a target that has not been tried yet."""
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
