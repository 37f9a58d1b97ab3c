"""The servers: whether they run, stay alive, and can speak WebSocket."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ...host.servers import is_to_listen
from ...host.steady import of_kind
from ..answers import PLAIN, opened, told
from ..case import Case, Finding, enough_files, of_text, version_of
from ..signatures import signature
from ..unsteady import unsteady_lines, unsteady_values
from .layer import elsewhere
from .unit_start import never_ready, not_reloaded, unit_start

#: A place to listen at in a command: a unit that names another one than the missing server's is not about that.
PLACE = re.compile(r"(^|\s)(-p|--port|-b|--bind|-u|--uds|-e|--endpoint)[ =]\S+")

#: What uvicorn logs of a handshake that it cannot take.
NO_LIBRARY = re.compile(r"Unsupported upgrade request|No supported WebSocket library")
#: What Python says where an ASGI object gets the two arguments of WSGI.
AS_WSGI = re.compile(r"__call__\(\) (missing \d+ required positional argument|takes \d+ positional arguments)")
#: Why a server ends when it starts to listen.
ENDINGS = ("E108_STALE_LOCK", "E127_SOCKET_FOLDER", "E128_BIND_ADDRESS", "E129_PORT_DENIED")
#: Why it ends before that.
IMPORTS = ("E201_ASGI_MODULE", "E202_ASGI_ATTRIBUTE", "E203_APPS_NOT_READY", "E205_ASGI_PATH", "E130_WORKER_CLASS")
#: The process that holds the sockets of socket units.
INIT = 1
#: What accepts connections for others, and answers none itself.
FORWARDERS = ("docker-proxy", "rootlessport", "slirp4netns", "socat", "ssh", "sshd")


def process(case: Case) -> Iterator[Finding]:
    """The servers: whether they run, and whether they can speak WebSocket."""
    if "servers" not in case.host:
        return  # nobody has looked
    if case.host.get("missing"):
        yield case.find("E117_NOT_DEPLOYED", "no server was found on this host", home=case.host["missing"])
        return
    dead = [each for each in case.servers if not each["pid"] and not each.get("remote")]
    # systemd holds the sockets of socket units, and accepts for services that it cannot start.
    dead += [each for each in case.servers if each["pid"] == INIT and case.direct and not opened(case.direct)]
    # By nobody whom this host shows, as a container's port may be.
    served = opened(case.proxy) and not case.directs
    # A server of another site proves that this one has none as little as it proves the opposite.
    if contained := [] if served else in_containers(case):
        inside = "; ".join(f"process {each['pid']} at {', '.join(each['apart'])}" for each in contained)
        places = ", ".join(each["address"] for each in dead)
        yield case.find("E132_NOT_PUBLISHED", [f"nobody listens on {places}", inside], server=contained[0]["server"],
                        places=places, inside=", ".join(contained[0]["apart"]), published=_port(places))  # fmt: skip
    elif not served and (dead or not (case.servers or any(each["server"] for each in case.host.get("processes", [])))):
        yield from _not_running(case, dead)
    unheard = [each for each in case.host.get("upstream") or [] if not each["listening"]]
    if changed := not_reloaded(case, unheard):
        yield changed
    if waiting := never_ready(case):
        yield waiting
    yield from _rivals(case)
    for each in case.processes:
        if each["limit"] and each["files"] >= each["limit"] - 2:
            yield case.find("E110_OPEN_FILES", f"process {each['pid']} has {each['files']} files open",
                            limit=each["limit"], files=enough_files(each["limit"]))  # fmt: skip
    yield from _wrong_server(case)
    if case.project.get("stale"):
        names = ", ".join(case.project["stale"])
        yield case.find("E114_ENVIRONMENT_STALE", f"differ: {names}", names=names)
    yield from _silent(case)
    version = case.project.get("versions", {}).get("daphne")
    if version and version_of(version) < (4, 2, 2) and any(each["server"] == "daphne" for each in case.processes):
        yield case.find("W116_DAPHNE_OLD", f"daphne {version}")
    yield from _beside(case)
    yield from _unsteady(case, dead)


def _unsteady(case: Case, dead: list[dict[str, Any]]) -> Iterator[Finding]:
    """What this bundle has started and does not stay alive. Another finding says why nobody listens at a socket."""
    steady = case.host.get("steady") or {}
    for worker, code in ((False, "E121_PROCESS_UNSTEADY"), (True, "E122_WORKER_UNSTEADY")):
        told = [each for each in of_kind(steady, worker) if each["what"]]
        if told and told[0]["unsteady"] and (worker or not dead):
            yield case.find(code, unsteady_lines(told), **unsteady_values(told[0], case.bundle))
        elif told and not told[0]["unsteady"]:
            yield case.find("W123_STARTED_AGAIN", unsteady_lines(told), **unsteady_values(told[0], case.bundle))


def _beside(case: Case) -> Iterator[Finding]:
    """What a project of this bundle has beside its sockets: gunicorn, and files that outlive releases."""
    quiet = [f"nobody listens on {each['address']}" for each in case.host.get("wsgi") or [] if not each["listening"]]
    quiet += [told(each) for each in case.exchanges if each["kind"] == "wsgi" and each["stage"]]
    if quiet:
        yield case.find("W119_WSGI_DOWN", quiet, app=case.bundle["app"], generation=case.bundle["generation"])
    if shared := case.host.get("shared"):
        mend = "; ".join(each["mend"] for each in shared)
        yield case.find("W120_SHARED_PATH", [each["seen"] for each in shared], mend=mend)


def _not_running(case: Case, dead: list[dict[str, Any]]) -> Iterator[Finding]:
    """Why a server that should run does not."""
    units = [each for each in case.units if _is_to_listen(each, dead)] or [
        each for each in case.units if each["state"] != "active" and not (dead and PLACE.search(each["command"]))
    ]
    lines = [line for each in units for line in last_life(each.get("log", []))]
    down = [each for each in case.programs if each["state"] in ("FATAL", "BACKOFF", "EXITED", "STOPPED")]
    programs = [each for each in down if _is_to_listen({"unit": each["program"], "command": ""}, dead)] or down
    lines += [line for each in programs for line in each.get("log", [])]
    seen = [f"nobody listens on {each['address']}" for each in dead]
    seen += [f"{each['unit']}: {each['state']} ({each['sub']}), result {each['result']}, {each['restarts']} restarts"
             for each in units]  # fmt: skip
    seen += [f"supervisor: {each['program']} {each['state']} {each['text']}" for each in programs]
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    start = _start(case, units, programs, dead)
    killed = [each for each in case.host.get("kills", []) if "python" in each] if programs else []
    if killed or any(map(_ran_out_of_memory, units)):
        yield case.find("E106_OUT_OF_MEMORY", [*seen, *case.host.get("kills", [])])
        return
    crashing = any(
        each["sub"] == "auto-restart" or each["restarts"] or each["result"] not in ("success", "")
        for each in units
    )  # fmt: skip
    crashing = crashing or any(each["state"] in ("FATAL", "BACKOFF") for each in programs)
    if unable := unit_start(case, units, seen):
        yield unable
    elif starting := [] if any(each["restarts"] for each in units) else case.host.get("starting"):
        each = max(starting, key=lambda one: one["age"])
        yield case.find("E118_STARTING", [*seen, f"process {each['pid']} runs, and does not listen"], age=each["age"])
    elif crashing:
        lacks = any(each["status"] == "203" for each in units)
        if lacks or any(signature(each["text"]) == "E103_SERVER_MISSING" for each in programs):
            yield case.find("E103_SERVER_MISSING", [*seen, last])
            return
        known = [(line, code) for line in reversed(lines) if (code := signature(line))
                 and not (code == "E501_REDIS_DOWN" and elsewhere(case, line))]  # fmt: skip
        # What gunicorn says of its workers comes before the error of Python's that it is about.
        cause = next((each for each in known if each[1] == "E130_WORKER_CLASS"), next(iter(known), None))
        if cause:
            yield of_text(case, cause[1], cause[0], seen)
        else:
            yield case.find("E105_CRASH_LOOP", [*seen, last])
    elif case.host.get("leftovers"):
        sockets = case.host["leftovers"]
        yield case.find("E107_STALE_SOCKET", [*seen, *(f"{path} is there" for path in sockets)], start=start)
    elif case.project.get("import_error") and not case.alive:
        return  # the rule for imports reports it
    else:
        yield case.find("E104_NOT_RUNNING", seen or ["no server was found on this host"], start=start)


def _ran_out_of_memory(unit: dict[str, Any]) -> bool:
    """Whether a unit's process was killed for its memory. On cgroup v1, systemd knows only SIGKILL and the limit."""
    killed = unit["result"] == "signal" and unit["status"] == "9" and unit.get("memory_max", "infinity") != "infinity"
    return unit["result"] == "oom-kill" or killed


