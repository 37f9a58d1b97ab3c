"""What a site consists of, and whether it is whole: from what its hosts say. Controller only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def site(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return `shape` (the values of plan.Shape), `problems` that forbid a drill, and `lines` for people.

    `found` has `app` and `edges`, each host's look (drill/host.py) by name; `servers`, the app hosts as each edge sees
    them; `redis` and `database`, names of hosts; `redis_status`, what redis-primary says of a group; `addresses`, the
    private_address of hosts; `floating`, the address that edges share; `failover`, whether the Redises are a group;
    `layer`, and `sentinel_seconds`.
    """
    addresses: Mapping[str, str] = found["addresses"]
    status = found.get("redis_status") or {}
    by_address = {address: name for name, address in addresses.items() if name in found["redis"]}
    layer = found.get("layer") or ""
    holders = [name for name, look in found["edges"].items() if found["floating"] in look["addresses"]]
    shape = {
        "app": list(found["app"]), "edges": list(found["edges"]), "redis": list(found["redis"]),
        "database": list(found["database"]), "primary": by_address.get(str(status.get("primary")), ""),
        "holder": holders[0] if holders else "", "floating": bool(found["floating"]) and len(found["edges"]) > 1,
        "edge_addresses": [addresses[name] for name in found["edges"] if addresses.get(name)],
        "processes": min((look["processes"] for look in found["app"].values()), default=0),
        "redis_loses": "pubsub" not in layer.lower(), "sentinel_seconds": float(found["sentinel_seconds"]),
        "failover": bool(found["failover"]),
    }  # fmt: skip
    return {"shape": shape, "problems": problems(found, status), "lines": lines(shape, layer)}


def problems(found: Mapping[str, Any], status: Mapping[str, Any]) -> list[str]:
    """What is not whole, in sentences."""
    told = []
    for name, look in found["app"].items():
        if not look["processes"]:
            told.append(f"{name}: nothing is deployed")
        elif look["running"] < look["processes"]:
            told.append(f"{name}: {look['running']} of {look['processes']} processes run")
    for edge in found["edges"]:
        if edge not in found["servers"]:
            told.append(f"{edge}: HAProxy does not answer")
        servers = found["servers"].get(edge, [])
        told += [f"{edge} sees {one['name']} as {one['state']}" for one in servers if one["state"] != "up"]
    if found["failover"] and not status.get("healthy"):
        states = [f"{name} {state}" for name, state in (status.get("redis") or {}).items()]
        told.append(f"the Redises do not agree: {', '.join(states) or 'redis-primary does not answer'}")
    if found["floating"] and len(found["edges"]) > 1:
        holders = [name for name, look in found["edges"].items() if found["floating"] in look["addresses"]]
        if len(holders) != 1:
            told.append(f"{found['floating']} is on {' and '.join(holders) or 'no edge'}")
    return told


def lines(shape: Mapping[str, Any], layer: str) -> list[str]:
    """What the site consists of, for people."""

    def counted(number: int, name: str) -> str:
        return f"{number} {name}{'' if number == 1 else 's'}"

    processes = "1 process" if shape["processes"] == 1 else f"{shape['processes']} processes"
    parts = [f"{counted(len(shape['app']), 'app host')} with {processes}{' each' if len(shape['app']) > 1 else ''}"]
    parts += [counted(len(shape["edges"]), "edge")] if shape["edges"] else []
    parts += ["an address that moves between them"] if shape["floating"] else []
    parts += [f"{len(shape['redis'])} Redis"] if shape["redis"] else []
    parts += ["PostgreSQL"] if shape["database"] else []
    told = [", ".join(parts)]
    return [*told, f"channel layer: {layer}"] if layer else told
