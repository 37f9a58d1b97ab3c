"""Why a program in front that is not nginx answers in place of the server, or asks it for something else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..answers import REDIRECTS, REFUSED, opened, told
from ..case import Case, Finding

#: Where a handshake breaks before it comes to the program in front.
WAYS = ("name", "tcp", "tls")
NO_ROUTE = re.compile(r"No route found for path '([^']*)'")
#: What changes a path in a program's own configuration.
CHANGERS = {"Caddy": "handle in place of handle_path, and no uri strip_prefix", "Traefik": "no StripPrefix middleware",
            "HAProxy": "no http-request set-path or replace-path", "Apache": "the same path on both sides of ProxyPass",
            "Envoy": "no prefix_rewrite"}  # fmt: skip


def front_answers(case: Case) -> Iterator[Finding]:
    """A front that loses a handshake which opens behind it: what its configuration and the logs say about that."""
    front, came = case.front, case.outside if case.front.get("chained") else case.proxy or case.outside
    if not front or not came or came["stage"] in WAYS or opened(came) or front["kind"] == "server":
        return
    inner = case.proxy if front.get("chained") else case.direct
    if not opened(inner):
        return
    kind, where = front["kind"] or front["name"], front.get("where") or "its configuration"
    seen = [told(came), told(inner), front.get("rule", "")]
    if came["status"] in REFUSED and front.get("guards"):
        guards = ", ".join(front["guards"])
        yield case.find("E310_PROXY_REFUSES", [*seen, *front["guards"]], status=came["status"], guards=guards,
                        where=where, open="Require all granted" if kind == "Apache" else "a rule that allows it first",
                        )  # fmt: skip
    elif needless_protocol(case):
        line = case.route["where"]
        yield case.find("E377_SEND_PROXY", seen, front=kind, where=where, line=line, upstream=front["upstream"][0])
    elif came["status"] == 503 and front.get("down"):
        yield case.find("E378_HEALTH_CHECK", [*seen, front["down"]], front=kind, where=where, error=front["down"])
    elif came["status"] == 500 and (path := other_path(case)):
        how = CHANGERS.get(kind, "no rule that changes it")
        yield case.find("E379_FRONT_PATH", [*seen, f"the application was asked for {path}"], front=kind, where=where,
                        asked=path, how=how)  # fmt: skip
    elif front.get("chained") and came["status"] not in REDIRECTS:
        yield case.find("E368_FRONT", seen, front=kind, right=f"Look at {where}, and in the log of {kind}: it answers "
                        f"{came['status'] or 'nothing'}")  # fmt: skip


def needless_protocol(case: Case) -> bool:
    """Whether HAProxy sends the PROXY protocol to a port of nginx that does not expect it."""
    listen = case.route.get("listen")
    if not case.front.get("sends_proxy") or not isinstance(listen, dict) or listen.get("proxied"):
        return False
    ports = {each.rpartition(":")[2] for each in case.front.get("upstream") or []}
    return str(listen.get("port")) in ports


def other_path(case: Case) -> str:
    """The path for which the application was asked through the front, if that is another one than the client's."""
    for line in case.log:
        found = NO_ROUTE.search(line)
        if found and found[1].strip("/") != case.path.strip("/"):
            return f"/{found[1].lstrip('/')}"
    return ""
