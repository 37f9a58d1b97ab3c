"""Processes that do not run or keep dying."""

from __future__ import annotations

import json
import sys
from typing import Any

from . import managers, paths
from .locks import Refused
from .overview import overview
from .times import span

OFTEN, LATELY = 3, 60.0  # a process keeps dying if it was started again this often, and last within this many seconds
LAST_LINES = 10  # of an unsteady process


def unsteady(row: dict[str, Any], since: float | None = None) -> list[dict[str, Any]]:
    """Return the processes of a generation that do not run or keep dying, with `what` and their last lines as `log`.

    `since` is for a new generation: then a server that has run for fewer seconds than that has ended in the meantime,
    and so has a worker that was started again at all.
    """
    found = []
    for one in row["processes"]:
        times = f"{one['restarts']} time{'' if one['restarts'] == 1 else 's'}"
        again = f"was started again {times}, last {span(one['age'] or 0)} ago"
        if since is None:
            ended = one["restarts"] >= OFTEN and (one["age"] or 0) < LATELY
        else:
            ended = one["restarts"] > 0 if one["kind"] == "worker" else (one["age"] or 0) < since
        if one["pid"] and not ended:
            continue
        what = again if one["pid"] else f"does not run ({one['word']}), and was started again {times}"
        group = {"unit": one["unit"], "generation": row["generation"]}
        log = managers.of(row).last_lines(group, one["instance"], LAST_LINES)
        found.append({**one, "what": f"{one['unit']}@{one['instance']} {what}", "log": log})
    return found


def judge(generation: str, since: float | None, as_json: bool) -> int:
    """Print which processes of a generation are unsteady; return the exit code."""
    row = next((row for row in overview() if row["generation"] == generation), None)
    if row and "fault" in row:
        raise Refused(row["fault"])
    if row is None:
        raise Refused(
            f"{paths.APP} has no generation {generation} here" if generation else f"{paths.APP} serves nothing here"
        )
    found = unsteady(row, since)
    if as_json:
        print(json.dumps(found))
    else:
        for one in found:
            print("\n".join([f"{one['what']}. Its last lines:", *(f"    {line}" for line in one["log"] or ["(none)"])]))
        print("\n".join(one["what"] for one in found), end="\n" if found else "", file=sys.stderr)
    return 5 if found else 0
