"""What the doctor learns by asking the application and by following the port, as recorded cases and on real files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from ansible_collections.channels.stack.plugins.module_utils.doctor import controller, following
from ansible_collections.channels.stack.plugins.module_utils.host import (
    apache,
    fronts,
    haproxy_config,
    proc,
    relatives,
    supervisor,
)
from ansible_collections.channels.stack.plugins.module_utils.host.programs import text_of
from ansible_collections.channels.stack.plugins.module_utils.host.project import MARK
from test_doctor import came, everywhere, judged

PROJECT: dict[str, Any] = {"host__project__types": ["http", "websocket"], "host__project__chain": ["URLRouter"]}
FAILS = everywhere(status=500)
REFUSED = everywhere(status=403)


def redis_at(place: str, error: str, **other: Any) -> dict[str, Any]:
    """A layer that does not work, with its only host as the project has parsed it."""
    name, _, port = place.rpartition(":")
    host = {"scheme": "redis", "host": name, "port": int(port), "database": "0", "options": [], "speaks": "", **other}
    return {**FAILS, "host__project__layer_error": error, "host__project__layer_hosts": [host]}


WORKER = {"server": "uvicorn", "name": "python", "speaks": True, "command": "uvicorn --workers 2", "files": 9,
          "limit": 99, "application": "core.asgi:application", "ping": 20.0, "folder": "/opt/app",
          "unit": "app.service", "listens": ["tcp:127.0.0.1:8001"]}  # fmt: skip
MEMORY = {"host__project__layer": "channels.layers.InMemoryChannelLayer"}
CELERY = {"what": "celery worker", "kind": "celery", "command": "worker", "pid": 77}
#: A code, what differs from a healthy host, a part of the fix, and whether the handshake itself fails.
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("E251_NO_WEBSOCKET", {**FAILS, "host__project__types": ["http"], "host__project__others": ["core.routing:app"]},
     "daphne core.routing:app in place of daphne core.asgi:application"),
    ("E251_NO_WEBSOCKET", {**FAILS, "host__project__types": ["http"]}, "application = ProtocolTypeRouter"),
    ("E252_NO_HTTP", {"host__project__types": ["websocket"], "host__exchanges__2": came("process", "http", status=500)},
     "asgi_http: wsgi"),
    ("E441_ORIGIN_LIST", {**REFUSED, "host__project__origins": ["https://chat.example.org"],
                          "host__project__origin_allowed": False}, 'add "https://app.example.org"'),
    ("E442_MIDDLEWARE_ORDER", {**FAILS, "host__log": [
        "ValueError: AuthMiddleware cannot find session in scope. SessionMiddleware must be above it."]},
     "AuthMiddlewareStack"),
    ("E443_AS_ASGI", {**FAILS, "host__project__consumer": {"name": "Chat", "sync": False, "bare": True}},
     r"Chat\.as_asgi\(\)"),
    ("E444_SUBPROTOCOL", {"asked": {"headers": [], "subprotocols": ["chat.v1"]}}, "accept\\(subprotocol="),
    ("E445_MIGRATIONS", {**FAILS, "host__log": ["django.db.utils.OperationalError: no such table: chat_room"]},
     "manage.py migrate"),
    ("E531_LAYER_TLS_OPTIONS", redis_at(
        "127.0.0.1:6379", "TypeError: AbstractConnection.__init__() got an unexpected keyword argument 'ssl_cert_reqs'",
        options=["ssl_cert_reqs"], speaks="plain"), "remove ssl_cert_reqs"),
    ("E532_LAYER_TLS", redis_at("127.0.0.1:6379", "TimeoutError: no answer", scheme="rediss", speaks="plain"),
     "redis:// in place of rediss://"),
    ("E533_REDIS_WANTS_TLS", redis_at("127.0.0.1:6379", "ConnectionError: Connection closed by server.", speaks="tls"),
     "rediss:// in place of redis://"),
    ("E534_LAYER_HOST", redis_at("redis://127.0.0.1:6379", "ConnectionError: Error -2 connecting to redis://…",
                                 scheme="", speaks="name"), '"hosts": \\["redis://127.0.0.1:6379"\\]'),
    ("E535_REDIS_NAME", redis_at("redis:6379", "ConnectionError: Error -2 connecting to redis:6379.", scheme="",
                                 speaks="name"), "real name or address"),
    ("E536_REDIS_ELSEWHERE", {
        **redis_at("127.0.0.1:6380", "ConnectionError: Error 111 connecting to 127.0.0.1:6380.", speaks="refused"),
        "host__processes": [{"pid": 5, "parent": 1, "server": "", "name": "redis-server", "files": 9, "limit": 99,
                             "command": "redis-server", "listens": ["tcp:::1:6379", "tcp:127.0.0.1:6379"]}],
     }, "127.0.0.1:6379 in place of 127.0.0.1:6380"),
    ("E536_REDIS_ELSEWHERE", {
        **redis_at("none:0", "Error 2 connecting to unix:/run/r.sock. No such file", path="/run/r.sock"),
        "host__processes": [{"pid": 5, "parent": 1, "server": "", "name": "redis-server", "files": 9, "limit": 99,
                             "command": "redis-server", "listens": ["unix:/run/redis/redis.sock"]}],
     }, "unix:///run/redis/redis.sock in place of unix:///run/r.sock"),
    ("E538_REDIS_READONLY", {**FAILS, "host__project__layer_error":
        "ReadOnlyError: You can't write against a read only replica."}, "replicaof no one"),
    ("E539_REDIS_FULL", {**FAILS, "host__log": [
        "redis.exceptions.OutOfMemoryError: command not allowed when used memory > 'maxmemory'."]}, "redis_maxmemory"),
    ("E540_REDIS_CANNOT_SAVE", {**FAILS, "host__project__layer_error":
        "ResponseError: MISCONF Redis is configured to save RDB snapshots, but"}, "stop-writes-on-bgsave-error no"),
    ("E449_NOT_LOGGED_IN", {**REFUSED, "host__project__chain": ["AuthMiddleware", "URLRouter"],
                            "token": {"present": False}}, "Log in on a page"),
    ("E450_THREAD_BUSY", {
        **everywhere(status=0, stage="handshake", reason="no answer within 6 s"),
        "host__project__consumer": {"name": "Chat", "sync": True, "bare": False}}, "AsyncWebsocketConsumer"),
    ("E508_LAYER_MEMORY", {**MEMORY, "host__processes": [
        {**WORKER, "pid": pid, "parent": parent} for pid, parent in ((10, 1), (11, 10), (12, 10))]}, "RedisPubSub"),
    ("E537_LAYER_WORKERS", {**MEMORY, "host__relatives": [{**CELERY, "sends": "chat/tasks.py"}]}, "for both"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "changes", "fix"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_what_the_application_says_is_the_cause(code: str, changes: dict[str, Any], fix: str) -> None:
    """The particular cause has the verdict, and what rules see that know less is not told as well."""
    report = judged(**PROJECT | changes)
    assert report["verdict"] == code, report
    assert report["noticed"] == [], report
    assert re.search(fix, report["finding"]["fix"]), report["finding"]


@pytest.mark.parametrize("changes", [
    {"host__project__types": ["http"]},  # the sockets open all the same: what is not known is no fault
    # Another server answers pages.
    {"host__project__types": ["websocket"], "host__exchanges__2": came("process", "http", status=500),
     "host__exchanges__3": came("proxy", "page", status=200)},
    {"host__project__origins": ["https://chat.example.org"], "host__project__origin_allowed": False},
    {"host__project__layer_hosts": [{"scheme": "rediss", "host": "10.0.0.1", "port": 6379, "speaks": "tls",
                                     "options": ["ssl_cert_reqs"]}]},
    {**MEMORY, "host__relatives": [{"what": "manage.py tidy", "kind": "command", "pid": 5, "sends": ""}]},
    {"host__relatives": [{**CELERY, "sends": "chat/tasks.py"}]},
    {"asked": {"headers": [], "subprotocols": ["v1"]},
     **{path: came(via, headers={"sec-websocket-protocol": "v1"}) for path, via in (
         ("outside__0", "outside"), ("host__exchanges__0", "process"), ("host__exchanges__1", "proxy"))}},
])  # fmt: skip
def test_sound_stacks_of_other_kinds_have_no_finding(changes: dict[str, Any]) -> None:
    report = judged(**PROJECT | changes)
    assert report["ok"] and report["noticed"] == [], report


def test_a_worker_that_sends_nothing_as_far_as_is_known_is_noticed() -> None:
    report = judged(**MEMORY, host__relatives=[{**CELERY, "sends": ""}])
    assert report["ok"] and [each["code"] for each in report["noticed"]] == ["W537_LAYER_WORKERS"]


@pytest.mark.parametrize(("speaks", "code"), [("plain", "E510_LAYER"), ("silent", "E501_REDIS_DOWN")])
def test_a_redis_that_answers_is_not_down(speaks: str, code: str) -> None:
    told = redis_at("127.0.0.1:6379", "TimeoutError: no answer within 7 s", speaks=speaks)
    report = judged(**{path: value for path, value in told.items() if "project" in path})
    assert report["verdict"] == code, report


def test_relatives_of_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers in the same folder are found with the file by which they send; other projects' and shells are not."""
    (tmp_path / "chat" / "management" / "commands").mkdir(parents=True)
    sending = "from channels.layers import get_channel_layer\nlayer.group_send('all', {})\n"
    (tmp_path / "chat" / "tasks.py").write_text("@shared_task\ndef tell(): ...\n" + sending)
    (tmp_path / "chat" / "management" / "commands" / "feed.py").write_text(sending)
    (tmp_path / "chat" / "management" / "commands" / "tidy.py").write_text("pass\n")
    commands = {
        1: ["/venv/bin/python", "/venv/bin/daphne", "core.asgi:application"],
        2: ["/venv/bin/python", "/venv/bin/celery", "-A", "core", "worker"],
        3: ["python", "manage.py", "feed"], 4: ["python", "manage.py", "tidy"], 5: ["python", "manage.py", "shell"],
        6: ["python", "manage.py", "runworker", "thumbs"], 7: ["celery", "-A", "other", "worker"], 8: ["nginx"],
    }  # fmt: skip
    monkeypatch.setattr(proc, "pids", lambda: list(commands))
    monkeypatch.setattr(proc, "argv", lambda pid: commands[pid])
    monkeypatch.setattr(proc, "link", lambda pid, _name: "/elsewhere" if pid == 7 else str(tmp_path))
    found = {each["what"]: (each["pid"], each["sends"]) for each in relatives.relatives(
        {"pid": 1, "folder": str(tmp_path)})}  # fmt: skip
    assert found == {
        "celery worker": (2, "chat/tasks.py"), "manage.py feed": (3, "chat/management/commands/feed.py"),
        "manage.py tidy": (4, ""), "manage.py runworker": (6, "runworker itself"),
    }  # fmt: skip
    assert relatives.relatives({"pid": 1, "folder": "/"}) == []


