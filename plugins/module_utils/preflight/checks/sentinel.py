"""Whether several Redises can be a group: how many, where, and whether the project finds its way among them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from ..view import NEW_SECRET, PROBE, SECRET_LENGTH, HostView, Problem, check, listed, probe_facts

LEAST = 3


def members_of(host: HostView) -> list[str]:
    """The hosts of group redis."""
    return list((host.raw("groups") or {}).get("redis") or ())


def is_site_by_itself(host: HostView) -> bool:
    """Whether each app host is a site with a Redis of its own, as the inventory says for databases, too."""
    groups = host.raw("groups") or {}
    apart = set(groups.get("app") or ()) <= set(members_of(host))
    return apart and bool(host.get("preflight_allow_sqlite"))


@check("redis")
def redis_count(host: HostView) -> Iterator[Problem]:
    """One Redis, or so many that most of them can agree when one is lost."""
    members, failover = members_of(host), host.get("redis_failover")
    if host.get("redis_sharded") is True:
        yield from shards(host, members)
    elif failover is True and len(members) < LEAST:
        fault = f"is true, but group redis has {len(members)} of the {LEAST} hosts that it takes at least"
        yield Problem("redis_failover", fault, "Add hosts to group redis, or delete the line.")
    elif failover is False and len(members) > 1 and not is_site_by_itself(host):
        others = host.raw("hostvars") or {}
        lacking = [name for name in members if not (others.get(name) or {}).get("private_address")]
        fault = f"is false, and group redis has {len(members)} hosts: {listed(members)}"
        if "redis_failover" in host.inventory or not lacking or len(members) < LEAST:
            fix = (
                "Redis runs on one host, or on three or more, of which Sentinel makes one the primary. Or have each of "
                "them carry a part of the channel layer (docs/redis.md):\n  redis_sharded: true"
            )
        else:
            lack = listed(lacking)
            fix = f"Write the address at which the others reach it, for {lack}:\n  private_address: 10.0.0.10"
        yield Problem("redis_failover", fault, fix)


def shards(host: HostView, members: list[str]) -> Iterator[Problem]:
    """Redises that share the channel layer stay apart from each other, and other hosts know where they are."""
    others = host.raw("hostvars") or {}
    if host.get("redis_failover") is True:
        fault = "is true, and so is redis_sharded: the Redises cannot be replicas of one, and each have a part"
        yield Problem("redis_failover", fault, "Delete one of the two lines.")
    if len(members) < 2:
        fault = f"is true, but group redis has {len(members)} host, which has all of the channel layer"
        yield Problem("redis_sharded", fault, "Add hosts to group redis, or delete the line.")
    if host.name == next(iter(members), ""):
        lacking = [name for name in members if not (others.get(name) or {}).get("private_address")]
        if lacking:
            fix = f"Write where the others reach it, for {listed(lacking)}:\n  private_address: 10.0.0.10"
            yield Problem("redis_sharded", "is true, and some Redises have no private_address", fix)


@check("sentinel")
def sentinel_hosts(host: HostView) -> Iterator[Problem]:
    """Each Redis of the group is at an address of its own, on a host with systemd."""
    if host.get("redis_failover") is not True:
        return
    others, mine = host.raw("hostvars") or {}, str(host.get("private_address"))
    try:
        address = ipaddress.ip_address(mine)
        fault = "leads to the host itself" if address.is_loopback else ""
    except ValueError:
        fault = "is no address, and Sentinel takes no names"
    if fault:
        yield Problem("private_address", f'"{mine}" {fault}', "Write an address: 10.0.0.10")
    same = [name for name in members_of(host) if (others.get(name) or {}).get("private_address") == mine]
    if len(same) > 1 and same[0] == host.name:
        fault = f'"{mine}" is the address of {listed(same)}, which would be lost together'
        yield Problem("private_address", fault, "Put each Redis on a machine of its own.")
    if (init := probe_facts(host.probe).get("init", "systemd")) != "systemd":
        fault = f"is true, but {init} runs here, and not systemd, with which Redis asks for its part when it starts"
        yield Problem("redis_failover", fault, "Have one host in group redis, or use hosts with systemd.")
    if host.get("redis_anonymous"):
        fault = "is true, but a group of Redises is reached by other hosts"
        yield Problem("redis_anonymous", fault, "Delete it, and give the project a password.")


@check("sentinel")
def sentinel_versions(host: HostView) -> Iterator[Problem]:
    """All Redises of the group are of one Debian: an older one cannot load what a newer primary sends it."""
    others = host.raw("hostvars") or {}
    probes = {name: (others.get(name) or {}).get(PROBE) or {} for name in members_of(host)}
    found = {name: probe_facts(probe).get("version", "") for name, probe in probes.items()}
    versions = sorted({version for version in found.values() if version})
    if host.get("redis_failover") is True and len(versions) > 1 and host.name == members_of(host)[0]:
        oldest = listed([name for name, version in found.items() if version == versions[0]])
        fault = f"is true, and the Redises are of Debian {listed(versions)}: none can follow a primary that is newer"
        fix = f"Bring all of them to one Debian, replicas first and the primary last. Left to upgrade: {oldest}."
        yield Problem("redis_failover", fault, fix)


@check("sentinel")
def sentinel_secrets(host: HostView) -> Iterator[Problem]:
    """Replicas and Sentinels have passwords."""
    for name in ("redis_replication_password", "sentinel_password") if host.get("redis_failover") is True else ():
        value = host.get(name)
        if value is not None and len(str(value)) < SECRET_LENGTH:
            short = f"has fewer than {SECRET_LENGTH} characters"
            what = short if value else "is required with redis_failover, and not set"
            yield Problem(name, what, NEW_SECRET)


@check("release")
def redis_is_looked_for(host: HostView) -> Iterator[Problem]:
    """A project that reads the URL of a group also reads where the others are: the URL leads to any of them."""
    read = {name for variable in ("release_environment", "release_secrets") for name in host.sources(variable)}
    if host.get("redis_sharded") is True and "redis_urls" not in read:
        fix = 'Have it spread over all of them (docs/redis.md):\n  release_secrets:\n    REDIS_URL: "{{ redis_urls }}"'
        fault = "does not read redis_urls, and redis_url leads to one Redis of several, another one on each host"
        yield Problem("release_secrets", fault, fix)
    if host.get("redis_failover") is not True:
        return
    if "redis_url" in read and "redis_sentinels" not in read:
        fix = (
            "Have it look for the primary (docs/redis.md):\n  release_environment:\n"
            '    REDIS_SENTINELS: "{{ redis_sentinels }}"\n    REDIS_MASTER_NAME: "{{ redis_master_name }}"'
        )
        fault = "reads redis_url alone, and that leads to one Redis of the group, which need not be the primary"
        yield Problem("release_secrets", fault, fix)
