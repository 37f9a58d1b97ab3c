"""Certificates of Redis and PostgreSQL, found through the project's environment. Everything here only reads."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, urlsplit

#: Seconds that a store may take for each step of its handshake.
PATIENCE = 3.0
#: What a client of PostgreSQL sends to ask for TLS: the length and the number of an SSLRequest.
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
PORTS = {"rediss": 6379, "postgres": 5432, "postgresql": 5432}
AUTHORITIES = ("ssl_ca_certs", "sslrootcert")


def certificates(environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the name in the environment, the place, and the start and end of each certificate that is verified.

    A store that cannot be reached, or whose certificate is not accepted, is left to the checks of the layer.
    """
    addresses = ((name, one) for name, value in sorted(environment.items()) for one in re.split(r",(?=\w+://)", value))
    for name, address in addresses:
        with contextlib.suppress(OSError, ValueError):
            url = urlsplit(address)
            query = parse_qs(url.query)
            trust = next((query[key][0] for key in AUTHORITIES if key in query), "")
            if url.scheme not in PORTS or not url.hostname or not trust:
                continue
            port = url.port or PORTS[url.scheme]
            shown = certificate(url.hostname, port, trust, asks=url.scheme != "rediss")
            times = {"since": str(shown.get("notBefore", "")), "expires": str(shown.get("notAfter", ""))}
            yield {"name": name, "place": f"{url.hostname}:{port}", **times}


def certificate(host: str, port: int, trust: str, *, asks: bool) -> Mapping[str, object]:
    """Return the certificate of a store as getpeercert() returns it; OSError if it is not accepted."""
    context = ssl.create_default_context(cafile=trust)
    with socket.create_connection((host, port), PATIENCE) as way:
        if asks:
            way.sendall(SSL_REQUEST)
            if way.recv(1) != b"S":
                return {}
        with context.wrap_socket(way, server_hostname=host) as made:
            return made.getpeercert() or {}