def test_a_project_is_asked_for_its_application(tmp_path: Path) -> None:
    """What it serves, what it has beside that, and where its layer looks, without the password in its address."""
    (tmp_path / "settings.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = []\nASGI_APPLICATION = 'core.routing.whole'\n"
        "CHANNEL_LAYERS = {'default': {'BACKEND': 'none.such', 'CONFIG': {'hosts': ["
        "{'address': 'rediss://:canary@localhost:1/2', 'ssl_cert_reqs': None}, ('redis://localhost', 6379)]}}}\n"
    )
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "asgi.py").write_text(
        "class Router:\n    def __init__(self, types): self.application_mapping = types\n"
        "    def __call__(self): ...\n"
        "class Wrapped:\n    def __init__(self, inner): self.inner = inner\n    def __call__(self): ...\n"
        "pages = Router({'http': 1})\n"
    )
    (tmp_path / "core" / "routing.py").write_text(
        "from core.asgi import Router, Wrapped\nwhole = Wrapped(Router({'http': 1, 'websocket': Wrapped(None)}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", text_of("probe.py"), MARK, "core.asgi:pages", "{}", "", "/ws/"], cwd=tmp_path,
        capture_output=True, text=True, env={"DJANGO_SETTINGS_MODULE": "settings"}, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.rpartition(MARK)[2])
    assert found["types"] == ["http"] and found["others"] == ["core.routing:whole"], found
    first, second = found["layer_hosts"]
    assert (first["scheme"], first["port"], first["database"]) == ("rediss", 1, "2")
    assert first["options"] == ["ssl_cert_reqs"]
    assert first["speaks"] == "refused" and second["host"] == "redis://localhost" and second["speaks"] == "name"
    assert "canary" not in json.dumps(found["layer_hosts"])


