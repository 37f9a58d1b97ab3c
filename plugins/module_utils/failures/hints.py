"""What to change in the inventory after a failure, judged by its text and the processes' last log lines.

The tables are in builds.py (errors of uv) and signs.py (errors of the project and its processes). If there are several
signs, the first cause comes first, each subject once, and three at most: consequences only hide a cause. Controller
only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .builds import INSTALL
from .signs import RUN
from .table import Given, Row

MOST = 3
HEADING = "What changes it:"
CREDENTIALS = re.compile(r"(://)[^/@\s]+@")
#: The gate's likely causes contain signs of other rows; the application's answer at their end does not count as one.
ADVICE = re.compile(r"^  Likely: .*$|^  Fix: .*?(?:and the answer: |$)", re.MULTILINE)


@dataclass(frozen=True)
class Hint:
    """One thing to change: the text that revealed it, the variable, and what to do as a sentence."""

    sign: str
    variable: str
    write: str


def found(rows: Iterable[Row], texts: Iterable[str], given: Given) -> list[Hint]:
    """The hints of some rows for texts: the failure itself first, then logs."""
    candidates: list[tuple[bool, int, int, Row, Hint]] = []
    for number, text in enumerate(texts):
        for order, row in enumerate(rows):
            matches = list(row.sign.finditer(text))
            write = row.written(matches, given) if matches else None
            if write is not None:
                hint = Hint(matches[0][0].strip(), *write)
                candidates.append((row.vague, number, order if row.vague else matches[0].start(), row, hint))
    # Of rows that match at the same place, the first in the table is the most specific.
    candidates.sort(key=lambda one: one[:3])
    hints: list[Hint] = []
    subjects: set[str] = set()
    for vague, _, _, row, hint in candidates:
        if row.subject not in subjects and not (vague and hints):
            subjects.add(row.subject)
            hints.append(hint)
    return hints[:MOST]


def plain(text: str) -> str:
    """A text without credentials in addresses."""
    return CREDENTIALS.sub(r"\1***@", text)


def install_hints(said: str, given: Given | None = None) -> list[Hint]:
    """What to change if uv could not install what a project needs, by its output."""
    return found(INSTALL, [plain(said)], given or {})


def run_hints(failure: str, log: str = "", given: Given | None = None) -> list[Hint]:
    """What to change if a project was rejected, by the failure and its processes' log."""
    if HEADING in failure:  # the task that failed has given hints itself
        return []
    return found(RUN, [ADVICE.sub("", plain(failure)), plain(log)], given or {})


def told(hints: Iterable[Hint]) -> str:
    """Hints as lines for a person; empty if there are none."""
    lines = [f"  {hint.write}" for hint in hints]
    return "\n".join([HEADING, *lines]) if lines else ""
