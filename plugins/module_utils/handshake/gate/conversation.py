"""The conversation over an open socket, until it is closed."""

from __future__ import annotations

import time
from typing import Any

from ...host import proc
from ...websocket.client import Message, WebSocket
from ...websocket.errors import Closed, SocketClosed
from ...websocket.watch import watch
from .plan import Plan
from .problems import Problem, judge_conversation, one_of

#: A consumer that accepts and then closes does so within milliseconds; without this look it would pass as open.
SETTLE_SECONDS = 0.1
MAX_TEXTS = 20


def converse(plan: Plan, websocket: WebSocket, result: dict[str, Any]) -> Problem | None:
    """Send, wait for what is expected, then be silent; fill in the result and judge it."""
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
        # Watch in any case: if something expected is missing, the close that follows often explains it.
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
    """Return the problem of an open socket that leads to a process other than those of `answered_by`."""
    meant = plan.options["answered_by"]
    if not meant:
        return None
    said = websocket.headers.get("x-channels-upstream", "")
    answered = said.split(", ")[-1].removeprefix("unix:")
    if answered in meant or (not said and proc.is_connected(meant)):
        return None
    return {
        "what": f"The handshake was accepted by {answered or 'another process'}, not by one of "
        f"{one_of(sorted(meant))}.",
        "likely": "The proxy runs another configuration than the one on the disk: it could not load it, or something "
        "else listens on this address.",
        "fix": "Read the proxy's error log, and see who listens: ss -ltnp",
    }


def talk(plan: Plan, websocket: WebSocket, texts: list[str]) -> list[str]:
    """Send everything and collect texts until all expected ones came; return the patterns that were not found."""
    try:
        for text in plan.send:
            websocket.send(text)
    except SocketClosed:
        pass  # Still read what came before the close; the close itself is judged later.
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
