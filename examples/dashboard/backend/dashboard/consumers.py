"""The dashboard's WebSocket. README.md lists its messages."""

import asyncio
import json
import logging
import random
from datetime import UTC, datetime
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from dashboard.draining import DRAINED, generation_group
from dashboard.host import status
from dashboard.presence import EVERYONE, LAYER_ERRORS, WATCHERS, roster

logger = logging.getLogger(__name__)

MAX_TEXT = 4000


class BadRequest(Exception):
    """A frame that cannot be answered; its text tells the client why."""


class DashboardConsumer(AsyncJsonWebsocketConsumer):
    """One socket. It answers requests and passes group events on; it sends nothing of its own accord."""

    # The close that a drain has set for this socket; kept, because a task that nobody holds may be collected.
    leaving: asyncio.Task[None] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.joined: set[str] = set()

    async def __call__(self, *args: Any) -> None:
        """Run the socket to its end, however that comes: a send to a client that is gone ends it without disconnect().

        A group that is not left then keeps a member for as long as the channel layer's group_expiry, which is a day.
        """
        try:
            await super().__call__(*args)
        except Exception as error:  # a server's own, of which uvicorn logs none
            logger.info("ended: user=%r by %s", self.scope["user"], type(error).__name__)
            raise
        finally:
            roster.leave(self)
            await self.leave_groups()

    async def connect(self) -> None:
        """Accept the socket: the middleware has checked its origin and token."""
        await self.join(EVERYONE)
        await self.join(generation_group())
        await self.accept()
        roster.join(self)
        logger.info("connect: user=%r", self.scope["user"])

    async def disconnect(self, code: int) -> None:
        """Leave the groups."""
        logger.info("disconnect: user=%r code=%s", self.scope["user"], code)
        if self.leaving:
            self.leaving.cancel()
        await self.leave_groups()

    async def join(self, group: str) -> None:
        """Become a member of a group."""
        self.joined.add(group)
        await self.channel_layer.group_add(group, self.channel_name)

    async def leave_groups(self) -> None:
        """Leave each group that was joined and not left yet, also while the channel layer is away."""
        while self.joined:
            group = self.joined.pop()
            try:
                await self.channel_layer.group_discard(group, self.channel_name)
            except LAYER_ERRORS as error:
                logger.warning("group %s not left: %s", group, type(error).__name__)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Answer one frame. A wrong one gets an error, and the socket stays open."""
        try:
            await self.answer(parse(text_data))
        except BadRequest as error:
            await self.send_json({"type": "error", "message": str(error)})
        except LAYER_ERRORS as error:
            logger.warning("channel layer: %s", type(error).__name__)
            await self.send_json({"type": "error", "message": "The channel layer is not available; try again later."})

    async def answer(self, request: dict[str, Any]) -> None:
        """Do what ``request`` asks for; raise BadRequest if nothing here does."""
        match request.get("type"):
            case "echo":
                await self.send_json({"type": "echo", "text": text_of(request)})
            case "message":
                event = {
                    "type": "message",
                    "text": text_of(request),
                    "from": self.scope["user"],
                    "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                }
                await self.channel_layer.group_send(EVERYONE, event)
            case "status":
                await self.send_json({"type": "status", **status()})
            case "census":
                await self.join(WATCHERS)
                roster.census()
            case _:
                raise BadRequest("Unknown type: use echo, message, status or census.")

    async def message(self, event: dict[str, Any]) -> None:
        """Pass a message to the group on to the client."""
        await self.send_json(event)

    async def presence(self, event: dict[str, Any]) -> None:
        """Pass what a process said about itself on to the client."""
        await self.send_json(event)

    async def drain(self, event: dict[str, Any]) -> None:
        """Close this socket at a moment of its own within the spread, so that clients do not all come back at once."""
        self.leaving = self.leaving or asyncio.create_task(self.leave(random.uniform(0, event["spread"])))

    async def leave(self, seconds: float) -> None:
        """Close after some seconds; what comes in until then is answered."""
        await asyncio.sleep(seconds)
        self.leaving = None
        await self.close(DRAINED)

    async def census(self, event: dict[str, Any]) -> None:
        """Answer a census for the whole process, if it is this socket's turn."""
        if roster.speaks(self):
            roster.announce()


def parse(frame: str | None) -> dict[str, Any]:
    """Return the JSON object in a text frame; raise BadRequest if it holds none."""
    try:
        request = json.loads(frame or "")
    except (ValueError, RecursionError):
        raise BadRequest("Not JSON.") from None
    if not isinstance(request, dict):
        raise BadRequest("Not a JSON object.")
    return request


def text_of(request: dict[str, Any]) -> str:
    """Return the text of an echo or a message; raise BadRequest if there is none or if it cannot be passed on."""
    text = request.get("text")
    if not isinstance(text, str):
        raise BadRequest("The text must be a string.")
    if len(text) > MAX_TEXT:
        raise BadRequest(f"The text must not be longer than {MAX_TEXT} characters.")
    # JSON can spell half a surrogate pair, which the channel layer cannot encode.
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise BadRequest("The text must be valid Unicode.")
    return text
