"""The last log lines of processes and drains."""

from __future__ import annotations

import argparse
import os

from . import managers, paths
from .generation import describe, generations, live, processes, workers


def log_command(generation: str, lines: int, follow: bool, plain: bool) -> list[str]:
    """Return the command that shows a generation's last log lines, or those of all that have the same manager."""
    described = describe(generation or live())
    alike = [one for one in generations().values() if one["manager"] == described["manager"]]
    shown = [described] if generation else alike
    units = sorted({group["unit"] for one in shown for group in (*processes(one), *workers(one))})
    return managers.of(described).log_command(units, generation or "*", lines, follow, plain)


def logs(asked: argparse.Namespace) -> None:
    """Show the last log lines; with --site, also what nginx logged, in order of time."""
    command = log_command(asked.generation, asked.lines, asked.follow, asked.plain)
    if not asked.site:
        os.execvp(command[0], command)
    from . import timeline

    timeline.show(command, paths.ACCESS_LOG, asked.lines, asked.minutes)
