"""What must be seen before a code may be told: no code accuses anything by being the only one that is left.

A finding whose proof does not hold is not told, whichever rule has found it. Data, with small functions beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..host.nginx.locations import PASSES
from .answers import ORIGIN_MARK, REDIRECTS, REFUSED, opened, proxy_code
from .case import Case
from .lines import lacking
from .project_proofs import PROJECT_PROOFS
from .proof import Proof
from .rules.edge import CDN
from .rules.effective import CLIENT_CERT, answering_rule, shadowed
from .rules.front_answers import needless_protocol, other_path
from .rules.process import FORWARDERS, INIT, fd_of_unix, in_containers
from .rules.proxy import barred_ways
from .rules.reach import tls_code
from .rules.unit_start import never_ready, outdated


def proven(code: str, case: Case) -> bool:
    """Whether a code's own proof is there; codes without an entry are proven by their rules."""
    return code not in PROOFS or PROOFS[code].holds(case)


def _answers(case: Case) -> list[dict[str, Any]]:
    return [each for each in (case.outside, case.proxy) if each]


def _statuses(case: Case) -> set[int]:
    return {each["status"] for each in _answers(case)}


def _nobody_listens(case: Case) -> bool:
    return not case.servers or any(each["pid"] in (0, INIT) and not each.get("remote") for each in case.servers)


def _unlooked(case: Case) -> bool:
    """Whether nobody has looked at the host: then the answer from outside is all that there is."""
    return not case.host.get("nginx")


def _no_answer(case: Case) -> bool:
    came = case.direct or (case.outside if _unlooked(case) else None)
    return bool(came and not came["status"]) and not case.route.get("loop")  # or nginx asks itself


def _errno(case: Case, *numbers: int) -> bool:
    said = [*case.said("connect"), *(case.nginx.get("reach") or [])]
    return any(each["errno"] in numbers for each in said)


def _lacks(case: Case, *names: str) -> bool:
    return not opened(case.proxy) and any(name in names for name in lacking(case.route)) if case.route else True


def _cause(case: Case, *names: str) -> bool:
    causes = (case.nginx.get("replay") or {}).get("causes", [])
    return any(each in names for each in causes) if names else bool(causes)


def _headers_differ(case: Case) -> bool:
    causes = (case.nginx.get("replay") or {}).get("causes", [])
    return bool(causes) and bool({*causes} - {"scheme", "path", "query", *lacking(case.route)})


def _flag(case: Case, name: str) -> bool:
    return (
        name in (case.route.get("listen") or {}).get("lines", {})
        if isinstance(case.route.get("listen"), dict)
        else False
    )


def _refusing(case: Case) -> bool:
    guarded = any(
        word in each for each in case.route.get("guards", []) for word in (": deny ", ": auth_", ": limit_except ")
    )
    guarded = guarded or bool(case.front.get("guards"))
    known = not _unlooked(case) and case.proxy is not None and not opened(case.proxy)
    return bool(_statuses(case) & {*REFUSED}) and (not known or guarded or bool(case.said("denied", "login")))


def _not_passed(case: Case) -> bool:
    return bool(case.route) and (not case.route["pass"] or bool(case.route.get("status"))) and opened(case.direct)


def _full(case: Case) -> bool:
    state = case.nginx.get("connections") or {"used": 0, "limit": 1, "files": 0, "files_limit": 0}
    full = state["used"] >= state["limit"] - 1 or (state["files_limit"] and state["files"] >= state["files_limit"] - 2)
    limited = bool(case.route.get("max_conns")) and bool(case.said("no_servers"))
    return bool(case.said("connections", "files")) or bool(full) or limited


def _own_answer(case: Case, code: str) -> bool:
    return any(each["status"] and proxy_code(each["status"], each["body"]) == code for each in _answers(case))


