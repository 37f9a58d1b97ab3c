"""PostgreSQL's names, password and addresses, and its other projects. Controller only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from ..addresses import address_fault
from ..systems import packages_of
from ..view import NEW_SECRET, PROBE, SECRET_LENGTH, HostView, Problem, check, listed, probe_facts


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
    """The project's hosts have addresses in the network of the database."""
    groups = host.raw("groups") or {}
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
def postgresql_replication(host: HostView) -> Iterator[Problem]:
    """Two hosts of the database can be a primary and its standby."""
    names = members_of(host)
    if len(names) < 2:
        return
    if len(names) > 2 and host.name == names[0]:
        yield Problem("", f"group database has {len(names)} hosts: {listed(names)}", "Keep two, or one.")
    password = str(host.get("postgresql_replication_password") or "")
    if len(password) < SECRET_LENGTH or not re.fullmatch(r"[!-~]*", password) or {*":\\"} & {*password}:
        fault = f"is not {SECRET_LENGTH} or more letters, digits and signs other than : and \\"
        yield Problem("postgresql_replication_password", f"{fault}, and group database has two hosts", NEW_SECRET)
    if "private_address" not in host.inventory:
        fix = "Write its address in the network that the other one is in."
        yield Problem("private_address", "is not set, and the other host of the database has to reach this one", fix)
    facts = probe_facts(host.probe)
    if facts.get("init", "systemd") != "systemd":
        fix = "Keep one host in group database, or use hosts that systemd runs."
        yield Problem("", "has no systemd, which keeps a former primary from starting beside its successor", fix)
    if host.get("pgbouncer_mode") not in (None, "none"):
        fix = "Write none, or keep one host in group database."
        yield Problem("pgbouncer_mode", f'is "{host.get("pgbouncer_mode")}", and group database has two hosts', fix)
    versions = {name: packages_of(facts_of(host, name))["postgresql"] for name in names if facts_of(host, name)}
    if len(set(versions.values())) > 1 and host.name == names[0]:
        has = listed(f"{name} has PostgreSQL {version}" for name, version in versions.items())
        fix = "A standby needs the version of its primary: use the same Debian for both."
        yield Problem("", f"the hosts of group database differ: {has}", fix)


@check("postgresql")
def postgresql_states(host: HostView) -> Iterator[Problem]:
    """One host of the database is the primary, and nothing is done that could make it two."""
    names, rebuilt = members_of(host), host.get("postgresql_rebuild")
    states = {name: facts_of(host, name).get("postgresql_state", "") for name in names}
    mine = states.get(host.name, "")
    if rebuilt and rebuilt not in names:
        yield Problem("postgresql_rebuild", f'"{rebuilt}" is not in group database', f"Write one of {listed(names)}.")
    if not host.installs:
        return
    if len(names) < 2:
        if mine in ("standby", "former"):
            fix = "Put both hosts into group database. To keep this one alone: playbooks/promote_database.yml before."
            yield Problem("", f"PostgreSQL here is the {mine} of another host, and group database has no other", fix)
        elif "postgresql_standby" in facts_of(host, host.name) and (others := other_projects(host)):
            fix = "Put both hosts into group database, as in their inventories."
            yield Problem("", f"its PostgreSQL has a standby, which {listed(others)} may need", fix)
        return
    primaries = [name for name in names if name != rebuilt and states[name] == "primary"]
    if len(primaries) > 1 and host.name == primaries[0]:
        fix = (
            "Find out whose data are newer, and make the other one the standby; its data are put aside:\n"
            + "\n".join(map(rebuilding, primaries))
        )
        yield Problem("", f"{listed(primaries)} are both the primary of the database", fix)
    if mine == "former" and rebuilt != host.name:
        fix = f"Make it the standby; its data are put aside:\n{rebuilding(host.name)}"
        yield Problem("", "its PostgreSQL was the primary until the other host took over, and is stopped", fix)
    if rebuilt in names and not primaries and host.name == rebuilt:
        yield Problem("postgresql_rebuild", f"is {rebuilt}, and no other host of this run is the primary", "Delete it.")
    if set(states.values()) == {"standby"} and host.name == names[0]:
        fix = "Find out whose data are newer, and promote it: playbooks/promote_database.yml --limit <its name>"
        yield Problem("", f"{listed(names)} are both a standby", fix)
    if mine in ("none", "fresh") and "" in states.values():
        fix = "Run this without --limit."
        yield Problem("", "whether this or the other host of the database is the primary is not known", fix)


def members_of(host: HostView) -> list[str]:
    """The hosts of group database."""
    return list((host.raw("groups") or {}).get("database") or ())


def facts_of(host: HostView, name: str) -> dict[str, str]:
    """What the probe found on a host; nothing if this run did not ask it."""
    if name == host.name:
        return probe_facts(host.probe)
    variables = host.raw("hostvars")
    return probe_facts((variables.raw_get(name).get(PROBE) if variables else None) or {})


def rebuilding(name: str) -> str:
    """The command that makes a host the standby."""
    return f"  ansible-playbook playbooks/provision.yml -e postgresql_rebuild={name}"


def other_projects(host: HostView) -> list[str]:
    """Projects of other inventories in the same PostgreSQL."""
    mine = str(host.get("release_app") or host.get("postgresql_database"))
    lines = probe_facts(host.probe).get("postgresql_projects", "").split(";")
    return [found[1] for line in lines if (found := re.fullmatch(r"# BEGIN project (.*)", line)) and found[1] != mine]


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
