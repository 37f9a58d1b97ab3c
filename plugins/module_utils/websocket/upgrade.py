"""The opening handshake: the client's request to change from HTTP to WebSocket, and the server's answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from .dependency import HAS_WSPROTO
from .errors import HandshakeFailed, HandshakeRefused, error_text, timed_out
from .http import BODY_EXCERPT_BYTES, header_dict, phrase
from .transport import Target, Transport

if HAS_WSPROTO:
    from h11 import LocalProtocolError as H11LocalProtocolError
    from wsproto import ConnectionType, WSConnection
    from wsproto.events import AcceptConnection, RejectConnection, RejectData, Request
    from wsproto.utilities import LocalProtocolError, RemoteProtocolError

#: How long to wait for the rest of an error page once its status is known, in seconds.
BODY_WAIT = 2.0


def upgrade_request(
    target: Target, origin: str | None, headers: Mapping[str, str] | None, subprotocols: Sequence[str]
) -> tuple[WSConnection, bytes]:
    """The client's first bytes; raises ValueError for what HTTP does not allow in them."""
    extra = dict(headers or {})
    hosts = [extra.pop(name) for name in list(extra) if name.lower() == "host"]
    if origin is not None:
        extra["Origin"] = origin
    protocol = WSConnection(ConnectionType.CLIENT)
    try:
        # latin-1, not ASCII: h11 should refuse a header with a wrong character, by its own rules and in its own words.
        pairs = [(name.encode("latin-1"), str(value).encode("latin-1")) for name, value in extra.items()]
        request = Request(
            host=hosts[0] if hosts else target.authority,
            target=target.path,
            extra_headers=pairs,
            subprotocols=list(subprotocols),
        )
        return protocol, protocol.send(request)
    except (UnicodeError, H11LocalProtocolError, LocalProtocolError) as error:
        raise ValueError(f"the URL, a header or a subprotocol holds what HTTP does not allow: {error}") from error


def shake_hands(
    transport: Transport, protocol: WSConnection, request: bytes, deadline: float, timeout: float
) -> AcceptConnection:
    """Send the request and read the answer; raises HandshakeRefused or HandshakeFailed (which names `timeout`)."""
    refusal = _Refusal()
    silent = True
    try:
        transport.write(request, deadline)
        while True:
            data = transport.read(deadline)
            if not data and silent:
                raise HandshakeFailed("handshake", "the server closed the connection without answering")
            silent = False
            wrong = _feed_handshake(protocol, data)
            for event in protocol.events():
                if isinstance(event, AcceptConnection):
                    return event
                refusal.take(event)
            if refusal.status and (refusal.complete or wrong or not data):
                raise refusal.error()
            if wrong or not data:
                raise HandshakeFailed("handshake", wrong or "the server closed the connection within its answer")
            if refusal.status:
                # The status is what counts; an error page that never ends is not worth the whole timeout.
                deadline = min(deadline, time.monotonic() + BODY_WAIT)
    except OSError as error:
        if refusal.status:
            raise refusal.error() from error
        if isinstance(error, TimeoutError):
            raise timed_out(timeout, "waiting for the server's answer to the handshake") from None
        raise HandshakeFailed("handshake", error_text(error)) from error


class _Refusal:
    """Gathers an answer that is not 101, from wsproto's events."""

    def __init__(self) -> None:
        self.status = 0
        self.complete = False
        self._headers: dict[str, str] = {}
        self._body = b""

    def take(self, event: Any) -> None:
        if isinstance(event, RejectConnection):
            self.status, self._headers = event.status_code, header_dict(event.headers)
            self.complete = not event.has_body
        elif isinstance(event, RejectData):
            self._body += bytes(event.data)
            self.complete = event.body_finished or len(self._body) >= BODY_EXCERPT_BYTES

    def error(self) -> HandshakeRefused:
        body = self._body[:BODY_EXCERPT_BYTES].decode("utf-8", "replace")
        return HandshakeRefused(self.status, phrase(self.status), self._headers, body)


def _feed_handshake(protocol: WSConnection, data: bytes) -> str:
    """Pass the bytes to wsproto; returns what is wrong with them, or nothing."""
    try:
        protocol.receive_data(data or None)
    except RemoteProtocolError as error:
        # wsproto hides h11's text ("illegal status line …") behind a general one.
        cause = error.__context__
        return f"the answer is not a WebSocket handshake: {error}" + (f" ({cause})" if cause else "")
    return ""
