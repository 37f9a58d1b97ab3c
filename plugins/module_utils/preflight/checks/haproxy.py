"""Whether the edges of a fleet and its app hosts fit together, and what an edge can hold. Controller only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from ...certificates.pairs import as_address
from ..view import HostView, Problem, check, listed, probe_facts
from .limits import files_of, number

OTHER_FILES = 1024  # of HAProxy, besides two for each connection: listeners, checks, logs (roles/haproxy/vars/main.yml)
SOCKET_KB = 40  # memory of a silent socket with TLS in HAProxy and the kernel: docs/fleet.md
APP_TLS_KB = 35  # more of it with haproxy_app_tls
PORTS = 28000  # from which a host can connect to one address, as Debian has it
PORT_RANGE = "net.ipv4.ip_local_port_range"
MORE_PORTS = (10240, 65535)  # if that is too few; below are ports that daemons are given
MOST_PORTS = 55000
ADDRESS = "private_address"


def connections_of(sockets: int) -> int:
    """The connections that HAProxy accepts for a number of sockets, as roles/haproxy/vars/main.yml has it."""
    return sockets + max(256, sockets // 4)


def edges_of(host: HostView) -> list[str]:
    """The names of the fleet's edges; none if browsers connect to the app hosts themselves."""
    return list((host.raw("groups") or {}).get("proxy") or ())


def addresses_of(host: HostView, names: list[str]) -> dict[str, str]:
    """The private addresses of those hosts that have one."""
    variables = host.raw("hostvars") or {}
    found = {name: (variables.get(name) or {}).get(ADDRESS) for name in names}
    return {name: str(address) for name, address in found.items() if address}


def edge_limits_of(host: HostView) -> dict[str, Any]:
    """Kernel settings that `haproxy_sockets` needs: `kernel` by name, and whether the running kernel has others.

    One app host may have to take all sockets of an edge, while the others are down. A range that is wider stays.
    """
    running = [int(text) for text in probe_facts(host.probe).get(f"sysctl:{PORT_RANGE}", "").split() if text.isdigit()]
    if number(host, "haproxy_sockets", 0) <= PORTS or len(running) != 2:
        return {"kernel": {}, "kernel_is_behind": False}
    wanted = [min(running[0], MORE_PORTS[0]), max(running[1], MORE_PORTS[1])]
    return {"kernel": {PORT_RANGE: " ".join(map(str, wanted))}, "kernel_is_behind": wanted != running}


@check("haproxy")
def haproxy_host(host: HostView) -> Iterator[Problem]:
    """An edge is a host of its own, with systemd, for one project."""
    facts = probe_facts(host.probe)
    if "app" in host.groups:
        fix = "An edge is a host of its own. Take it out of group app, or out of group proxy."
        yield Problem("", "is in groups app and proxy, whose nginx and HAProxy would take the same ports", fix)
    if facts.get("init", "systemd") != "systemd":
        yield Problem("", f"runs {facts['init']}, and edges need systemd", "Give the edge a host that runs systemd.")
    if not host.get("release_app"):
        fix = "Write it where all hosts read it, into group_vars/all:\n  release_app: myproject"
        yield Problem("release_app", "is not set for edges", fix)
        return
    other, digest = facts.get("haproxy_project", ""), facts.get("haproxy_conf", "")
    if other and other != host.get("release_app"):
        fix = f"Give this project an edge of its own, or remove {other} from this one first."
        yield Problem("", f"is the edge of {other}, and an edge serves one project", fix)
    elif host.installs and digest and not other and digest not in facts.get("haproxy_packaged", "").split():
        fix = "Give the edge a host of its own, or move the file away:\n  mv /etc/haproxy/haproxy.cfg /root/"
        yield Problem("", "/etc/haproxy/haproxy.cfg is neither Debian's nor this bundle's, and would be replaced", fix)


@check("haproxy")
def haproxy_addresses(host: HostView) -> Iterator[Problem]:
    """Edges and app hosts know each other's addresses."""
    names = [host.name, *((host.raw("groups") or {}).get("app") or ())]
    known = addresses_of(host, names)
    if lacking := [name for name in names if name not in known]:
        fault = f"is not set for {listed(lacking)}: edges and app hosts reach each other there"
        fix = f"Write for each of them its address on the private network:\n  {ADDRESS}: 10.0.0.1"
        yield Problem(ADDRESS, fault, fix)


