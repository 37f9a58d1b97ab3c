"""Close other processes' connections on unix sockets."""

from __future__ import annotations

import ctypes
import os
import pwd
import socket
import subprocess
import sys
import time
from pathlib import Path

from . import paths
from .sockets import accepted

SETTLE = 3.0  # seconds in which requests that nginx accepted before a switch still reach the old processes
PIDFD_GETFD = 438  # the system call's number, the same on every architecture since Linux 5.6


def close_all(sockets: list[str], spread: float, user: str) -> int:
    """Close all connections of a user's processes on some unix sockets, evenly over `spread` seconds; return how many.

    If root may not, a process of the same user may (ptrace(2), access mode checking).
    """
    if os.geteuid() == 0 and not may_look():
        command = [sys.executable, str(paths.TOOL), "close", str(spread), *sockets]
        own = pwd.getpwnam(user)
        closed = subprocess.run(
            command, user=own.pw_uid, group=own.pw_gid, extra_groups=[], cwd="/", check=True, text=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        *told, count = closed.stdout.splitlines()
        print("\n".join(told), end="\n" if told else "", flush=True)
        return int(count)
    open_now = descriptors(accepted(sockets))
    begun = time.monotonic()
    for number, (pid, descriptor) in enumerate(open_now):
        time.sleep(max(0.0, begun + spread * number / len(open_now) - time.monotonic()))
        try:
            close(pid, descriptor)
        except OSError as error:  # usually because it ended by itself
            print(f"{pid}/{descriptor}: {error}", flush=True)
    return len(open_now)


def close(pid: int, descriptor: int) -> None:
    """Shut down another process's connection, from outside both ends (pidfd_getfd(2)).

    Each end sees its peer leave: nginx closes the client's connection, and the server runs the consumer's disconnect(),
    which it doesn't do when it is stopped. No other connection is touched. Raises OSError if it is already gone.
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


def descriptors(wanted: set[str]) -> list[tuple[int, int]]:
    """Return the process and descriptor of each of some connections."""
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            entries = list(folder.iterdir())
        except OSError:
            continue  # it has ended in the meantime
        for entry in entries:
            try:
                if str(entry.readlink()) in wanted:
                    found.append((int(folder.parent.name), int(entry.name)))
            except OSError:
                continue
    return found


def may_look() -> bool:
    """Tell whether this process may see the descriptors of other users' processes: even root may not always.

    Engines start containers without CAP_SYS_PTRACE; Linux's capability.h has its number.
    """
    status = Path("/proc/self/status").read_text()
    return bool(int(status.split("CapEff:")[1].split()[0], 16) >> 19 & 1)
