"""What is between the controller and the host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..answers import ITS_OWN, PLAIN, REDIRECTS, REFUSED, opened, proxy_code, told
from ..case import Case, Finding, proxy_is_down


def edge(case: Case) -> Iterator[Finding]:
    """What is between the controller and the host: blamed only if the host itself does better."""
    came = case.outside
    if case.is_edge:
        return  # it has rules of its own
    origin = case.evidence.get("origin") or ""
    if origin.startswith("https:") and not case.tls and case.name not in ("localhost", "127.0.0.1", "::1"):
        yield case.find("E028_MIXED_CONTENT", f"the page is {origin}, the socket ws://{case.name}")
    if not came or came["stage"] in ("name", "tcp", "tls") or opened(came) or proxy_is_down(case):
        return
    status = came["status"]
    if status == 400 and re.search(r"HTTP request (was sent|to) ?(to )?(an )?HTTPS", came["body"]):
        yield case.find("E027_PORT_SPEAKS_TLS", told(came))
    elif status in REDIRECTS and case.replayed:
        return  # the server sends it elsewhere, because of what nginx makes of the request
    elif status in REDIRECTS:
        yield redirect(case, came)
    elif (inner := case.proxy or case.direct) is None:
        yield from _edge_alone(case, came)
    elif _bare_fails(case):
        return  # the port's flags are at fault, and the rule for them says so
    elif opened(inner) and status:
        code = proxy_code(status, came["body"])
        yield case.find(code if code != "E310_PROXY_REFUSES" or status in REFUSED else "E312_EDGE",
                        [told(came), told(inner)], hop="edge", status=status, origin=came["origin"])  # fmt: skip
    elif opened(inner):
        yield case.find("E312_EDGE", [told(came), told(inner)], status=came["reason"])


def _bare_fails(case: Case) -> bool:
    """Whether nginx's own port closes on clients that do not speak the PROXY protocol."""
    bare = case.one("proxy", "bare")
    return bool(bare and not bare["status"] and case.outside and not case.outside["status"])


def redirect(case: Case, came: dict[str, Any]) -> Finding:
    """A proxy sends the handshake elsewhere, which no browser follows."""
    location = came["headers"].get("location", "").partition("?")[0]
    to_https = location.startswith("https:") and not case.tls
    socket = re.sub(r"^http", "ws", location) if location.startswith("http") else location or "the right address"
    return case.find("E305_REDIRECT_HTTPS" if to_https else "E306_REDIRECT_PATH", told(came),
                     status=came["status"], location=location or "nowhere", location_ws=socket)  # fmt: skip


def _edge_alone(case: Case, came: dict[str, Any]) -> Iterator[Finding]:
    """What can be told from outside alone."""
    status, server = came["status"], came["headers"].get("server", "").lower()
    seen = [told(came)]
    if came["stage"]:
        yield case.find("E111_SERVER_SILENT", seen, hop="edge")
    elif status in PLAIN and "wsgiserver" in server:
        yield case.find("E101_RUNSERVER", seen)
    elif status in PLAIN and "gunicorn" in server:
        yield case.find("E102_WSGI", seen, server="gunicorn")
    elif proxy_code(status, came["body"]) in ITS_OWN:
        yield case.find(proxy_code(status, came["body"]), seen, hop="edge", status=status, origin=came["origin"])
    elif status in (502, 504):
        yield case.find("E104_NOT_RUNNING" if status == 502 else "E111_SERVER_SILENT", seen,
                        start="systemctl status of the server's unit, and its log")  # fmt: skip
    elif status in (426, 404, 200, 405) or (status == 400 and "daphne" not in server):
        yield case.find("E301_UPGRADE_LOST", [*seen, "a handshake that lost its headers is answered like this"],
                        hop="edge")  # fmt: skip
    elif status >= 500 or (came["close"] or {}).get("code") == 1011:
        yield case.find("E408_CONSUMER_RAISES", seen, status=status, error="its error is in the server's log")
