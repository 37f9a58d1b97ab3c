#!/usr/bin/python3
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
    generations close SPREAD [SOCKET...]        close the connections on the sockets of all generations, or on these
    generations logs [-f] [-n N] [GENERATION]   show what processes and drains said last
    generations logs --site [--minutes M] [-n N] the same with nginx's errors and the requests that failed, in order
    generations remove SPREAD [--check]         end all of it, and remove all of the project but its shared files
    generations prepare GENERATION              have the project do what is to be done before it serves: JSON comes in
                                                and goes out
    generations run GENERATION -- COMMAND...    run a command as the project's user, in the generation's environment
    generations unlock [RUN] [--force]          give the lock of a run back, or free it whoever holds it

A generation is a release with its environment and the way it is run: processes that serve, each on a socket, and
workers that do the rest. Each is kept running by the generation's service manager. The folders are described in
docs/decisions.md. Standard library only: this runs on hosts, also when nobody is looking.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import ctypes
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from locks import GUARD, LOCK, WAIT, WORK, Busy, DeployLock, Refused, working
from managers import MANAGERS, Supervisor, Systemd, Unmanageable

ETC = Path("/etc")
APP = Path(__file__).resolve().parent.name
HOME = Path("/srv") / APP
HISTORY = HOME / "history.jsonl"
CRON = Path("/etc/cron.d") / APP
ACCESS_LOG = Path("/var/log/nginx") / f"{APP}.access.log"
BIN, SBIN = Path("/usr/local/bin"), Path("/usr/local/sbin")
UPSTREAM = Path("/etc/nginx/conf.d") / f"{APP}-upstream.conf"
OFTEN, LATELY = 3, 60.0  # a process that was started again so often, and last within so many seconds, keeps dying
LAST_LINES = 10  # of a process that is unsteady
SETTLE = 3.0  # seconds in which requests that nginx had accepted before a switch still reach the old processes
MOMENT = "%Y-%m-%d %H:%M:%S"  # in UTC; sorts as it is
DONE = "serves"  # the result of a run that switched and did all that follows
ESSENTIAL = ("generation", "release", "version", "manager", "user", "unit", "instances", "sockets")
# What changes something here: never beside what a killed run has left at work.
CHANGES = (
    "start", "work", "stop", "discard", "serve", "retire", "protect", "tidy", "remove", "prepare", "run",
)  # fmt: skip
PIDFD_GETFD = 438  # the system call's number, the same on every architecture since Linux 5.6


# --- what there is ----------------------------------------------------------------------------------------------------


def generations() -> dict[str, dict[str, Any]]:
    """Return what each generation on the disk says of itself, by name; those that cannot be read are left out."""
    found = {}
    for path in (HOME / "generations").glob("*/generation.json"):
        with contextlib.suppress(Refused):  # a deploy removes it just now, or it is among the broken
            found[path.parent.name] = describe(path.parent.name)
    return found


def describe(generation: str) -> dict[str, Any]:
    """Return what a generation says of itself; raise Refused where there is none, or it cannot be read."""
    path = HOME / "generations" / generation / "generation.json"
    try:
        described = json.loads(path.read_bytes())
        if missing := [name for name in ESSENTIAL if name not in described]:
            raise ValueError(f"it has no {missing[0]}")
        if described["manager"] not in MANAGERS:
            raise ValueError(f"there is no manager {described['manager']}")
    except FileNotFoundError:
        raise Refused(f"{APP} has no generation {generation} here") from None
    except (OSError, ValueError, TypeError) as error:  # as a full disk or a crash of the host may leave it
        way = "deploying it again writes it anew" if generation == live() else f"{APP}-generations discard {generation}"
        raise Refused(f"{path} cannot be read ({error}): {way}") from None
    return described


def broken() -> list[dict[str, Any]]:
    """Return rows of generations that cannot be read: with what is known all the same, and the way on as `fault`."""
    rows = []
    for folder in sorted((HOME / "generations").glob("*")):
        name, serves = folder.name, folder.name == live()
        if not (folder / "generation.json").exists() and not serves:
            continue  # a deploy has begun with it just now
        try:
            describe(name)
        except Refused as refusal:
            links = [link.name for link in (HOME / "instances").glob(f"{name}-*")]
            code = folder / "code"
            inside = code.is_symlink() and code.readlink().is_relative_to(HOME / "releases")
            release = code.readlink().relative_to(HOME / "releases").parts[0] if inside else name.rpartition("-")[0]
            rows.append(
                {
                    **dict.fromkeys(("unit", "manager", "server", "version"), ""), "generation": name, "user": APP,
                    "release": release, "state": "broken", "fault": str(refusal), "serves": serves,
                    "instances": links, "sockets": [], "pids": [], "served": served(name), "told": True,
                    "running": len(links), "working": 0, "expected": 0, "connections": 0, "memory": 0, "deadline": 0.0,
                }
            )  # fmt: skip
    return rows


