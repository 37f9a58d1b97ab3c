"""The program on the URL's port, if it is not nginx; who should be there if nobody is; and faults that come and go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ...host.servers import is_to_listen
from ..answers import REDIRECTS, REFUSED, opened, refusal, told
from ..case import Case, Finding
from .edge import GATEWAY

SERVICES = {"Apache": "apache2", "HAProxy": "haproxy", "Caddy": "caddy", "nginx": "nginx"}
#: A message of a service that says why it ended.
WHY = re.compile(r"error|alert|emerg|fatal|invalid|syntax|cannot|could not|failed to|unknown|no such", re.IGNORECASE)


def front(case: Case) -> Iterator[Finding]:
    """Who listens on the port, in that program's own language."""
    yield from _nobody(case)
    yield from _hidden(case)
    yield from _supervisord(case)
    if case.front and not case.front.get("chained") and not opened(case.proxy):
        yield from _through(case, case.front)
    yield from _wrong_server(case)
    yield from _timeouts(case)
    yield from _loop(case)
    yield from _sometimes(case)
    yield from _addresses(case)
    yield from _underscores(case)
    yield from _policy(case)


def _nobody(case: Case) -> Iterator[Finding]:
    """Nothing listens on the port, and a service that should does not run."""
    came, stopped = case.outside, case.host.get("stopped") or []
    refused = came is not None and came["stage"] == "tcp" and "refused" in came["reason"].lower()
    nginx = case.host.get("nginx") or {}
    if not refused or not stopped or (nginx.get("present") and not nginx.get("running") and case.route.get("pass")):
        return
    unit = next((each for each in stopped if each["state"] == "failed"), stopped[0])
    said = next((line for line in reversed(unit["log"]) if WHY.search(line)), "")
    state = f"has failed: {said.strip()[:200]}" if said else f"its state is {unit['state']}"
    name = unit["unit"].removesuffix(".service")
    check = {"apache2": "apache2ctl configtest && ", "haproxy": "haproxy -c -f /etc/haproxy/haproxy.cfg && ",
             "caddy": "caddy validate --config /etc/caddy/Caddyfile && "}.get(name, "")  # fmt: skip
    yield case.find("E369_FRONT_DOWN", [told(came), f"{unit['unit']}: {unit['state']}", said.strip()[:300]], unit=name,
                    state=state, start=f"{check}systemctl start {name}")  # fmt: skip


def _hidden(case: Case) -> Iterator[Finding]:
    """A unix socket that the proxy does not see where the server has made it."""
    for each in case.host.get("hidden") or []:
        if not opened(case.proxy):
            yield case.find("E375_SOCKET_HIDDEN", [told(case.proxy), f"{each['socket']} differs for the two"], **each)
            return


def _supervisord(case: Case) -> Iterator[Finding]:
    """The server is a program of supervisor, which does not run."""
    supervisor = case.host.get("supervisor") or {}
    wanted = [each for each in supervisor.get("programs") or [] if each["autostart"]]
    if not wanted or supervisor.get("running") or case.alive:
        return
    dead = [each["address"] for each in case.servers]
    meant = [
        one for one in wanted
        if any(is_to_listen(one["program"], f"{one['command']} {one['socket']}", place) for place in dead)
    ]  # fmt: skip
    if not meant and (dead or len(wanted) > 1 or any(each["state"] != "active" for each in case.units)):
        return  # none of them is known to be the one that is missing
    each = (meant or wanted)[0]
    lines = [line for line in supervisor.get("log") or [] if WHY.search(line) and "Started" not in line]
    said = next((line.strip() for line in reversed(lines) if "Error" in line or "error" in line), "")
    state = f"does not start: {said[:200]}" if supervisor["state"] == "failed" and said else "does not run"
    start = "systemctl enable --now supervisor" if supervisor.get("enabled") == "disabled" else (
        "systemctl start supervisor")  # fmt: skip
    if said and supervisor["state"] == "failed":
        start = f"Correct what supervisord complains of, then: {start}"
    yield case.find("E151_SUPERVISORD_DOWN", [f"supervisor.service: {supervisor['state'] or 'not found'}", said,
                                              f"{each['file']}: [{each['kind']}:{each['program']}]"],
                    program=each["program"], file=each["file"], state=state, start=start)  # fmt: skip


