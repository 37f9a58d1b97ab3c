"""The channel layer and its Redis."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..answers import opened
from ..case import Case, Finding, of_text, version_of
from ..signatures import signature
from .certificate import rest

#: What a node of Redis Cluster answers, and what redis-py makes of that.
CLUSTER = re.compile(
    r"CROSSSLOT|ClusterCrossSlotError|MovedError|\bMOVED \d+ |CLUSTERDOWN|ClusterDownError|the same slot"
)
#: Where a connection was to go, as redis-py says it, and as asyncio does.
TO_REDIS = re.compile(r"connecting to \S+?:(\d+)")
TO_ANY = re.compile(r"Connect call failed \('[^']*', (\d+)")


def layer(case: Case) -> Iterator[Finding]:
    """The channel layer and its Redis."""
    error, name = case.project.get("layer_error", ""), case.project.get("layer", "")
    if error:
        yield of_text(case, code_of(case, error), error, [])
    if error := case.project.get("database_error", ""):
        full = signature(error) == "E547_DATABASE_FULL"
        code = "W513_DATABASE" if opened(case.direct) else "E547_DATABASE_FULL" if full else "E513_DATABASE"
        yield case.find(code, error, error=error[:200])
    count = sum(_processes_at(case, each["address"]) for each in case.servers if each["pid"])
    if name.endswith("InMemoryChannelLayer") and count > 1:
        yield case.find("E508_LAYER_MEMORY", f"{name}, {count} processes", count=count)
    if len(case.project.get("databases", [])) > 1:
        yield case.find("E504_REDIS_DATABASE", f"databases: {', '.join(case.project['databases'])}")
    redis = case.host.get("redis") or {}
    if redis.get("running") and name.startswith("channels_redis") and _is_local(case):
        yield from _redis(case, redis)
    for each in case.project.get("certificates", []):
        if (left := rest(case, each)) is not None:
            yield case.find(
                "W515_STORE_CERT_EXPIRES", f"{each['name']}: {each['place']}", days=int(left // 86400), **each
            )
    if case.host.get("crowded"):
        yield case.find("W509_CAPACITY", case.host["crowded"])


def code_of(case: Case, error: str) -> str:
    """The code for an error of the layer's own test."""
    if CLUSTER.search(error):
        return "E546_REDIS_CLUSTER"
    code = signature(error)
    if code == "E501_REDIS_DOWN" or not code.startswith("E5"):
        gone = re.search(r"[Cc]onnect|refused|[Tt]imeout|timed out|No master found", error)
        return "E501_REDIS_DOWN" if gone and not answered(case, error) else "E510_LAYER"
    return code


def answered(case: Case, error: str) -> bool:
    """Whether a Redis answers where a connection failed, by the message of the failure.

    One that answers a PING is up: what waits for it is slow, or waits for something else.
    """
    hosts = case.project.get("layer_hosts") or []
    up = {
        f"{each.get('host')}:{each.get('port')}"
        for each in hosts
        if each.get("speaks") in ("plain", "protected", "tls")
    }
    place = re.search(r"connecting to (\S+?:\d+)", error)
    return "No master found" not in error and (place[1] in up if place else bool(up))


def elsewhere(case: Case, text: str) -> bool:
    """Whether a failed connection is to another port than any of the layer's: a broker, a database, another service."""
    asked = TO_REDIS.search(text) or TO_ANY.search(text)
    hosts = case.project.get("layer_hosts") or []
    known = {str(each["port"]) for each in hosts if each.get("port")}
    known |= {port for each in case.project.get("hosts") or [] for port in re.findall(r":(\d+)(?:/|$)", str(each))}
    if not asked or any("sentinels" in each.get("options", []) for each in hosts):
        return False  # a Sentinel names the address
    return asked[1] not in known if known else not TO_REDIS.search(text) and asked[1] != "6379"


def _processes_at(case: Case, address: str) -> int:
    """How many processes answer at an address: workers share it with the parent that started them."""
    sharing = [each for each in case.host.get("processes", [])
               if address in each["listens"] and each["name"] not in ("supervisord", "systemd")]  # fmt: skip
    parents = {each["parent"] for each in sharing}
    return max(1, len([each for each in sharing if each["pid"] not in parents]))


def _is_local(case: Case) -> bool:
    """Whether the layer's Redis is on this host; if its address is not known, assume so."""
    hosts = case.project.get("hosts") or []
    return not hosts or any(re.match(r"(127\.|localhost|\[?::1|/|unix)", str(each)) for each in hosts)


def _redis(case: Case, redis: dict[str, Any]) -> Iterator[Finding]:
    if redis.get("version") and version_of(redis["version"]) < (5,):
        yield case.find("E505_REDIS_OLD", f"redis-server {redis['version']}")
    policy, file = redis.get("maxmemory-policy", "noeviction"), redis.get("file", "redis.conf")
    limited = redis.get("maxmemory", "0").strip() not in ("", "0")
    if policy != "noeviction" and limited:
        yield case.find("W506_REDIS_EVICTS", f"{file}: maxmemory-policy {policy}", policy=policy, file=file)
    if redis.get("timeout", "0") != "0":
        yield case.find(
            "W511_REDIS_TIMEOUT", f"{file}: timeout {redis['timeout']}", timeout=redis["timeout"], file=file
        )
