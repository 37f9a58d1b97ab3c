"""Stacks that nobody here had seen before: units that systemd cannot start, consumers and layers as people write them.

Each case was recorded on a host.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.doctor.rules.unit_start import AWAITED
from test_doctor import came, everywhere, judged
from test_doctor_follow import APACHE, front_is

REFUSED = everywhere(status=403)
HANGS = everywhere(status=0, stage="handshake", reason="Connection reset by peer")
CHAIN = ["OriginValidator", "CookieMiddleware", "SessionMiddleware", "AuthMiddleware", "URLRouter"]
FILE = "/srv/chat/consumers.py"


def source(text: str, sync: bool = False, answer: dict[str, Any] = HANGS, **connect: Any) -> dict[str, Any]:
    """A consumer behind Channels' own middleware, with what its source says."""
    about = {"file": FILE, "line": 6, "async": not sync, "accepts": True, "unawaited": 0, "closes": [], "users": [],
             "tokens": [], **connect}  # fmt: skip
    return {
        **answer, "host__project__types": ["http", "websocket"], "host__project__chain": CHAIN,
        "host__project__foreign": [], "host__project__origin_allowed": True,
        "host__project__consumer": {"name": text, "sync": sync, "bare": False, "connect": about},
    }  # fmt: skip


def unit(status: str, line: str, result: str = "exit-code", **setup: Any) -> dict[str, Any]:
    """A unit that systemd cannot start, and nobody who listens where nginx leads to."""
    about = {
        "file": "/etc/systemd/system/chat.service", "load": "loaded", "folder": "/srv/chat", "user": "deploy",
        "group": "", "changed": False, "program": "/srv/venv/bin/daphne", "program_there": True, "program_runs": True,
        "interpreter": "", "folder_there": True, "homes_hidden": [], "closed": "", **setup,
    }  # fmt: skip
    made = {"unit": "chat.service", "state": "failed", "sub": "failed", "result": result, "restarts": 5, "pid": 0,
            "status": status, "command": "/srv/venv/bin/daphne -p 8001", "log": [line], "setup": about}  # fmt: skip
    return {**DEAD, "host__units": [made]}


DEAD = {
    **everywhere(status=502), "host__servers": [{"address": "tcp:127.0.0.1:8001", "pid": 0}], "host__processes": [],
    "host__upstream": [{"address": "tcp:127.0.0.1:8001", "listening": False}],
    "host__exchanges": [came("proxy", status=502)],
}  # fmt: skip
CHDIR = "chat.service: Failed at step CHDIR spawning /srv/venv/bin/daphne: No such file or directory"
EXEC = "chat.service: Failed at step EXEC spawning /srv/venv/bin/daphne: No such file or directory"
BACKEND = "InvalidChannelLayerError: Cannot import BACKEND 'asgi_redis.RedisChannelLayer' specified for default"
GUNICORN = {"pid": 10, "parent": 1, "server": "gunicorn", "name": "python", "speaks": False, "command": "gunicorn",
            "user": "app", "folder": "/opt/app", "application": "core.wsgi:application", "ping": 20.0, "files": 20,
            "listens": ["tcp:127.0.0.1:8001"], "limit": 1024, "unit": "app.service"}  # fmt: skip
INIT = {**GUNICORN, "pid": 1, "server": "", "name": "init", "command": "/sbin/init", "application": ""}
PROTECTED = "ResponseError: DENIED Redis is running in protected mode because protected mode is enabled"


FRONT = {"outside__0": "outside", "host__exchanges__0": "proxy"}
LIBRARY = {"host__project__versions": {"uvicorn": "0.34", "websockets": "14"}}


REFUSING = "redis.exceptions.ConnectionError: Error 99 connecting to localhost:6379. Cannot assign requested address."
POSTGRES = 'OperationalError: connection to server at "localhost" (::1) failed: Cannot assign requested address'
ENDED = "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol (_ssl.c:1016)"
PROXIED = {"address": "", "port": 443, "tls": True, "proxied": True, "lines": {"proxied": "x:3: listen 443 ssl …"}}
NOT_CONFIGURED = "Requested setting INSTALLED_APPS, but settings are not configured."


def chained(answer: dict[str, Any], **way: Any) -> dict[str, Any]:
    """A HAProxy in front of an nginx that does well by itself."""
    front = front_is("HAProxy", answer, **way)["host__front"]
    return {"host__front": {**front, "chained": True}, "outside__0": came("outside", **answer),
            "host__nginx__route__listen": {"address": "", "port": 443, "tls": True, "proxied": False}}  # fmt: skip


