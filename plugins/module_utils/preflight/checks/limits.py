"""How many sockets a host holds, and what nginx, the processes and the kernel need for them. Controller only."""

from __future__ import annotations

import ipaddress
import typing as t
from collections.abc import Iterator, Mapping

from ..view import HostView, Problem, check, probe_facts
from .workers import processes_of

FOR_EACH = 2  # connections and files of nginx: one from the client, one to the process
# A worker's other connections: pages, clients that are slow or refused, and exempt ones. As many as a process lets wait
# (asgi_backlog), so that every client gets an answer if all come back at once.
HEADROOM = 4096
OTHER_FILES = 1024  # a worker's files besides its connections: static files that it sends, logs, listeners
FEWEST_FILES = 65536  # nginx gets at least these; a new number restarts it, which ends all sockets
FULL = 7 / 8  # of its connections; then a worker leaves new ones to others (accept_mutex; nginx's own number)
SOCKET_KB = 65  # memory of a silent socket, in nginx and the server together: docs/capacity.md
RAISES_FILES = 1 << 24  # CAP_SYS_RESOURCE of capabilities(7)
# Settings of the kernel, each with the inventory's variable that asks for more.
KERNEL = {
    "net.core.somaxconn": "asgi_backlog",
    "fs.nr_open": "nginx_sockets",
    "fs.file-max": "nginx_sockets",
    "net.netfilter.nf_conntrack_max": "nginx_sockets",
}


def number(host: HostView, variable: str, otherwise: int) -> int:
    """A number from the inventory or the role's default; `otherwise` if it is not one, which another check reports."""
    value = host.get(variable)
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def files_of(facts: Mapping[str, str]) -> int | None:
    """How many files a daemon on the host may have open; None if there is no limit or the host did not say."""
    told = facts.get("open_files", "")
    with_capability = int(facts.get("capabilities") or "0", 16) & RAISES_FILES
    if told == "unlimited" or with_capability:
        return None
    return int(told) if told.isdigit() else None


def others_on(host: HostView, facts: Mapping[str, str]) -> int:
    """The number of sockets for other projects' sites on the host."""
    mine = f"sockets:{host.get('release_app')}"
    return sum(
        int(value) for key, value in facts.items() if key != mine and key.startswith("sockets:") and value.isdigit()
    )


