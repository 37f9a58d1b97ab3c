"""Broken stacks behind nginx, each with the one code that may be told, and the proofs of all codes.

A stack is a configuration, judged with a server behind it that answers as daphne does.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.doctor import diagnosis, replay
from ansible_collections.channels.stack.plugins.module_utils.doctor.case import Case
from ansible_collections.channels.stack.plugins.module_utils.doctor.catalogue import CATALOGUE
from ansible_collections.channels.stack.plugins.module_utils.doctor.diagnosis import diagnose
from ansible_collections.channels.stack.plugins.module_utils.doctor.proofs import PROOFS, proven
from ansible_collections.channels.stack.plugins.module_utils.host.nginx.look import harmless
from ansible_collections.channels.stack.plugins.module_utils.host.nginx.request import Config
from ansible_collections.channels.stack.plugins.module_utils.websocket import exchange
from test_doctor import RECORDED, at, came, everywhere, healthy
from test_doctor_follow import CASES, FRONTS, PROJECT
from test_doctor_unseen import UNSEEN

SITE = "/etc/nginx/sites-enabled/app"
HOST, PORT, DAPHNE = "192.0.2.7", 8101, "127.0.0.1:9001"
URL, PAGE = f"ws://{HOST}:{PORT}/ws/chat/", "http://chat.example.org"
UP = (
    "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $up; "
    "proxy_set_header Host $http_host;"
)


# --- broken stacks


def daphne(request: replay.Request, tls: bool = False) -> dict[str, Any]:
    """What daphne with one route answers, and checks Origin."""
    answer: dict[str, Any] = {"status": 101}
    values = {name: ", ".join(request.values(name)).lower() for name in request.names()}
    if request.tls != tls:
        answer = {"status": 0, "stage": "tls" if request.tls else "handshake", "reason": "wrong version number"}
    elif values.get("upgrade") != "websocket" or "upgrade" not in values.get("connection", ""):
        answer = {"status": 404}
    elif request.version != "1.1":
        answer = {"status": 505}
    elif request.target.partition("?")[0] != "/ws/chat/":
        answer = {"status": 500}
    elif values.get("origin") != PAGE or "sec-websocket-key" not in values or "token" not in request.target:
        answer = {"status": 403}
    return came("replay", **answer)


def stack(body: str, more: str = "", tls: bool = False, **host: Any) -> dict[str, Any]:
    """The evidence of a site with this body, with daphne behind it, as an examination would collect it."""
    return evidence_of(f"server {{ listen {PORT};\n{body}\n}}\n{more}\n", tls, **host)


def evidence_of(site: str, tls: bool = False, **host: Any) -> dict[str, Any]:
    """The same, for the text of the site's file."""
    text = (
        "nginx version: nginx/1.22.1\n# configuration file /etc/nginx/nginx.conf:\nhttp {\n"
        "map $http_upgrade $up { default upgrade; '' close; }\ninclude sites-enabled/*;\n}\n"
        f"# configuration file {SITE}:\n{site}"
    )
    config, target = Config(text), "/ws/chat/?token=secret"
    headers = exchange.client_headers(f"{HOST}:{PORT}", PAGE)
    route = config.route(HOST, PORT, target, headers, exists=lambda _path: False)
    assert route
    good = replay.Request(target, "1.1", tuple(headers), tls)
    sent = replay.Request(route["uri"], route["http_version"], tuple(route["sends"]), route["scheme"] == "https")
    evidence = copy.deepcopy(healthy())
    nginx = evidence["host"]["nginx"]
    nginx |= {"route": harmless(route), "version": "1.22.1", "said": [], "reach": [], "unread": [], "warnings": [],
              "connections": {"limit": 768, "used": 9, "line": "/etc/nginx/nginx.conf:5", "files": 20,
                              "files_limit": 1024}}  # fmt: skip
    passes = route["handler"] == "proxy_pass" and not route["status"]
    answer = daphne(sent, tls) if passes else came("proxy", status=route["status"] or 504)
    if answer["status"] != 101:
        if passes:
            nginx["replay"] = replay.compare(good, sent, lambda request, _kind: daphne(request, tls))
        answer = {**answer, "via": "proxy"} if answer["status"] else came("proxy", status=502)
    for each in ("replay",) if "outside__0" in host and "host__nginx__replay" not in host else ():
        nginx.pop(each, None)  # what is said of the port is not what nginx has sent
    evidence |= {"url": URL, "origin": PAGE}
    evidence["host"]["project"]["allowed_hosts"] = [HOST, "chat.example.org"]
    evidence["host"]["exchanges"][1] = {**answer, "via": "proxy"}
    evidence["outside"][0] = {**answer, "via": "outside"}
    for path, value in host.items():
        at(evidence, path.replace("__", "."), value)
    return evidence


