"""One attempt at a WebSocket, written down as plain data: an *exchange*, which can be recorded and judged later.

It needs only the standard library, since a new host has nothing else. It also reads what a strict client would reject:
everything that arrives is evidence. Times are in milliseconds under a key `ms`, else in seconds.
"""

from __future__ import annotations

import base64
import math
import os
import re
import select
import socket
import ssl
import time
from typing import Any
from urllib.parse import quote, urlsplit

from .transport import PROXY_UNKNOWN

#: How much of an answer's body is kept, in bytes.
BODY_BYTES = 2048
#: How long to wait for a close after a 101: daphne checks once a second for a consumer that failed.
LINGER = 1.3


class _Failure(Exception):
    """The connection failed at a stage: `name`, `tcp`, `socket`, `tls` or `handshake`."""

    def __init__(self, stage: str, reason: str, verify: int = 0) -> None:
        super().__init__(reason)
        self.stage, self.reason, self.verify = stage, reason, verify


#: An exchange about which nothing is known yet.
_EMPTY: dict[str, Any] = {
    "origin": "", "stage": "", "reason": "", "verify": 0, "status": 0, "body": "", "close": None, "idle": 0.0,
    "expires": "", "since": "",
}  # fmt: skip


def opened_exchange(via: str, place: str, milliseconds: dict[str, float | None]) -> dict[str, Any]:
    """The exchange for a handshake that somebody else made with a good token, and that opened a socket."""
    return {**_EMPTY, "headers": {}, "ms": milliseconds, "via": via, "kind": "good", "to": place, "status": 101}


def filled(address: str, token: str) -> str:
    """An address, or its query, with a token in its place."""
    return address.replace("{token}", quote(token, safe=""))


def carries_token(asked: dict[str, Any]) -> bool:
    """Whether a handshake has a place for a token: in its query, a header or a subprotocol."""
    texts = [asked.get("query") or "", *map(str, (asked.get("headers") or {}).values())]
    return any("{token}" in text for text in [*texts, *(asked.get("subprotocols") or [])])


def offered(asked: dict[str, Any], token: str) -> dict[str, Any]:
    """What a handshake sends besides its address, with a token in its place: `headers` and `subprotocols`.

    Without a token, headers and subprotocols that would be empty are left out, since they must not be.
    """
    headers = {str(name): str(value) for name, value in (asked.get("headers") or {}).items()}
    protocols = [str(each) for each in asked.get("subprotocols") or []]
    return {
        "headers": {
            name: value.replace("{token}", token) for name, value in headers.items() if value != "{token}" or token
        },
        "subprotocols": [each.replace("{token}", token) for each in protocols if each != "{token}" or token],
    }


def attempt(
    url: str,
    *,
    via: str,
    kind: str = "good",
    unix_socket: str = "",
    connect_to: tuple[str, int] | None = None,
    origin: str = "",
    headers: dict[str, str] | None = None,
    subprotocols: list[str] | None = None,
    timeout: float = 5.0,
    linger: float = 0.0,
    idle: float = 0.0,
    upgrade: bool = True,
    context: ssl.SSLContext | None = None,
    request: tuple[str, list[tuple[str, str]]] | None = None,
    proxied: bool = False,
) -> dict[str, Any]:
    """Try a handshake and return what came; never raises for what the network or the server does.

    `via` names the hop to connect to (`outside`, `proxy` or `process`), `kind` the token. `linger` and `idle` are
    seconds of silence after a 101, during which pings are answered. Without `upgrade` it is a
    plain GET. `request` is sent in place of the usual one: its first line and its headers. `proxied` begins with a
    line of the PROXY protocol, as balancers do. The URL is not in the result: it holds the token.
    """
    parts = urlsplit(url)
    place = unix_socket or "{}:{}".format(*(connect_to or (parts.hostname, _port(parts))))
    found = {**_EMPTY, "headers": {}, "ms": {}, "via": via, "kind": kind, "origin": origin, "to": place}
    way: socket.socket | None = None
    try:
        way = _reach(parts, unix_socket, connect_to, timeout, context, proxied, found)
        begun = time.monotonic()
        line, pairs = request or (
            f"GET {target_of(url)} HTTP/1.1", client_headers(parts.netloc, origin, headers, subprotocols, upgrade)
        )  # fmt: skip
        rest = _ask(way, line, pairs, timeout, found)
        found["ms"]["handshake"] = _since(begun)
        if found["status"] == 101 and max(linger, idle) > 0:
            _stay(way, rest, max(linger, idle), found)
        if found["status"] == 101 and not found["close"]:
            _send(way, 8, (1000).to_bytes(2, "big"))
    except _Failure as failure:
        found.update(stage=failure.stage, reason=failure.reason, verify=failure.verify)
    finally:
        if way is not None:
            way.close()
    return found


def _port(parts: Any) -> int:
    return parts.port or (443 if parts.scheme in ("wss", "https") else 80)


