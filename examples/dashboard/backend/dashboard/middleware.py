"""What a WebSocket handshake must show before it is accepted. A refused one gets HTTP 403."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import ParseResult, parse_qs

import jwt
from channels.security.websocket import OriginValidator

from dashboard import tokens

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class HostOriginValidator(OriginValidator):
    """
    Refuses the pages of other hosts.

    A handshake without an Origin passes: only a browser can be made to connect by a foreign page, and a browser always
    sends it. Scripts and monitors do not.
    """

    def valid_origin(self, parsed_origin: ParseResult | None) -> bool:
        """Return whether the origin is absent or one of the allowed hosts."""
        if parsed_origin is None:
            return True
        allowed = self.validate_origin(parsed_origin)
        if not allowed:
            logger.info("refused: foreign origin %r", parsed_origin.hostname)
        return allowed


class TokenMiddleware:
    """Puts the user that the token in ``?token=`` names into the scope, or refuses the handshake."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the token, then hand over to the application."""
        query = parse_qs(scope["query_string"].decode("utf-8", "replace"))
        try:
            user = tokens.read(query.get("token", [""])[-1])
        except jwt.InvalidTokenError as error:
            # The class only: nothing of the token may reach the log.
            logger.info("refused: %s", type(error).__name__)
            await receive()
            await send({"type": "websocket.close"})
            return
        await self.application({**scope, "user": user}, receive, send)
