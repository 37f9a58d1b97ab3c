#!/usr/bin/env python3
"""Take the sockets of many clients at once on a lab host, let them come back as the example's page does, and measure.

    storm.py NAME [--clients N] [--seed N] [--limit R] [--burst N]

NAME is a lab host with the example project. Its nginx is restarted, which ends all sockets and refuses new ones for a
moment. Prints as JSON what was measured, and what the simulation of plugins/module_utils/capacity/storm.py makes of the
rate that was measured just before and of that moment. Standard library only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rig import ssh

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.channels.stack.plugins.module_utils.capacity import storm as paper  # noqa: E402

AT_ONCE = 200  # handshakes under way while the rate is measured, enough to keep the processes busy
TIMEOUT = 30.0  # seconds for a handshake, as long as no browser gives up


async def shake(target: tuple[str, int], token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a WebSocket. Raises ConnectionError with the status if it is refused."""
    reader, writer = await asyncio.open_connection(*target)
    writer.write(
        f"GET /ws/dashboard/?token={token} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    try:
        answer = await reader.readuntil(b"\r\n\r\n")
    except BaseException:
        writer.close()
        raise
    status = answer.split(b" ", 2)[1].decode()
    if status != "101":
        writer.close()
        raise ConnectionError(status)
    return reader, writer


class Clients:
    """All clients, what failed for them, and when each was back."""

    def __init__(self, target: tuple[str, int], token: str, seed: int) -> None:
        self.target, self.token, self.dice = target, token, random.Random(seed)
        self.backoff = paper.Backoff()
        self.lost_at = 0.0
        self.back: list[float] = []
        self.attempts: list[float] = []
        self.failures: Counter[str] = Counter()
        self.refused_at = 0.0
        self.lives: set[asyncio.Task[None]] = set()

    async def live(self, opened: asyncio.Semaphore) -> None:
        """Open a socket, wait until it is lost, and come back once."""
        reader, writer = await shake(self.target, self.token)
        opened.release()
        while await reader.read(65536):
            pass
        writer.close()
        self.lost_at = self.lost_at or time.monotonic()
        for retry in range(1000):
            await asyncio.sleep(self.backoff.delay(retry, self.dice.random()))
            self.attempts.append(time.monotonic() - self.lost_at)
            try:
                async with asyncio.timeout(TIMEOUT):
                    _, writer = await shake(self.target, self.token)
            except (OSError, EOFError, TimeoutError) as error:
                self.failures[kind(error)] += 1
                if isinstance(error, ConnectionRefusedError):
                    self.refused_at = time.monotonic() - self.lost_at
                continue
            self.back.append(time.monotonic() - self.lost_at)
            return


def kind(error: BaseException) -> str:
    """Name a failure by its status or its error."""
    return str(error) if re.fullmatch(r"\d{3}", str(error)) else type(error).__name__


async def rate_of(clients: Clients, number: int) -> float:
    """Open `number` sockets, a few at a time, and return how many a second; they stay open."""
    room, begun = asyncio.Semaphore(AT_ONCE), time.monotonic()

    async def one() -> None:
        async with room:
            opened = asyncio.Semaphore(0)
            clients.lives.add(asyncio.create_task(clients.live(opened)))
            await opened.acquire()

    await asyncio.gather(*(one() for _ in range(number)))
    return number / (time.monotonic() - begun)


async def run(given: argparse.Namespace, target: tuple[str, int], token: str) -> dict[str, Any]:
    """Measure the rate of handshakes, take all sockets, and wait until everybody is back."""
    clients = Clients(target, token, given.seed)
    rate = await rate_of(clients, given.clients)
    load = os.getloadavg()[0]
    restart = asyncio.create_task(asyncio.to_thread(ssh, given.name, "systemctl restart nginx"))
    await asyncio.gather(restart, *clients.lives)
    back = sorted(clients.back)
    return {
        "clients": given.clients, "rate": round(rate, 1), "load": round(load, 1), "away": round(clients.refused_at, 2),
        "all_back": round(back[-1], 2), "p50": round(paper.percentile(back, 50), 2),
        "p99": round(paper.percentile(back, 99), 2), "attempts": len(clients.attempts),
        "peak": max(Counter(map(int, clients.attempts)).values()),
        "served": max(Counter(map(int, back)).values()), "failures": dict(clients.failures),
    }  # fmt: skip


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="the lab host")
    parser.add_argument("--clients", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=100, help="nginx_address_handshakes of the host (100)")
    parser.add_argument("--burst", type=int, default=4000, help="nginx_address_handshakes_burst of the host (4000)")
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    address = ssh(given.name, "hostname -I")[1].split()[0]
    token = ssh(given.name, "dashboard-manage mint_token --user storm --ttl 3600")[1].strip()
    seen = asyncio.run(run(given, (address, 80), token))
    # All clients have the controller's address. The host's processes share the cores, so the rate is that of them all.
    storm = paper.Storm(
        given.clients, 1, seen["rate"], addresses=1, limit=given.limit, burst=given.burst, away=seen["away"],
        backlog=2 * 4096, timeout=TIMEOUT, seed=given.seed,
    )  # fmt: skip
    print(json.dumps({"measured": seen, "simulated": vars(paper.simulate(storm))}, indent=1))


if __name__ == "__main__":
    main()
