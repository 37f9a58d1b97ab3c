"""What the doctor's catalogue consists of: the hops of a handshake, and the form of an entry. Data only."""

from __future__ import annotations

from dataclasses import dataclass

#: The hops of a handshake in order, each with its name in a report.
HOPS: dict[str, str] = {
    "name": "Name",
    "tcp": "TCP",
    "tls": "TLS",
    "edge": "Edge proxy",
    "proxy": "App proxy",
    "process": "Process",
    "import": "ASGI import",
    "token": "Token",
    "origin": "Origin and route",
    "layer": "Channel layer",
    "idle": "Idle time",
}


@dataclass(frozen=True)
class Entry:
    """One thing that can be found. `code` begins with E (an error), W (a warning) or N (a note)."""

    code: str
    hop: str
    title: str
    cause: str
    fix: str

    @property
    def severity(self) -> str:
        """`error`, `warning` or `note`."""
        return {"E": "error", "W": "warning", "N": "note"}[self.code[0]]