# --- Apache and HAProxy, read from their configuration

VHOST = (
    "LoadModule proxy_module x\nLoadModule proxy_http_module x\n{modules}<VirtualHost *:80>\n{rules}\n</VirtualHost>\n"
)
TUNNEL = "LoadModule proxy_wstunnel_module x\nLoadModule rewrite_module x\n"


def apache_way(tmp_path: Path, rules: str, version: str = "2.4.62", modules: str = TUNNEL) -> dict[str, Any]:
    """The way of a handshake for /ws/chat/ through an Apache with some rules in its virtual host."""
    (tmp_path / "sites").mkdir(exist_ok=True)
    (tmp_path / "apache2.conf").write_text("IncludeOptional sites/*.conf\n")
    (tmp_path / "sites" / "a.conf").write_text(VHOST.format(modules=modules, rules=rules))
    lines = apache.read(str(tmp_path / "apache2.conf"), str(tmp_path))
    return apache.way(lines, "app.example.org", 80, "/ws/chat/", version)


@pytest.mark.parametrize(("rules", "version", "upgrade", "asked"), [
    ('ProxyPass "/" "http://127.0.0.1:8001/"', "2.4.62", False, "/ws/chat/"),
    ('ProxyPass "/" "http://127.0.0.1:8001/" upgrade=websocket', "2.4.62", True, "/ws/chat/"),
    ('ProxyPass "/" "http://127.0.0.1:8001/" upgrade=websocket', "2.4.38", False, "/ws/chat/"),
    ('ProxyPass /ws/ ws://127.0.0.1:8001/\nProxyPass / http://127.0.0.1:8002/', "2.4.62", True, "/chat/"),
    ('ProxyPass /ws/ !\nProxyPass / ws://127.0.0.1:8001/', "2.4.62", False, ""),
    ("<Location /ws/>\nProxyPass ws://127.0.0.1:8001/ws/\n</Location>\nProxyPass / http://127.0.0.1:8002/", "2.4.62",
     True, "/ws/chat/"),
    ('ProxyPassMatch "^/ws/(.*)$" "ws://127.0.0.1:8001/ws/$1"', "2.4.62", True, "/ws/chat/"),
    ("RewriteEngine on\nRewriteCond %{HTTP:Upgrade} =websocket [NC]\nRewriteRule /(.*) ws://127.0.0.1:8001/$1 [P,L]\n"
     "RewriteCond %{HTTP:Upgrade} !=websocket [NC]\nRewriteRule /(.*) http://127.0.0.1:8001/$1 [P,L]", "2.4.62", True,
     "/ws/chat/"),
    ("RewriteEngine on\nRewriteCond %{HTTP:Upgrade} !=websocket [NC]\nRewriteRule /(.*) http://127.0.0.1:9/$1 [P]\n"
     "RewriteCond %{HTTP:Upgrade} =websocket [NC]\nRewriteRule /(.*) ws://127.0.0.1:8001/$1 [P]", "2.4.62", True,
     "/ws/chat/"),
    ("<IfModule mod_nothing.c>\nProxyPass / ws://127.0.0.1:9/\n</IfModule>\nProxyPass / \\\n http://127.0.0.1:8001/",
     "2.4.62", False, "/ws/chat/"),
    ("<Proxy balancer://b>\nBalancerMember ws://127.0.0.1:8001\n</Proxy>\nProxyPass / balancer://b/", "2.4.62", True,
     "/ws/chat/"),
])  # fmt: skip
def test_apache_is_read_as_it_reads_itself(tmp_path: Path, rules: str, version: str, upgrade: bool, asked: str) -> None:
    way = apache_way(tmp_path, rules, version)
    assert (way["upgrade"], way["asked"]) == (upgrade, asked), way
    assert way["upstream"] == (["127.0.0.1:8001"] if asked else []), way
    assert re.fullmatch(r".*/sites/a\.conf:\d+", way["where"])


