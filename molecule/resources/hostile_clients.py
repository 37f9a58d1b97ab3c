#!/usr/bin/env python3
"""Clients that take more than their share, run on a lab host itself, with addresses of its loopback.

    python3 -c TEXT WHAT TOKEN [STATIC]

WHAT is a function of this module without parameters; it prints a JSON object of what happened to the clients. This
file's text is an argument, so nothing is copied to the host. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

SITE = ("127.0.0.1", 8000)  # nginx_local_port
TOKEN = sys.argv[2] if len(sys.argv) > 2 else ""
STATIC = sys.argv[3] if len(sys.argv) > 3 else ""
# A site with TLS has no pages without it, so none of those may open a WebSocket.
ORIGIN = "https://localhost" if Path("/etc/dashboard/certificate/fullchain.pem").exists() else "http://localhost"
SECONDS = 30.0  # the most that anything may take


class Client:
    """One connection from an address of loopback, with a handshake or another request, and the answer to it."""

    def __init__(self, source: str, path: str = "/ws/dashboard/", upgrade: bool = True, extra: str = "") -> None:
        self.way = socket.create_connection(SITE, SECONDS, (source, 0))
        query = f"?token={TOKEN}" if upgrade else ""
        lines = [f"GET {path}{query} HTTP/1.1", "Host: localhost"]
        if upgrade:
            lines += [f"Origin: {ORIGIN}", "Upgrade: websocket", "Connection: Upgrade"]
            lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        self.way.sendall(("\r\n".join(lines) + f"\r\n{extra}\r\n").encode())
        self.inbox = b""
        self.read_answer()

    def read_answer(self) -> None:
        """Read the answer; status 0 means that the connection ended without one."""
        with contextlib.suppress(ConnectionError):
            while b"\r\n\r\n" not in self.inbox and (data := self.way.recv(65536)):
                self.inbox += data
        head, _, self.inbox = self.inbox.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1]) if lines[0] else 0
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}

    def told(self) -> dict[str, Any]:
        """Return the answer's status, Retry-After and text."""
        length = int(self.headers.get("content-length", 0))
        while len(self.inbox) < length and (data := self.way.recv(65536)):
            self.inbox += data
        retry = self.headers.get("retry-after", "")
        return {"status": self.status, "retry": retry, "text": self.inbox.decode().strip()}

    def frame(self, data: bytes, length: int | None = None) -> None:
        """Send a text frame, or the start of a longer one."""
        size = len(data) if length is None else length
        head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else struct.pack("!BBQ", 0x81, 0xFF, size)
        self.way.sendall(head + bytes(4) + data)  # masked with zeros

    def echoes(self, text: str) -> bool:
        """Tell whether the socket carries a message there and back."""
        self.frame(json.dumps({"type": "echo", "text": text}).encode())
        deadline = time.monotonic() + SECONDS
        while f'"{text}"'.encode() not in self.inbox:
            if time.monotonic() > deadline:
                return False
            data = self.way.recv(65536)
            if not data:
                return False
            self.inbox += data
        return True

    def close(self) -> None:
        """End the connection."""
        self.way.close()


def handshakes(source: str, number: int) -> list[Client]:
    """Open sockets one after another."""
    return [Client(source) for _ in range(number)]


def statuses(clients: list[Client]) -> dict[str, int]:
    """Count statuses."""
    return {str(status): number for status, number in Counter(client.status for client in clients).items()}


def await_handshake(source: str) -> int:
    """Try until a handshake is accepted or time is up; return its status."""
    deadline = time.monotonic() + SECONDS
    while (status := (client := Client(source)).status) != 101 and time.monotonic() < deadline:
        client.close()
        time.sleep(0.1)
    return status


def reload() -> None:
    """Make nginx start new workers, and wait for them."""
    before = workers()
    subprocess.run(["nginx", "-s", "reload"], check=True, capture_output=True)
    deadline = time.monotonic() + SECONDS
    while not (now := workers()) or now & before:
        if time.monotonic() > deadline:
            sys.exit("nginx has no new workers")
        time.sleep(0.05)


def workers() -> set[int]:
    """Return nginx's workers that accept connections."""
    titles = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            titles[int(path.parent.name)] = path.read_bytes().rstrip(b"\0 ")
    return {pid for pid, title in titles.items() if title == b"nginx: worker process"}


def too_many() -> dict[str, Any]:
    """Fill an address (30) and then the site (50); close one and reconnect; the host itself is never refused."""
    told: dict[str, Any] = {}
    first = handshakes("127.0.0.10", 30)
    told["first"], told["address"] = statuses(first), Client("127.0.0.10").told()
    second = handshakes("127.0.0.11", 20)
    told["second"], told["site"] = statuses(second), Client("127.0.0.12").told()
    told["page"] = Client("127.0.0.12", "/", upgrade=False).status
    told["itself"] = Client("127.0.0.1").status
    reload()
    told["after a reload"] = Client("127.0.0.12").status
    first[0].close()
    told["when one has gone"] = await_handshake("127.0.0.13")
    told["echoes"] = all(client.echoes(f"number {index}") for index, client in enumerate([*first[1:], *second]))
    return told


