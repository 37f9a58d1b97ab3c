"""The servers behind HAProxy on this host: what it says about them, and which ones its configuration leaves out."""

from __future__ import annotations

import csv
import re
import socket
import time
from collections.abc import Collection

ADMIN = "/run/haproxy/admin.sock"
CONFIG = "/etc/haproxy/haproxy.cfg"
OUT = " disabled"  # at the end of a server's line: HAProxy sends it nothing, also after a restart
PATIENCE = 5.0  # seconds for an answer
PAUSE = 0.25  # seconds between two questions
# HAProxy's words for a server (show stat, column status), and ours. With disable-on-404, NOLB is a host that drains.
STATES = {"UP": "up", "NOLB": "drain", "DRAIN": "drain", "DOWN": "down", "MAINT": "maintenance"}


class HaproxyError(Exception):
    """HAProxy does not answer, or does not know what it was asked about; the text says what, for a person."""


def asked(command: str, path: str = ADMIN) -> str:
    """HAProxy's answer to a command of its admin socket. May raise HaproxyError."""
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as way:
            way.settimeout(PATIENCE)
            way.connect(path)
            way.sendall(f"{command}\n".encode())
            while part := way.recv(65536):
                answer += part
    except OSError as error:
        raise HaproxyError(f"HAProxy does not answer at {path}: {error}") from error
    return answer.decode(errors="replace")


def servers_in(answer: str, backend: str) -> list[dict[str, str | int]]:
    """The servers of a backend in the answer to `show stat`: `name`, `state`, `check`, `connections` and `address`."""
    rows = csv.DictReader(answer.removeprefix("# ").splitlines())
    return [
        {
            "name": row["svname"],
            # "UP 1/3" is one that is about to go down: it is still up.
            "state": STATES.get(row["status"].split(" ")[0], row["status"]),
            # "* L7OK" is one whose next check is under way.
            "check": f"{row['check_status'].removeprefix('* ')} {row['check_code']}".strip(),
            "connections": int(row["scur"] or 0),
            "address": row.get("addr") or "",
        }
        for row in rows
        if row["pxname"] == backend and row["svname"] not in ("FRONTEND", "BACKEND")
    ]


def servers(backend: str, path: str = ADMIN) -> list[dict[str, str | int]]:
    """The servers of a backend. May raise HaproxyError."""
    if found := servers_in(asked("show stat", path), backend):
        return found
    raise HaproxyError(f"HAProxy at {path} has no server in a backend {backend}")


def awaited(
    backend: str, name: str, states: Collection[str], seconds: float, path: str = ADMIN
) -> list[dict[str, str | int]]:
    """The servers of a backend, once a server is in one of some states. Raise HaproxyError if it is not in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = servers(backend, path)
        mine = next((one for one in found if one["name"] == name), None)
        if mine is None:
            raise HaproxyError(f"HAProxy at {path} has no server {name} in backend {backend}")
        if mine["state"] in states:
            return found
        if time.monotonic() > deadline:
            wanted = " or ".join(states)
            fault = f"{name} is {mine['state']} and not {wanted} after {seconds:.0f} s (last check: {mine['check']})"
            if mine["state"] == "maintenance":
                fault += ". It has missed a deploy, so deploy to it; or somebody took it out at HAProxy itself"
            raise HaproxyError(fault)
        time.sleep(PAUSE)


def told(found: list[dict[str, str | int]]) -> list[str]:
    """A line for each server, for people."""
    width = max((len(str(one["name"])) for one in found), default=0)
    return [
        f"{one['name']:<{width}}  {one['state']:<11}  {one['connections']:>6} connections  {one['check']}".rstrip()
        for one in found
    ]


def left_out(config: str, backend: str) -> list[str]:
    """The servers of a backend that a configuration leaves out."""
    return [name for name, out in configured(config, backend) if out]


def leaving_out(config: str, backend: str, names: Collection[str]) -> str:
    """A configuration that leaves out these servers of a backend, and no others. Names that it lacks do not matter."""
    section = ""

    def line_of(line: str) -> str:
        nonlocal section
        if re.match(r"\S", line) and not line.startswith("#"):
            section = line.strip()
        found = re.match(r"\s+server (\S+) ", line) if section == f"backend {backend}" else None
        return line.removesuffix(OUT) + (OUT if found[1] in names else "") if found else line

    return "\n".join(line_of(line) for line in config.split("\n"))


def configured(config: str, backend: str) -> list[tuple[str, bool]]:
    """The names of a backend's servers in a configuration, each with whether it is left out."""
    found = re.search(rf"^backend {re.escape(backend)}\n((?:[ \t#].*\n|\n)*)", f"{config}\n", re.MULTILINE)
    lines = found[1].splitlines() if found else []
    return [(one[1], line.endswith(OUT)) for line in lines if (one := re.match(r"\s+server (\S+) ", line))]