def test_apache_chooses_the_virtual_host_by_name(tmp_path: Path) -> None:
    other = "ServerName app.example.org\nProxyPass / ws://127.0.0.1:8002/\n</VirtualHost>\n<VirtualHost *:443>"
    first = f"ServerName x.example.org\nProxyPass / ws://127.0.0.1:8001/\n</VirtualHost>\n<VirtualHost *:80>\n{other}"
    assert apache_way(tmp_path, first)["upstream"] == ["127.0.0.1:8002"]


DEFAULTS = "defaults\n  mode http\n  timeout client 10s\n  timeout server 30000\n"
FRONTEND = (
    "frontend f\n  bind *:80,:8080\n  acl ws path_beg -i /ws\n  use_backend sockets if ws\n  default_backend pages\n"
)


@pytest.mark.parametrize(("more", "idle", "name"), [
    ("backend sockets\n  server a 127.0.0.1:8001 check\n", 10, "client"),
    ("backend sockets\n  timeout server 5s\n  server a 127.0.0.1:8001\n", 5, "server"),
    ("backend sockets\n  timeout tunnel 1h # long\n  server a 127.0.0.1:8001\n", 3600, "tunnel"),
])  # fmt: skip
def test_haproxy_is_read_as_it_reads_itself(more: str, idle: float, name: str) -> None:
    way = haproxy_config.way(DEFAULTS + FRONTEND + more + "backend pages\n  server b :9\n", "h", "x", 8080, "/ws/chat/")
    assert (way["idle"], way["idle_name"], way["upstream"], way["where"]) == (idle, name, ["127.0.0.1:8001"], "h:10")
    assert haproxy_config.way(DEFAULTS + FRONTEND, "h", "x", 81, "/ws/chat/") == {}
    assert haproxy_config.way(DEFAULTS + FRONTEND, "h", "x", 80, "/other")["backend"] == ""


