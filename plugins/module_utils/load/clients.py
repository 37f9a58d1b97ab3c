"""Many sockets from one machine: opened a few at a time, held while they answer pings, and closed together."""

from __future__ import annotations

import re
import resource
import selectors
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..websocket.client import WebSocket
from ..websocket.errors import HandshakeFailed, HandshakeRefused

#: The controller's own files besides its sockets.
OTHER_FILES = 256
#: Seconds in which the holder looks for new sockets.
TURN = 0.1


def room_for(sockets: int) -> int:
    """Let this process have as many files as it may; return how many sockets fit, at most `sockets`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, sockets + OTHER_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(sockets, max(0, hard - OTHER_FILES))


class Crowd:
    """Clients that open sockets with `shake` and hold them.

    Attributes: `times` (seconds of each handshake that opened a socket), `failures` (attempts by kind), `lost` (sockets
    that ended while they were held, by close code), `seconds` (how long opening took).
    """

    def __init__(self, shake: Callable[[], WebSocket], at_once: int) -> None:
        self.shake, self.at_once = shake, at_once
        self.times: list[float] = []
        self.failures: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.seconds = 0.0
        self._fresh: list[WebSocket] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._holder = threading.Thread(target=self._hold, daemon=True)

    def open(self, number: int) -> None:
        """Try to open so many sockets, `at_once` at a time."""
        self._holder.start()
        begun = time.monotonic()
        with ThreadPoolExecutor(self.at_once) as pool:
            list(pool.map(self._one, range(number)))
        self.seconds = time.monotonic() - begun

    def close(self) -> None:
        """Close all sockets."""
        self._ending.set()
        if self._holder.is_alive():
            self._holder.join()

    def _one(self, _: int) -> None:
        begun = time.monotonic()
        try:
            websocket = self.shake()
        except (HandshakeFailed, HandshakeRefused) as error:
            with self._lock:
                self.failures[kind(error)] += 1
            return
        with self._lock:
            self.times.append(time.monotonic() - begun)
            self._fresh.append(websocket)

    def _hold(self) -> None:
        """Answer pings, and note which sockets end."""
        with selectors.DefaultSelector() as selector:
            while not self._ending.is_set():
                with self._lock:
                    fresh, self._fresh = self._fresh, []
                for websocket in fresh:
                    if websocket.closed is not None:
                        self.lost[str(websocket.closed.code)] += 1
                        continue
                    selector.register(websocket.fileno(), selectors.EVENT_READ, websocket)
                    self._read(selector, websocket)
                if not selector.get_map():
                    self._ending.wait(TURN)
                    continue
                for key, _ in selector.select(TURN):
                    self._read(selector, key.data)
            held = [key.data for key in selector.get_map().values()]
        with ThreadPoolExecutor(self.at_once) as pool:
            list(pool.map(WebSocket.close, [*held, *self._fresh]))

    def _read(self, selector: selectors.BaseSelector, websocket: WebSocket) -> None:
        descriptor = websocket.fileno()
        websocket.read_available()
        websocket.inbox.clear()
        if websocket.closed is not None:
            selector.unregister(descriptor)
            self.lost[str(websocket.closed.code)] += 1


def kind(error: HandshakeFailed | HandshakeRefused) -> str:
    """Name a failure: `429 nginx_address_handshakes`, `tcp: Connection refused`, `timeout` …

    nginx's answers at a limit name the variable that sets it.
    """
    if isinstance(error, HandshakeRefused):
        variable = re.search(r"\bnginx_\w+", error.body)
        return f"{error.status} {variable[0]}" if variable else str(error.status)
    return "timeout" if error.stage == "timeout" else f"{error.stage}: {error.reason}"
