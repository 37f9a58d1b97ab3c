"""The host's own nginx."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..answers import ITS_OWN, ORIGIN_MARK, PLAIN, REDIRECTS, opened, proxy_code, told
from ..case import Case, Finding
from .edge import redirect


def proxy(case: Case) -> Iterator[Finding]:
    """The host's own nginx."""
    nginx = case.host.get("nginx") or {}
    if nginx.get("error"):
        yield case.find("E309_PROXY_CONFIG", f"nginx -t: {nginx['error']}", error=nginx["error"])
    elif nginx.get("present") and not nginx.get("running") and (case.route.get("pass") or case.bundle):
        yield case.find("E308_PROXY_DOWN", "no process of nginx runs")
    if not case.route or opened(case.proxy):
        return
    broken = _headers_code(case.route)
    came, inner = case.proxy, case.direct
    if broken and case.route["pass"]:
        seen = [told(came), told(inner), _settings(case.route)]
        yield case.find(broken, seen)
    elif (
        came
        and came["status"]
        and (inner is None or opened(inner) or inner["status"] != came["status"] or ORIGIN_MARK in came["body"])
    ):
        yield from _proxy_answers(case, came, inner)


def _headers_code(route: dict[str, Any]) -> str:
    """What a location lacks to pass a handshake on."""
    headers = route["headers"]
    if "upgrade" not in headers:
        return "E301_UPGRADE_LOST"
    connection = headers.get("connection", "").lower()
    if not connection or ("upgrade" not in connection and "$" not in connection):
        return "E302_CONNECTION_LOST"
    return "E303_HTTP10" if route["http_version"] == "1.0" else ""


def _settings(route: dict[str, Any]) -> str:
    kept = {name: value for name, value in route["headers"].items() if name in ("upgrade", "connection")}
    return f"{route['where']}: proxy_http_version {route['http_version']}, headers of an upgrade: {kept or 'none'}"


def _proxy_answers(case: Case, came: dict[str, Any], inner: dict[str, Any] | None) -> Iterator[Finding]:
    """nginx answers differently from the server behind it."""
    status, seen = came["status"], [told(came), told(inner)]
    if status == 502:
        if inner is None:
            return  # the server is at fault, or nothing is known about it
        upstream = case.host.get("upstream") or []
        listening = ", ".join(each["address"] for each in case.servers if each["pid"])
        if any(each["listening"] for each in upstream) and not opened(inner):
            return  # it does no better if asked directly
        if any(each["listening"] for each in upstream):
            path = next((each["address"][5:] for each in upstream if each["address"].startswith("unix:")), "…")
            yield case.find("E113_SOCKET_PERMISSION", seen, socket=path)
        else:
            tried = ", ".join(each["address"] for each in upstream) or case.route["pass"]
            yield case.find("E307_UPSTREAM_ELSEWHERE", seen, upstream=tried, listening=listening)
    elif status in REDIRECTS:
        yield redirect(case, came)
    elif (code := proxy_code(status, came["body"])) in ITS_OWN:
        yield case.find(code, seen, hop="proxy", status=status, origin=came["origin"])
    elif not opened(inner):
        return
    elif not case.route["pass"] and status in PLAIN:
        yield case.find("E313_PATH_NOT_PROXIED", seen, status=status)
    else:
        yield case.find("E301_UPGRADE_LOST" if code == "E312_EDGE" else code, seen, hop="proxy", status=status)
