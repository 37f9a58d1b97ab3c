"""What the proof has tried so far, one result each."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..websocket.client import WebSocket
from ..websocket.errors import HandshakeFailed, HandshakeRefused
from ..websocket.explain import explain
from ..websocket.http import HttpAnswer, telling


def tried(
    what: str, came: str, ms: Mapping[str, float | None] | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """One thing that was tried for a result, and what came: `ms` says how many milliseconds each step took."""
    times = {step: round(took, 1) for step, took in (ms or {}).items() if took is not None}
    return {"what": what, "came": came, "ms": times, "headers": telling(headers or {})}


def tried_socket(what: str, attempt: WebSocket | HandshakeRefused | HandshakeFailed, ms: float) -> dict[str, Any]:
    """A handshake, and what came; it took `ms` milliseconds in all."""
    if isinstance(attempt, WebSocket):
        return tried(what, "101 Switching Protocols", attempt.timings, attempt.headers)
    if isinstance(attempt, HandshakeRefused):
        return tried(what, f"{attempt.status} {attempt.reason}".strip(), {"total": ms}, attempt.headers)
    return tried(what, explain(attempt)["what"], {"total": ms})


def tried_http(what: str, answer: HttpAnswer, ms: float) -> dict[str, Any]:
    """A plain request, and what came."""
    return tried(what, f"{answer.status} {answer.reason}".strip(), {"total": ms}, answer.headers)


def since(begun: float) -> float:
    """The milliseconds since a moment of the monotonic clock."""
    return (time.monotonic() - begun) * 1000


def result(
    name: str, title: str, state: str, seen: str, tries: Sequence[dict[str, Any]] = (), **hints: Any
) -> dict[str, Any]:
    """One result. `tries` are the things that were tried for it, and what came.

    `hints` lead to its finding, and are for `report_of` only: `code` is certain; `guess` counts if the diagnosis knows
    nothing about that hop; `values` are for the texts of both. `hop` is the one at fault, if it is not the one that was
    tried. `fix` is for a failure that nobody can explain.
    """
    return {"id": name, "title": title, "state": state, "seen": seen, "tried": list(tries), "hints": hints}


class Proof:
    """The results so far, and how to add to them; result() says what `tries` and the hints are."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []

    def add(
        self, name: str, title: str, state: str, seen: str, tries: Sequence[dict[str, Any]] = (), **hints: Any
    ) -> bool:
        """Note a result; return whether it is good."""
        self.results.append(result(name, title, state, seen, tries, **hints))
        return state in ("passed", "warned")

    def passed(self, name: str, title: str, seen: str, tries: Sequence[dict[str, Any]] = ()) -> bool:
        """Note that something is as it should be."""
        return self.add(name, title, "passed", seen, tries)

    def failed(self, name: str, title: str, seen: str, tries: Sequence[dict[str, Any]] = (), **hints: Any) -> bool:
        """Note that something is broken."""
        return self.add(name, title, "failed", seen, tries, **hints)

    def skipped(self, name: str, title: str, why: str) -> bool:
        """Note that something was not tried, and why."""
        return self.add(name, title, "skipped", why)