def _is_to_listen(unit: dict[str, Any], servers: list[dict[str, Any]]) -> bool:
    """Whether a unit's process should listen where one of these servers does, or should."""
    return any(is_to_listen(unit["unit"], unit["command"], each["address"]) for each in servers)


def last_life(lines: list[str]) -> list[str]:
    """The lines of a unit's log that belong to the last process that ended; all of them if none did."""
    ends = [index for index, line in enumerate(lines) if "Main process exited" in line]
    if not ends:
        return lines
    begin = ends[-2] + 1 if len(ends) > 1 else 0
    starts = [index + 1 for index in range(begin, ends[-1]) if re.match(r"(Starting|Started) ", lines[index])]
    return lines[max([begin, *starts]) : ends[-1]] or [lines[ends[-1]]]


def _start(case: Case, units: list[dict[str, Any]], programs: list[dict[str, Any]], dead: list[dict[str, Any]]) -> str:
    """The command that starts what does not run."""
    if units:
        return "systemctl start " + " ".join(each["unit"] for each in units)
    if programs:
        return "supervisorctl start " + " ".join(each["program"] for each in programs)
    if case.bundle.get("manager") == "supervisor":
        return f"supervisorctl start '{case.bundle['unit']}@{case.bundle['generation']}:*'"
    if case.bundle.get("unit"):
        return "systemctl start " + " ".join(
            f"{case.bundle['unit']}@{each['address'].rpartition('/')[2].removesuffix('.sock')}.service"
            for each in dead
        )  # fmt: skip
    return f"daphne {case.application} in the folder of manage.py, under a service manager"


