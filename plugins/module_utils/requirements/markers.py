"""Conditions under which a package is needed."""

from __future__ import annotations

import re
from collections.abc import Collection

# Conditions that always or never hold. They replace those on extras, which only the lock's own tool can judge.
ALWAYS = 'python_version >= "0"'
NEVER = 'python_version < "0"'
EXTRA = re.compile(r"""\bextra\s*(==|!=)\s*(['"])([^'"]+)\2""")


def conjunction(*markers: str) -> str:
    """The condition that all of these conditions hold."""
    given = list(dict.fromkeys(filter(None, markers)))
    return " and ".join(f"({one})" if len(given) > 1 and " or " in one else one for one in given)


def judged(marker: str, extras: Collection[str]) -> str | None:
    """A condition with the parts about extras resolved; None if it cannot hold."""

    def judge(found: re.Match[str]) -> str:
        return ALWAYS if (found[3] in extras) == (found[1] == "==") else NEVER

    text = EXTRA.sub(judge, marker)
    if NEVER in text and " or " not in text:
        return None
    parts = [] if " or " in text else [part for part in text.split(" and ") if part != ALWAYS]
    return text if " or " in text else " and ".join(parts)