def crashing(error: str) -> dict[str, Any]:
    """A unit whose server ends at each start, with an error of Python's."""
    return {"unit": "chat.service", "state": "activating", "sub": "auto-restart", "result": "exit-code", "restarts": 5,
            "pid": 0, "status": "1", "command": "daphne -p 8001 core.asgi:application",
            "log": [f"ModuleNotFoundError: {error}"]}  # fmt: skip


def dying(line: str, command: str = "/srv/venv/bin/daphne -p 8001 core.asgi:application") -> dict[str, Any]:
    """A server that ends at each start, with this line as its last."""
    return {**DEAD, "host__units": [{**crashing(""), "command": command, "log": [line]}]}


def barred(peer: str) -> dict[str, Any]:
    """An nginx whose log says that it may not connect."""
    said = {"kind": "connect", "errno": 13, "peer": peer, "line": f"connect() to {peer} failed (13: Permission denied)"}
    return {"outside__0": came("outside", status=502), "host__exchanges__1": came("proxy", status=502),
            "host__nginx__said": [said]}  # fmt: skip


def raising(line: str, **other: Any) -> dict[str, Any]:
    """A server that runs, and an application that logs this line and answers 500."""
    return {**everywhere(status=500), "host__log": [line], **other}


#: A code, what differs from a healthy host, and a part of the fix.
UNSEEN: list[tuple[str, dict[str, Any], str]] = [
    ("E124_UNIT_CANNOT_START", unit("200", CHDIR, folder_there=False), "WorkingDirectory="),
    ("E124_UNIT_CANNOT_START", unit("217", "Failed at step USER spawning x: No such process"), "User="),
    ("E124_UNIT_CANNOT_START", unit("200", CHDIR, closed="/home/deploy"), "^chmod o\\+x /home/deploy;"),
    ("E124_UNIT_CANNOT_START", unit("203", EXEC, homes_hidden=["/home/deploy/venv/bin/daphne"]), "ProtectHome=no"),
    ("E124_UNIT_CANNOT_START", unit("203", EXEC, interpreter="/old/venv/bin/python"), "ExecStart= with python -m"),
    ("E124_UNIT_CANNOT_START", unit("203", EXEC, program_runs=False), "chmod \\+x"),
    ("E124_UNIT_CANNOT_START", unit(
        "0", "chat.service: Failed to load environment files: No such file or directory", "resources"),
     "EnvironmentFile="),
    ("E124_UNIT_CANNOT_START", unit(
        "0", "/etc/systemd/system/chat.service:8: Neither a valid executable name nor an absolute path: venv/daphne",
        "success", load="bad-setting"), "ExecStart= with the whole path"),
    ("E103_SERVER_MISSING", unit("203", EXEC, program_there=False), "pip install daphne"),
    ("E125_UNIT_NOT_RELOADED", {
        "outside__0": came("outside", status=502), "host__exchanges__1": came("proxy", status=502),
        "host__upstream": [{"address": "tcp:127.0.0.1:7", "listening": False}],
        "host__units__0__setup": {"file": "/etc/systemd/system/app.service", "changed": True},
     }, "daemon-reload && systemctl restart app"),
    ("E125_UNIT_NOT_RELOADED", {
        "outside__0": came("outside", status=502), "host__exchanges__1": came("proxy", status=502),
        "host__upstream": [{"address": "tcp:127.0.0.1:7", "listening": False}],
        "host__units__0__command": "daphne -p 7", "host__units__0__setup": {"file": "x", "changed": False},
     }, "daemon-reload && systemctl restart app"),
    ("E451_NEVER_ACCEPTS", source("Chat", accepts=False), f"In {FILE}:6: await self.accept"),
    ("E451_NEVER_ACCEPTS", source("Chat", unawaited=9), f"In {FILE}:9: await self.accept"),
    ("E451_NEVER_ACCEPTS", source("Chat", sync=True, **{"async": True}), "AsyncWebsocketConsumer"),
    ("E452_TOKEN_UNREAD", source("Chat", answer=REFUSED, users=["user"], closes=[8]), "a middleware of your own"),
    ("E453_CONSUMER_CLOSES", source("Chat", answer=REFUSED, closes=[11]), f"{FILE}:11"),
    ("E454_OTHER_PATH", {
        **everywhere(status=404), "host__processes": [GUNICORN], "host__project__unrouted": ["^ws/chat/(?P<room>.*)/$"],
        "host__project__types": ["http", "websocket"],
        "host__nginx__route__headers": {}, "host__nginx__route__http_version": "1.0",
     }, "a path that is among the routes"),
    ("E251_NO_WEBSOCKET", {**REFUSED, "host__project__types": ["wsgi"], "host__project__others": ["core.asgi:served"],
                           "host__exchanges__2": came("process", "http", status=500)}, "core.asgi:served in place"),
    ("E541_LAYER_BACKEND", {**everywhere(status=500), "host__project__layer_error": BACKEND,
                            "host__log": ["ModuleNotFoundError: No module named 'asgi_redis'"]}, "channels_redis"),
    ("E542_REDIS_SOCKET_DENIED", {
        **everywhere(status=500), "host__project__layer_error":
        "ConnectionError: Error 13 connecting to /run/redis/redis.sock. Permission denied."}, "usermod -aG redis"),
    ("E543_NO_LAYER", {**everywhere(status=500), "host__project__layer": "", "host__log": [
        "AttributeError: 'NoneType' object has no attribute 'group_add'"]}, "CHANNEL_LAYERS = "),
    ("E206_SETTINGS_MODULE", {**DEAD, "host__units": [crashing("No module named 'core.settings.prod'")]},
     "^DJANGO_SETTINGS_MODULE: a module that exists"),
    ("E206_SETTINGS_MODULE", {**DEAD, "host__units": [], "host__project__settings": "core.conf",
                              "host__project__import_error": "ModuleNotFoundError: No module named 'core.conf'"},
     "^DJANGO_SETTINGS_MODULE: a module that exists"),
    ("E204_IMPORT_ERROR", {**DEAD, "host__units": [crashing("No module named 'core.middleware'")]}, "import core.asgi"),
    ("E201_ASGI_MODULE", {**DEAD, "host__units": [crashing("No module named 'core'")]}, "FOLDER-OF-manage.py"),
    ("E126_NOBODY_BEHIND", {
        **HANGS, "host__processes": [{**GUNICORN, "server": "", "name": "docker-proxy", "command": "docker-proxy -x"}],
        "host__exchanges__2": came("process", "http", status=0, stage="handshake", reason="closed"),
     }, r"daphne -b 0\.0\.0\.0 .* --filter publish=8001"),
    ("E204_IMPORT_ERROR", {
        **HANGS, "host__servers": [{"address": "tcp:127.0.0.1:8001", "pid": 1}], "host__processes": [INIT],
        "host__units": [crashing("No module named 'corsheaders'")],
     }, "import core.asgi"),
    ("E544_REDIS_PROTECTED", {**everywhere(status=500), "host__project__layer_error": PROTECTED}, "requirepass"),
    ("E544_REDIS_PROTECTED", {**everywhere(status=500), "host__project__layer_error": "ConnectionError: closed",
                              "host__project__layer_hosts": [{"scheme": "redis", "host": "10.0.0.1", "port": 6379,
                                                              "options": [], "speaks": "protected"}]}, "requirepass"),
    ("E207_NO_SETTINGS", unit("1", f"django.core.exceptions.ImproperlyConfigured: {NOT_CONFIGURED}",
                              names_settings=False), "Environment=DJANGO_SETTINGS_MODULE=core"),
    ("E102_WSGI", {**everywhere(status=500), "host__processes": [GUNICORN], "host__log": [
        "TypeError: ProtocolTypeRouter.__call__() missing 1 required positional argument: 'send'"]}, "with: daphne"),
    ("E545_OTHER_LAYER", {
        "host__relatives": [{"what": "celery worker", "kind": "celery", "command": "worker", "pid": 7,
                             "sends": "chat/tasks.py", "elsewhere": [
                                 {"name": "REDIS_URL", "server": "127.0.0.1:6379/0", "worker": "127.0.0.1:6379/1"}]}],
        "host__project__layer_hosts": [{"scheme": "redis", "host": "127.0.0.1", "port": 6379, "database": "0"}],
     }, "^REDIS_URL: the same for both"),
    ("E127_SOCKET_FOLDER", {**DEAD, "host__units": [{**crashing(""), "log": [
        "Listen failure: Couldn't listen on any:b'/run/chat/d.sock': [Errno 2] No such file or directory."]}]},
     "echo 'd /run/chat 0755 USER USER -'"),
    ("E127_SOCKET_FOLDER", {**DEAD, "host__units": [{**crashing(""), "log": [
        "CRITICAL Listen failure: [Errno 13] Permission denied: '7153' -> b'/run/d.sock.lock'"]}]},
     "d /run/channels 0755"),
    ("E127_SOCKET_FOLDER", {**DEAD, "host__servers": [{"address": "unix:/run/app/u.sock", "pid": 0}], "host__units": [{
        **crashing(""), "command": "uvicorn --uds /run/app/u.sock core.asgi:application",
        "log": ["ERROR:    [Errno 2] No such file or directory"]}]}, "echo 'd /run/app 0755"),
    ("E128_BIND_ADDRESS", {**DEAD, "host__units": [{**crashing(""), "log": [
        "CannotListenError: Couldn't listen on 198.51.100.7:8001: [Errno 99] Cannot assign requested address."]}]},
     "-b 127.0.0.1"),
    *(("E129_PORT_DENIED", {**DEAD, "host__units": [{**crashing(""), "log": [line]}]}, "CAP_NET_BIND") for line in (
        "CRITICAL Listen failure: Couldn't listen on 0.0.0.0:80: [Errno 13] Permission denied.",
        "ERROR:    [Errno 13] error while attempting to bind on address ('0.0.0.0', 80): permission denied")),
    ("E130_WORKER_CLASS", {**DEAD, "host__units": [{**crashing(""), "log": [
        "Error: class uri 'uvicorn.workers.UvicornWorker' invalid or not found: ", "[Traceback:",
        "ModuleNotFoundError: No module named 'uvicorn.workers'", "]"]}]}, "-k uvicorn_worker.UvicornWorker"),
    # A name that the module of worker classes lacks: gunicorn shows Python's own error.
    *(("E130_WORKER_CLASS", dying(f"AttributeError: module '{module}' has no attribute 'Wroker'",
                                  f"gunicorn -k {module}.Wroker core.asgi:application"), "-k uvicorn_worker.Uvicorn")
      for module in ("uvicorn.workers", "core.workers")),
    ("E202_ASGI_ATTRIBUTE", dying("AttributeError: module 'core.asgi' has no attribute 'application'"), "core.asgi:"),
    ("E202_ASGI_ATTRIBUTE", dying("Failed to find attribute 'application' in 'core.asgi'."), "core.asgi:application"),
    ("E205_ASGI_PATH", dying("ValueError: not enough values to unpack (expected 2, got 1)",
                             "daphne -p 8001 core.asgi.application"), "core.asgi:application on the command line"),
    ("E501_REDIS_DOWN", raising(REFUSING, host__project__hosts=["localhost:6379/0"]), "systemctl start redis"),
    ("E501_REDIS_DOWN", {**everywhere(status=500), "host__project__layer_error":
                         "TimeoutError: Timeout connecting to server"}, "systemctl start redis"),
    *(("E133_NEVER_READY", {"host__units__0__state": "activating", "host__units__0__sub": "start",
                            "host__units__0__command": "daphne -p 8001 core.asgi:application",
                            "host__units__0__setup": {"type": kind, "file": "/etc/systemd/system/app.service"}},
       "^In /etc/systemd/system/app.service: Type=simple; then systemctl daemon-reload") for kind in AWAITED),
    ("E133_NEVER_READY", unit("0", "chat.service: start operation timed out. Terminating.", "timeout", type="notify"),
     "Type=simple"),
    ("E360_CONNECT_BARRED", barred("127.0.0.1:8001"), "setsebool -P httpd_can_network_connect 1"),
    ("E345_LISTEN_PROXY_PROTOCOL", {
        "outside__0": came("outside", stage="tls", reason=ENDED, status=0), "host__nginx__route__listen": PROXIED,
        "host__nginx__route__sends": [], "host__exchanges__5": came("proxy", "bare", stage="tls", status=0),
     }, "remove proxy_protocol"),
    ("E546_REDIS_CLUSTER", {**everywhere(status=500), "host__project__layer_error": "MovedError: 3999 10.0.0.2:6379"},
     "without cluster mode"),
    ("E547_DATABASE_FULL", raising("django.db.utils.OperationalError: FATAL:  sorry, too many clients already"),
     "CONN_MAX_AGE = 0"),
    ("E547_DATABASE_FULL", {**everywhere(status=500), "host__project__database_error":
                            "OperationalError: FATAL:  sorry, too many clients already"}, "CONN_MAX_AGE = 0"),
    ("E103_SERVER_MISSING", {**DEAD, "host__units": [], "host__programs": [
        {"program": "chat", "state": "FATAL", "text": "can't find command '/srv/venv/bin/daphne'", "pid": 0,
         "log": ["ModuleNotFoundError: No module named 'core'"]}]}, "pip install daphne"),
    ("E131_FD_UNIX", {**HANGS, "host__processes__0__command": "daphne --fd 0 core.asgi:application",
                      "host__processes__0__listens": ["unix:/run/chat.sock"],
                      "host__exchanges__2": came("process", "http", status=0, stage="handshake", reason="Broken pipe"),
                      }, "daphne -u /run/chat.sock, and neither"),
    ("E127_SOCKET_FOLDER", {
        **HANGS, "host__exchanges__2": came("process", "http", status=0, stage="handshake", reason="no answer"),
        "host__log": ["CRITICAL Listen failure: [Errno 2] No such file or directory: '18' -> b'/run/d/d.sock.lock'"],
     }, "echo 'd /run/d 0755"),
    ("E204_IMPORT_ERROR", {
        **HANGS, "host__exchanges__2": came("process", "http", status=0, stage="handshake", reason="no answer"),
        "host__processes__0__server": "gunicorn with uvicorn workers", "host__log": [
            "ModuleNotFoundError: No module named 'corsheaders'", "[2140] [ERROR] Reason: Worker failed to boot."],
     }, "import core.asgi"),
    ("E307_UPSTREAM_ELSEWHERE", {
        "outside__0": came("outside", status=502), "host__exchanges__1": came("proxy", status=502),
        "host__upstream": [{"address": "tcp:::1:8001", "listening": False}],
        "host__nginx__said": [{"kind": "connect", "errno": 99, "peer": "[::1]:8001", "line": "connect() failed (99:"}],
     }, "to 127.0.0.1:8001"),
    ("E409_CLOCK", {**REFUSED, "token__claims": {"nbf": 1.8e9 + 3600, "exp": 1.8e9 + 7200}}, "timedatectl"),
    ("E370_APACHE_PATH", front_is("Apache", {"status": 500}, **{
        **APACHE, "scheme": "ws", "target": "ws://127.0.0.1:8001/", "asked": "/chat/", "prefix": "/ws/"}) | {
            "host__log": ["No route found for path 'chat/'."]}, "in place of it"),
    ("E132_NOT_PUBLISHED", {**DEAD, "host__units": [], "host__processes": [
        {**GUNICORN, "server": "daphne", "speaks": True, "listens": [], "apart": ["tcp:0.0.0.0:8001"]}]},
     r'ports: \["127\.0\.0\.1:8001:8001"\]'),
    ("E455_MIDDLEWARE_CLOSES", source("Chat", answer=REFUSED) | {
        "host__project__foreign": ["KeyMiddleware"], "host__project__foreign_reads": ["headers"],
        "token": {"present": False}}, "See what KeyMiddleware in core.asgi asks"),
    ("E113_SOCKET_PERMISSION", {
        "outside__0": came("outside", status=502), "host__exchanges__1": came("proxy", status=502),
        "host__nginx__reach": [{"address": "unix:/run/a.sock", "errno": 13, "user": "www-data", "ways": [
            {"path": "/run/a.sock", "mode": "700", "folder": False}]}],
        "host__supervisor": {"running": True, "programs": [
            {"program": "asgi", "kind": "fcgi-program", "file": "/etc/s.conf", "command": "daphne --fd 0",
             "socket": "unix:///run/a.sock", "autostart": True}]},
     }, r"socket_owner=www-data:www-data and socket_mode=0660 in \[fcgi-program:asgi\] of /etc/s.conf"),
    ("E310_PROXY_REFUSES", front_is("Apache", {"status": 403}, **APACHE, guards=["/etc/it.conf:9: Require local"]),
     "^Remove /etc/it.conf:9: Require local; .* Require all granted$"),
    ("E366_FRONT_ELSEWHERE", {
        **front_is("HAProxy", {"status": 503}, upstream=["127.0.0.1:81"], down="web1 is DOWN"),
        "host__exchanges__0": came("proxy", "again", status=503), "host__units": [],
        "host__servers": [{"address": "tcp:127.0.0.1:81", "pid": 0}],
        "host__upstream": [{"address": "tcp:127.0.0.1:81", "listening": False}],
        "host__processes": [{**GUNICORN, "server": "", "name": "nginx", "listens": ["tcp:0.0.0.0:80"]}],
     }, "127.0.0.1:80 in place of 127.0.0.1:81"),
    ("E377_SEND_PROXY", chained({"status": 400}, sends_proxy=True, upstream=["127.0.0.1:443"]), "remove send-proxy"),
    ("E378_HEALTH_CHECK", front_is("HAProxy", {"status": 503}, down="Server web/web1 is DOWN, reason: Layer7 wrong"),
     "option httpchk with a path"),
    ("E379_FRONT_PATH", front_is("Caddy", {"status": 500}) | {"host__log": ["No route found for path 'chat/'."]},
     "handle in place of handle_path"),
    ("E368_FRONT", chained({"status": 502}), "^Look at /etc/it.conf:7, and in the log of HAProxy: it answers 502$"),
    ("E404_NO_ROUTE", {**everywhere(status=500), "host__log": ["ValueError: No route found for path 'ws/chat/a-b/'."],
                       "host__project__unrouted": [r"^ws/chat/(?P<room>\w+)/$"]},
     r'^In routing\.py: r"\^ws/chat/\(\?P<room>\[\\w-\]\+\)/\$" in place of r"\^ws/chat'),
    ("E312_EDGE", {"outside__0": came("outside", status=502)}, r"dig \+short app\.example\.org"),
    ("E312_EDGE", {"host": None, "outside__0": came("outside", status=522)}, "let that reach this host"),
    ("E310_PROXY_REFUSES", {"outside__0": came("outside", status=403)}, "the rule of that proxy, firewall or login"),
    ("E405_ORIGIN", {**REFUSED, "host__project__origin_allowed": False, "host__project__allowed_hosts": [],
                     "host__project__origins": []}, "to ALLOWED_HOSTS"),
    ("E203_APPS_NOT_READY", {**DEAD, "host__units": [{
        "unit": "chat.service", "state": "activating", "sub": "auto-restart", "result": "exit-code", "restarts": 5,
        "pid": 0, "status": "1", "command": "daphne -p 8001", "log": [
            "django.core.exceptions.ImproperlyConfigured: Requested setting INSTALLED_APPS, but settings are not "
            "configured. You must either define the environment variable"]}]}, "get_asgi_application"),
    ("E109_TWO_SERVERS", {
        **everywhere(status=404), "host__processes": [GUNICORN], "host__units": [{
            "unit": "chat.service", "state": "active", "sub": "running", "result": "success", "restarts": 7, "pid": 99,
            "status": "1", "command": "daphne -p 8001", "log": ["CannotListenError: [Errno 98] Address already in use"],
        }]}, "Stop the wrong one: 10 gunicorn .app.service.; chat.service"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "changes", "fix"), UNSEEN)