@check("haproxy")
def haproxy_app_tls(host: HostView) -> Iterator[Problem]:
    """App hosts that edges reach over TLS have certificates, which an edge can verify."""
    if host.get("haproxy_app_tls") is not True:
        return
    variables, names = host.raw("hostvars") or {}, list((host.raw("groups") or {}).get("app") or ())
    sources = {name: str((variables.get(name) or {}).get("certificate_source") or "none") for name in names}
    if lacking := [name for name, source in sources.items() if source == "none"]:
        fix = "Give them one of your own authority, in group_vars/app.yml:\n  certificate_source: self_signed"
        yield Problem("haproxy_app_tls", f"is true, but {listed(lacking)} have no certificate", fix)
    elif "provided" in sources.values() and (path := host.path("haproxy_app_ca_path")) and not path.exists():
        fix = "Name the file on this machine with the authority of the app hosts' certificates."
        yield Problem("haproxy_app_ca_path", f"is {path}, which does not exist", fix)
    site = [str(name) for name in host.items("nginx_server_names")]
    if not any(re.match("[A-Za-z0-9]", name) and not as_address(name) for name in site):
        fix = "Give the site a name, or leave haproxy_app_tls out:\n  nginx_server_names: [www.example.org]"
        yield Problem("nginx_server_names", "has no name for which edges could verify the app hosts", fix)


@check("haproxy")
def haproxy_sockets_fit(host: HostView) -> Iterator[Problem]:
    """The sockets of an edge fit into its open files, its memory and its ports."""
    facts, wanted = probe_facts(host.probe), number(host, "haproxy_sockets", 0)
    if wanted < 1:
        if "haproxy_sockets" not in host.faulty:
            yield Problem("haproxy_sockets", f"is {wanted}", "Write how many an edge may hold: 10000")
        return
    allowed, memory = files_of(facts), facts.get("memory_mb", "")
    needed = 2 * connections_of(wanted) + OTHER_FILES
    if allowed is not None and needed > allowed:
        connections = (allowed - OTHER_FILES) // 2
        most = max(0, min(connections - 256, connections * 4 // 5)) // 100 * 100
        fault = f"is {wanted}, which needs {needed} open files, but the host allows {allowed}: HAProxy would not start"
        fix = "Have it allow more, as by docker run --ulimit nofile=65536"
        fix += f", or write less:\n  haproxy_sockets: {most}" if most else ", since not even a hundred sockets fit."
        yield Problem("haproxy_sockets", fault, fix)
    each = SOCKET_KB + (APP_TLS_KB if host.get("haproxy_app_tls") is True else 0)
    if memory.isdigit() and wanted * each > int(memory) * 1024:
        fault = f"is {wanted}, but {each} kB for each are more than the host's {memory} MB"
        most = int(memory) * 1024 // each // 2 // 100 * 100
        yield Problem("haproxy_sockets", fault, f"Write for example:\n  haproxy_sockets: {most}")
    hosts = len((host.raw("groups") or {}).get("app") or ())
    if wanted > MOST_PORTS * max(1, hosts):
        fault = f"is {wanted}, but an edge can open {MOST_PORTS} connections to each of {hosts} app hosts"
        yield Problem("haproxy_sockets", fault, f"Add app hosts, or write {MOST_PORTS * max(1, hosts)} or less.")
    limits = edge_limits_of(host)
    if limits["kernel_is_behind"] and f"fixed:{PORT_RANGE}" in facts and host.installs:
        value = limits["kernel"][PORT_RANGE]
        fault = f"needs {PORT_RANGE} {value}, which cannot be changed from within this host"
        fix = f'Have the machine\'s administrator set it, as with docker run --sysctl "{PORT_RANGE}={value}", or write '
        yield Problem("haproxy_sockets", fault, f"{fix}{PORTS} or less.")


@check("nginx")
def nginx_serves_edges(host: HostView) -> Iterator[Problem]:
    """If the fleet has edges, each app host's nginx believes them, speaks their protocol and answers their checks."""
    edges = edges_of(host)
    if not edges:
        return
    if not host.get("nginx_health_path"):
        fix = "Delete the line, or write a path:\n  nginx_health_path: /.well-known/health"
        yield Problem("nginx_health_path", "is empty, and the edges ask there which hosts serve", fix)
    if host.get("nginx_proxy_protocol") is False:
        yield Problem("nginx_proxy_protocol", "is false, and the edges speak it", "Delete the line.")
    for variable in ("nginx_trusted_proxies", "nginx_health_allow"):
        known, named = addresses_of(host, edges), [str(one) for one in host.items(variable)]
        lacking = [name for name, address in known.items() if address not in named and not covers(named, address)]
        if lacking and variable in host.inventory:
            fault = f"lacks the address of {listed(lacking)}, an edge of this fleet"
            yield Problem(variable, fault, f"Add it, or delete the line: {', '.join(known[name] for name in lacking)}")


def covers(networks: list[str], address: str) -> bool:
    """Whether one of some networks has an address; names of sets have none of a private network."""
    for text in networks:
        try:
            if ipaddress.ip_address(address) in ipaddress.ip_network(text, strict=False):
                return True
        except ValueError:
            continue
    return False
