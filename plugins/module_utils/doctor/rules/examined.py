"""What the examination itself could not see."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case, Finding


def examined(case: Case) -> Iterator[Finding]:
    """What kept the examination itself from seeing everything."""
    problem = case.evidence.get("problem") or {}
    if problem:
        yield case.find(problem["code"], problem["error"], error=problem["error"])
    user = case.host.get("user")
    if user and user != "root":
        yield case.find("W904_NOT_ROOT", user=f"user {user}")