def _since(begun: float) -> float:
    return round((time.monotonic() - begun) * 1000, 1)


def _text(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).strip()


def _reach(
    parts: Any,
    unix_socket: str,
    connect_to: tuple[str, int] | None,
    timeout: float,
    context: ssl.SSLContext | None,
    proxied: bool,
    found: dict[str, Any],
) -> socket.socket:
    """Connect, with TLS if the URL says so and there is a network; note how long each step took."""
    if unix_socket:
        return _unix(unix_socket, timeout, found)
    host, port = connect_to or (parts.hostname or "", _port(parts))
    begun = time.monotonic()
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _Failure("name", getattr(error, "strerror", None) or str(error)) from None
    found["ms"]["name"] = _since(begun)
    way = _tcp(addresses, timeout, found)
    if proxied:
        way.sendall(PROXY_UNKNOWN)
    if parts.scheme != "wss":
        return way
    begun = time.monotonic()
    context = context or ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    try:
        way.settimeout(timeout)
        wrapped = context.wrap_socket(way, server_hostname=parts.hostname)
    except ssl.SSLCertVerificationError as error:
        way.close()
        found["chain"] = sent_chain(host, port, parts.hostname or "", timeout)
        raise _Failure("tls", error.verify_message, error.verify_code) from None
    except (OSError, ValueError) as error:
        way.close()
        raise _Failure("tls", str(error)) from None
    found["ms"]["tls"] = _since(begun)
    certificate = wrapped.getpeercert() or {}
    found["expires"], found["since"] = (str(certificate.get(name, "")) for name in ("notAfter", "notBefore"))
    return wrapped


def sent_chain(host: str, port: int, name: str, timeout: float) -> list[dict[str, Any]]:
    """The certificates that a server sends, its own first, each with whether it says where to fetch its issuer's.

    Empty if they cannot be read, as without the package cryptography, which Ansible needs on a controller.
    """
    try:
        from cryptography import x509
    except ImportError:
        return []
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout) as way,
            context.wrap_socket(way, server_hostname=name) as wrapped,
        ):
            # The public method came with Python 3.13; before, the same is below.
            inner: Any = wrapped if hasattr(wrapped, "get_unverified_chain") else wrapped._sslobj  # type: ignore[attr-defined]
            sent = [x509.load_der_x509_certificate(_der(each)) for each in inner.get_unverified_chain() or ()]
    except (OSError, ValueError, AttributeError):
        return []
    return [
        {"subject": each.subject.rfc4514_string(), "issuer": each.issuer.rfc4514_string(),
         "fetchable": _fetchable(each)} for each in sent
    ]  # fmt: skip


def _fetchable(certificate: Any) -> bool:
    """Whether a certificate says where to get its issuer's."""
    from cryptography import x509
    from cryptography.x509.oid import AuthorityInformationAccessOID

    try:
        told = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return any(each.access_method == AuthorityInformationAccessOID.CA_ISSUERS for each in told)


def _der(certificate: Any) -> bytes:
    """A certificate's bytes, from whichever form this Python gives."""
    return certificate if isinstance(certificate, bytes) else certificate.public_bytes(2)  # 2 is ENCODING_DER


def _unix(path: str, timeout: float, found: dict[str, Any]) -> socket.socket:
    begun = time.monotonic()
    way = socket.socket(socket.AF_UNIX)
    way.settimeout(timeout)
    try:
        way.connect(path)
    except OSError as error:
        way.close()
        raise _Failure("socket", _text(error)) from None
    found["ms"]["tcp"] = _since(begun)
    return way


def _tcp(addresses: list[Any], timeout: float, found: dict[str, Any]) -> socket.socket:
    failure = _Failure("tcp", "no address")
    for family, kind, protocol, _name, address in addresses:
        begun = time.monotonic()
        way = socket.socket(family, kind, protocol)
        way.settimeout(timeout)
        try:
            way.connect(address)
        except OSError as error:
            way.close()
            reason = "timed out" if isinstance(error, TimeoutError) else _text(error)
            failure = _Failure("tcp", f"{address[0]} port {address[1]}: {reason}")
            continue
        found["ms"]["tcp"] = _since(begun)
        return way
    raise failure


