"""Which parts of a site can fail, in which order a drill breaks them, and what each may cost. Controller only.

What is promised depends on the site's shape: with two processes, one may die without anybody waiting; with one, all
wait until it has started again. docs/drill.md has the same as a table, and a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: All parts, from the smallest to the largest.
PARTS = ("process", "nginx", "redis", "database", "host", "edge")
#: Sockets that may be lost: none of them, those that the part held, or all.
NONE, OWN, ALL = "none", "own", "all"


@dataclass(frozen=True)
class Promise:
    """What the failure of a part may cost: seconds that a client waits for a new socket, and open sockets."""

    seconds: float
    sockets: str
    why: str


@dataclass(frozen=True)
class Shape:
    """What a site consists of. Hosts are names of the inventory; `primary` is the host of the Redis that leads.

    `holder` is the edge that has the address that edges share, or empty. `edge_addresses` are where app hosts meet
    edges. `failover` says whether the Redises are a group of which one leads, `sentinel_seconds` is
    `sentinel_down_after_seconds`, and `redis_loses` says whether sockets end with Redis.
    """

    app: Sequence[str]
    edges: Sequence[str] = ()
    redis: Sequence[str] = ()
    database: Sequence[str] = ()
    primary: str = ""
    holder: str = ""
    floating: bool = False
    edge_addresses: Sequence[str] = ()
    processes: int = 2
    redis_loses: bool = True
    failover: bool = False
    sentinel_seconds: float = 5


def promises(shape: Shape) -> dict[str, Promise]:
    """What this site promises, by part; parts that it does not have are left out."""
    found = {}
    found["process"] = (
        Promise(3, OWN, "another process of the host takes new handshakes")
        if shape.processes > 1
        else Promise(15, OWN, "there is one process, and it has to start again")
    )
    found["nginx"] = (
        Promise(5, OWN, "edges send new handshakes to other app hosts, until nginx runs again")
        if shape.edges and len(shape.app) > 1
        else Promise(5, OWN, "nginx starts again within a second or so")
    )
    lost = ALL if shape.redis_loses else NONE
    if shape.failover:
        wait = shape.sentinel_seconds + 10
        found["redis"] = Promise(wait, lost, "another Redis becomes the primary")
    elif shape.redis:
        found["redis"] = Promise(10, lost, "Redis starts again within a second or so")
    if shape.database:
        found["database"] = Promise(15, NONE, "PostgreSQL starts again and replays its log")
    if shape.edges and len(shape.app) > 1:
        found["host"] = Promise(15, OWN, "edges leave out a host that they cannot reach")
    if shape.edges:
        found["edge"] = Promise(5, OWN, "another edge takes the shared address, and HAProxy starts again"
                                if shape.floating else "HAProxy starts again within a second or so")  # fmt: skip
    return found


#: What each part is called, what is done to it, and where to look if it does not come back as promised.
TEXTS = {
    "process": ("One process", "killed", "{app}-generations logs, and asgi_start_seconds: how long does it import?"),
    "nginx": ("nginx", "killed", "journalctl -u nginx; what starts it again is its unit: playbooks/provision.yml "
              "--tags nginx"),
    "redis": ("Redis", "killed", "journalctl -u redis-server; how the project finds another Redis and how long it waits"
              " for it: docs/redis.md"),
    "database": ("PostgreSQL", "killed", "journalctl -u 'postgresql@*'; does the project reconnect (CONN_MAX_AGE, "
                 "CONN_HEALTH_CHECKS)?"),
    "host": ("Network of an app host", "cut", "playbooks/status.yml; haproxy_check_seconds: how soon"
             " do edges notice?"),
    "edge": ("HAProxy on an edge", "killed", "journalctl -u haproxy -u keepalived on the edge"),
}  # fmt: skip


def victims(shape: Shape) -> dict[str, str]:
    """The host on which each part is broken."""
    return {
        "process": shape.app[0],
        "nginx": shape.app[0],
        "redis": shape.primary or next(iter(shape.redis), ""),
        "database": next(iter(shape.database), ""),
        # Not the first: the lock of deploys is there, and workers that run only once.
        "host": shape.app[-1],
        "edge": shape.holder or next(iter(shape.edges), ""),
    }


def plan(shape: Shape, wanted: Iterable[str] = (), own: Mapping[str, Mapping[str, Any]] | None = None,
         app: str = "") -> list[dict[str, Any]]:  # fmt: skip
    """What a drill does, in order: `part`, `title`, `host`, `how`, `promise` and `advice` of each.

    `wanted` are names of parts, by default all that are there. `own` are promises of the user's, which replace ours.
    Raise ValueError for a part that this site does not have.
    """
    promised, asked = promises(shape), list(wanted) or list(PARTS)
    if missing := [part for part in asked if list(wanted) and part not in promised]:
        raise ValueError(f"this site has no part {', '.join(missing)}; it has: {', '.join(promised)}")
    chosen = []
    for part in (part for part in PARTS if part in asked and part in promised):
        title, how, advice = TEXTS[part]
        mine = promised[part]
        given = {key: value for key, value in (own or {}).get(part, {}).items() if key in ("seconds", "sockets")}
        chosen.append({
            "part": part, "title": title, "how": how, "host": victims(shape)[part], "advice": advice.format(app=app),
            "addresses": list(shape.edge_addresses) if part == "host" else [],
            "promise": {"seconds": mine.seconds, "sockets": mine.sockets, **given,
                        "why": "" if given else mine.why},
        })  # fmt: skip
    return chosen


def told(step: Mapping[str, Any]) -> str:
    """A step of a plan in one line, for people."""
    promise = step["promise"]
    sockets = {NONE: "no socket is lost", OWN: "only its own sockets are lost", ALL: "sockets may be lost"}
    return (
        f"{step['title']} on {step['host']} is {step['how']}: new sockets open within {promise['seconds']:g} s, "
        f"{sockets[promise['sockets']]}"
    )
