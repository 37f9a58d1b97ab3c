"""Symptoms of a WebSocket that does not open or stay open, with the likely cause and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .closed import CLOSED
from .ended import ENDED
from .failed import FAILED
from .refused import REFUSED
from .symptom import Symptom

#: The first row that matches is the answer. The last row of each kind matches anything of that kind.
SYMPTOMS: tuple[Symptom, ...] = (*REFUSED, *FAILED, *CLOSED, *ENDED)


def of_log(lines: Sequence[str]) -> Symptom:
    """Return the symptom that the last lines of an ended process show."""
    text = "\n".join(lines)
    return next(symptom for symptom in ENDED if symptom.matches("ended", None, "", text))


def telling_line(lines: Sequence[str], symptom: Symptom) -> str:
    """Return the line that revealed a symptom, or the last line."""
    kept = [line.strip() for line in lines if line.strip()]
    known = (line for line in reversed(kept) if symptom.text and re.search(symptom.text, line, re.IGNORECASE))
    return next(known, kept[-1] if kept else "")
