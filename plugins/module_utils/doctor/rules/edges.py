"""An edge of a fleet: HAProxy itself, the way to it, the address that edges share, and the app hosts as it sees them.

Each finding has its own proof, which the edge itself has seen; what an app host says of itself comes from there.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from ..answers import opened, proxy_code, told
from ..case import Case, Finding

#: What a host that serves answers to a health check, what one that is to get nothing new, and one that cannot serve.
SERVES, LEAVES, UNHEALTHY = 200, 404, 503


def edges(case: Case) -> Iterator[Finding]:
    """The edge, from the outside to the app hosts."""
    if not case.is_edge:
        return
    seen = case.host["haproxy"]
    yield from _itself(case, seen)
    yield from _way(case, seen)
    yield from _address(case)
    yield from _hosts(case, seen)
    came = case.outside
    if came and came["status"] and not opened(came) and proxy_code(came["status"], came["body"]) == "E311_LIMIT":
        yield _find(case, "E311_LIMIT", told(came), hop="edge", status=came["status"], origin=came["origin"])


def _find(case: Case, code: str, seen: Any, **values: Any) -> Finding:
    return case.find(code, seen, edge=case.evidence.get("name", ""), **values)


def _itself(case: Case, seen: dict[str, Any]) -> Iterator[Finding]:
    """HAProxy: whether it runs, with a configuration that it accepts, on the ports that are in there."""
    refused = seen["refusal"]
    if not seen["running"]:
        if refused:
            yield _find(case, "E322_EDGE_CONFIG", ["no process of haproxy", f"haproxy -c: {refused}"], error=refused)
        else:
            yield _find(case, "E321_EDGE_DOWN", "no process of haproxy")
        return
    if refused:
        yield _find(case, "W323_EDGE_CONFIG", f"haproxy -c: {refused}", error=refused)
    for each in seen["ports"]:
        if not each["listening"]:
            yield _find(case, "E324_EDGE_PORT", f"nobody listens on port {each['port']}", port=each["port"])


def _way(case: Case, seen: dict[str, Any]) -> Iterator[Finding]:
    """The way from the controller to a port on which HAProxy listens."""
    came, port = case.outside, _port(case)
    listens = any(each["listening"] for each in seen["ports"] if each["port"] == port)
    if came and came["stage"] == "tcp" and seen["running"] and listens:
        yield _find(case, "E325_EDGE_UNREACHABLE", [told(came), f"haproxy listens on port {port}"], port=port)


def _port(case: Case) -> int:
    """The port that the controller has tried."""
    tried = (case.outside or {"to": ""})["to"].rpartition(":")[2]
    return int(tried) if tried.isdigit() else case.port


def _address(case: Case) -> Iterator[Finding]:
    """The address that the edges share; it is only known where it is if all edges have said so."""
    shared = (case.evidence.get("fleet") or {}).get("shared") or {}
    if not shared.get("address") or not shared["all_asked"]:
        return
    holders, values = shared["holders"], {"shared": shared["address"], "holders": " and ".join(shared["holders"])}
    if not holders:
        yield _find(case, "E331_ADDRESS_NOWHERE", f"no edge has {shared['address']}", **values)
    elif len(holders) > 1:
        yield _find(case, "E332_ADDRESS_TWICE", f"on {values['holders']}: {shared['address']}", **values)


def _hosts(case: Case, seen: dict[str, Any]) -> Iterator[Finding]:
    """The app hosts as this edge sees them: those with the same fault in one finding."""
    by_code: dict[str, list[tuple[dict[str, Any], str]]] = defaultdict(list)
    for one in seen["servers"]:
        if code := _code(case, one):
            by_code[code].append((one, _told(one)))
    for code, found in by_code.items():
        first = found[0][0]
        address, _, port = str(first["address"]).rpartition(":")
        names = " and ".join(str(one["name"]) for one, _ in found)
        yield _find(case, code, [line for _, line in found], hosts=names, first=first["name"], app_port=port,
                    address=address.strip("[]"), source=first["source"])  # fmt: skip
    if seen["servers"] and not any(one["state"] == "up" for one in seen["servers"]):
        states = ", ".join(f"{one['name']} {one['state']}" for one in seen["servers"])
        yield _find(case, "E335_NO_HOST_SERVES", [states, told(case.outside)])


def _code(case: Case, one: dict[str, Any]) -> str:
    """What keeps an app host from getting handshakes of this edge; empty if nothing does."""
    host = ((case.evidence.get("fleet") or {}).get("hosts") or {}).get(one["name"]) or {}
    if one["state"] == "maintenance":
        return "W329_HOST_MAINTENANCE"
    if one["stage"] == "tcp":
        return "E326_HOST_UNREACHABLE"
    if one["status"] == LEAVES and one["state"] != "up":
        if host.get("drained"):
            return "W328_HOST_DRAINED"
        if host.get("trusts") and not trusted(one["source"], host["trusts"]):
            return "E327_EDGE_UNKNOWN"
        return "W336_HOST_LEFT_OUT" if not host else "E330_HOST_DOWN"
    # What does not know the protocol takes its first bytes for a bad request.
    if one["status"] in (0, 400) and one["plain"] not in (0, 400):
        return "E333_PROXY_PROTOCOL"
    if one["status"] == UNHEALTHY:
        return "E334_HOST_UNHEALTHY"
    return "E330_HOST_DOWN" if one["state"] == "down" else ""


def trusted(address: str, networks: list[str]) -> bool:
    """Whether an address is in one of some networks, as nginx has them."""
    try:
        mine = ipaddress.ip_address(address)
        known = [ipaddress.ip_network(network, strict=False) for network in networks if network != "unix:"]
    except ValueError:
        return True  # names, which nginx has looked up: nothing is proven
    return any(mine in network for network in known if network.version == mine.version)


def _told(one: dict[str, Any]) -> str:
    """How an edge sees an app host, in a line."""
    line = f"{one['name']} ({one['address']}): {one['state']}, last check {one['check'] or 'none'}"
    if one["stage"]:
        return f"{line}; from here: {one['reason']}"
    return (
        f"{line}; from here: HTTP {one['status'] or 'nothing'}, without the PROXY protocol {one['plain'] or 'nothing'}"
    )
