"""What a WebSocket that does not open, or does not stay open, looks like; what it likely is, and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .closed import CLOSED
from .ended import ENDED
from .failed import FAILED
from .refused import REFUSED
from .symptom import Symptom

#: The first row that matches is the answer; the last of each kind matches anything of that kind.
SYMPTOMS: tuple[Symptom, ...] = (*REFUSED, *FAILED, *CLOSED, *ENDED)


def of_log(lines: Sequence[str]) -> Symptom:
    """What the last lines of a process that has ended are a sign of."""
    text = "\n".join(lines)
    return next(symptom for symptom in ENDED if symptom.matches("ended", None, "", text))


def telling_line(lines: Sequence[str], symptom: Symptom) -> str:
    """The line that a symptom was known by, or the last one."""
    kept = [line.strip() for line in lines if line.strip()]
    known = (line for line in reversed(kept) if symptom.text and re.search(symptom.text, line, re.IGNORECASE))
    return next(known, kept[-1] if kept else "")
