"""A fleet as its parts see each other: edges beside app hosts, the Redises, and the address that edges share.

Each says something of the others, and where two of them differ, a person should know. Controller only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: How a table says what HAProxy says.
STATES = {"up": "up", "drain": "no new", "down": "DOWN", "maintenance": "maintenance"}


class Views:
    """What the parts say. All of it may be missing: then nothing is shown of it.

    `edges` has, by edge, what the module haproxy_servers returned (with `servers`, or `msg` if it failed); `drained`,
    by app host, whether it was taken out; `redis`, what redis-primary says; `names`, the hosts of addresses; `shared`,
    the address that edges share, and `holders`, the edges that have it, or None if not all have said so.
    """

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        """Take what the parts say."""
        found = given or {}
        self.edges: Mapping[str, Mapping[str, Any]] = found.get("edges") or {}
        self.drained: Mapping[str, bool] = found.get("drained") or {}
        self.redis: Mapping[str, Any] = found.get("redis") or {}
        self.names: Mapping[str, str] = found.get("names") or {}
        self.shared: str = found.get("shared") or ""
        self.holders: Sequence[str] | None = found.get("holders")

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings that edges add to the table of app hosts."""
        return ("SERVES", *(edge.upper() for edge in self.edges)) if self.edges else ()

    def seen(self, host: str, edge: str) -> Mapping[str, Any]:
        """An app host as an edge sees it; empty if the edge does not say."""
        servers = self.edges[edge].get("servers") or []
        return next((one for one in servers if one["name"] == host), {})

    def cells(self, host: str, serves: bool | None) -> tuple[str, ...]:
        """What these columns have for an app host; `serves` says whether it has a live generation, None if unknown."""
        if not self.edges:
            return ()
        own = "?" if serves is None else "no" if not serves else "drained" if self.drained.get(host) else "yes"
        cells = [own]
        for edge in self.edges:
            one = self.seen(host, edge)
            cells.append(f"{STATES.get(one['state'], one['state'])}, {one['connections']}" if one else "?")
        return tuple(cells)

    def notes(self, host: str, serves: bool | None) -> list[str]:
        """Where the edges' views of an app host differ from its own."""
        told = []
        for edge in self.edges:
            one = self.seen(host, edge)
            if not one or serves is None:
                continue
            state, drained = one["state"], bool(self.drained.get(host))
            if state == "up" and drained:
                told.append(f"{edge} still sends it handshakes")
            elif state == "up" and not serves:
                told.append(f"{edge} sends it handshakes, and nothing serves")
            elif state == "drain" and not drained:
                told.append(f"{edge} takes it for drained")
            elif state in ("down", "maintenance") and serves and not drained:
                told.append(f"{edge} has it {state}" + (f" ({one['check']})" if one.get("check") else ""))
        return told

    def lines(self) -> list[str]:
        """The rest, below the table: edges that say nothing, the address that they share, and the Redises."""
        told = [
            f"! {edge} does not say how it sees the hosts: {answer.get('msg') or 'no answer'}"
            for edge, answer in self.edges.items() if not answer.get("servers")
        ]  # fmt: skip
        if self.shared and self.holders is not None:
            where = f"is on {' and '.join(self.holders)}" if self.holders else "is on no edge"
            told.append(f"{' ' if len(self.holders) == 1 else '!'} {self.shared} {where}")
        if self.redis:
            in_step = self.redis.get("in_step") or []
            states = [
                f"{self.names.get(address, address)} {state}"
                + (" that is behind" if state == "replica" and address not in in_step else "")
                for address, state in (self.redis.get("redis") or {}).items()
            ]
            told.append(f"{' ' if self.redis.get('healthy') else '!'} Redis: {', '.join(states) or 'no answer'}")
        return told
