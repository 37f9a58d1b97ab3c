"""Whether the Redis that carries the channel layer answers: its addresses are in the project's environment.

Only PING is sent, without a password: a Redis that refuses it has answered.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import urlsplit

PORT = 6379
PATIENCE = 2.0  # seconds
# Lists of URLs and JSON are among the values, so brackets belong to a URL only around an IPv6 address.
PLAIN = r"[^\s\"'\[\]{}()<>,;]"
# A password may have commas, and lists of URLs have them between URLs, whose schemes have slashes.
LOGIN = r"[^\s\"'\[\]{}()<>/@]*@"
URL = re.compile(rf"(?:rediss?|unix|redis\+socket)://(?:{LOGIN})?(?:\[[0-9a-fA-F:.]+\])?{PLAIN}*")


class Address(NamedTuple):
    """Where a Redis listens."""

    host: str  # a path if there is no port
    port: int
    tls: bool

    def __str__(self) -> str:
        """The address as a person reads it."""
        return f"{self.host}:{self.port}" if self.port else self.host


def addresses(environment: str) -> list[Address]:
    """Return the Redises that an environment names, in its own order; its text is that of a file for sh."""
    found: dict[Address, None] = {}
    with contextlib.suppress(ValueError):  # half a quote; a deploy checks the file
        for part in shlex.split(environment, comments=True):
            for url in URL.findall(part):
                with contextlib.suppress(ValueError):
                    found[address_of(url)] = None
    return list(found)


def address_of(url: str) -> Address:
    """Return a URL's address; raise ValueError if it has none."""
    parts = urlsplit(url)
    if parts.scheme in ("unix", "redis+socket"):
        return Address(parts.path, 0, False)
    if not parts.hostname:
        raise ValueError("no host")
    return Address(parts.hostname, parts.port or PORT, parts.scheme == "rediss")


def ask(address: Address) -> dict[str, object]:
    """Return how long a Redis took to answer, in milliseconds, or its `fault`."""
    begun = time.monotonic()
    try:
        with contextlib.closing(connect(address)) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(100)
        fault = "" if answer[:1] in (b"+", b"-") else "closed without an answer" if not answer else "is no Redis"
        # It may load its data, or have lost its primary; that it wants a password is as good as PONG.
        if answer[:1] == b"-" and answer[1:7] not in (b"NOAUTH", b"NOPERM"):
            fault = answer[1:].split(b"\r")[0].decode(errors="replace")
    except OSError as error:
        fault = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
    took = round(1000 * (time.monotonic() - begun), 1)
    return {"address": str(address), "milliseconds": took, "fault": fault}


def connect(address: Address) -> socket.socket:
    """Return a connection; the certificate is not judged, since nothing secret is sent."""
    if not address.port:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(address.host)
        return connection
    connection = socket.create_connection((address.host, address.port), PATIENCE)
    if not address.tls:
        return connection
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname=address.host)


def ask_all(environment: str) -> list[dict[str, object]]:
    """Ask all Redises of an environment at once."""
    found = addresses(environment)
    if not found:
        return []
    with ThreadPoolExecutor(len(found)) as pool:
        return list(pool.map(ask, found))