def _rivals(case: Case) -> Iterator[Finding]:
    """Two servers that want one port: both have it, or one of them ended because of it."""
    servers = [each for each in case.host.get("processes", []) if each["listens"]]
    for index, one in enumerate(servers):
        for other in servers[index + 1 :]:
            shared = {_port(each) for each in one["listens"]} & {_port(each) for each in other["listens"]} - {""}
            if not shared or _related(one, other) or not (one["server"] and other["server"]):
                continue
            both = [f"{each['pid']} {each['command'][:60]}" for each in (one, other)]
            yield case.find("E109_TWO_SERVERS", [f"port {min(shared)} is listened on by both: {'; '.join(both)}"],
                            listeners="; ".join(both))  # fmt: skip
            return
    mine = [each for each in case.units if _is_to_listen(each, case.servers)]
    for unit in mine:
        taken = next((line for line in reversed(unit.get("log", [])) if signature(line) == "E109_TWO_SERVERS"), "")
        # One that is started again and again is active for a moment each time.
        down = unit["state"] != "active" or (unit["restarts"] and unit["pid"] not in case.alive)
        if taken and down and not any(not each["pid"] for each in case.servers):
            holders = [f"{each['pid']} {each['command'][:60]} ({each['unit'] or 'no unit'})" for each in case.processes]
            seen = [f"{unit['unit']}: {unit['state']} ({unit['sub']})", taken.strip(), *holders]
            yield case.find("E109_TWO_SERVERS", seen, listeners="; ".join([*holders, unit["unit"]]))


def _port(address: str) -> str:
    return address.rpartition(":")[2] if address.startswith("tcp:") else ""


