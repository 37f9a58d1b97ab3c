"""Watch several WebSockets at once, and say nothing."""

from __future__ import annotations

import selectors
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from .client import Message, WebSocket
from .errors import Closed


@dataclass
class Watched:
    """What one socket did during a watch().

    `messages` are the first of them, `count` is how many came, `closed` how it closed or None, `seconds` how long
    it was watched: until it closed, or to the end.
    """

    messages: list[Message] = field(default_factory=list)
    count: int = 0
    closed: Closed | None = None
    seconds: float = 0.0


def watch(sockets: Sequence[WebSocket], seconds: float, *, keep: int = 100) -> list[Watched]:
    """Stay silent on all the sockets for `seconds`, answering pings only, and report on each, in the same order.

    Returns early once every socket is closed. At most `keep` messages are kept for each socket; all are counted.
    """
    begun = time.monotonic()
    deadline = begun + seconds
    reports = [Watched() for _ in sockets]
    with selectors.DefaultSelector() as selector:
        for index, websocket in enumerate(sockets):
            _collect(websocket, reports[index], keep, begun)
            if reports[index].closed is None:
                selector.register(websocket.fileno(), selectors.EVENT_READ, index)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _events in selector.select(left):
                websocket, report = sockets[key.data], reports[key.data]
                _collect(websocket, report, keep, begun)
                if report.closed is not None:
                    selector.unregister(key.fd)
    for report in reports:
        if report.closed is None:
            report.seconds = round(time.monotonic() - begun, 3)
    return reports


def _collect(websocket: WebSocket, report: Watched, keep: int, begun: float) -> None:
    websocket.read_available()
    while websocket.inbox:
        message = websocket.inbox.popleft()
        report.count += 1
        if len(report.messages) < keep:
            report.messages.append(message)
    if websocket.closed is not None:
        report.closed = websocket.closed
        report.seconds = round(time.monotonic() - begun, 3)
