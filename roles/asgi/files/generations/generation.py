"""What a generation's description, folder and links say about it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from . import managers, paths
from .locks import Refused

ESSENTIAL = ("generation", "release", "version", "manager", "user", "unit", "instances", "sockets")


def generations() -> dict[str, dict[str, Any]]:
    """Return each generation's description, by name; the ones that cannot be read are left out."""
    found = {}
    for path in (paths.HOME / "generations").glob("*/generation.json"):
        with contextlib.suppress(Refused):  # a deploy is just removing it, or `broken` reports it
            found[path.parent.name] = describe(path.parent.name)
    return found


def describe(generation: str) -> dict[str, Any]:
    """Return a generation's description; raise Refused if there is none, or if it cannot be read."""
    path = paths.HOME / "generations" / generation / "generation.json"
    try:
        described = json.loads(path.read_bytes())
        if missing := [name for name in ESSENTIAL if name not in described]:
            raise ValueError(f"it has no {missing[0]}")
        if described["manager"] not in managers.KINDS:
            raise ValueError(f"there is no manager {described['manager']}")
    except FileNotFoundError:
        raise Refused(f"{paths.APP} has no generation {generation} here") from None
    except (OSError, ValueError, TypeError) as error:  # a full disk or a crash of the host may leave it like this
        way = (
            "deploying it again writes it anew"
            if generation == live()
            else f"{paths.APP}-generations discard {generation}"
        )
        raise Refused(f"{path} cannot be read ({error}): {way}") from None
    return described


def live() -> str:
    """Return the name of the generation that serves, or an empty text."""
    link = paths.HOME / "live"
    return link.resolve().name if link.is_symlink() else ""


def home_of(described: dict[str, Any]) -> Path:
    """Return the folder of a generation."""
    return paths.HOME / "generations" / described["generation"]


def served(generation: str) -> float:
    """Return when a generation last began to serve, in seconds since the epoch; 0.0 if it never did."""
    try:
        return (paths.HOME / "generations" / generation / "served").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def switch(generation: str) -> int:
    """Return the number of the switch with which a generation last began to serve; 0 if none was counted.

    Clocks can be set back. So numbers, not times, tell what came later and which switch a line of history is about.
    """
    try:
        return int((paths.HOME / "generations" / generation / "served").read_text())
    except (OSError, ValueError):
        return 0


def count_switch(generation: str) -> None:
    """Note that a generation now serves, as the latest of all."""
    path = paths.HOME / "generations" / generation / "served"
    part = path.with_name(".served.part")
    part.write_text(f"{1 + max(map(switch, generations()), default=0)}\n")
    part.replace(path)


def processes(described: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the serving processes of a generation in the form that its manager takes: the ASGI ones first."""
    kinds = [described, *([described["wsgi"]] if described.get("wsgi") else [])]
    return [
        {"unit": kind["unit"], "generation": described["generation"], "instances": kind["instances"]} for kind in kinds
    ]


def listening(described: dict[str, Any]) -> list[str]:
    """Return the sockets that the processes of a generation listen on."""
    return [*described["sockets"], *described.get("wsgi", {}).get("sockets", [])]


def workers(described: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the other processes of a generation on this host, in the form that its manager takes."""
    found = [worker for worker in described.get("workers", []) if worker["instances"]]
    return [{**worker, "generation": described["generation"]} for worker in found]


def steady(described: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the workers of a generation that run all the time, not only when cron starts them."""
    return [worker for worker in workers(described) if not worker["schedule"]]


def kind(group: dict[str, Any], described: dict[str, Any]) -> str:
    """Return what a group of a generation's processes is for."""
    wsgi = described.get("wsgi", {}).get("unit")
    return "server" if group["unit"] == described["unit"] else "wsgi" if group["unit"] == wsgi else "worker"


def drain_name(generation: str) -> str:
    """Return the name of a generation's drain in the background."""
    return f"{paths.APP}-drain-{generation}"


def deadline(generation: str) -> float:
    """Return when a drain closes its sockets, in seconds since the epoch; 0.0 while it begins or ends."""
    try:
        return float((paths.HOME / "generations" / generation / "deadline").read_text())
    except (FileNotFoundError, ValueError):
        return 0.0