def ws(inner: str) -> str:
    """A location for sockets."""
    return f"location /ws/ {{ {inner} }}"


GOOD = f"proxy_pass http://{DAPHNE}; {UP}"
NO_HTTP = {"status": 0, "stage": "handshake", "reason": r"the answer is not HTTP: '\x00\x00\x12\x04'"}
CLOSED = {"status": 0, "stage": "handshake", "reason": "closed without an answer"}


def on_port(**answer: Any) -> dict[str, Any]:
    """The same answer on the host's port and from outside."""
    return {"host__exchanges__1": came("proxy", **answer), "outside__0": came("outside", **answer)}


def said(kind: str, line: str = "a line", errno: int = 0) -> dict[str, Any]:
    """A line of nginx's error log."""
    return {"host__nginx__said": [{"kind": kind, "errno": errno, "peer": "", "line": line}], **on_port(status=502)}


#: A broken stack, the code, and what its fix has to have.
STACKS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a slash": (stack(ws(f"proxy_pass http://{DAPHNE}/; {UP}")), "E340_PATH_CHANGED",
                rf"app:2: proxy_pass http://{DAPHNE}; with nothing"),
    "a rewrite": (stack(ws(f"rewrite ^/ws/(.*)$ /$1 break; {GOOD}")), "E340_PATH_CHANGED",
                  r"Remove \S+app:2: rewrite \^/ws/"),
    "a doubled slash": (stack(f"location /ws {{ proxy_pass http://{DAPHNE}/ws/; {UP} }}"), "E340_PATH_CHANGED",
                        f"proxy_pass http://{DAPHNE};"),
    "a lost query": (stack(f"location ~ ^/ws/(.*)$ {{ proxy_pass http://{DAPHNE}/ws/$1; {UP} }}"),
                     "E340_PATH_CHANGED", r"add \$is_args\$args"),
    "TLS to a plain server": (stack(ws(f"proxy_pass https://{DAPHNE}; {UP}")), "E341_TLS_TO_PLAIN",
                              f"app:2: proxy_pass http://{DAPHNE};"),
    "plain to a TLS server": (stack(ws(GOOD), tls=True), "E342_PLAIN_TO_TLS", f"proxy_pass https://{DAPHNE};"),
    "uwsgi_pass": (stack(ws(f"include uwsgi_params; uwsgi_pass {DAPHNE};")), "E343_OTHER_PROTOCOL",
                   f"proxy_pass http://{DAPHNE}; proxy_http_version 1.1; .*Upgrade.*Connection \\$up;$"),
    "fastcgi_pass": (stack(ws(f"fastcgi_pass {DAPHNE}; {UP}")), "E343_OTHER_PROTOCOL",
                     f"in place of fastcgi_pass, proxy_pass http://{DAPHNE}; $"),
    "http2 by another site": (
        stack(ws(GOOD), f"server {{\nlisten {PORT} http2; server_name other; }}", **on_port(**NO_HTTP)),
        "E344_LISTEN_HTTP2", r"app:5: remove http2"),
    "the PROXY protocol by another site": (
        stack(ws(GOOD), f"server {{\nlisten {PORT} proxy_protocol; server_name other; }}",
              outside__0=came("outside", **CLOSED), host__exchanges__4=came("proxy", "bare", **CLOSED)),
        "E345_LISTEN_PROXY_PROTOCOL", r"app:5: remove proxy_protocol"),
    "a nested location": (
        stack(f"location / {{ {GOOD}\nlocation /ws/ {{ proxy_set_header Host $host; proxy_pass http://{DAPHNE}; }} }}"),
        "E346_HEADERS_NOT_INHERITED",
        r"^In \S+app:3: proxy_set_header Upgrade \$http_upgrade; proxy_set_header Connection \$up;$"),
    "no lines": (stack(ws(f"proxy_pass http://{DAPHNE};")), "E301_UPGRADE_LOST", r"proxy_http_version 1\.1; .*Upgrade"),
    "an empty Connection": (
        stack(ws(f'proxy_pass http://{DAPHNE}; {UP.replace("Connection $up", "Connection close")}')),
        "E302_CONNECTION_LOST", r"^In \S+: proxy_set_header Connection \$up; in place of what is at \S+:2$"),
    "an Origin that is dropped": (stack(ws(f'{GOOD} proxy_set_header Origin "";')), "E347_HEADER_CHANGED",
                                  r"proxy_set_header Origin \$http_origin; in place"),
    "headers that are dropped": (stack(ws(f"{GOOD} proxy_pass_request_headers off;")), "E347_HEADER_CHANGED",
                                 "remove proxy_pass_request_headers off"),
    "another server block": (
        stack("return 404;", f"server {{ listen {PORT}; server_name chat.example.org; {ws(GOOD)} }}",
              host__nginx__other_name=came("proxy")), "E348_OTHER_SERVER_BLOCK",
        rf"app:4: server_name chat\.example\.org {re.escape(HOST)};"),
    "two server blocks of one name": (
        stack(f"server_name {HOST}; return 404;", f"server {{ listen {PORT}; server_name {HOST}; {ws(GOOD)} }}",
              host__nginx__warnings=[f'conflicting server name "{HOST}" on 0.0.0.0:{PORT}, ignored']),
        "E348_OTHER_SERVER_BLOCK", "Remove the block in .*app:1,"),
    "no reload": (
        stack(ws(GOOD), host__nginx__replay={"whole": came("replay"), "trials": [], "causes": [], "mended": False},
              host__nginx__unread=[SITE], **on_port(status=404)), "E349_NOT_RELOADED", "systemctl reload nginx"),
    "no reload after a new port": (
        stack(ws(GOOD), host__nginx__replay={"whole": came("replay"), "trials": [], "causes": [], "mended": False},
              host__nginx__unread=[SITE], **on_port(status=0, stage="tcp", reason="Connection refused")),
        "E349_NOT_RELOADED", "systemctl reload nginx"),
    "no connection left": (
        stack(ws(GOOD), **{**said("connections", "768 worker_connections are not enough"), **on_port(**CLOSED)}),
        "E350_PROXY_FULL", r"nginx\.conf:5: worker_connections 16384;"),
    "a worker that is full": (
        stack(ws(GOOD), host__nginx__connections={"limit": 64, "used": 64, "line": "x:3", "files": 70,
                                                  "files_limit": 1024}, **on_port(**CLOSED)),
        "E350_PROXY_FULL", "In x:3: worker_connections 16384;"),
    "a certificate that nginx refuses": (stack(ws(GOOD), **said("certificate")), "E351_UPSTREAM_CERT",
                                         "proxy_ssl_trusted_certificate"),
    "a name that nginx cannot resolve": (stack(ws(GOOD), **said("name")), "E352_UPSTREAM_NAME", "resolver"),
    "a server on another host": (
        stack(ws(GOOD), host__servers=[{"address": "tcp:192.0.2.9:9001", "pid": 0, "remote": True}],
              host__upstream=[{"address": "tcp:192.0.2.9:9001", "listening": False}],
              host__exchanges__0=came("process", status=0, stage="tcp", reason="Connection refused"),
              **on_port(status=502)), "E353_UPSTREAM_UNREACHED", r"On 192\.0\.2\.9: start the server"),
    "a socket's mode": (stack(ws(GOOD), **said("connect", "connect() to unix:/run/a.sock failed (13:", 13)),
                        "E113_SOCKET_PERMISSION", "chmod 660"),
    "a folder's mode": (
        stack(ws(GOOD), host__nginx__reach=[
            {"address": "unix:/home/a/d.sock", "errno": 13, "user": "www-data",
             "ways": [{"path": "/home/a", "mode": "700", "folder": True}]}], **on_port(status=502)),
        "E113_SOCKET_PERMISSION", r"^chmod o\+x /home/a$"),
    "nobody there": (
        stack(ws(GOOD), host__upstream=[{"address": "tcp:127.0.0.1:9009", "listening": False}], **on_port(status=502)),
        "E307_UPSTREAM_ELSEWHERE", "127.0.0.1:8001"),
    "a deny": (stack("deny all;" + ws(GOOD), host__nginx__unread=[SITE],
                     host__nginx__replay={"whole": came("replay"), "trials": [], "causes": [], "mended": False},
                     **on_port(status=403)), "E310_PROXY_REFUSES", "deny all.*allow all;$"),
    "a login": (stack('auth_basic "x";' + ws(GOOD), **on_port(status=401)), "E310_PROXY_REFUSES", "auth_basic off;$"),
    "an expression that takes the path": (
        stack("location ~ chat { try_files $uri =404; }" + ws(GOOD)), "E313_PATH_NOT_PROXIED",
        r"location \^~ /ws/chat/ \{ proxy_pass http://127\.0\.0\.1:8001; proxy_http_version"),
    "a location without a pass": (stack("location = /ws/chat/ { root /var/www; }" + ws(GOOD)), "E313_PATH_NOT_PROXIED",
                                  r"^In \S+app:2: proxy_pass http://127\.0\.0\.1:8001; "),
    "a return": (stack("location = /ws/chat/ { return 404; }" + ws(GOOD)), "E354_RULE_ANSWERS",
                 r"in place of return 404, proxy_pass http://127\.0\.0\.1:8001; proxy_http_version 1\.1; .*Upgrade"),
    "a rule for other Origins": (
        stack("if ($http_origin !~ ^https://www) {\nreturn 403;\n}\n" + ws(GOOD)), "E354_RULE_ANSWERS",
        r"^Remove \S+app:3: return 403;"),
    "a rule that nobody can follow": (
        stack("if ($invalid_referer) {\nreturn 403;\n}\n" + ws(GOOD),
              host__nginx__replay={"whole": came("replay"), "trials": [], "causes": [], "mended": False},
              **on_port(status=403)), "E354_RULE_ANSWERS", r"^Remove \S+app:3: if \(\$invalid_referer\)"),
    "a return that closes": (stack("return 444;", **on_port(**CLOSED)), "E354_RULE_ANSWERS", "Remove .*: return 444"),
    "a request for permission that fails": (
        stack("location = /auth { return 404; }\nlocation /ws/ {\nauth_request /auth;\n" + GOOD + "}",
              **said("subrequest", "auth request unexpected status: 404 while sending") | on_port(status=500)),
        "E359_AUTH_REQUEST", r"\(\S+app:4: auth_request /auth\).* auth_request off;$"),
    "a site without its link": (
        stack("location / { try_files $uri =404; }",
              host__nginx__asleep={"file": "/etc/nginx/sites-available/chat", "folder": "/etc/nginx/sites-enabled"}),
        "E358_SITE_NOT_ENABLED", "^ln -s /etc/nginx/sites-available/chat /etc/nginx/sites-enabled/ && nginx -t"),
    "a client's certificate": (
        stack(ws(GOOD), **on_port(status=400, body="<center>No required SSL certificate was sent</center>")),
        "E355_CLIENT_CERT", "ssl_verify_client optional"),
    "a loop": (stack(ws(f"proxy_pass http://127.0.0.1:{PORT}; {UP}"), **on_port(status=502)), "E356_PROXY_LOOP",
               "tcp:127.0.0.1:8001"),
    "an answer that is cut": (
        stack(ws(GOOD + "\nproxy_hide_header Sec-WebSocket-Accept;"),
              host__exchanges__0=came("process", headers={"upgrade": "websocket", "sec-websocket-accept": "x"}),
              **on_port(headers={"upgrade": "websocket"})), "E357_ANSWER_CHANGED", "Remove .*app:3: proxy_hide_header"),
    "a full upstream": (
        stack(f"location /ws/ {{ proxy_pass http://back; {UP} }}",
              f"upstream back {{\nserver {DAPHNE} max_conns=2;\n}}", **said("no_servers")), "E350_PROXY_FULL",
        "remove max_conns"),
    "something strange": (stack(ws(GOOD), **on_port(status=418)), "E905_UNEXPLAINED", "."),
    "a 502 for no reason": (stack(ws(GOOD), **on_port(status=502)), "E905_UNEXPLAINED", "."),
    "a 403 for no reason": (stack(ws(GOOD), **on_port(status=403)), "E905_UNEXPLAINED", "."),
}  # fmt: skip


