"""Which lines of a site's logs somebody wants to see: of a time, a level, a generation, or one request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from .locks import Refused

LEVELS = ("debug", "info", "warning", "error", "critical")
# As others name them. Python's logging writes them in capitals and nginx in brackets: a word in a sentence is none.
SAME = {"notice": "info", "warn": "warning", "err": "error", "fatal": "critical", "crit": "critical",
        "alert": "critical", "emerg": "critical"}  # fmt: skip
WORDS = "|".join((*LEVELS, *SAME))
NAMED = re.compile(rf"\b({WORDS.upper()})\b|\[({WORDS})\]")
HEAD = 120  # characters at a line's beginning in which its level stands
CONNECTION = re.compile(r"\bconnection=(\d+\*\d+)")
STATUS = re.compile(r" (\d{3})(?: (\w+)(?= |$))?")


class Line(NamedTuple):
    """One line of a log."""

    moment: float  # seconds since the epoch
    source: str  # who logged it
    text: str


class Choice(NamedTuple):
    """What is wanted; by default everything."""

    since: float = 0.0  # seconds since the epoch
    until: float = float("inf")
    level: str = ""
    request: str = ""
    generation: str = ""

    @property
    def narrow(self) -> bool:
        """Whether some lines are left out for what they say."""
        return bool(self.level or self.request or self.generation)


def moment_of(text: str) -> float:
    """Return a moment that a person has written, in UTC unless it names a zone; raise Refused if it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f'"{text}" is no time: write it as 2026-11-30T12:00 (in UTC)') from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def level_of(line: Line) -> int | None:
    """Return the level that a line names, as an index of LEVELS; None if it names none."""
    if line.source == "nginx":  # a request
        status, end = (found[1], found[2]) if (found := STATUS.search(line.text)) else ("", "")
        return LEVELS.index("error" if status >= "500" else "info" if status < "400" and end != "cut" else "warning")
    if not (named := NAMED.search(line.text[:HEAD])):
        return None
    word = (named[1] or named[2]).lower()
    return LEVELS.index(SAME.get(word, word))


def chosen(lines: Iterable[Line], choice: Choice) -> Iterator[Line]:
    """Yield the lines that are wanted, from lines in order of time.

    A line without a level, such as one of a traceback, goes with the one before it of the same source.
    """
    found = [line for line in lines if choice.since <= line.moment <= choice.until]
    least = LEVELS.index(choice.level) if choice.level else 0
    levels: dict[str, int] = {}
    marks = marks_of(found, choice.request)
    taken: dict[str, bool] = {}
    for line in found:
        level = level_of(line)
        begins = level is not None
        levels[line.source] = level if level is not None else levels.get(line.source, LEVELS.index("info"))
        fits = levels[line.source] >= least and is_of(line, choice.generation)
        if marks:
            about = any(mark in line.text for mark in marks)
            # What follows a line about the request, until the source begins another one.
            taken[line.source] = about or (not begins and taken.get(line.source, False))
            fits = fits and taken[line.source]
        if fits:
            yield line


def marks_of(lines: list[Line], request: str) -> list[str]:
    """Return what lines about a request have in them: its ID, and the number of nginx's connection."""
    if not request:
        return []
    own = [match[1] for line in lines if f"id={request}" in line.text and (match := CONNECTION.search(line.text))]
    return [request, *dict.fromkeys(own)]


def is_of(line: Line, generation: str) -> bool:
    """Tell whether a generation's processes or drain logged a line, or it names one of its sockets."""
    return (
        not generation
        or f"@{generation}-" in line.source
        or line.source.endswith(f"-{generation}")
        or f"/{generation}-" in line.text
    )