def test_a_caddyfile_is_read_for_where_it_leads() -> None:
    text = "app.example.org {\n  reverse_proxy /api/* 127.0.0.1:1\n  reverse_proxy 127.0.0.1:8001\n}\n"
    assert fronts.caddy(text, "/ws/")["upstream"] == ["127.0.0.1:8001"]
    assert fronts.caddy(text, "/api/x")["where"].endswith("Caddyfile:2")


def test_programs_of_supervisor_are_read_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "supervisord.conf").write_text(f"[include]\nfiles = {tmp_path}/conf.d/*.conf\n")
    (tmp_path / "conf.d" / "a.conf").write_text(
        "[fcgi-program:chat]\nsocket=tcp://localhost:8000\ncommand=/venv/bin/python -m daphne --fd 0 "
        "core.asgi:application ;x\n"
        'environment=A="100%%"\n[program:mail]\ncommand=/usr/bin/mail\n'
    )
    (found,) = supervisor.programs_of(str(tmp_path / "supervisord.conf"))
    assert (found["program"], found["kind"], found["socket"]) == ("chat", "fcgi-program", "tcp://localhost:8000")


# --- who listens on the port, as recorded cases


def front_is(kind: str, came_through: dict[str, Any], **way: Any) -> dict[str, Any]:
    """Evidence of a host where another program than nginx listens, and what comes through it."""
    answer = came("proxy", by=kind, **came_through)
    return {
        "host__nginx": {"present": True, "running": False, "aside": True, "route": None},
        "host__front": {"kind": kind, "name": kind.lower(), "pid": 3, "address": "0.0.0.0", "port": 443,
                        "chained": False, "where": "/etc/it.conf:7", "rule": "the rule", "upgrade": True,
                        "upstream": ["127.0.0.1:8001"], **way},
        "host__exchanges__1": answer, "outside__0": {**answer, "via": "outside"},
    }  # fmt: skip


