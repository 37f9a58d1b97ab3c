"""The host's Redis: its version, and what its configuration says."""

from __future__ import annotations

import os
import re
from typing import Any

from . import proc, raw


def redis() -> dict[str, Any]:
    """The Redis of this host: whether it runs, its version, and what its configuration says."""
    binary = next(
        (name for name in ("/usr/bin/redis-server", "/usr/local/bin/redis-server") if os.path.exists(name)), ""
    )
    file = next((name for name in ("/etc/redis/redis.conf", "/etc/redis.conf") if os.path.exists(name)), "")
    if not binary:
        return {"present": False}
    settings = {}
    for line in raw.read(file).splitlines() if file else ():
        name, _, value = line.strip().partition(" ")
        if name in ("maxmemory-policy", "maxmemory", "timeout", "maxclients", "port"):
            settings[name] = value.strip()
    version = re.search(r"v=([\d.]+)", raw.output(binary, "--version"))
    running = bool(proc.called("redis-server"))
    return {"present": True, "running": running, "version": version[1] if version else "", "file": file, **settings}
