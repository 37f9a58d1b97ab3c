"""Where the channel layer looks for Redis, as it was parsed, and what is there; and who else should share the layer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..case import Case, Finding

GONE = re.compile(r"No such file|Connection refused|Error (2|111)\b")


def layer_address(case: Case) -> Iterator[Finding]:
    """The layer's address is wrong in itself, or what listens there speaks another language."""
    if case.project.get("layer_error"):
        for each in case.project.get("layer_hosts") or []:
            finding = _address(case, each)
            if finding:
                yield finding
                break
    yield from _workers(case)
    yield from _other_layers(case)


def _address(case: Case, host: dict[str, Any]) -> Finding | None:
    name, port, scheme, speaks = host.get("host", ""), host.get("port"), host.get("scheme", ""), host.get("speaks", "")
    place = f"{name}:{port}"
    address = f"{scheme or 'redis'}://{place}"
    error = case.project["layer_error"]
    options = [each for each in host.get("options") or [] if each.startswith("ssl_")]
    seen = [error, f"{place}: {speaks}" if speaks else ""]
    if "://" in name:
        inner = name.rpartition("://")[2]
        right = f'"{name if ":" in inner else f"{name}:{port}"}"'
        return case.find("E534_LAYER_HOST", seen, host=name, right=right)
    if options and scheme == "redis" and "unexpected keyword" in error:
        return case.find("E531_LAYER_TLS_OPTIONS", seen, options=", ".join(options), address=address)
    if scheme == "rediss" and speaks == "plain" and not case.bundle:
        return case.find("E532_LAYER_TLS", seen, address=address)
    if scheme in ("", "redis") and speaks == "tls" and not case.bundle:
        return case.find("E533_REDIS_WANTS_TLS", seen, address=address)
    if speaks == "protected":
        return case.find("E544_REDIS_PROTECTED", seen, error=f"{place} answers -DENIED")
    there = _redises(case)
    if path := host.get("path", ""):
        places = [place for each in case.host.get("processes", []) for place in each["listens"]
                  if each["name"] == "redis-server" and place.startswith("unix:")]  # fmt: skip
        if f"unix:{path}" in places or not (places or there) or not GONE.search(error):
            return None
        right = f"unix://{places[0].removeprefix('unix:')}" if places else f"redis://{there[0]}"
        return case.find("E536_REDIS_ELSEWHERE", [error, f"redis-server listens at {right}"], address=f"unix://{path}",
                         listening=right)  # fmt: skip
    if speaks == "name":
        instead = f", such as {there[0]}" if there else ""
        return case.find("E535_REDIS_NAME", [*seen, f"{name} has no address"], host=name, instead=instead)
    local = name in ("localhost", "127.0.0.1", "::1")
    if speaks == "refused" and there and not case.bundle and (local or name in _own_addresses(there)):
        return case.find("E536_REDIS_ELSEWHERE", [*seen, f"redis-server listens at {', '.join(there)}"],
                         address=place, listening=there[0])  # fmt: skip
    return None


def _redises(case: Case) -> list[str]:
    """Where a Redis of this host listens, addresses of IPv4 first."""
    found = [address.removeprefix("tcp:") for each in case.host.get("processes", []) for address in each["listens"]
             if each["name"] == "redis-server" and address.startswith("tcp:")]  # fmt: skip
    found = [re.sub(r"^(0\.0\.0\.0|::):", "127.0.0.1:", each) for each in found]
    return sorted(dict.fromkeys(found), key=lambda each: each.startswith(":"))


def _own_addresses(places: list[str]) -> set[str]:
    return {each.rpartition(":")[0] for each in places}


def other_layers(case: Case) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """The workers that send, whose environment leads to another Redis or database than the layer of the sockets."""
    layers = {f"{each.get('host')}:{each.get('port')}/{each.get('database') or '0'}"
              for each in case.project.get("layer_hosts") or []}  # fmt: skip
    return [(each, other) for each in case.host.get("relatives") or [] if each["sends"]
            for other in each.get("elsewhere", []) if other["server"] in layers]  # fmt: skip


def _other_layers(case: Case) -> Iterator[Finding]:
    for worker, other in other_layers(case)[:1]:
        seen = [f"{worker['what']} (process {worker['pid']}) sends: {worker['sends']}",
                f"{other['name']}: {other['server']} for the server, {other['worker']} for it"]  # fmt: skip
        yield case.find("E545_OTHER_LAYER", seen, worker=worker["what"], name=other["name"], server=other["server"],
                        worker_place=other["worker"])  # fmt: skip


def _workers(case: Case) -> Iterator[Finding]:
    """A layer in memory, while another process of the project runs or is started by the clock."""
    workers = case.host.get("relatives") or []
    if not case.project.get("layer", "").endswith("InMemoryChannelLayer") or not workers:
        return
    senders = [each for each in workers if each["sends"]]
    told = senders or [each for each in workers if each["kind"] == "celery"]
    if not told:
        return
    names = ", ".join(each["what"] for each in told)
    seen = [case.project["layer"]]
    seen += [f"{each['what']}{' (process ' + str(each['pid']) + ')' if each['pid'] else ', started by the clock'}"
             + (f" sends: {each['sends']}" if each["sends"] else "") for each in told]  # fmt: skip
    yield case.find("E537_LAYER_WORKERS" if senders else "W537_LAYER_WORKERS", seen, workers=names)
