"""What an edge of a fleet knows: whether HAProxy runs and listens, how it sees the app hosts, and how they answer it.

Changes nothing, and judges nothing: the diagnosis does.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..host import haproxy, proc, raw, units

CONFIG = "/etc/haproxy/haproxy.cfg"
#: A header of the PROXY protocol, version 2, with the command LOCAL: as HAProxy's own health checks send it.
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
PATIENCE = 5.0  # seconds for each step


def look(app: str) -> dict[str, Any]:
    """Everything that an edge knows; see docs/doctor.md on `host.haproxy`."""
    config = raw.read(CONFIG)
    with ThreadPoolExecutor(2) as pool:
        refused = pool.submit(refusal)
        listening = {address.rpartition(":")[2] for address in proc.listening().values() if address.startswith("tcp:")}
        servers, silence = asked()
        wanted = sorted({int(port) for port in re.findall(r"^\s*bind \S+:(\d+)", config, re.MULTILINE)})
        found = {
            "running": runs(), "refusal": refused.result(), "silence": silence,
            "ports": [{"port": port, "listening": str(port) in listening} for port in wanted],
            "servers": [{**one, **answers(str(one["address"]), *check_of(config))} for one in servers],
        }  # fmt: skip
    shown = raw.output("ip", "-oneline", "address").splitlines()
    return {
        "haproxy": found, "addresses": [line.split()[3].split("/")[0] for line in shown if len(line.split()) > 3],
        "user": "root" if os.geteuid() == 0 else str(os.geteuid()), "manager": units.manager(), "exchanges": [],
        "bundle": {"app": app} if f"edge of {app}:" in config else {},
    }  # fmt: skip


def runs() -> bool:
    """Whether a HAProxy runs that is more than a check of its configuration."""
    return any("-c" not in proc.argv(pid) for pid in proc.called("haproxy"))


def refusal() -> str:
    """Why HAProxy refuses its configuration; empty if it does not."""
    if not os.path.exists(CONFIG):
        return f"{CONFIG} is not there"
    shown = raw.output("sh", "-c", f"haproxy -c -f {CONFIG} || echo REFUSED", errors=True)
    if "REFUSED" not in shown:
        return ""
    lines = [re.sub(r"^\[ALERT\]\s*\(\d+\) : ", "", line) for line in shown.splitlines() if "[ALERT]" in line]
    return "; ".join(lines)[:400] or shown[:400]


def asked() -> tuple[list[dict[str, str | int]], str]:
    """The app hosts as HAProxy sees them, or why it does not say."""
    try:
        return haproxy.servers("app"), ""
    except haproxy.HaproxyError as error:
        return [], str(error)


def check_of(config: str) -> tuple[str, str, bool]:
    """The path and the Host of HAProxy's health checks, and whether they use TLS."""
    found = re.search(r"http-check send meth GET uri (\S+) ver HTTP/1.1 hdr Host (\S+)", config)
    tls = bool(re.search(r"^\s*default-server .*\bssl\b", config, re.MULTILINE))
    return (found[1], found[2], tls) if found else ("/", "localhost", tls)


def answers(place: str, path: str, host: str, tls: bool = False) -> dict[str, Any]:
    """How an app host answers this edge.

    `source` is from where the edge comes; `stage` and `reason` say why it cannot connect, if it cannot. `status` is the
    answer to a health check as HAProxy makes it, and `plain` to one without the PROXY protocol; 0 is none.
    """
    address, _, port = place.rpartition(":")
    found: dict[str, Any] = {"source": "", "stage": "", "reason": "", "status": 0, "plain": 0}
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    for name, header in (("status", LOCAL), ("plain", b"")):
        try:
            way = socket.create_connection((address.strip("[]"), int(port)), PATIENCE)
        except (OSError, ValueError) as error:
            found |= {"stage": "tcp", "reason": getattr(error, "strerror", None) or str(error)}
            break
        with way:
            found["source"] = way.getsockname()[0]
            found[name] = status_of(way, header, request, host if tls else "")
    return found


def status_of(way: socket.socket, header: bytes, request: bytes, tls: str) -> int:
    """The status of an HTTP answer; 0 if there is none. With TLS, for a name; the certificate is HAProxy's to judge."""
    answer = b""
    try:
        way.settimeout(PATIENCE)
        way.sendall(header)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            way = context.wrap_socket(way, server_hostname=tls)
        way.sendall(request)
        while b"\r\n" not in answer and (part := way.recv(4096)):
            answer += part
    except OSError:
        return 0
    finally:
        way.close()
    found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    return int(found[1]) if found else 0
