"""A small blocking WebSocket client for modules: handshakes over TCP, TLS and unix sockets.

The protocol is wsproto's; the client only moves bytes, keeps deadlines and names what went wrong. Times are seconds,
except in `WebSocket.timings`, which are milliseconds.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .dependency import HAS_WSPROTO
from .errors import Closed, SocketClosed, error_text
from .http import header_dict
from .transport import Transport, ms_since, parse_url, reach
from .upgrade import shake_hands, upgrade_request

if HAS_WSPROTO:
    from wsproto import WSConnection
    from wsproto.connection import ConnectionState
    from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
    from wsproto.utilities import LocalProtocolError

#: The largest message taken from a server, in bytes; a larger one closes the socket with 1009.
MAX_MESSAGE_BYTES = 1024 * 1024
#: How long a write may take when nobody reads at the other end, in seconds.
WRITE_WAIT = 10.0
#: Limits one turn on one socket, so that a flooding server cannot keep a watch's other sockets waiting.
_READS_PER_TURN = 16


@dataclass(frozen=True)
class Message:
    """One whole message: `data` is str for text, bytes for binary; `at` is seconds since the handshake."""

    data: str | bytes
    at: float

    @property
    def text(self) -> str:
        """The data as text; bytes that are not UTF-8 are replaced."""
        return self.data if isinstance(self.data, str) else self.data.decode("utf-8", "replace")


def open_websocket(
    url: str,
    *,
    unix_socket: str | None = None,
    connect_to: str | None = None,
    origin: str | None = None,
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (),
    timeout: float = 10.0,
    ssl_context: ssl.SSLContext | None = None,
    proxied: bool = False,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> WebSocket:
    """Open a WebSocket with a real handshake.

    `url` is `ws://` or `wss://` and gives the Host header, the path and TLS's server name. `unix_socket` is a path
    to connect to instead; there is no TLS on it, whatever the URL says, so the public URL can be given as it is.
    `connect_to` is `host:port` to connect to in place of the URL's, as `curl --connect-to`. `origin` None sends no
    Origin header. A `Host` in `headers` replaces the URL's. `timeout` is seconds for everything together, except
    that a name's lookup has the resolver's own limit. `ssl_context` None verifies against the system's authorities.
    `proxied` says that the server expects the PROXY protocol; the client then sends it, but names no client in it.

    Raises HandshakeRefused when the server answered anything but 101, HandshakeFailed when there was no such answer,
    ValueError for a URL, header or address that cannot be sent.
    """
    if not HAS_WSPROTO:
        raise RuntimeError("the Python library wsproto is missing")
    target = parse_url(url)
    protocol, request = upgrade_request(target, origin, headers, subprotocols)
    deadline = time.monotonic() + timeout
    sock, timings = reach(target, unix_socket, connect_to, timeout, ssl_context, proxied)
    transport = Transport(sock)
    begun = time.monotonic()
    try:
        accepted = shake_hands(transport, protocol, request, deadline, timeout)
    except BaseException:
        transport.close()
        raise
    timings["handshake"] = ms_since(begun)
    websocket = WebSocket(
        transport,
        protocol,
        subprotocol=accepted.subprotocol,
        headers=header_dict(accepted.extra_headers),
        timings=timings,
        max_message_bytes=max_message_bytes,
    )
    # Frames may have come in the same packet as the 101; no selector would report them.
    websocket._take_events()
    return websocket


class WebSocket:
    """An open WebSocket; open_websocket() makes it. A context manager, which closes with 1000.

    Attributes: `subprotocol` (str or None), `headers` (dict of the 101's headers, lower-case names), `timings`
    (dict of milliseconds: `connect` with the name's lookup, `tls`, None without TLS, and `handshake`), `closed`
    (Closed, or None while it is open).
    """

    def __init__(
        self,
        transport: Transport,
        protocol: WSConnection,
        *,
        subprotocol: str | None,
        headers: dict[str, str],
        timings: dict[str, float | None],
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self.subprotocol = subprotocol
        self.headers = headers
        self.timings = timings
        self.closed: Closed | None = None
        self._transport = transport
        self._protocol = protocol
        self._opened = time.monotonic()
        self._max_message_bytes = max_message_bytes
        self.inbox: deque[Message] = deque()
        self._parts: list[str | bytes] = []
        self._parts_bytes = 0
        self._close_sent: int | None = None

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def fileno(self) -> int:
        """The descriptor, for a selector."""
        return self._transport.fileno()

    def send(self, text: str) -> None:
        """Send one text message. Raises SocketClosed when the socket is closed or nobody reads for 10 s."""
        if self.closed is None:
            self._transmit(TextMessage(data=text))
        if self.closed is not None:
            raise SocketClosed(self.closed)

    def receive(self, timeout: float) -> Message | Closed | None:
        """The next message, or how the socket closed, or None when `timeout` seconds went by.

        Pings are answered only here, in watch() and in close(): a socket that nobody receives from stops answering.
        After a Closed it returns the same Closed again.
        """
        deadline = time.monotonic() + timeout
        while True:
            if self.inbox:
                return self.inbox.popleft()
            if self.closed is not None:
                return self.closed
            self.read_available()
            if self.inbox or self.closed is not None:
                continue
            if time.monotonic() >= deadline or not self._transport.wait(deadline):
                return None

    def close(self, code: int = 1000, reason: str = "", timeout: float = 2.0) -> Closed:
        """Close and return how it ended; waits up to `timeout` seconds for the server's own close frame.

        The server's code wins if its close frame was already under way: this shows an application that accepts and
        closes at once. Messages that arrive meanwhile can still be received.
        """
        deadline = time.monotonic() + timeout
        self.read_available()
        if self.closed is None:
            self._transmit(CloseConnection(code=code, reason=reason or None))
            self._close_sent = code
        while self.closed is None:
            self.read_available()
            if self.closed is None and (time.monotonic() >= deadline or not self._transport.wait(deadline)):
                self._finish(code, reason, "client")
        assert self.closed is not None
        return self.closed

    def _now(self) -> float:
        return time.monotonic() - self._opened

    def _finish(self, code: int, reason: str, by: str) -> None:
        if self.closed is None:
            self.closed = Closed(int(code), reason, by, self._now())
            self._transport.close()

    def _transmit(self, event: Any) -> None:
        try:
            self._transport.write(self._protocol.send(event), time.monotonic() + WRITE_WAIT)
        except LocalProtocolError:
            # The close handshake is under way: nothing may be sent any more, and the other side expects nothing.
            return
        except OSError as error:
            # A close frame may have come before the connection broke; its code says more than the broken pipe.
            self.read_available()
            self._finish(1006, f"sending failed: {error_text(error)}", "network")

    def _last_word(self, event: Any) -> None:
        """Send a close frame; it need not arrive, since the reason for the close is already known."""
        with contextlib.suppress(LocalProtocolError, OSError):
            self._transport.write(self._protocol.send(event), time.monotonic() + WRITE_WAIT)

    def read_available(self) -> None:
        """Read what has arrived, without waiting."""
        reads = 0
        while self.closed is None and reads < _READS_PER_TURN:
            reads += 1
            try:
                data = self._transport.read_now()
            except OSError as error:
                self._finish(1006, error_text(error), "network")
                return
            if data is None:
                return
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        if not data:
            self._finish(1006, "the connection ended without a close frame", "network")
            return
        self._protocol.receive_data(data)
        self._take_events()

    def _take_events(self) -> None:
        for event in self._protocol.events():
            if self.closed is not None:
                return
            if isinstance(event, Ping):
                self._transmit(event.response())
            elif isinstance(event, TextMessage | BytesMessage):
                self._take_part(event)
            elif isinstance(event, CloseConnection):
                self._take_close(event)

    def _take_part(self, event: Any) -> None:
        part = event.data if isinstance(event.data, str) else bytes(event.data)
        self._parts.append(part)
        self._parts_bytes += len(part.encode()) if isinstance(part, str) else len(part)
        if self._parts_bytes > self._max_message_bytes:
            self._last_word(CloseConnection(code=1009))
            self._finish(1009, f"a message was larger than {self._max_message_bytes} bytes", "client")
        elif event.message_finished:
            whole: str | bytes = (
                "".join(p for p in self._parts if isinstance(p, str))
                if isinstance(part, str)
                else b"".join(p for p in self._parts if isinstance(p, bytes))
            )
            self.inbox.append(Message(whole, self._now()))
            self._parts, self._parts_bytes = [], 0

    def _take_close(self, event: Any) -> None:
        reason = event.reason or ""
        if self._protocol.state is ConnectionState.REMOTE_CLOSING:
            self._last_word(event.response())
            self._finish(event.code, reason, "server")
        elif self._protocol.state is ConnectionState.CLOSED:
            self._finish(event.code, reason, "client" if event.code == self._close_sent else "server")
        else:
            # wsproto makes this event itself when it cannot read a frame; the server did not close anything.
            self._last_word(event)
            self._finish(1006, f"the server broke the WebSocket protocol: {reason}", "network")
