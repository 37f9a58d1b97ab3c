"""Packages of a lock file, and the condition under which each is needed. Controller only.

A lock file names every package with its version, and what needs it under which condition. The lines keep these
conditions, so the host skips what is for Windows or for another Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .lines import hashed, with_marker
from .markers import conjunction, judged
from .needs import Dependency


@dataclass
class Locked:
    """One version of a package in a lock file."""

    name: str
    version: str
    line: str  # without its condition and hashes; empty if it is not installed
    hashes: list[str] = field(default_factory=list)
    marker: str = ""  # its own condition, besides those of the packages that need it
    needs: dict[str, list[Dependency]] = field(default_factory=dict)  # by the extra that brings them, "" for all


def reached(roots: Iterable[Dependency], packages: Iterable[Locked]) -> Iterator[tuple[Locked, str]]:
    """Yield each package that is needed, with its condition.

    It is needed if all conditions on some path from the project to it hold. A path that demands more than another one
    adds nothing.
    """
    by_name: dict[str, list[Locked]] = {}
    for package in packages:
        by_name.setdefault(package.name, []).append(package)
    ways: dict[tuple[int, str], set[frozenset[str]]] = {}
    found: dict[int, Locked] = {}
    waiting: list[tuple[Locked, str, frozenset[str]]] = []

    def follow(dependency: Dependency, way: frozenset[str]) -> None:
        candidates = by_name.get(dependency.name, [])
        fitting = [one for one in candidates if dependency.fits(one.version)] if len(candidates) > 1 else candidates
        marker = judged(dependency.marker, ())
        if marker is None:
            return
        longer = way | {marker} if marker else way
        for package in fitting:
            found[id(package)] = package
            for extra in ("", *dependency.extras):
                known = ways.setdefault((id(package), extra), set())
                if not any(other <= longer for other in known):
                    known -= {other for other in known if longer < other}
                    known.add(longer)
                    waiting.append((package, extra, longer))

    for root in roots:
        follow(root, frozenset())
    while waiting:
        package, extra, way = waiting.pop(0)
        if way in ways[id(package), extra]:
            for dependency in package.needs.get(extra, []):
                follow(dependency, way)
    for package in sorted(found.values(), key=lambda one: (one.name, one.version)):
        conditions = sorted(conjunction(*sorted(way)) for way in ways[id(package), ""])
        several = len(conditions) > 1
        yield package, " or ".join(f"({one})" if several and " and " in one else one for one in conditions)


def locked_lines(packages: Iterable[tuple[Locked, str]]) -> list[str]:
    """The requirements file's lines for locked packages and their conditions, each once."""
    lines = [
        hashed(with_marker(package.line, conjunction(package.marker, marker)), package.hashes)
        for package, marker in packages
        if package.line
    ]
    return list(dict.fromkeys(lines))
