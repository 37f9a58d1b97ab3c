"""WebSockets open for clients that may, stay closed for all others, and carry messages through every process."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter

import pytest
from lab_host import LabHost, ask, deliver, echoes
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async

# Two processes: more than 256 sockets each, which is the limit of open files for a service on some machines.
MANY = 600
SILENCE = 10  # seconds; twice as long as the known faults take to show
REACHABLE = """
import json, socket, sys
found = {}
for target in sys.argv[1:]:
    address, _, port = target.rpartition(":")
    try:
        socket.create_connection((address, int(port)), 2).close()
        found[port] = "accepted"
    except OSError as error:
        found[port] = type(error).__name__
print(json.dumps(found))
"""


def test_good_token_opens_a_socket(lab: LabHost) -> None:
    """A handshake like a browser's ends in 101, and the socket echoes."""
    with lab.connect(origin=f"http://localhost:{lab.port}") as websocket:
        assert websocket.response.status_code == 101
        assert echoes(websocket, "grüß Gott ✓"), "the socket opened, but what it echoed is not what was sent"


@pytest.mark.parametrize("kind", ["none", "empty", "bad", "expired"])
def test_no_other_token_does(lab: LabHost, kind: str) -> None:
    """A token that is missing, altered or expired is refused with 403 before the socket is accepted."""
    good = lab.token()
    middle = len(good) - 12  # in the signature
    tokens = {
        "none": lambda: None,
        "empty": lambda: "",
        "bad": lambda: good[:middle] + ("A" if good[middle] != "A" else "B") + good[middle + 1 :],
        "expired": lambda: lab.token(seconds=-60),
    }
    status = lab.refusal(tokens[kind]())
    assert status == 403, f"a handshake with {kind} token got {status}"


@pytest.mark.parametrize("origin", ["https://foreign.invalid", "null", "http://localhost.foreign.invalid"])
def test_foreign_pages_open_none(lab: LabHost, origin: str) -> None:
    """A page on another site gets 403 even with a good token."""
    status = lab.refusal(origin=origin)
    assert status == 403, f"a handshake with a good token and Origin {origin} got {status}"


def test_long_tokens_work_up_to_an_edge(lab: LabHost) -> None:
    """A token of 11 kB passes, and so does one of 8 kB with 3 kB of cookies; longer ones get 414 or 431 from nginx."""
    longest, long = lab.token("u" * 8150), lab.token("u" * 5900)
    assert 11_000 < len(longest) < 11_500 and 8000 < len(long) < 8200, "the tokens prove something else"
    cookies = {size: {"additional_headers": {"Cookie": "c" * size}} for size in (3000, 5000)}
    for token, options in ((longest, {}), (long, cookies[3000])):
        with lab.connect(token, **options) as websocket:
            assert echoes(websocket)
    assert lab.refusal(longest + "u" * 1500) == 414
    assert lab.refusal(long, **cookies[5000]) == 431
    # The server accepts the most that nginx lets through.
    most = {f"X_{number}": "c" * 990 for number in range(14)}
    assert lab.get("/health/", **most)[0] == 200
    status, _, body = lab.get("/health/", **most, X_Last="c" * 1500)
    assert status == 431 and "large_client_header_buffers 1 12k" in body


def test_message_reaches_another_process(lab: LabHost) -> None:
    """A message from one client reaches a client whose socket is in another process."""
    with lab.socket_on_each_process() as sockets:
        sender, receiver = list(sockets.values())[:2]
        text = f"from {lab.name} at {time.time()}"
        assert deliver(text, sender, receiver)["from"] == "tester"


def test_many_sockets_at_once(lab: LabHost) -> None:
    """Many sockets that are open at once all echo, and each process holds more than 256 of them."""

    async def carry() -> list[str]:
        gate = asyncio.Semaphore(30)
        opened = await asyncio.gather(*(one(gate) for _ in range(MANY)))
        try:
            return await asyncio.gather(*(status_of(websocket, str(n)) for n, websocket in enumerate(opened)))
        finally:
            await asyncio.gather(*(websocket.close() for websocket in opened))

    async def one(gate: asyncio.Semaphore) -> ClientConnection:
        async with gate:
            return await connect_async(lab.url(lab.token()), proxy=None, ping_interval=None, open_timeout=30)

    async def status_of(websocket: ClientConnection, text: str) -> str:
        await websocket.send(json.dumps({"type": "echo", "text": text}))
        await websocket.send(json.dumps({"type": "status"}))
        async with asyncio.timeout(30):
            echo, status = [json.loads(await websocket.recv()) for _ in range(2)]
        assert echo == {"type": "echo", "text": text}, f"socket {text} echoed {echo}"
        return status["process"]

    held = Counter(asyncio.run(carry()))
    assert sum(held.values()) == MANY
    assert min(held.values()) > 256 and len(held) == len(lab.live["instances"]), (
        f"processes hold {dict(held)} of {MANY}"
    )


def test_silent_socket_stays_open(lab: LabHost) -> None:
    """Sockets stay open while nothing is sent for ten seconds, not even a ping."""
    with lab.socket_on_each_process() as sockets:
        for process, websocket in sockets.items():
            with pytest.raises(TimeoutError):
                came = websocket.recv(timeout=SILENCE if websocket is next(iter(sockets.values())) else 0)
                pytest.fail(f"the socket on {process} was silent, and got {came!r}")
        for process, websocket in sockets.items():
            assert echoes(websocket), f"the socket on {process} does not echo after {SILENCE} s of silence"


def test_local_port_answers_on_the_host(lab: LabHost) -> None:
    """On the host itself, ws://localhost:8000 opens a socket that echoes."""
    with lab.tunnel("localhost:8000") as port, lab.connect(port=port) as websocket:
        assert echoes(websocket)


def test_only_the_edge_is_on_the_network(lab: LabHost) -> None:
    """At the host's own address, nginx's port answers, for IPv6 too; its local port and Redis don't."""
    address = lab.run("hostname -I").split()[0]
    found = json.loads(lab.python(REACHABLE, f"{address}:80", f"{address}:8000", f"{address}:6379"))
    assert found == {"80": "accepted", "8000": "ConnectionRefusedError", "6379": "ConnectionRefusedError"}, address
    # A container may have no IPv6 address to try.
    assert re.search(r": 0{32}:0050 \S+ 0A ", lab.run("cat /proc/net/tcp6")), "nothing listens on port 80 of IPv6"


def test_sockets_spread_over_processes(lab: LabHost) -> None:
    """Each process gets some of ten sockets, so that no process is idle while another is busy."""
    opened = [lab.connect() for _ in range(10)]
    try:
        held = Counter(ask(websocket, {"type": "status"})["process"] for websocket in opened)
    finally:
        for websocket in opened:
            websocket.close()
    assert held.keys() == set(lab.live["instances"]), f"of 10 sockets, processes hold {dict(held)}"
