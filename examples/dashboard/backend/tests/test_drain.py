"""Clients leave the generation that is drained, and no other."""

import asyncio
import time

import pytest
from channels.testing import WebsocketCommunicator
from django.core.management import call_command

from .conftest import Connect


async def close_code(socket: WebsocketCommunicator) -> int:
    """Return the code that a socket is closed with."""
    event = await socket.receive_output(timeout=5)
    assert event["type"] == "websocket.close"
    return event["code"]


async def test_only_its_own_generation_leaves(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASGI_GENERATION", "old-1")
    old = [await connect(f"user{number}") for number in range(4)]
    monkeypatch.setenv("ASGI_GENERATION", "new-1")
    new = await connect("bob")
    monkeypatch.setenv("ASGI_GENERATION", "old-1")
    await asyncio.to_thread(call_command, "drain", "--spread", "0.2")
    assert [await close_code(socket) for socket in old] == [4503] * 4
    monkeypatch.setenv("ASGI_GENERATION", "new-1")
    await new.send_json_to({"type": "echo", "text": "still here"})
    assert await new.receive_json_from() == {"type": "echo", "text": "still here"}


async def test_clients_leave_one_after_another(connect: Connect) -> None:
    sockets = [await connect(f"user{number}") for number in range(8)]
    await asyncio.to_thread(call_command, "drain", "--spread", "1")

    async def closed_at(socket: WebsocketCommunicator) -> float:
        assert await close_code(socket) == 4503
        return time.monotonic()

    moments = await asyncio.gather(*map(closed_at, sockets))
    assert max(moments) - min(moments) > 0.2


async def test_answers_until_it_leaves(connect: Connect) -> None:
    socket = await connect()
    await asyncio.to_thread(call_command, "drain", "--spread", "30")
    await socket.send_json_to({"type": "echo", "text": "busy"})
    assert await socket.receive_json_from() == {"type": "echo", "text": "busy"}