@pytest.mark.parametrize("name", STACKS)
def test_a_broken_stack_has_its_cause_and_no_other(name: str) -> None:
    evidence, code, fix = STACKS[name]
    report = diagnose(evidence)
    assert report["verdict"] == code, report
    assert re.search(fix, report["finding"]["fix"]), report["finding"]["fix"]
    assert "…" not in report["finding"]["cause"] + report["finding"]["fix"], report["finding"]
    accused = [each["code"] for each in report["noticed"] if each["severity"] == "error"]
    assert accused == [], f"{accused} are told besides"
    assert "secret" not in json.dumps(evidence)


@pytest.mark.parametrize("body", [
    ws(GOOD), f"location ~ ^/ws/(?<rest>.*)$ {{ {GOOD} }}", f"location /ws/ {{ proxy_pass http://{DAPHNE}/ws/; {UP} }}",
    f"location / {{ if ($http_upgrade) {{ return 418; }} }} error_page 418 = @ws; location @ws {{ {GOOD} }}",
    f"rewrite ^/ws/(.*)$ /inner/$1; location /inner/ {{ internal; proxy_pass http://{DAPHNE}/ws/; {UP} }}",
    f"location / {{ try_files $uri @ws; }} location @ws {{ {GOOD} }}",
    f"rewrite ^/ws/(.*)$ /sockets/$1; location /sockets/ {{ proxy_pass http://{DAPHNE}/ws/; {UP} }}",
    f"location ^~ /ws/ {{ {GOOD} }} location ~ chat {{ return 404; }}",
    f"set $back {DAPHNE}; location /ws/ {{ proxy_pass http://$back$request_uri; {UP} }}",
])  # fmt: skip
def test_a_sound_stack_is_sound(body: str) -> None:
    report = diagnose(stack(body))
    assert report["ok"] and not [each for each in report["noticed"] if each["severity"] == "error"], report


