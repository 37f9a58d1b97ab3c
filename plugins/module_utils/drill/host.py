"""What a drill does on a host: look, kill a part, cut the host off from others, and undo all of it.

What has to be undone is written down before it is done. Daemons come back by themselves, which is what a drill tests,
and a cut ends by itself: a process on the host heals it even if nobody asks for that any more.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from ..host import haproxy, proc, raw
from ..load.host import live_generation

#: What a drill has begun here and nobody has undone yet.
NOTE = Path("/run/channels-drill.json")
#: Marks the routes of a drill (ip-route(8), `proto`), so that they can be found and removed without knowing more.
MARK = "219"
HEAL = f"ip route flush proto {MARK}; ip -6 route flush proto {MARK}"
#: Where daemons write the id of their main process, and how that is called.
DAEMONS = {
    "nginx": ("/run/nginx.pid", "nginx"),
    "redis": ("/run/redis/redis-server.pid", "redis-server"),
    "database": ("/run/postgresql/*.pid", "postgres"),
    "edge": ("/run/haproxy.pid", "haproxy"),
}
#: Seconds in which a manager starts a process again.
MOMENT = 10.0
SERVICES = {"nginx": "nginx", "redis": "redis-server", "edge": "haproxy"}


class PartError(Exception):
    """A part is not there, or cannot be broken; the text says what, for a person."""


def looked(app: str) -> dict[str, Any]:
    """What serves here: `processes` that the generation has, how many of them are `running`, and IP `addresses`."""
    live = live_generation(app)
    shown = raw.output("ip", "-oneline", "address").split("\n")
    return {
        "generation": live.get("generation", ""),
        "processes": len(live.get("instances", [])),
        "running": live.get("running", 0),
        "addresses": [fields[3].split("/")[0] for fields in map(str.split, shown) if len(fields) > 3],
    }


def broken(part: str, app: str, addresses: list[str], seconds: int) -> dict[str, Any]:
    """Break a part; return `what` was broken, for people, and how many client sockets it `holds`. May raise PartError.

    A host is cut off from `addresses`, for so many seconds at most. All others are killed.
    """
    if part == "host":
        return cut(app, addresses, seconds)
    if part == "process":
        return kill_process(app)
    holds = {"nginx": app_sockets, "edge": lambda _: edge_connections()}.get(part, lambda _: 0)(app)
    pid, service = main_process(part)
    note({"service": service})
    kill(pid)
    return {"what": f"{service} (process {pid} and its children)", "holds": holds}


def main_process(part: str) -> tuple[int, str]:
    """The main process of a daemon, and its service. May raise PartError."""
    pattern, name = DAEMONS[part]
    for path in sorted(glob.glob(pattern)):
        text = raw.read(path).split()
        pid = int(text[0]) if text and text[0].isdigit() else 0
        # An old file may have the id of a process that is another one's by now.
        if pid and proc.living(pid) and name in proc.text(pid, "comm", 64):
            # Debian's clusters: 15-main.pid is the unit postgresql@15-main.
            return pid, SERVICES.get(part) or f"postgresql@{Path(path).stem}"
    raise PartError(f"no {name} runs here: {pattern} names none")


def kill(pid: int) -> None:
    """Kill a process and all that it has started, the first one first: it could start others."""
    found, known = [pid], {pid}
    for each in found:
        fresh = [child for child in proc.children(each) if child not in known]
        known.update(fresh)
        found += fresh
    for each in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def kill_process(app: str) -> dict[str, Any]:
    """Kill one of the processes that hold the project's sockets: the one that has the most."""
    live = live_generation(app)
    servers = [one for one in live.get("processes", []) if one["kind"] == "server" and one["pid"]]
    if not servers:
        raise PartError(f"no process of {app} serves here")
    held = accepted()
    counts = {one["pid"]: len(held & set(proc.open_files(one["pid"]))) for one in servers}
    chosen = max(servers, key=lambda one: counts[one["pid"]])
    note({"app": app, "generation": live["generation"]})
    kill(chosen["pid"])
    return {"what": f"process {chosen['instance']} ({chosen['pid']})", "holds": counts[chosen["pid"]]}


