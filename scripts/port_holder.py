#!/usr/bin/env python3
"""Print the program and the number of the process that listens on a TCP port; nothing where none does.

    port_holder.py PORT

Standard library only: it runs before anything is installed. Without root, other users' processes have no name.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

LISTENING = "0A"  # the state, in /proc/net/tcp


def listening(port: int) -> set[str]:
    """Return the sockets that listen on a port, as /proc/PID/fd names them."""
    found = set()
    for table in ("tcp", "tcp6"):
        path = Path("/proc/net") / table
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def holder(port: int) -> str:
    """Return who listens on a port."""
    sockets = listening(port)
    if not sockets:
        return ""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(entry) in sockets for entry in (folder / "fd").iterdir()):
                return f"{(folder / 'comm').read_text().strip()} (process {folder.name})"
        except OSError:
            continue
    return "a process of another user"


if __name__ == "__main__":
    print(holder(int(sys.argv[1])))
