"""What servers and the kernel have logged: in the journal, in supervisor's files, in files of their own."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from . import proc, raw
from .units import manager


def journal(names: list[str], *options: str) -> list[str]:
    """The log lines of some units."""
    if not names:
        return []
    command = ["journalctl", "--no-pager", "--output=cat", "--quiet", *options]
    return raw.output(*command, *(f"--unit={name}" for name in names)).splitlines()


def program_log(name: str, lines: int = 40) -> list[str]:
    """The last lines of a supervisor program's own logs, output and errors."""
    shown = [raw.output("supervisorctl", "tail", "-4000", name, kind, timeout=5) for kind in ("stdout", "stderr")]
    return [line for line in "\n".join(shown).splitlines() if line.strip()][-lines:]


def file_logs(pids: list[int]) -> dict[str, int]:
    """The regular files that processes write their output to, with their sizes now."""
    return sizes(proc.written_to(pids))


def supervisor_logs() -> dict[str, int]:
    """The regular files that supervisor has open, its programs' logs among them, with their sizes now."""
    return sizes(proc.held_by("supervisord"))


def sizes(paths: Iterable[str]) -> dict[str, int]:
    """The regular files among some paths, with their sizes now."""
    found = {}
    for path in paths:
        try:
            kept = os.stat(path) if path.startswith("/") else None
        except OSError:
            continue
        if kept and stat.S_ISREG(kept.st_mode):
            found[path] = kept.st_size
    return found


def new_lines(sizes: dict[str, int]) -> list[str]:
    """What was written to files since their sizes were noted."""
    lines: list[str] = []
    for path, size in sizes.items():
        try:
            with open(path, "rb") as file:
                file.seek(size)
                lines += file.read(200_000).decode("utf-8", "replace").splitlines()
        except OSError:
            continue
    return lines


def kernel_kills(since: float) -> list[str]:
    """What the kernel killed for lack of memory since a time, as far as its log can be read."""
    shown = raw.output("journalctl", "--no-pager", "--quiet", "-k", "--output=cat", f"--since=@{int(since)}", timeout=5)
    if manager() != "systemd":
        shown = raw.output("dmesg", f"--since=@{int(since)}", timeout=5)
    return [line for line in shown.splitlines() if "Killed process" in line][-5:]
