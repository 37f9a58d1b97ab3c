"""Plain HTTP besides WebSockets: one GET, and what both need from an answer."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .errors import HandshakeFailed, error_text, timed_out
from .transport import connect_tcp, connect_unix, parse_address, wrap_tls

#: How much of an error page is kept, in bytes.
BODY_EXCERPT_BYTES = 2048
#: Headers of an answer that say who has answered, and why so.
TELLING = (
    "server", "via", "upgrade", "connection", "sec-websocket-protocol", "sec-websocket-extensions", "location",
    "content-type", "www-authenticate", "retry-after",
)  # fmt: skip


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
        sock = connect_unix(unix_socket, timeout)
    else:
        name, port = parse_address(address or host, 443 if ssl_context else 80)
        sock = connect_tcp(name, port, timeout, proxied)
        if ssl_context:
            sock = wrap_tls(sock, parse_address(host, 443)[0], timeout, ssl_context)
    connection = http.client.HTTPConnection(host, timeout=timeout)
    connection.sock = sock
    try:
        connection.request("GET", path, headers={"Host": host, "Connection": "close", **(headers or {})})
        answer = connection.getresponse()
        body = answer.read(BODY_EXCERPT_BYTES).decode("utf-8", "replace")
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.getheaders()]
        return HttpAnswer(answer.status, answer.reason, header_dict(pairs), body)
    except TimeoutError:
        raise timed_out(timeout, f"waiting for the answer to GET {path.partition('?')[0]}") from None
    except http.client.InvalidURL as error:
        raise ValueError("the path holds characters that HTTP does not allow") from error
    except (http.client.RemoteDisconnected, ConnectionResetError) as error:
        raise HandshakeFailed("handshake", "the server closed the connection without answering") from error
    except (http.client.HTTPException, OSError) as error:
        raise HandshakeFailed("handshake", f"the answer is not HTTP: {error_text(error)}") from error
    finally:
        connection.close()


def header_dict(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Make a dict of headers, with lower-case names; the values of a repeated name are joined."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = bytes(raw_name).decode("latin-1").lower(), bytes(raw_value).decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def telling(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that say who has answered, and why so; `headers` has lower-case names."""
    return {name: headers[name] for name in TELLING if name in headers}


def phrase(status: int) -> str:
    """Return the standard phrase of an HTTP status, or nothing if it has none."""
    return http.client.responses.get(status, "")
