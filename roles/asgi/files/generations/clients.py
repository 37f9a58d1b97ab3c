"""What the connections of nginx or HAProxy carry, by the kernel's own figures: how much comes and goes, and how fast.

The kernel counts packets with data, which nearly are messages. It is asked by sock_diag(7), as ss(8) does. The layout
of its answers is in linux/tcp.h and linux/inet_diag.h.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
REQUEST_OF_ALL = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
ERROR, DONE = 2, 3
ESTABLISHED, LISTEN = 1 << 1, 1 << 10
TCP_INFO = 2  # INET_DIAG_INFO
HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBBxI48x")
ANSWER = struct.Struct("=BBBB 2s2s16s16sI8s IIIII")
ATTRIBUTE = struct.Struct("=HH")
MOST = 3  # connections that are named


@dataclass(frozen=True)
class Connection:
    """A TCP connection, or a socket that listens."""

    inode: int
    port: int  # this side's
    peer: str
    unread: int  # bytes that were sent, and that the other side has not acknowledged
    round_trip: float = 0.0  # milliseconds, as the kernel estimates it
    came: int = 0  # packets with data since the beginning
    went: int = 0
    acknowledged: int = 0  # bytes


def clients(pids: Iterable[int], others: Iterable[int], proc: Path) -> dict[int, Connection]:
    """Return the connections to ports at which one of some processes listens, by inode; nothing if nobody tells.

    `others` are asked if the first ones hold no port themselves: they have more open files.
    """
    try:
        listening = {one.inode: one.port for one in connections(LISTEN)}
        ports = {listening[inode] for inode in held(pids, proc) if inode in listening} or {
            listening[inode] for inode in held(others, proc) if inode in listening
        }
        return {one.inode: one for one in connections(ESTABLISHED) if one.port in ports} if ports else {}
    except (OSError, struct.error):  # a kernel without sock_diag, or with another idea of it
        return {}


def held(pids: Iterable[int], proc: Path) -> Iterator[int]:
    """Return the inodes of the sockets that processes have open."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for name in os.listdir(proc / str(pid) / "fd"):
                with contextlib.suppress(OSError):
                    kind, _, inode = os.readlink(proc / str(pid) / "fd" / name).partition(":[")
                    if kind == "socket":
                        yield int(inode[:-1])


def connections(states: int) -> Iterator[Connection]:
    """Return all TCP sockets of this host in some states; raise OSError if the kernel does not tell."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as way:
        for family in (socket.AF_INET, socket.AF_INET6):
            request = REQUEST.pack(family, socket.IPPROTO_TCP, 1 << (TCP_INFO - 1), states)
            way.send(HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, REQUEST_OF_ALL, 0, 0) + request)
            more = True
            while more:
                for kind, body in messages(way.recv(1 << 18)):
                    if kind == ERROR:
                        raise OSError(-struct.unpack_from("=i", body)[0], "the kernel tells nothing of connections")
                    if kind == DONE:
                        more = False
                    else:
                        yield read(body)


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Return the type and the content of each netlink message."""
    while len(data) >= HEADER.size:
        size, kind, *_ = HEADER.unpack_from(data)
        yield kind, data[HEADER.size : size]
        data = data[max(HEADER.size, (size + 3) & ~3) :]


def read(body: bytes) -> Connection:
    """Return a connection from a struct inet_diag_msg and the attributes after it."""
    family, _, _, _, port, _, _, peer, _, _, _, _, unread, _, inode = ANSWER.unpack_from(body)
    address = socket.inet_ntop(family, peer[:4] if family == socket.AF_INET else peer)
    known: dict[str, Any] = {}
    rest = body[ANSWER.size :]
    while len(rest) >= ATTRIBUTE.size:
        size, kind = ATTRIBUTE.unpack_from(rest)
        if kind == TCP_INFO:
            known = of_tcp_info(rest[ATTRIBUTE.size : size])
        rest = rest[max(ATTRIBUTE.size, (size + 3) & ~3) :]
    return Connection(inode, int.from_bytes(port, "big"), address, unread, **known)


def of_tcp_info(info: bytes) -> dict[str, Any]:
    """Return what is needed of a struct tcp_info; old kernels send a shorter one."""
    info = info.ljust(160, b"\0")
    (microseconds,) = struct.unpack_from("=I", info, 68)
    (acknowledged,) = struct.unpack_from("=Q", info, 120)
    came, went = struct.unpack_from("=II", info, 152)
    return {"round_trip": microseconds / 1000, "came": came, "went": went, "acknowledged": acknowledged}


def traffic(before: dict[int, Connection], now: dict[int, Connection], seconds: float) -> dict[str, Any]:
    """Return what connections have carried between two moments, in the form that `--json` prints.

    Only what was there at both counts, so that no handshake is taken for messages. A client is `stalled` if it has
    acknowledged nothing of what waited for it in the meantime.
    """
    both = [(before[inode], one) for inode, one in now.items() if inode in before]
    stalled = [one for was, one in both if was.unread and one.unread and was.acknowledged == one.acknowledged]
    slowest = sorted(now.values(), key=lambda one: one.round_trip, reverse=True)[:MOST]
    worst = sorted(stalled, key=lambda one: one.unread, reverse=True)[:MOST]
    return {
        "connections": len(now),
        "packets_in_per_second": round(sum(max(0, one.came - was.came) for was, one in both) / seconds, 1),
        "packets_out_per_second": round(sum(max(0, one.went - was.went) for was, one in both) / seconds, 1),
        "slowest": [{"address": one.peer, "milliseconds": round(one.round_trip, 3)} for one in slowest],
        "stalled": len(stalled),
        "most_unread": [{"address": one.peer, "bytes": one.unread} for one in worst],
    }
