"""Where channels_redis looks for Redis, and that it notices one that is lost."""

import asyncio

import pytest
from channels_redis.utils import create_pool
from redis.exceptions import ConnectionError

from core.redis_host import Connection, TlsConnection, redis_host

SENTINELS = ["10.0.0.1:26379", "[fd00::2]:26379"]
RETRY = {"retry_on_error": [ConnectionError]}


def test_one_redis_is_its_address() -> None:
    address = "redis://user:word@redis:6379/2"
    assert redis_host(address, [], "", RETRY) == {"address": address, **RETRY}


@pytest.mark.parametrize(("scheme", "kind", "tls"), [("redis", Connection, False), ("rediss", TlsConnection, True)])
def test_sentinels_get_the_account_of_the_address(scheme: str, kind: type, tls: bool) -> None:
    host = redis_host(f"{scheme}://user:p%40ss@nowhere:6379/2", SENTINELS, "channels", RETRY)
    assert host["sentinels"] == [("10.0.0.1", 26379), ("fd00::2", 26379)] and host["master_name"] == "channels"
    assert (host["username"], host["password"], host["db"], host["connection_class"]) == ("user", "p@ss", 2, kind)
    asked = host["sentinel_kwargs"]
    assert (asked["username"], asked["password"], asked["ssl"]) == ("user", "p@ss", tls) and "db" not in asked
    assert "host" not in host and "port" not in host, "the address of one Redis would be used instead of the primary's"


async def test_lost_connection_is_noticed() -> None:
    """Although the kernel's word for it is a TimeoutError, which redis-py takes for the end of its own waiting."""
    connection = create_pool(redis_host("redis://user:word@nowhere", SENTINELS, "channels", {})).make_connection()
    connection._reader = asyncio.StreamReader()
    connection._reader.set_exception(TimeoutError("[Errno 110] Connection timed out"))
    with pytest.raises(ConnectionError, match="Errno 110"):
        await connection.read_response(timeout=0.01)
    assert not connection.is_connected
