"""Who listens on the port that clients connect to, whatever it is, and what it does with a WebSocket's path."""

from __future__ import annotations

import re
from typing import Any

from . import apache, haproxy_config, raw
from .servers import server_kind

#: Programs that pass requests on, by the names of their processes.
KINDS = {
    "nginx": "nginx", "apache2": "Apache", "httpd": "Apache", "haproxy": "HAProxy", "caddy": "Caddy",
    "traefik": "Traefik", "docker-proxy": "docker-proxy", "envoy": "Envoy", "lighttpd": "lighttpd",
}  # fmt: skip
#: The services that start them.
UNITS = ("apache2", "httpd", "haproxy", "caddy", "traefik", "lighttpd")
CADDYFILE = "/etc/caddy/Caddyfile"


def fronts(port: int, processes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The programs that listen on a port, each once: its `kind`, `name`, `pid`, and an `address` to reach it at.

    The kind is `server` for a server of Python, and empty for a program that is not known.
    """
    found: dict[str, dict[str, Any]] = {}
    for each in processes:
        places = [address for address in each["listens"] if address.startswith("tcp:") and address.endswith(f":{port}")]
        if not places or each["name"] in ("systemd", "supervisord"):
            continue
        kind = "server" if server_kind(each["argv"])[0] else KINDS.get(each["name"], "")
        address = sorted(places, key=lambda one: one.startswith("tcp::"))[0].removeprefix("tcp:").rpartition(":")[0]
        found.setdefault(kind or each["name"], {
            "kind": kind, "name": each["name"], "pid": each["pid"], "address": address, "port": port,
        })  # fmt: skip
    return list(found.values())


def route(kind: str, host: str, port: int, path: str) -> dict[str, Any]:
    """What a front does with a path: `where` and `rule`, its `upstream`, and what else is known of its kind."""
    if kind == "Apache":
        return apache.route(host, port, path)
    if kind == "HAProxy":
        found = haproxy_config.route(host, port, path)
        return {**found, "down": down()} if found else {}
    if kind == "Caddy":
        return caddy(raw.read(CADDYFILE), path)
    return {}


def down() -> str:
    """The line by which HAProxy has last said that a server is down; empty if it has come back since."""
    last: dict[str, str] = {}
    for line in raw.output("journalctl", "--no-pager", "--quiet", "--output=cat", "--unit=haproxy", "--lines=60",
                           ).splitlines():  # fmt: skip
        if found := re.search(r"Server (\S+) is (UP|DOWN)", line):
            last[found[1]] = line.strip() if found[2] == "DOWN" else ""
    return next(filter(None, last.values()), "")


def caddy(text: str, path: str) -> dict[str, Any]:
    """Where a Caddyfile's reverse_proxy leads a path; Caddy passes upgrades on by itself."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split()
        if words[:1] == ["reverse_proxy"] and len(words) > 1:
            matcher = words[1] if words[1].startswith(("/", "*")) else ""
            targets = [re.sub(r"^\w+://", "", word) for word in words[2 if matcher or words[1].startswith("@") else 1 :]
                       if word != "{"]  # fmt: skip
            pattern = re.escape(matcher).replace(r"\*", ".*")
            if not matcher or re.fullmatch(pattern, path):
                return {"where": f"{CADDYFILE}:{number}", "rule": line.strip(), "upstream": targets, "upgrade": True}
    return {"where": CADDYFILE, "rule": "", "upstream": [], "upgrade": True} if text else {}


def stopped() -> list[dict[str, Any]]:
    """The services of such programs that are on this host and do not run, with their last messages."""
    shown = raw.output("systemctl", "show", *(f"{each}.service" for each in UNITS), "--property=Id,LoadState,"
                       "ActiveState,SubState,Result,UnitFileState")  # fmt: skip
    found = []
    for part in shown.split("\n\n"):
        values = dict(line.split("=", 1) for line in part.splitlines() if "=" in line)
        state = values.get("ActiveState", "")
        if values.get("LoadState") != "loaded" or state in ("active", "activating", "reloading"):
            continue
        if state == "failed" or values.get("UnitFileState") == "enabled":
            name = values.get("Id", "")
            log = raw.output("journalctl", "--no-pager", "--quiet", "--output=cat", f"--unit={name}", "--lines=20")
            found.append({"unit": name, "state": state, "result": values.get("Result", ""), "log": log.splitlines()})
    return found
