"""What happens on this host between two moments: handshakes, sockets, waiting connections, traffic, CPU.

Reading is cheap, and needs nothing of the project: /proc, the kernel's figures of connections, the manager's states
and nginx's access log.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import paths
from .clients import Connection, clients, traffic
from .generation import listening
from .timeline import last

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
# Others whose load is the site's, by the name of their processes.
FRONTS = ("haproxy", "nginx")  # where clients connect: to the first one that runs
NEIGHBOURS = ("nginx", "haproxy", "redis-server", "postgres", "pgbouncer")
CONNECTED, CONNECTING = "03", "02"  # states of unix sockets in /proc/net/unix


@dataclass
class Moment:
    """What was counted at one moment."""

    at: float  # seconds since the epoch
    rows: list[dict[str, Any]]  # the generations, as overview.py returns them
    open: dict[str, set[str]] = field(default_factory=dict)  # inodes of accepted connections, by their socket's path
    waiting: dict[str, int] = field(default_factory=dict)  # connections that no process has accepted yet
    ticks: dict[int, int] = field(default_factory=dict)  # CPU time of each process and its descendants
    neighbours: dict[str, list[int]] = field(default_factory=dict)  # name: process ids
    clients: dict[int, Connection] = field(default_factory=dict)  # by inode


def look(rows: list[dict[str, Any]], proc: Path = PROC) -> Moment:
    """Count everything once."""
    moment = Moment(time.time(), rows)
    wanted = {path for row in rows for path in [*row["sockets"], *row.get("wsgi", {}).get("sockets", [])]}
    moment.open, moment.waiting = connections((proc / "net" / "unix").read_text(errors="replace"), wanted)
    own, parents, names = processes(proc)
    moment.ticks = with_descendants(own, parents)
    for name in NEIGHBOURS:
        # Only the uppermost of each name, since the others are among its descendants.
        if found := [pid for pid, called in names.items() if called == name and names.get(parents[pid]) != name]:
            moment.neighbours[name] = found
    if front := next((name for name in FRONTS if name in moment.neighbours), ""):
        of_its_name = [pid for pid, called in names.items() if called == front]
        moment.clients = clients(moment.neighbours[front], of_its_name, proc)
    return moment


def connections(table: str, wanted: set[str]) -> tuple[dict[str, set[str]], dict[str, int]]:
    """Return the accepted connections on some sockets, and how many wait to be, from the text of /proc/net/unix."""
    accepted: dict[str, set[str]] = defaultdict(set)
    waiting: dict[str, int] = defaultdict(int)
    for line in table.splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7] in wanted:
            if fields[5] == CONNECTED:
                accepted[fields[7]].add(fields[6])
            elif fields[5] == CONNECTING:
                waiting[fields[7]] += 1
    return dict(accepted), dict(waiting)


def processes(proc: Path) -> tuple[dict[int, int], dict[int, int], dict[int, str]]:
    """Return CPU ticks, parent and name of every process (proc(5), /proc/PID/stat)."""
    ticks, parents, names = {}, {}, {}
    for path in proc.glob("[0-9]*/stat"):
        try:
            before, _, after = path.read_text(errors="replace").rpartition(")")
        except OSError:
            continue  # it has ended in the meantime
        fields = after.split()
        pid = int(path.parent.name)
        ticks[pid], parents[pid] = int(fields[11]) + int(fields[12]), int(fields[1])
        names[pid] = before.partition("(")[2]
    return ticks, parents, names


def with_descendants(own: dict[int, int], parents: dict[int, int]) -> dict[int, int]:
    """Return for each process its own CPU ticks and those of its descendants."""
    total = dict(own)
    for pid in own:
        above, seen = parents[pid], {pid}
        while above in total and above not in seen:  # ids may be taken again while /proc is read
            total[above] += own[pid]
            seen.add(above)
            above = parents[above]
    return total


def requests_since(log: Path, since: float) -> tuple[int, int]:
    """Return how many sockets were opened and have already ended since a moment, and how many handshakes failed."""
    ended = failed = 0
    for line in reversed(last(log)):
        try:
            entry = json.loads(line)
            moment, status = float(entry["msec"]), int(entry["status"])
            begun, handshake = moment - float(entry["request_time"]), entry["upgrade"] == "websocket"
        except (ValueError, KeyError, TypeError):
            continue
        if moment < since:
            break
        if handshake and status == 101:
            ended += begun >= since
        elif handshake:
            failed += 1
    return ended, failed


class Watch:
    """What has been seen so far: the first moment of each connection."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.seen: dict[str, float] = {}
        self.first = 0.0

    def notice(self, moment: Moment) -> None:
        """Remember when each connection was first seen; forget those that have ended."""
        self.first = self.first or moment.at
        now = {inode for inodes in moment.open.values() for inode in inodes}
        self.seen = {inode: self.seen.get(inode, moment.at) for inode in now}

    def oldest(self, row: dict[str, Any], moment: Moment, retired: float) -> float | None:
        """Return the age that the oldest connection of a generation has at least, in seconds; None if it has none.

        Linux notes no socket's age. What is known is since when it has been seen here, and that a generation gets no
        new ones once it no longer serves.
        """
        inodes = {inode for path in listening(row) for inode in moment.open.get(path, ())}
        if not inodes:
            return None
        since = min(self.seen.get(inode, moment.at) for inode in inodes)
        return max(0.0, moment.at - (min(since, retired) if retired else since))


