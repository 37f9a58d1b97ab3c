"""Samples in Prometheus's text format, and files of them that no reader sees half of."""

from __future__ import annotations

import os
from pathlib import Path

# Of each metric, its type and what it says. A metric that is not here cannot be written.
KNOWN = {
    "channels_generation_info": ("gauge", "A generation: its release, version, server, manager and state."),
    "channels_generation_connections": ("gauge", "Connections that the processes of a generation have accepted."),
    "channels_generation_processes_expected": ("gauge", "Processes that a generation has when it serves."),
    "channels_generation_processes_running": ("gauge", "Processes of a generation that run."),
    "channels_generation_workers_expected": ("gauge", "Workers that a generation has when it serves."),
    "channels_generation_workers_running": ("gauge", "Workers of a generation that run."),
    "channels_generation_served_timestamp_seconds": ("gauge", "When a generation last began to serve."),
    "channels_generation_drain_deadline_seconds": ("gauge", "When the sockets of a draining generation are closed."),
    "channels_generations_kept": ("gauge", "Generations that could serve again."),
    "channels_process_connections": ("gauge", "Connections that a process has accepted."),
    "channels_process_backlog": ("gauge", "Connections that wait until a process accepts them."),
    "channels_process_memory_bytes": ("gauge", "Memory of a process."),
    "channels_process_cpu_seconds_total": ("counter", "Processor time of a process."),
    "channels_process_restarts_total": ("counter", "How often a process was started again."),
    "channels_process_age_seconds": ("gauge", "How long a process has run."),
    "channels_websocket_requests_total": ("counter", "Handshakes by status; a socket counts when it has ended."),
    "channels_websocket_ends_total": ("counter", "Sockets and handshakes by how they ended, as far as nginx knows."),
    "channels_maintenance": ("gauge", "Whether the site is in maintenance."),
    "channels_drained": ("gauge", "Whether the host was taken out of the fleet."),
    "channels_nginx_worker_files": ("gauge", "Open files of the nginx worker that has most of them."),
    "channels_nginx_worker_files_limit": ("gauge", "Files that each nginx worker may have open."),
    "channels_nginx_worker_connections_limit": ("gauge", "Connections that each nginx worker may have."),
    "channels_certificate_not_after_timestamp_seconds": ("gauge", "When a certificate ends."),
    "channels_certificate_not_before_timestamp_seconds": ("gauge", "When a certificate began."),
    "channels_out_of_memory_kills_total": ("counter", "Processes that the kernel has killed for their memory."),
    "channels_reboot_required": ("gauge", "Whether a package has asked for a reboot."),
    "channels_cron_up": ("gauge", "Whether cron runs, on a host where commands wait for it."),
    "channels_probe_success": ("gauge", "Whether the last probe opened a socket and got its echo."),
    "channels_probe_handshake_seconds": ("gauge", "How long the last handshake took, with the connection."),
    "channels_probe_echo_seconds": ("gauge", "How long the last echo took."),
    "channels_probe_group_success": ("gauge", "Whether a message reached a socket of another process."),
    "channels_probe_group_seconds": ("gauge", "How long that message took."),
    "channels_probe_idle_seconds": ("gauge", "How long the probe's idle socket has been open."),
    "channels_probe_idle_cut_total": ("counter", "Idle sockets that ended although their generation still served."),
    "channels_probe_token_up": ("gauge", "Whether the project made a token for the probe."),
    "channels_probe_timestamp_seconds": ("gauge", "When the last probe ended."),
    "channels_metrics_up": ("gauge", "Whether a part of these metrics could be read."),
    "channels_metrics_timestamp_seconds": ("gauge", "When these metrics were written."),
}


class Samples:
    """Samples of some metrics, with labels that all of them have."""

    def __init__(self, **common: str) -> None:
        """Take the labels that all samples have."""
        self.common = common
        self._lines: dict[str, list[str]] = {}

    def add(self, name: str, value: float, **labels: str) -> None:
        """Add a sample of a metric in KNOWN."""
        if name not in KNOWN:
            raise ValueError(f"{name} is not described")
        shown = ",".join(f'{key}="{escaped(text)}"' for key, text in {**self.common, **labels}.items())
        labelled = f"{name}{{{shown}}}" if shown else name
        self._lines.setdefault(name, []).append(f"{labelled} {float(value)!r}")

    def extend(self, others: Samples) -> None:
        """Add all samples of others."""
        for name, lines in others._lines.items():
            self._lines.setdefault(name, []).extend(lines)

    def text(self) -> str:
        """All samples as a file has them."""
        parts = []
        for name, lines in sorted(self._lines.items()):
            kind, what = KNOWN[name]
            parts += [f"# HELP {name} {what}", f"# TYPE {name} {kind}", *lines]
        return "\n".join([*parts, ""])


def escaped(text: str) -> str:
    """A label's value as the format wants it."""
    return str(text).replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def write(path: Path, text: str) -> None:
    """Replace a file in one step; node-exporter reads only what ends in .prom."""
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with open(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o644)
        file.write(text)
    part.replace(path)
