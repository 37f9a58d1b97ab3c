"""From evidence to a verdict: pure functions, so that a recorded case can be judged without host and network.

Evidence is a dict; docs/doctor.md describes it. Each rule looks at one hop and blames it only for what it does itself:
a proxy is at fault for an answer that the server behind it does not give.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from ..certificates.state import TIMER, ends_soon, faults, renewed_by
from ..host.servers import is_to_listen
from ..host.steady import of_kind
from ..websocket.errors import HandshakeFailed, HandshakeRefused
from ..websocket.explain import explain
from ..websocket.symptoms import of_log, telling_line
from .catalogue import BESIDE, CATALOGUE, HOPS, MENDS, Mend
from .https import judge

Finding = dict[str, Any]

#: Log lines and errors by which a cause is known; the first that matches is the answer.
SIGNATURES: tuple[tuple[str, str], ...] = (
    (r"No route found for path", "E404_NO_ROUTE"),
    (r"AppRegistryNotReady|Apps aren't loaded yet", "E203_APPS_NOT_READY"),
    (r"No module named '?(daphne|uvicorn|gunicorn)\b|(daphne|uvicorn): (command )?not found", "E103_SERVER_MISSING"),
    (r"Cannot acquire lock", "E108_STALE_LOCK"),
    (r"Address already in use|Errno 98", "E109_TWO_SERVERS"),
    (r"Too many open files|Errno 24", "E110_OPEN_FILES"),
    (r"not enough values to unpack|must be in format \"?<module>:<attribute>", "E205_ASGI_PATH"),
    (r"[Mm]odule '[\w.]+' has no attribute|Attribute \"\w+\" not found in module", "E202_ASGI_ATTRIBUTE"),
    (r"max number of clients reached", "E507_REDIS_CLIENTS"),
    (r"DB index is out of range|invalid DB index", "E504_REDIS_DATABASE"),
    (r"unknown command.{0,12}(BZPOPMIN|HELLO)", "E505_REDIS_OLD"),
    (r"WRONGPASS|NOAUTH|AuthenticationError|invalid username-password|Client sent AUTH", "E502_REDIS_PASSWORD"),
    # The bundle's own user of Redis may not change the database, so a wrong one is refused before it is looked for.
    (r"no permissions to run the 'select'", "E504_REDIS_DATABASE"),
    (r"NOPERM|NoPermissionError|has no permissions", "E503_REDIS_ACL"),
    (r"connecting to \S+ .{0,80}(CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER)", "E514_REDIS_TLS"),
    (r"Error \S+ connecting to|Connect call failed|redis\S*\.ConnectionError|ConnectionError: (Error|Connection)",
     "E501_REDIS_DOWN"),
    (r"ModuleNotFoundError: No module named|Could not import module|Cannot find '[\w.:]+' in", "E201_ASGI_MODULE"),
    (r"MemoryError|oom-kill|Out of memory", "E106_OUT_OF_MEMORY"),
)  # fmt: skip
REFUSED = (401, 403)
REDIRECTS = (301, 302, 303, 307, 308)
TOO_LONG = (413, 414, 431, 494)
AUTH_CLOSES = {1008, 3000, 3003}
#: What a server answers to a handshake that it took for plain HTTP.
PLAIN = (200, 400, 404, 405, 426)
#: What a proxy says of itself, whatever the server behind it would have answered.
ITS_OWN = ("E304_HEADER_BUFFERS", "E311_LIMIT", "E315_NGINX_ORIGINS")
#: What a refusal by nginx_origins says, as templates/nginx/site.conf.j2 has it.
ORIGIN_MARK = "(nginx_origins)"
CLOCK_SKEW = 30  # seconds that clocks may differ


def signature(text: str) -> str:
    """The code that a text is a sign of, or nothing."""
    return next((code for pattern, code in SIGNATURES if re.search(pattern, text)), "")


def claims_of(token: str) -> dict[str, float]:
    """The times in a JSON Web Token (`exp`, `nbf`, `iat`), unverified; empty for any other token."""
    try:
        payload = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return {name: float(found[name]) for name in ("exp", "nbf", "iat") if name in found}
    except (IndexError, ValueError, TypeError, KeyError, binascii.Error):
        return {}


class Values(dict[str, Any]):
    """What fills a text's `{names}`; one that is not known becomes three dots."""

    def __missing__(self, key: str) -> str:
        return "…"