# --- proofs


def layer(error: str, speaks: str = "plain") -> dict[str, Any]:
    """A layer whose own test ends with an error."""
    host = {"scheme": "redis", "host": "127.0.0.1", "port": 6379, "options": [], "speaks": speaks}
    return {**everywhere(status=500), "host__project__layer_error": error, "host__project__layer_hosts": [host]}


PAGE_OF = {"origin": "https://app.example.org", "secure": False, "redirects": True, "csrf": True, "trusted": [],
           "host": "app.example.org", "cookies": {}}  # fmt: skip
CUT = {"close": {"code": 1011, "reason": "", "at": 5.0}}
#: What else proves a code of the project, its token and its layer, beside a healthy host's evidence.
PROVEN: dict[str, dict[str, Any]] = {
    "E201_ASGI_MODULE": {"host__bundle": {"app": "app", "application": "core.azgi:application"},
                         "host__project__import_error": "ModuleNotFoundError: No module named 'core.azgi'"},
    "E202_ASGI_ATTRIBUTE": {"host__bundle": {"app": "app"}, "host__project__import_error":
                            "AttributeError: module 'core.asgi' has no attribute 'app'"},
    "E203_APPS_NOT_READY": {"host__bundle": {"app": "app"}, "host__project__import_error":
                            "AppRegistryNotReady: Apps aren't loaded yet."},
    "E204_IMPORT_ERROR": {"host__bundle": {"app": "app"}, "host__project__import_error": "KeyError: 'SECRET_KEY'"},
    "E402_TOKEN_BAD": everywhere(status=403),
    "E403_TOKEN_EXPIRED": {**everywhere(status=403), "token__claims": {"exp": 1.7e9}},
    "E404_NO_ROUTE": {**everywhere(status=500), "host__log": ["ValueError: No route found for path 'ws/nowhere/'."]},
    "E405_ORIGIN": {**everywhere(status=403),
                    "host__exchanges__5": came("process", "other_origin", origin="https://o.example")},
    "E406_ALLOWED_HOSTS": {"host__project__allowed_hosts": ["a.example"],
                           "host__exchanges__2": came("process", "http", status=400)},
    "E411_TOKEN_COMMAND": {**everywhere(status=403), "token__present": False,
                           "host__project__not_minted": {"good": "CommandError"}},
    "E417_HTTPS_LOOP": {"host__project__page": PAGE_OF},
    "E418_HTTPS_MISSING": {"host__project__page": {**PAGE_OF, "origin": "http://app.example.org"}},
    "E501_REDIS_DOWN": layer("ConnectionError: Error 111 connecting to 127.0.0.1:6379. Refused.", speaks="refused"),
    "E502_REDIS_PASSWORD": layer("AuthenticationError: WRONGPASS invalid username-password pair or user is disabled."),
    "E503_REDIS_ACL": layer("NoPermissionError: NOPERM User chat has no permissions to run the 'bzpopmin' command"),
    "E507_REDIS_CLIENTS": layer("ConnectionError: max number of clients reached"),
    "E510_LAYER": layer("ConnectionError: Connection closed by server."),
    "E504_REDIS_DATABASE": layer("ResponseError: DB index is out of range"),
    "E601_IDLE_PROXY": {"host__exchanges__1": came("proxy", **CUT), "outside__0": came("outside", **CUT)},
    "E603_REDIS_PY_8": {**everywhere(**CUT), "host__project__layer": "channels_redis.core.RedisChannelLayer",
                        "host__project__versions": {"redis": "8.0.1"}},
    "E607_WEBSOCKET_TIMEOUT": {**everywhere(close={"code": 1000, "reason": "", "at": 5.0}),
                               "host__processes__0__websocket_timeout": 4.0},
}  # fmt: skip


