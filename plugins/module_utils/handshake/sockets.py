"""What the proof does with one socket, on the host and from the controller, and how it judges what came."""

from __future__ import annotations

import time

from ..websocket.client import Message, WebSocket
from ..websocket.errors import Closed, HandshakeFailed, HandshakeRefused, SocketClosed
from ..websocket.explain import explain

#: What is seen if somebody gets in who must not.
ACCEPTED = "it was accepted with 101"
#: Seconds within which a server may close what it has accepted and does not want.
TURNING_AWAY = 2.0
#: Seconds to watch a silent socket; daphne looks once a second for a consumer that failed.
LINGER = 1.3
#: Closes that are accidents and not refusals: a cut, a consumer that failed, a server that ends.
ACCIDENTS = frozenset((1001, 1006, 1011, 1012, 1013, 1014))


def echo(websocket: WebSocket, message: str, nonce: str, timeout: float) -> str:
    """Send a message and wait for one that holds its nonce; return what went wrong, or nothing."""
    try:
        websocket.send(message.replace("{nonce}", nonce))
    except SocketClosed as error:
        return explain(error.closed)["what"]
    return await_nonce(websocket, nonce, timeout)


def await_nonce(websocket: WebSocket, nonce: str, timeout: float) -> str:
    """Wait for a message that holds a nonce; return what went wrong, or nothing."""
    came = _next(websocket, timeout, nonce)
    if isinstance(came, Closed):
        return explain(came)["what"]
    return "" if came else f"nothing came within {timeout:g} s"


def closed_within(websocket: WebSocket, seconds: float) -> Closed | None:
    """How a socket ended within some seconds, whatever it said before; None if it stayed open."""
    came = _next(websocket, seconds)
    return came if isinstance(came, Closed) else None


def refusal(attempt: object, statuses: tuple[int, ...] = (401, 403)) -> str:
    """How a handshake was turned away: by a status, or by a close after 101. Empty if it was not. Closes the socket.

    Many consumers accept before they look who is there, and some say why before they close.
    """
    if isinstance(attempt, HandshakeRefused):
        return f"{attempt.status} {attempt.reason}" if attempt.status in statuses else ""
    if not isinstance(attempt, WebSocket):
        return ""
    ended = closed_within(attempt, TURNING_AWAY)
    attempt.close()
    return f"101, then closed with {ended.code}" if ended and ended.code not in ACCIDENTS else ""


def unwelcome(attempt: WebSocket | HandshakeRefused | HandshakeFailed) -> str:
    """What came in place of a refusal: that it was accepted, or what else went wrong."""
    if not isinstance(attempt, WebSocket):
        return explain(attempt)["what"]
    ended = attempt.closed
    return f"101, and then: {explain(ended)['what']}" if ended and ended.code in ACCIDENTS else ACCEPTED


def _next(websocket: WebSocket, seconds: float, nonce: str | None = None) -> Message | Closed | None:
    """The next message that holds a nonce, or how the socket ended, or None when it stayed open without one."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        came = websocket.receive(left)
        if isinstance(came, Closed) or (isinstance(came, Message) and nonce is not None and nonce in came.text):
            return came
    return None
