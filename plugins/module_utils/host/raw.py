"""What a host says, unchanged: a command's output and a file's text, empty if there is none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def output(*command: str, timeout: float = 10, errors: bool = False) -> str:
    """Return what a command prints, or nothing if it is missing, fails to start or takes too long."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
            stdin=subprocess.DEVNULL, text=True, errors="replace", timeout=timeout, check=False,
            env={**os.environ, "LC_ALL": "C", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/bin"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def read(path: str | Path, limit: int = 1_000_000) -> str:
    """Return a file's text, or nothing if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""
