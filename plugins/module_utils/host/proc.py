"""What /proc says of processes and of the network; the only reader of it in rooms, actions and modules.

Only `locks.py` reads it on its own: it is installed on hosts too, without the rest of this room. Nothing here raises
for a process that has ended meanwhile, or that we may not look at: it has no name, no files and no children.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import raw

PROC = Path("/proc")
TABLE = 64_000_000  # bytes; a host with many connections has a line of 150 bytes for each


def machine(name: str) -> str:
    """Return the text of a file about the whole machine, such as `meminfo` or `net/netstat` (proc(5))."""
    return raw.read(PROC / name)


# --- a process


def pids() -> list[int]:
    """Return the ids of all processes."""
    return [int(folder.name) for folder in PROC.glob("[0-9]*")]


def text(pid: int, name: str, limit: int = 1_000_000) -> str:
    """Return the text of one of a process's files, such as `comm` or `status`."""
    return raw.read(PROC / str(pid) / name, limit)


def argv(pid: int) -> list[str]:
    """Return the words of a process's command line."""
    return [word for word in text(pid, "cmdline").split("\0") if word]


def stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on (proc(5)), which is the state; none if it is gone."""
    return text(pid, "stat").rpartition(")")[2].split()


def living(pid: int) -> list[str]:
    """Return the same, but none for a process that has ended.

    It stays as a zombie if PID 1 does not collect it, as in a container that runs a plain command.
    """
    fields = stat(pid)
    return fields if fields and not has_ended(fields) else []


def has_ended(fields: list[str]) -> bool:
    """Tell whether the process that has these fields of stat() has ended, and only its id is still taken."""
    return fields[0] in ("Z", "X")


def children(pid: int) -> list[int]:
    """Return the ids of a process's direct children."""
    tasks = (PROC / str(pid) / "task").glob("*/children")
    return [int(child) for task in tasks for child in raw.read(task).split()]


def link(pid: int, name: str) -> str:
    """Return where one of a process's links leads, such as `cwd` or `fd/2`; nothing if that is not known."""
    try:
        return os.readlink(PROC / str(pid) / name)
    except OSError:
        return ""


def inode(pid: int, path: str) -> tuple[int, int] | None:
    """Return the device and inode of a file as a process sees it; None if it sees none, or it may not be looked at."""
    try:
        seen = os.stat(f"/proc/{pid}/root{path}")
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


def open_files(pid: int) -> list[str]:
    """Return what a process has open: paths, and `socket:[INODE]` for sockets."""
    folder, found = PROC / str(pid) / "fd", []
    try:
        for entry in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
                found.append(os.readlink(folder / entry))
    except PermissionError:
        return as_its_user(pid, "find", str(folder), "-type", "l", "-printf", "%l\\n").splitlines()
    except OSError:
        pass  # it ended meanwhile
    return found


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment that a process was started with."""
    entries = (text(pid, "environ") or as_its_user(pid, "cat", str(PROC / str(pid) / "environ"))).split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def as_its_user(pid: int, *command: str) -> str:
    """Return what a command prints when it is run as the user of a process, or nothing.

    In a container without CAP_SYS_PTRACE, which engines do not give by default, root may not look into other users'
    processes, but those users may.
    """
    if os.geteuid():
        return ""
    try:
        owner = (PROC / str(pid)).stat()
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


# --- its age


def boot_id() -> str:
    """Return the name of this boot of the kernel; nothing if this is not Linux."""
    return raw.read(PROC / "sys/kernel/random/boot_id").strip()


def booted() -> float:
    """Return when the kernel booted, in seconds since the epoch."""
    while True:
        before, now, after = (
            time.clock_gettime(time.CLOCK_BOOTTIME),
            time.time(),
            time.clock_gettime(time.CLOCK_BOOTTIME),
        )
        if after - before < 0.005:  # else something delayed this between the clocks, and all would seem older
            return now - after


def started(pid: int) -> float:
    """Return when a process started, in seconds since the epoch; 0.0 when it is gone."""
    fields = living(pid)
    return booted() + _ticks(fields) if fields else 0.0


def age(pid: int) -> float:
    """Return how many seconds a process has run; negative if there is none."""
    fields = stat(pid)
    return round(time.clock_gettime(time.CLOCK_BOOTTIME) - _ticks(fields), 1) if fields else -1.0


def identity(pid: int) -> str:
    """Return a name that no other process has or will have; an empty one when the process is gone."""
    fields = living(pid)
    return f"{pid} {fields[19]} {boot_id()}" if fields else ""


def _ticks(fields: list[str]) -> float:
    """Return the seconds from the kernel's boot to a process's start.

    They count from there in LXC containers, too, which have a /proc/uptime of their own.
    """
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


# --- processes by their names


def called(name: str) -> list[int]:
    """Return the processes that have a text in their name."""
    return [pid for pid in pids() if name in text(pid, "comm", 64)]


def is_called(name: str) -> bool:
    """Tell whether a process has exactly this name."""
    return any(text(pid, "comm", 64).strip() == name for pid in pids())


def titled(title: str) -> list[int]:
    """Return the processes whose command line begins with a text."""
    return [pid for pid in pids() if text(pid, "cmdline").startswith(title)]


def written_to(ids: Iterable[int]) -> Iterator[str]:
    """Yield what processes write their output and their errors to."""
    return (link(pid, f"fd/{descriptor}") for pid in ids for descriptor in (1, 2))


def held_by(name: str) -> Iterator[str]:
    """Yield what processes with a text in their name have open."""
    return (path for pid in called(name) for path in open_files(pid))


# --- the network


def listening(pid: int = 0) -> dict[str, str]:
    """Return the addresses that are listened on, by the socket's inode: `unix:/path` or `tcp:address:port`.

    Those of the network that this process is in, or another one with the id `pid`, which may be in a container.
    """
    found = {}
    for fields in _table("unix", pid):
        if len(fields) > 7 and fields[3] == "00010000":  # flag __SO_ACCEPTCON: it listens
            found[fields[6]] = "unix:" + fields[7]
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for fields in _table(name, pid):
            if fields[3] == "0A":  # TCP_LISTEN
                address, _, port = fields[1].partition(":")
                packed = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
                found[fields[9]] = f"tcp:{socket.inet_ntop(family, packed)}:{int(port, 16)}"
    return found


def is_connected(paths: Iterable[str]) -> bool:
    """Tell whether one of some unix sockets has a connection (state 03, unix(7))."""
    wanted = set(paths)
    return any(fields[5] == "03" and fields[-1] in wanted for fields in _table("unix"))


def has_ipv6() -> bool:
    """Tell whether this machine has IPv6's loopback address (proc_net(5): 32 digits first, the device's name last)."""
    lines = raw.read(PROC / "net/if_inet6").splitlines()
    return any(line.split()[-1] == "lo" for line in lines if line.strip())


def apart(pid: int) -> bool:
    """Tell whether a process is in another network than this one, as in a container."""
    own, other = link(os.getpid(), "ns/net"), link(pid, "ns/net")
    return bool(own and other and own != other)


def _table(name: str, pid: int = 0) -> list[list[str]]:
    """Return the rows of one of the network's tables, without its heading."""
    folder = PROC / str(pid) if pid else PROC
    return [line.split() for line in raw.read(folder / "net" / name, TABLE).splitlines()[1:]]
