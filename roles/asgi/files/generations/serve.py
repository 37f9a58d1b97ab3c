"""Make a generation the one that serves, and retire the previous one."""

from __future__ import annotations

import sys

from . import managers, paths
from .generation import count_switch, describe, drain_name, live
from .locks import Refused
from .overview import drains
from .start import link, work


def serve(generation: str, seconds: float, spread: float, command: list[str]) -> None:
    """Note that a generation serves, now that nginx passes connections to it, and retire the previous one."""
    before = live()
    link(paths.ETC / paths.APP / "env", str(paths.HOME / "live" / "env"))
    count_switch(generation)
    if before not in ("", generation):
        link(paths.HOME / "before", f"generations/{before}")
    # If a run is killed before this line, the next one repeats it from the start; after it, the next one does the rest.
    link(paths.HOME / "live", f"generations/{generation}")
    work(describe(generation))
    if before not in ("", generation):
        try:
            retire(before, seconds, spread, command)
        except Refused as refusal:  # it cannot be read, so nobody knows what to drain: it runs until it is discarded
            print(f"{before} does not drain: {refusal}", file=sys.stderr)


def retire(generation: str, seconds: float, spread: float, command: list[str]) -> None:
    """Drain a generation in the background, unless it is already draining."""
    described = describe(generation)
    if generation in drains({generation: described}):
        return
    run = [str(paths.TOOL), "drain", generation, str(seconds), str(spread), "--", *command]
    managers.of(described).begin(drain_name(generation), run)
