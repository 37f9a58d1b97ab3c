"""Batches of hosts, as in Ansible's `serial`. Controller only."""

from __future__ import annotations

import re
from collections.abc import Sequence


def size_of(text: str, total: int) -> int:
    """Return how many of `total` hosts a batch has: a number, or a percentage of all; 0 or less means all of them.

    Raise ValueError if the text is neither.
    """
    found = re.fullmatch(r"\s*(-?\d+)\s*(%?)\s*", text)
    if not found:
        raise ValueError(f'"{text}" is neither a number nor a percentage')
    number = int(found[1])
    if found[2]:
        return max(1, total * number // 100) if number > 0 else total
    return number if number > 0 else total


def batches(hosts: Sequence[str], serial: object) -> list[list[str]]:
    """Return hosts in batches. In a list of sizes, each is that of one batch, and the last is that of all that follow.

    Raise ValueError if there is no size, or one that is neither a number nor a percentage.
    """
    given = list(serial) if isinstance(serial, list | tuple) else [serial]
    sizes = [size_of(str(one), len(hosts)) for one in given]
    if not sizes:
        raise ValueError("the list is empty")
    found: list[list[str]] = []
    rest = list(hosts)
    while rest:
        size = sizes[min(len(found), len(sizes) - 1)]
        found.append(rest[:size])
        rest = rest[size:]
    return found
