"""What Prometheus is asked for the page of a site."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

#: Seconds between two looks of Prometheus at a host (templates/monitoring/prometheus.yml.j2).
INTERVAL = 15
#: Steps that a picture has at most.
MOST_STEPS = 288
#: As in the alerts: what is no disk of the host.
NO_DISKS = "tmpfs|ramfs|squashfs|overlay"


def grid(hours: float) -> tuple[int, int]:
    """Return the seconds of a step, and how many steps some hours have."""
    seconds = hours * 3600
    step = INTERVAL * math.ceil(seconds / MOST_STEPS / INTERVAL)
    return step, max(1, round(seconds / step))


def queries(app: str, hosts: Sequence[str], step: int) -> dict[str, str]:
    """Return the questions by name, about one project and the hosts of its inventory."""
    site = f"app={quoted(app)}"
    here = f"instance=~{quoted('|'.join(map(re.escape, hosts)))}"
    ours = f"app=~{quoted('|' + re.escape(app))},instance=~{quoted('|' + '|'.join(map(re.escape, hosts)))}"
    within = f"[{step}s]"
    rate = f"[{max(step, 4 * INTERVAL)}s]"
    return {
        "generations": f"max by (generation, release, version, state) (channels_generation_info{{{site}}})",
        "served": f"max by (instance, generation) (channels_generation_served_timestamp_seconds{{{site}}})",
        "sockets": f"sum by (generation) (max_over_time(channels_generation_connections{{{site}}}{within}))",
        "open": f"sum(channels_generation_connections{{{site}}})",
        "handshakes": f"sum by (instance, status) (channels_websocket_requests_total{{{site}}})",
        "probe": f"min by (instance, target) (min_over_time(channels_probe_success{{{site}}}{within}))",
        "handshake": most(f"channels_probe_handshake_seconds{{{site}}}{within}", "instance, target"),
        "echo": most(f"channels_probe_echo_seconds{{{site}}}{within}", "instance"),
        "group": most(f"channels_probe_group_seconds{{{site}}}{within}", "instance"),
        "redis_memory": most(f"redis_memory_used_bytes{{{here}}}{within}", "instance"),
        "redis_clients": most(f"redis_connected_clients{{{here}}}{within}", "instance"),
        "redis_commands": f"sum by (instance) (rate(redis_commands_processed_total{{{here}}}{rate}))",
        "processor": f'1 - avg by (instance) (rate(node_cpu_seconds_total{{mode="idle",{here}}}{rate}))',
        "memory": f"1 - min by (instance) (node_memory_MemAvailable_bytes{{{here}}} / node_memory_MemTotal_bytes)",
        "disk": "1 - min by (instance) (node_filesystem_avail_bytes"
        f'{{fstype!~"{NO_DISKS}",{here}}} / node_filesystem_size_bytes unless node_filesystem_readonly == 1)',
        "alerts": "max by (alertname, instance, severity) (max_over_time("
        f'ALERTS{{alertstate="firing",{ours}}}{within}))',
    }  # fmt: skip


def most(what: str, by: str) -> str:
    """The question for the most in each step."""
    return f"max by ({by}) (max_over_time({what}))"


def quoted(text: str) -> str:
    """A text as Prometheus's language quotes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
