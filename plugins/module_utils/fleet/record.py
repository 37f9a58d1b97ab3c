"""The record of a fleet after a deploy, and what a run leaves different. Controller only.

`host/fleet_record.py` says what a record is.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
MOMENT = "%Y-%m-%d %H:%M UTC"


def newest(records: Iterable[Record | None]) -> Record:
    """Return the newest of some records, of which any may be missing; empty if there is none."""
    return max((one for one in records if one), key=lambda one: float(one["at"]), default={})


def renewed(
    before: Record, members: Sequence[str], served: Mapping[str, str], release: Mapping[str, str],
    skipped: Sequence[str] = (), now: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the record after a deploy.

    `members` are all app hosts of the inventory: others are forgotten. `served` has the hosts of this run, each with
    the generation that it serves now; `release` has its `name` and `version`. `skipped` are hosts that did not answer.
    A host that was missed stays so until a run reaches it.
    """
    at = time.time() if now is None else now
    moment = time.strftime(MOMENT, time.gmtime(at))
    hosts = {name: dict(known) for name, known in (before.get("hosts") or {}).items() if name in members}
    for name, generation in served.items():
        if (hosts.get(name) or {}).get("generation") != generation:
            hosts[name] = {
                "version": release["version"], "release": release["name"], "generation": generation, "since": moment,
            }  # fmt: skip
    missed = {name: dict(known) for name, known in (before.get("missed") or {}).items() if name in members}
    for name in skipped:
        missed.setdefault(name, {"version": release["version"], "since": moment})
    missed = {name: known for name, known in missed.items() if name not in served}
    # Clocks of controllers differ, and the newer record must win.
    return {"at": max(at, float(before.get("at", 0)) + 0.001), "hosts": hosts, "missed": missed}


def left_behind(record: Record, members: Sequence[str], served: Mapping[str, str], skipped: Sequence[str]) -> list[str]:
    """Return a line for each app host that a run has left with something else than it brought to the others."""
    lines, wanted = [], set(served.values())
    for name in members:
        if name in served:
            continue
        known = (record.get("hosts") or {}).get(name)
        has = "serves {version} ({generation}) since {since}".format(**known) if known else "is not recorded"
        if name in skipped:
            had = has.replace("serves", "served", 1) if known else "what it serves is not recorded"
            lines.append(f"{name} did not answer; {had}. It must get no traffic until a run has reached it")
        elif missed := (record.get("missed") or {}).get(name):
            lines.append(f"{name} {has}. It has not caught up since it did not answer at {missed['since']}")
        elif not known or known["generation"] not in wanted:
            lines.append(f"{name} {has}; it was not in this run")
    return lines


def caught_up(before: Record, served: Mapping[str, str]) -> list[str]:
    """Return a line for each host that earlier deploys had missed and that serves what the others do now."""
    return [
        f"{name} has caught up: it had not answered since {missed['since']}, when {missed['version']} was deployed"
        for name, missed in sorted((before.get("missed") or {}).items())
        if name in served
    ]
