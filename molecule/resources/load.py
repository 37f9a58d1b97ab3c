#!/usr/bin/env python3
"""Clients of several hosts at once, who notice everything that goes wrong; run beside a deploy, it says what that cost.

    load.py --token TOKEN --report FILE [--sockets 100] [--rate 5] [--seconds 600] [--ca FILE] NAME=[ADDRESS:]PORT…

A place without an address is a port of this machine. The name that is asked for is always localhost. For each place:
sockets that stay open and send a numbered echo every other second, handshakes and requests at a rate. The report holds
figures, failures, closings, what was open at the end, when each message was sent, and over time the handshakes'
latencies and the sockets that were open on each generation.
For all of them: one message a second, which each open socket must get once. A socket that is closed is noted and opened
again, as a browser's would be. Prints "ready" when all are open. SIGUSR1 opens a tenth more; SIGTERM (or the end of
--seconds) ends the run and writes the report. Timeouts are 60 s: slowness is no failure here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import signal
import ssl
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

TIMEOUT = 60.0  # seconds
ECHO_SECONDS = 2.0
JOINING = 1.0  # seconds after a handshake in which a message may be too early for the socket: see join()
UNDECIDED = 10.0  # seconds before a socket's end in which a message to it may still have been on its way
AT_ONCE = 60  # handshakes and requests that may be in progress, for each kind and host
PREFIX = "load "


class Load:
    """What all clients share: the hosts, the numbered messages, and what they noticed."""

    def __init__(self, places: dict[str, tuple[str, int]], token: str, ca: str = "") -> None:
        self.places, self.token = places, token
        self.tls = ssl.create_default_context(cafile=ca) if ca else None
        self.stopping = asyncio.Event()
        self.figures = dict.fromkeys(("handshakes", "requests", "echoes", "messages", "deliveries", "reopened"), 0)
        self.latencies: list[tuple[float, float]] = []  # when a handshake began, and how many milliseconds it took
        self.samples: list[tuple[float, dict[str, int]]] = []  # when, and the sockets open on each generation
        self.failures: list[dict[str, Any]] = []
        self.closings: list[dict[str, Any]] = []
        self.sent: list[float] = []  # when each message was sent: its number is its index
        self.open: set[Socket] = set()

    def fail(self, host: str, what: str, why: object, begun: float = 0) -> None:
        """Note a failure, and when what failed began; an exception without a text is shown as its class."""
        told = f"{type(why).__name__}: {why}" if isinstance(why, Exception) else str(why)
        now = time.time()
        self.failures.append({"at": now, "begun": begun or now, "host": host, "what": what, "why": told})

    def connect(self, host: str) -> connect:
        """Return a handshake with a host, to be awaited."""
        address, port = self.places[host]
        return connect(
            f"{'wss' if self.tls else 'ws'}://localhost:{port}/ws/dashboard/?token={self.token}", host=address,
            ssl=self.tls, open_timeout=TIMEOUT, close_timeout=5, ping_interval=None, compression=None, proxy=None,
        )  # fmt: skip

    async def pause(self, seconds: float) -> bool:
        """Wait, and tell whether the run continues."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
        return not self.stopping.is_set()


