"""Check that groups whose addresses the project reads have a host. Controller only."""

from __future__ import annotations

from collections.abc import Iterator

from ..view import HostView, Problem, check, listed

ADDRESSES = {
    "redis": {"redis_url", "redis_urls", "redis_sentinels", "redis_host"},
    "database": {"postgresql_url", "postgresql_host"},
}


def reads_of_nobody(host: HostView, group: str, what: str) -> Iterator[Problem]:
    """Yield what the project reads from a group that has no host."""
    for variable in ("release_environment", "release_secrets", "release_files"):
        read = ADDRESSES[group] & set(host.sources(variable))
        if read and variable not in read:
            fix = f"Put a host into group {group}, or write the address of your own {what}."
            yield Problem(variable, f"reads {listed(sorted(read))}, but group {group} has no host", fix)


@check("release")
def release_redis(host: HostView) -> Iterator[Problem]:
    """The Redis whose address the project reads exists."""
    if (host.raw("groups") or {}).get("redis"):
        return
    yield from reads_of_nobody(host, "redis", "Redis")


@check("release")
def release_database(host: HostView) -> Iterator[Problem]:
    """The database whose address the project reads exists."""
    if (host.raw("groups") or {}).get("database"):
        return
    yield from reads_of_nobody(host, "database", "database")
