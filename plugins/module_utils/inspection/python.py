"""Which Python a project asks for, and which Debian has it."""

from __future__ import annotations

import re

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from ..code.files import Sources
from ..requirements.versions import comparisons
from .findings import Inspection, PythonAsked

DEBIAN = {"12": 11, "13": 13}  # the minor version of its Python
MINORS = range(8, 16)
IMAGE = re.compile(r"^\s*FROM\s+(?:--\S+\s+)?(?:\S+/)?python:(3\.\d+)", re.IGNORECASE)


def find_python(sources: Sources, found: Inspection) -> None:
    """Find what lists of packages, .python-version, a Dockerfile and the code itself ask for."""
    needs = found.dependencies
    if needs.python and needs.python_place:
        found.python.append(PythonAsked(specifier(needs.python), needs.python, needs.python_place))
    for path in sources.named(".*[Dd]ockerfile.*"):
        for number, line in enumerate(sources.text(path).splitlines(), 1):
            if match := IMAGE.match(line):  # an image says what it has, not what would fail
                asked = PythonAsked(f">={match[1]}", f"python:{match[1]}", sources.place(path, number))
                found.python.append(asked)
                break
    for file, number in sources.newer.items():
        found.python.append(PythonAsked(">=3.12", "3.12 by its syntax", sources.place(sources.folder / file, number)))
        break
    found.python = [one for one in found.python if one.specifier]
    fits = fitting(found)
    if not all(fits[minor] for minor in DEBIAN.values()):
        strict = [one for one in found.python if not all(contains(one.specifier, minor) for minor in DEBIAN.values())]
        text = f"asks for Python {strict[0].text}" if strict else "asks for Pythons that exclude one another"
        others = ", ".join(f"{one.text} ({one.place})" for one in strict[1:])
        text += f"{f', as do {others}' if others else ''}; Debian 12 has 3.11, Debian 13 has 3.13"
        found.note("warning", (strict or found.python)[0].place, text, advice(fits))


def advice(fits: dict[int, bool]) -> str:
    """What to do about a host's Python."""
    good = [debian for debian, minor in DEBIAN.items() if fits[minor]]
    if good:
        return f"Deploy to Debian {good[0]}; the inventory refuses others, unless release_python brings one."
    return "release_python and release_python_download in the inventory bring one."


def specifier(text: str) -> str:
    """A constraint, also Poetry's `^3.12`, as packaging understands it; empty if that fails."""
    for one in (text, comparisons(text)):
        try:
            return str(SpecifierSet(one))
        except InvalidSpecifier:
            continue
    return ""


def contains(asked: str, minor: int) -> bool:
    """Whether a version of Python satisfies what is asked for."""
    try:
        return SpecifierSet(asked).contains(f"3.{minor}.9")
    except InvalidSpecifier:
        return True


def fitting(found: Inspection) -> dict[int, bool]:
    """Minor versions of Python 3, each with whether it satisfies everything."""
    return {minor: all(contains(one.specifier, minor) for one in found.python) for minor in MINORS}
