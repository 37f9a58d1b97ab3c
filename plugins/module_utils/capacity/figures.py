"""What was measured, each figure with its unit and where it comes from. All of the model's constants are here."""

from __future__ import annotations

from dataclasses import dataclass

BENCH = "docs/capacity.md, measured by scripts/bench/capacity.py"
LOAD = "playbooks/load.yml on a lab host, 2026-11-30"
DECISIONS = "docs/decisions.md, “A silent socket costs nginx 21 kB, and 39 kB with TLS”"
KERNEL = "the kernel's default"
CHOSEN = "chosen, not measured"


@dataclass(frozen=True)
class Figure:
    """A number, what it counts, and who measured it."""

    value: float
    what: str
    source: str


#: By server: `handshakes` and `echoes` a second of one process behind nginx, `kb` of memory for a silent socket.
SERVERS: dict[str, dict[str, Figure]] = {
    "daphne": {
        "handshakes": Figure(268, "handshakes/s of one daphne, through nginx", BENCH),
        "echoes": Figure(2398, "echoes/s of one daphne, through nginx", BENCH),
        "kb": Figure(38.4, "kB for a silent socket in daphne", BENCH),
    },
    "uvicorn": {
        "handshakes": Figure(498, "handshakes/s of one uvicorn, through nginx", BENCH),
        "echoes": Figure(4937, "echoes/s of one uvicorn, through nginx", BENCH),
        "kb": Figure(35.1, "kB for a silent socket in uvicorn", BENCH),
    },
}

PROCESS_SOCKETS = Figure(5000, "silent sockets on one process; more were never tried", BENCH)
HOST_SOCKETS = Figure(10000, "silent sockets on one app host; more were never tried", BENCH)
NGINX_KB = Figure(21, "kB for a silent socket in nginx, without TLS", DECISIONS)
NGINX_TLS_KB = Figure(39, "kB for a silent socket in nginx, with TLS", DECISIONS)
HAPROXY_KB = Figure(5, "kB for a silent socket in HAProxy 2.6, without TLS", "two daphne behind HAProxy on a lab host")
EDGE_SOCKETS = Figure(50000, "sockets on one edge", CHOSEN)
RSA_SIGNS = Figure(
    4009, "TLS handshakes/s of one core at most: RSA 2048 signatures", "`openssl speed rsa2048`, load average 8"
)
PORTS = Figure(28232, "connections from one edge to one app host's port (ip_local_port_range)", KERNEL)

BUSY = Figure(0.6, "of a core that may be in use at the peak", CHOSEN)
MEMORY_USED = Figure(0.7, "of a host's memory that sockets and processes may fill", CHOSEN)
PING_SECONDS = Figure(20, "seconds between pings; each counts as an echo", "asgi_ping_interval")
FILES_FEWEST = Figure(65536, "open files of nginx and of a process at least", "docs/limits.md")
HEADROOM = Figure(4096, "nginx's other connections", "docs/limits.md")
OTHER_FILES = Figure(1024, "nginx's other files", "docs/limits.md")

PROCESS_MB = Figure(58, "MB of a daphne with the example and no socket", LOAD)
NGINX_CPU_MS = Figure(0.18, "ms of nginx's CPU for a handshake, without TLS", LOAD)
REDIS_KB = Figure(0.3, "kB of Redis's memory for a socket with its groups", LOAD)
REDIS_COMMANDS = Figure(
    31407, "messages/s that Redis publishes on one core", "`redis-benchmark publish` on a lab host, load average 8"
)