def everything() -> dict[str, tuple[str, dict[str, Any]]]:
    """The evidence of every recorded case and stack, with its code."""
    cases = {name: (code, evidence) for name, (evidence, code, _fix) in STACKS.items()}
    for code, (changes, _fix) in RECORDED.items():
        evidence = copy.deepcopy(healthy())
        for path, value in changes.items():
            at(evidence, path.replace("__", "."), value)
        cases[code] = code, evidence
    more = [*PROVEN.items(), *((code, PROJECT | changes) for code, changes, _ in CASES),
            *((code, changes) for code, changes, _ in (*FRONTS, *UNSEEN))]  # fmt: skip
    for number, (code, changes) in enumerate(more):
        evidence = copy.deepcopy(healthy())
        for path, value in changes.items():
            at(evidence, path.replace("__", "."), copy.deepcopy(value))
        cases[f"{code} {number}"] = code, evidence
    return cases


@pytest.mark.parametrize("code", PROOFS)
def test_a_code_has_its_proof_in_its_own_cases_and_tells_nothing_in_those_of_others(code: str) -> None:
    own = others = 0
    for name, (verdict, evidence) in everything().items():
        if verdict == code:
            assert proven(code, Case(evidence)), f"{name} does not prove {code}"
            own += 1
            continue
        report = diagnose(evidence)
        told = [each["code"] for each in [report["finding"], *report["noticed"]] if each]
        assert code not in told, f"{code} is told for {name}, which is {verdict}"
        others += 1
    assert others > 50 and (own or code in ("E305_REDIRECT_HTTPS", "E306_REDIRECT_PATH", "E107_STALE_SOCKET",
        "E304_HEADER_BUFFERS", "E311_LIMIT", "E308_PROXY_DOWN", "E309_PROXY_CONFIG", "E104_NOT_RUNNING",
        "E110_OPEN_FILES", "E408_CONSUMER_RAISES")), "no case here has this code"  # fmt: skip