def too_fast() -> dict[str, Any]:
    """Come more often than an address may, with handshakes and pages; other addresses and files are served."""
    told: dict[str, Any] = {}
    for name, source, path, upgrade in (
        ("handshake", "127.0.0.20", "/ws/dashboard/", True), ("page", "127.0.0.21", "/", False),
    ):  # fmt: skip
        for number in range(500):
            client = Client(source, path, upgrade)
            if client.status == 429:
                told[name] = {**client.told(), "served before": number}
                break
            client.close()
    told["another"] = [Client("127.0.0.22").status, Client("127.0.0.22", "/", upgrade=False).status]
    told["files"] = statuses([Client("127.0.0.21", STATIC, upgrade=False) for _ in range(60)])
    told["socket of who asks for pages"] = Client("127.0.0.21").status
    return told


def killed_worker() -> dict[str, Any]:
    """Fill the site, and kill its workers so that they cannot count back."""
    held = [client for source in ("127.0.0.30", "127.0.0.31") for client in handshakes(source, 25)]
    before = workers()
    for pid in before:
        os.kill(pid, 9)
    deadline = time.monotonic() + SECONDS
    while not (now := workers()) or now & before:
        if time.monotonic() > deadline:
            sys.exit("nginx has no new workers")
        time.sleep(0.05)
    return {"held": statuses(held), "after": Client("127.0.0.32").told()}


def fits() -> dict[str, Any]:
    """Open as many sockets as the site may have."""
    clients = [client for source in ("127.0.0.33", "127.0.0.34") for client in handshakes(source, 25)]
    return {"open": statuses(clients)}


def slow() -> dict[str, Any]:
    """300 clients that send a header forever, others that send nothing, and oversized requests, beside good clients.

    All come from one address, the good ones from others. This ends when nginx has closed the slow ones.
    """
    witness = Client("127.0.0.40")
    told: dict[str, Any] = {"witness": [witness.status]}
    begun = time.monotonic()
    dripping, silent = [], []
    for number in range(300):
        way = socket.create_connection(SITE, SECONDS, ("127.0.0.41", 0))
        way.sendall(b"GET /ws/dashboard/ HTTP/1.1\r\nHost: localhost\r\n")
        dripping.append(way)
        if number % 3 == 0:
            silent.append(socket.create_connection(SITE, SECONDS, ("127.0.0.41", 0)))
            half = socket.create_connection(("127.0.0.1", 443), SECONDS, ("127.0.0.41", 0))
            half.sendall(b"\x16\x03\x01\x02\x00\x01")  # the first bytes of a TLS handshake
            silent.append(half)
    waiting = {way.fileno(): way for way in dripping}
    everybody, served = {**waiting, **{way.fileno(): way for way in silent}}, 0
    next_drip = 0.0
    while everybody and time.monotonic() - begun < 2 * SECONDS:
        if time.monotonic() > next_drip:
            next_drip = time.monotonic() + 1
            for way in waiting.values():
                with contextlib.suppress(OSError):
                    way.send(b"X-A: b\r\n")
            new = Client("127.0.0.42")
            told["witness"].append(new.status if witness.echoes(f"after {served}") and new.echoes("new") else "silent")
            served += 1
            new.close()
        for fileno in select.select(list(everybody), [], [], 0.2)[0]:
            try:
                ended = not everybody[fileno].recv(65536)
            except OSError:
                ended = True
            if ended:
                everybody.pop(fileno).close()
                waiting.pop(fileno, None)
    told["left"], told["seconds"] = len(everybody), time.monotonic() - begun
    told["many headers"] = Client("127.0.0.41", extra="X: y\r\n" * 1000).status
    told["long headers"] = Client("127.0.0.41", extra="X-Long-Name: some value\r\n" * 1000).status
    body = socket.create_connection(SITE, SECONDS, ("127.0.0.41", 0))
    body.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n")
    told["body"] = int(body.recv(65536).split()[1])
    told["at last"] = [witness.echoes("at last"), Client("127.0.0.42").status]
    return told


def long_frame() -> dict[str, Any]:
    """Announce a frame of 100 MB to each process and wait, and send one without waiting; report what became of it."""
    generations = subprocess.run(["dashboard-generations", "list", "--json"], capture_output=True, check=True).stdout
    pids = json.loads(generations)["generations"][0]["pids"]
    # nginx passes a socket to the process that has the fewest, so each process gets one of each kind.
    witnesses, polite, rude = (handshakes(f"127.0.0.5{number}", len(pids)) for number in range(3))
    before = most = memory(pids)
    for client in polite:
        client.frame(b" " * 1000, 100 * 2**20)
    codes = [close_code(client) for client in polite]
    for client in rude:
        client.frame(b"", 100 * 2**20)
        with contextlib.suppress(OSError):
            for number in range(1600):
                client.way.sendall(b" " * 2**16)
                if number % 100 == 0:
                    most = max(most, memory(pids))
    return {
        "codes": codes, "grown kB": max(most, memory(pids)) - before,
        "witnesses": [client.echoes("still here") for client in witnesses], "new": Client("127.0.0.53").echoes("new"),
    }  # fmt: skip


def close_code(client: Client) -> int | None:
    """Return the code of the close frame that arrives; None if there is none."""
    client.way.settimeout(5)
    with contextlib.suppress(OSError):
        while b"\x88" not in client.inbox and (data := client.way.recv(65536)):
            client.inbox += data
    found = re.search(rb"\x88[\x02-\x7d](..)", client.inbox, re.DOTALL)
    return struct.unpack("!H", found[1])[0] if found else None


def memory(pids: list[int]) -> int:
    """Return the resident memory of processes, in kB."""
    return sum(int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) for pid in pids)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
