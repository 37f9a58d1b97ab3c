"""How a WebSocket fails: no answer, a refusal, a close."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class HandshakeFailed(Exception):
    """No HTTP answer to judge: the way to the server is broken, or what answered is not HTTP.

    `stage` is where it broke: `name` (DNS), `tcp`, `socket` (unix), `tls`, `handshake` (connected, but no valid
    answer) or `timeout`. `reason` is the system's or the library's own text.
    """

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason


class HandshakeRefused(Exception):
    """The server answered with something other than 101.

    `status` is the HTTP status, `reason` its standard phrase, `headers` a dict with lower-case names, `body` the
    first 2 kB of the answer as text. The body may echo the URL with its token: pass it through redact() before showing.
    """

    def __init__(self, status: int, reason: str, headers: Mapping[str, str], body: str) -> None:
        super().__init__(f"HTTP {status} {reason}".strip())
        self.status = status
        self.reason = reason
        self.headers = dict(headers)
        self.body = body


@dataclass(frozen=True)
class Closed:
    """How a socket ended.

    `code` is the close code: 1006 when there was no close frame, 1005 when it held no code. `by` is `server`,
    `client`, or `network` when the connection ended without a close frame. `at` is seconds since the handshake.
    """

    code: int
    reason: str
    by: str
    at: float


class SocketClosed(Exception):
    """Sending was not possible: the socket is closed. `closed` says how."""

    def __init__(self, closed: Closed) -> None:
        super().__init__(f"the socket is closed with {closed.code} {closed.reason}".strip())
        self.closed = closed


def error_text(error: BaseException) -> str:
    """Say what went wrong in the system's own words, without the number."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()


def timed_out(seconds: float, doing: str) -> HandshakeFailed:
    """Make the error of a step that took longer than `seconds`."""
    return HandshakeFailed("timeout", f"nothing within {seconds:g} s while {doing}")