class Socket:
    """A socket that stays open: an echo every other second, and all messages, each once and in order."""

    def __init__(self, load: Load, host: str, websocket: ClientConnection) -> None:
        self.load, self.host, self.websocket = load, host, websocket
        self.process = self.machine = "?"
        self.opened = time.time()
        self.next = len(load.sent)  # the first message that is sent after the handshake
        self.asked: dict[str, float] = {}  # echoes without an answer, and when they were sent

    @property
    def generation(self) -> str:
        """The generation of the process that holds the socket, as the process says."""
        return self.process.rpartition("-")[0]

    async def live(self) -> None:
        """Send and receive until the socket or the run ends."""
        asking = asyncio.create_task(self.ask())
        try:
            async for frame in self.websocket:
                self.take(json.loads(frame))
        except ConnectionClosed:
            pass
        finally:
            asking.cancel()
        if not self.load.stopping.is_set():
            self.closed()

    async def ask(self) -> None:
        """Send a numbered echo, again and again."""
        with contextlib.suppress(ConnectionClosed):
            await self.websocket.send('{"type": "status"}')
            number = 0
            while await self.load.pause(ECHO_SECONDS):
                number += 1
                self.asked[str(number)] = time.time()
                await self.websocket.send(json.dumps({"type": "echo", "text": str(number)}))
                self.judge_echoes()

    def take(self, frame: dict[str, Any]) -> None:
        """Handle a frame from the host."""
        if frame["type"] == "status":
            self.process, self.machine = frame["process"], frame.get("host", "?")
        elif frame["type"] == "echo":
            if self.asked.pop(frame["text"], None) is None:
                self.load.fail(self.host, "echo", f"answer {frame['text']} was not asked for, or came twice")
            self.load.figures["echoes"] += 1
        elif frame["type"] == "message" and frame["text"].startswith(PREFIX):
            self.take_message(int(frame["text"].removeprefix(PREFIX)))
        elif frame["type"] == "error":
            self.load.fail(self.host, "echo", frame["message"])

    def take_message(self, number: int) -> None:
        """Handle a message: it must be the one after the last."""
        self.load.figures["deliveries"] += 1
        if missing := self.due(range(self.next, number)):
            self.load.fail(self.host, "message", f"{missing} never came to a socket of {self}")
        elif number < self.next and self.sent_since_opened(number):
            self.load.fail(self.host, "message", f"{number} came twice, or after a later one, on {self}")
        self.next = max(self.next, number + 1)

    def due(self, numbers: range, until: float = math.inf) -> list[int]:
        """Return which messages the socket should have received: sent after it was opened, and before a moment."""
        begin = self.opened + JOINING
        return [number for number in numbers if begin < self.load.sent[number] < until]

    def sent_since_opened(self, number: int) -> bool:
        """Tell whether a message was sent after the handshake: an earlier one may arrive too, but need not."""
        return number < len(self.load.sent) and self.load.sent[number] > self.opened

    def judge_echoes(self) -> None:
        """Note echoes that have waited too long, once each."""
        for text, since in list(self.asked.items()):
            if time.time() - since > TIMEOUT:
                del self.asked[text]
                self.load.fail(self.host, "echo", f"{text} was not answered within {TIMEOUT:.0f} s by {self}")

    def __str__(self) -> str:
        """The process that holds the socket, and its machine, as the process says."""
        return f"{self.process} on {self.machine}"

    @property
    def whereabouts(self) -> dict[str, str]:
        """The place that was connected to, and the machine and process behind it that hold the socket."""
        return {"host": self.host, "machine": self.machine, "process": self.process}

    def closed(self) -> None:
        """Note the end of this socket, and what it should have received before that."""
        now = time.time()
        self.load.closings.append({"at": now, "code": self.websocket.close_code} | self.whereabouts)
        self.judge_messages(now - UNDECIDED)

    def judge_messages(self, until: float) -> None:
        """Note messages that were sent before a moment and never arrived."""
        if missing := self.due(range(self.next, len(self.load.sent)), until):
            self.load.fail(self.host, "message", f"{missing} never came to a socket of {self}")


async def hold(load: Load, host: str, opened: Callable[[], None]) -> None:
    """Keep a socket open on a host, and open it again if it is closed."""
    first = True
    while not load.stopping.is_set():
        begun = time.time()
        try:
            websocket = await load.connect(host)
        except Exception as error:
            load.fail(host, "handshake", error, begun)
            await load.pause(1)
            continue
        load.figures["handshakes"] += 1
        load.figures["reopened"] += not first
        if first:
            opened()
        first = False
        held = Socket(load, host, websocket)
        load.open.add(held)
        try:
            await held.live()
        finally:
            load.open.discard(held)


async def regularly(load: Load, interval: float, host: str, job: Callable[[Load, str], Awaitable[None]]) -> None:
    """Do a job at a rate, with a limited number at once, and wait for the last ones."""
    running: set[asyncio.Task[None]] = set()
    while await load.pause(interval):
        if len(running) < AT_ONCE:
            task = asyncio.create_task(job(load, host))
            running.add(task)
            task.add_done_callback(running.discard)
    if running:
        await asyncio.wait(running, timeout=TIMEOUT)


async def shake(load: Load, host: str) -> None:
    """Open a socket, get an echo, close it."""
    begun = time.time()
    try:
        async with asyncio.timeout(TIMEOUT), load.connect(host) as websocket:
            load.latencies.append((begun, 1000 * (time.time() - begun)))
            await websocket.send('{"type": "echo", "text": "new"}')
            async for frame in websocket:
                if json.loads(frame) == {"type": "echo", "text": "new"}:
                    break
            else:
                raise ConnectionError("closed before its echo came")
        load.figures["handshakes"] += 1
    except Exception as error:
        load.fail(host, "handshake", error, begun)


async def request(load: Load, host: str) -> None:
    """Request the project's page, not its health, which fails if the machine is so busy that Redis is late."""
    begun = time.time()
    try:
        async with asyncio.timeout(TIMEOUT):
            name = "localhost" if load.tls else None
            reader, writer = await asyncio.open_connection(*load.places[host], ssl=load.tls, server_hostname=name)
            try:
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
            finally:
                writer.close()
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(answer[:300].decode(errors="replace") or "closed without an answer")
        load.figures["requests"] += 1
    except Exception as error:
        load.fail(host, "request", error, begun)


