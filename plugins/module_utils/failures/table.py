"""One row of the tables that say what to change after a failure. Controller only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: The values of variables by their names, and `python`, the version of the host's own.
Given = Mapping[str, Any]
Matches = Sequence[re.Match[str]]
Write = Callable[[Matches, Given], "str | tuple[str, str] | None"]


@dataclass(frozen=True)
class Row:
    """A sign of a failure, and what to change then.

    `write` is a sentence, in which {0} is the sign itself and {1} its first group; or a function of all matches, which
    returns a sentence, a pair of another variable's name and a sentence, or None if it is not a sign after all. Of
    several rows with one subject, the first that matches is reported. A vague one is reported only if there is no
    other.
    """

    sign: re.Pattern[str]
    variable: str
    write: str | Write
    subject: str
    vague: bool = False

    def written(self, matches: Matches, given: Given) -> tuple[str, str] | None:
        """The variable, and what to do; None if there is nothing to report."""
        if isinstance(self.write, str):
            return self.variable, self.write.format(matches[0][0].strip(), *(one or "" for one in matches[0].groups()))
        text = self.write(matches, given)
        return (self.variable, text) if isinstance(text, str) else text


def row(sign: str, variable: str, write: str | Write, subject: str = "", vague: bool = False) -> Row:
    """A row. Its subject is its variable by default."""
    return Row(re.compile(sign, re.MULTILINE), variable, write, subject or variable, vague)


def listed(values: Iterable[str], given: Given | None = None, variable: str = "") -> str:
    """Values as a YAML list in one line, after those that the variable already has."""
    values = dict.fromkeys([*((given or {}).get(variable) or []), *values])
    return "[" + ", ".join(f'"{one}"' if re.search(r"[\s<>=!\[\]#:,&*]", one) else str(one) for one in values) + "]"
