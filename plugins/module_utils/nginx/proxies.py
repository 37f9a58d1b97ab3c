"""Balancers that are trusted to name the client: addresses, networks, and names of sets. Controller only."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

#: Sets by name, each with `source`, `seen` (the day) and `networks`.
SETS = Path(__file__).resolve().parents[3] / "roles" / "nginx" / "files" / "proxies.yml"


@functools.cache  # the same for every host
def named_sets() -> Mapping[str, Mapping[str, Any]]:
    """The sets that come with the bundle."""
    return yaml.safe_load(SETS.read_text(encoding="utf-8"))


def networks(items: Iterable[Any]) -> list[str]:
    """Addresses and networks in normal notation, with sets replaced by their members, each once and in order."""
    expanded = [one for item in items for one in named_sets().get(str(item), {"networks": [item]})["networks"]]
    return list(dict.fromkeys(_notation(str(one)) for one in expanded))


def _notation(text: str) -> str:
    """An address or a network in the usual notation, which nginx's warnings use too."""
    network = ipaddress.ip_network(text)
    return str(network) if "/" in text else str(network.network_address)


def network_fault(item: Any) -> tuple[str, str]:
    """What is wrong with an address, a network or a set's name, and what to write; empty if nothing is."""
    text = str(item)
    if text in named_sets():
        return "", ""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        known = ", ".join(sorted(named_sets()))
        return "is no address, no network and no set of them", f"Write an address, a network, or one of {known}."
    if network.network_address != ipaddress.ip_address(text.partition("/")[0]):
        return "is an address with the size of a network", f"Write {network}, or the address alone."
    return "", ""


def is_everybody(item: Any) -> bool:
    """Whether a network contains every address."""
    try:
        return ipaddress.ip_network(str(item), strict=False).prefixlen == 0
    except ValueError:
        return False