APACHE = {"modules": ["proxy", "proxy_http", "proxy_wstunnel"], "upgrades": True, "asked": "/ws/chat/", "prefix": "/",
          "target": "http://127.0.0.1:8001/", "scheme": "http", "later": {}}  # fmt: skip
PLAIN, HA_CUT = {"status": 404}, {"close": {"code": 1006, "reason": "", "at": 10.0}}
TCP_REFUSED = {"outside__0": came("outside", stage="tcp", reason="Connection refused", status=0, ms={})}
GUNICORN = {"pid": 11, "parent": 1, "server": "gunicorn", "name": "gunicorn", "speaks": False, "command": "gunicorn x",
            "application": "core.wsgi:application", "ping": 20.0, "folder": "/opt/app",
            "listens": ["tcp:127.0.0.1:8002"], "files": 9, "limit": 99}  # fmt: skip
FRONTS: list[tuple[str, dict[str, Any], str]] = [
    ("E361_APACHE_UPGRADE", front_is("Apache", PLAIN, **{**APACHE, "upgrade": False}),
     '^In /etc/it.conf:7: ProxyPass "/" "http://127.0.0.1:8001/" upgrade=websocket, .* then systemctl reload'),
    ("E361_APACHE_UPGRADE", front_is("Apache", PLAIN, **{**APACHE, "upgrade": False, "upgrades": False, "modules": []}),
     'ProxyPass "/" "ws://127.0.0.1:8001/", .* a2enmod proxy_wstunnel'),
    ("E362_APACHE_ORDER", front_is("Apache", PLAIN, **{**APACHE, "upgrade": False, "later": {
        "where": "/etc/it.conf:9", "rule": "ProxyPass /ws/ ws://x", "target": "ws://x"}}), "Move the line .*:9"),
    ("E363_APACHE_MODULE", front_is("Apache", {"status": 500}, **{
        **APACHE, "scheme": "ws", "modules": ["proxy", "proxy_http"]}), "a2enmod proxy_wstunnel"),
    ("E365_FRONT_NO_RULE", front_is("Caddy", PLAIN, upstream=[]), r"reverse_proxy /ws/chat/\* 127.0.0.1:8001"),
    ("E366_FRONT_ELSEWHERE", {
        **front_is("HAProxy", {"status": 503}, upstream=["127.0.0.1:7"]),
        "host__upstream": [{"address": "tcp:127.0.0.1:7", "listening": False}],
     }, "/etc/it.conf:7: 127.0.0.1:8001 in place of 127.0.0.1:7; .* haproxy"),
    ("E367_WRONG_SERVER", {
        **everywhere(status=404), "host__processes__1": GUNICORN,
        "host__upstream": [{"address": "tcp:127.0.0.1:8002", "listening": True}],
        "host__servers": [{"address": "tcp:127.0.0.1:8002", "pid": 11}],
     }, "pass /ws/chat/ to 127.0.0.1:8001 in place of 127.0.0.1:8002"),
    ("E368_FRONT", front_is("docker-proxy", PLAIN, where=""), "docker ps --filter publish=443; it must pass Upgrade"),
    ("E368_FRONT", front_is("docker-proxy", {"status": 502}, where=""), "host.docker.internal:host-gateway"),
    ("E369_FRONT_DOWN", {**TCP_REFUSED, "host__stopped": [
        {"unit": "apache2.service", "state": "failed", "result": "exit-code", "log": ["AH00526: Syntax error"]}]},
     "apache2ctl configtest && systemctl start apache2"),
    ("E370_APACHE_PATH", front_is("Apache", {"status": 500}, **{
        **APACHE, "scheme": "ws", "target": "ws://127.0.0.1:8001/", "asked": "/chat/", "prefix": "/ws/"}),
     '^In /etc/it.conf:7: ProxyPass "/ws/" "ws://127.0.0.1:8001/ws/", in place of it'),
    ("E364_TUNNEL_TIMEOUT", front_is("HAProxy", HA_CUT, idle=10.0, idle_name="client", idle_where="/etc/it.conf:3",
                                     backend="b"), r"/etc/it.conf:7 \(backend b\): timeout tunnel 1h"),
    ("E371_REDIRECT_LOOP", {"outside__0": came("outside", status=301, headers={
        "location": "https://app.example.org/ws/chat/"})}, r"http_x_forwarded_proto"),
    ("E372_SOMETIMES", {"host__exchanges__5": came("proxy", "again", status=404)}, "Try each address behind"),
    ("E376_ONE_OF_SEVERAL", {
        "host__exchanges__0": came("process", to="127.0.0.1:8001"),
        "host__exchanges__5": came("process", to="127.0.0.1:8002", status=404), "host__processes__1": GUNICORN,
        "host__servers__1": {"address": "tcp:127.0.0.1:8002", "pid": 11},
     }, "Take 127.0.0.1:8002 out of the upstream at /etc/nginx/sites-enabled/app:9"),
    ("E374_UNDERSCORES", {**REFUSED, "asked": {"headers": ["api_key"], "subprotocols": []}}, "with dashes .*: api-key"),
    ("E373_ADDRESSES_DIFFER", {"outside__1": came("outside", "address", to="192.0.2.7:443", status=404)},
     "Remove 192.0.2.7"),
    ("E374_UNDERSCORES", {"asked": {"headers": ["api_key"], "subprotocols": []},
                          "outside__0": came("outside", status=403), "host__exchanges__1": came("proxy", status=403)},
     "underscores_in_headers on"),
    ("E375_SOCKET_HIDDEN", {"outside__0": came("outside", status=502), "host__exchanges__1": came("proxy", status=502),
                            "host__hidden": [{"socket": "/tmp/a.sock", "folder": "/tmp", "who": "The server"}]},
     "below /run"),
    ("E151_SUPERVISORD_DOWN", {
        "outside__0": came("outside", status=502), "host__exchanges": [came("proxy", status=502)],
        "host__processes": [],
        "host__servers": [{"address": "tcp:127.0.0.1:8001", "pid": 0}], "host__units": [], "host__supervisor": {
            "running": False, "state": "inactive", "enabled": "enabled", "log": [], "programs": [
                {"program": "chat", "kind": "program", "file": "/etc/s.conf", "command": "daphne -p 8001", "socket": "",
                 "autostart": True}]}}, "^systemctl start supervisor$"),
    ("E448_CSP", {"host__exchanges__5": came("proxy", "page", status=200, headers={
        "content-security-policy": "default-src 'self'; connect-src https://api.example.org"})}, "wss://app.example.org"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "changes", "fix"), FRONTS, ids=[f"{n}-{case[0]}" for n, case in enumerate(FRONTS)])
