"""Check that the project agrees on TLS with its inventory's Redis and PostgreSQL. Controller only."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import parse_qs

from ansible.errors import AnsibleError

from ...certificates.pairs import CertificateError, Pair, as_address, faults, read_chain
from ..view import HostView, Problem, check, is_mapping, listed, probe_facts
from .stores import REDIS_PORT, addresses_of, is_loopback

LET = "Let the bundle write it, with the authority that the certificate is held against:"
REDIS_FIX = f'{LET}\n  REDIS_URL: "{{{{ redis_url }}}}"'
POSTGRESQL_FIX = f'{LET}\n  DATABASE_URL: "{{{{ postgresql_url }}}}"'


def is_of_group(host: HostView, group: str, name: str) -> bool:
    """Whether a name or an address leads to a host of a group, as far as the inventory shows it."""
    members = (host.raw("groups") or {}).get(group) or ()
    if is_loopback(host, name):
        return host.name in members
    aliases, others = host.get("base_host_aliases"), host.raw("hostvars")
    name = str(aliases.get(name, name)) if is_mapping(aliases) else name
    known = set(members)
    for member in members if others else ():
        for variable in ("private_address", "ansible_host"):
            try:
                known.add(str(others[member][variable]))
            except (KeyError, AnsibleError):
                continue
    return name in known


def addresses(
    host: HostView, schemes: tuple[str, ...]
) -> Iterator[tuple[str, str, str, str, int, dict[str, list[str]]]]:
    """Variable, name, scheme, host, port and query of each address in the project's environment; port 0 if none."""
    for variable, name, url in addresses_of(host, schemes):
        yield variable, name, url.scheme, url.hostname or "", url.port or 0, parse_qs(url.query)


@check("release")
def redis_speaks(host: HostView) -> Iterator[Problem]:
    """The project uses TLS for a Redis of the inventory that takes only TLS, and no TLS for one without it."""
    tls, port, plain = host.get("redis_tls"), host.get("redis_port"), host.get("redis_plain_port")
    if not (host.raw("groups") or {}).get("redis") or not isinstance(tls, bool):
        return
    for variable, name, scheme, place, given, _ in addresses(host, ("redis", "rediss")):
        if not is_of_group(host, "redis", place):
            continue
        at = given or REDIS_PORT
        if tls and scheme == "redis" and at == port:
            fault = f"{name} begins with redis://, and Redis takes connections with TLS alone (redis_tls)"
            yield Problem(variable, fault, f"{REDIS_FIX}\nor have Redis as it was: redis_tls: false")
        elif scheme == "rediss" and (not tls or at == plain):
            fault = f"{name} begins with rediss://, and Redis speaks no TLS at port {at}"
            yield Problem(variable, fault, REDIS_FIX if tls else "Write redis_tls: true, or redis:// in the address.")


@check("release")
def redis_is_changed_over(host: HostView) -> Iterator[Problem]:
    """No existing release that connects to Redis without TLS is cut off from it."""
    if host.get("redis_tls") is not True or "redis_plain_port" in host.inventory or not host.installs:
        return
    if not (host.raw("groups") or {}).get("redis"):
        return
    home, found, port = f"redis_plain:{host.get('release_app')}/generations/", [], 0
    for key, value in probe_facts(host.probe).items():
        for place in value.split() if key.startswith(home) else ():
            name, _, number = place.rpartition(":") if ":" in place.rpartition("]")[2] else (place, "", "")
            if is_of_group(host, "redis", name.strip("[]")):
                found.append(key.removeprefix(home))
                port = int(number) if number.isdigit() else REDIS_PORT
    if not found:
        return
    fix = f"Have both, TLS at another port, until no such release is kept:\n  redis_plain_port: {port}"
    if host.get("redis_port") == port:
        fix += f"\n  redis_port: {port + 1}"
    fix += "\nWrite redis_plain_port: 0 to cut them off at once, or redis_tls: false to have no TLS (docs/stores.md)."
    yield Problem("redis_tls", f"is true, and {listed(dict.fromkeys(found))} reach Redis without TLS", fix)


@check("redis")
def redis_ports(host: HostView) -> Iterator[Problem]:
    """The port without TLS differs from the one with it."""
    plain = host.get("redis_plain_port")
    if host.get("redis_tls") is True and plain and plain == host.get("redis_port"):
        fix = f"Write another redis_port, for TLS: {plain + 1}"
        yield Problem("redis_plain_port", "is redis_port too, which speaks TLS", fix)


@check("release")
def postgresql_speaks(host: HostView) -> Iterator[Problem]:
    """The project does not refuse TLS if its PostgreSQL takes only TLS from other hosts."""
    groups = host.raw("groups") or {}
    if host.get("postgresql_tls") is not True or host.name in (groups.get("database") or ()):
        return
    for variable, name, _, place, _, query in addresses(host, ("postgres", "postgresql", "postgis")):
        if query.get("sslmode") == ["disable"] and is_of_group(host, "database", place):
            fault = f"{name} has sslmode=disable, and PostgreSQL takes other hosts with TLS alone (postgresql_tls)"
            yield Problem(variable, fault, POSTGRESQL_FIX)


@check("stores")
def stores_are_provided(host: HostView) -> Iterator[Problem]:
    """The user's own certificate fits its key and the host, and comes from the given authority."""
    texts = {part: str(host.get(f"stores_{part}") or "") for part in ("certificate_chain", "certificate_key")}
    chain, key = texts.values()
    trusted = str(host.get("stores_trusted_authorities") or "")
    roots = []
    if trusted.strip() and "stores_trusted_authorities" not in host.faulty:
        try:
            roots = read_chain(trusted)
        except CertificateError as error:
            yield Problem("stores_trusted_authorities", str(error), "Give the text of certificates, in PEM.")
            return
    if not {"redis", "database"} & host.groups or not (chain.strip() or key.strip()):
        return
    for part, text in texts.items():
        if not text.strip() and f"stores_{part}" not in host.faulty:
            yield Problem(f"stores_{part}", "is empty, though the other half of the pair is given", "Give it, in PEM.")
            return
    if not roots:
        fix = "Give the authority in PEM, or app hosts could not tell this host from another:\n"
        fix += "  stores_trusted_authorities: \"{{ lookup('ansible.builtin.file', 'authority.pem') }}\""
        yield Problem("stores_trusted_authorities", "is empty, though stores_certificate_chain is given", fix)
        return
    names = [name for name in map(str, host.items("stores_names")) if not is_local_name(host, name)]
    for part, fault in faults(Pair(chain, key), names, roots):
        fix = "Put the host's certificate first, and the key that it was made for, in PEM and without a password."
        yield Problem(f"stores_certificate_{part}", fault, fix)


def is_local_name(host: HostView, name: str) -> bool:
    """Whether no other host can reach this one by a name."""
    address = as_address(name)
    return name in ("localhost", host.name) or bool(address and ipaddress.ip_address(address).is_loopback)
