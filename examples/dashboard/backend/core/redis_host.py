"""How channels_redis reaches Redis: at one address, or wherever Sentinels say that the primary is."""

from __future__ import annotations

import socket
from typing import Any

from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

# A machine that is lost says nothing any more, and its connections do not break by themselves. The kernel gives them up
# after five seconds: those that send, and with probes those that only wait for messages.
NOTICE = {
    "socket_connect_timeout": 1,
    "socket_keepalive": True,
    "socket_keepalive_options": {
        socket.TCP_KEEPIDLE: 2,
        socket.TCP_KEEPINTVL: 1,
        socket.TCP_KEEPCNT: 3,
        socket.TCP_USER_TIMEOUT: 5000,  # milliseconds
    },
}


def redis_host(url: str, sentinels: list[str], master_name: str, retry: dict[str, Any]) -> dict[str, Any]:
    """Return a host for channels_redis. User, password, database and TLS are those of the URL, also for Sentinels.

    A Sentinel that does not answer within a second is not asked twice: there are others.
    """
    if not sentinels:
        return {"address": url, **retry}
    parts = parse_url(url)
    tls = parts.pop("connection_class", None) is SSLConnection
    del parts["host"]
    parts.pop("port", None)
    account = {name: value for name, value in parts.items() if name != "db"}
    at_sentinel = {"socket_timeout": 1, "socket_connect_timeout": 1, "retry": Retry(NoBackoff(), 0)}
    pairs = (sentinel.rpartition(":") for sentinel in sentinels)
    return {
        "sentinels": [(name.strip("[]"), int(port)) for name, _, port in pairs],
        "master_name": master_name,
        "sentinel_kwargs": {**account, "ssl": tls, **at_sentinel},
        "ssl": tls,
        **parts,
        **NOTICE,
        **retry,
    }