def _through(case: Case, front: dict[str, Any]) -> Iterator[Finding]:
    """The handshake does not come about through a program that is not nginx, but does directly."""
    kind, inner, came = front["kind"], case.direct, case.proxy or case.outside
    if kind == "server" or not came or came["stage"] in ("name", "tcp", "tls"):
        return
    if came["status"] in REFUSED and front.get("guards"):
        return  # it refuses on purpose
    seen = [told(came), told(inner), front.get("rule", "")]
    listening = next((each["address"] for each in case.servers if each["pid"]), "")
    place = listening.removeprefix("tcp:")
    if kind in ("Apache", "HAProxy", "Caddy") and front.get("where"):
        if not front.get("upstream"):
            right = own_language(kind, case.path, place or "127.0.0.1:PORT")
            if inner is None or opened(inner):
                yield case.find("E365_FRONT_NO_RULE", seen, front=kind, right=right, where=front["where"])
            return
        asked = {each["address"]: each["listening"] for each in case.host.get("upstream") or []}
        if asked and not any(asked.values()) and listening and opened(inner):
            yield case.find("E366_FRONT_ELSEWHERE", seen, front=kind, upstream=", ".join(front["upstream"]),
                            listening=place, where=front["where"], service=SERVICES[kind])  # fmt: skip
            return
        if asked and not any(asked.values()) and inner is None and (elsewhere := _meant(case, list(asked))):
            yield case.find("E366_FRONT_ELSEWHERE", seen, front=kind, upstream=", ".join(front["upstream"]),
                            listening=elsewhere, where=front["where"], service=SERVICES[kind])  # fmt: skip
            return
        if kind == "Apache":
            yield from _apache(case, front, seen)
            return
    # Behind nginx, it is nginx that may have lost the handshake.
    if opened(inner) and came["status"] not in REDIRECTS and not front.get("behind"):
        name = kind or front["name"]
        yield case.find("E368_FRONT", seen, front=name, right=_look_there(name, front, case, came, place))


def _meant(case: Case, dead: list[str]) -> str:
    """Where a front may be meant to lead, if nothing here is to listen where it leads: nginx, or a server."""
    supervised = (case.host.get("supervisor") or {}).get("programs") or []
    known = [(each["unit"], each["command"]) for each in case.units]
    known += [(each["program"], f"{each['command']} {each['socket']}") for each in supervised]
    if any(is_to_listen(name, command, place) for name, command in known for place in dead):
        return ""
    running = case.host.get("processes", [])
    places = [place for each in running if each["name"] == "nginx" or each["speaks"] for place in each["listens"]]
    first = sorted((each.removeprefix("tcp:") for each in places), key=lambda each: each.startswith(":"))
    return re.sub(r"^(0\.0\.0\.0|::):", "127.0.0.1:", first[0]) if first else ""


