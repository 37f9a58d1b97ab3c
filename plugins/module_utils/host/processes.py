"""Which servers run on this host, and every process that listens."""

from __future__ import annotations

import os
import pwd
import re
from typing import Any

from . import proc
from .servers import application_of, number, server_kind, workers_of_gunicorn


def processes() -> list[dict[str, Any]]:
    """Return the servers that run, and every process that listens; `argv` is for this host only.

    A server in a container's network listens nowhere here: `apart` has its addresses there.
    """
    listening, found = proc.listening(), []
    for pid in proc.pids():
        argv = proc.argv(pid)
        files = proc.open_files(pid)
        inodes = {name[8:-1] for name in files if name.startswith("socket:[")}
        listens = sorted({listening[inode] for inode in inodes if inode in listening})
        if server_kind(argv)[0] or listens:
            made = _process(pid, argv, listens, len(files))
            if made["server"] and not listens and proc.apart(pid):
                there = proc.listening(pid)
                made["apart"] = sorted({there[inode] for inode in inodes if inode in there})
            found.append(made)
    return sorted(found, key=lambda each: each["pid"])


def _process(pid: int, argv: list[str], listens: list[str], files: int) -> dict[str, Any]:
    kind, speaks = server_kind(argv)
    if kind == "gunicorn" and (workers := workers_of_gunicorn(argv, proc.link(pid, "cwd"), proc.environment_of(pid))):
        kind, speaks = f"gunicorn with {workers} workers", True
    limit = re.search(r"Max open files\s+(\d+)", proc.text(pid, "limits"))
    status = proc.text(pid, "status")
    uid = re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE)
    parent = re.search(r"^PPid:\s+(\d+)", status, re.MULTILINE)
    unit = re.search(r"/([^/\n]+\.service)", proc.text(pid, "cgroup"))
    return {
        "pid": pid,
        "parent": int(parent[1]) if parent else 0,
        "server": kind,
        "name": os.path.basename(argv[0].split(" ")[0]).rstrip(":") if argv else "",
        "speaks": speaks,
        "command": " ".join(argv)[:300],
        "argv": argv,
        "user": _user(int(uid[1])) if uid else "",
        "uid": int(uid[1]) if uid else 0,
        "folder": proc.link(pid, "cwd"),
        "application": application_of(argv),
        "ping": number(argv, 20, "--ping-interval", "--ws-ping-interval"),
        # 0 for none: daphne's own is a day, which is not worth mentioning.
        "websocket_timeout": max(0.0, number(argv, 0, "--websocket_timeout")),
        "connect_timeout": number(argv, 5, "--websocket_connect_timeout"),
        "listens": listens,
        "files": files,
        "limit": int(limit[1]) if limit else 0,
        "unit": unit[1] if unit else "",
    }


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
