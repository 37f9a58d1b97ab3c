"""Whether the service that keeps a repository answers at all.

restic itself tries again for a quarter of an hour, and a playbook that runs it shows nothing meanwhile.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443}
PROXIES = {"http_proxy", "https_proxy", "all_proxy"}
#: How long a service may be away, for example while it restarts, and how long one try may take, in seconds.
PATIENCE, TRY = 30.0, 10.0


def service(repository: str, variables: Iterable[str] = ()) -> tuple[str, int] | None:
    """Return the host and the port of a REST or S3 repository.

    None if there is no telling: ssh gives up by itself, and a proxy, which these environment variables may name, has
    its own way to a service.
    """
    kind, _, place = repository.partition(":")
    if kind not in ("rest", "s3") or PROXIES & {name.lower() for name in variables}:
        return None
    # As restic reads it: rest:URL, s3:URL, s3:SERVER/BUCKET or s3://SERVER/BUCKET, which means https.
    address = urlsplit(place if place.startswith(("http://", "https://")) else f"https://{place.lstrip('/')}")
    try:
        return (address.hostname, address.port or PORTS[address.scheme]) if address.hostname else None
    except ValueError:  # no port at all; restic says so better
        return None


def fault(host: str, port: int, patience: float = PATIENCE) -> str:
    """Try to connect until it succeeds; return why it does not, or nothing."""
    deadline = time.monotonic() + patience
    while True:
        try:
            socket.create_connection((host, port), TRY).close()
        except OSError as error:
            why = f"{host}, port {port}: {error.strerror or error}"
        else:
            return ""
        if time.monotonic() > deadline:
            return why
        time.sleep(min(3.0, max(0.1, patience)))