def test_a_stack_gets_its_own_cause_and_no_other(code: str, changes: dict[str, Any], fix: str) -> None:
    report = judged(**changes)
    finding = report["finding"]
    assert finding and report["verdict"] == code, finding
    assert re.search(fix, finding["fix"]), finding
    assert [each["code"] for each in report["noticed"] if each["severity"] == "error"] == []


@pytest.mark.parametrize(("changes", "verdict"), [
    # A consumer that cannot be read accuses nobody of more than before.
    (source("Chat", answer=REFUSED) | {"host__project__consumer": {"name": "Chat", "sync": False, "bare": False}},
     "E402_TOKEN_BAD"),
    (source("Chat", answer=REFUSED, users=["user"], tokens=["query_string"], closes=[8]), "E402_TOKEN_BAD"),
    (source("Chat", answer=REFUSED, users=["user"], closes=[8]) | {"token": {"present": False}}, "E449_NOT_LOGGED_IN"),
    (source("Chat", answer=REFUSED, closes=[8]) | {"host__project__foreign": ["TokenMiddleware"]}, "E402_TOKEN_BAD"),
    (source("Chat", accepts=True), "E111_SERVER_SILENT"),
    (unit("200", CHDIR), "E105_CRASH_LOOP"),
    ({"host__units__0__setup": {"file": "x", "changed": True}}, "OK"),
    # A middleware of the project's own that may read a token.
    (source("Chat", answer=REFUSED) | {"host__project__foreign": ["JwtMiddleware"], "token": {"present": False},
                                       "host__project__chain": ["JwtMiddleware", "URLRouter"],
                                       "host__project__foreign_reads": ["jwt", "query_string"]}, "E401_NO_TOKEN"),
    # A 503 is no limit where none counts: error_page may have made it of a 502.
    ({**DEAD, **{path: came(via, status=503) for path, via in FRONT.items()}, "host__units": []}, "E104_NOT_RUNNING"),
    ({path: came(via, status=503) for path, via in FRONT.items()}, "E905_UNEXPLAINED"),
    ({**{path: came(via, status=503) for path, via in FRONT.items()},
      "host__nginx__route__guards": ["x:1: limit_req zone=a"]}, "E311_LIMIT"),
    ({"host": None, "outside__0": came("outside", status=503, body="No server is available to handle this request.")},
     "E905_UNEXPLAINED"),
    # Nobody is seen at the address, and handshakes through nginx open: a container is there.
    ({"host__servers": [{"address": "tcp:127.0.0.1:8001", "pid": 0}], "host__processes": [],
      "host__exchanges": [came("proxy")]}, "OK"),
    # Another file is no socket that cannot be made.
    ({**DEAD, "host__units": [{**crashing(""), "log": ["ERROR:    [Errno 2] No such file or directory"]}]},
     "E105_CRASH_LOOP"),
    # A front is blamed for what it does itself.
    (chained({"status": 0, "stage": "handshake", "reason": "no answer within 6 s"}), "E368_FRONT"),
    (chained({"status": 0, "stage": "tcp", "reason": "Connection refused"}), "E011_TCP_REFUSED"),
    (chained({"status": 301, "headers": {"location": "wss://b.example.org/"}}), "E306_REDIRECT_PATH"),
    (chained({"status": 400}, sends_proxy=True, upstream=["127.0.0.1:443"]) | {
        "host__nginx__route__listen": {"address": "", "port": 443, "tls": True, "proxied": True}}, "E368_FRONT"),
    (chained({"status": 400}, sends_proxy=True, upstream=["127.0.0.1:81"]), "E368_FRONT"),
    (chained({"status": 400}, upstream=["127.0.0.1:443"]), "E368_FRONT"),
    (chained({}, guards=["x:1: http-request deny"]), "OK"),
    (front_is("Apache", {"status": 404}, **{**APACHE, "upgrade": False}, guards=["x:1: Require ip 10.1.1.1"]),
     "E361_APACHE_UPGRADE"),
    (front_is("Apache", {"status": 403}, **APACHE), "E368_FRONT"),
    (front_is("Caddy", {"status": 500}) | {"host__log": ["No route found for path 'ws/chat/'."]}, "E368_FRONT"),
    (front_is("Caddy", {"status": 404}) | {"host__log": ["No route found for path 'chat/'."]}, "E368_FRONT"),
    (front_is("HAProxy", {"status": 502}, down="Server web/a is DOWN"), "E368_FRONT"),
    (front_is("HAProxy", {"status": 503}, down="Server web/a is DOWN") | {"host__exchanges__1": came("proxy", "again")},
     "E378_HEALTH_CHECK"),
    (front_is("server", {"status": 403}, guards=["x:1: deny"]), "E905_UNEXPLAINED"),
    # A server that closes with 1011 has failed, seen from outside alone as well; with another code it has not.
    ({"host": None, "outside__0": came("outside", close={"code": 1011, "reason": "", "at": 0.1})},
     "E408_CONSUMER_RAISES"),
    ({"host": None, "outside__0": came("outside", close={"code": 1012, "reason": "", "at": 0.1})}, "E905_UNEXPLAINED"),
    # A KeyError of the project's own, where the middleware is there, is not about its order.
    ({**everywhere(status=500), "host__log": ["KeyError: 'session'"], "host__project__chain": ["URLRouter"]},
     "E442_MIDDLEWARE_ORDER"),
    ({**everywhere(status=500), "host__log": ["KeyError: 'session'"],
      "host__project__chain": ["AuthMiddleware", "URLRouter"]}, "E408_CONSUMER_RAISES"),
    # A server that answers has started: what would end it at its start comes from the application.
    *((raising(line), "E408_CONSUMER_RAISES") for line in (
        "ValueError: not enough values to unpack (expected 2, got 1)",
        "AttributeError: module 'jwt' has no attribute 'encode'", "ModuleNotFoundError: No module named 'pandas'",
        "MemoryError", "OSError: [Errno 98] Address already in use", f"django.db.utils.{POSTGRES}",
        # Other errors than Redis's that have the same words.
        "accounts.errors.AuthenticationError: expired", "PermissionError: the user has no permissions here",
        "OSError: [Errno 111] Connect call failed ('127.0.0.1', 5432)",
        "kombu.exceptions.OperationalError: Error 111 connecting to localhost:6380. Connection refused.",
        "elastic_transport.ConnectionError: Connection error caused by: ConnectTimeoutError")),
    # A Sentinel names the primary's address, which no setting has.
    (raising("redis.exceptions.ConnectionError: Error 111 connecting to 10.0.0.9:6400. Connection refused.",
             host__project__layer_hosts=[{"scheme": "", "host": "", "port": 0, "options": ["sentinels"]}]),
     "E501_REDIS_DOWN"),
    # A port that ends TLS without a word of it may expect something else; a certificate may lack what Python asks for.
    *(({"outside__0": came("outside", stage="tls", status=0, **why)}, verdict) for why, verdict in (
        ({"reason": ENDED}, "E905_UNEXPLAINED"), ({"reason": "no answer within 6 s"}, "E905_UNEXPLAINED"),
        ({"reason": "Missing Authority Key Identifier", "verify": 92}, "E905_UNEXPLAINED"),
        ({"reason": "[SSL: TLSV1_UNRECOGNIZED_NAME] tlsv1 unrecognized name (_ssl.c:1016)"}, "E026_TLS"))),
    # systemd waits for these, too, and is told.
    *(({"host__units__0__state": state, "host__units__0__sub": "start", "host__units__0__command": command,
        "host__units__0__setup": {"type": kind, "file": "x"}}, "OK") for state, kind, command in (
        ("active", "notify", "daphne -p 8001 core.asgi:application"),
        ("activating", "notify", "gunicorn -k uvicorn.workers.UvicornWorker core.asgi:application"),
        ("activating", "forking", "gunicorn --daemon core.asgi:application"),
        ("activating", "exec", "daphne -p 8001 core.asgi:application"))),
    (barred("unix:/run/app.sock"), "E113_SOCKET_PERMISSION"),
    # A cache on a cluster is no channel layer.
    (raising("redis.exceptions.MovedError: 3999 10.0.0.2:6379"), "E408_CONSUMER_RAISES"),
    # Packages that do not fit, and a project's own code, are no fault of the ASGI path or the address.
    *((dying(line), "E105_CRASH_LOOP") for line in (
        "AttributeError: module 'lib' has no attribute 'X509_V_FLAG_NOTIFY_POLICY'",
        "ValueError: not enough values to unpack (expected 2, got 1)", f"django.db.utils.{POSTGRES}",
        "redis.exceptions.ConnectionError: Error 111 connecting to localhost:6380. Connection refused.")),
    ({**DEAD, "host__units": [], "host__project__import_error":
      "AttributeError: module 'collections' has no attribute 'Mapping'"}, "E204_IMPORT_ERROR"),
    # A path that the asked router itself has not found is no other server's.
    ({**everywhere(status=404), "host__processes": [GUNICORN], "host__project__unrouted": ["^ws/chat/$"],
      "host__log": ["No route found for path 'ws/chat/x'."]}, "E102_WSGI"),
    # uvicorn has other reasons for 400.
    ({**everywhere(status=400), "host__processes__0__server": "uvicorn", **LIBRARY}, "E905_UNEXPLAINED"),
    ({**everywhere(status=404), "host__processes__0__server": "gunicorn with uvicorn workers", **LIBRARY,
      "host__log": ["WARNING:  Unsupported upgrade request."]}, "E112_NO_WEBSOCKET_LIBRARY"),
])  # fmt: skip
def test_what_is_not_proven_is_not_told(changes: dict[str, Any], verdict: str) -> None:
    slow = {"host__exchanges__2": came("process", "http", status=0, stage="handshake", reason="x")}
    report = judged(**changes | (slow if verdict.startswith("E111") else {}))
    assert report["verdict"] == verdict, report["finding"]
