"""The history of a project on this host: one line of JSON for each deploy and rollback."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from . import paths
from .generation import served, switch

MOMENT = "%Y-%m-%d %H:%M:%S"  # in UTC; sorts by time
DONE = "serves"  # the result of a run that switched and did everything that follows


def history(number: int) -> list[dict[str, Any]]:
    """Return the last lines of history, the newest first; a truncated line is left out."""
    found: list[dict[str, Any]] = []
    for line in reversed(paths.HISTORY.read_text(errors="replace").splitlines() if paths.HISTORY.exists() else []):
        if event := event_of(line):
            found.append(event)
        if len(found) == number:
            break
    return found


def event_of(line: str) -> dict[str, Any]:
    """Return the event in a line of history; empty if the line cannot be read."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) and {"at", "what"} <= event.keys() else {}


def history_fault() -> str:
    """Return which lines of history cannot be read, and the command that removes them; usually empty."""
    lines = paths.HISTORY.read_text(errors="replace").split("\n")[:-1] if paths.HISTORY.exists() else []
    bad = [number for number, line in enumerate(lines, 1) if not event_of(line)]
    if not bad:
        return ""
    which = f"line {', '.join(map(str, bad[:5]))}" + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
    return (
        f"{paths.HISTORY}: {which} cannot be read: sed -i '{';'.join(f'{number}d' for number in bad)}' {paths.HISTORY}"
    )


def told(generation: str) -> bool:
    """Tell whether the run that switched to a generation finished: its last act is to write the line of history."""
    number, since = switch(generation), time.strftime(MOMENT, time.gmtime(served(generation)))
    return any(
        (event.get("switch") == number if number else event["at"] >= since)
        for event in history(sys.maxsize)
        if event.get("generation") == generation and event.get("result") == DONE
    )


def note(event: str) -> None:
    """Append an event to the history, with its time and switch; one line each."""
    at, told = time.strftime(MOMENT, time.gmtime()), json.loads(event)
    with paths.HISTORY.open("a+b") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        cut = file.read(1) not in (b"", b"\n")  # a truncated line must not spoil this one
        line = json.dumps({"at": at, **told, "switch": switch(told.get("generation", ""))})
        file.write((b"\n" if cut else b"") + line.encode() + b"\n")