class Case:
    """One host's evidence, with names for what rules ask."""

    def __init__(self, evidence: dict[str, Any]) -> None:
        self.evidence = evidence
        self.host: dict[str, Any] = evidence.get("host") or {}
        self.url: str = evidence["url"]
        parts = urlsplit(self.url)
        self.name = parts.hostname or ""
        self.tls = parts.scheme == "wss"
        self.port = parts.port or (443 if self.tls else 80)
        self.path = parts.path or "/"
        self.project: dict[str, Any] = self.host.get("project") or {}
        self.route: dict[str, Any] = (self.host.get("nginx") or {}).get("route") or {}
        self.units: list[dict[str, Any]] = self.host.get("units") or []
        self.programs: list[dict[str, Any]] = self.host.get("programs") or []
        self.exchanges: list[dict[str, Any]] = [*self.host.get("exchanges", []), *evidence.get("outside", [])]
        self.outside = self.one("outside")
        self.proxy = self.one("proxy")
        good = [each for each in self.exchanges if each["via"] == "process" and each["kind"] == "good"]
        self.directs = good
        self.direct = next((each for each in good if not opened(each)), good[0] if good else None)
        self.servers: list[dict[str, Any]] = self.host.get("servers") or []
        self.alive = {each["pid"] for each in self.servers if each["pid"]}
        self.processes = [each for each in self.host.get("processes", []) if each["pid"] in self.alive]
        self.bundle: dict[str, Any] = self.host.get("bundle") or {}
        self.certificate: dict[str, Any] = self.host.get("certificate") or {}

    def one(self, via: str, kind: str = "good") -> dict[str, Any] | None:
        """The exchange of a kind with a hop, if there was one."""
        return next((each for each in self.exchanges if (each["via"], each["kind"]) == (via, kind)), None)

    @property
    def application(self) -> str:
        """The ASGI path, as far as it is known."""
        process = self.processes[0]["application"] if self.processes else ""
        return self.bundle.get("application") or self.project.get("application") or process or "core.asgi:application"

    @property
    def log_command(self) -> str:
        """The command that shows the servers' log."""
        if self.bundle.get("manager") == "supervisor":
            return f"{self.bundle['app']}-generations logs {self.bundle['generation']}"
        if self.bundle.get("unit"):
            return f"journalctl -u '{self.bundle['unit']}@*' -n 50"
        names = [each["unit"] for each in self.units]
        if names:
            return f"journalctl -u {names[0]} -n 50"
        if self.programs:
            return f"supervisorctl tail {self.programs[0]['program']} stderr"
        return "the server's log"

    @property
    def log(self) -> list[str]:
        """What was logged during the examination."""
        return self.host.get("log") or []

    def find(self, code: str, seen: Any = (), hop: str = "", **values: Any) -> Finding:
        """Make a finding of a code, its texts filled."""
        entry = CATALOGUE[code]
        application = self.application
        known = Values(
            host=self.name, port=self.port, path=self.path, application=application,
            module=application.partition(":")[0], log=self.log_command, name=self.evidence.get("name", ""),
            where=self.route.get("where") or "the location of " + self.path,
            restart=" ".join(["systemctl restart", *(each["unit"] for each in self.units)] if self.units
                             else ["restart the processes"]),
            server=self.bundle.get("server") or "daphne",
            venv=f"{self.bundle['home']}/venv" if self.bundle.get("home") else "VENV",
        )  # fmt: skip
        known.update(values)
        fix = entry.fix.format_map(known)
        if self.host.get("manager", "systemd") != "systemd":
            fix = re.sub(r"systemctl (start|stop|restart|reload) ([\w-]+)", r"service \2 \1", fix)
        mend = MENDS.get(code) if self.bundle or code == "E117_NOT_DEPLOYED" else None
        if mend and mend.server not in ("", self.bundle.get("server") or "daphne"):
            mend = None
        return {
            "code": code, "hop": hop or entry.hop, "severity": entry.severity, "title": entry.title,
            "cause": entry.cause.format_map(known), "fix": fix,
            "settings": {**settings_of(mend, known), **known.get("settings", {})} if mend else {},
            "commands": [mend.command] if mend else [],
            "seen": [line for line in ([seen] if isinstance(seen, str) else seen) if line],
        }  # fmt: skip


def settings_of(mend: Mend, known: Values) -> dict[str, Any]:
    """The variables that mend a host, with their values filled; whole numbers as such."""
    filled = {name: value.format_map(known) for name, value in mend.settings.items()}
    return {name: int(value) if re.fullmatch(r"-?\d+", value) else value for name, value in filled.items()}


def opened(exchange: dict[str, Any] | None) -> bool:
    """Whether a handshake opened a socket, and not only to close it at once."""
    return bool(exchange and exchange["status"] == 101 and (not exchange["close"] or cut_late(exchange)))


def cut_late(exchange: dict[str, Any]) -> bool:
    """Whether a socket was closed, and so late that it is nothing of the handshake's.

    daphne looks once a second for a consumer that failed in connect(), and closes with 1011 then.
    """
    close = exchange["close"]
    return bool(close and close["at"] > (2.5 if close["code"] == 1011 else 1.5))


def told(exchange: dict[str, Any] | None) -> str:
    """An exchange in a line: where to, and what came."""
    if not exchange:
        return ""
    name = {"outside": "from outside", "proxy": "through nginx on the host", "process": "to the process"}
    what = f"{name[exchange['via']]} ({exchange['to']})"
    if exchange["stage"]:
        return f"{what}: {exchange['stage']}: {exchange['reason']}"
    answer = f"{what}: HTTP {exchange['status']}"
    kept = [f"{key}: {exchange['headers'][key]}" for key in ("server", "location") if key in exchange["headers"]]
    answer += f" ({', '.join(kept)})" if kept else ""
    if exchange["close"]:
        answer += f", closed with {exchange['close']['code']} after {exchange['close']['at']} s"
    return answer


# --- name, TCP, TLS -------------------------------------------------------------------------------------------------


