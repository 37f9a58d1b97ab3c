"""4 and 5: a good token opens a socket, and any other is refused."""

from __future__ import annotations

import time
import uuid
from typing import Any

from ...doctor.seal import spoiled
from ...websocket.client import WebSocket
from ...websocket.errors import HandshakeFailed, HandshakeRefused
from ...websocket.exchange import carries_token, opened_exchange
from ...websocket.explain import NO_SUBPROTOCOL, explain
from ..host import Host
from ..results import Proof, since, tried, tried_socket
from ..sockets import ACCEPTED, echo, refusal, unwelcome

Attempt = WebSocket | HandshakeFailed | HandshakeRefused


def check_good(host: Host, proof: Proof) -> list[tuple[str, WebSocket]]:
    """4 and 5: a good token opens a socket of each process, and through nginx; return the open ones."""
    opened: list[tuple[str, WebSocket]] = []
    if error := host.token_errors.get("good"):
        proof.failed("token", "A token is created", f"handshake_token_command failed: {error}",
                     code="E411_TOKEN_COMMAND", values={"error": error})  # fmt: skip
        return opened
    for name, socket in [*zip(host.instances, host.sockets, strict=True), ("nginx", None)]:
        title = f"Handshake with a good token, {'through nginx on loopback' if socket is None else 'process ' + name}"
        identity = "handshake_nginx" if socket is None else f"handshake_{name.rpartition('-')[2]}"
        attempt, tries = try_open(host, "a good", host.tokens["good"], socket)
        if not isinstance(attempt, WebSocket):
            proof.failed(identity, title, outcome(attempt), tries, **hints_of(attempt))
            continue
        if host.params["subprotocols"] and not attempt.subprotocol:
            seen = f"{outcome(attempt)}, and none of the subprotocols"
            proof.failed(identity, title, seen, tries, fix=NO_SUBPROTOCOL)
            attempt.close()
            continue
        wrong = ""
        if host.params["send"]:
            begun = time.monotonic()
            wrong = echo(attempt, host.params["send"], uuid.uuid4().hex, host.params["timeout"])
            tries.append(tried("a message over it", wrong or "its echo", {"echo": since(begun)}))
        if wrong:
            proof.failed(identity, title, f"101, but the echo did not come back: {wrong}", tries,
                         guess="E416_NO_ECHO", hop="origin", values={"error": wrong})  # fmt: skip
        else:
            proof.passed(identity, title, outcome(attempt) + (" and its echo" if host.params["send"] else ""), tries)
            opened.append((name, attempt))
            host.exchanges.append(opened_exchange("process" if socket else "proxy", socket or "nginx", attempt.timings))
    if not host.params["send"]:
        seen = "handshake_send is empty; only that sockets open and stay open is tested"
        proof.skipped("echo", "A message is answered", seen)
    return opened


def check_refused(host: Host, proof: Proof, opened: list[tuple[str, WebSocket]]) -> None:
    """4 and 5: no token, a bad one and an expired one are refused, wherever a good one opens a socket."""
    title = "Handshakes without a valid token are refused"
    if host.token_errors.get("good"):
        return  # already reported
    if not host.tokens["good"]:
        seen = "neither handshake_token_command nor handshake_token is set, as if everybody may connect"
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
        proof.skipped("refusals", title, "a valid token opens no socket either, so a refusal proves nothing")
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
    told, tries = [], []
    for socket in ways:
        (attempt, made), where = try_open(host, kind, token, socket), "through nginx: " if not socket else ""
        tries += made
        if not (refused := refusal(attempt)):
            seen = unwelcome(attempt)
            unchecked = {"code": "W412_TOKEN_UNCHECKED", "values": {"kind": kind}}
            proof.failed(identity, title, where + seen, tries, **(unchecked if seen == ACCEPTED else hints_of(attempt)))
            return
        told.append(where + refused)
    proof.passed(identity, title, ", ".join(told), tries)


def try_open(host: Host, kind: str, token: str, socket: str | None) -> tuple[Attempt, list[dict[str, Any]]]:
    """Open a WebSocket with a kind of token; return it, or what came instead, and the same for the report."""
    attempt: Attempt
    begun = time.monotonic()
    try:
        attempt = host.open(token, socket)
    except (HandshakeFailed, HandshakeRefused) as error:
        attempt = error
    return attempt, [tried_socket(f"{host.asking(socket)} with {kind} token", attempt, since(begun))]


def outcome(attempt: Attempt) -> str:
    """Tell in a few words how an attempt ended."""
    if isinstance(attempt, WebSocket):
        return f"101 in {attempt.timings['handshake']:.0f} ms"
    return explain(attempt)["what"]


def hints_of(attempt: Attempt) -> dict[str, Any]:
    """What a failed attempt tells the diagnosis: a refusal is the application's, wherever it was seen."""
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
