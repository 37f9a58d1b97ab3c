"""How to write a line of a requirements file."""

from __future__ import annotations

from collections.abc import Iterable


def bracketed(extras: Iterable[str]) -> str:
    """Extras as written after a name."""
    return f"[{','.join(extras)}]" if extras else ""


def placed(name: str, extras: Iterable[str], place: str) -> str:
    """The line of a package that comes from a place; a package in the source itself is named by its path."""
    if place.startswith(("-e ", "./", "../")):
        return place + bracketed(extras)
    return f"{name}{bracketed(extras)} @ {place}"


def with_marker(line: str, marker: str = "") -> str:
    """A line that applies only under a condition."""
    return f"{line} ; {marker}" if marker else line


def hashed(line: str, hashes: Iterable[str]) -> str:
    """A line that only files with these digests satisfy."""
    return " ".join([line, *(f"--hash={one}" for one in sorted(hashes))])
