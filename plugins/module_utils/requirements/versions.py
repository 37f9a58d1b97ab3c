"""Versions as Poetry writes them, and as requirements files do."""

from __future__ import annotations

import itertools
import re
import typing as t

from packaging.version import InvalidVersion, Version

from .errors import RequirementsError


def alternatives(versions: str) -> list[str]:
    """Specifiers of which one must hold, from a constraint in Poetry's or Python's notation."""
    return [
        ",".join(itertools.chain.from_iterable(map(comparison, re.findall(r"(?:[~^<>=!]+\s*)?[^\s,]+", one))))
        for one in re.split(r"\s*\|\|?\s*", versions.strip().strip("()"))
    ]


def comparison(text: str) -> list[str]:
    """One comparison of a constraint, as specifiers."""
    operator, number = t.cast(re.Match[str], re.match(r"([~^<>=!]*)\s*(.*)", text)).groups()
    if number in ("*", ""):
        return []
    if operator not in ("", "^", "~", "="):
        return [f"{operator}{number}"]
    if operator in ("", "="):
        return [f"=={number.replace('.x', '.*')}"]
    try:
        release = Version(number).release
    except InvalidVersion as error:
        raise RequirementsError(f'"{text}" is no constraint on a version') from error
    fixed = 1 if operator == "^" else min(2, len(release))
    if operator == "^":  # up to the first number that is not zero
        fixed = next((at for at, one in enumerate(release, 1) if one), len(release))
    upper = [*release[: fixed - 1], release[fixed - 1] + 1]
    return [f">={number}", f"<{'.'.join(map(str, upper))}"]


def specifier(versions: str) -> str:
    """A constraint as a requirements file writes it."""
    found = alternatives(versions)
    if len(found) > 1:
        raise RequirementsError(f'"{versions}" are alternatives, which only a lock file can decide: run poetry lock')
    return found[0]


def comparisons(versions: str) -> str:
    """A constraint as a requirements file writes it; empty for alternatives, or if it is not one."""
    try:
        return specifier(versions)
    except RequirementsError:
        return ""


def python_marker(versions: str) -> str:
    """A constraint on Python as a condition."""
    terms = []
    for one in alternatives(versions):
        parts = [re.match(r"([~<>=!]+)(.*)", part) for part in one.split(",") if part]
        terms.append(" and ".join(f'python_full_version {part[1]} "{part[2]}"' for part in parts if part))
    return "" if "" in terms else " or ".join(f"({one})" if len(terms) > 1 else one for one in terms)
