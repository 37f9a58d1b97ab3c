"""Check that the ports for a host's daemons are free, or already theirs. Controller only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..view import HostView, Problem, check, listed, probe_facts

ANY = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Listener:
    """An address and port on which something listens, and the programs that do, by process id."""

    address: str
    port: int
    programs: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Use:
    """A port and addresses that one of our daemons is to listen on."""

    variable: str
    daemon: str
    port: int
    addresses: tuple[str, ...]
    spare: int  # the first port to propose instead


# Each role that sets a daemon up, in the order in which they run, and the name of the daemon's processes.
DAEMONS = {
    "redis": "redis-server", "sentinel": "redis-sentinel", "postgresql": "postgres", "pgbouncer": "pgbouncer",
    "nginx": "nginx", "haproxy": "haproxy",
}  # fmt: skip


def uses_of(host: HostView) -> list[Use]:
    """The ports on which this host listens according to the inventory."""
    roles = {role.name for role in host.roles}
    redis = tuple(str(one).removeprefix("-") for one in host.items("redis_bind"))
    given = [
        ("redis_port", "redis", redis, 6380),
        *([("redis_plain_port", "redis", redis, 6379)] if host.get("redis_plain_port") else []),
        *([("sentinel_port", "sentinel", redis, 26380)] if host.get("redis_failover") is True else []),
        ("postgresql_port", "postgresql", tuple(str(one) for one in host.items("postgresql_bind")), 5433),
        *(
            [("pgbouncer_port", "pgbouncer", tuple(str(one) for one in host.items("postgresql_bind")), 6433)]
            if host.get("pgbouncer_mode") in ("transaction", "session")
            else []
        ),
        ("nginx_http_port", "nginx", ANY, 8080),
        *([("nginx_https_port", "nginx", ANY, 8443)] if host.get("certificate_source") not in (None, "none") else []),
        ("nginx_local_port", "nginx", ("127.0.0.1",), 8001),
        ("haproxy_http_port", "haproxy", ANY, 8080),
        *(
            [("haproxy_https_port", "haproxy", ANY, 8443)]
            if host.get("certificate_source") not in (None, "none")
            else []
        ),
        *([("haproxy_acme_port", "haproxy", ("127.0.0.1",), 8403)] if host.get("certificate_source") == "acme" else []),
    ]
    return [
        Use(variable, daemon, port, addresses, spare)
        for variable, daemon, addresses, spare in given
        if daemon in roles and isinstance(port := host.get(variable), int)
    ]


def listeners_of(host: HostView) -> list[Listener]:
    """What listens on a host, according to ss, or to the kernel if there is no ss."""
    found: dict[tuple[str, int], set[tuple[int, str]]] = {}
    for key, value in probe_facts(host.probe).items():
        words = value.split(None, 5)
        place = None
        if key.startswith("ss:") and len(words) > 3:
            place = split_address(words[3])
            programs = {(int(pid), name) for name, pid in re.findall(r'"([^"]*)",pid=(\d+)', value)}
        elif key.startswith("kernel:") and words:
            place = kernel_address(words[0])
            programs = {(int(words[1]), " ".join(words[2:]))} if len(words) > 2 else set()
        if place:
            found.setdefault(place, set()).update(programs)
    return [Listener(address, port, tuple(sorted(programs))) for (address, port), programs in found.items()]


def split_address(text: str) -> tuple[str, int] | None:
    """`[::1]:80`, `*:80` or `127.0.0.53%lo:53` as address and port."""
    address, _, port = text.rpartition(":")
    address = re.sub(r"%[^\]]*", "", address).strip("[]")
    return ("::" if address == "*" else address, int(port)) if port.isdigit() else None


def kernel_address(text: str) -> tuple[str, int] | None:
    """`0100007F:1F40`, as /proc/net/tcp writes it, as address and port."""
    digits, _, port = text.partition(":")
    try:
        words = [bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)]
        return str(ipaddress.ip_address(b"".join(words))), int(port, 16)
    except ValueError:
        return None


def overlap(one: str, other: str) -> bool:
    """Whether listening on one address rules out listening on the other at the same port."""
    if one == other or "::" in (one, other):  # "::" takes IPv4 connections too
        return True
    return "0.0.0.0" in (one, other) and ":" not in one + other


def daemon_of(host: HostView, listener: Listener) -> str:
    """Which of our own daemons listens there; empty if none does."""
    facts = probe_facts(host.probe)
    for daemon, program in DAEMONS.items():
        pids = facts.get(f"pid:{daemon}", "").split()
        if any(str(pid) in pids and name.startswith(program) for pid, name in listener.programs):
            return daemon
    return ""


def free_port(use: Use, taken: Iterable[int]) -> int:
    """A port that nothing on the host uses or is going to use."""
    return next(port for port in range(use.spare, 65536) if port not in set(taken))


@check("redis")
@check("postgresql")
@check("pgbouncer")
@check("nginx")
@check("haproxy")
def ports_of_our_own(host: HostView) -> Iterator[Problem]:
    """No two of our daemons share a port."""
    uses = uses_of(host)
    taken = {use.port for use in uses} | {listener.port for listener in listeners_of(host)}
    for index, use in enumerate(uses):
        for other in uses[:index]:
            same = any(overlap(one, two) for one in use.addresses for two in other.addresses)
            if use.port == other.port and same:
                fix = f"Let them differ, such as:\n  {use.variable}: {free_port(use, taken)}"
                yield Problem(use.variable, f"is {use.port}, and so is {other.variable}", fix)


@check("redis")
@check("postgresql")
@check("pgbouncer")
@check("nginx")
@check("haproxy")
def ports_of_others(host: HostView) -> Iterator[Problem]:
    """Nothing else listens on a port that we need."""
    if not host.installs:
        return
    listeners, uses = listeners_of(host), uses_of(host)
    taken = {use.port for use in uses} | {listener.port for listener in listeners}
    order, roles = list(DAEMONS), {role.name for role in host.roles}
    for use in uses:
        for listener in listeners:
            if listener.port != use.port or not any(overlap(one, listener.address) for one in use.addresses):
                continue
            daemon = daemon_of(host, listener)
            # A daemon that is set up earlier has left the port by then. One that is to have the port is reported above.
            leaves = daemon in roles and order.index(daemon) < order.index(use.daemon)
            if daemon == use.daemon or leaves or any(one.daemon == daemon and one.port == use.port for one in uses):
                continue
            free = f"write a port that is free:\n  {use.variable}: {free_port(use, taken)}"
            yield Problem(
                use.variable, f"is {use.port}, and {who(listener)} listens there", f"{way(listener)}, or {free}"
            )
            break


def who(listener: Listener) -> str:
    """The programs behind a listener, and its address."""
    names: dict[str, list[str]] = {}
    for pid, name in listener.programs:
        names.setdefault(name, []).append(str(pid))
    programs = listed((f"{name} (pid {listed(pids, 2)})" for name, pids in names.items()), 2)
    return f"{programs or 'something that no process of this host has'} on {listener.address}"


def way(listener: Listener) -> str:
    """How to find out what a listener belongs to, and how to end it."""
    if not listener.programs:
        return "Look what it is (ss -ltnp)"
    pid, name = listener.programs[0]
    if pid == 1:
        return "Stop its socket unit where it is not needed (systemctl list-sockets names it)"
    return f"Stop {name} where it is not needed (systemctl status {pid} shows what it belongs to)"
