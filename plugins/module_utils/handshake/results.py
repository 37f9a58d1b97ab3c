"""What the proof has tried so far, one result each."""

from __future__ import annotations

from typing import Any


def result(name: str, title: str, state: str, seen: str, **hints: Any) -> dict[str, Any]:
    """One result. `hints` lead to its finding, and are for `report_of` only.

    `code` is certain; `guess` counts if the diagnosis knows nothing about that hop; `values` are for the texts of both.
    `hop` is the one at fault, if it is not the one that was tried. `fix` is for a failure that nobody can explain.
    """
    return {"id": name, "title": title, "state": state, "seen": seen, "hints": hints}


class Proof:
    """The results so far, and how to add to them; result() says what the hints are."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []

    def add(self, name: str, title: str, state: str, seen: str, **hints: Any) -> bool:
        """Note a result; return whether it is good."""
        self.results.append(result(name, title, state, seen, **hints))
        return state in ("passed", "warned")

    def passed(self, name: str, title: str, seen: str) -> bool:
        """Note that something is as it should be."""
        return self.add(name, title, "passed", seen)

    def failed(self, name: str, title: str, seen: str, **hints: Any) -> bool:
        """Note that something is broken."""
        return self.add(name, title, "failed", seen, **hints)

    def skipped(self, name: str, title: str, why: str) -> bool:
        """Note that something was not tried, and why."""
        return self.add(name, title, "skipped", why)