@pytest.mark.parametrize("code", PROVEN)
def test_a_project_s_code_is_the_verdict_of_its_own_case(code: str) -> None:
    """No other error is told besides."""
    (evidence,) = (evidence for name, (_, evidence) in everything().items() if name.startswith(f"{code} ") and
                   name.rpartition(" ")[2] == str(list(PROVEN).index(code)))  # fmt: skip
    report = diagnose(evidence)
    assert report["verdict"] == code, report["finding"]
    assert [each["code"] for each in report["noticed"] if each["severity"] == "error"] == []


def test_a_finding_without_its_proof_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a rule says: this one accuses everything of everything."""
    monkeypatch.setattr(diagnosis, "RULES", (lambda case: (case.find(code) for code in PROOFS),))
    told: dict[str, set[str]] = {}
    for name, (code, evidence) in everything().items():
        report = diagnose(evidence)
        told[name] = {each["code"] for each in [report["finding"], *report["noticed"]] if each}
        assert code not in PROOFS or code in told[name], f"{name} does not prove {code}"
    assert told["a 403 for no reason"] <= {"E905_UNEXPLAINED"}
    assert max(map(len, told.values())) < 8, {name: codes for name, codes in told.items() if len(codes) > 7}
    assert set(PROOFS) <= set(CATALOGUE)


def test_differences_that_matter_only_together_are_found() -> None:
    """Each alone is accepted; the first whose removal helps is told."""
    good = replay.Request("/ws/", "1.1", (("Upgrade", "websocket"), ("A", "1"), ("B", "1")))
    sent = replay.Request("/ws/", "1.1", (("Upgrade", "websocket"), ("a", "2"), ("b", "2"), ("X-More", "x")))

    def attempt(request: replay.Request, _kind: str) -> dict[str, Any]:
        both = request.values("a") == ["2"] and request.values("b") == ["2"]
        return came("replay", status=400 if both else 101)

    found = replay.compare(good, sent, attempt)
    assert (found["causes"], found["mended"]) == (["a"], True)
    assert [each["name"] for each in found["trials"]] == ["a", "b", "x-more"]
