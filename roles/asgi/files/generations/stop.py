"""Stop the processes of a generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import managers, paths
from .generation import listening, processes, workers


def stop(described: dict[str, Any]) -> None:
    """Stop a generation's processes, for this boot and the next, and remove their sockets."""
    managers.of(described).stop([*processes(described), *workers(described)])
    for worker in workers(described):
        for instance in worker["instances"]:
            (paths.HOME / "instances" / instance).unlink(missing_ok=True)
    for group in processes(described):
        for instance in group["instances"]:
            (paths.HOME / "instances" / instance).unlink(missing_ok=True)
    for path in listening(described):
        for stale in (Path(path), Path(f"{path}.lock")):
            stale.unlink(missing_ok=True)
