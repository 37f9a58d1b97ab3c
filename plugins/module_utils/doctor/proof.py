"""What a proof is: words for people, and a test for a case. The proofs themselves are in `proofs.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .case import Case


@dataclass(frozen=True)
class Proof:
    """A proof in words, and whether it is there."""

    text: str
    holds: Callable[[Case], bool]
