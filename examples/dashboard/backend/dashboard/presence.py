"""How many sockets are open, told by each process to the sockets that asked."""

import asyncio
import logging
from collections.abc import Callable
from socket import gethostname
from typing import Any

from channels.exceptions import ChannelFull
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from dashboard.host import process_name

logger = logging.getLogger(__name__)

EVERYONE = "dashboard"
WATCHERS = "dashboard.presence"
# What sending through the channel layer can raise while Redis is away or a queue is full.
LAYER_ERRORS = (RedisError, OSError, ChannelFull)
# Seconds in which many changes become one event: a thousand clients that reconnect at once are one of them.
PAUSE = 0.25


class Roster:
    """
    The open sockets of this process.

    Nothing is sent periodically: a process speaks after a connect or disconnect of its own, and after a census.
    """

    def __init__(self) -> None:
        self._sockets: dict[object, None] = {}
        self._waiting: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, socket: object) -> None:
        """Count ``socket`` and tell the watchers."""
        self._sockets[socket] = None
        self.announce()

    def leave(self, socket: object) -> None:
        """Stop counting ``socket`` and tell the watchers; do nothing if it was not counted."""
        if socket in self._sockets:
            del self._sockets[socket]
            self.announce()

    def speaks(self, socket: object) -> bool:
        """Return whether ``socket`` is the one that answers for this process: every socket hears a census."""
        return next(iter(self._sockets), None) is socket

    def announce(self) -> None:
        """Tell the watchers of every process how many sockets this one has."""
        self._soon(WATCHERS, self._presence)

    def _presence(self) -> dict[str, Any]:
        """Return what the watchers are told."""
        return {
            "type": "presence",
            "host": gethostname(),
            "process": process_name(),
            "connections": len(self._sockets),
        }

    def census(self) -> None:
        """Have every process announce itself."""
        self._soon(EVERYONE, lambda: {"type": "census"})

    def _soon(self, group: str, event: Callable[[], dict[str, Any]]) -> None:
        """Send ``event`` to ``group`` after the pause, unless one is waiting for it already."""
        if group in self._waiting:
            return
        self._waiting.add(group)
        # A task that nothing refers to may be collected before it ends.
        task = asyncio.create_task(self._send(group, event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, group: str, event: Callable[[], dict[str, Any]]) -> None:
        try:
            await asyncio.sleep(PAUSE)
        finally:
            self._waiting.discard(group)
        try:
            await get_channel_layer().group_send(group, event())
        except LAYER_ERRORS as error:
            logger.warning("presence not sent: %s", type(error).__name__)


roster = Roster()
