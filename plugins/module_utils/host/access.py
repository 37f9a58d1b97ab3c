"""Whether another user can connect to an address, tried as that user, and which folder or file is in the way."""

from __future__ import annotations

import os
import pwd
import re
import stat
import subprocess
import sys
from typing import Any

from . import proc

_CONNECT = (
    "import socket, sys\n"
    "where = sys.argv[1]\n"
    "way = socket.socket(socket.AF_UNIX if where[0] == '/' else socket.AF_INET6 if ':' in where else socket.AF_INET)\n"
    "way.settimeout(3)\n"
    "print(way.connect_ex(where if where[0] == '/' else (where, int(sys.argv[2]))))\n"
)


def identity(pid: int) -> tuple[int, int, list[int]] | None:
    """The user, the group and the further groups of a process, as the kernel has them now."""
    status = proc.text(pid, "status")
    user, group = (re.search(rf"^{name}:\s+\d+\s+(\d+)", status, re.MULTILINE) for name in ("Uid", "Gid"))
    groups = re.search(r"^Groups:\s*(.*)$", status, re.MULTILINE)
    if not user or not group:
        return None
    return int(user[1]), int(group[1]), [int(each) for each in (groups[1].split() if groups else [])]


def connects(address: str, pid: int) -> dict[str, Any]:
    """Connect to an address (`unix:/path` or `tcp:address:port`) as the user of a process.

    Returns `errno` (0 for success, -1 if it could not be tried) and, if the user lacks a right, its `user` and `ways`.
    """
    who = identity(pid)
    if who is None or os.geteuid() != 0 or not sys.executable:
        return {"address": address, "errno": -1}
    path = address.removeprefix("unix:") if address.startswith("unix:") else ""
    host, _, port = address.removeprefix("tcp:").rpartition(":")
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _CONNECT, *([path] if path else [host, port])],
            user=who[0], group=who[1], extra_groups=who[2], capture_output=True, text=True, timeout=10, check=False,
            cwd="/", stdin=subprocess.DEVNULL,
        )  # fmt: skip
        number = int(done.stdout.strip())
    except (OSError, ValueError, subprocess.SubprocessError):
        return {"address": address, "errno": -1}
    found: dict[str, Any] = {"address": address, "errno": number}
    if number == 13 and path:
        found |= {"user": _name(who[0]), "ways": in_the_way(path, who)}
    return found


def in_the_way(path: str, who: tuple[int, int, list[int]]) -> list[dict[str, Any]]:
    """The folders on the way to a socket that a user may not enter, and the socket if it may not write to it."""
    parts = os.path.realpath(os.path.dirname(path)).split("/")
    folders = ["/".join(parts[: count + 1]) or "/" for count in range(len(parts))]
    ways = []
    for each, bit in [*((folder, 1) for folder in folders), (path, 2)]:
        try:
            found = os.stat(each)
        except OSError:
            continue
        shift = 6 if found.st_uid == who[0] else 3 if found.st_gid in (who[1], *who[2]) else 0
        if not (found.st_mode >> shift) & bit:
            mode = oct(stat.S_IMODE(found.st_mode))[2:]
            ways.append({"path": each, "mode": mode, "folder": stat.S_ISDIR(found.st_mode)})
    return ways


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
