"""How channels_redis reaches Redis: at one address, or wherever Sentinels say that the primary is."""

from __future__ import annotations

import re
import socket
from typing import Any

from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError

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


class FindsPrimary:
    """A connection that was lost is noticed, and opened again to the Redis that is the primary by then."""

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read an answer; raise ConnectionError if none can come any more.

        redis-py 7 takes the kernel's ETIMEDOUT for the end of its own waiting: both are TimeoutError since Python 3.11.
        The pub/sub layer then asks again at once and for ever, and the process does nothing else.
        """
        lost = self._reader.exception() if self._reader else None
        if lost:
            await self.disconnect(nowait=True)
            raise ConnectionError(f"The connection was lost: {lost}")
        return await super().read_response(*args, **options)

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        """Ask Sentinels first. To send a command, redis-py 7 goes back to the address of before, which may be lost."""
        if retry_socket_connect:
            await self.connect()
        else:
            await super().connect_check_health(check_health, retry_socket_connect)


class Connection(FindsPrimary, SentinelManagedConnection):
    """Without TLS."""


class TlsConnection(FindsPrimary, SentinelManagedSSLConnection):
    """With TLS."""


def redis_hosts(urls: str, sentinels: list[str], master_name: str, retry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return channels_redis's hosts, one for each URL. There are commas between them; a password may have one, too."""
    return [redis_host(url, sentinels, master_name, retry) for url in re.split(r",(?=rediss?://)", urls)]


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
        "connection_class": TlsConnection if tls else Connection,
        **parts,
        **NOTICE,
        **retry,
    }