def limits_of(host: HostView) -> dict[str, t.Any]:
    """What follows from `nginx_sockets` on a host.

    `sockets` is how many its site holds. Any one worker may get all of them: connections are not spread evenly. If the
    host allows too few open files for that, `turns` makes workers leave new connections to others in time. If even
    that is not enough, there are fewer sockets.
    """
    facts = probe_facts(host.probe)
    wanted, others = number(host, "nginx_sockets", 10000), others_on(host, facts)
    given, allowed = number(host, "nginx_worker_connections", 0), files_of(facts)
    cores = int(facts["cores"]) if facts.get("cores", "").isdigit() else 1
    needed = FOR_EACH * (wanted + others) + HEADROOM
    room = min(given or needed, needed if allowed is None else max(64, allowed - OTHER_FILES))
    headroom = min(HEADROOM, room // 4)
    in_all = room if cores == 1 else int(FULL * room) * cores
    # Others are not subtracted: a later site would find nothing left, and not all sites fill up at once.
    fitting = max(1, (max(room, in_all) - headroom) // FOR_EACH)
    connections = max(given, 0) or room
    open_files = max(FEWEST_FILES, connections + OTHER_FILES)
    return {
        "sockets": min(wanted, fitting),
        "worker_connections": connections,
        "turns": room < FOR_EACH * (min(wanted, fitting) + others) + headroom,
        "open_files": open_files,
        "zone": zone_of(facts, str(host.get("release_app"))),
        **kernel_of(host, open_files, wanted + others),
    }


def zone_of(facts: Mapping[str, str], app: str) -> str:
    """The end of the names of the zones in which nginx counts open sockets.

    It is the time at which a worker was last killed, from nginx's log: that worker's sockets stay counted, so counting
    must start again. If the log has been rotated away, the zones keep their present end.
    """
    latest = max(facts.get(f"zone:{app}", ""), facts.get("worker_died", ""))
    return f"_{latest}" if latest.isdigit() else ""


def kernel_of(host: HostView, open_files: int, sockets: int) -> dict[str, t.Any]:
    """Kernel settings that have to be raised: `kernel` by name, and whether the running kernel still has less.

    None is ever lowered, and what the host's file says stays: another project may need it.
    """
    facts = probe_facts(host.probe)
    pairs = (line.partition("=") for line in facts.get("sysctl_file", "").split(";"))
    written = {name: int(value) for name, _, value in pairs if value.isdigit()}
    found: dict[str, int] = {}
    behind = False
    for name, least in kernel_needs(host, open_files, sockets).items():
        running = int(facts.get(f"sysctl:{name}") or 0)
        value = max(least if 0 < running < least else 0, written.pop(name, 0))
        if value:
            found[name] = value
            behind = behind or 0 < running < value
    return {"kernel": {**written, **found}, "kernel_is_behind": behind}


def kernel_needs(host: HostView, open_files: int, sockets: int) -> dict[str, int]:
    """The least values that the kernel's settings need."""
    return {
        "net.core.somaxconn": number(host, "asgi_backlog", 4096),
        "fs.nr_open": max(open_files, number(host, "asgi_open_files", 65536)),
        # Two in nginx and one in a process, twice: while all clients come back, their old sockets are still closing.
        "fs.file-max": 2 * 3 * sockets + FEWEST_FILES,
        # The firewall's connection tracking keeps each connection for two minutes after it ends.
        "net.netfilter.nf_conntrack_max": 2 * sockets + HEADROOM,
    }


@check("nginx")
def nginx_sockets_fit(host: HostView) -> Iterator[Problem]:
    """The number of sockets asked for fits into files and memory; the default adjusts itself."""
    facts, limits = probe_facts(host.probe), limits_of(host)
    wanted, memory = number(host, "nginx_sockets", 0), facts.get("memory_mb", "")
    if "nginx_sockets" not in host.inventory or wanted < 1:
        return
    if limits["sockets"] < wanted:
        given = number(host, "nginx_worker_connections", 0)
        allowed = files_of(facts)
        why = f"nginx_worker_connections is {given}" if given else f"the host allows {allowed} open files"
        fix = f"Write {limits['sockets']} or less, or " + (
            "delete nginx_worker_connections."
            if given
            else "have it allow more, as by docker run --ulimit nofile=65536."
        )
        yield Problem("nginx_sockets", f"is {wanted}, but {why}, two for each socket and some for everything else", fix)
    if memory.isdigit() and wanted * SOCKET_KB > int(memory) * 1024:
        fault = f"is {wanted}, but {SOCKET_KB} kB for each are more than the host's {memory} MB"
        most = int(memory) * 1024 // SOCKET_KB // 2 // 100 * 100
        yield Problem(
            "nginx_sockets", fault, f"Write for example {most}, which leaves half of the memory for everything else."
        )
    files, processes = number(host, "asgi_open_files", 65536), processes_of(host)["processes"]
    if files * processes < wanted:
        fault = f"is {files}, but {processes} processes with that limit cannot hold {wanted} sockets (nginx_sockets)"
        yield Problem("asgi_open_files", fault, "Delete the line, or write twice nginx_sockets.")


@check("nginx")
def nginx_kernel(host: HostView) -> Iterator[Problem]:
    """Kernel settings that are too low can be changed from within the host."""
    facts, limits = probe_facts(host.probe), limits_of(host)
    if not host.installs:
        return
    for name, value in limits["kernel"].items():
        running = facts.get(f"sysctl:{name}", "")
        if f"fixed:{name}" in facts and running and int(running) < value:
            variable = KERNEL[name]
            fix = f"Have the machine's administrator set it, as with docker run --sysctl {name}={value}, or "
            fix += f"let {variable} ask for less"
            if name == "net.core.somaxconn":
                fix += f":\n  {variable}: {running}"
            fault = f"needs {name} {value}, which is {running} and cannot be changed from within this host"
            yield Problem(variable, fault, fix)


@check("nginx")
def nginx_limit_exempt(host: HostView) -> Iterator[Problem]:
    """Exempt clients are given as addresses or networks that nginx accepts."""
    for text in map(str, host.items("nginx_limit_exempt")):
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            fix = "Write addresses and networks: [127.0.0.1, 192.0.2.0/24]"
            yield Problem("nginx_limit_exempt", f'"{text}" is neither an address nor a network', fix)
