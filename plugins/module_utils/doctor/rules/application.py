"""What the application itself knows: types of connections, Origins, the order of middleware, its consumer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from ..answers import opened, refusal, told
from ..case import Case, Finding

ORDER = re.compile(
    r"(\w*Middleware\w*) cannot find (\w+) in scope|was passed a scope that did not have a (\w+) key|"
    r"No \"(\w+)\" found in scope|KeyError: '(session|user|cookies)'"
)
TABLES = re.compile(r"no such table: \S+|relation \"[\w.]+\" does not exist|Table '[\w.]+' doesn't exist")


def application(case: Case) -> Iterator[Finding]:
    """What the project says about its ASGI object."""
    types = case.project.get("types")
    if types is not None:
        yield from _types(case, types)
    if case.direct and not opened(case.direct):
        yield from _consumer(case)
        yield from _origin(case)
        yield from _login(case)
        yield from _thread(case)
    yield from _subprotocol(case)


def _types(case: Case, types: list[str]) -> Iterator[Finding]:
    """The served object lacks a type of connections, and an answer shows it."""
    served = f"{case.application} knows: {', '.join(types) or 'nothing'}"
    came = case.direct
    # From plain Django, daphne makes a 500; a uvicorn answers the same, and both could be the consumer's as well.
    if "websocket" not in types and came and not opened(came):
        others = case.project.get("others") or []
        other = f"{others[0]} knows WebSockets as well, and is not what is served." if others else ""
        serve = f"daphne {others[0]} in place of daphne {case.application}" if others else (
            f"In {case.application.partition(':')[0]}: application = ProtocolTypeRouter({{\"http\": "
            "get_asgi_application(), \"websocket\": AllowedHostsOriginValidator(URLRouter(websocket_urlpatterns))})"
        )  # fmt: skip
        if others:
            serve += f" (asgi_application: {others[0]})"
            serve = serve.replace("daphne ", f"{case.processes[0]['server']} " if case.processes else "daphne ")
        yield case.find("E251_NO_WEBSOCKET", [told(came), served], types=", ".join(types) or "nothing", other=other,
                        serve=serve)  # fmt: skip
    plain = case.one("process", "page") or case.one("process", "http")
    front = case.one("proxy", "page")
    # Where another server answers pages, this one need not.
    fails = plain and plain["status"] == 500 and (front is None or front["status"] == 500)
    if "http" not in types and fails and not case.host.get("wsgi"):
        yield case.find("E252_NO_HTTP", [told(plain), told(front), served], types=", ".join(types) or "nothing")


def _consumer(case: Case) -> Iterator[Finding]:
    """The way to the consumer raises."""
    came = case.direct
    consumer = case.project.get("consumer") or {}
    if consumer.get("bare"):
        yield case.find("E443_AS_ASGI", told(came), consumer=consumer["name"])
    text = [*case.log, *((came or {}).get("body") or "").splitlines()]
    for line in reversed(text):
        if TABLES.search(line) and re.match(r"\s*[\w.]*(Error|Exception)\b", line):
            yield case.find("E445_MIGRATIONS", [told(came), line.strip()], error=line.strip()[:200])
            return
        if ORDER.search(line) and re.match(r"\s*[\w.]*(Error|Exception)\b", line):
            if "KeyError" in line and "AuthMiddleware" in (case.project.get("chain") or ["AuthMiddleware"]):
                continue
            chain = " → ".join(case.project.get("chain") or []) or "the present order"
            yield case.find("E442_MIDDLEWARE_ORDER", [told(came), line.strip(), chain], error=line.strip()[:200],
                            chain=chain)  # fmt: skip
            return


def _origin(case: Case) -> Iterator[Finding]:
    """The Origin is refused by a list of the project's own, and not by ALLOWED_HOSTS."""
    came, origins = case.direct, case.project.get("origins")
    if not came or origins is None or case.project.get("origin_allowed") is not False or not refusal(came):
        return
    hosts = case.project.get("allowed_hosts") or []
    if sorted(origins) == sorted(hosts) or (case.project.get("debug") and not hosts):
        return
    origin = came["origin"] or case.evidence.get("origin") or "missing"
    parts = urlsplit(origin)
    entry = f"{parts.scheme}://{parts.netloc}" if parts.netloc else origin
    yield case.find("E441_ORIGIN_LIST", [told(came), f"the list: {', '.join(origins) or 'empty'}"], origin=entry,
                    origins=", ".join(origins[:6]) or "nothing")  # fmt: skip


def _login(case: Case) -> Iterator[Finding]:
    """Who is not logged in is refused, where users come from the session's cookie."""
    asked, token = case.evidence.get("asked") or {}, case.evidence.get("token") or {}
    cookie = any(each.lower() in ("cookie", "authorization") for each in asked.get("headers") or [])
    by_session = "AuthMiddleware" in (case.project.get("chain") or [])
    status = refusal(case.direct)
    if status and by_session and not cookie and not token.get("present") and case.project.get("origin_allowed", True):
        yield case.find("E449_NOT_LOGGED_IN", [told(case.direct), " → ".join(case.project["chain"])], status=status)


def _thread(case: Case) -> Iterator[Finding]:
    """A synchronous consumer does not get to answer, while pages do."""
    consumer, plain = case.project.get("consumer") or {}, case.one("process", "http")
    if consumer.get("sync") and case.direct and case.direct["stage"] == "handshake" and plain and plain["status"]:
        yield case.find("E450_THREAD_BUSY", [told(case.direct), told(plain)], consumer=consumer["name"])


def _subprotocol(case: Case) -> Iterator[Finding]:
    """The handshake offers subprotocols, and the answer names none."""
    offered = (case.evidence.get("asked") or {}).get("subprotocols") or []
    came = case.direct or case.outside
    if offered and came and opened(came) and "sec-websocket-protocol" not in came["headers"]:
        # A token among them is a secret: only how many there are is told, and the first word.
        yield case.find("E444_SUBPROTOCOL", told(came), offered=", ".join(offered))
