"""What a process knows about itself and its host."""

import os
import socket
import time
from typing import Any

MEMINFO = "/proc/meminfo"
STARTED = time.monotonic()


def process_name() -> str:
    """Return the name of this process: ``ASGI_INSTANCE`` from the environment, or the host and process id."""
    return os.environ.get("ASGI_INSTANCE") or f"{socket.gethostname()}:{os.getpid()}"


def memory_percent() -> float | None:
    """Return how much of the host's memory is in use, in percent; None where Linux does not say."""
    try:
        with open(MEMINFO, encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        total, available = (int(fields[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return None
    return round(100 * (total - available) / total, 1)


def status() -> dict[str, Any]:
    """Return the host, its load averages (1, 5, 15 minutes), cores and memory in use (percent), and this process.

    Of the process, it has the name and the uptime (s). Processes on two hosts may have the same name.
    """
    report: dict[str, Any] = {
        "host": socket.gethostname(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "cores": os.cpu_count(),
        "process": process_name(),
        "uptime_seconds": round(time.monotonic() - STARTED, 1),
    }
    memory = memory_percent()
    if memory is not None:
        report["memory_percent"] = memory
    return report
