"""From sockets, messages and handshakes to hosts, processes, memory, files and ports."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .figures import (
    BUSY,
    EDGE_SOCKETS,
    FILES_FEWEST,
    HAPROXY_KB,
    HEADROOM,
    HOST_SOCKETS,
    MEMORY_USED,
    NGINX_CPU_MS,
    NGINX_KB,
    NGINX_TLS_KB,
    OTHER_FILES,
    PING_SECONDS,
    PORTS,
    PROCESS_MB,
    PROCESS_SOCKETS,
    REDIS_COMMANDS,
    REDIS_KB,
    RSA_SIGNS,
    SERVERS,
)

EDGES = ("none", "nginx", "haproxy")


@dataclass(frozen=True)
class Demand:
    """What has to be carried.

    `sockets` at the peak; `messages` a second that the project sends, each to `receivers` sockets; `handshakes` a
    second. `return_seconds`: within that time, all clients of the biggest host that may die must be back. `server`
    is a key of SERVERS. `edge` is one of EDGES; none: the app host is the edge, if one is enough. `cores` and
    `memory_gb` are those of an app host.
    """

    sockets: int
    messages: float = 0.0
    receivers: float = 1.0
    handshakes: float = 0.0
    return_seconds: float = 30.0
    server: str = "daphne"
    edge: str = "nginx"
    cores: int = 4
    memory_gb: float = 8.0
    edge_memory_gb: float = 4.0

    def faults(self) -> list[str]:
        """What is wrong with the numbers; nothing if all can be calculated with."""
        least = {"sockets": 1, "messages": 0, "receivers": 0, "handshakes": 0, "return_seconds": 1, "cores": 1,
                 "memory_gb": 0.5, "edge_memory_gb": 0.5}  # fmt: skip
        found = [
            f"{name} is {getattr(self, name):g}; write a number of at least {number:g}"
            for name, number in least.items()
            if not number <= getattr(self, name) < math.inf
        ]
        if self.server not in SERVERS:
            found.append(f"server is {self.server}; write one of {', '.join(SERVERS)}")
        if self.edge not in EDGES:
            found.append(f"edge is {self.edge}; write one of {', '.join(EDGES)}")
        if self.receivers > self.sockets:
            found.append(f"receivers is {self.receivers:g}, but there are {self.sockets} sockets")
        return found


def size(demand: Demand) -> dict[str, Any]:
    """Return what is needed, as numbers by name; `why` says what decided the number of hosts, and `beyond` is a list
    of what no measurement reaches. Raises ValueError if the demand has faults.
    """
    if faults := demand.faults():
        raise ValueError("; ".join(faults))
    hosts, why = app_hosts(demand)
    alone = hosts == 1 and demand.edge in ("none", "nginx")
    spare = 0 if alone else 1
    processes = max(2, demand.cores)
    per_host = math.ceil(demand.sockets / hosts)  # with the spare one dead
    edges = 0 if alone else edge_hosts(demand, hosts)
    commands = redis_commands(demand, (hosts + spare) * processes)
    return {
        "app_hosts": hosts + spare, "why": why, "processes_per_host": processes,
        "sockets_per_host": per_host, "sockets_per_process": math.ceil(per_host / processes),
        "memory_mb_per_host": round(host_memory(demand, per_host, alone)),
        "cpu_cores": round(cores_needed(demand), 2),
        "edges": edges + (1 if edges else 0), **edge_needs(demand, edges, hosts),
        "redis_commands_per_second": round(commands),
        "redis_primaries": max(1, math.ceil(commands / (REDIS_COMMANDS.value * BUSY.value))),
        "redis_memory_mb": round(demand.sockets * REDIS_KB.value / 1024, 1),
        "nginx_open_files": files(per_host), "process_open_files": max(int(FILES_FEWEST.value), 2 * per_host),
        "handshakes_per_second_possible": round(hosts * usable(demand) * SERVERS[demand.server]["handshakes"].value),
        "beyond": beyond(demand, hosts, edges),
    }  # fmt: skip


def cores_needed(demand: Demand) -> float:
    """Cores of app hosts that steady traffic keeps busy, without room: handshakes, messages, pings, and nginx."""
    server = SERVERS[demand.server]
    echoes = demand.messages * demand.receivers + demand.sockets / PING_SECONDS.value
    nginx = demand.handshakes * NGINX_CPU_MS.value / 1000
    return echoes / server["echoes"].value + demand.handshakes / server["handshakes"].value + nginx


def usable(demand: Demand) -> float:
    """Cores of an app host that processes can have at the peak."""
    return demand.cores * BUSY.value


def app_hosts(demand: Demand) -> tuple[int, str]:
    """The number of app hosts that carry everything, and what decides it."""
    kb = SERVERS[demand.server]["kb"].value + (NGINX_TLS_KB if demand.edge == "none" else NGINX_KB).value
    room = demand.memory_gb * 1024 * MEMORY_USED.value - max(2, demand.cores) * PROCESS_MB.value
    if room <= 0:
        raise ValueError(f"memory_gb is {demand.memory_gb:g}, too little for {max(2, demand.cores)} processes")
    needs = {
        "sockets on a host": demand.sockets / HOST_SOCKETS.value,
        "sockets of processes": demand.sockets / (max(2, demand.cores) * PROCESS_SOCKETS.value),
        "memory": demand.sockets * kb / 1024 / room,
        "CPU of steady traffic": cores_needed(demand) / usable(demand),
        "CPU for clients that come back": coming_back(demand) / usable(demand),
    }
    decides = max(needs, key=lambda name: needs[name])
    return max(1, math.ceil(needs[decides])), decides


def coming_back(demand: Demand) -> float:
    """Cores that serve the clients of a dead edge within the time given; a dead app host has fewer clients."""
    biggest = min(demand.sockets, EDGE_SOCKETS.value if demand.edge != "none" else HOST_SOCKETS.value)
    return biggest / demand.return_seconds / SERVERS[demand.server]["handshakes"].value


def host_memory(demand: Demand, sockets: int, tls: bool) -> float:
    """MB that an app host's sockets and processes take."""
    kb = SERVERS[demand.server]["kb"].value + (NGINX_TLS_KB if tls else NGINX_KB).value
    return sockets * kb / 1024 + max(2, demand.cores) * PROCESS_MB.value


