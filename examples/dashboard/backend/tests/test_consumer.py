"""What a socket answers."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from socket import gethostname

import pytest
from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels.testing import WebsocketCommunicator
from redis.exceptions import ConnectionError

from dashboard import host
from dashboard.draining import generation_group
from dashboard.presence import EVERYONE, WATCHERS, roster

from .conftest import Connect


async def ask(socket: WebsocketCommunicator, request: object) -> dict:
    """Send ``request`` and return the next frame."""
    await socket.send_json_to(request)
    return await socket.receive_json_from()


async def test_silent_unless_asked(connect: Connect) -> None:
    first, second = await connect(), await connect("bob")
    assert await first.receive_nothing(timeout=0.3)
    assert await second.receive_nothing()


async def test_echo(connect: Connect) -> None:
    socket, other = await connect(), await connect("bob")
    assert await ask(socket, {"type": "echo", "text": "grüße 🎉"}) == {"type": "echo", "text": "grüße 🎉"}
    assert await other.receive_nothing()


async def test_message_reaches_everyone(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await alice.send_json_to({"type": "message", "text": "hello", "from": "mallory"})
    at_bob = await bob.receive_json_from()
    assert at_bob == await alice.receive_json_from()
    at = datetime.fromisoformat(at_bob.pop("at"))
    assert abs(datetime.now(UTC) - at) < timedelta(seconds=5)
    assert at_bob == {"type": "message", "text": "hello", "from": "alice"}


async def test_status(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASGI_INSTANCE", "20250301-1")
    status = await ask(await connect(), {"type": "status"})
    assert status["type"] == "status"
    assert status["host"] == gethostname() and status["process"] == "20250301-1"
    assert len(status["load"]) == 3
    assert status["cores"] >= 1
    assert status["uptime_seconds"] >= 0
    assert 0 < status["memory_percent"] < 100


async def test_status_without_proc(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASGI_INSTANCE", raising=False)
    monkeypatch.setattr(host, "MEMINFO", "/nowhere/meminfo")
    status = await ask(await connect(), {"type": "status"})
    assert "memory_percent" not in status
    assert ":" in status["process"]


async def test_census_has_one_answer_per_process(connect: Connect) -> None:
    asking, *others = [await connect(user) for user in ("alice", "bob", "carol")]
    await asyncio.sleep(0.05)  # their connects have been told
    answer = await ask(asking, {"type": "census"})
    process = {"host": gethostname(), "process": host.process_name()}
    assert answer == {"type": "presence", **process, "connections": 3}
    for each in (asking, *others):
        assert await each.receive_nothing(timeout=0.1)


async def test_one_socket_speaks_for_the_process(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    sockets = [await connect(user) for user in ("alice", "bob", "carol")]
    answers = []
    monkeypatch.setattr(roster, "announce", lambda: answers.append(1))
    await sockets[2].send_json_to({"type": "census"})
    await asyncio.sleep(0.2)
    assert len(answers) == 1


async def test_who_asked_hears_of_connects_and_disconnects(connect: Connect) -> None:
    watching = await connect()
    await asyncio.sleep(0.05)  # its own connect has been told
    await ask(watching, {"type": "census"})
    other = await connect("bob")
    assert (await watching.receive_json_from())["connections"] == 2
    await other.disconnect()
    assert (await watching.receive_json_from())["connections"] == 1


async def test_census_is_answered_after_the_first_socket_left(connect: Connect) -> None:
    first, second = await connect(), await connect("bob")
    await first.disconnect()
    assert (await ask(second, {"type": "census"}))["connections"] == 1


@pytest.mark.parametrize(
    "frame",
    [
        " ",
        "not JSON",
        "[" * 100_000,
        "[]",
        "null",
        "{}",
        '{"type": "nonsense"}',
        '{"type": ["echo"]}',
        '{"type": "echo"}',
        '{"type": "echo", "text": 5}',
        '{"type": "message", "text": null}',
        '{"type": "message", "text": "\\ud800"}',
        json.dumps({"type": "message", "text": "x" * 4001}),
    ],
    ids=lambda frame: frame[:40],
)
async def test_wrong_frame_leaves_the_socket_open(connect: Connect, frame: str) -> None:
    socket = await connect()
    await socket.send_to(text_data=frame)
    error = await socket.receive_json_from()
    assert error["type"] == "error"
    assert error["message"]
    assert await ask(socket, {"type": "echo", "text": "x" * 4000}) == {"type": "echo", "text": "x" * 4000}


async def test_binary_frame_leaves_the_socket_open(connect: Connect) -> None:
    socket = await connect()
    await socket.send_to(bytes_data=b"\x00\xff")
    assert (await socket.receive_json_from())["type"] == "error"
    assert (await ask(socket, {"type": "echo", "text": "on"}))["text"] == "on"


async def test_disconnect_leaves_the_groups(connect: Connect) -> None:
    socket = await connect()
    await ask(socket, {"type": "census"})
    assert set(get_channel_layer().groups) == {EVERYONE, WATCHERS, generation_group()}
    await socket.disconnect()
    assert get_channel_layer().groups == {}


async def test_socket_survives_a_channel_layer_that_is_away(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*args: object) -> None:
        raise ConnectionError("Error 111 connecting to 127.0.0.1:6379.")

    socket = await connect()
    monkeypatch.setattr(InMemoryChannelLayer, "group_send", away)
    monkeypatch.setattr(InMemoryChannelLayer, "group_discard", away)
    assert (await ask(socket, {"type": "message", "text": "lost"}))["type"] == "error"
    assert (await ask(socket, {"type": "echo", "text": "on"}))["text"] == "on"
    await socket.disconnect()  # raises what the consumer raised
