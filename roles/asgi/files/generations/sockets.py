"""Connections that processes hold on unix sockets."""

from __future__ import annotations

from pathlib import Path


def accepted(sockets: list[str]) -> set[str]:
    """Return the connections that processes hold on some unix sockets, by their names in /proc/PID/fd.

    State 03 in /proc/net/unix is connected; the accepting side has the socket's path.
    """
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return {f"socket:[{line[6]}]" for line in lines if line[5] == "03" and line[-1] in sockets}
