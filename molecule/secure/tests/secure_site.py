"""A site with TLS as clients see it, and certificates as the controller creates them."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

from lab_host import GOOD, PATIENCE, ROOT, LabHost
from tls_relay import through_tls
from websockets.sync.client import ClientConnection, connect

sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.channels.stack.plugins.module_utils.certificates.pairs import (
    Authority,
    Pair,
    names_of,
    read_chain,
)

__all__ = ["Authority", "Pair", "names_of", "read_chain"]

AUTHORITY = ROOT / ".lab" / "authority" / "authority.crt"
NAMES = ["localhost", "site.test"]
PARTS = ("site.yml", "--tags", "certificate,nginx", "--limit")


def port_of(lab: LabHost) -> int:
    """The port on this machine that leads to the host's port 443."""
    return int(json.loads((ROOT / ".lab" / "ports" / f"{lab.name}.json").read_text())["443"])


def trusting(*authorities: Path) -> ssl.SSLContext:
    """A client that trusts the lab's authority, or others."""
    context = ssl.create_default_context()
    for path in authorities or (AUTHORITY,):
        context.load_verify_locations(path)
    return context


def greet(lab: LabHost, context: ssl.SSLContext, name: str | None = "localhost") -> ssl.SSLSocket:
    """Complete just the TLS handshake."""
    way = socket.create_connection(("127.0.0.1", port_of(lab)), timeout=60)
    with contextlib.ExitStack() as stack:
        stack.callback(way.close)
        made = context.wrap_socket(way, server_hostname=name)
        stack.pop_all()
    return made


def loose(**options: Any) -> ssl.SSLContext:
    """A client that accepts any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name, value in options.items():
        setattr(context, name, value)
    return context


def get(lab: LabHost, path: str, context: ssl.SSLContext | None = None) -> tuple[int, dict[str, str]]:
    """Request a path over TLS; return status and headers, their names in lower case."""
    way = http.client.HTTPSConnection("localhost", port_of(lab), timeout=60, context=context or trusting())
    try:
        way.request("GET", path, headers={"Host": "localhost"})
        answer = way.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        way.close()


def handshake(token: str, host: str = "localhost") -> bytes:
    """Return the request of a WebSocket handshake, for clients that write it themselves."""
    return (
        f"GET /ws/dashboard/?token={token} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Origin: https://{host}\r\n\r\n"
    ).encode()


def opened(
    lab: LabHost, token: str = GOOD, context: ssl.SSLContext | None = None, name: str = "localhost"
) -> ClientConnection:
    """Open a WebSocket over TLS."""
    given = lab.token() if token == GOOD else token
    way = through_tls("127.0.0.1", port_of(lab), context or trusting(), name)
    url = f"ws://{name}/ws/dashboard/?token={given}"
    return connect(url, sock=way, open_timeout=PATIENCE, ping_interval=None, proxy=None)


# Runs on the host; arguments are units' files. Each is judged as written, with its own drop-ins but without the ones
# that the host has for all services, because a container has some.
SCORES = """
import json, pathlib, re, shutil, subprocess, sys, tempfile
scores = {}
for path in map(pathlib.Path, sys.argv[1:]):
    with tempfile.TemporaryDirectory() as root:
        units = pathlib.Path(root, "etc/systemd/system")
        units.mkdir(parents=True)
        shutil.copy(path, units)
        if path.with_name(path.name + ".d").is_dir():
            shutil.copytree(path.with_name(path.name + ".d"), units / (path.name + ".d"))
        shown = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--root={root}", path.name],
            capture_output=True, text=True,
        )
    scores[path.name] = float(re.search(r"Overall exposure level for .*: ([0-9.]+)", shown.stdout + shown.stderr)[1])
print(json.dumps(scores))
"""


def scores(lab: LabHost) -> dict[str, float]:
    """systemd's score for each of our units: they are files in /etc, while links there lead to the units of others."""
    files = lab.run("find /etc/systemd/system -maxdepth 1 -type f -name '*.service'").split()
    return json.loads(lab.python(SCORES, *sorted(files)))
