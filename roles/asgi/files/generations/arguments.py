"""Look after the generations of a project on this host: its name is that of this file's folder.

    generations list [--json]                   what serves, drains or is kept, with sockets, memory and age
    generations unsteady [--since S] [--json] [GENERATION]
                                                processes that do not run or keep dying, with their last lines; with
                                                S, all that have ended in so many seconds. Exit code 5 where one is
    generations start GENERATION                have its processes run, for this boot and the next
    generations work GENERATION                 have its workers run, beside those of the one that serves
    generations serve GENERATION SECONDS SPREAD note that it serves, retire the one that did, and renew the workers
    generations retire GENERATION SECONDS SPREAD drain it in the background
    generations drain GENERATION SECONDS SPREAD wait for its sockets to end, close what is left, stop its processes
    generations stop GENERATION                 stop its processes now
    generations protect                         close the environments of all generations to others
    generations discard GENERATION              end and remove one, also where its generation.json cannot be read
    generations tidy KEEP DRAINING [JSON]       write a line of history, remove what no kept generation needs, end the
                                                oldest that drain too many
    generations fleet [JSON]                    show which release each app host has, as the last deploy recorded it
    generations close SPREAD [SOCKET...]        close the connections on the sockets of all generations, or on these
    generations logs [-f] [-n N] [GENERATION]   show what processes and drains said last
    generations logs --site [-f] [-n N] [--minutes M] [--since T] [--until T] [--level L] [--request ID] [GENERATION]
                                                the same with nginx's errors and the requests that failed, in order
    generations top [--once] [--json] [--seconds S]
                                                sockets, handshakes a second, CPU and memory, again and again: as
                                                `<app>-top`, too
    generations remove SPREAD [--check]         end all of it, and remove all of the project but its shared files
    generations prepare GENERATION              have the project do what is to be done before it serves: JSON comes in
                                                and goes out
    generations run GENERATION -- COMMAND...    run a command as the project's user, in the generation's environment
    generations unlock [RUN] [--force]          give the lock of a run back, or free it whoever holds it

A generation is a release with its environment and the way it is run: processes that serve, each on a socket, and
workers that do the rest. Each is kept running by the generation's service manager. The folders are described in
docs/decisions.md.
"""

import argparse

from .choice import LEVELS
from .locks import WAIT


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = reader.add_subparsers(dest="command", required=True)
    commands.add_parser("list").add_argument("--json", action="store_true")
    for name in ("start", "stop", "work", "discard"):
        commands.add_parser(name).add_argument("generation")
    commands.add_parser("protect")
    judging = commands.add_parser("unsteady")
    judging.add_argument("--json", action="store_true")
    judging.add_argument("--since", type=float, help="seconds that each server must have run for")
    judging.add_argument("generation", nargs="?", default="", help="by default, the one that serves")
    for name in ("serve", "retire", "drain"):
        ending = commands.add_parser(name)
        ending.add_argument("generation")
        ending.add_argument("seconds", type=float, help="until sockets of what is retired are closed")
        ending.add_argument("spread", type=float, help="seconds over which they are")
        ending.add_argument("own", nargs="*", help="the project's own command to have clients leave, after --")
    tidying = commands.add_parser("tidy")
    tidying.add_argument("keep", type=int)
    tidying.add_argument("limit", type=int)
    tidying.add_argument("event", nargs="?", help="what was done, as a JSON object")
    commands.add_parser("fleet").add_argument("record", nargs="?", help="a newer record, as a JSON object")
    removing = commands.add_parser("remove")
    removing.add_argument("spread", type=float, help="seconds over which sockets are closed")
    removing.add_argument("--check", action="store_true", help="say what would go, and do nothing")
    closing = commands.add_parser("close")
    closing.add_argument("spread", type=float, help="seconds over which they are closed")
    closing.add_argument("sockets", nargs="*", help="by default, all of this project")
    add_logs(commands.add_parser("logs"))
    add_top(commands.add_parser("top"))
    preparing = commands.add_parser("prepare")
    preparing.add_argument("generation")
    running = commands.add_parser("run")
    running.add_argument("generation")
    running.add_argument("own", nargs="+", metavar="COMMAND", help="after --")
    for each in (preparing, running):
        each.add_argument("--wait", type=float, default=WAIT, help="seconds, where a killed run is still at work")
    unlocking = commands.add_parser("unlock")
    unlocking.add_argument("run", nargs="?", default="", help="the name of the run that gives it back")
    unlocking.add_argument("--force", action="store_true", help="free it, whoever holds it")
    return reader


def add_logs(showing: argparse.ArgumentParser) -> None:
    """Add the arguments of `logs`; most of them choose lines, and need --site."""
    showing.add_argument("-f", "--follow", action="store_true")
    showing.add_argument("-n", "--lines", type=int, default=50)
    showing.add_argument("--plain", action="store_true", help="without what the manager writes before each line")
    showing.add_argument("--site", action="store_true", help="with the requests that failed, in order of time")
    showing.add_argument("--minutes", type=float, default=0.0, help="of the last so many, not of all")
    showing.add_argument("--since", default="", help="from a moment on: 2026-11-30T12:00, in UTC")
    showing.add_argument("--until", default="", help="up to a moment")
    showing.add_argument("--level", default="", choices=("", *LEVELS), help="of this level and above")
    showing.add_argument("--request", default="", metavar="ID", help="about the request with this ID alone")
    showing.add_argument("--after", type=float, help="for a playbook: what came after a moment; 0 begins")
    showing.add_argument("--wait", type=float, default=5.0, help="with --after: seconds to wait for something")
    showing.add_argument("generation", nargs="?", default="", help="by default, all that are managed as what serves is")


def add_top(watching: argparse.ArgumentParser) -> None:
    """Add the arguments of `top`."""
    watching.add_argument("--once", action="store_true", help="show the figures once, as without a terminal")
    watching.add_argument("--json", action="store_true", help="the same for programs")
    watching.add_argument("--seconds", type=float, default=2.0, help="between two looks, which rates are taken from")