def _apache(case: Case, front: dict[str, Any], seen: list[str]) -> Iterator[Finding]:
    """Apache's rule for the path: whether it passes an upgrade on, and to which path."""
    inner, modules = case.direct, front["modules"]
    later = front.get("later") or {}
    if not opened(inner) and (case.proxy or {}).get("status") == (inner or {}).get("status"):
        return  # the server does no better if asked directly
    if not front["upgrade"]:
        if later and later["where"] != front["where"]:
            yield case.find("E362_APACHE_ORDER", [*seen, f"{later['where']}: {later['rule']}"], rule=front["rule"],
                            later=later["where"], where=front["where"])  # fmt: skip
            return
        right = apache_rule(case.path, front)
        needs = "proxy_http" if front["upgrades"] else "proxy_wstunnel"
        module = "" if needs in modules else f"a2enmod {needs} && "
        how = "in place of it or above it"
        if front["rule"].startswith("RewriteRule"):
            how = "as two lines above it and its RewriteCond lines"
        yield case.find("E361_APACHE_UPGRADE", seen, rule=front["rule"], right=right, module=module, how=how,
                        where=front["where"])  # fmt: skip
        return
    tunnel = front["scheme"] in ("ws", "wss")
    # From 2.4.47 on, mod_proxy_http takes ws:// as well; before, mod_proxy_wstunnel alone does.
    loaded = "proxy_wstunnel" in modules or (front["upgrades"] and "proxy_http" in modules and not tunnel)
    if not loaded:
        yield case.find("E363_APACHE_MODULE", seen, rule=front["rule"],
                        module="proxy_wstunnel" if tunnel else "proxy_http")  # fmt: skip
    elif front["asked"] != case.path and opened(inner):
        place = front.get("prefix") or case.path
        base = front["target"].partition("://")
        server = "".join([*base[:2], base[2].partition("/")[0]])
        right = apache_rule(case.path, {**front, "upgrades": not tunnel, "target": server + place})
        if front["rule"].startswith("RewriteRule"):
            right = f"RewriteRule ^/?(.*)$ {server}/$1 [P,L]"
        yield case.find("E370_APACHE_PATH", seen, rule=front["rule"], asked=front["asked"], right=right,
                        where=front["where"])  # fmt: skip
    elif opened(inner) and not front.get("behind"):
        yield case.find(
            "E368_FRONT", seen, front="Apache", right=f"Look at {front['where']}, and in Apache's error log"
        )


def apache_rule(path: str, front: dict[str, Any]) -> str:
    """The line that has Apache pass on what a rule passes, with the upgrade."""
    words, target = front["rule"].split(), front["target"]
    if words[0] == "RewriteRule" and len(words) > 2:
        tunnel = re.sub(r"\bhttp(s?)://", r"ws\1://", words[2])
        return f"RewriteCond %{{HTTP:Upgrade}} =websocket [NC] RewriteRule {words[1]} {tunnel} [P,L]"
    # A Location has the path already.
    place = "" if words[1:] and "://" in words[1] else f'"{front.get("prefix") or path}" '
    if front["upgrades"]:
        return f'ProxyPass {place}"{target}" upgrade=websocket'
    return f'ProxyPass {place}"{re.sub("(^|(?<=[|]))http", "ws", target)}"'


def own_language(kind: str, path: str, place: str) -> str:
    """The lines that pass a path to a server, as a program's configuration has them."""
    folder = path if path.endswith("/") else path.rpartition("/")[0] + "/"
    return {
        "Apache": f"ProxyPass \"{folder}\" \"http://{place}{folder}\" upgrade=websocket",
        "HAProxy": f"default_backend channels; and: backend channels, server app {place}, timeout tunnel 1h",
        "Caddy": f"reverse_proxy {folder}* {place}",
    }[kind]  # fmt: skip


def _look_there(name: str, front: dict[str, Any], case: Case, came: dict[str, Any], place: str) -> str:
    """Where to look in a program whose configuration is not understood."""
    path = case.path
    if name == "docker-proxy" and came["status"] in GATEWAY:
        return (f"A container has port {front['port']}: docker ps --filter publish={front['port']}; it gets no answer "
                f"from {place}, since 127.0.0.1 is its own there: it must lead to an address of this host ("
                "extra_hosts: host.docker.internal:host-gateway), and the server listen there, too")  # fmt: skip
    if name == "docker-proxy":
        return (f"A container has port {front['port']}: docker ps --filter publish={front['port']}; it must pass "
                f"Upgrade and Connection on to {place}")  # fmt: skip
    if name == "Traefik":
        return f"In Traefik: a router with PathPrefix(`{path}`) whose service has the URL http://{place}"
    if front.get("where"):
        return f"Look at {front['where']}: {path} has to lead to {place}, with Upgrade and Connection"
    return (
        f"In the configuration of {name} (process {front['pid']}): pass {path} to {place}, with Upgrade and Connection"
    )


