"""The host's own nginx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..answers import ITS_OWN, ORIGIN_MARK, PLAIN, REDIRECTS, REFUSED, opened, proxy_code, told
from ..case import Case, Finding
from ..lines import lacking, missing
from .edge import redirect
from .effective import answering_rule, lost, shadowed, target

#: Errors of connect(2) that mean that nobody listens: ENOENT, EADDRNOTAVAIL (as ::1 without IPv6), ECONNREFUSED.
NOBODY = (2, 99, 111)
DENIED = 13


def proxy(case: Case) -> Iterator[Finding]:
    """The host's own nginx."""
    nginx = case.nginx
    if nginx.get("aside"):
        return  # another program listens on the port, and has rules of its own
    if nginx.get("error"):
        yield case.find("E309_PROXY_CONFIG", f"nginx -t: {nginx['error']}", error=nginx["error"])
    elif nginx.get("present") and not nginx.get("running") and (case.route.get("pass") or case.bundle):
        yield case.find("E308_PROXY_DOWN", "no process of nginx runs")
    if (parked := nginx.get("asleep")) and not opened(case.proxy) and not shadowed(case):
        yield case.find("E358_SITE_NOT_ENABLED", [told(case.proxy or case.outside), f"not read: {parked['file']}"],
                        **parked)  # fmt: skip
    if not case.route or opened(case.proxy):
        return
    came, inner = case.proxy, case.direct
    if _passes_http(case.route) and not nginx.get("replay") and not _answers_itself(came):
        yield from lost(case, came or {}, lacking(case.route))
    if (
        came
        and came["status"]
        and (inner is None or opened(inner) or inner["status"] != came["status"] or ORIGIN_MARK in came["body"])
    ):
        yield from _proxy_answers(case, came, inner)


def _passes_http(route: dict[str, Any]) -> bool:
    return bool(route["pass"]) and route.get("handler", "proxy_pass") == "proxy_pass" and not route.get("status")


def _answers_itself(came: dict[str, Any] | None) -> bool:
    """Whether an answer is certainly nginx's own, whatever it would have sent on."""
    return bool(came and (came["status"] in REDIRECTS or proxy_code(came["status"], came["body"]) in ITS_OWN))


def _proxy_answers(case: Case, came: dict[str, Any], inner: dict[str, Any] | None) -> Iterator[Finding]:
    """nginx answers differently from the server behind it."""
    status, seen = came["status"], [told(came), told(inner)]
    code = proxy_code(status, came["body"])
    if status == 502:
        yield from _unreached(case, seen)
    elif status in REDIRECTS:
        if not case.replayed:
            yield redirect(case, came)
    elif answering_rule(case):
        return  # it has a code of its own
    elif code in ITS_OWN:
        yield case.find(code, seen, hop="proxy", status=status, origin=came["origin"])
    elif not opened(inner):
        return
    elif not case.route["pass"] and status in PLAIN and not shadowed(case):
        yield _not_passed(case, seen, status)
    elif status in REFUSED and (guards := _guards(case)):
        named = ", ".join(guards)
        yield case.find(code, [*seen, *guards, *(each["line"] for each in case.said("denied", "login"))], hop="proxy",
                        status=status, guards=named, open=_open(named))  # fmt: skip


def _guards(case: Case) -> list[str]:
    """The lines that refuse a request, if nginx's log or its configuration says that they are there."""
    lines = [each for each in case.route.get("guards", []) if re.search(r": (deny|auth_\w+|limit_except) ", each)]
    return lines or [each["line"] for each in case.said("denied", "login")]


def _open(guards: str) -> str:
    """What takes a path out of what refuses requests."""
    lines = {"auth_basic": "auth_basic off;", "auth_request": "auth_request off;", "deny": "allow all;"}
    return " ".join(line for name, line in lines.items() if f" {name} " in f"{guards} ") or "auth_basic off; allow all;"


