"""Whether nginx runs, and what it would do with a handshake, from `nginx -T` and the processes."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import SplitResult

from .. import proc, raw
from .request import Config

BINARIES = ("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx")
#: Headers whose values hold no secret.
SHOWN = ("host", "upgrade", "connection", "origin", "x-forwarded-proto", "x-forwarded-host", "sec-websocket-version")
LOG = "/var/log/nginx/error.log"
#: Where Debian keeps the sites' files, and the links to those that nginx reads.
PARKED, ENABLED = "/etc/nginx/sites-available", "/etc/nginx/sites-enabled"


class Nginx:
    """The nginx of this host."""

    config: Config | None = None

    def look(self, parts: SplitResult, target: str, headers: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Whether nginx is there, runs and has a sound configuration, and what becomes of a handshake.

        `parts` are those of the handshake's URL, `target` its path and query, as a client sends it.
        """
        binary = next((name for name in BINARIES if os.path.exists(name)), "")
        if not binary:
            return {"present": False}
        masters = _here("nginx: master")
        shown = raw.output(binary, "-T", errors=True)
        built = raw.output(binary, "-V", errors=True)
        error = re.search(r"^(?:nginx:|\S+ \S+) \[emerg\] (?:\d+#\d+: )?(.*)$", shown, re.MULTILINE)
        whole = built.partition("\n")[0] + "\n" + shown
        config = self.config = Config(whole)
        route = self.route(parts, target, headers)
        default_log = re.search(r"--error-log-path=(\S+)", built)
        own = config.single("error_log")
        logs = [*(route or {}).get("logs", []), own.value if own else "", default_log[1] if default_log else LOG]
        return {
            "present": True, "running": bool(masters), "error": error[1] if error else "", "route": harmless(route),
            "others": sorted(config.all_addresses() - set((route or {}).get("upstream", []))),
            "logs": [each for each in dict.fromkeys(logs) if each.startswith("/") and each != "/dev/null"],
            "version": ".".join(map(str, config.version)),
            "warnings": re.findall(r"\[warn\] (?:\d+#\d+: )?(.*)", shown)[:10],
            "unread": changed_since_loaded(shown), "connections": connections(config),
            "asleep": {} if route and route["pass"] else self.asleep(whole, parts, target, headers),
        }  # fmt: skip

    def asleep(self, shown: str, parts: SplitResult, target: str, headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        """A site's file that nginx does not read and that would pass the request on, and the folder for its link."""
        read = {os.path.realpath(path) for path in re.findall(r"^# configuration file (\S+):$", shown, re.MULTILINE)}
        for path in sorted(glob.glob(f"{PARKED}/*")):
            link = f"{ENABLED}/{os.path.basename(path)}"
            if os.path.realpath(path) in read or os.path.lexists(link) or not os.path.isfile(path):
                continue
            config = Config(f"{shown}\n# configuration file {link}:\n{raw.read(path)}")
            port = parts.port or (443 if parts.scheme in ("wss", "https") else 80)
            route = config.route(parts.hostname or "", port, target, headers)
            if route and route["certain"] and route["pass"] and route["server"].startswith(f"{link}:"):
                return {"file": path, "folder": ENABLED}
        return {}

    def route(self, parts: SplitResult, target: str, headers: Iterable[tuple[str, str]]) -> dict[str, Any] | None:
        """What becomes of a handshake; the result may hold its token."""
        port = parts.port or (443 if parts.scheme in ("wss", "https") else 80)
        return self.config.route(parts.hostname or "", port, target, headers) if self.config else None


def harmless(route: dict[str, Any] | None) -> dict[str, Any] | None:
    """A route without what could hold a token: queries, and headers that carry credentials."""
    if route is None:
        return None
    shown = [(name, value) for name, value in route["sends"] if name.lower() in SHOWN]
    return {**route, "uri": route["uri"].partition("?")[0], "sends": shown}


def workers() -> list[int]:
    """The worker processes that accept connections."""
    return [pid for pid in _here("nginx: worker process") if "shutting down" not in proc.text(pid, "cmdline")]


def _here(title: str) -> list[int]:
    """The processes with a title, but those in containers on this host."""
    own = proc.link(os.getpid(), "ns/pid")
    return [pid for pid in proc.titled(title) if proc.link(pid, "ns/pid") in (own, "")]


def changed_since_loaded(shown: str) -> list[str]:
    """The files of the configuration that were written after nginx had read it: a reload starts new workers."""
    begun = max((proc.started(pid) for pid in workers()), default=0.0)
    files = re.findall(r"^# configuration file (\S+):$", shown, re.MULTILINE)
    return [path for path in files if begun and _written(path) > begun + 1]


def _written(path: str) -> float:
    try:
        return max(os.stat(path).st_mtime, os.lstat(path).st_mtime)
    except OSError:
        return 0.0


def connections(config: Config) -> dict[str, Any]:
    """The limit of connections for each worker, its line, and how many the fullest worker has."""
    line = config.single("events", "worker_connections")
    limit = int(line.value) if line and line.value.isdigit() else 512
    found = []
    for pid in workers():
        names = proc.open_files(pid)
        files = re.search(r"Max open files\s+(\d+)", proc.text(pid, "limits"))
        found.append((len([name for name in names if name.startswith("socket:")]), len(names),
                      int(files[1]) if files else 0))  # fmt: skip
    sockets, files_open, files_limit = max(found, default=(0, 0, 0))
    events = next((each.where for each in config.main if each.name == "events"), "")
    return {"limit": limit, "used": sockets, "line": line.where if line else events, "files": files_open,
            "files_limit": files_limit}  # fmt: skip
