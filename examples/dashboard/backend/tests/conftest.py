"""Fixtures: sockets that close themselves, and a fresh channel layer for each test."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from channels.layers import channel_layers
from channels.testing import WebsocketCommunicator

from core.asgi import application
from dashboard import presence, tokens

Connect = Callable[..., Awaitable[WebsocketCommunicator]]


@pytest.fixture(autouse=True)
def fresh_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each test without groups, and do not wait long for presence."""
    channel_layers.backends.clear()
    monkeypatch.setattr(presence, "PAUSE", 0.01)


def communicator(token: str | None, origin: str | None = None) -> WebsocketCommunicator:
    """Return a handshake with ``token`` and ``origin``, not yet sent."""
    query = "" if token is None else f"?token={token}"
    headers = [] if origin is None else [(b"origin", origin.encode())]
    return WebsocketCommunicator(application, f"/ws/dashboard/{query}", headers=headers)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Return a function that opens a socket for a user; what it opened is closed after the test."""
    sockets = []

    async def open_socket(user: str = "alice") -> WebsocketCommunicator:
        socket = communicator(tokens.mint(user, 60))
        accepted, _ = await socket.connect()
        assert accepted
        sockets.append(socket)
        return socket

    yield open_socket
    for socket in sockets:
        await socket.disconnect()
