"""PostgreSQL's names, password and addresses, and its other projects. Controller only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from ..addresses import address_fault
from ..view import NEW_SECRET, SECRET_LENGTH, HostView, Problem, check, listed, probe_facts


@check("postgresql")
def postgresql_password(host: HostView) -> Iterator[Problem]:
    """The password is long enough, and all PostgreSQL clients read it alike."""
    value = host.get("postgresql_password")
    fix = NEW_SECRET
    if value is not None and len(str(value)) < SECRET_LENGTH:
        yield Problem("postgresql_password", f"has fewer than {SECRET_LENGTH} characters", fix)
    if value is not None and not re.fullmatch(r"[ -~]*", str(value)):
        yield Problem("postgresql_password", "has characters that are not printable ASCII", fix)


@check("postgresql")
def postgresql_names(host: HostView) -> Iterator[Problem]:
    """Names belong to this project only, and need no quotes anywhere."""
    for variable in ("postgresql_database", "postgresql_user"):
        name = host.get(variable)
        if name is None:
            continue
        fix = "Write lower-case letters, digits and underscores: dashboard"
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", str(name)):
            yield Problem(variable, f'"{name}" cannot be a name without quotes', fix)
        elif re.match(r"pg_|(postgres|public|all|sameuser|samerole|replication|template[01])$", str(name)):
            yield Problem(variable, f'"{name}" is PostgreSQL\'s own', fix)


@check("postgresql")
def postgresql_addresses(host: HostView) -> Iterator[Problem]:
    """PostgreSQL listens where the project's hosts reach it, and not where the whole world can."""
    bind = [str(text) for text in host.items("postgresql_bind")]
    for text in bind:
        if fault := address_fault(text):
            fix = "Write addresses of a private network or 127.0.0.1:\n  postgresql_bind: [127.0.0.1, 10.0.0.5]"
            yield Problem("postgresql_bind", f'"{text}" {fault}', fix)
    if "app" in host.groups and bind and host.get("postgresql_host") == "127.0.0.1" and "127.0.0.1" not in bind:
        yield Problem("postgresql_bind", "lacks 127.0.0.1, at which this host reaches it", "Add 127.0.0.1.")
    for text in host.items("postgresql_clients"):
        try:
            network = ipaddress.ip_network(str(text))
        except ValueError as error:
            fix = "Write addresses and networks: [127.0.0.1, 10.0.0.0/24]"
            yield Problem("postgresql_clients", f"{error}", fix)
            continue
        if not network.prefixlen or address_fault(str(network.network_address)):
            fix = "Write addresses of a private network: [127.0.0.1, 10.0.0.0/24]"
            yield Problem("postgresql_clients", f"{network} is not private", fix)


@check("postgresql")
def postgresql_hosts(host: HostView) -> Iterator[Problem]:
    """There is one server, and the project's hosts have addresses in its network."""
    groups = host.raw("groups") or {}
    if len(groups.get("database") or ()) > 1:
        fix = "Keep one host in it: a second one would hold different data, not a copy."
        yield Problem("", f"group database has {len(groups['database'])} hosts", fix)
    variables = host.raw("hostvars")
    others = [name for name in groups.get("app") or () if name not in (groups.get("database") or ())]
    unknown = [name for name in others if variables and "private_address" not in variables.raw_get(name)]
    if unknown and "postgresql_clients" not in host.inventory:
        fix = "Write private_address for each of them, its address in the network that the database is in."
        yield Problem("postgresql_clients", f"the address of {listed(unknown)} is not known", fix)
    if others and not {"private_address", "postgresql_host"} & set(host.inventory):
        fix = "Write private_address for it, its address in the network that the app hosts are in."
        yield Problem("postgresql_host", "the address of this host is not known", fix)


@check("postgresql")
def postgresql_projects(host: HostView) -> Iterator[Problem]:
    """Other inventories' projects in the same PostgreSQL have other databases and users."""
    mine, owner = str(host.get("release_app") or host.get("postgresql_database")), ""
    for line in probe_facts(host.probe).get("postgresql_projects", "").split(";"):
        if begun := re.fullmatch(r"# BEGIN project (.*)", line):
            owner = begun[1]
        words = line.split()
        if owner in ("", mine) or len(words) < 3 or words[0] not in ("host", "hostssl"):
            continue
        for variable, name in (("postgresql_database", words[1]), ("postgresql_user", words[2])):
            if host.get(variable) in name.split(","):
                fix = f"Give {mine} its own; if you delete the line, it has one."
                yield Problem(
                    variable, f"{host.get(variable)} is the one of project {owner} in the same PostgreSQL", fix
                )