def _related(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two processes belong to one server: a parent and its child, or two of its children."""
    if other["parent"] == one["pid"] or one["parent"] == other["pid"]:
        return True
    return one["parent"] == other["parent"] and one["parent"] > 1


def _wrong_server(case: Case) -> Iterator[Finding]:
    """Servers that run and take a handshake for plain HTTP."""
    for each in case.processes:
        came = case.direct
        plain = came is not None and came["status"] in PLAIN
        seen = [f"process {each['pid']}: {each['command']}", told(came)]
        if each["server"] == "runserver":
            yield case.find("E101_RUNSERVER" if plain else "W115_RUNSERVER_SERVES", seen)
        elif each["server"] and not each["speaks"] and (plain or _called_as_wsgi(case)):
            yield case.find("E102_WSGI", seen, server=each["server"])
        elif "uvicorn" in each["server"] and plain and no_library(case, each):
            yield case.find("E112_NO_WEBSOCKET_LIBRARY", seen)
        else:
            continue
        return


def in_containers(case: Case) -> list[dict[str, Any]]:
    """The servers that listen on a missing server's port in another network than this host's."""
    ports = {_port(each["address"]) for each in case.servers if not each["pid"] and not each.get("remote")} - {""}
    return [each for each in case.host.get("processes", []) if ports & {_port(one) for one in each.get("apart") or []}]


def fd_of_unix(case: Case) -> dict[str, Any] | None:
    """A daphne that was given a unix socket by --fd, and nothing else."""
    return next(
        (
            each
            for each in case.processes
            if each["server"] == "daphne"
            and re.search(r"\s--fd[ =]\d", each["command"])
            and all(place.startswith("unix:") for place in each["listens"])
        ),
        None,
    )


def _called_as_wsgi(case: Case) -> bool:
    """Whether a server calls an ASGI object as if it were one of WSGI, and answers 500."""
    return bool(case.direct and case.direct["status"] == 500) and any(map(AS_WSGI.search, case.log))


def no_library(case: Case, process: dict[str, Any]) -> bool:
    """Whether uvicorn is known to have nothing that speaks WebSocket: it has other reasons for 400, too."""
    versions = case.project.get("versions") or {}
    lacks = bool(versions) and not {"websockets", "wsproto"} & set(versions)
    return lacks or re.search(r"--ws[ =]none", process["command"]) is not None or any(map(NO_LIBRARY.search, case.log))


def _silent(case: Case) -> Iterator[Finding]:
    """Servers that accept connections but do not answer."""
    came = case.direct
    if not came or came["stage"] != "handshake" or any(each["files"] >= each["limit"] - 2 for each in case.processes):
        return
    holder = case.processes[0] if case.processes else {"pid": "PID", "name": "", "command": "", "listens": []}
    if holder["pid"] == INIT:
        return  # the service behind its socket is not there
    if holder["name"] in FORWARDERS:
        places = ", ".join(holder["listens"])
        inside = [f"in a container, process {each['pid']} ({each['server']}) listens at {', '.join(each['apart'])}"
                  for each in case.host.get("processes", []) if each.get("apart")]  # fmt: skip
        yield case.find("E126_NOBODY_BEHIND", [told(came), f"process {holder['pid']}: {holder['command']}", *inside],
                        who=holder["name"], places=places, published=places.rpartition(":")[2])  # fmt: skip
        return
    if given := fd_of_unix(case):
        yield case.find("E131_FD_UNIX", [told(came), f"process {given['pid']}: {given['command']}"],
                        socket=given["listens"][0].removeprefix("unix:"), command=given["server"])  # fmt: skip
        return
    # One that ends soon after each start accepts nothing, though a parent holds its socket.
    dies = any("Worker failed to boot" in line or "Main process exited" in line for line in case.log)
    why = (*ENDINGS, *IMPORTS) if dies else ENDINGS
    if ended := next(((line, code) for line in reversed(case.log) if (code := signature(line)) in why), None):
        yield of_text(case, ended[1], ended[0], [told(came)])
        return
    plain = case.one("process", "http")
    if plain and plain["status"]:
        longer = max(20, *(2 * int(each.get("connect_timeout", 5)) for each in case.processes))
        yield case.find("E410_CONNECT_SLOW", [told(came), told(plain)], longer=longer)
    else:
        yield case.find("E111_SERVER_SILENT", told(came), pid=holder["pid"])
