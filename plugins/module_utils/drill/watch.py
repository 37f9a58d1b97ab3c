"""Clients of a drill: some hold sockets, others come anew all the time, over each way to the site. Controller only."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..load.clients import Crowd, kind
from ..websocket.client import WebSocket
from ..websocket.errors import HandshakeFailed, HandshakeRefused

#: Handshakes of one way that are under way at a time, at most. One that hangs must not hide that others work again.
AT_ONCE = 12
#: Seconds between two looks at what has come.
LOOK = 0.1
#: Seconds after which a handshake that is still under way shows that something is wrong.
SLOW = 2.0

Shake = Callable[[], WebSocket]


class Watch:
    """Clients over several ways, by the ways' names. Times are seconds since the watch began.

    `attempts` has each handshake that has ended, as `way`, `at`, `took` and `failure`, which is empty if it opened a
    socket.
    """

    def __init__(self, ways: Mapping[str, Shake], sockets: int, interval: float) -> None:
        """Take what opens a socket on each way, how many sockets are held in all, and how often a client comes."""
        self.ways, self.interval = ways, interval
        share = -(-sockets // len(ways))
        self.crowds = {name: Crowd(shake, min(AT_ONCE, share)) for name, shake in ways.items()}
        self.share = share
        self.attempts: list[dict[str, Any]] = []
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._pools = {name: ThreadPoolExecutor(AT_ONCE) for name in ways}
        self._waiting: dict[str, list[float]] = {name: [] for name in ways}
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def now(self) -> float:
        """The present moment."""
        return time.monotonic() - self._begun

    def begin(self) -> None:
        """Open the sockets that are held, and let clients come."""
        with ThreadPoolExecutor(len(self.crowds)) as pool:
            list(pool.map(lambda crowd: crowd.open(self.share), self.crowds.values()))
        self._ticker.start()

    def end(self) -> None:
        """Let no more clients come, and close all sockets."""
        self._ending.set()
        if self._ticker.is_alive():
            self._ticker.join()
        for pool in self._pools.values():
            pool.shutdown(wait=True)
        for crowd in self.crowds.values():
            crowd.close()

    def held(self) -> int:
        """How many sockets were opened to be held."""
        return sum(len(crowd.times) for crowd in self.crowds.values())

    def lost(self) -> dict[str, int]:
        """How many of these have ended, by close code."""
        found: dict[str, int] = {}
        for crowd in self.crowds.values():
            for code, number in crowd.lost.items():
                found[code] = found.get(code, 0) + number
        return found

    def refusals(self) -> list[str]:
        """Why sockets that were to be held did not open."""
        return [f"{name}: {what}" for name, crowd in self.crowds.items() for what in crowd.failures]

    def works_since(self, moment: float, seconds: float) -> bool:
        """Whether on each way, every client of the last `seconds` got its socket, and all of these came after a moment.

        One that has waited for long and still waits has none.
        """
        now = self.now()
        if now - seconds < moment:
            return False
        with self._lock:
            recent = [each for each in self.attempts if each["at"] >= now - seconds]
            slow = any(at < now - SLOW for waiting in self._waiting.values() for at in waiting)
        return not slow and all(
            (mine := [each for each in recent if each["way"] == name]) and not any(each["failure"] for each in mine)
            for name in self.ways
        )

    def await_works(self, moment: float, seconds: float, patience: float) -> bool:
        """Wait until the site works since a moment, for at most `patience` seconds; tell whether it does."""
        deadline = self.now() + patience
        while not self.works_since(moment, seconds):
            if self.now() > deadline:
                return False
            time.sleep(LOOK)
        return True

    def _tick(self) -> None:
        while not self._ending.wait(self.interval):
            for name in self.ways:
                at = self.now()
                with self._lock:
                    if len(self._waiting[name]) >= AT_ONCE:
                        continue
                    self._waiting[name].append(at)
                self._pools[name].submit(self._one, name, at)

    def _one(self, name: str, at: float) -> None:
        failure, websocket = "", None
        try:
            websocket = self.ways[name]()
        except (HandshakeFailed, HandshakeRefused) as error:
            failure = kind(error)
        took = self.now() - at
        with self._lock:
            self.attempts.append({"way": name, "at": round(at, 3), "took": round(took, 3), "failure": failure})
            self._waiting[name].remove(at)
        if websocket:
            with contextlib.suppress(OSError):
                websocket.close(timeout=1.0)
