"""A row of the tables of symptoms, and whether it matches a problem."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LOOK_AT_LOG = "Read the application's log at that moment: it has the traceback."


@dataclass(frozen=True)
class Symptom:
    """One row of the table: what it looks like, the likely cause, and what to do.

    `kind` is `refused`, `failed`, `closed` or `ended` (a process's last lines). `codes` are HTTP statuses or close
    codes; without any, all match. `stage` is the stage of a HandshakeFailed; if it is empty, all match. `text` is a
    pattern to look for in the reason, the headers, the body or the log.
    """

    kind: str
    likely: str
    fix: str
    codes: Sequence[int] = ()
    stage: str = ""
    text: str = ""

    def matches(self, kind: str, code: int | None, stage: str, text: str) -> bool:
        """Tell whether this row matches a problem."""
        return (
            self.kind == kind
            and (not self.codes or code in self.codes)
            and (not self.stage or self.stage == stage)
            and (not self.text or re.search(self.text, text, re.IGNORECASE) is not None)
        )
