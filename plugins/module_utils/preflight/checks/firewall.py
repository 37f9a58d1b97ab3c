"""Check that the firewall does not shut out whoever sets it up, or run beside another one. Controller only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping

from ..view import HostView, Problem, check, is_mapping, listed, probe_facts
from .site import sites_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
LISTS = ("firewall_ssh_from", "firewall_site_from")
STORES = {"redis": ("Redis", "redis_bind"), "postgresql": ("PostgreSQL", "postgresql_bind")}


def network_of(text: object) -> Network | None:
    """An address or a network; None if it is neither."""
    try:
        return ipaddress.ip_network(str(text))
    except ValueError:
        return None


def network_fault(text: object) -> str:
    """Why a text is not a network that rules can use; empty if it is."""
    network = network_of(text)
    if network is None:
        with_host = re.fullmatch(r"(.+)/(\d+)", str(text))
        try:
            better = ipaddress.ip_network(str(text), strict=False)
        except ValueError:
            return f'"{text}" is no address or network'
        return f'"{text}" has bits of a host{f": write {better}" if with_host else ""}'
    return f'"{text}" is everywhere: leave the list empty' if network.prefixlen == 0 else ""


def controller_of(facts: Mapping[str, str]) -> Address | None:
    """The address that this run connects from, as the host sees it; None if it does not use SSH."""
    words = facts.get("ssh_connection", "").split()
    try:
        address = ipaddress.ip_address(words[0].partition("%")[0])
    except (IndexError, ValueError):
        return None
    return getattr(address, "ipv4_mapped", None) or address


def wanted(host: HostView) -> bool:
    """Whether this run is to give the host the firewall."""
    return host.installs and bool(host.get("firewall_enabled"))


@check("firewall")
def firewall_networks(host: HostView) -> Iterator[Problem]:
    """Lists of networks hold only networks."""
    for name in LISTS:
        for text in host.items(name):
            if fault := network_fault(text):
                host.faulty.add(name)
                yield Problem(name, fault, f"Write addresses and networks:\n  {name}: [198.51.100.0/24, 2001:db8::/32]")
                break


@check("firewall")
def firewall_allow(host: HostView) -> Iterator[Problem]:
    """Each extra rule has a port, and networks if it is not for everybody."""
    fix = "Write such as:\n  firewall_allow:\n    - {port: 8443, from: [198.51.100.0/24]}"
    for rule in host.items("firewall_allow"):
        if not is_mapping(rule):
            continue
        port = str(rule.get("port"))
        ends = [int(end) for end in port.split("-") if end.isdigit()]
        if not re.fullmatch(r"\d+(-\d+)?", port) or not all(0 < end < 65536 for end in ends) or ends != sorted(ends):
            yield Problem("firewall_allow", f'"{port}" is neither a port nor a range of ports', fix)
        for text in rule.get("from") or []:
            if fault := network_fault(text):
                yield Problem("firewall_allow", f"from of port {port}: {fault}", fix)
                break


@check("firewall")
def firewall_lets_ssh_in(host: HostView) -> Iterator[Problem]:
    """This machine, which sets the firewall up, can still get in afterwards."""
    facts = probe_facts(host.probe)
    if not wanted(host) or "ssh_connection" not in facts:
        return
    address, networks = controller_of(facts), [network_of(text) for text in host.items("firewall_ssh_from")]
    inside = any(address in network for network in networks if network and address)
    if "firewall_ssh_from" not in host.faulty and networks and address and not inside:
        fault = f"lacks {address}, from where this run has come: it would shut this machine out"
        fix = f"Add it as the host sees it, or its network:\n  firewall_ssh_from: [{address}]"
        yield Problem("firewall_ssh_from", fault, fix)
    if address and not facts.get("ssh_ports", "").split():
        fix = "Check what `sshd -T` says there, or write firewall_enabled: false"
        yield Problem("firewall_enabled", "is true, but the port that SSH listens on is unknown", fix)


@check("firewall")
def firewall_is_the_only_one(host: HostView) -> Iterator[Problem]:
    """A host that has another firewall keeps that one: each would refuse what the other lets in."""
    facts = probe_facts(host.probe)
    if not wanted(host):
        return
    found = ""
    if facts.get("firewall_ufw", "").lower().strip('"') == "yes":
        found, way = "ufw is on", "ufw disable"
    elif facts.get("firewall_firewalld"):
        found, way = "firewalld runs", "systemctl disable --now firewalld"
    elif others := [one for one in facts.get("firewall_others", "").split(";") if one]:
        found, way = f"nftables' {listed(others)} refuses what it does not name", "take it out of its configuration"
    elif facts.get("firewall_legacy"):
        found, way = "iptables refuses what its chain INPUT does not name", "take it out of its configuration"
    if found:
        fix = (
            "Keep the host's own, and let it allow SSH and the site's ports:\n  firewall_enabled: false\n"
            f"or remove it there first ({way})."
        )
        yield Problem("firewall_enabled", f"is true, and {found} on the host", fix)


@check("firewall")
def firewall_of_others(host: HostView) -> Iterator[Problem]:
    """If other projects on the host have the firewall, this site needs its rules too, or nobody reaches it."""
    others = [
        name for name in probe_facts(host.probe).get("firewall_projects", "").split() if name != host.get("release_app")
    ]
    if host.installs and others and not host.get("firewall_enabled"):
        fault = f"is false, and the firewall of {listed(others)} on the host would refuse this site's ports"
        fix = (
            "Allow them:\n  firewall_enabled: true\nor switch it off for the whole host first:\n"
            "  systemctl disable --now channels-firewall && rm -r /etc/channels-firewall"
        )
        yield Problem("firewall_enabled", fault, fix)


def covered(host: HostView, port: int) -> bool:
    """Whether this run's rules let TCP in at a port."""
    tls, daemon = host.get("certificate_source") != "none", "haproxy" if "proxy" in host.groups else "nginx"
    site = {str(host.get(f"{daemon}_http_port")), str(host.get(f"{daemon}_https_port")) if tls else ""}
    ranges = [
        str(rule.get("port")).partition("-")
        for rule in host.items("firewall_allow")
        if is_mapping(rule) and rule.get("protocol", "tcp") == "tcp"
    ]
    return str(port) in site or any(
        first.isdigit() and int(first) <= port <= int(last if last.isdigit() else first) for first, _, last in ranges
    )


