"""The way to a server: WebSocket URLs, connections by TCP, TLS and unix sockets, and bytes with a deadline."""

from __future__ import annotations

import math
import select
import socket
import ssl
import time
import urllib.parse
from dataclasses import dataclass

from .errors import HandshakeFailed, error_text, timed_out

#: More than a TLS record holds (16 kB), so that no decrypted data stays inside the TLS layer, where no poll sees it.
_READ_BYTES = 65536
#: The PROXY protocol's word for a connection that is the sender's own (its specification, 2.1).
PROXY_UNKNOWN = b"PROXY UNKNOWN\r\n"


class Transport:
    """A non-blocking connected socket, plain or TLS, with deadlines (monotonic seconds) on each call."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def read_now(self) -> bytes | None:
        """What has arrived: None for nothing yet, empty for the end."""
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
class Target:
    """A parsed WebSocket URL."""

    host: str
    port: int
    tls: bool
    authority: str
    path: str


def parse_url(url: str) -> Target:
    """Raises ValueError; its text never holds the query, where tokens live."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError("a WebSocket URL looks like ws://HOST[:PORT]/path or wss://HOST[:PORT]/path")
    if "@" in parts.netloc:
        raise ValueError("the URL must not hold a user and password: pass an Authorization header")
    tls = parts.scheme == "wss"
    # What an application gets must be ASCII; "%" stays, so that a quoted path is not quoted again.
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    if parts.query:
        path += "?" + urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~?")
    return Target(parts.hostname, parts.port or (443 if tls else 80), tls, parts.netloc, path)


def parse_address(address: str, default_port: int) -> tuple[str, int]:
    """Split `HOST[:PORT]`; raises ValueError if there is no host."""
    parts = urllib.parse.urlsplit(f"//{address}")
    if not parts.hostname:
        raise ValueError(f"an address looks like HOST:PORT, not {address!r}")
    return parts.hostname, parts.port or default_port


def reach(
    target: Target,
    unix_socket: str | None,
    connect_to: str | None,
    timeout: float,
    context: ssl.SSLContext | None,
    proxied: bool = False,
) -> tuple[socket.socket, dict[str, float | None]]:
    """Connect to a unix socket, to `connect_to`, or to the target itself; raises HandshakeFailed.

    The options are those of open_websocket(). Returns the socket, and the milliseconds that `connect` and `tls` took.
    """
    begun = time.monotonic()
    if unix_socket:
        return connect_unix(unix_socket, timeout), {"connect": ms_since(begun), "tls": None}
    host, port = parse_address(connect_to, target.port) if connect_to else (target.host, target.port)
    sock = connect_tcp(host, port, timeout, proxied)
    timings: dict[str, float | None] = {"connect": ms_since(begun), "tls": None}
    if target.tls:
        connected = time.monotonic()
        sock = wrap_tls(sock, target.host, timeout - (connected - begun), context)
        timings["tls"] = ms_since(connected)
    return sock, timings


def connect_unix(path: str, timeout: float) -> socket.socket:
    """Connect to a unix socket within `timeout` seconds; raises HandshakeFailed."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(path)
    except TimeoutError:
        sock.close()
        raise timed_out(timeout, "connecting to the unix socket (its queue is full)") from None
    except BlockingIOError:
        sock.close()
        raise HandshakeFailed("socket", "the socket's queue is full") from None
    except OSError as error:
        sock.close()
        raise HandshakeFailed("socket", error_text(error)) from error
    return sock


def connect_tcp(host: str, port: int, timeout: float, proxied: bool = False) -> socket.socket:
    """Connect to the first address of a name that answers within `timeout` seconds; raises HandshakeFailed.

    `proxied` begins with a line of the PROXY protocol.
    """
    deadline = time.monotonic() + timeout
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise HandshakeFailed("name", f"{host}: {error_text(error)}") from error
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
            failure = timed_out(timeout, f"connecting to {address[0]} port {port}")
        except OSError as error:
            failure = HandshakeFailed("tcp", f"{address[0]} port {port}: {error_text(error)}")
        sock.close()
    raise failure


def wrap_tls(sock: socket.socket, host: str, timeout: float, context: ssl.SSLContext | None) -> socket.socket:
    """Start TLS on a socket, within `timeout` seconds; if that fails, close the socket and raise HandshakeFailed."""
    try:
        sock.settimeout(max(0.001, timeout))
        return (context or ssl.create_default_context()).wrap_socket(sock, server_hostname=host)
    except TimeoutError:
        sock.close()
        raise timed_out(timeout, "waiting for the TLS handshake") from None
    except ssl.SSLCertVerificationError as error:
        sock.close()
        raise HandshakeFailed("tls", f"certificate verify failed: {error.verify_message}") from error
    except (OSError, ValueError) as error:
        sock.close()
        raise HandshakeFailed("tls", error_text(error)) from error


def ms_since(begun: float) -> float:
    """Return the milliseconds since a moment of the monotonic clock."""
    return round((time.monotonic() - begun) * 1000, 2)