def _wrong_server(case: Case) -> Iterator[Finding]:
    """The path leads to a server that cannot speak WebSocket, though one that can serves the same project."""
    asked = {each["address"] for each in case.host.get("upstream") or [] if each["listening"]}
    servers = [each for each in case.host.get("processes", []) if each["server"]]
    wrong = next((each for each in servers if set(each["listens"]) & asked and not each["speaks"]
                  and each["server"] != "runserver"), None)  # fmt: skip
    if not wrong or opened(case.direct) or not case.direct:
        return
    taken = set((case.host.get("nginx") or {}).get("others") or [])
    for each in servers:
        free = [one for one in each["listens"] if one.removeprefix("tcp:") not in taken]
        if each["speaks"] and each["folder"] == wrong["folder"] and free:
            where = case.front.get("where") or case.route.get("where") or "the proxy"
            yield case.find("E367_WRONG_SERVER", [told(case.direct), f"process {each['pid']}: {each['command']}"],
                            upstream=", ".join(sorted(one.removeprefix("tcp:") for one in asked)), where=where,
                            wrong=wrong["server"], right_server=each["server"],
                            listening=free[0].removeprefix("tcp:"))  # fmt: skip
            return


def _timeouts(case: Case) -> Iterator[Finding]:
    """HAProxy's timeouts for a tunnel, against the server's pings."""
    front = case.front
    if front.get("kind") != "HAProxy" or not front.get("idle"):
        return
    limit = front["idle"]
    ping = max([each["ping"] for each in case.processes if each["server"]] or [20])
    cut = next((each for each in (case.outside, case.proxy) if each and each["status"] == 101 and each["close"]), None)
    if (cut and abs(cut["close"]["at"] - limit) <= max(2.0, limit / 4)) or limit <= ping:
        if front["idle_name"] == "tunnel":
            line = f"{front['idle_where']} in place of the present timeout tunnel"
        else:
            line = f"{front['where']} (backend {front['backend']})"
        seen = [told(cut), f"{front['idle_where']}: timeout {front['idle_name']} {limit:g} s"]
        yield case.find("E364_TUNNEL_TIMEOUT" if cut else "W364_TUNNEL_TIMEOUT", seen, section=line,
                        which=front["idle_name"], limit=f"{limit:g} s",
                        frontend=f"Backend {front['backend']}")  # fmt: skip


def _loop(case: Case) -> Iterator[Finding]:
    """A redirect to the address that was asked for."""
    came = case.outside
    if not came or came["status"] not in REDIRECTS:
        return
    location = urlsplit(came["headers"].get("location", ""))
    same = location.scheme == ("https" if case.tls else "http") and location.hostname == case.name
    if same and (location.path or "/") == case.path and (location.port or case.port) == case.port:
        yield case.find("E371_REDIRECT_LOOP", told(came), status=came["status"],
                        location=came["headers"]["location"].partition("?")[0])  # fmt: skip


def _sometimes(case: Case) -> Iterator[Finding]:
    """Some of several handshakes in a row fail, because one of several servers is not the application, or why ever."""
    servers = {each["pid"]: each for each in case.host.get("processes", [])}
    places = {each["address"].removeprefix("tcp:").removeprefix("unix:"): servers.get(each["pid"], {})
              for each in case.servers}  # fmt: skip
    for each in case.directs:
        process = places.get(each["to"], {})
        if not opened(each) and any(opened(one) for one in case.directs) and process and not process["speaks"]:
            where = case.front.get("where") or case.route.get("where") or "the proxy"
            yield case.find("E376_ONE_OF_SEVERAL", [told(one) for one in case.directs], bad=each["to"], where=where,
                            all=", ".join(places), what=process["server"] or process["name"])  # fmt: skip
            return
    tried = [each for each in case.exchanges if each["kind"] == "again"]
    failed = [each for each in tried if not opened(each)]
    wrong = [each for each in case.directs if not opened(each)]
    if tried and failed and (len(failed) < len(tried) or opened(case.proxy)) and not wrong:
        dead = any(not each["pid"] for each in case.servers)
        if not dead and opened(case.direct):
            yield case.find("E372_SOMETIMES", [told(each) for each in failed[:3]], failed=len(failed),
                            count=len(tried) + 1)  # fmt: skip


