"""What a host knows of its fleet: which release each app host has, and which hosts the last deploys did not reach.

Each deploy writes it to the hosts of its run and to those that keep the lock, so it outlives any one of them, and no
controller has to remember it. Standard library only: this is also installed on hosts, as part of `<app>-generations`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = "fleet.json"  # in the project's folder, which root owns


def read(home: Path) -> dict[str, Any]:
    """Return the record of a project; empty if there is none, or none that can be read.

    `at` is when it was written, in seconds since the epoch. `hosts` has, by name, each app host that is known, with its
    `version`, `release`, `generation` and `since`, a moment for people. `missed` has the hosts that did not answer,
    with `since` and the `version` of the first deploy that they missed.
    """
    try:
        record = json.loads((home / FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and isinstance(record.get("hosts"), dict) else {}


def write(home: Path, record: dict[str, Any]) -> bool:
    """Write a record, whole or not at all, unless a newer one is there; tell whether it was. May raise OSError."""
    if not record or float(read(home).get("at", 0)) >= float(record["at"]):
        return False
    part = home / f".{FILE}.part"
    part.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    part.chmod(0o644)
    part.replace(home / FILE)
    return True


def told(record: dict[str, Any]) -> list[str]:
    """Return a line for each host that deploys did not reach and that has not caught up."""
    return [
        f"{name} did not answer when {missed['version']} was deployed ({missed['since']}), and has not caught up"
        for name, missed in sorted(record.get("missed", {}).items())
    ]