def _limited(case: Case) -> bool:
    """Whether a limit was reached: 503 may as well be a front's answer for a server that is gone."""
    counts = any(": limit_req " in each or ": limit_conn " in each for each in case.route.get("guards", []))
    known = bool(case.bundle or counts or case.said("limit"))
    pages = [each["body"] for each in _answers(case) if _unlooked(case) and each["status"] == 503]
    known = known or any("nginx" in each and "503 Service Temporarily" in each for each in pages)
    return 429 in _statuses(case) or (known and _own_answer(case, "E311_LIMIT"))


def _own(code: str) -> Callable[[Case], bool]:
    return lambda case: _own_answer(case, code)


def _other_protocol(case: Case) -> bool:
    handler = case.route.get("handler", "")
    return handler in PASSES and handler != "proxy_pass" and bool(case.direct and case.direct["status"])


#: By code.
PROOFS: dict[str, Proof] = {
    **PROJECT_PROOFS,
    "E026_TLS": Proof(
        "The other side has ended TLS with an alert, or speaks no version that this machine does.",
        lambda case: case.outside is not None and case.outside["stage"] == "tls" and tls_code(
            case.outside) == "E026_TLS"),
    "E104_NOT_RUNNING": Proof(
        "No process of this host listens at the address that nginx leads to, or no server runs at all.",
        lambda case: _nobody_listens(case) or _unlooked(case)),
    "E107_STALE_SOCKET": Proof(
        "The socket's file is there, and the kernel's table of sockets has no listener for it.",
        lambda case: bool(case.host.get("leftovers"))),
    "E110_OPEN_FILES": Proof(
        "The process has as many files open as its limit allows, or its log says errno 24.",
        lambda case: any(each["limit"] and each["files"] >= each["limit"] - 2 for each in case.processes)
        or any("open files" in line or "Errno 24" in line for line in _logged(case))),
    "E111_SERVER_SILENT": Proof(
        "A connection straight to the server opens, and gets no answer, neither in plain HTTP nor within TLS.",
        _no_answer),
    "E113_SOCKET_PERMISSION": Proof(
        "connect(2) to the socket fails with errno 13 in nginx's log, or when the doctor tries it as nginx's own user.",
        lambda case: _errno(case, 13) and not barred_ways(case)),
    "E360_CONNECT_BARRED": Proof(
        "nginx's log says that connect(2) to an address with a port fails with errno 13, which only a security module "
        "answers.", lambda case: bool(barred_ways(case))),
    "E133_NEVER_READY": Proof(
        "The unit's type has systemd wait (notify, forking), its server does not do what is waited for, and either "
        "systemd's log says that the start has timed out, or the server listens and the unit is still activating.",
        lambda case: never_ready(case) is not None),
    "E124_UNIT_CANNOT_START": Proof(
        "systemd's status of the unit (such as 217/USER) or its log names the step that failed, and what it needs was "
        "looked at on the host.",
        lambda case: any(each.get("setup") and each["state"] != "active" for each in case.units)),
    "E125_UNIT_NOT_RELOADED": Proof(
        "systemd says so (NeedDaemonReload=yes), or the unit's command is another one than its process's; and nobody "
        "listens where nginx leads to.",
        lambda case: any(outdated(case, each) for each in case.units)
        and any(not each["listening"] for each in case.host.get("upstream") or [])),
    "E126_NOBODY_BEHIND": Proof(
        "The process that holds the server's port is a forwarder (docker-proxy, ssh, socat) by its name; it accepts a "
        "connection and closes it, or never answers.", lambda case: _no_answer(case) and any(
            each["name"] in FORWARDERS for each in case.processes)),
    "E132_NOT_PUBLISHED": Proof(
        "Nobody listens on the port in this host's network, and a server does in another one (/proc/PID/net).",
        lambda case: bool(in_containers(case))),
    "E131_FD_UNIX": Proof(
        "daphne's command has --fd, all that the process listens on are unix sockets, and a connection to it is closed "
        "without an answer.", lambda case: _no_answer(case) and fd_of_unix(case) is not None),
    "E301_UPGRADE_LOST": Proof(
        "The headers that nginx would send, computed from its whole configuration, lack Upgrade; sent straight to the "
        "server, they get the same refusal. From outside alone, the answer of a server to a plain GET.",
        lambda case: _lacks(case, "upgrade")),
    "E302_CONNECTION_LOST": Proof(
        "The same, for Connection: upgrade.", lambda case: _lacks(case, "connection")),
    "E303_HTTP10": Proof(
        "The same, for HTTP's version.", lambda case: _lacks(case, "version")),
    "E305_REDIRECT_HTTPS": Proof(
        "The answer is a redirect to https.", lambda case: bool(_statuses(case) & {*REDIRECTS})),
    "E306_REDIRECT_PATH": Proof(
        "The answer is a redirect.", lambda case: bool(_statuses(case) & {*REDIRECTS})),
    "E304_HEADER_BUFFERS": Proof("The answer is nginx's own for a long request.", _own("E304_HEADER_BUFFERS")),
    "E311_LIMIT": Proof(
        "The answer is 429, or a 503 that nginx itself makes: its log says so, or a limit_req or limit_conn counts for "
        "the path, or maintenance of this bundle is on.", _limited),
    "E315_NGINX_ORIGINS": Proof(
        "The answer is this bundle's own text.",
        lambda case: any(ORIGIN_MARK in each["body"] for each in _answers(case))),
    "E307_UPSTREAM_ELSEWHERE": Proof(
        "The server runs and accepts a handshake, and nobody listens at any address that nginx leads to.",
        lambda case: opened(case.direct) and not any(each["listening"] for each in case.host.get("upstream") or [])),
    "E308_PROXY_DOWN": Proof(
        "nginx is installed, and no process of it runs.",
        lambda case: bool(case.nginx.get("present") and not case.nginx.get("running"))),
    "E309_PROXY_CONFIG": Proof("nginx -t says so.", lambda case: bool(case.nginx.get("error"))),
    "E310_PROXY_REFUSES": Proof(
        "The answer is 401 or 403, and a deny, auth_basic, auth_request or limit_except counts for the path (of "
        "Apache, a Require; of HAProxy, an http-request deny), or nginx's log says that it has refused; or the "
        "same handshake opens on the host, and not from outside.",
        _refusing),
    "E312_EDGE": Proof(
        "The same handshake opens through nginx on the host (without one, at the server), and not from outside; or "
        "the answer is one of a CDN's own (520 to 526).",
        lambda case: not opened(case.outside) and (
            opened(case.proxy or case.direct) or bool(_statuses(case) & {*CDN}))),
    "E313_PATH_NOT_PROXIED": Proof(
        "By nginx's rules, no …_pass counts for the path, and the server accepts the handshake.", _not_passed),
    "E377_SEND_PROXY": Proof(
        "HAProxy's server line has send-proxy, and no listen line of nginx's for that port has proxy_protocol; the "
        "handshake opens at nginx without it.", lambda case: needless_protocol(case) and opened(case.proxy)),
    "E378_HEALTH_CHECK": Proof(
        "HAProxy's log says last of its server that it is DOWN, and answers 503; the server accepts a handshake.",
        lambda case: bool(case.front.get("down")) and 503 in _statuses(case)),
    "E379_FRONT_PATH": Proof(
        "The application's log names another path than the client's during the try, and behind the program in front, "
        "the client's own opens.", lambda case: bool(case.front) and bool(other_path(case)) and opened(
            case.proxy if case.front.get("chained") else case.direct)),
    "E340_PATH_CHANGED": Proof(
        "The good request is refused with nginx's path or query in it, and with nothing else changed.",
        lambda case: _cause(case, "path", "query")),
    "E341_TLS_TO_PLAIN": Proof(
        "The good request opens without TLS and fails within it.", lambda case: _cause(case, "scheme")),
    "E342_PLAIN_TO_TLS": Proof(
        "The good request opens within TLS and fails without it.", lambda case: _cause(case, "scheme")),
    "E343_OTHER_PROTOCOL": Proof(
        "The directive that counts for the path is no proxy_pass, and the server answers in HTTP.", _other_protocol),
    "E344_LISTEN_HTTP2": Proof(
        "The port answers with bytes that are not HTTP/1.1, and a listen line for it has http2 and none has ssl.",
        lambda case: _flag(case, "http2") and not _flag(case, "tls")),
    "E345_LISTEN_PROXY_PROTOCOL": Proof(
        "The port closes on a plain request, answers one that begins with the PROXY protocol, and is closed from "
        "outside as well.",
        lambda case: _flag(case, "proxied") and bool(case.one("proxy", "bare")) and not opened(case.outside)),
    "E346_HEADERS_NOT_INHERITED": Proof(
        "As for E301, and an outer block has the lines that the inner one lacks.",
        lambda case: _lacks(case, "upgrade", "connection") and bool(case.route.get("hidden"))),
    "E347_HEADER_CHANGED": Proof(
        "The good request is refused with this one header as nginx sends it.", _headers_differ),
    "E348_OTHER_SERVER_BLOCK": Proof(
        "The same request by the other block's name opens; or nginx warns of the conflict, and the first block counts.",
        shadowed),
    "E349_NOT_RELOADED": Proof(
        "What the files say now opens when it is sent straight to the server, and they are newer than nginx's workers.",
        lambda case: case.outdated),
    "E350_PROXY_FULL": Proof(
        "nginx's log says so during the try, or its fullest worker has as many sockets as it may.", _full),
    "E351_UPSTREAM_CERT": Proof("nginx's log says so during the try.", lambda case: bool(case.said("certificate"))),
    "E352_UPSTREAM_NAME": Proof("nginx's log says so during the try.", lambda case: bool(case.said("name"))),
    "E354_RULE_ANSWERS": Proof(
        "By nginx's rules, a return with this status is reached; or it is the only one that may be reached, and what "
        "nginx would send otherwise is accepted by the server.",
        lambda case: answering_rule(case) is not None),
    "E358_SITE_NOT_ENABLED": Proof(
        "nginx -T does not show the file, and by nginx's rules, the path is passed on with it and not without it.",
        lambda case: bool(case.nginx.get("asleep")) and not opened(case.proxy)),
    "E359_AUTH_REQUEST": Proof("nginx's log says so during the try.", lambda case: bool(case.said("subrequest"))),
    "E355_CLIENT_CERT": Proof(
        "The answer is nginx's own text for it.",
        lambda case: any(CLIENT_CERT in each["body"] for each in _answers(case))),
    "E356_PROXY_LOOP": Proof(
        "The request that nginx would send, followed through its configuration again, comes back to the same place.",
        lambda case: bool(case.route.get("loop")) and not opened(case.proxy)),
    "E357_ANSWER_CHANGED": Proof(
        "The header is in the server's 101, and not in nginx's.",
        lambda case: opened(case.proxy) and opened(case.direct)),
    "E408_CONSUMER_RAISES": Proof(
        "The server itself answers a handshake with 5xx or closes with 1011, or nobody has looked at the host.",
        lambda case: not case.route.get("loop") and any(
            each["status"] >= 500 or (each["close"] or {}).get("code") == 1011
            for each in (*case.directs, *([case.outside] if case.outside and _unlooked(case) else [])))),
    "E410_CONNECT_SLOW": Proof(
        "Straight at the server, a plain request is answered, and a handshake is not.",
        _no_answer),
    "E353_UPSTREAM_UNREACHED": Proof(
        "The address is of another host, and a connection from this one fails.",
        lambda case: any(each.get("remote") for each in case.servers)
        and bool(case.direct and case.direct["stage"] in ("name", "tcp"))),
}  # fmt: skip


def _logged(case: Case) -> list[str]:
    return [*case.log, *(line for each in case.units for line in each.get("log", []))]
