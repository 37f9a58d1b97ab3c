"""What each command does. Each imports its own modules, so that no command waits for the modules of others."""

from __future__ import annotations

import atexit
import contextlib
import json
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from . import paths
from .arguments import parser
from .locks import WAIT, Busy, Refused, working
from .managers import Unmanageable

# Commands that change something here: they never run while something that a killed run left is still at work.
CHANGES = (
    "start", "work", "stop", "discard", "serve", "retire", "protect", "tidy", "remove", "prepare", "run",
)  # fmt: skip


def main() -> int:
    """Read the command line and do what it says; return the status: 3 is a refusal, 4 that another one is at work."""
    # By its other name, it is one command.
    called = ["top"] if Path(sys.argv[0]).name == f"{paths.APP}-top" else []
    given = parser().parse_args([*called, *sys.argv[1:]])
    try:
        lock = hold(given)
        if given.command in ("prepare", "run"):
            return of_project(given, lock)
        return COMMANDS[given.command](given) or 0
    except (Refused, Unmanageable, Busy) as error:
        print(error, file=sys.stderr)
        return {Refused: 3, Busy: 4}.get(type(error), 1)


def hold(given: Namespace) -> int:
    """If a command changes something, hold the work lock until this process ends; return its descriptor."""
    if given.command not in CHANGES or getattr(given, "check", False) or not paths.HOME.is_dir():
        return -1
    what = f"{paths.APP}-generations {given.command} {getattr(given, 'generation', '')}".strip()
    stack = contextlib.ExitStack()
    lock, waited = stack.enter_context(working(paths.HOME, what, getattr(given, "wait", WAIT)))
    atexit.register(stack.close)
    if waited:
        print(waited, file=sys.stderr)
    return lock


def of_project(given: Namespace, lock: int) -> int:
    """Run a command of the project, or let it do everything that comes before it serves."""
    from .generation import describe
    from .project import Failed, Project

    project = Project(paths.HOME, describe(given.generation))
    if given.command == "run":
        return project.run(given.own, lock)
    try:
        print(json.dumps(project.prepare(json.load(sys.stdin), lock)))
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def list_(given: Namespace) -> None:
    """Show the generations, and the last lines of history."""
    from .fleet_record import read, told
    from .history import history
    from .overview import overview

    rows, events, fleet = overview(), history(5), read(paths.HOME)
    if given.json:
        print(json.dumps({"generations": rows, "history": events, "fleet": fleet}))
    else:
        from .table import table

        print("\n".join([table(rows, events), *told(fleet)]))


def unsteady(given: Namespace) -> int:
    """Show processes that do not run or keep dying."""
    from .generation import live
    from .unsteady import judge

    return judge(given.generation or live(), given.since, given.json)


def start(given: Namespace) -> None:
    """Start the processes of a generation."""
    from .start import start

    start(given.generation)


def work(given: Namespace) -> None:
    """Start the workers of a generation."""
    from .generation import describe
    from .start import work

    work(describe(given.generation))


def serve(given: Namespace) -> None:
    """Make a generation the one that serves."""
    from .serve import serve

    serve(given.generation, given.seconds, given.spread, given.own)


def retire(given: Namespace) -> None:
    """Drain a generation in the background."""
    from .serve import retire

    retire(given.generation, given.seconds, given.spread, given.own)


def drain(given: Namespace) -> None:
    """Drain a generation."""
    from .drain import drain

    drain(given.generation, given.seconds, given.spread, given.own)


def stop(given: Namespace) -> None:
    """Stop the processes of a generation."""
    from .generation import describe
    from .stop import stop

    stop(describe(given.generation))


def protect(_: Namespace) -> None:
    """Close the environments of all generations to others."""
    from .protect import protect

    protect()


def discard(given: Namespace) -> None:
    """End and remove a generation."""
    from .tidy import discard

    discard(given.generation)


def tidy(given: Namespace) -> None:
    """Write a line of history, and remove what no kept generation needs."""
    from .fleet_record import write
    from .history import note
    from .tidy import tidy

    if given.event:
        event = json.loads(given.event)
        write(paths.HOME, event.pop("fleet", {}))
        note(json.dumps(event))
    print("\n".join(tidy(given.keep, given.limit)))


def fleet(given: Namespace) -> None:
    """Show what is recorded of all app hosts, or renew it."""
    from .fleet_record import read, write

    if given.record:
        write(paths.HOME, json.loads(given.record))
    print(json.dumps(read(paths.HOME), indent=1))


def close(given: Namespace) -> None:
    """Close connections."""
    from .close import close_all
    from .generation import generations, listening

    every = given.sockets or [path for one in generations().values() for path in listening(one)]
    print(close_all(every, given.spread, paths.APP))


def logs(given: Namespace) -> None:
    """Show the last log lines."""
    from .logs import logs

    logs(given)


def top(given: Namespace) -> None:
    """Show sockets, handshakes and what they cost."""
    from .top import top

    top(given)


def remove(given: Namespace) -> None:
    """End and remove everything of the project."""
    from .remove import remove

    print("\n".join(remove(given.spread, given.check)))


def unlock(given: Namespace) -> None:
    """Give back the lock of a run, or free it whoever holds it; with neither, tell who holds it."""
    from .locks import DeployLock

    lock = DeployLock(paths.HOME)
    if given.force:
        print(lock.force())
    elif given.run:
        lock.give_back(given.run)
    elif holder := lock.shown():
        raise Refused(f"{holder}. Where its run is dead, this frees the lock: {paths.APP}-generations unlock --force")
    else:
        print("nobody holds the lock")


COMMANDS: dict[str, Callable[[Namespace], int | None]] = {
    "list": list_, "unsteady": unsteady, "start": start, "work": work, "serve": serve, "retire": retire,
    "drain": drain, "stop": stop, "protect": protect, "discard": discard, "tidy": tidy, "close": close, "logs": logs,
    "remove": remove, "unlock": unlock, "fleet": fleet, "top": top,
}  # fmt: skip
