"""Remove what no kept generation needs."""

from __future__ import annotations

import shutil
from typing import Any

from . import managers, paths
from .close import SETTLE, close_all
from .generation import drain_name, home_of, listening, live, processes, workers
from .locks import Refused
from .overview import overview
from .stop import stop


def tidy(keep: int, limit: int) -> list[str]:
    """Remove what no kept generation needs, and return the names of what was removed.

    The one that serves is kept, and so are those that drain, and the last `keep` that served before. If more than
    `limit` drain, the oldest are ended now. A generation that never served was left by a deploy that was killed.
    """
    rows, gone = overview(), []
    draining = [row for row in rows if row["state"] == "draining"]
    draining, ended = draining[:limit], draining[limit:]
    for row in ended:
        managers.of(row).end(drain_name(row["generation"]))
        close_all(listening(row), SETTLE, row["user"])
        stop(row)
        gone.append(f"drain of {row['generation']}")
    kept = [row for row in rows if row["state"] == "kept" or row in ended][:keep]
    needed = [row for row in rows if row["state"] in ("live", "switching", "left", "broken")] + draining + kept
    for row in rows:
        if row not in needed:
            end(row)
            gone.append(f"generation {row['generation']}")
    gone += tidy_managers(rows, needed)
    # If a reboot ended a generation's drain, the generation is kept, but not its processes.
    names = {row["generation"] for row in needed if row["state"] != "kept"}
    for link in (paths.HOME / "instances").iterdir():
        if link.name.rpartition("-")[0] not in names:
            link.unlink()
    for row in kept:
        (home_of(row) / "deadline").unlink(missing_ok=True)
    return gone + tidy_folders(needed)


def end(row: dict[str, Any]) -> None:
    """Stop the processes of a generation, and remove it."""
    if row["connections"]:  # left by a run that was killed just after its switch
        close_all(listening(row), SETTLE, row["user"])
    stop(row)
    managers.of(row).remove_logs([*processes(row), *workers(row)])
    shutil.rmtree(home_of(row))


def tidy_managers(rows: list[dict[str, Any]], needed: list[dict[str, Any]]) -> list[str]:
    """Remove managers' data about ended drains and unneeded kinds of processes; return what was removed."""
    gone: list[str] = []
    for kind in managers.KINDS:
        manager = managers.get(kind)
        manager.clean([drain_name(row["generation"]) for row in rows if row["manager"] == kind])
        if not any(row["state"] == "broken" for row in rows):  # a broken one may need a shared unit, and cannot say so
            unused = {group["unit"] for group in groups(rows, kind)} - manager.shared(groups(needed, kind))
            gone += [f"unit {unit}" for unit in manager.remove_shared(unused)]
    return gone


def groups(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the groups of processes of all generations that one kind of manager runs."""
    return [
        {"generation": row["generation"], **group}
        for row in rows
        if row["manager"] == kind
        for group in (*processes(row), *row.get("workers", []))
    ]


def tidy_folders(needed: list[dict[str, Any]]) -> list[str]:
    """Remove releases, static files and environments that no needed generation has; return what was removed."""
    gone = []
    in_use = {
        "releases": {row["release"] for row in needed},
        "static": {row["release"] for row in needed},
        "venvs": {link.readlink().name for row in needed if (link := home_of(row) / "venv").is_symlink()},
    }
    for folder, used in in_use.items():
        for entry in (paths.HOME / folder).iterdir():
            if entry.name not in used:
                shutil.rmtree(entry)
                gone.append(f"{folder}/{entry.name}")
    # Of the tool's first version, whose files were in this folder itself.
    shutil.rmtree(paths.LIBRARY / "__pycache__", ignore_errors=True)
    return gone


def discard(generation: str) -> None:
    """End a generation's processes and remove it, even if its description cannot be read."""
    folder = paths.HOME / "generations" / generation
    if not generation or not folder.is_dir():
        raise Refused(f"{paths.APP} has no generation {generation} here")
    if generation == live():
        raise Refused(f"{generation} serves: deploy it again, which writes its files anew, or go back to another one")
    instances = [link.name for link in (paths.HOME / "instances").glob(f"{generation}-*")]
    for kind in managers.KINDS:
        manager = managers.get(kind)
        manager.end(drain_name(generation))
        units = manager.kinds(generation)
        manager.stop([{"unit": unit, "generation": generation, "instances": instances} for unit in units])
    for name in instances:
        (paths.HOME / "instances" / name).unlink(missing_ok=True)
    shutil.rmtree(folder)
    print(f"{generation} is gone; what only it needed goes with the next deploy")