def files(sockets: int) -> int:
    """Open files of nginx for as many sockets: two for each, and the rest."""
    return max(int(FILES_FEWEST.value), 2 * sockets + int(HEADROOM.value + OTHER_FILES.value))


def edge_kb(demand: Demand) -> float:
    """KB of an edge's memory for a silent socket with TLS. HAProxy's was measured without: nginx's TLS is added."""
    if demand.edge == "haproxy":
        return HAPROXY_KB.value + NGINX_TLS_KB.value - NGINX_KB.value
    return NGINX_TLS_KB.value


def edge_hosts(demand: Demand, hosts: int) -> int:
    """Edges that carry everything: by the number chosen, by memory, and by ports to all app hosts."""
    memory = demand.edge_memory_gb * 1024 * 1024 * MEMORY_USED.value / edge_kb(demand)
    return math.ceil(demand.sockets / min(EDGE_SOCKETS.value, memory, PORTS.value * hosts))


def edge_needs(demand: Demand, edges: int, hosts: int) -> dict[str, Any]:
    """What each edge needs, with the spare one dead; all 0 if there is none."""
    sockets = math.ceil(demand.sockets / edges) if edges else 0
    back = min(demand.sockets, sockets) / demand.return_seconds + demand.handshakes
    return {
        "sockets_per_edge": sockets,
        "edge_memory_mb": round(sockets * edge_kb(demand) / 1024),
        "edge_open_files": files(sockets) if edges else 0,
        "edge_ports_per_app_host": math.ceil(sockets / hosts),
        "edge_cpu_cores": round(back / RSA_SIGNS.value + back * NGINX_CPU_MS.value / 1000, 2) if edges else 0,
        "edge_conntrack": 2 * sockets + int(HEADROOM.value) if edges else 0,
    }


def redis_commands(demand: Demand, processes: int) -> float:
    """Redis's work a second: a message goes in once and out to each process that has a receiver; handshakes subscribe
    and sockets that end unsubscribe, two groups and a channel each.
    """
    return demand.messages * (1 + min(processes, demand.receivers)) + demand.handshakes * 6


def beyond(demand: Demand, hosts: int, edges: int) -> list[str]:
    """What follows from the model and was never tried."""
    found = []
    if demand.sockets > HOST_SOCKETS.value:
        found.append(f"more than {HOST_SOCKETS.value:,.0f} sockets in all")
    if hosts > 2:
        found.append(f"{hosts + 1} app hosts: every host adds as much as the first")
    if edges and demand.edge == "haproxy":
        found.append("memory of TLS in HAProxy")
    if demand.messages * demand.receivers > SERVERS[demand.server]["echoes"].value:
        found.append("messages to more sockets than one process can reach")
    return found
