"""Whether the groups have a host whose addresses the project reads. Controller only."""

from __future__ import annotations

from collections.abc import Iterator

from ..view import HostView, Problem, check, listed


@check("release")
def release_redis(host: HostView) -> Iterator[Problem]:
    """The Redis whose address the project reads is one that there is."""
    if (host.raw("groups") or {}).get("redis"):
        return
    for variable in ("release_environment", "release_secrets", "release_files"):
        read = {"redis_url", "redis_host"} & set(host.sources(variable))
        if read and variable not in read:
            fix = "Put a host into group redis, or write the address of your own Redis."
            yield Problem(variable, f"reads {listed(sorted(read))}, and group redis has no host", fix)


@check("release")
def release_database(host: HostView) -> Iterator[Problem]:
    """The database whose address the project reads is one that there is."""
    groups = host.raw("groups") or {}
    if groups.get("database"):
        return
    for variable in ("release_environment", "release_secrets", "release_files"):
        read = {"postgresql_url", "postgresql_host"} & set(host.sources(variable))
        if read and variable not in read:
            fix = "Put a host into group database, or write the address of your own database."
            yield Problem(variable, f"reads {listed(sorted(read))}, and group database has no host", fix)
