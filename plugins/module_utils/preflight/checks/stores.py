"""Redis and databases in the project's environment exist, and all hosts share them. Controller only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from ..view import HostView, Problem, check, is_mapping, listed, probe_facts
from .ports import listeners_of, overlap

REDIS_SIZES = {"": 1, "b": 1, "k": 10**3, "kb": 2**10, "m": 10**6, "mb": 2**20, "g": 10**9, "gb": 2**30}
REDIS_PORT = 6379
LEAST_REDIS = 4  # MB: Redis takes one for itself, and refuses every message if there is no more


def environment_of(host: HostView) -> Iterator[tuple[str, str, str]]:
    """The variable, name and text of everything in the project's environment."""
    for variable in ("release_environment", "release_secrets"):
        given = host.get(variable)
        for name, value in given.items() if is_mapping(given) else ():
            yield variable, str(name), str(value)


def addresses_of(host: HostView, schemes: tuple[str, ...]) -> Iterator[tuple[str, str, SplitResult]]:
    """The variable, name and address of each address with one of the schemes; its host and port are readable.

    A value may have several addresses with commas between them.
    """
    for variable, name, value in environment_of(host):
        for address in re.split(r",(?=\w+://)", value):
            try:
                url = urlsplit(address)
                _ = url.port  # raises if it is not a number
            except ValueError:
                continue
            if url.scheme in schemes:
                yield variable, name, url


def is_loopback(host: HostView, name: str) -> bool:
    """Whether a name or an address leads to the host itself, also through base_host_aliases."""
    aliases = host.get("base_host_aliases")
    name = str(aliases.get(name, name)) if is_mapping(aliases) else name
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


@check("release")
def redis_is_there(host: HostView) -> Iterator[Problem]:
    """If the project's Redis should be on the host itself, it is there, or this run installs it."""
    if "listeners" not in probe_facts(host.probe) or not host.installs:
        return
    brought = any(role.name == "redis" for role in host.roles)
    bind = [str(one).removeprefix("-") for one in host.items("redis_bind")]
    there = {one.port for one in listeners_of(host) if overlap("127.0.0.1", one.address) or one.address == "::1"}
    for variable, name, url in addresses_of(host, ("redis", "rediss")):
        port = url.port or REDIS_PORT
        if not is_loopback(host, url.hostname or ""):
            continue
        if port in there or (brought and port == host.get("redis_port") and {"127.0.0.1", "::1"} & set(bind)):
            continue
        others = [one for one in (host.raw("groups") or {}).get("redis") or () if one != host.name]
        if brought:
            has = f"{listed(bind)}, port {host.get('redis_port')}"
            fix = f"Let the two agree: Redis of this host listens on {has} (redis_bind, redis_port)."
        elif others:
            fix = f'Write the address by which this host reaches group redis:\n  {name}: "{{{{ redis_url }}}}"'
        else:
            fix = f"Put {host.name} into group redis, or write the address of your own Redis."
        yield Problem(variable, f"{name} leads to a Redis on the host itself, port {port}, and there is none", fix)


@check("release")
def database_is_one(host: HostView) -> Iterator[Problem]:
    """Several app hosts don't each use SQLite: only one is migrated, and none sees what the others' users write."""
    hosts = (host.raw("groups") or {}).get("app") or ()
    if len(hosts) < 2 or host.get("preflight_allow_sqlite"):
        return
    file = r"(?i)(?:sqlite|spatialite)3?:(?!.*(?:mode=ro|immutable=1|:memory:)).*|(?:[^:]|:(?!//))*\.sqlite3?"
    found = {name: variable for variable, name, value in environment_of(host) if re.fullmatch(file, value)}
    found |= {
        path: "release_shared_paths"
        for path in map(str, host.items("release_shared_paths"))
        if re.fullmatch(file, path)
    }
    for name, variable in found.items():
        fix = (
            "Have one database for all of them. A PostgreSQL comes to a host in group database, and its address into "
            "the environment; or write preflight_allow_sqlite: true where each is to have its own:\n"
            '  DATABASE_URL: "{{ postgresql_url }}"'
        )
        fault = f"{name} names an SQLite, and there are {len(hosts)} app hosts, which would have one each"
        yield Problem(variable, fault, fix)


@check("redis")
def redis_memory(host: HostView) -> Iterator[Problem]:
    """Redis has room for itself and for messages, and no more than the host has."""
    limit, memory = host.get("redis_maxmemory"), probe_facts(host.probe).get("memory_mb", "")
    found = re.fullmatch(r"(\d+)([kmg]?b?)", str(limit), re.IGNORECASE)
    if limit is None:
        return
    if not found:
        yield Problem("redis_maxmemory", f'"{limit}" is no size', "Write a whole number and mb or gb: 256mb")
        return
    size = int(found[1]) * REDIS_SIZES[found[2].lower()] / 2**20
    if found[1].strip("0") and size < LEAST_REDIS:
        fault = f'"{limit}" is less than Redis takes for itself: it would refuse every message'
        yield Problem("redis_maxmemory", fault, f"Write {LEAST_REDIS}mb or more: 256mb")
    elif memory.isdigit() and size > int(memory):
        yield Problem("redis_maxmemory", f'"{limit}" is more than the {memory} MB of the host', "Write less: 256mb")