async def broadcast(load: Load) -> None:
    """Send a numbered message each second over a new socket, to each host in turn, and wait until it comes back."""
    hosts = list(load.places)
    while await load.pause(1):
        number = len(load.sent)
        host = hosts[number % len(hosts)]
        step, begun = "no handshake", time.time()
        try:
            async with asyncio.timeout(TIMEOUT), load.connect(host) as websocket:
                step = "no message came back after the handshake"
                await join(websocket)
                load.sent.append(time.time())
                step = f"message {number} did not come back"
                await websocket.send(json.dumps({"type": "message", "text": f"{PREFIX}{number}"}))
                await come_back(websocket, f"{PREFIX}{number}")
                step = "no end"
            load.figures["messages"] += 1
            load.figures["handshakes"] += 1
        except TimeoutError:
            load.fail(host, "broadcast", f"{step} within {TIMEOUT:.0f} s", begun)
        except Exception as error:
            load.fail(host, "broadcast", error, begun)


async def join(websocket: ClientConnection) -> None:
    """Send messages that nobody counts until one comes back: then Redis knows of the socket's process.

    channels_redis's pub/sub layer does not wait for that, so a message may come too early for the first socket of a
    process (seen 6 ms after its handshake, with a Redis on another host and a busy machine).
    """
    while True:
        text = f"hello from {uuid.uuid4()}"
        await websocket.send(json.dumps({"type": "message", "text": text}))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                return await come_back(websocket, text)


async def come_back(websocket: ClientConnection, text: str) -> None:
    """Wait for a message; raise ConnectionError if the socket ends before."""
    async for frame in websocket:
        if json.loads(frame).get("text") == text:
            return
    raise ConnectionError("closed before its message came back")


async def sample(load: Load) -> None:
    """Note twice a second how many sockets each generation has open."""
    while await load.pause(0.5):
        load.samples.append((time.time(), Counter(held.generation for held in load.open if held.generation)))


async def finish(load: Load) -> None:
    """Wait until each open socket has the last message, or long enough; then note what is missing and close."""
    deadline = time.monotonic() + TIMEOUT
    while any(held.next < len(load.sent) or held.process == "?" for held in load.open):
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    for held in load.open:
        held.judge_messages(time.time())
    await asyncio.gather(*(held.websocket.close() for held in list(load.open)), return_exceptions=True)


async def run(load: Load, sockets: int, rate: float, seconds: float) -> dict[str, Any]:
    """Run all clients until somebody ends the run; return what they noticed."""
    loop = asyncio.get_running_loop()
    holders: set[asyncio.Task[None]] = set()
    ready = asyncio.Semaphore(0)

    def add(number: int) -> None:
        for host in load.places:
            for _ in range(number):
                holders.add(asyncio.create_task(hold(load, host, ready.release)))

    loop.add_signal_handler(signal.SIGTERM, load.stopping.set)
    loop.add_signal_handler(signal.SIGUSR1, lambda: add(max(1, sockets // 10)))
    loop.call_later(seconds, load.stopping.set)
    for _ in range(0, sockets, 5):  # a few at a time, as clients come
        add(min(5, sockets))
        await asyncio.sleep(0.1)
    for _ in range(len(holders)):
        await asyncio.wait_for(ready.acquire(), 2 * TIMEOUT)
    print("ready", flush=True)
    clients = [broadcast(load), sample(load)]
    for host in load.places:
        clients += [regularly(load, 1 / rate, host, shake), regularly(load, 1 / rate, host, request)]
    await asyncio.gather(*clients)
    still_open = [held.whereabouts for held in load.open]
    await finish(load)
    for task in holders:
        task.cancel()
    return {
        "figures": load.figures, "failures": load.failures, "closings": load.closings, "open": still_open,
        "latencies": load.latencies, "samples": load.samples, "sent": load.sent,
    }  # fmt: skip


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hosts", nargs="+", metavar="NAME=[ADDRESS:]PORT")
    parser.add_argument("--token", required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--sockets", type=int, default=100)
    parser.add_argument("--rate", type=float, default=5)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--ca", default="", help="connect with TLS, and trust this authority")
    given = parser.parse_args()
    places = {}
    for name, _, place in (pair.partition("=") for pair in given.hosts):
        address, _, port = place.rpartition(":")
        places[name] = (address or "localhost", int(port))

    async def whole() -> dict[str, Any]:
        return await run(Load(places, given.token, given.ca), given.sockets, given.rate, given.seconds)

    given.report.write_text(json.dumps(asyncio.run(whole())))


if __name__ == "__main__":
    main()