def target_of(url: str) -> str:
    """The path of a URL with its query, as a request has it."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def client_headers(
    netloc: str,
    origin: str = "",
    headers: dict[str, str] | None = None,
    subprotocols: list[str] | None = None,
    upgrade: bool = True,
) -> list[tuple[str, str]]:
    """The headers of a handshake, or of a plain GET, in the order in which they are sent."""
    key = base64.b64encode(os.urandom(16)).decode()
    made = [("Host", netloc), ("User-Agent", "websocket-doctor")]
    if upgrade:
        made += [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        made += [("Sec-WebSocket-Key", key), ("Sec-WebSocket-Version", "13")]
    else:
        made += [("Connection", "close")]
    made += [("Origin", origin)] if origin else []
    made += list((headers or {}).items())
    return [*made, ("Sec-WebSocket-Protocol", ", ".join(subprotocols))] if upgrade and subprotocols else made


def _ask(
    way: socket.socket, line: str, pairs: list[tuple[str, str]], timeout: float, found: dict[str, Any]
) -> bytes:  # fmt: skip
    """Send the request and write down the answer; return the bytes after its head."""
    lines = [line, *(f"{name}: {value}" for name, value in pairs)]
    deadline, came = time.monotonic() + timeout, b""
    try:
        way.settimeout(timeout)
        way.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"))
        while b"\r\n\r\n" not in came and len(came) < 65536:
            way.settimeout(max(0.001, deadline - time.monotonic()))
            data = way.recv(65536)
            if not data:
                break
            came += data
    except TimeoutError:
        raise _Failure("handshake", f"no answer within {timeout:g} s") from None
    except OSError as error:
        if not came:
            raise _Failure("handshake", _text(error)) from None
    if not came:
        raise _Failure("handshake", "closed without an answer")
    head, _, rest = came.partition(b"\r\n\r\n")
    first, *others = head.decode("latin-1").split("\r\n")
    match = re.match(r"HTTP/\d(?:\.\d)? (\d{3})", first)
    if not match:
        raise _Failure("handshake", f"the answer is not HTTP: {first[:60]!r}")
    found["status"] = int(match[1])
    for line in others:
        name, _, value = line.partition(":")
        found["headers"][name.strip().lower()] = value.strip()
    if found["status"] != 101:
        found["body"] = _body(way, rest, found["headers"]).decode("utf-8", "replace")
    return rest


def _body(way: socket.socket, rest: bytes, headers: dict[str, str]) -> bytes:
    """As much of the body as arrives within a second; what counts is the status."""
    length = headers.get("content-length", "")
    wanted = min(int(length), BODY_BYTES) if length.isdigit() else BODY_BYTES
    deadline = time.monotonic() + (1.0 if length else 0.3)
    while len(rest) < wanted and (left := deadline - time.monotonic()) > 0:
        try:
            way.settimeout(left)
            data = way.recv(BODY_BYTES)
        except OSError:
            break
        if not data:
            break
        rest += data
    return rest[:BODY_BYTES]


def _stay(way: socket.socket, buffer: bytes, seconds: float, found: dict[str, Any]) -> None:
    """Stay silent, answer pings, and note how the socket ends, if it does."""
    begun = time.monotonic()
    while True:
        while (frame := _frame(buffer)) is not None:
            opcode, payload, buffer = frame
            if opcode == 8:
                code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
                found["close"] = {"code": code, "reason": payload[2:].decode("utf-8", "replace"),
                                  "at": round(time.monotonic() - begun, 1)}  # fmt: skip
                return
            if opcode == 9:
                _send(way, 10, payload)
        left = seconds - (time.monotonic() - begun)
        if left <= 0:
            found["idle"] = round(seconds, 1)
            return
        data = _more(way, left)
        if data == b"":
            found["close"] = {"code": 1006, "reason": "", "at": round(time.monotonic() - begun, 1)}
            return
        buffer += data or b""


def _more(way: socket.socket, left: float) -> bytes | None:
    """Return what arrived: None for nothing in time, empty for the end."""
    pending = isinstance(way, ssl.SSLSocket) and way.pending()
    poll = select.poll()
    poll.register(way, select.POLLIN)
    if not pending and not poll.poll(math.ceil(left * 1000)):
        return None
    try:
        way.settimeout(max(0.01, left))
        return way.recv(65536)
    except TimeoutError:
        return None
    except OSError:
        return b""


def _frame(buffer: bytes) -> tuple[int, bytes, bytes] | None:
    """Return the first whole frame of a buffer (opcode, payload) and what follows it."""
    if len(buffer) < 2:
        return None
    length, at = buffer[1] & 127, 2
    if length >= 126:
        size = 2 if length == 126 else 8
        if len(buffer) < 2 + size:
            return None
        length, at = int.from_bytes(buffer[2 : 2 + size], "big"), 2 + size
    if len(buffer) < at + length:
        return None
    return buffer[0] & 15, buffer[at : at + length], buffer[at + length :]


def _send(way: socket.socket, opcode: int, payload: bytes) -> None:
    """Send a frame, masked as a client's must be."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    try:
        way.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)
    except OSError:
        return  # the next read shows how it ended


def offers_http2(host: str, port: int, timeout: float = 3.0) -> bool:
    """Tell whether a TLS server would speak HTTP/2. The certificate is not checked; that is another question."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with (
            socket.create_connection((host, port), timeout) as way,
            context.wrap_socket(way, server_hostname=host) as wrapped,
        ):
            return wrapped.selected_alpn_protocol() == "h2"
    except (OSError, ValueError):
        return False
