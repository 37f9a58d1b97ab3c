"""Clients for one address, run on the host itself; prints figures as JSON. Standard library only, since hosts run it.

    client.py rates TARGET TOKEN SECONDS       handshakes a second, then echoes a second and their times on 100 sockets
    client.py idle TARGET TOKEN SOCKETS        open sockets that stay silent; says "open", and ends with its input

TARGET is HOST:PORT or the path of a unix socket.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import resource
import statistics
import sys
import time

AT_ONCE = 20  # handshakes under way
ECHOING = 100  # sockets
MASK = bytes(4)  # zeros are a valid mask; the server unmasks as usual


async def shake(target: str, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a WebSocket; raise ConnectionError if it is refused."""
    if target.startswith("/"):
        reader, writer = await asyncio.open_unix_connection(target)
    else:
        host, _, port = target.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /ws/dashboard/?token={token} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    answer = await reader.readuntil(b"\r\n\r\n")
    if b" 101 " not in answer.split(b"\r\n")[0]:
        raise ConnectionError(answer.decode(errors="replace"))
    return reader, writer


def frame(text: str) -> bytes:
    """Return a text of fewer than 126 bytes as a client's frame."""
    return bytes([0x81, 0x80 | len(text)]) + MASK + text.encode()


async def receive(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the kind (RFC 6455, 5.2) of the next frame, and its content."""
    head = await reader.readexactly(2)
    length = head[1] & 0x7F
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    return head[0] & 0x0F, await reader.readexactly(length)


async def handshakes(target: str, token: str, seconds: float) -> float:
    """Return how many sockets were opened and closed per second."""
    ending, done = time.monotonic() + seconds, 0

    async def one_after_another() -> None:
        nonlocal done
        while time.monotonic() < ending:
            _, writer = await shake(target, token)
            writer.close()
            done += 1

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
    return done / seconds


async def echoes(target: str, token: str, seconds: float) -> dict[str, float]:
    """Return how many echoes came per second, if each socket asks again at once, and how many ms each one took."""
    opened = [await shake(target, token) for _ in range(ECHOING)]
    ending, taken = time.monotonic() + seconds, []
    ask = frame('{"type": "echo", "text": "abcdefgh"}')

    async def ask_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (begun := time.monotonic()) < ending:
            writer.write(ask)
            while b'"echo"' not in (await receive(reader))[1]:
                pass
            taken.append((time.monotonic() - begun) * 1000)

    await asyncio.gather(*(ask_on(*pair) for pair in opened))
    for _, writer in opened:
        writer.close()
    cuts = statistics.quantiles(taken, n=100)
    return {"echoes": len(taken) / seconds, "p50": cuts[49], "p99": cuts[98]}


async def idle(target: str, token: str, number: int) -> None:
    """Hold silent sockets until the input ends; they answer pings as a browser does."""
    alive = number

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal alive
        try:
            while True:
                kind, payload = await receive(reader)
                if kind == 0x9:
                    writer.write(bytes([0x8A, 0x80 | len(payload)]) + MASK + payload)
        except (EOFError, OSError):
            alive -= 1

    held: list[asyncio.Task[None]] = []
    while len(held) < number:
        opened = await asyncio.gather(*(shake(target, token) for _ in range(min(AT_ONCE, number - len(held)))))
        held += [asyncio.create_task(hold(*pair)) for pair in opened]
    print("open", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps({"open": alive}), flush=True)
    os._exit(0)  # the sockets end with the process


async def main(what: str, target: str, token: str, number: str) -> None:
    """Do as the command line says."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if what == "idle":
        await idle(target, token, int(number))
        return
    rate = await handshakes(target, token, float(number))
    print(json.dumps({"handshakes": rate, **await echoes(target, token, float(number))}))


asyncio.run(main(*sys.argv[1:]))
