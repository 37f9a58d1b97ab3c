"""Who starts servers: the units of systemd, and the programs of supervisor."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from . import raw
from .servers import server_kind
from .unit_setup import PROPERTIES, STARTS, command_in_file, setup

#: Seconds for systemd to list all units, on a busy machine.
PATIENCE = 30.0


def manager() -> str:
    """What starts services on this host: `systemd`, or `init` if systemd does not run."""
    return "systemd" if os.path.isdir("/run/systemd/system") else "init"


def units(prefix: str, known: set[str]) -> list[dict[str, Any]]:
    """The units of servers: those named, those with a prefix, and those whose command starts a server."""
    wanted = "Id,ActiveState,SubState,Result,NRestarts,ExecMainStatus,ExecMainCode,ExecStart,MainPID,MemoryMax"
    wanted += ",MemoryLimit," + PROPERTIES  # MemoryLimit: its name under cgroup v1
    shown = raw.output("systemctl", "show", "*.service", "--all", f"--property={wanted}", timeout=PATIENCE)
    # systemd forgets a unit that was stopped and is not enabled; its file is still there.
    known_now = set(re.findall(r"^Id=(\S+)", shown, re.MULTILINE))
    forgotten = sorted(name for name in _files_that_start() if name not in known_now)
    if known_now and forgotten:
        shown += "\n\n" + raw.output("systemctl", "show", *forgotten, f"--property={wanted}")
    found = []
    for part in shown.split("\n\n"):
        values = dict(line.split("=", 1) for line in part.splitlines() if "=" in line)
        name, command = values.get("Id", ""), values.get("ExecStart", "")
        path = re.search(r"path=(\S+) ;", command)
        argv = re.search(r"argv\[\]=(.*?) ;", command)
        # systemd forgets the command of a unit that it refuses.
        line = argv[1] if argv else command_in_file(values.get("FragmentPath", "") if not command else "")
        words = line.split()
        starts = bool(server_kind(words)[0]) or bool(path and _script_starts(path[1]))
        if name and (name in known or (prefix and name.startswith(prefix)) or starts):
            found.append({
                "unit": name, "state": values.get("ActiveState", ""), "sub": values.get("SubState", ""),
                "result": values.get("Result", ""), "restarts": int(values.get("NRestarts") or 0),
                "status": values.get("ExecMainStatus", ""), "pid": int(values.get("MainPID") or 0),
                "command": line[:300], "path": path[1] if path else "", "memory_max": _limit(values),
                "setup": setup(values, path[1] if path else "", line),
            })  # fmt: skip
    return found


def _files_that_start() -> list[str]:
    """The units among an administrator's files that name a server."""
    return [path.name for path in Path("/etc/systemd/system").glob("*.service")
            if "@" not in path.name and STARTS.search(raw.read(path, 20_000))]  # fmt: skip


def _limit(values: dict[str, str]) -> str:
    """A unit's limit of memory in bytes, or `infinity`."""
    limits = [values.get(name, "infinity") for name in ("MemoryMax", "MemoryLimit")]
    return next((limit for limit in limits if limit.isdigit() and int(limit) < 2**60), "infinity")


def _script_starts(path: str) -> bool:
    """Whether a script starts a server."""
    text = raw.read(path, 4096)
    return text.startswith("#!") and re.search(r"^[^#]*\b(daphne|uvicorn|gunicorn|runserver)\b", text, re.M) is not None


def supervised() -> list[dict[str, Any]]:
    """The programs of supervisor, if it runs."""
    found = []
    for line in raw.output("supervisorctl", "status", timeout=5).splitlines():
        fields = line.split(None, 2)
        if len(fields) >= 2 and fields[1].isupper():
            text = fields[2] if len(fields) > 2 else ""
            pid = re.match(r"pid (\d+),", text)
            found.append({"program": fields[0], "state": fields[1], "text": text, "pid": int(pid[1]) if pid else 0})
    return found
