"""A token that one call leaves on the host for the next one: to mint another means to start Django again."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from pathlib import Path

#: No token is so short-lived that it ends while a process takes its time to start, which is tried with one as well.
KEPT_SECONDS = 15


def take(path: str, command: list[str]) -> str | None:
    """Remove the file and return its token; None without one, or if it is old, another command's or another user's."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with open(descriptor, encoding="utf-8") as file:
            status = os.fstat(descriptor)
            os.unlink(path)
            kept = json.load(file)
    except (OSError, ValueError):
        return None
    own = status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == 0o600
    fresh = 0 <= time.time() - status.st_mtime < KEPT_SECONDS
    return str(kept["token"]) if own and fresh and kept["command"] == command else None


def keep(path: str, command: list[str], token: str) -> None:
    """Write a command's token to a file that only its owner can read. Raises OSError if that is not possible."""
    Path(path).parent.mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"command": command, "token": token}, file)
