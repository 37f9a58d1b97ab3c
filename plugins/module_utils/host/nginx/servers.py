"""Which server block a request gets: by address and port, then by name, then the default one."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, field
from typing import Any

from .syntax import Directive


@dataclass
class Server:
    """A server block: its directive, its names and where it listens."""

    directive: Directive
    #: Its place among all, which decides between equal names and between regular expressions.
    order: int = 0
    names: list[str] = field(default_factory=list)
    listens: list[dict[str, Any]] = field(default_factory=list)


def servers_of(http: list[Directive]) -> list[Server]:
    """The server blocks of an http block, in order."""
    found: list[Server] = []
    for each in http:
        if each.name != "server":
            continue
        names = [socket.gethostname() if name == "$hostname" else name.lower()
                 for one in each.all("server_name") for name in one.words[1:]]  # fmt: skip
        listens = [listen_of(one) for one in each.all("listen")] or [_listen("80", [], each.where)]
        if any(one.value == "on" for one in each.all("ssl")):
            for one in listens:
                one["tls"] = True
        found.append(Server(each, len(found), names or [""], [one for one in listens if not one["quic"]]))
    return found


def listen_of(directive: Directive) -> dict[str, Any]:
    """What a `listen` line says."""
    return _listen(directive.value, directive.words[2:], directive.where)


def _listen(address: str, flags: list[str], where: str) -> dict[str, Any]:
    if address.startswith("unix:"):
        host, port = address, "0"
    else:
        host, _, port = address.rpartition(":")
        if not port.isdigit() or address.endswith("]"):
            host, port = address, "80"
        host = "" if address.isdigit() or host == "*" else host.strip("[]")
    return {
        "address": host,
        "port": int(port),
        "tls": "ssl" in flags,
        "http2": "http2" in flags,
        "quic": "quic" in flags,
        "proxied": "proxy_protocol" in flags,
        "default": "default_server" in flags or "default" in flags,
        "where": where,
    }


def flags_of(servers: list[Server], address: str, port: int) -> dict[str, str]:
    """The flags of one listening socket, each with the line that sets it; any server's line sets it for all."""
    found: dict[str, str] = {}
    for server in servers:
        for each in server.listens:
            if (each["address"], each["port"]) == (address, port):
                for flag in ("tls", "http2", "proxied"):
                    if each[flag]:
                        found.setdefault(flag, each["where"])
    return found


def socket_of(servers: list[Server], address: str, port: int) -> str | None:
    """The address in the `listen` lines that a connection to an address and a port reaches; None if none does.

    Without an address, any socket of this port will do, one for all addresses first.
    """
    listening = list(dict.fromkeys(each["address"] for server in servers for each in server.listens
                                   if each["port"] == port))  # fmt: skip
    if address in listening:
        return address
    wildcards = ["::", ""] if ":" in address else ["", "0.0.0.0"]
    found = next((each for each in wildcards if each in listening), None)
    if found is None and "::" in listening:
        found = "::"
    return found if found is not None or address else next(iter(listening), None)


def at_socket(servers: list[Server], address: str, port: int) -> list[Server]:
    """The servers that share one listening socket, the default one first."""
    here = [(server, each) for server in servers for each in server.listens
            if (each["address"], each["port"]) == (address, port)]  # fmt: skip
    here.sort(key=lambda pair: not pair[1]["default"])
    return list({id(server): server for server, _listen in here}.values())


def named(servers: list[Server], host: str) -> tuple[Server, bool]:
    """The server that a name gets among those of one socket, and whether the name is what it was chosen for."""
    host = host.lower().rstrip(".")
    best: tuple[int, int] | None = None
    chosen = servers[0]
    for server in sorted(servers, key=lambda each: each.order):
        for name in server.names:
            rank = _match(name, host)
            if rank and (best is None or rank > best):
                best, chosen = rank, server
    return chosen, best is not None


def _match(name: str, host: str) -> tuple[int, int] | None:
    """How well a name in the configuration matches: the kind, then the length; None if it does not."""
    if name.startswith("~"):
        try:
            return (1, 0) if re.search(pcre(name[1:]), host, re.IGNORECASE) else None
        except re.error:
            return None
    if name.startswith(".") and host == name[1:]:
        return 4, len(name)
    if name.startswith((".", "*.")):
        return (3, len(name)) if host.endswith(name.lstrip("*")) and host != name.lstrip("*") else None
    if name.endswith(".*"):
        return (2, len(name)) if host.startswith(name[:-1]) else None
    return (4, len(name)) if name == host else None


def pcre(pattern: str) -> str:
    """A regular expression of nginx's (PCRE) as Python writes it: named groups differ."""
    return re.sub(r"\(\?<(?=\w)", "(?P<", re.sub(r"\(\?'(\w+)'", r"(?P<\1>", pattern))


def is_here(host: str) -> bool:
    """Whether a host name leads to this machine itself, and not to a balancer before it."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return False
    return any(_is_own(str(each)) for each in found)


def _is_own(address: str) -> bool:
    """Whether an address is one of this machine's: only then can a socket be bound to it."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.bind((address, 0))
    except (OSError, ValueError):
        return False
    return True
