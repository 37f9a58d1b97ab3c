"""Check that systemd knows an inventory's lines for the sandboxes of services. Controller only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...host import sandbox
from ..view import HostView, Problem, check, is_mapping, nearest
from .workers import workers_of


def problems(variable: str, whose: str, given: Any) -> Iterator[Problem]:
    """What is wrong with the lines of one variable, or of one worker in it."""
    for name, value in given.items() if isinstance(given, Mapping) else ():
        if name not in sandbox.NAMES:
            like = nearest(str(name), sandbox.NAMES)
            fix = f"Write {like}." if like else "docs/sandbox.md lists those that there are."
            yield Problem(variable, f'{whose}has "{name}", which is no line of a sandbox', fix)
            continue
        fault, fix = sandbox.fault(name, value)
        if fault:
            yield Problem(variable, f"{whose}has {name}, which {fault}", f"Write such as\n  {variable}: {{{fix}}}")


@check("asgi")
def asgi_sandbox(host: HostView) -> Iterator[Problem]:
    """Lines for the project's processes, and for single workers."""
    yield from problems("asgi_sandbox", "", host.get("asgi_sandbox"))
    for worker in workers_of(host):
        if is_mapping(worker.get("sandbox")):
            yield from problems("asgi_workers", f"{worker.get('name')} ", worker["sandbox"])


@check("nginx")
def nginx_sandbox(host: HostView) -> Iterator[Problem]:
    """Lines for nginx."""
    yield from problems("nginx_sandbox", "", host.get("nginx_sandbox"))


@check("redis")
def redis_sandbox(host: HostView) -> Iterator[Problem]:
    """Lines for Redis."""
    yield from problems("redis_sandbox", "", host.get("redis_sandbox"))


@check("sentinel")
def sentinel_sandbox(host: HostView) -> Iterator[Problem]:
    """Lines for Sentinel."""
    yield from problems("sentinel_sandbox", "", host.get("sentinel_sandbox"))


@check("certificate")
def certificate_sandbox(host: HostView) -> Iterator[Problem]:
    """Lines for what renews certificates."""
    yield from problems("certificate_sandbox", "", host.get("certificate_sandbox"))