def live() -> str:
    """Return the name of the generation that serves, or nothing."""
    link = HOME / "live"
    return link.resolve().name if link.is_symlink() else ""


def served(generation: str) -> float:
    """Return when a generation began to serve last, in seconds since the epoch; 0.0 when it never did."""
    try:
        return (HOME / "generations" / generation / "served").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def switch(generation: str) -> int:
    """Return the number of the switch by which a generation came to serve last; 0 where none was counted.

    Clocks are set back: what came later, and which switch a line of history is about, is told by numbers.
    """
    try:
        return int((HOME / "generations" / generation / "served").read_text())
    except (OSError, ValueError):
        return 0


def count_switch(generation: str) -> None:
    """Note that a generation comes to serve, as the last of all."""
    path = HOME / "generations" / generation / "served"
    part = path.with_name(".served.part")
    part.write_text(f"{1 + max(map(switch, generations()), default=0)}\n")
    part.replace(path)


def manager(described: dict[str, Any]) -> Systemd | Supervisor:
    """Return the service manager that a generation was made for."""
    return MANAGERS[described["manager"]](APP, HOME)


def processes(described: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the processes of a generation that serve, as its manager knows them: the ASGI ones first."""
    kinds = [described, *([described["wsgi"]] if described.get("wsgi") else [])]
    return [
        {"unit": kind["unit"], "generation": described["generation"], "instances": kind["instances"]} for kind in kinds
    ]


def listening(described: dict[str, Any]) -> list[str]:
    """Return the sockets that the processes of a generation listen on."""
    return [*described["sockets"], *described.get("wsgi", {}).get("sockets", [])]


def workers(described: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the other processes of a generation that this host has, as its manager knows them."""
    found = [worker for worker in described.get("workers", []) if worker["instances"]]
    return [{**worker, "generation": described["generation"]} for worker in found]


def steady(described: dict[str, Any]) -> list[dict[str, Any]]:
    """Return those workers of a generation that run all the time, and not when cron says."""
    return [worker for worker in workers(described) if not worker["schedule"]]


def accepted(sockets: list[str]) -> set[str]:
    """Return the connections that processes hold on some unix sockets, as they are named in /proc/PID/fd.

    State 03 in /proc/net/unix is connected; the side that accepted bears the socket's path.
    """
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return {f"socket:[{line[6]}]" for line in lines if line[5] == "03" and line[-1] in sockets}


def drain_name(generation: str) -> str:
    """Return the name under which a generation is drained in the background."""
    return f"{APP}-drain-{generation}"


def drains(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return which of some generations are being drained, and their deadlines in seconds since the epoch."""
    draining = {}
    for kind, manage in MANAGERS.items():
        names = {drain_name(name): name for name, described in found.items() if described["manager"] == kind}
        for name in manage(APP, HOME).begun(list(names)):
            draining[names[name]] = deadline(names[name])
    return draining


def deadline(generation: str) -> float:
    """Return when a drain's sockets are closed, in seconds since the epoch; 0.0 while it begins or ends."""
    try:
        return float((HOME / "generations" / generation / "deadline").read_text())
    except (FileNotFoundError, ValueError):
        return 0.0


def told(generation: str) -> bool:
    """Tell whether the run that switched to a generation came to its end: the line of history is the last it does."""
    number, since = switch(generation), time.strftime(MOMENT, time.gmtime(served(generation)))
    return any(
        (event.get("switch") == number if number else event["at"] >= since)
        for event in history(sys.maxsize)
        if event.get("generation") == generation and event.get("result") == DONE
    )


def overview() -> list[dict[str, Any]]:
    """Return all generations with their state, the one that serves first, then the younger before the older."""
    found = generations()
    rows, draining, serving = [], drains(found), live()
    upstream = UPSTREAM.read_text() if UPSTREAM.exists() else ""
    for name, described in found.items():
        servers, helpers = processes(described), steady(described)
        states = iter(manager(described).states([*servers, *helpers]))
        shown = [
            {
                "unit": group["unit"], "instance": instance, "kind": kind(group, described),
                **next(states)._asdict(),
            }
            for group in (*servers, *helpers) for instance in group["instances"]
        ]  # fmt: skip
        ours = [one for one in shown if one["kind"] == "server"]
        running = [one for one in ours if one["pid"]]
        others = [one for one in shown if one["kind"] != "server"]
        helping = [one for one in others if one["pid"]]
        if name == serving:
            state = "live"
        elif any(f"unix:{path} " in upstream for path in described["sockets"]):
            state = "switching"  # nginx passes connections to it, and the run that did so was killed or is not done
        elif name in draining:
            state = "draining"
        elif served(name):
            state = "left" if running else "kept"  # left by a run that was killed before it began to drain it
        else:
            state = "new"
        rows.append(
            {
                **described, "state": state, "served": served(name), "told": told(name), "running": len(running),
                "pids": [one["pid"] for one in ours], "processes": shown,
                "working": len(helping), "expected": len(others),
                "connections": len(accepted(listening(described))),
                "memory": sum(one["memory"] for one in shown if one["pid"]), "deadline": draining.get(name, 0.0),
                "exposed": exposed(described),
                "installed": name != serving or manager(described).installed([*servers, *helpers]),
            }
        )  # fmt: skip
    order = sorted(rows, key=lambda row: (row["state"] != "live", -switch(row["generation"]), -row["served"]))
    return order + broken()


def exposed(described: dict[str, Any]) -> bool:
    """Tell whether others than root and the project's group may read a generation's environment, or change it."""
    try:
        found = (HOME / "generations" / described["generation"] / "env").stat()
        return (found.st_uid, found.st_gid) != (
            0,
            pwd.getpwnam(described["user"]).pw_gid,
        ) or found.st_mode & 0o7777 != 0o640
    except (OSError, KeyError):
        return False  # it is just being removed


def protect() -> None:
    """Have the environments of all generations be for root and the project's group alone."""
    for name, described in generations().items():
        if exposed(described):
            path = HOME / "generations" / name / "env"
            path.chmod(0o640)
            os.chown(path, 0, pwd.getpwnam(described["user"]).pw_gid)


def kind(group: dict[str, Any], described: dict[str, Any]) -> str:
    """Return what a group of a generation's processes is for."""
    wsgi = described.get("wsgi", {}).get("unit")
    return "server" if group["unit"] == described["unit"] else "wsgi" if group["unit"] == wsgi else "worker"


def unsteady(row: dict[str, Any], since: float | None = None) -> list[dict[str, Any]]:
    """Return those processes of a generation that do not run or keep dying, each with `what` and its last lines, `log`.

    Where `since` is given, it is asked of a generation that is new: then servers that have not run for as many seconds
    have ended meanwhile, and so has a worker that was started again at all.
    """
    found = []
    for one in row["processes"]:
        times = f"{one['restarts']} time{'' if one['restarts'] == 1 else 's'}"
        again = f"was started again {times}, last {span(one['age'] or 0)} ago"
        if since is None:
            ended = one["restarts"] >= OFTEN and (one["age"] or 0) < LATELY
        else:
            ended = one["restarts"] > 0 if one["kind"] == "worker" else (one["age"] or 0) < since
        if one["pid"] and not ended:
            continue
        what = again if one["pid"] else f"does not run ({one['word']}), and was started again {times}"
        group = {"unit": one["unit"], "generation": row["generation"]}
        log = manager(row).last_lines(group, one["instance"], LAST_LINES)
        found.append({**one, "what": f"{one['unit']}@{one['instance']} {what}", "log": log})
    return found


def ago(moment: float) -> str:
    """Return how long ago a moment was, in two figures at the most."""
    return span(time.time() - moment)


def span(seconds: float) -> str:
    """Return a time in two figures at the most."""
    seconds = max(0, int(seconds))  # where the clock was set back
    for size, letter, lesser, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            return f"{seconds // size}{letter} {seconds % size // lesser}{small}"
    return f"{seconds}s"


def history(number: int) -> list[dict[str, Any]]:
    """Return the last lines of history, the newest first; a line that was cut off is left out."""
    found: list[dict[str, Any]] = []
    for line in reversed(HISTORY.read_text(errors="replace").splitlines() if HISTORY.exists() else []):
        if event := event_of(line):
            found.append(event)
        if len(found) == number:
            break
    return found


def event_of(line: str) -> dict[str, Any]:
    """Return the event that a line of history tells; nothing where it cannot be read."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) and {"at", "what"} <= event.keys() else {}


def history_fault() -> str:
    """Return which lines of history cannot be read, and the command that removes them; mostly nothing."""
    lines = HISTORY.read_text(errors="replace").split("\n")[:-1] if HISTORY.exists() else []
    bad = [number for number, line in enumerate(lines, 1) if not event_of(line)]
    if not bad:
        return ""
    which = f"line {', '.join(map(str, bad[:5]))}" + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
    return f"{HISTORY}: {which} cannot be read: sed -i '{';'.join(f'{number}d' for number in bad)}' {HISTORY}"


def table(rows: list[dict[str, Any]], events: list[dict[str, Any]]) -> str:
    """Return generations and history for a person."""
    lines = [f"{'GENERATION':<21}{'VERSION':<16}{'STATE':<10}{'SERVED':<10}{'PROCESSES':<11}{'SOCKETS':<9}MEMORY"]
    for row in rows:
        if "fault" in row:
            lines.append(f"{row['generation']:<37}broken    {row['fault']}")
            continue
        age = ago(row["served"]) if row["served"] else "never"
        memory = f"{row['memory'] / 2**20:.0f} MB" if row["memory"] else "-"
        shown = f"{row['running']}/{len(row['instances'])}"
        shown += f" +{row['working']}/{row['expected']}" if row["expected"] else ""
        until = f"  until {clock(row['deadline'])}" if row["deadline"] else ""
        lines.append(
            f"{row['generation']:<21}{row['version'][:15]:<16}{row['state']:<10}{age:<10}{shown:<11}"
            f"{row['connections']:<9}{memory}{until}"
        )
    for one in (one for row in rows if row["state"] == "live" for one in unsteady(row)):
        lines += ["", f"! {one['what']}. Its last lines:", *(f"    {line}" for line in one["log"] or ["(none)"]), ""]
    for event in events:
        lines.append(
            f"{event['at']}  {event['what']:<10}{event.get('version', '')} ({event.get('generation', '')}) "
            f"by {event.get('who', '?')}: {event.get('result', '')}"
        )
    return "\n".join([*lines, *filter(None, [history_fault()])])


def log_command(generation: str, lines: int, follow: bool, plain: bool) -> list[str]:
    """Return the command that shows what a generation's processes said last, or those of all that are managed alike."""
    described = describe(generation or live())
    alike = [one for one in generations().values() if one["manager"] == described["manager"]]
    shown = [described] if generation else alike
    units = sorted({group["unit"] for one in shown for group in (*processes(one), *workers(one))})
    return manager(described).log_command(units, generation or "*", lines, follow, plain)


def logs(asked: argparse.Namespace) -> None:
    """Show what was said last; with --site, also what nginx has to say, in order of time."""
    command = log_command(asked.generation, asked.lines, asked.follow, asked.plain)
    if not asked.site:
        os.execvp(command[0], command)
    import timeline

    timeline.show(command, ACCESS_LOG, asked.lines, asked.minutes)


def clock(moment: float) -> str:
    """Return a moment's time of day."""
    return time.strftime("%H:%M:%S UTC", time.gmtime(moment))


# --- serving ----------------------------------------------------------------------------------------------------------


def link(path: Path, target: str) -> None:
    """Have a link lead to a target, in one step for whoever follows it meanwhile."""
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    part.replace(path)


def start(generation: str) -> None:
    """Have a generation's processes run, for this boot and the next. One that drains does not drain any more."""
    described = describe(generation)
    if any(worker["schedule"] for worker in workers(described)) and not Path("/usr/sbin/cron").exists():
        raise Refused("asgi_workers have a schedule, and cron is not installed: run site.yml, which does that")
    for group in (*processes(described), *workers(described)):
        for instance in group["instances"]:
            link(HOME / "instances" / instance, f"../generations/{generation}")
    if fault := manager(described).verify([*processes(described), *workers(described)]):
        raise Refused(f"the service manager would not take what asgi_unit_template makes:\n{fault}")
    manager(described).end(drain_name(generation))
    (HOME / "generations" / generation / "deadline").unlink(missing_ok=True)
    manager(described).start(processes(described))
    if generation == live():  # its workers, too; those of a new one wait until it serves
        work(described)


def work(described: dict[str, Any]) -> None:
    """Have a generation's workers run, for this boot and the next, and be run when cron says."""
    # Where a worker may run but once, the old one ends before the new one begins; others end by and by, in the drain.
    for name, other in generations().items():
        if name != described["generation"]:
            manager(other).stop([worker for worker in steady(other) if worker["singleton"]])
    for worker in workers(described):
        for instance in worker["instances"]:
            link(HOME / "instances" / instance, f"../generations/{described['generation']}")
    manager(described).install(workers(described))
    manager(described).start(steady(described))
    schedule = HOME / "generations" / described["generation"] / "cron"
    if any(worker["schedule"] for worker in workers(described)):
        part = CRON.with_name(f".{APP}")  # cron reads no file whose name begins so
        shutil.copyfile(schedule, part)
        part.replace(CRON)
    else:
        CRON.unlink(missing_ok=True)


def serve(generation: str, seconds: float, spread: float, command: list[str]) -> None:
    """Note that a generation serves, now that nginx passes connections to it, and retire the one that did before."""
    before = live()
    link(ETC / APP / "env", str(HOME / "live" / "env"))
    count_switch(generation)
    if before not in ("", generation):
        link(HOME / "before", f"generations/{before}")
    # A run that was killed before this line is repeated from the start by the next; after it, what is left is done.
    link(HOME / "live", f"generations/{generation}")
    work(describe(generation))
    if before not in ("", generation):
        try:
            retire(before, seconds, spread, command)
        except Refused as refusal:  # it cannot be read, so nobody knows what to drain: it runs on until it is discarded
            print(f"{before} does not drain: {refusal}", file=sys.stderr)


def retire(generation: str, seconds: float, spread: float, command: list[str]) -> None:
    """Drain a generation in the background, unless that is being done."""
    described = describe(generation)
    if generation in drains({generation: described}):
        return
    run = [str(Path(__file__).resolve()), "drain", generation, str(seconds), str(spread), "--", *command]
    manager(described).begin(drain_name(generation), run)


# --- draining ---------------------------------------------------------------------------------------------------------


def descriptors(wanted: set[str]) -> list[tuple[int, int]]:
    """Return process and descriptor of each of some connections."""
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            entries = list(folder.iterdir())
        except OSError:
            continue  # it ended meanwhile
        for entry in entries:
            try:
                if str(entry.readlink()) in wanted:
                    found.append((int(folder.parent.name), int(entry.name)))
            except OSError:
                continue
    return found


def close(pid: int, descriptor: int) -> None:
    """Shut down a connection of another process, from outside both ends (pidfd_getfd(2)).

    Each end sees its peer go: nginx closes the client's connection, and the server runs the consumer's disconnect(),
    which it does not when it is stopped. No other connection is touched. Raises OSError when it is gone already.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.pidfd_open(pid)
    try:
        copy = libc.syscall(PIDFD_GETFD, handle, descriptor, 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        with socket.socket(fileno=copy) as connection:
            connection.shutdown(socket.SHUT_RDWR)
    finally:
        os.close(handle)


def may_look() -> bool:
    """Tell whether this process may see the descriptors of other users' processes: not all of root's may.

    Engines start containers without CAP_SYS_PTRACE; its number is in capability.h of Linux.
    """
    status = Path("/proc/self/status").read_text()
    return bool(int(status.split("CapEff:")[1].split()[0], 16) >> 19 & 1)


def close_all(sockets: list[str], spread: float, user: str) -> int:
    """Close all connections of a user's processes on some unix sockets, evenly over `spread` seconds; return how many.

    Where root may not, a process of the same user may (ptrace(2), access mode checking).
    """
    if os.geteuid() == 0 and not may_look():
        command = [sys.executable, str(Path(__file__).resolve()), "close", str(spread), *sockets]
        own = pwd.getpwnam(user)
        closed = subprocess.run(
            command, user=own.pw_uid, group=own.pw_gid, extra_groups=[], cwd="/", check=True, text=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        *told, number = closed.stdout.splitlines()
        print("\n".join(told), end="\n" if told else "", flush=True)
        return int(number)
    open_now = descriptors(accepted(sockets))
    begun = time.monotonic()
    for number, (pid, descriptor) in enumerate(open_now):
        time.sleep(max(0.0, begun + spread * number / len(open_now) - time.monotonic()))
        try:
            close(pid, descriptor)
        except OSError as error:  # most often it ended by itself
            print(f"{pid}/{descriptor}: {error}", flush=True)
    return len(open_now)


def stop(described: dict[str, Any]) -> None:
    """Stop a generation's processes, for this boot and the next, and remove their sockets."""
    manager(described).stop([*processes(described), *workers(described)])
    for worker in workers(described):
        for instance in worker["instances"]:
            (HOME / "instances" / instance).unlink(missing_ok=True)
    for group in processes(described):
        for instance in group["instances"]:
            (HOME / "instances" / instance).unlink(missing_ok=True)
    for path in listening(described):
        for stale in (Path(path), Path(f"{path}.lock")):
            stale.unlink(missing_ok=True)


def drain(generation: str, seconds: float, spread: float, command: list[str]) -> None:
    """Wait for a generation's sockets to end, close what is left at the deadline, and stop its processes.

    `command` is run before the deadline, in the generation's environment: a project's own, friendlier way to have its
    clients leave. Sockets that it leaves open are closed at the deadline all the same. The deadline is not before
    `SETTLE`: a socket cannot be told from a request that is being answered.
    """
    seconds = max(seconds, SETTLE)
    folder = HOME / "generations" / generation
    described = describe(generation)
    deadline = time.time() + seconds
    (folder / "deadline").write_text(f"{deadline}\n")
    # After a reboot the generation that serves comes back, and this one does not.
    manager(described).forget(processes(described))
    # Where this run is ended early, the next one must not find the sockets' clients closed twice.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{generation}: not drained any more"))
    # They end what they are at, which may take longer than any deploy would wait.
    manager(described).stop(steady(described))
    time.sleep(SETTLE)
    asked = not command
    while accepted(listening(described)) and time.time() < deadline:
        if live() == generation:
            raise Refused(f"{generation} serves again, so it stays")
        if not asked and time.time() >= deadline - spread:
            asked = True
            within = ["runuser", "--user", described["user"], "--", str(folder / "within")]
            subprocess.Popen([*within, *command], stdin=subprocess.DEVNULL)
        time.sleep(0.25)
    if live() == generation:
        raise Refused(f"{generation} serves again, so it stays")
    # A project that took part has had the time before the deadline to spread its clients.
    closed = close_all(listening(described), 1.0 if command else spread, described["user"])
    print(f"{generation}: {closed} sockets closed at the deadline", flush=True)
    ending = time.monotonic() + SETTLE
    while accepted(listening(described)) and time.monotonic() < ending:
        time.sleep(0.1)
    stop(described)
    (folder / "deadline").unlink(missing_ok=True)
    print(f"{generation}: stopped", flush=True)


def groups(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the groups of processes of all those generations that one kind of manager runs."""
    return [
        {"generation": row["generation"], **group}
        for row in rows
        if row["manager"] == kind
        for group in (*processes(row), *row.get("workers", []))
    ]


# --- tidying ----------------------------------------------------------------------------------------------------------


def tidy(keep: int, limit: int) -> list[str]:
    """Remove what no kept generation needs, and return the names of what went.

    Kept are the one that serves, those that drain, and the last `keep` that served before. Where more than `limit`
    drain, the oldest are ended now. A generation that never served was left by a deploy that was killed.
    """
    rows = overview()
    gone: list[str] = []
    draining = [row for row in rows if row["state"] == "draining"]
    draining, ended = draining[:limit], draining[limit:]
    for row in ended:
        manager(row).end(drain_name(row["generation"]))
        close_all(listening(row), SETTLE, row["user"])
        stop(row)
        gone.append(f"drain of {row['generation']}")
    kept = [row for row in rows if row["state"] == "kept" or row in ended][:keep]
    needed = [row for row in rows if row["state"] in ("live", "switching", "left", "broken")] + draining + kept
    for row in rows:
        if row not in needed:
            if row["connections"]:  # of a run that was killed just after its switch
                close_all(listening(row), SETTLE, row["user"])
            stop(row)
            manager(row).remove_logs([*processes(row), *workers(row)])
            shutil.rmtree(HOME / "generations" / row["generation"])
            gone.append(f"generation {row['generation']}")
    for kind, manage in MANAGERS.items():
        manage(APP, HOME).clean([drain_name(row["generation"]) for row in rows if row["manager"] == kind])
        if not any(row["state"] == "broken" for row in rows):  # it may need a unit that is shared, and cannot say so
            used = manage(APP, HOME).shared(groups(needed, kind))
            unused = {group["unit"] for group in groups(rows, kind)} - used
            gone += [f"unit {unit}" for unit in manage(APP, HOME).remove_shared(unused)]
    # A generation whose drain was ended by a reboot is kept, and its processes are not.
    names = {row["generation"] for row in needed if row["state"] != "kept"}
    for link in (HOME / "instances").iterdir():
        if link.name.rpartition("-")[0] not in names:
            link.unlink()
    for row in kept:
        (HOME / "generations" / row["generation"] / "deadline").unlink(missing_ok=True)
    in_use = {
        "releases": {row["release"] for row in needed},
        "static": {row["release"] for row in needed},
        "venvs": {link.readlink().name for row in needed if (link := home_of(row) / "venv").is_symlink()},
    }
    for folder, used in in_use.items():
        for entry in (HOME / folder).iterdir():
            if entry.name not in used:
                shutil.rmtree(entry)
                gone.append(f"{folder}/{entry.name}")
    return gone


def home_of(described: dict[str, Any]) -> Path:
    """Return the folder of a generation."""
    return HOME / "generations" / described["generation"]


def discard(generation: str) -> None:
    """End what runs of a generation, and remove it: also where what it says of itself cannot be read."""
    folder = HOME / "generations" / generation
    if not generation or not folder.is_dir():
        raise Refused(f"{APP} has no generation {generation} here")
    if generation == live():
        raise Refused(f"{generation} serves: deploy it again, which writes its files anew, or go back to another one")
    instances = [link.name for link in (HOME / "instances").glob(f"{generation}-*")]
    for manage in MANAGERS.values():
        tool = manage(APP, HOME)
        tool.end(drain_name(generation))
        tool.stop([{"unit": unit, "generation": generation, "instances": instances} for unit in tool.kinds(generation)])
    for name in instances:
        (HOME / "instances" / name).unlink(missing_ok=True)
    shutil.rmtree(folder)
    print(f"{generation} is gone; what only it needed goes with the next deploy")


def remove(spread: float, dry: bool) -> list[str]:
    """End all generations and remove all that deploys have made, but for the shared files; return what went.

    nginx must know nothing of the project any more: until then, connections would come that nobody ends. What another
    project has is not looked at. Where `dry`, nothing is done.
    """
    found = generations()
    gone = [
        f"generation {name}: {sum(bool(state.pid) for state in manager(each).states(processes(each)))} processes, "
        f"{len(accepted(listening(each)))} sockets"
        for name, each in found.items()
    ]
    # Also of kinds that no generation has any more; the name alone might be another project's.
    mine = f"ExecStart={HOME}/instances/"
    own = [path for path in sorted(Systemd.UNITS.glob(f"{APP}-*@*.service")) if mine in path.read_text()]
    files = [
        CRON,
        ETC / "tmpfiles.d" / f"{APP}.conf",
        *own,
        ETC / APP / "env",
        ETC / APP / "certificate",
        Path("/run") / APP,
    ]
    files += sorted(path for path in HOME.glob("*") if path.name not in ("shared", "generations"))
    tool = Path(__file__).resolve().parent
    # Last, since a run that is killed before is gone on with by them.
    last = [HOME / "generations", BIN / f"{APP}-manage", SBIN / f"{APP}-generations", tool]
    shown = [path for path in (*files, *last) if path.name not in (LOCK, GUARD, WORK)]
    gone += [str(path) for path in shown if os.path.lexists(path)]
    if dry:
        return gone
    for name, each in found.items():
        manager(each).end(drain_name(name))
    sockets = [path for each in found.values() for path in listening(each)]
    if accepted(sockets):
        time.sleep(SETTLE)
        close_all(sockets, spread, APP)
        time.sleep(1.0)  # for each consumer's disconnect()
    for name, each in found.items():
        stop(each)
        manager(each).remove_logs([*processes(each), *workers(each)])
        manager(each).clean([drain_name(name)])
    end_processes(APP)
    for path in (*files, *last):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something of the user's own may be in it
        (ETC / APP).rmdir()
    if own:
        subprocess.run(["systemctl", "daemon-reload"], check=True)
    return gone


def end_processes(user: str) -> None:
    """End what a user still runs, such as a command that cron began; kill what has not ended after some seconds."""
    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError:
        return
    for what in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + SETTLE
        while running := [int(path.name) for path in Path("/proc").glob("[0-9]*") if owner(path) == uid]:
            for pid in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, what)
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)


def owner(path: Path) -> int:
    """Return the number of the user that a path belongs to; -1 where it is gone."""
    try:
        return path.stat().st_uid
    except OSError:
        return -1


# --- the command line -------------------------------------------------------------------------------------------------


def note(event: str) -> None:
    """Append an event to the history, with the time and the switch that it is about; one line each."""
    at, told = time.strftime(MOMENT, time.gmtime()), json.loads(event)
    with HISTORY.open("a+b") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        cut = file.read(1) not in (b"", b"\n")  # a line that was cut off must not take this one with it
        line = json.dumps({"at": at, **told, "switch": switch(told.get("generation", ""))})
        file.write((b"\n" if cut else b"") + line.encode() + b"\n")


def judge(generation: str, since: float | None, as_json: bool) -> int:
    """Print which processes of a generation are unsteady; return the exit code."""
    row = next((row for row in overview() if row["generation"] == generation), None)
    if row and "fault" in row:
        raise Refused(row["fault"])
    if row is None:
        raise Refused(f"{APP} has no generation {generation} here" if generation else f"{APP} serves nothing here")
    found = unsteady(row, since)
    if as_json:
        print(json.dumps(found))
    else:
        for one in found:
            print("\n".join([f"{one['what']}. Its last lines:", *(f"    {line}" for line in one["log"] or ["(none)"])]))
        print("\n".join(one["what"] for one in found), end="\n" if found else "", file=sys.stderr)
    return 5 if found else 0


def main() -> int:
    """Read the command line and do as it says; return the status: 3 is a refusal, 4 that another one is at work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
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
    removing = commands.add_parser("remove")
    removing.add_argument("spread", type=float, help="seconds over which sockets are closed")
    removing.add_argument("--check", action="store_true", help="say what would go, and do nothing")
    closing = commands.add_parser("close")
    closing.add_argument("spread", type=float, help="seconds over which they are closed")
    closing.add_argument("sockets", nargs="*", help="by default, all of this project")
    showing = commands.add_parser("logs")
    showing.add_argument("-f", "--follow", action="store_true")
    showing.add_argument("-n", "--lines", type=int, default=50)
    showing.add_argument("--plain", action="store_true", help="without what the manager writes before each line")
    showing.add_argument("--site", action="store_true", help="with the requests that failed, in order of time")
    showing.add_argument("--minutes", type=float, default=0.0, help="with --site: of the last so many, not of all")
    showing.add_argument("generation", nargs="?", default="", help="by default, all that are managed as what serves is")
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
    arguments = parser.parse_args()
    try:
        lock = hold(arguments)
        if arguments.command == "list":
            rows, events = overview(), history(5)
            print(json.dumps({"generations": rows, "history": events}) if arguments.json else table(rows, events))
        elif arguments.command in ("serve", "retire", "drain"):
            act = {"serve": serve, "retire": retire, "drain": drain}[arguments.command]
            act(arguments.generation, arguments.seconds, arguments.spread, arguments.own)
        elif arguments.command == "unsteady":
            return judge(arguments.generation or live(), arguments.since, arguments.json)
        elif arguments.command == "protect":
            protect()
        elif arguments.command == "start":
            start(arguments.generation)
        elif arguments.command == "work":
            work(describe(arguments.generation))
        elif arguments.command == "stop":
            stop(describe(arguments.generation))
        elif arguments.command == "discard":
            discard(arguments.generation)
        elif arguments.command == "tidy":
            if arguments.event:
                note(arguments.event)
            print("\n".join(tidy(arguments.keep, arguments.limit)))
        elif arguments.command == "close":
            every = arguments.sockets or [path for one in generations().values() for path in listening(one)]
            print(close_all(every, arguments.spread, APP))
        elif arguments.command == "remove":
            print("\n".join(remove(arguments.spread, arguments.check)))
        elif arguments.command == "logs":
            logs(arguments)
        elif arguments.command in ("prepare", "run"):
            return of_project(arguments, lock)
        else:
            return unlock(arguments.run, arguments.force)
    except (Refused, Unmanageable, Busy) as error:
        print(error, file=sys.stderr)
        return {Refused: 3, Busy: 4}.get(type(error), 1)
    return 0


def hold(arguments: argparse.Namespace) -> int:
    """Hold the lock of the work until this process ends, where a command changes something; return its descriptor."""
    if arguments.command not in CHANGES or getattr(arguments, "check", False) or not HOME.is_dir():
        return -1
    what = f"{APP}-generations {arguments.command} {getattr(arguments, 'generation', '')}".strip()
    stack = contextlib.ExitStack()
    lock, waited = stack.enter_context(working(HOME, what, getattr(arguments, "wait", WAIT)))
    atexit.register(stack.close)
    if waited:
        print(waited, file=sys.stderr)
    return lock


def of_project(arguments: argparse.Namespace, lock: int) -> int:
    """Run a command of the project's, or have it do all that comes before it serves."""
    from project import Failed, Project

    project = Project(HOME, describe(arguments.generation))
    if arguments.command == "run":
        return project.run(arguments.own, lock)
    try:
        print(json.dumps(project.prepare(json.load(sys.stdin), lock)))
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def unlock(run: str, force: bool) -> int:
    """Give the lock of a run back, or free it whoever holds it, and tell who did."""
    lock = DeployLock(HOME)
    if force:
        print(lock.force())
    elif not run:
        if holder := lock.shown():
            raise Refused(f"{holder}. Where its run is dead, this frees the lock: {APP}-generations unlock --force")
        print("nobody holds the lock")
    else:
        lock.give_back(run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
