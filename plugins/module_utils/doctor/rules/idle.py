"""Sockets that were left silent."""

from __future__ import annotations

from collections.abc import Iterator

from ..answers import cut_late, told
from ..case import Case, Finding, version_of


def idle(case: Case) -> Iterator[Finding]:
    """Sockets that were left silent."""
    cut = [each for each in case.directs if each["status"] == 101 and each["close"] and cut_late(each)]
    version = case.project.get("versions", {}).get("redis", "0")
    core = case.project.get("layer", "").startswith("channels_redis.core")
    old_wait = core and version_of(version) >= (8,) and not case.project.get("patient")
    limit = max([each.get("websocket_timeout", 0) for each in case.processes] or [0])
    if cut:
        close, seconds = cut[0]["close"]["code"], cut[0]["close"]["at"]
        by_redis = old_wait and close in (1011, 1006)
        # daphne looks every second for sockets that are too old.
        by_age = close in (1000, 1005) and limit and limit - 0.5 <= seconds <= limit + 3
        code = "E603_REDIS_PY_8" if by_redis else "E607_WEBSOCKET_TIMEOUT" if by_age else "E604_IDLE_SERVER"
        yield case.find(code, told(cut[0]), version=version, close=close, seconds=seconds, limit=f"{limit:g}")
        return
    if limit:
        yield case.find("W608_WEBSOCKET_TIMEOUT", f"--websocket_timeout {limit:g}", limit=f"{limit:g}")
    for each, code in ((case.proxy, "E601_IDLE_PROXY"), (case.outside, "E602_IDLE_BALANCER")):
        if each and each["status"] == 101 and cut_late(each):
            seconds = each["close"]["at"]
            timeout = f"{case.route['read_timeout']:g} s" if case.route else "not known"
            yield case.find(code, told(each), seconds=seconds, half=max(1, round(seconds / 2)), timeout=timeout)
            return
    tried = case.evidence.get("idle_seconds") or 0
    if old_wait and tried < 6:
        yield case.find("W606_REDIS_PY_8", f"redis-py {version}", version=version)
    ping = max([each["ping"] for each in case.processes if each["server"]] or [20])
    if case.route.get("pass") and case.route["read_timeout"] <= ping:
        yield case.find("W605_READ_TIMEOUT", _where_timeout(case), timeout=f"{case.route['read_timeout']:g}",
                        ping=f"{ping:g}")  # fmt: skip


def _where_timeout(case: Case) -> str:
    return f"{case.route['where']}: proxy_read_timeout {case.route['read_timeout']:g}s"