def test_what_listens_on_the_port_is_the_cause(code: str, changes: dict[str, Any], fix: str) -> None:
    report = judged(**changes)
    assert report["verdict"] == code, report
    assert report["noticed"] == [], report
    assert re.search(fix, report["finding"]["fix"]), report["finding"]


@pytest.mark.parametrize("changes", [
    front_is("Apache", {}, **APACHE), front_is("HAProxy", {}, idle=3600.0, idle_name="tunnel", backend="b"),
    {"host__exchanges__5": came("proxy", "page", status=200, headers={
        "content-security-policy": "default-src 'self'"})},
    {"host__exchanges__5": came("proxy", "again")},
    {"host__supervisor": {"running": False, "programs": [{"program": "old", "autostart": True}], "state": "inactive"}},
])  # fmt: skip
def test_sound_fronts_have_no_finding(changes: dict[str, Any]) -> None:
    report = judged(**changes)
    assert report["ok"] and report["noticed"] == [], report


def test_another_proxy_behind_nginx_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is at fault for its own rules, and not for what nginx loses before it."""
    way = {"upstream": ["127.0.0.1:8001"], "where": "/etc/it.conf:7"}
    monkeypatch.setattr(following.fronts, "route", lambda *given: way if given[2] == 8080 else {})
    processes = [{"name": "apache2", "pid": 7, "listens": ["tcp::::8080"]}, {"name": "nginx", "pid": 8, "listens": []}]
    examination: Any = SimpleNamespace(parts=urlsplit("ws://h/ws/"), processes=processes, evidence={})
    assert following.behind(examination, ["127.0.0.1:8080"]) == ["127.0.0.1:8001"]
    assert examination.evidence["front"]["kind"] == "Apache" and examination.evidence["front"]["behind"]
    assert following.behind(examination, ["127.0.0.1:8081", "unix:/run/a.sock"]) == []
    evidence = front_is("Apache", PLAIN, **APACHE, behind=True)
    assert judged(**evidence)["verdict"] != "E368_FRONT"


def test_haproxy_that_was_not_watched_long_enough_is_warned_of() -> None:
    report = judged(**front_is("HAProxy", {}, idle=10.0, idle_name="client", idle_where="/etc/it.conf:3", backend="b"))
    assert report["ok"] and [each["code"] for each in report["noticed"]] == ["W364_TUNNEL_TIMEOUT"]


def test_a_page_that_fails_is_noticed() -> None:
    report = judged(host__exchanges__5=came("process", "page", status=500))
    assert report["ok"] and [each["code"] for each in report["noticed"]] == ["W447_PAGE_FAILS"]


# --- how long it stays silent

REDIS_PY_8 = {"versions": {"redis": "8.0.1"}, "layer": "channels_redis.core.RedisChannelLayer"}


@pytest.mark.parametrize(("changes", "seconds"), [
    ({}, 0), ({"project": REDIS_PY_8}, 7), ({"project": {**REDIS_PY_8, "patient": True}}, 0),
    ({"nginx": {"route": {"read_timeout": 60.0}}}, 0), ({"nginx": {"route": {"read_timeout": 10.0}}}, 13),
    ({"nginx": {"route": {"read_timeout": 25.0}}}, 0),  # the server's pings come sooner
    ({"front": {"idle": 10.0}}, 13), ({"front": {"idle": 3600.0}}, 0),
    ({"processes": [{"server": "daphne", "ping": 20.0, "websocket_timeout": 5.0}]}, 8),
    ({"processes": [{"server": "daphne", "ping": 20.0, "websocket_timeout": 600.0}]}, 0),
])  # fmt: skip
def test_it_stays_silent_where_that_may_show_something(changes: dict[str, Any], seconds: float) -> None:
    assert following.silence(-1, {"nginx": {}, **changes}) == seconds
    assert following.silence(2.5, {"nginx": {}, **changes}) == 2.5


def test_from_outside_it_waits_as_long_as_on_the_host() -> None:
    assert controller.silence_of({"idle_seconds": -1}, {"idle_seconds": 13.0}, collected=True) == 13
    assert controller.silence_of({"idle_seconds": -1}, None, collected=True) == 0
    assert 5 < controller.silence_of({"idle_seconds": -1}, None, collected=False) < 8
    assert controller.silence_of({"idle_seconds": 70}, {"idle_seconds": 13.0}, collected=True) == 70


def test_progress_says_how_far_a_request_gets(raw_server: Callable[..., SimpleNamespace]) -> None:
    place = raw_server(lambda way, _request: way.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
    told = controller.progress(place.url)
    assert re.match(r"✓ Name \d+ ms → ✓ TCP \d+ ms → ✓ Edge proxy \d+ ms → on the host", told), told
    assert controller.progress("ws://none.invalid/").startswith("✗ Name: ")