def compare(before: Moment, now: Moment, watch: Watch, log: Path = paths.ACCESS_LOG) -> dict[str, Any]:
    """Return what happened between two moments, and what is now, in the form that `--json` prints."""
    seconds = max(0.001, now.at - before.at)
    known = {inode for inodes in before.open.values() for inode in inodes}
    stay = len({inode for inodes in now.open.values() for inode in inodes} - known)
    ended, failed = requests_since(log, before.at)
    return {
        "at": now.at, "seconds": round(seconds, 3),
        "handshakes_per_second": round((stay + ended) / seconds, 2), "failed_per_second": round(failed / seconds, 2),
        "clients": traffic(before.clients, now.clients, seconds),
        "host": machine(), "generations": [generation(row, before, now, watch, seconds) for row in now.rows],
        "neighbours": {
            name: {"processes": len(pids), "cpu": sum(cpu(pid, before, now, seconds) for pid in pids)}
            for name, pids in now.neighbours.items()
        },
    }  # fmt: skip


def generation(row: dict[str, Any], before: Moment, now: Moment, watch: Watch, seconds: float) -> dict[str, Any]:
    """Return a generation's figures: one for each process, and their sums."""
    # Processes and their sockets have the same name.
    by_instance = {Path(path).stem: path for path in listening(row)}
    shown = []
    for one in row.get("processes", []):
        path = by_instance.get(one["instance"], "") if one["kind"] != "worker" else ""
        shown.append({
            "instance": one["instance"], "kind": one["kind"], "pid": one["pid"], "memory": one["memory"],
            "restarts": one["restarts"], "age": one["age"], "cpu": cpu(one["pid"], before, now, seconds),
            "sockets": len(now.open.get(path, ())), "waiting": now.waiting.get(path, 0),
        })  # fmt: skip
    # It got its last socket when the one after it began to serve.
    later = [other["served"] for other in now.rows if other["served"] > row["served"] > 0]
    oldest = watch.oldest(row, now, min(later, default=0.0))
    return {
        **{key: row[key] for key in ("generation", "version", "state", "deadline", "served", "running", "memory")},
        "processes": shown, "expected": len(row["instances"]), "fault": row.get("fault", ""),
        "cpu": round(sum(one["cpu"] for one in shown), 1), "sockets": sum(one["sockets"] for one in shown),
        "waiting": sum(one["waiting"] for one in shown),
        "oldest_at_least": None if oldest is None else round(oldest, 1),
    }  # fmt: skip


def cpu(pid: int, before: Moment, now: Moment, seconds: float) -> float:
    """Return the share of one core that a process and its descendants used, in percent."""
    used = now.ticks.get(pid, 0) - before.ticks.get(pid, now.ticks.get(pid, 0))
    return round(max(0, used) / TICKS / seconds * 100, 1)


def machine(proc: Path = PROC) -> dict[str, Any]:
    """Return what the host has, and how much of it is taken."""
    memory = dict(line.split(":", 1) for line in (proc / "meminfo").read_text().splitlines())
    total, free = (int(memory[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    load = (proc / "loadavg").read_text().split()[0]
    return {"cores": os.cpu_count() or 1, "load": float(load), "memory": total, "memory_available": free}
