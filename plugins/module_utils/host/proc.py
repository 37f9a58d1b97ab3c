"""What /proc says of processes: which servers run, what they listen on, and what they have open."""

from __future__ import annotations

import os
import pwd
import re
import socket
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from . import raw
from .servers import application_of, number, server_kind


def processes() -> list[dict[str, Any]]:
    """Return the servers that run, and every process that listens; `argv` and `environ` are for this host only."""
    listening, found = sockets(), []
    for folder in _folders():
        argv = [word for word in raw.read(folder / "cmdline").split("\0") if word]
        kind, speaks = server_kind(argv)
        held = _held(folder)
        listens = sorted({listening[inode] for inode in held[0] if inode in listening})
        if kind or listens:
            found.append(_process(folder, argv, kind, speaks, listens, held[1]))
    return sorted(found, key=lambda each: each["pid"])


def _process(folder: Path, argv: list[str], kind: str, speaks: bool, listens: list[str], files: int) -> dict[str, Any]:
    limit = re.search(r"Max open files\s+(\d+)", raw.read(folder / "limits"))
    status = raw.read(folder / "status")
    uid = re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE)
    parent = re.search(r"^PPid:\s+(\d+)", status, re.MULTILINE)
    unit = re.search(r"/([^/\n]+\.service)", raw.read(folder / "cgroup"))
    return {
        "pid": int(folder.name),
        "parent": int(parent[1]) if parent else 0,
        "server": kind,
        "name": os.path.basename(argv[0].split(" ")[0]).rstrip(":") if argv else "",
        "speaks": speaks,
        "command": " ".join(argv)[:300],
        "argv": argv,
        "user": _user(int(uid[1])) if uid else "",
        "uid": int(uid[1]) if uid else 0,
        "folder": _link(folder / "cwd"),
        "application": application_of(argv),
        "ping": number(argv, 20, "--ping-interval", "--ws-ping-interval"),
        # 0 for none: daphne's own is a day, which is not worth a word.
        "websocket_timeout": max(0.0, number(argv, 0, "--websocket_timeout")),
        "connect_timeout": number(argv, 5, "--websocket_connect_timeout"),
        "listens": listens,
        "files": files,
        "limit": int(limit[1]) if limit else 0,
        "unit": unit[1] if unit else "",
    }


def sockets() -> dict[str, str]:
    """Return the addresses that are listened on, by the socket's inode: `unix:/path` or `tcp:address:port`."""
    found = {}
    for line in raw.read("/proc/net/unix").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[3] == "00010000":  # flag __SO_ACCEPTCON: it listens
            found[fields[6]] = "unix:" + fields[7]
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in raw.read(f"/proc/net/{name}").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":  # TCP_LISTEN
                address, _, port = fields[1].partition(":")
                packed = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
                found[fields[9]] = f"tcp:{socket.inet_ntop(family, packed)}:{int(port, 16)}"
    return found


def _held(folder: Path) -> tuple[set[str], int]:
    """The inodes of the sockets that a process holds, and how many files it has open."""
    targets = []
    try:
        entries = os.listdir(folder / "fd")
        for entry in entries:
            targets.append(os.readlink(folder / "fd" / entry))
    except PermissionError:
        targets = as_its_user(folder, "find", f"{folder}/fd", "-type", "l", "-printf", "%l\\n").splitlines()
    except OSError:
        pass  # it ended meanwhile
    return {target[8:-1] for target in targets if target.startswith("socket:[")}, len(targets)


def as_its_user(folder: Path, *command: str) -> str:
    """Return what a command prints when it is run as the user of a process, or nothing.

    In a container without CAP_SYS_PTRACE, as engines start them by default, root may not look into processes of other
    users, but these may themselves.
    """
    if os.geteuid():
        return ""
    try:
        owner = folder.stat()
        done = subprocess.run(
            command,
            user=owner.st_uid,
            group=owner.st_gid,
            extra_groups=[],
            capture_output=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")


def environment_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    file = f"/proc/{pid}/environ"
    entries = (raw.read(file) or as_its_user(Path(file).parent, "cat", file)).split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def age(pid: int) -> float:
    """For how many seconds a process has run; negative where there is none."""
    fields = raw.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    try:
        return round(float(raw.read("/proc/uptime").split()[0]) - int(fields[19]) / os.sysconf("SC_CLK_TCK"), 1)
    except (IndexError, ValueError):
        return -1.0


def called(name: str) -> list[Path]:
    """The folders of the processes that have a text in their name."""
    return [folder for folder in _folders() if name in raw.read(folder / "comm", 64)]


def titled(text: str) -> bool:
    """Whether a process runs whose command line begins with a text."""
    return any(raw.read(folder / "cmdline").startswith(text) for folder in _folders())


def written_to(pids: Iterable[int]) -> Iterator[str]:
    """What processes write their output to, both kinds of it."""
    return (_link(Path(f"/proc/{pid}/fd/{descriptor}")) for pid in pids for descriptor in (1, 2))


def held_by(name: str) -> Iterator[str]:
    """What the processes have open that have a text in their name."""
    return (_link(entry) for folder in called(name) for entry in _entries(folder / "fd"))


def _folders() -> Iterator[Path]:
    """The folders of all processes."""
    return Path("/proc").glob("[0-9]*")


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
