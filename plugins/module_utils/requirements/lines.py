"""How a line of a requirements file is written."""

from __future__ import annotations

from collections.abc import Iterable


def bracketed(extras: Iterable[str]) -> str:
    """Extras as they stand behind a name."""
    return f"[{','.join(extras)}]" if extras else ""


def placed(name: str, extras: Iterable[str], place: str) -> str:
    """The line of a package that comes from a place: one of the source itself is named by its path."""
    if place.startswith(("-e ", "./", "../")):
        return place + bracketed(extras)
    return f"{name}{bracketed(extras)} @ {place}"


def with_marker(line: str, marker: str = "") -> str:
    """A line that holds under a condition."""
    return f"{line} ; {marker}" if marker else line


def hashed(line: str, hashes: Iterable[str]) -> str:
    """A line that files with these digests fulfil, and no others."""
    return " ".join([line, *(f"--hash={one}" for one in sorted(hashes))])