def reach(case: Case) -> Iterator[Finding]:
    """The way from the controller to the first proxy."""
    came = case.outside
    if not came:
        return
    if came["stage"] == "name":
        yield case.find("E001_NAME", told(came))
    elif came["stage"] == "tcp" and not _proxy_is_down(case):
        refused = "refused" in came["reason"].lower()
        yield case.find("E011_TCP_REFUSED" if refused else "E012_TCP_FILTERED", told(came))
    elif came["stage"] == "tls":
        yield case.find(_tls_code(came), [told(came), *_chain_lines(came)], issuer=_last_issuer(came))
    if (left := rest(case, came)) is not None:
        renew = renewed_by(case.certificate) if case.certificate else "certbot renew --dry-run"
        yield case.find("W029_CERT_EXPIRES_SOON", days=int(left // 86400), renew=renew)
    if case.evidence.get("http2"):
        yield case.find("N314_HTTP2")


def rest(case: Case, shown: dict[str, Any]) -> float | None:
    """The seconds that are left of a certificate, where they are few; clients renew when a third of it is left.

    Some certificates live for six days in all.
    """
    ends, began = _moment(shown.get("expires", "")), _moment(shown.get("since", ""))
    left = ends - (case.evidence.get("now") or time.time()) if ends else 0.0
    return left if ends and ends_soon(began, ends, ends - left) else None


def certificate(case: Case) -> Iterator[Finding]:
    """The certificate that this bundle has brought: whether nginx has it, and whether another one will come."""
    if state := case.certificate:
        now = case.evidence.get("now") or time.time()
        days, systemd = int((state["ends"] - now) // 86400), case.host.get("manager") == "systemd"
        on = f"systemctl enable --now {TIMER}.timer" if systemd else "service cron start"
        for code, seen in faults(state, now):
            yield case.find(code, seen, days=days, renew=renewed_by(state), on=on)


def _tls_code(came: dict[str, Any]) -> str:
    """The code for a TLS connection that failed; the numbers are those of OpenSSL's X509_V_ERR_…."""
    by_number = {
        9: "E021_CERT_EXPIRED", 10: "E021_CERT_EXPIRED", 62: "E022_CERT_NAME", 64: "E022_CERT_NAME",
        20: "E023_CERT_CHAIN", 21: "E023_CERT_CHAIN", 2: "E023_CERT_CHAIN",
        18: "E024_CERT_UNTRUSTED", 19: "E024_CERT_UNTRUSTED",
    }  # fmt: skip
    code = by_number.get(came["verify"], "")
    if code == "E023_CERT_CHAIN" and came.get("chain"):
        return "E023_CERT_CHAIN" if _lacks_one(came["chain"]) else "E024_CERT_UNTRUSTED"
    if code:
        return code
    if re.search(r"wrong.version|http.request|record.layer|packet.length", came["reason"], re.IGNORECASE):
        return "E025_PORT_SPEAKS_HTTP"
    return "E026_TLS"


def _lacks_one(chain: list[dict[str, Any]]) -> bool:
    """Whether the certificates that came lack one in between, and do not just end at an authority nobody knows.

    Public authorities write into a certificate where its issuer's is to be had (RFC 5280's caIssuers), and issue a
    server's from an intermediate one; a private authority rarely does the first, and often not the second.
    """
    issued = {each["subject"] for each in chain[1:]}
    return chain[0]["issuer"] not in issued | {chain[0]["subject"]} and chain[0]["fetchable"]


def _chain_lines(came: dict[str, Any]) -> list[str]:
    """The certificates that were sent, in words; or that nobody can tell what they are."""
    if came["verify"] in (2, 20, 21) and not came.get("chain"):
        return ["the certificates could not be read; an authority that this machine does not know looks the same"]
    return [f"sent: {each['subject']}, issued by {each['issuer']}" for each in came.get("chain", [])]


def _last_issuer(came: dict[str, Any]) -> str:
    chain = came.get("chain") or []
    return chain[-1]["issuer"] if chain else "an authority that was not told"


def _moment(text: str) -> float:
    """A time as a certificate has it, in seconds since the epoch; 0 for none."""
    try:
        return calendar.timegm(time.strptime(text, "%b %d %H:%M:%S %Y %Z"))
    except ValueError:
        return 0


def _proxy_is_down(case: Case) -> bool:
    nginx = case.host.get("nginx") or {}
    return bool(nginx.get("present") and not nginx.get("running"))


# --- the proxies ----------------------------------------------------------------------------------------------------


def edge(case: Case) -> Iterator[Finding]:
    """What is between the controller and the host: blamed only where the host itself does better."""
    came = case.outside
    origin = case.evidence.get("origin") or ""
    if origin.startswith("https:") and not case.tls and case.name not in ("localhost", "127.0.0.1", "::1"):
        yield case.find("E028_MIXED_CONTENT", f"the page is {origin}, the socket ws://{case.name}")
    if not came or came["stage"] in ("name", "tcp", "tls") or opened(came) or _proxy_is_down(case):
        return
    status = came["status"]
    if status == 400 and re.search(r"HTTP request (was sent|to) ?(to )?(an )?HTTPS", came["body"]):
        yield case.find("E027_PORT_SPEAKS_TLS", told(came))
    elif status in REDIRECTS:
        yield _redirect(case, came)
    elif (inner := case.proxy or case.direct) is None:
        yield from _edge_alone(case, came)
    elif opened(inner) and status:
        code = _proxy_code(status, came["body"])
        yield case.find(code if code != "E310_PROXY_REFUSES" or status in REFUSED else "E312_EDGE",
                        [told(came), told(inner)], hop="edge", status=status, origin=came["origin"])  # fmt: skip
    elif opened(inner):
        yield case.find("E312_EDGE", [told(came), told(inner)], status=came["reason"])


def _redirect(case: Case, came: dict[str, Any]) -> Finding:
    location = came["headers"].get("location", "").partition("?")[0]
    to_https = location.startswith("https:") and not case.tls
    socket = re.sub(r"^http", "ws", location) if location.startswith("http") else location or "the right address"
    return case.find("E305_REDIRECT_HTTPS" if to_https else "E306_REDIRECT_PATH", told(came),
                     status=came["status"], location=location or "nowhere", location_ws=socket)  # fmt: skip


def _proxy_code(status: int, body: str) -> str:
    """The code for an answer that a proxy gives of itself."""
    if status in TOO_LONG or (status == 400 and "Too Large" in body):
        return "E304_HEADER_BUFFERS"
    if status in (429, 503):
        return "E311_LIMIT"
    if status == 403 and ORIGIN_MARK in body:
        return "E315_NGINX_ORIGINS"
    return "E310_PROXY_REFUSES" if status in REFUSED else "E312_EDGE"


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
    elif _proxy_code(status, came["body"]) in ITS_OWN:
        yield case.find(_proxy_code(status, came["body"]), seen, hop="edge", status=status, origin=came["origin"])
    elif status in (502, 504):
        yield case.find("E104_NOT_RUNNING" if status == 502 else "E111_SERVER_SILENT", seen,
                        start="systemctl status of the server's unit, and its log")  # fmt: skip
    elif status in (426, 404, 200, 405) or (status == 400 and "daphne" not in server):
        yield case.find("E301_UPGRADE_LOST", [*seen, "a handshake that lost its headers is answered like this"],
                        hop="edge")  # fmt: skip
    elif status >= 500 or (came["close"] or {}).get("code") == 1011:
        yield case.find("E408_CONSUMER_RAISES", seen, status=status, error="its error is in the server's log")


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
    """nginx gives another answer than the server behind it."""
    status, seen = came["status"], [told(came), told(inner)]
    if status == 502:
        if inner is None:
            return  # the server is at fault, or nothing is known of it
        upstream = case.host.get("upstream") or []
        listening = ", ".join(each["address"] for each in case.servers if each["pid"])
        if any(each["listening"] for each in upstream) and not opened(inner):
            return  # it does no better when it is asked itself
        if any(each["listening"] for each in upstream):
            path = next((each["address"][5:] for each in upstream if each["address"].startswith("unix:")), "…")
            yield case.find("E113_SOCKET_PERMISSION", seen, socket=path)
        else:
            tried = ", ".join(each["address"] for each in upstream) or case.route["pass"]
            yield case.find("E307_UPSTREAM_ELSEWHERE", seen, upstream=tried, listening=listening)
    elif status in REDIRECTS:
        yield _redirect(case, came)
    elif (code := _proxy_code(status, came["body"])) in ITS_OWN:
        yield case.find(code, seen, hop="proxy", status=status, origin=came["origin"])
    elif not opened(inner):
        return
    elif not case.route["pass"] and status in PLAIN:
        yield case.find("E313_PATH_NOT_PROXIED", seen, status=status)
    else:
        yield case.find("E301_UPGRADE_LOST" if code == "E312_EDGE" else code, seen, hop="proxy", status=status)


# --- the process ----------------------------------------------------------------------------------------------------


def process(case: Case) -> Iterator[Finding]:
    """The servers: whether they run, and whether they can speak WebSocket."""
    if "servers" not in case.host:
        return  # nobody has looked
    if case.host.get("missing"):
        yield case.find("E117_NOT_DEPLOYED", "no server was found on this host", home=case.host["missing"])
        return
    dead = [each for each in case.servers if not each["pid"]]
    if dead or not case.servers:
        yield from _not_running(case, dead)
    yield from _rivals(case)
    for each in case.processes:
        if each["limit"] and each["files"] >= each["limit"] - 2:
            yield case.find("E110_OPEN_FILES", f"process {each['pid']} has {each['files']} files open",
                            limit=each["limit"], files=_files(each["limit"]))  # fmt: skip
    yield from _wrong_server(case)
    if case.project.get("stale"):
        names = ", ".join(case.project["stale"])
        yield case.find("E114_ENVIRONMENT_STALE", f"differ: {names}", names=names)
    yield from _silent(case)
    version = case.project.get("versions", {}).get("daphne")
    if version and _version(version) < (4, 2, 2) and any(each["server"] == "daphne" for each in case.processes):
        yield case.find("W116_DAPHNE_OLD", f"daphne {version}")
    yield from _beside(case)
    yield from _unsteady(case, dead)


def _unsteady(case: Case, dead: list[dict[str, Any]]) -> Iterator[Finding]:
    """What this bundle has started and does not stay alive; why nobody listens at a socket is told already."""
    steady = case.host.get("steady") or {}
    for worker, code in ((False, "E121_PROCESS_UNSTEADY"), (True, "E122_WORKER_UNSTEADY")):
        told = [each for each in of_kind(steady, worker) if each["what"]]
        if told and told[0]["unsteady"] and (worker or not dead):
            yield case.find(code, unsteady_lines(told), **unsteady_values(told[0], case.bundle))
        elif told and not told[0]["unsteady"]:
            yield case.find("W123_STARTED_AGAIN", unsteady_lines(told), **unsteady_values(told[0], case.bundle))


def unsteady_values(each: dict[str, Any], bundle: dict[str, Any]) -> dict[str, str]:
    """What fills the texts of a process that does not stay alive: what it is, why, and what to do."""
    symptom = of_log(each.get("log", []))
    line = telling_line(each.get("log", []), symptom)
    logs = f"{bundle['app']}-generations logs {bundle['generation']}"
    said = f" Its last words: {line[:300]}" if line else ""
    return {"what": each["what"], "likely": symptom.likely + said, "fix": symptom.fix, "logs": logs}


def unsteady_lines(told: list[dict[str, Any]]) -> list[str]:
    """What is wrong with some processes, and what the first of them said last."""
    return [*(each["what"] for each in told), *(f"it said: {line[:300]}" for line in told[0].get("log", [])[-4:])]


def _beside(case: Case) -> Iterator[Finding]:
    """What a project of this bundle has beside its sockets: gunicorn, and files that outlive releases."""
    quiet = [f"nobody listens on {each['address']}" for each in case.host.get("wsgi") or [] if not each["listening"]]
    quiet += [told(each) for each in case.exchanges if each["kind"] == "wsgi" and each["stage"]]
    if quiet:
        yield case.find("W119_WSGI_DOWN", quiet, app=case.bundle["app"], generation=case.bundle["generation"])
    if shared := case.host.get("shared"):
        mend = "; ".join(each["mend"] for each in shared)
        yield case.find("W120_SHARED_PATH", [each["seen"] for each in shared], mend=mend)


def _files(limit: int) -> int:
    """A limit of open files that is enough: what this bundle sets, or twice one that was not."""
    return max(65536, 2 * limit)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _not_running(case: Case, dead: list[dict[str, Any]]) -> Iterator[Finding]:
    """Why a server that should run does not."""
    units = [each for each in case.units if _is_to_listen(each, dead)] or [
        each for each in case.units if each["state"] != "active"
    ]
    lines = [line for each in units for line in last_life(each.get("log", []))]
    down = [each for each in case.programs if each["state"] in ("FATAL", "BACKOFF", "EXITED", "STOPPED")]
    programs = [each for each in down if _is_to_listen({"unit": each["program"], "command": ""}, dead)] or down
    lines += [line for each in programs for line in each.get("log", [])]
    seen = [f"nobody listens on {each['address']}" for each in dead]
    seen += [f"{each['unit']}: {each['state']} ({each['sub']}), result {each['result']}, {each['restarts']} restarts"
             for each in units]  # fmt: skip
    seen += [f"supervisor: {each['program']} {each['state']} {each['text']}" for each in programs]
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    start = _start(case, units, programs, dead)
    killed = [each for each in case.host.get("kills", []) if "python" in each] if programs else []
    if killed or any(map(_ran_out_of_memory, units)):
        yield case.find("E106_OUT_OF_MEMORY", [*seen, *case.host.get("kills", [])])
        return
    crashing = any(
        each["sub"] == "auto-restart" or each["restarts"] or each["result"] not in ("success", "")
        for each in units
    )  # fmt: skip
    crashing = crashing or any(each["state"] in ("FATAL", "BACKOFF") for each in programs)
    if starting := [] if any(each["restarts"] for each in units) else case.host.get("starting"):
        each = max(starting, key=lambda one: one["age"])
        yield case.find("E118_STARTING", [*seen, f"process {each['pid']} runs, and does not listen"], age=each["age"])
    elif crashing:
        if any(each["status"] == "203" for each in units):
            yield case.find("E103_SERVER_MISSING", [*seen, last])
            return
        cause = next(((line, code) for line in reversed(lines) if (code := signature(line))), None)
        if cause:
            yield _of_text(case, cause[1], cause[0], seen)
        else:
            yield case.find("E105_CRASH_LOOP", [*seen, last])
    elif case.host.get("leftovers"):
        sockets = case.host["leftovers"]
        yield case.find("E107_STALE_SOCKET", [*seen, *(f"{path} is there" for path in sockets)], start=start)
    elif case.project.get("import_error") and not case.alive:
        return  # the import's rule names it
    else:
        yield case.find("E104_NOT_RUNNING", seen or ["no server was found on this host"], start=start)


def _ran_out_of_memory(unit: dict[str, Any]) -> bool:
    """Whether a unit's process was killed for its memory. Under cgroup v1 systemd knows of SIGKILL and of the limit."""
    killed = unit["result"] == "signal" and unit["status"] == "9" and unit.get("memory_max", "infinity") != "infinity"
    return unit["result"] == "oom-kill" or killed


def _is_to_listen(unit: dict[str, Any], servers: list[dict[str, Any]]) -> bool:
    """Whether a unit's process is one that should listen where one of some servers does, or should."""
    return any(is_to_listen(unit["unit"], unit["command"], each["address"]) for each in servers)


def last_life(lines: list[str]) -> list[str]:
    """The lines of a unit's log that belong to the last process that ended; all of them where none did."""
    ends = [index for index, line in enumerate(lines) if "Main process exited" in line]
    if not ends:
        return lines
    begin = ends[-2] + 1 if len(ends) > 1 else 0
    starts = [index + 1 for index in range(begin, ends[-1]) if re.match(r"(Starting|Started) ", lines[index])]
    return lines[max([begin, *starts]) : ends[-1]] or [lines[ends[-1]]]


def _start(case: Case, units: list[dict[str, Any]], programs: list[dict[str, Any]], dead: list[dict[str, Any]]) -> str:
    """The command that starts what does not run."""
    if units:
        return "systemctl start " + " ".join(each["unit"] for each in units)
    if programs:
        return "supervisorctl start " + " ".join(each["program"] for each in programs)
    if case.bundle.get("manager") == "supervisor":
        return f"supervisorctl start '{case.bundle['unit']}@{case.bundle['generation']}:*'"
    if case.bundle.get("unit"):
        return "systemctl start " + " ".join(
            f"{case.bundle['unit']}@{each['address'].rpartition('/')[2].removesuffix('.sock')}.service"
            for each in dead
        )  # fmt: skip
    return f"daphne {case.application} in the folder of manage.py, under a service manager"


def _of_text(case: Case, code: str, line: str, seen: list[str]) -> Finding:
    """A finding by a line of a log or an error, which is shown."""
    line = line.strip()
    # daphne shows the path as Python shows bytes: on any:b'/run/app.sock': Cannot acquire lock
    path = re.search(r"unix:(\S+?)(?::|'|$)|on any:b?'?(/[^'\s]+?)'?: ", line)
    socket = next((each for each in path.groups() if each), "…") if path else "SOCKET"
    if code == "E201_ASGI_MODULE":
        wanted = case.application.partition(":")[0]
        missing = re.search(r"No module named '([\w.]+)'", line)
        if missing and not wanted.startswith(missing[1].split(".")[0]):
            code = "E204_IMPORT_ERROR"
    listeners = "; ".join(f"{each['pid']} {each['command'][:60]}" for each in case.host.get("processes", [])
                          if each["server"])  # fmt: skip
    pattern = re.search(r"path '?([^'.\s]+)'?", line)
    wanted_path = pattern[1] if pattern else case.path.lstrip("/")
    return case.find(code, [*seen, line], error=line[:200], socket=socket, limit="see /proc/PID/limits",
                     files=_files(0), listeners=listeners or "ss -ltnp", pattern=wanted_path)  # fmt: skip


def _rivals(case: Case) -> Iterator[Finding]:
    """Two servers that want one port: both have it, or one of them ended for it."""
    servers = [each for each in case.host.get("processes", []) if each["listens"]]
    for index, one in enumerate(servers):
        for other in servers[index + 1 :]:
            shared = {_port(each) for each in one["listens"]} & {_port(each) for each in other["listens"]} - {""}
            if not shared or _related(one, other) or not (one["server"] and other["server"]):
                continue
            both = [f"{each['pid']} {each['command'][:60]}" for each in (one, other)]
            yield case.find("E109_TWO_SERVERS", [f"port {min(shared)} is listened on by both: {'; '.join(both)}"],
                            listeners="; ".join(both))  # fmt: skip
            return
    mine = [each for each in case.units if _is_to_listen(each, case.servers)]
    for unit in mine:
        taken = next((line for line in reversed(unit.get("log", [])) if signature(line) == "E109_TWO_SERVERS"), "")
        if taken and unit["state"] != "active" and not any(not each["pid"] for each in case.servers):
            yield _of_text(case, "E109_TWO_SERVERS", taken, [f"{unit['unit']}: {unit['state']} ({unit['sub']})"])


def _port(address: str) -> str:
    return address.rpartition(":")[2] if address.startswith("tcp:") else ""


def _related(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether processes are of one server: a parent and its child, or two of its children."""
    if other["parent"] == one["pid"] or one["parent"] == other["pid"]:
        return True
    return one["parent"] == other["parent"] and one["parent"] > 1


def _wrong_server(case: Case) -> Iterator[Finding]:
    """Servers that run and take a handshake for plain HTTP."""
    for each in case.processes:
        came = case.direct
        plain = came is not None and came["status"] in PLAIN
        seen = [f"process {each['pid']}: {each['command']}", told(came)]
        if each["server"] == "runserver":
            yield case.find("E101_RUNSERVER" if plain else "W115_RUNSERVER_SERVES", seen)
        elif each["server"] and not each["speaks"] and plain:
            yield case.find("E102_WSGI", seen, server=each["server"])
        elif each["server"] == "uvicorn" and plain:
            yield case.find("E112_NO_WEBSOCKET_LIBRARY", seen)
        else:
            continue
        return


def _silent(case: Case) -> Iterator[Finding]:
    """Servers that accept connections, and give no answer."""
    came = case.direct
    if not came or came["stage"] != "handshake" or any(each["files"] >= each["limit"] - 2 for each in case.processes):
        return
    pid = case.processes[0]["pid"] if case.processes else "PID"
    plain = case.one("process", "http")
    if plain and plain["status"]:
        longer = max(20, *(2 * int(each.get("connect_timeout", 5)) for each in case.processes))
        yield case.find("E410_CONNECT_SLOW", [told(came), told(plain)], longer=longer)
    else:
        yield case.find("E111_SERVER_SILENT", told(came), pid=pid)


# --- import ---------------------------------------------------------------------------------------------------------


def imports(case: Case) -> Iterator[Finding]:
    """The ASGI application in the project's environment."""
    error = case.project.get("import_error")
    # Where somebody else's process serves, its own environment is not wholly known, and it has imported it already.
    if not error or (not case.bundle and any(opened(each) for each in case.directs)):
        return
    if not case.bundle and case.processes and case.processes[0]["server"] not in ("daphne", "uvicorn", "hypercorn"):
        return
    code = signature(error)
    if not code.startswith("E2"):
        code = "E204_IMPORT_ERROR"
    yield _of_text(case, code, error, [f"import of {case.application}"])
    setting = case.project.get("asgi_setting", "")
    if ":" in setting:
        yield case.find("E205_ASGI_PATH", f"ASGI_APPLICATION is {setting}")


# --- token, Origin, route -------------------------------------------------------------------------------------------


def refusal(exchange: dict[str, Any] | None) -> str:
    """How an application turned a handshake away: a status or a close code; empty where it did not."""
    if not exchange:
        return ""
    if exchange["status"] in REFUSED and ORIGIN_MARK not in exchange["body"]:
        return f"HTTP {exchange['status']}"
    code = (exchange["close"] or {}).get("code", 0)
    early = exchange["close"] and not cut_late(exchange)
    return f"101, then close {code}" if early and (code in AUTH_CLOSES or 4000 <= code < 5000) else ""


def token(case: Case) -> Iterator[Finding]:
    """The token, and what is accepted without one."""
    skew = case.evidence.get("skew") or 0.0
    came = case.direct or case.outside
    status = refusal(came)
    failed = case.project.get("not_minted", {}).get("good")
    wanted = case.evidence.get("token") or {}
    if failed and not wanted.get("present"):
        yield case.find("E411_TOKEN_COMMAND", failed, error=failed)
    elif case.evidence.get("problem") and not wanted.get("present"):
        return  # the token would have come from the host that could not be asked
    elif status and came and not _host_refused(case):
        other = next((each for each in case.exchanges if each["kind"] == "other_origin" and opened(each)), None)
        if other and other["origin"]:
            yield case.find("E405_ORIGIN", [told(came), f"with Origin {other['origin']}: 101"],
                            origin=came["origin"] or "a missing Origin",
                            settings=_allowing(case, urlsplit(came["origin"]).hostname or ""))  # fmt: skip
        else:
            yield _refused_token(case, told(came), status, wanted, skew)
    if abs(skew) > CLOCK_SKEW and not status:
        yield case.find("W409_CLOCK", skew=round(skew))
    if status:
        return
    for kind in ("none", "bad", "expired"):
        tried = case.one("process", kind) or case.one("outside", kind)
        if opened(came) and opened(tried) and not refusal(tried):
            yield case.find("W412_TOKEN_UNCHECKED", told(tried),
                            kind={"none": "no", "bad": "a bad", "expired": "an expired"}[kind])  # fmt: skip
            break


def _refused_token(case: Case, seen: str, status: str, wanted: dict[str, Any], skew: float) -> Finding:
    claims, now = wanted.get("claims") or {}, case.evidence.get("now") or time.time()
    starts, ends = max(claims.get("nbf", 0), claims.get("iat", 0)), claims.get("exp")
    if not wanted.get("present"):
        return case.find("E401_NO_TOKEN", seen, status=status)
    # The host's own clock is what judges a token: now + skew.
    if abs(skew) > CLOCK_SKEW and ((ends or now + 1) > now and (starts > now + skew or (ends or 1e12) < now + skew)):
        return case.find("E409_CLOCK", seen, skew=round(skew))
    if ends and ends < now:
        return case.find("E403_TOKEN_EXPIRED", seen, ago=_ago(now - ends))
    if starts > now + CLOCK_SKEW:
        return case.find("E409_CLOCK", seen, skew=round(now - starts))
    return case.find("E413_OTHER_SECRET" if wanted.get("minted") else "E402_TOKEN_BAD", seen, status=status)


def _ago(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name} ago"
    return f"{seconds:.0f} seconds ago"


def origin(case: Case) -> Iterator[Finding]:
    """Origin, Host, route and the consumer's connect()."""
    if _host_refused(case):
        allowed = ", ".join(case.project["allowed_hosts"]) or "empty"
        yield case.find("E406_ALLOWED_HOSTS", [told(case.one("process", "http")), f"ALLOWED_HOSTS: {allowed}"],
                        settings=_allowing(case, case.name))  # fmt: skip
    came = case.direct
    if came and (came["status"] >= 500 or (came["close"] or {}).get("code") == 1011) and not cut_late(came):
        yield _raised(case, came)
    tried = case.one("process", "foreign") or case.one("outside", "foreign")
    if tried and opened(tried) and not refusal(tried):
        yield case.find("W407_ORIGIN_UNCHECKED", f"Origin {tried['origin']}: 101")
    for code, seen, values in judge(case.project["page"]) if "page" in case.project else ():
        yield case.find(code, seen, **values)


def _host_refused(case: Case) -> bool:
    """Whether Django refuses the Host header; an Origin of the same host is refused for the same reason."""
    http, allowed = case.one("process", "http"), case.project.get("allowed_hosts")
    return bool(http and http["status"] == 400 and allowed is not None and not _allows(allowed, case.name))


def _allowing(case: Case, host: str) -> dict[str, Any]:
    """The setting that adds a host to ALLOWED_HOSTS, where it is known which variable of the environment holds it."""
    name = case.project.get("allowed_hosts_from")
    return {"release_environment": {name: ",".join([*case.project["allowed_hosts"], host])}} if name and host else {}


def _raised(case: Case, came: dict[str, Any]) -> Finding:
    """The application failed within the handshake: its log says why."""
    text = [*case.log, *came["body"].splitlines()]
    for line in reversed(text):
        if code := signature(line):
            # An error of Redis by its name alone is what the layer's own trial tells better.
            known = signature(case.project.get("layer_error", ""))
            return _of_text(case, known if code.startswith("E5") and known else code, line, [told(came)])
    if error := case.project.get("layer_error", ""):
        return _of_text(case, signature(error) or "E510_LAYER", error, [told(came)])
    if error := case.project.get("database_error", ""):
        return case.find("E513_DATABASE", [told(came), error], error=error[:200])
    errors = [line.strip() for line in text if re.match(r"^\s*[\w.]*(Error|Exception|Timeout|DoesNotExist)\b", line)]
    last = errors[-1] if errors else "see its log"
    return case.find("E408_CONSUMER_RAISES", [told(came), *errors[-1:]], error=last[:200],
                     status=came["status"] if came["status"] != 101 else "101 and close 1011")  # fmt: skip


def _allows(allowed: list[str], host: str) -> bool:
    return any(
        each in ("*", host) or (each.startswith(".") and (host == each[1:] or host.endswith(each))) for each in allowed
    )


# --- channel layer --------------------------------------------------------------------------------------------------


def layer(case: Case) -> Iterator[Finding]:
    """The channel layer and its Redis."""
    error, name = case.project.get("layer_error", ""), case.project.get("layer", "")
    if error:
        code = signature(error)
        if not code.startswith("E5"):
            code = "E501_REDIS_DOWN" if re.search(r"[Cc]onnect|refused|Timeout", error) else "E510_LAYER"
        yield _of_text(case, code, error, [])
    if error := case.project.get("database_error", ""):
        yield case.find("W513_DATABASE" if opened(case.direct) else "E513_DATABASE", error, error=error[:200])
    count = len([each for each in case.servers if each["pid"]])
    if name.endswith("InMemoryChannelLayer") and count > 1:
        yield case.find("E508_LAYER_MEMORY", f"{name}, {count} processes", count=count)
    if len(case.project.get("databases", [])) > 1:
        yield case.find("E504_REDIS_DATABASE", f"databases: {', '.join(case.project['databases'])}")
    redis = case.host.get("redis") or {}
    if not redis.get("running") or not name.startswith("channels_redis") or not _is_local(case):
        pass
    else:
        yield from _redis(case, redis, error)
    for each in case.project.get("certificates", []):
        if (left := rest(case, each)) is not None:
            yield case.find(
                "W515_STORE_CERT_EXPIRES", f"{each['name']}: {each['place']}", days=int(left // 86400), **each
            )
    if case.host.get("crowded"):
        yield case.find("W509_CAPACITY", case.host["crowded"])


def _is_local(case: Case) -> bool:
    """Whether the layer's Redis is on this host; where its address is not known, it is taken to be."""
    hosts = case.project.get("hosts") or []
    return not hosts or any(re.match(r"(127\.|localhost|\[?::1|/|unix)", str(each)) for each in hosts)


def _redis(case: Case, redis: dict[str, Any], error: str) -> Iterator[Finding]:
    if redis.get("version") and _version(redis["version"]) < (5,):
        yield case.find("E505_REDIS_OLD", f"redis-server {redis['version']}")
    policy, file = redis.get("maxmemory-policy", "noeviction"), redis.get("file", "redis.conf")
    limited = redis.get("maxmemory", "0").strip() not in ("", "0")
    if policy != "noeviction" and limited:
        yield case.find("W506_REDIS_EVICTS", f"{file}: maxmemory-policy {policy}", policy=policy, file=file)
    if redis.get("timeout", "0") != "0":
        yield case.find(
            "W511_REDIS_TIMEOUT", f"{file}: timeout {redis['timeout']}", timeout=redis["timeout"], file=file
        )


# --- idle time ------------------------------------------------------------------------------------------------------


def idle(case: Case) -> Iterator[Finding]:
    """Sockets that were left silent."""
    cut = [each for each in case.directs if each["status"] == 101 and each["close"] and cut_late(each)]
    version = case.project.get("versions", {}).get("redis", "0")
    core = case.project.get("layer", "").startswith("channels_redis.core")
    old_wait = core and _version(version) >= (8,) and not case.project.get("patient")
    limit = max([each.get("websocket_timeout", 0) for each in case.processes] or [0])
    if cut:
        close, seconds = cut[0]["close"]["code"], cut[0]["close"]["at"]
        by_redis = old_wait and close in (1011, 1006)
        # daphne looks every second for sockets that are too old.
        by_age = close in (1000, 1005) and limit and limit <= seconds <= limit + 3
        code = "E603_REDIS_PY_8" if by_redis else "E607_WEBSOCKET_TIMEOUT" if by_age else "E604_IDLE_SERVER"
        yield case.find(code, told(cut[0]), version=version, close=close, seconds=seconds, limit=f"{limit:g}")
        return
    if limit:
        yield case.find("W608_WEBSOCKET_TIMEOUT", f"--websocket_timeout {limit:g}", limit=f"{limit:g}")
    for each, code in ((case.proxy, "E601_IDLE_PROXY"), (case.outside, "E602_IDLE_BALANCER")):
        if each and each["status"] == 101 and cut_late(each):
            seconds = each["close"]["at"]
            timeout = f"{case.route['read_timeout']:g} s" if case.route else "not known"
            yield case.find(code, told(each), seconds=seconds, half=max(1, round(seconds / 2)), timeout=timeout)
            return
    tried = case.evidence.get("idle_seconds") or 0
    if old_wait and tried < 6:
        yield case.find("W606_REDIS_PY_8", f"redis-py {version}", version=version)
    ping = max([each["ping"] for each in case.processes if each["server"]] or [20])
    if case.route.get("pass") and case.route["read_timeout"] <= ping:
        yield case.find("W605_READ_TIMEOUT", _where_timeout(case), timeout=f"{case.route['read_timeout']:g}",
                        ping=f"{ping:g}")  # fmt: skip


def _where_timeout(case: Case) -> str:
    return f"{case.route['where']}: proxy_read_timeout {case.route['read_timeout']:g}s"


# --- all of it ------------------------------------------------------------------------------------------------------


def examined(case: Case) -> Iterator[Finding]:
    """What kept the examination itself from seeing everything."""
    problem = case.evidence.get("problem") or {}
    if problem:
        yield case.find(problem["code"], problem["error"], error=problem["error"])
    user = case.host.get("user")
    if user and user != "root":
        yield case.find("W904_NOT_ROOT", user=f"user {user}")


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    reach, certificate, edge, proxy, process, imports, token, origin, layer, idle, examined,
)  # fmt: skip


def unexplained(case: Case) -> Iterator[Finding]:
    """A handshake that fails for no reason that is known: the table of symptoms has the last word."""
    for came, hop in ((case.direct, "process"), (case.proxy, "proxy"), (case.outside, "edge")):
        if came and not opened(came):
            if came["stage"]:
                problem = explain(HandshakeFailed(came["stage"], came["reason"]))
            elif came["close"]:
                problem = explain(came["close"]["code"])
            else:
                problem = explain(HandshakeRefused(came["status"], "", came["headers"], came["body"]))
            yield case.find("E905_UNEXPLAINED", told(came), hop=hop, **problem)
            return


def diagnose(evidence: dict[str, Any]) -> dict[str, Any]:
    """Return the report: the verdict, its finding, what else was noticed, and the state of each hop."""
    case = Case(evidence)
    found = [finding for rule in RULES for finding in rule(case)]
    if not any(each["severity"] == "error" for each in found):
        found += unexplained(case)
    order = list(HOPS)
    errors = [each for each in found if each["severity"] == "error"]
    # That the host could not be asked explains nothing where the way to it is broken, or all is well from outside.
    # What is beside the way is no reason why a handshake fails.
    errors.sort(
        key=lambda each: (each["code"].startswith("E9"), each["code"] in BESIDE, order.index(each["hop"]))
    )  # fmt: skip
    first = errors[0] if errors else None
    noticed = _once([each for each in [*errors, *found] if each is not first], first)
    return {
        "verdict": first["code"] if first else "OK",
        "ok": first is None,
        "finding": first,
        "noticed": noticed,
        "hops": hops(case, first),
    }


def _once(findings: list[Finding], first: Finding | None) -> list[Finding]:
    """Each code once, errors before warnings before notes."""
    kept: dict[str, Finding] = {}
    for each in findings:
        if not first or each["code"] != first["code"]:
            kept.setdefault(each["code"], each)
    return sorted(kept.values(), key=lambda each: ["error", "warning", "note"].index(each["severity"]))


def hops(case: Case, first: Finding | None) -> list[dict[str, Any]]:
    """Each hop with its state (`ok`, `broken`, `unknown`), its milliseconds and a detail."""
    details = _details(case)
    order = list(HOPS)
    broken = order.index(first["hop"]) if first else len(order)
    beside = first is not None and first["code"] in BESIDE
    made = []
    for index, hop in enumerate(order):
        seen, milliseconds, detail = details[hop]
        state = "broken" if index == broken else "ok" if seen and (index < broken or beside) else "unknown"
        made.append({"id": hop, "title": HOPS[hop], "state": state, "ms": milliseconds, "detail": detail})
    return made


def _details(case: Case) -> dict[str, tuple[bool, float | None, str]]:
    """For each hop: whether it was seen to work, how long it took in milliseconds, and what is worth a word."""
    came = case.outside or {"ms": {}, "status": 0, "to": "", "idle": 0}
    timings = came["ms"]
    inner, direct = case.proxy or {"ms": {}, "to": ""}, case.direct or {"ms": {}, "status": 0}
    server = case.processes[0] if case.processes else None
    best = case.direct or case.outside
    idle_ways = [each for each in (*case.directs, case.proxy, case.outside) if each and each["idle"] > 2.5]
    waited = max((each["idle"] for each in idle_ways), default=0)
    version = case.project.get("versions", {}).get(server["server"], "") if server else ""
    return {
        "name": ("name" in timings, timings.get("name"), case.name),
        "tcp": ("tcp" in timings, timings.get("tcp"), f"port {case.port}"),
        "tls": ("tls" in timings, timings.get("tls"), "verified" if "tls" in timings else "not used"),
        "edge": (opened(case.outside), timings.get("handshake"), f"HTTP {came['status']}" if came["status"] else ""),
        "proxy": (opened(case.proxy), inner["ms"].get("handshake"), inner["to"]),
        "process": (bool(server) and bool(direct["status"]), direct["ms"].get("handshake"),
                    f"{len(case.alive)} × {server['server'] or server['name']} {version}".strip() if server else ""),
        "import": ("import_ms" in case.project and "import_error" not in case.project,
                   case.project.get("import_ms"), case.application if case.project else ""),
        "token": (opened(best) and not refusal(best), None, "accepted" if opened(best) else ""),
        "origin": (opened(best) and not refusal(best), None, (best or {}).get("origin", "") or case.path),
        "layer": ("layer_ms" in case.project, case.project.get("layer_ms"),
                  case.project.get("layer", "").rpartition(".")[2]),
        "idle": (waited > 0, waited * 1000 if waited else None, f"silent for {waited:g} s" if waited else "not tried"),
    }  # fmt: skip
