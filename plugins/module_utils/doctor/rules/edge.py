"""What is between the controller and the host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..answers import ITS_OWN, PLAIN, REDIRECTS, opened, proxy_code, told
from ..case import Case, Finding, proxy_is_down
from ..lines import ALL

#: What Cloudflare's own answers mean (its documentation, "5xx errors"); other servers do not use them.
CDN = {520: "the CDN does not understand the host's answer", 521: "the host refuses the CDN's connections",
       522: "the CDN gets no connection to the host", 523: "the CDN has no way to the host",
       524: "the CDN has waited too long for the host's answer", 525: "TLS between the CDN and the host fails",
       526: "the CDN does not trust the host's certificate"}  # fmt: skip
#: A gateway that has not reached what is behind it.
GATEWAY = (502, 503, 504)


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
        guards = {"guards": "the rule of that proxy, firewall or login that refuses it", "where": "its configuration",
                  "open": "let it pass"}  # fmt: skip
        yield case.find(code, [told(came), told(inner)], hop="edge", status=status, origin=came["origin"],
                        **(guards if code == "E310_PROXY_REFUSES" else between(case, status)))  # fmt: skip
    elif opened(inner):
        yield case.find("E312_EDGE", [told(came), told(inner)], status=came["reason"], **between(case, 0))


def between(case: Case, status: int) -> dict[str, str]:
    """What a proxy in front, which nobody has looked at, does by its answer, and what to do about that."""
    if status in CDN or status in GATEWAY:
        why = CDN.get(
            status, "what is in between gets no answer from this host, or from another one that it takes for it"
        )
        return {"between": f"{why}.", "cure": f"See to which address and port {case.name} leads there, and let that "
                           f"reach this host: dig +short {case.name}; nft list ruleset"}  # fmt: skip
    return {"between": "it works on the host itself, so a load balancer, CDN or proxy in between drops the upgrade.",
            "cure": f"In that proxy, for the WebSocket path: {ALL}"}  # fmt: skip


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
    elif status in CDN:
        yield case.find("E312_EDGE", seen, status=status, **between(case, status))
    elif status in (502, 504):
        yield case.find("E104_NOT_RUNNING" if status == 502 else "E111_SERVER_SILENT", seen,
                        start="systemctl status of the server's unit, and its log")  # fmt: skip
    elif status in (426, 404, 200, 405) or (status == 400 and "daphne" not in server):
        yield case.find("E301_UPGRADE_LOST", [*seen, "a handshake that lost its headers is answered like this"],
                        hop="edge")  # fmt: skip
    elif status >= 500 or (came["close"] or {}).get("code") == 1011:
        yield case.find("E408_CONSUMER_RAISES", seen, status=status, error="its error is in the server's log")