@check("firewall")
def firewall_closes_no_neighbour(host: HostView) -> Iterator[Problem]:
    """Other projects on the host that have no rules of their own keep their ports when the firewall comes."""
    if not wanted(host) or "firewall_allow" in host.faulty:
        return
    with_rules = probe_facts(host.probe).get("firewall_projects", "").split()
    for name, site in sites_of(host).items():
        if name in with_rules:
            continue
        listens = [words[1] for words in site if words[0] == "listen"]
        ports = {
            int(text.rpartition(":")[2])
            for text in listens
            if text.rpartition(":")[2].isdigit() and not text.startswith(("127.", "[::1]", "localhost:", "unix:"))
        }
        if closed := sorted(port for port in ports if not covered(host, port)):
            fault = f"is true, and would close port {listed(map(str, closed))} of {name}, which is on this host too"
            fix = "\n".join(
                ["Let it in, until that project has firewall_enabled: true as well:", "  firewall_allow:"]
                + [f"    - {{port: {port}}}" for port in closed]
            )
            yield Problem("firewall_enabled", fault, fix)


@check("firewall")
def firewall_knows_peers(host: HostView) -> Iterator[Problem]:
    """The inventory says from which address each host connects to a store on this host."""
    if not wanted(host):
        return
    groups, variables = host.raw("groups") or {}, host.raw("hostvars") or {}
    users = [name for name in groups.get("app") or () if name != host.name]
    for role in host.roles:
        if role.name not in STORES:
            continue
        store, bind = STORES[role.name]
        addresses = [str(one).removeprefix("-") for one in host.items(bind)]
        if all(one in ("localhost", "::1") or one.startswith("127.") for one in addresses):
            continue
        lacking = [name for name in users if not (variables.get(name) or {}).get("private_address")]
        if lacking:
            fault = f"is true, and from where {listed(lacking)} come to {store}, nobody has said"
            fix = "Write for each of them the address from which it connects:\n  private_address: 10.0.0.1"
            yield Problem("firewall_enabled", fault, fix)
