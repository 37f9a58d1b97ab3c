"""A small blocking WebSocket client for modules: handshakes over TCP, TLS and unix sockets, and what failures mean.

The protocol is wsproto's; this file only moves bytes, keeps deadlines and names what went wrong. Times are seconds,
except in `WebSocket.timings`, which are milliseconds.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import select
import selectors
import socket
import ssl
import time
import traceback
import urllib.parse
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .symptoms import SYMPTOMS, Symptom

WSPROTO_IMPORT_ERROR: str | None
try:
    from h11 import LocalProtocolError as _H11LocalProtocolError
    from wsproto import ConnectionType, WSConnection
    from wsproto.connection import ConnectionState
    from wsproto.events import (
        AcceptConnection,
        BytesMessage,
        CloseConnection,
        Ping,
        RejectConnection,
        RejectData,
        Request,
        TextMessage,
    )
    from wsproto.utilities import LocalProtocolError, RemoteProtocolError
except ImportError:
    WSPROTO_IMPORT_ERROR = traceback.format_exc()
else:
    WSPROTO_IMPORT_ERROR = None

#: Whether wsproto could be imported. A module checks it first and answers with `missing_required_lib("wsproto")`.
HAS_WSPROTO = WSPROTO_IMPORT_ERROR is None

#: How much of an error page is kept, in bytes.
BODY_EXCERPT_BYTES = 2048
#: What to do where a handshake was accepted with none of the subprotocols that it offered.
NO_SUBPROTOCOL = (
    "Have the consumer name one of those that it was offered: self.accept(subprotocol=…), from scope['subprotocols']. "
    "Or correct handshake_subprotocols."
)
#: The largest message taken from a server, in bytes; a larger one closes the socket with 1009.
MAX_MESSAGE_BYTES = 1024 * 1024
#: How long to wait for the rest of an error page once its status is known, in seconds.
BODY_WAIT = 2.0
#: How long a write may take when nobody reads at the other end, in seconds.
WRITE_WAIT = 10.0

#: More than a TLS record holds (16 kB), so that nothing stays decrypted inside the TLS layer, where no poll sees it.
_READ_BYTES = 65536
#: Bounds one turn on one socket, so that a server that floods cannot keep the other sockets of a watch waiting.
_READS_PER_TURN = 16


# --- errors


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
class Message:
    """One whole message: `data` is str for text, bytes for binary; `at` is seconds since the handshake."""

    data: str | bytes
    at: float

    @property
    def text(self) -> str:
        """The data as text; bytes that are no UTF-8 are replaced."""
        return self.data if isinstance(self.data, str) else self.data.decode("utf-8", "replace")


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


# --- transport


class _Transport:
    """A non-blocking connected socket, plain or TLS, with deadlines (monotonic seconds) on each call."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()

    def read_now(self) -> bytes | None:
        """What has come: None for nothing yet, empty for the end."""
        try:
            return self._sock.recv(_READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def wait(self, deadline: float, events: int = select.POLLIN) -> bool:
        """Whether the socket got ready before the deadline."""
        poll = select.poll()
        poll.register(self._sock, events)
        return bool(poll.poll(max(0, math.ceil((deadline - time.monotonic()) * 1000))))

    def read(self, deadline: float) -> bytes:
        """Block for the next bytes; empty for the end; raises TimeoutError."""
        while True:
            data = self.read_now()
            if data is not None:
                return data
            if time.monotonic() >= deadline or not self.wait(deadline):
                raise TimeoutError

    def write(self, data: bytes, deadline: float) -> None:
        """Send everything; raises TimeoutError or another OSError."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                ready = self.wait(deadline, select.POLLOUT)
            except ssl.SSLWantReadError:
                ready = self.wait(deadline)
            else:
                continue
            if not ready:
                raise TimeoutError


@dataclass(frozen=True)
class _Target:
    """A parsed WebSocket URL."""

    host: str
    port: int
    tls: bool
    authority: str
    path: str


def _parse_url(url: str) -> _Target:
    """Raises ValueError; its text never holds the query, where tokens live."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError("a WebSocket URL looks like ws://HOST[:PORT]/path or wss://HOST[:PORT]/path")
    if "@" in parts.netloc:
        raise ValueError("the URL must not hold a user and password: pass an Authorization header")
    tls = parts.scheme == "wss"
    # What an application gets must be ASCII; "%" stays, so that a path that is quoted already stays as it is.
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    if parts.query:
        path += "?" + urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~?")
    return _Target(parts.hostname, parts.port or (443 if tls else 80), tls, parts.netloc, path)


def _parse_address(address: str, default_port: int) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(f"//{address}")
    if not parts.hostname:
        raise ValueError(f"an address looks like HOST:PORT, not {address!r}")
    return parts.hostname, parts.port or default_port


def _error_text(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()


def _timed_out(seconds: float, doing: str) -> HandshakeFailed:
    return HandshakeFailed("timeout", f"nothing within {seconds:g} s while {doing}")


def _connect_unix(path: str, timeout: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(path)
    except TimeoutError:
        sock.close()
        raise _timed_out(timeout, "connecting to the unix socket (its queue is full)") from None
    except BlockingIOError:
        sock.close()
        raise HandshakeFailed("socket", "the socket's queue is full") from None
    except OSError as error:
        sock.close()
        raise HandshakeFailed("socket", _error_text(error)) from error
    return sock


#: The PROXY protocol's word for a connection that is the sender's own (its specification, 2.1).
PROXY_UNKNOWN = b"PROXY UNKNOWN\r\n"


def _connect_tcp(host: str, port: int, timeout: float, proxied: bool = False) -> socket.socket:
    deadline = time.monotonic() + timeout
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise HandshakeFailed("name", f"{host}: {_error_text(error)}") from error
    failure = HandshakeFailed("name", f"{host}: no address")
    for family, kind, protocol, _name, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if proxied:
                sock.sendall(PROXY_UNKNOWN)
            return sock
        except TimeoutError:
            failure = _timed_out(timeout, f"connecting to {address[0]} port {port}")
        except OSError as error:
            failure = HandshakeFailed("tcp", f"{address[0]} port {port}: {_error_text(error)}")
        sock.close()
    raise failure


def _wrap_tls(sock: socket.socket, host: str, timeout: float, context: ssl.SSLContext | None) -> socket.socket:
    try:
        sock.settimeout(max(0.001, timeout))
        return (context or ssl.create_default_context()).wrap_socket(sock, server_hostname=host)
    except TimeoutError:
        sock.close()
        raise _timed_out(timeout, "waiting for the TLS handshake") from None
    except ssl.SSLCertVerificationError as error:
        sock.close()
        raise HandshakeFailed("tls", f"certificate verify failed: {error.verify_message}") from error
    except (OSError, ValueError) as error:
        sock.close()
        raise HandshakeFailed("tls", _error_text(error)) from error


# --- websocket


class WebSocket:
    """An open WebSocket; open_websocket() makes it. A context manager, which closes with 1000.

    Attributes: `subprotocol` (str or None), `headers` (dict of the 101's headers, lower-case names), `timings`
    (dict of milliseconds: `connect` with the name's lookup, `tls`, None without TLS, and `handshake`), `closed`
    (Closed, or None while it is open).
    """

    def __init__(
        self,
        transport: _Transport,
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
        self._inbox: deque[Message] = deque()
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

        Pings are answered meanwhile, and only here, in watch() and in close(): a socket that nobody receives from
        falls silent. After a Closed it returns the same Closed again.
        """
        deadline = time.monotonic() + timeout
        while True:
            if self._inbox:
                return self._inbox.popleft()
            if self.closed is not None:
                return self.closed
            self._read_available()
            if self._inbox or self.closed is not None:
                continue
            if time.monotonic() >= deadline or not self._transport.wait(deadline):
                return None

    def close(self, code: int = 1000, reason: str = "", timeout: float = 2.0) -> Closed:
        """Close and return how it ended; waits up to `timeout` seconds for the server's own close frame.

        The server's code wins where its close frame was under way already: that is how an application that accepts
        and closes at once is seen. Messages that come meanwhile can still be received.
        """
        deadline = time.monotonic() + timeout
        self._read_available()
        if self.closed is None:
            self._transmit(CloseConnection(code=code, reason=reason or None))
            self._close_sent = code
        while self.closed is None:
            self._read_available()
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
            self._read_available()
            self._finish(1006, f"sending failed: {_error_text(error)}", "network")

    def _last_word(self, event: Any) -> None:
        """Send a close frame whose delivery is of no matter: why the socket ends is known already."""
        with contextlib.suppress(LocalProtocolError, OSError):
            self._transport.write(self._protocol.send(event), time.monotonic() + WRITE_WAIT)

    def _read_available(self) -> None:
        """Take in what has come, without waiting."""
        reads = 0
        while self.closed is None and reads < _READS_PER_TURN:
            reads += 1
            try:
                data = self._transport.read_now()
            except OSError as error:
                self._finish(1006, _error_text(error), "network")
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
            self._inbox.append(Message(whole, self._now()))
            self._parts, self._parts_bytes = [], 0

    def _take_close(self, event: Any) -> None:
        reason = event.reason or ""
        if self._protocol.state is ConnectionState.REMOTE_CLOSING:
            self._last_word(event.response())
            self._finish(event.code, reason, "server")
        elif self._protocol.state is ConnectionState.CLOSED:
            self._finish(event.code, reason, "client" if event.code == self._close_sent else "server")
        else:
            # wsproto makes this event itself when it cannot read a frame; nothing the server closed.
            self._last_word(event)
            self._finish(1006, f"the server broke the WebSocket protocol: {reason}", "network")


def _header_dict(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = bytes(raw_name).decode("latin-1").lower(), bytes(raw_value).decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _phrase(status: int) -> str:
    return http.client.responses.get(status, "")


def _upgrade_request(
    target: _Target, origin: str | None, headers: Mapping[str, str] | None, subprotocols: Sequence[str]
) -> tuple[WSConnection, bytes]:
    """The client's first bytes; raises ValueError for what HTTP does not allow in them."""
    extra = dict(headers or {})
    hosts = [extra.pop(name) for name in list(extra) if name.lower() == "host"]
    if origin is not None:
        extra["Origin"] = origin
    protocol = WSConnection(ConnectionType.CLIENT)
    try:
        # latin-1 and not ASCII: a header with a wrong character is to be refused by h11's rules, in h11's words.
        pairs = [(name.encode("latin-1"), str(value).encode("latin-1")) for name, value in extra.items()]
        request = Request(
            host=hosts[0] if hosts else target.authority,
            target=target.path,
            extra_headers=pairs,
            subprotocols=list(subprotocols),
        )
        return protocol, protocol.send(request)
    except (UnicodeError, _H11LocalProtocolError, LocalProtocolError) as error:
        raise ValueError(f"the URL, a header or a subprotocol holds what HTTP does not allow: {error}") from error


class _Refusal:
    """Gathers an answer that is not 101, from wsproto's events."""

    def __init__(self) -> None:
        self.status = 0
        self.complete = False
        self._headers: dict[str, str] = {}
        self._body = b""

    def take(self, event: Any) -> None:
        if isinstance(event, RejectConnection):
            self.status, self._headers = event.status_code, _header_dict(event.headers)
            self.complete = not event.has_body
        elif isinstance(event, RejectData):
            self._body += bytes(event.data)
            self.complete = event.body_finished or len(self._body) >= BODY_EXCERPT_BYTES

    def error(self) -> HandshakeRefused:
        body = self._body[:BODY_EXCERPT_BYTES].decode("utf-8", "replace")
        return HandshakeRefused(self.status, _phrase(self.status), self._headers, body)


def _shake_hands(
    transport: _Transport, protocol: WSConnection, request: bytes, deadline: float, timeout: float
) -> AcceptConnection:
    """Send the request and take the answer; raises HandshakeRefused or HandshakeFailed (which names `timeout`)."""
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
            raise _timed_out(timeout, "waiting for the server's answer to the handshake") from None
        raise HandshakeFailed("handshake", _error_text(error)) from error


def _feed_handshake(protocol: WSConnection, data: bytes) -> str:
    """Give the bytes to wsproto; returns what is wrong with them, or nothing."""
    try:
        protocol.receive_data(data or None)
    except RemoteProtocolError as error:
        # wsproto hides h11's text ("illegal status line …") behind a general one.
        cause = error.__context__
        return f"the answer is not a WebSocket handshake: {error}" + (f" ({cause})" if cause else "")
    return ""


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
    `proxied` says that a proxy with the PROXY protocol is meant there, which is then told nothing of a client.

    Raises HandshakeRefused when the server answered anything but 101, HandshakeFailed when there was no such answer,
    ValueError for a URL, header or address that cannot be sent.
    """
    if not HAS_WSPROTO:
        raise RuntimeError("the Python library wsproto is missing")
    target = _parse_url(url)
    protocol, request = _upgrade_request(target, origin, headers, subprotocols)
    deadline = time.monotonic() + timeout
    sock, timings = _reach(target, unix_socket, connect_to, timeout, ssl_context, proxied)
    transport = _Transport(sock)
    begun = time.monotonic()
    try:
        accepted = _shake_hands(transport, protocol, request, deadline, timeout)
    except BaseException:
        transport.close()
        raise
    timings["handshake"] = _ms_since(begun)
    websocket = WebSocket(
        transport,
        protocol,
        subprotocol=accepted.subprotocol,
        headers=_header_dict(accepted.extra_headers),
        timings=timings,
        max_message_bytes=max_message_bytes,
    )
    # Frames may have come in the same packet as the 101; no selector would tell of them.
    websocket._take_events()
    return websocket


def _ms_since(begun: float) -> float:
    return round((time.monotonic() - begun) * 1000, 2)


def _reach(
    target: _Target,
    unix_socket: str | None,
    connect_to: str | None,
    timeout: float,
    context: ssl.SSLContext | None,
    proxied: bool = False,
) -> tuple[socket.socket, dict[str, float | None]]:
    begun = time.monotonic()
    if unix_socket:
        return _connect_unix(unix_socket, timeout), {"connect": _ms_since(begun), "tls": None}
    host, port = _parse_address(connect_to, target.port) if connect_to else (target.host, target.port)
    sock = _connect_tcp(host, port, timeout, proxied)
    timings: dict[str, float | None] = {"connect": _ms_since(begun), "tls": None}
    if target.tls:
        connected = time.monotonic()
        sock = _wrap_tls(sock, target.host, timeout - (connected - begun), context)
        timings["tls"] = _ms_since(connected)
    return sock, timings


# --- watch


@dataclass
class Watched:
    """What one socket did during a watch().

    `messages` are the first of them, `count` is how many came, `closed` how it closed or None, `seconds` how long
    it was watched: until it closed, or to the end.
    """

    messages: list[Message] = field(default_factory=list)
    count: int = 0
    closed: Closed | None = None
    seconds: float = 0.0


def watch(sockets: Sequence[WebSocket], seconds: float, *, keep: int = 100) -> list[Watched]:
    """Stay silent on all the sockets for `seconds`, answering pings only, and report on each, in the same order.

    Returns early once every socket is closed. At most `keep` messages are kept for each socket; all are counted.
    """
    begun = time.monotonic()
    deadline = begun + seconds
    reports = [Watched() for _ in sockets]
    with selectors.DefaultSelector() as selector:
        for index, websocket in enumerate(sockets):
            _collect(websocket, reports[index], keep, begun)
            if reports[index].closed is None:
                selector.register(websocket.fileno(), selectors.EVENT_READ, index)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _events in selector.select(left):
                websocket, report = sockets[key.data], reports[key.data]
                _collect(websocket, report, keep, begun)
                if report.closed is not None:
                    selector.unregister(key.fd)
    for report in reports:
        if report.closed is None:
            report.seconds = round(time.monotonic() - begun, 3)
    return reports


def _collect(websocket: WebSocket, report: Watched, keep: int, begun: float) -> None:
    websocket._read_available()
    while websocket._inbox:
        message = websocket._inbox.popleft()
        report.count += 1
        if len(report.messages) < keep:
            report.messages.append(message)
    if websocket.closed is not None:
        report.closed = websocket.closed
        report.seconds = round(time.monotonic() - begun, 3)


# --- http


@dataclass(frozen=True)
class HttpAnswer:
    """`status`, `reason` as the server wrote it, `headers` with lower-case names, `body`: its first 2 kB as text."""

    status: int
    reason: str
    headers: dict[str, str]
    body: str


def http_get(
    path: str,
    *,
    unix_socket: str | None = None,
    address: str | None = None,
    host: str,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    ssl_context: ssl.SSLContext | None = None,
    proxied: bool = False,
) -> HttpAnswer:
    """GET a path, from a process's unix socket or from `address` (`host:port`); redirects are not followed.

    `host` is the Host header and TLS's server name. TLS is used when `ssl_context` is given, never on a unix socket.
    `timeout` is seconds for each step, `proxied` as for open_websocket(). Raises HandshakeFailed with the same stages
    as open_websocket(), `handshake` standing for an answer that is not HTTP, and ValueError for a path or header that
    cannot be sent.
    """
    if unix_socket:
        sock = _connect_unix(unix_socket, timeout)
    else:
        name, port = _parse_address(address or host, 443 if ssl_context else 80)
        sock = _connect_tcp(name, port, timeout, proxied)
        if ssl_context:
            sock = _wrap_tls(sock, _parse_address(host, 443)[0], timeout, ssl_context)
    connection = http.client.HTTPConnection(host, timeout=timeout)
    connection.sock = sock
    try:
        connection.request("GET", path, headers={"Host": host, "Connection": "close", **(headers or {})})
        answer = connection.getresponse()
        body = answer.read(BODY_EXCERPT_BYTES).decode("utf-8", "replace")
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.getheaders()]
        return HttpAnswer(answer.status, answer.reason, _header_dict(pairs), body)
    except TimeoutError:
        raise _timed_out(timeout, f"waiting for the answer to GET {path.partition('?')[0]}") from None
    except http.client.InvalidURL as error:
        raise ValueError("the path holds characters that HTTP does not allow") from error
    except (http.client.RemoteDisconnected, ConnectionResetError) as error:
        raise HandshakeFailed("handshake", "the server closed the connection without answering") from error
    except (http.client.HTTPException, OSError) as error:
        raise HandshakeFailed("handshake", f"the answer is not HTTP: {_error_text(error)}") from error
    finally:
        connection.close()


# --- explain


_STAGES = {
    "name": "The host name could not be resolved",
    "tcp": "No TCP connection",
    "socket": "No connection to the unix socket",
    "tls": "No TLS connection",
    "handshake": "Connected, but the handshake broke",
    "timeout": "No answer in time",
}

_SPECIAL_CLOSE = {
    1005: "The connection was closed without a code (1005)",
    1006: "The connection was cut without a close frame (1006)",
}


def explain(
    problem: HandshakeRefused | HandshakeFailed | Closed | int, extra: Iterable[Symptom] = ()
) -> dict[str, str]:
    """What a problem means, for a tired operator: a dict of three texts, `what`, `likely` and `fix`.

    `problem` is one of the two errors, a Closed, or a bare number: an HTTP status below 1000, else a close code.
    `extra` are rows that come before the table SYMPTOMS. The texts may hold parts of the server's answer: redact()
    them. Never raises.
    """
    kind, code, stage, text, what = _describe(problem)
    for symptom in (*extra, *SYMPTOMS):
        if symptom.matches(kind, code, stage, text):
            return {"what": what, "likely": symptom.likely, "fix": symptom.fix}
    return {"what": what, "likely": "", "fix": ""}


def _describe(problem: HandshakeRefused | HandshakeFailed | Closed | int) -> tuple[str, int | None, str, str, str]:
    if isinstance(problem, int):
        if problem < 1000:
            problem = HandshakeRefused(problem, _phrase(problem), {}, "")
        else:
            problem = Closed(problem, "", "server", 0.0)
    if isinstance(problem, HandshakeFailed):
        what = f"{_STAGES.get(problem.stage, 'No connection')}: {problem.reason}."
        return "failed", None, problem.stage, problem.reason, what
    if isinstance(problem, HandshakeRefused):
        location = problem.headers.get("location", "")
        what = f"The server answered the handshake with {problem.status} {problem.reason}".rstrip()
        what += f", pointing to {location}." if location else "."
        text = "\n".join([problem.reason, *(f"{k}: {v}" for k, v in problem.headers.items()), problem.body])
        return "refused", problem.status, "", text, what
    what = _SPECIAL_CLOSE.get(problem.code, f"The connection was closed with code {problem.code}")
    what += f", {problem.at:.1f} s after the handshake" if problem.at else ""
    what += f": {problem.reason}." if problem.reason else "."
    return "closed", problem.code, "", problem.reason, what
