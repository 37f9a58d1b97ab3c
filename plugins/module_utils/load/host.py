"""What an app host says about itself while sockets are opened: memory, CPU, open files and refused connections."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from typing import Any

from ..host import deployed, proc, raw

#: Fields of /proc/PID/stat from the third on: CPU time in user and kernel mode, in ticks (proc(5)).
_UTIME, _STIME = 11, 12


def sample(app: str) -> dict[str, Any]:
    """One look at the host: groups `processes`, `nginx` and `redis`, `host` as a whole, and the project's `sockets`.

    A group has `kb` of memory (its own and its share of the rest), `cpu` seconds since it began, `files` of the
    process that has the most open, and `limit`, how many that one may have. All zero for a group that is not here.
    """
    live = live_generation(app)
    return {
        "processes": group(live.get("pids", [])),
        "nginx": group(proc.called("nginx")),
        "redis": group(proc.called("redis-server")),
        "host": whole(),
        "sockets": live.get("connections", 0),
        "count": len(live.get("pids", [])),
        "server": live.get("server", ""),
    }


def live_generation(app: str) -> dict[str, Any]:
    """What the host's own tool says about the live generation; empty if there is none."""
    wanted = deployed.bundle(app).get("generation")
    try:
        listed = json.loads(raw.output(f"/usr/local/sbin/{app}-generations", "list", "--json"))
    except ValueError:
        return {}
    return next((row for row in listed.get("generations", []) if row.get("generation") == wanted), {})


def group(pids: Iterable[int]) -> dict[str, Any]:
    """The sums of some processes; see `sample`."""
    kb, cpu, files, limit = 0, 0.0, 0, 0
    for pid in pids:
        if not (fields := proc.living(pid)):
            continue
        if found := re.search(r"^Pss:\s+(\d+)", proc.text(pid, "smaps_rollup"), re.MULTILINE):
            kb += int(found[1])
        cpu += (int(fields[_UTIME]) + int(fields[_STIME])) / os.sysconf("SC_CLK_TCK")
        mine = len(proc.open_files(pid))
        if mine >= files:
            allowed = re.search(r"Max open files\s+(\d+)", proc.text(pid, "limits"))
            files, limit = mine, int(allowed[1]) if allowed else 0
    return {"kb": kb, "cpu": round(cpu, 2), "files": files, "limit": limit}


def whole() -> dict[str, Any]:
    """The host: `cores`, `busy` and `idle` CPU seconds since it booted, memory in kB, and connections that found a full
    backlog (`overflows`).
    """
    ticks = [int(word) for word in proc.machine("stat").partition("\n")[0].split()[1:9]] or [0] * 8
    second = os.sysconf("SC_CLK_TCK")
    idle = ticks[3] + ticks[4]
    memory = dict(re.findall(r"^(\w+):\s+(\d+) kB", proc.machine("meminfo"), re.MULTILINE))
    return {
        "cores": os.cpu_count() or 1,
        "busy": (sum(ticks) - idle) / second,
        "idle": idle / second,
        "memory_kb": int(memory.get("MemTotal", 0)),
        "available_kb": int(memory.get("MemAvailable", 0)),
        "overflows": overflows(proc.machine("net/netstat")),
    }


def overflows(table: str) -> int:
    """ListenOverflows in the text of /proc/net/netstat, whose lines come in pairs: names, then values."""
    lines = [line.split() for line in table.splitlines()]
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if "ListenOverflows" in names:
            return int(values[names.index("ListenOverflows")])
    return 0
