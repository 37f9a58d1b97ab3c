"""A row of the tables of symptoms, and whether it is about a problem."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LOOK_AT_LOG = "Read the application's log at this second: the traceback is there."


@dataclass(frozen=True)
class Symptom:
    """One row of the table: what it looks like, what it likely is, what to do.

    `kind` is `refused`, `failed`, `closed` or `ended` (a process's last lines). `codes` are HTTP statuses
    or close codes, none for any; `stage` is a HandshakeFailed's, empty for any; `text` is a pattern to be found in the
    reason, the headers, the body or the log.
    """

    kind: str
    likely: str
    fix: str
    codes: Sequence[int] = ()
    stage: str = ""
    text: str = ""

    def matches(self, kind: str, code: int | None, stage: str, text: str) -> bool:
        """Whether this row is about such a problem."""
        return (
            self.kind == kind
            and (not self.codes or code in self.codes)
            and (not self.stage or self.stage == stage)
            and (not self.text or re.search(self.text, text, re.IGNORECASE) is not None)
        )