def _addresses(case: Case) -> Iterator[Finding]:
    """The name has several addresses, and one of them does not do what the others do."""
    tried = [each for each in case.evidence.get("outside") or [] if each["kind"] == "address"]
    bad = [each for each in tried if not opened(each)]
    if bad and (len(bad) < len(tried) or opened(case.outside)):
        places = [each["to"].rpartition(":")[0] for each in tried]
        yield case.find("E373_ADDRESSES_DIFFER", [told(each) for each in bad], all=", ".join(places),
                        bad=bad[0]["to"].rpartition(":")[0],
                        why=bad[0]["reason"] or f"HTTP {bad[0]['status']}")  # fmt: skip


def _underscores(case: Case) -> Iterator[Finding]:
    """nginx drops headers with an underscore, and the application misses one."""
    names = [each for each in (case.evidence.get("asked") or {}).get("headers") or [] if "_" in each]
    if names and case.direct and refusal(case.direct) and any(each["server"] == "daphne" for each in case.processes):
        yield case.find("E374_UNDERSCORES", told(case.direct), names=", ".join(names), who="daphne",
                        right="Name the header with dashes in client and application: "
                        + ", ".join(each.replace("_", "-") for each in names))  # fmt: skip
        return
    if names and opened(case.direct) and case.proxy and case.proxy["status"] and not opened(case.proxy) and case.route:
        place = case.route.get("http") or "nginx's http block"
        right = f"In {place}: underscores_in_headers on; or name the header with dashes"
        seen = [told(case.proxy), told(case.direct)]
        yield case.find("E374_UNDERSCORES", seen, names=", ".join(names), who="nginx", right=right)


def _policy(case: Case) -> Iterator[Finding]:
    """The page's Content-Security-Policy does not let the socket be opened."""
    page = case.one("proxy", "page") or case.one("process", "page")
    if not page:
        return
    if page["status"] >= 500 and opened(case.direct) and not case.front.get("chained"):
        own = case.one("process", "page")
        if own and own["status"] == page["status"] and "http" in (case.project.get("types") or ["http"]):
            yield case.find("W447_PAGE_FAILS", told(page), status=page["status"])
    if page["status"] >= 400:
        return
    policy = page["headers"].get("content-security-policy", "")
    directives = {words[0].lower(): words[1:] for each in policy.split(";") if (words := each.split())}
    name = "connect-src" if "connect-src" in directives else "default-src"
    if name in directives and not allows_socket(directives[name], case):
        socket = f"{'wss' if case.tls else 'ws'}://{case.name}" + (
            "" if case.port in (80, 443) else f":{case.port}")  # fmt: skip
        own = case.one("process", "page")
        setter = "the application" if own and own["headers"].get("content-security-policy") == policy else "the proxy"
        yield case.find("E448_CSP", [told(page), f"Content-Security-Policy: {policy[:300]}"], page="/",
                        directive=" ".join([name, *directives[name]]), socket=socket, setter=setter)  # fmt: skip


def allows_socket(sources: list[str], case: Case) -> bool:
    """Whether a list of sources lets a page of the same site open its socket (CSP 3: 'self' includes ws and wss)."""
    scheme = "wss" if case.tls else "ws"
    for each in (source.lower() for source in sources):
        if each in ("*", "'self'", f"{scheme}:", "ws:"):
            return True
        given = urlsplit(each if "://" in each else f"//{each}")
        host = given.hostname or ""
        named = host == case.name or (host.startswith("*.") and case.name.endswith(host[1:]))
        matches = {"": True, "ws": True, "http": True, "wss": case.tls, "https": case.tls}.get(given.scheme, False)
        if named and matches and (given.netloc.endswith(":*") or (given.port or case.port) == case.port):
            return True
    return False
