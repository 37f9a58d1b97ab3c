"""The last log lines of processes and drains."""

from __future__ import annotations

import argparse
import os
import sys
import time

from . import managers, paths
from .choice import Choice, moment_of
from .generation import describe, generations, live, processes, workers
from .locks import Refused


def log_command(generation: str, lines: int, follow: bool, plain: bool) -> list[str]:
    """Return the command that shows a generation's last log lines, or those of all that have the same manager."""
    described = describe(generation or live())
    alike = [one for one in generations().values() if one["manager"] == described["manager"]]
    shown = [described] if generation else alike
    units = sorted({group["unit"] for one in shown for group in (*processes(one), *workers(one))})
    return managers.of(described).log_command(units, generation or "*", lines, follow, plain)


def choice_of(asked: argparse.Namespace) -> Choice:
    """Return which lines are wanted."""
    since = moment_of(asked.since) if asked.since else time.time() - asked.minutes * 60 if asked.minutes else 0.0
    until = moment_of(asked.until) if asked.until else float("inf")
    return Choice(since, until, asked.level, asked.request, asked.generation)


def logs(asked: argparse.Namespace) -> None:
    """Show the last log lines; with --site, also what nginx logged, in order of time."""
    choice = choice_of(asked)
    if not asked.site:
        if choice != Choice(generation=asked.generation) or asked.after is not None:
            raise Refused("what chooses lines needs --site")
        command = log_command(asked.generation, asked.lines, asked.follow, asked.plain)
        os.execvp(command[0], command)
    from . import timeline

    # Of all generations: nginx's errors say which one they are about.
    command = log_command("", asked.lines, False, asked.plain)

    def look(wanted: Choice) -> list[timeline.Line]:
        return timeline.gather(command, paths.ACCESS_LOG, asked.lines, wanted)

    if asked.after is None and not asked.follow:
        timeline.show(look(choice))
        return
    if asked.after is not None:
        begun = time.time()
        if asked.after:
            looks = timeline.follow(look, choice._replace(since=asked.after), asked.wait)
            found = [line for lines in looks for line in lines if line.moment > asked.after]
        else:
            found = look(choice)
        timeline.show(found)
        print(f"after={max((line.moment for line in found), default=asked.after or begun):.6f}")
        return
    try:
        for found in timeline.follow(look, choice):
            timeline.show(found)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return