def accepted() -> set[str]:
    """The connections that processes hold on unix sockets with a path, by their names in /proc/PID/fd."""
    lines = [line.split() for line in proc.machine("net/unix").splitlines()[1:]]
    return {f"socket:[{line[6]}]" for line in lines if len(line) > 7 and line[5] == "03"}


def app_sockets(app: str) -> int:
    """The connections of all generations of the project on this host."""
    try:
        listed = json.loads(raw.output(f"/usr/local/sbin/{app}-generations", "list", "--json"))
    except ValueError:
        return 0
    return sum(row.get("connections", 0) for row in listed.get("generations", []))


def edge_connections() -> int:
    """The connections of clients to this edge."""
    try:
        shown = haproxy.asked("show info")
    except haproxy.HaproxyError:
        return 0
    found = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line)
    return int(found.get("CurrConns", 0))


def cut(app: str, addresses: list[str], seconds: int) -> dict[str, Any]:
    """Let nothing from this host reach some addresses, as if the network between them were gone; heal that later."""
    if not addresses:
        raise PartError("there is nobody to cut this host off from: no edge has a private_address")
    if not shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin"):
        raise PartError("the program ip is missing: apt-get install iproute2")
    holds = app_sockets(app)
    note({"routes": True})
    later(seconds, HEAL)
    for address in addresses:
        run("ip", "route", "replace", "blackhole", address, "proto", MARK)
    return {"what": f"the network between this host and {', '.join(addresses)}", "holds": holds}


def later(seconds: int, command: str) -> None:
    """Have a command run in a while, whatever becomes of this connection."""
    line = f"sleep {int(seconds)}; {command}"
    words = ["sh", "-c", line]
    if os.path.isdir("/run/systemd/system"):
        words = ["systemd-run", "--quiet", "--collect", "--description=Heals the cut of a drill", *words]
    subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def note(what: dict[str, Any]) -> None:
    """Write down what will have to be undone."""
    NOTE.write_text(json.dumps([*noted(), what]) + "\n")


def noted() -> list[dict[str, Any]]:
    """What is to be undone on this host."""
    try:
        found = json.loads(raw.read(NOTE))
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def mended(check: bool) -> list[str]:
    """Undo what a drill has done here; return what there was to do. May raise PartError."""
    done = []
    for each in noted():
        if each.get("routes") and (is_cut("-4") or is_cut("-6")):
            done.append("the cut was healed")
            if not check:
                subprocess.run(["sh", "-c", HEAL], check=False, capture_output=True)
        elif service := each.get("service"):
            if not is_running(service):
                done.append(f"{service} was started, because it did not come back by itself")
                if not check:
                    start(service)
        # A new release may serve by now, and the process that was killed may be about to start.
        elif (app := each.get("app")) and (live := live_generation(app)) and not all_run(app):
            done.append(f"the processes of {app} were started, because not all came back by themselves")
            if not check:
                run(f"/usr/local/sbin/{app}-generations", "start", live["generation"])
    if not check:
        NOTE.unlink(missing_ok=True)
    return done


def is_cut(family: str) -> bool:
    """Whether a drill has cut this host off from an address of a family."""
    return bool(raw.output("ip", family, "route", "show", "proto", MARK))


def all_run(app: str) -> bool:
    """Whether all processes of the live generation run, or do so in a moment."""
    deadline = time.monotonic() + MOMENT
    while (live := live_generation(app)) and live["running"] < len(live["instances"]):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def is_running(service: str) -> bool:
    """Whether a service runs, or systemd is about to start it again."""
    if os.path.isdir("/run/systemd/system"):
        state = raw.output("systemctl", "show", "--property=ActiveState", "--value", service).strip()
        return state in ("active", "activating", "reloading")
    part = next((part for part, name in SERVICES.items() if name == service), "database")
    with contextlib.suppress(PartError):
        return bool(main_process(part))
    return False


def start(service: str) -> None:
    """Start a service. May raise PartError."""
    if os.path.isdir("/run/systemd/system"):
        run("systemctl", "reset-failed", service)
        run("systemctl", "start", service)
    else:
        run("service", service.partition("@")[0], "start")


def run(*command: str) -> None:
    """Run a command. Raise PartError with what it says if it fails."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path})
    if done.returncode:
        raise PartError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