def _not_passed(case: Case, seen: list[str], status: int) -> Finding:
    """A location, or the server block itself, answers in place of a server behind nginx."""
    route = case.route
    lines = f"proxy_pass {target(case)}; {missing(route, lacking({**route, 'http_version': '1.0', 'sends': []}))}"
    words = " ".join(route["location"])
    taker = f"location {words} in {route['where']}" if words else f"the server block in {route['where']}"
    returns = route.get("handler") == "return"
    if route.get("handler") == "internal":
        mend = f"Remove {route['handler_line']}: internal; then nginx -t && systemctl reload nginx"
    elif returns and not words:  # of the server block: it comes before all locations
        mend = f"In {route['handler_line']}: move the return into location / {{ }}, and add location ^~ {case.path} "
        mend += f"{{ {lines} }}"
    elif words in (case.path, f"= {case.path}", f"^~ {case.path}"):
        mend = f"In {route['handler_line']}: in place of the return, {lines}" if returns else (
            f"In {route['where']}: {lines}")  # fmt: skip
    else:
        mend = f"In {route.get('server') or route['where']}: location ^~ {case.path} {{ {lines} }}"
    return case.find("E313_PATH_NOT_PROXIED", [*seen, taker], status=status, taker=taker, mend=mend)


def _unreached(case: Case, seen: list[str]) -> Iterator[Finding]:
    """nginx gets no connection: by the number of its error, in its log or in a try as its user."""
    upstream = case.host.get("upstream") or []
    errors = {each["errno"]: each for each in case.said("connect")}
    tried = [each for each in case.nginx.get("reach") or [] if each["errno"] > 0]
    errors |= {each["errno"]: each for each in tried}
    lines = [each["line"] for each in case.said("connect")]
    if barred := barred_ways(case):
        yield case.find("E360_CONNECT_BARRED", [*seen, *lines], upstream=barred[0])
    elif DENIED in errors:
        yield _denied(case, [*seen, *lines], errors[DENIED])
    elif upstream and not any(each["listening"] for each in upstream) and case.direct is not None:
        listening = ", ".join(each["address"].removeprefix("tcp:") for each in case.servers if each["pid"])
        addresses = ", ".join(each["address"].removeprefix("tcp:") for each in upstream)
        refused = any(number in errors for number in NOBODY) or not errors
        if refused and listening and opened(case.direct):
            yield case.find("E307_UPSTREAM_ELSEWHERE", [*seen, *lines], upstream=addresses, listening=listening)


def barred_ways(case: Case) -> list[str]:
    """The addresses with a port that nginx's log says it may not connect to: no file's mode is in such a way."""
    denied = [each["peer"] for each in case.said("connect") if each["errno"] == DENIED]
    return [each for each in denied if each and not each.startswith("unix:")]


def _denied(case: Case, seen: list[str], found: dict[str, Any]) -> Finding:
    """nginx's user may not connect to a unix socket: the folder or the file that is in its way."""
    address = found.get("address") or found.get("peer") or case.route["pass"]
    path, user = address.removeprefix("unix:").rstrip(":"), found.get("user") or "www-data"
    folders = [each for each in found.get("ways", []) if each["folder"]]
    files = [each for each in found.get("ways", []) if not each["folder"]]
    why = [f"the folder {each['path']} has the mode {each['mode']}" for each in folders]
    why += [f"{each['path']} has the mode {each['mode']}, and connecting is writing" for each in files]
    mend = [f"chmod o+x {each['path']}" for each in folders]
    mend += [f"chgrp {user} {path} && chmod 660 {path}"] if files or not folders else []
    last = f"; and for its next starts, Group={user} in its unit and daphne -e unix:{path}:mode=660"
    programs = (case.host.get("supervisor") or {}).get("programs") or []
    if made := next((each for each in programs if each["socket"].endswith(path)), None):
        last = (f"; and for its next starts, socket_owner={user}:{user} and socket_mode=0660 in "
                f"[{made['kind']}:{made['program']}] of {made['file']}")  # fmt: skip
    return case.find("E113_SOCKET_PERMISSION", seen, user=user, socket=path,
                     why="; ".join(why) or f"connect() to {path} fails with errno 13",
                     mend=" && ".join(mend) + (last if files or not folders else ""))  # fmt: skip
