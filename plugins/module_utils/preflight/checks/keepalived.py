"""Whether the edges of a fleet can share an address. Controller only."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from ..view import HostView, Problem, check, listed, probe_facts
from .haproxy import ADDRESS, addresses_of, edges_of
from .limits import number

SHARED = "keepalived_address"
EXAMPLE = f"Write an address that no host has, with its network's prefix:\n  {SHARED}: 10.0.0.100/24"
MOST_EDGES = 12  # whose priorities fit between 250 and 30 (roles/keepalived/vars/main.yml)


@check("keepalived")
def keepalived_address(host: HostView) -> Iterator[Problem]:
    """The shared address is one, with a prefix, of the edges' own family, and no host has it."""
    text = str(host.get(SHARED) or "")
    if not text:
        return
    try:
        shared = ipaddress.ip_interface(text)
    except ValueError:
        yield Problem(SHARED, f"is {text!r}, which is no address", EXAMPLE)
        return
    if "/" not in text:
        yield Problem(SHARED, f"is {text}, without the prefix of its network", f"{EXAMPLE}")
    everyone = list(host.raw("hostvars") or {})
    known = addresses_of(host, everyone)
    if owners := [name for name, address in known.items() if address == str(shared.ip)]:
        yield Problem(SHARED, f"is the address of {listed(owners)}, and it has to be free", EXAMPLE)
    other = [name for name in edges_of(host) if (":" in known.get(name, "")) != (":" in text) and name in known]
    if other:
        fault = f"is {text}, but {ADDRESS} of {listed(other)} is of the other IP version"
        yield Problem(SHARED, fault, "Write addresses of one version: edges tell each other in it who has the address.")


@check("keepalived")
def keepalived_edges(host: HostView) -> Iterator[Problem]:
    """There are edges to share the address, with systemd, and a number for it."""
    if not host.get(SHARED):
        return
    edges, init = edges_of(host), probe_facts(host.probe).get("init", "systemd")
    if not 2 <= len(edges) <= MOST_EDGES:
        fault = f"is set, but group proxy has {len(edges)} hosts, and from 2 to {MOST_EDGES} can share an address"
        yield Problem(SHARED, fault, f"Add an edge to group proxy, or switch it off:\n  {SHARED}: ''")
    if init != "systemd":
        yield Problem(SHARED, f"is set, and needs systemd, but the host runs {init}", "Give it a host with systemd.")
    identifier = number(host, "keepalived_router_id", 1)
    if not 1 <= identifier <= 255:
        fault = f"is {identifier}, and VRRP has numbers from 1 to 255"
        yield Problem("keepalived_router_id", fault, "Delete the line, or write a number that is free in your network.")
