"""The doctor's idea of nginx: what it would send, against crossplane and, on a host, against nginx itself.

Also what nginx's logs say, and what its user may do. Broken stacks are in test_doctor_stacks.py.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import crossplane
import pytest
from ansible_collections.channels.stack.plugins.module_utils.doctor.examination import Examination
from ansible_collections.channels.stack.plugins.module_utils.doctor.through_nginx import try_like_nginx
from ansible_collections.channels.stack.plugins.module_utils.host import access
from ansible_collections.channels.stack.plugins.module_utils.host.nginx import error_log, look
from ansible_collections.channels.stack.plugins.module_utils.host.nginx.request import Config, seconds
from ansible_collections.channels.stack.plugins.module_utils.host.nginx.syntax import Directive, main_block
from ansible_collections.channels.stack.plugins.module_utils.websocket import exchange
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_doctor import came, judged

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "molecule" / "doctor" / "tests"))

import random_nginx  # noqa: E402

SITE = "/etc/nginx/sites-enabled/app"
PAGE = "http://chat.example.org"


# --- how nginx is read


def test_a_site_without_its_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one that would get the request and pass it on; and the printed command makes nginx read it."""
    parked, enabled = tmp_path / "sites-available", tmp_path / "sites-enabled"
    for folder in (parked, enabled):
        folder.mkdir()
    monkeypatch.setattr(look, "PARKED", str(parked))
    monkeypatch.setattr(look, "ENABLED", str(enabled))
    (parked / "default").write_text("server { listen 80 default_server; root /var/www/html; }")
    (enabled / "default").symlink_to(parked / "default")
    (parked / "aside").write_text("server { listen 81; location / { proxy_pass http://127.0.0.1:9001; } }")
    (parked / "other").write_text("server { listen 80; server_name other; location / { proxy_pass http://a; } }")
    (parked / "pages").write_text("server { listen 80; server_name chat; location /a { proxy_pass http://a; } }")

    def asleep() -> dict[str, str]:
        shown = f"# configuration file {tmp_path}/nginx.conf:\nhttp {{ include sites-enabled/*; }}\n"
        for path in sorted(enabled.iterdir()):
            shown += f"# configuration file {path}:\n{path.read_text()}\n"
        return look.Nginx().asleep(shown, urlsplit("ws://chat/ws/"), "/ws/", [("Host", "chat")])

    assert asleep() == {}
    (parked / "chat").write_text("server { listen 80; server_name chat; location /ws { proxy_pass http://a; } }")
    found = asleep()
    assert found == {"file": str(parked / "chat"), "folder": str(enabled)}
    fix = judged(host__nginx__asleep=found, host__nginx__route__pass="", host__exchanges__1=came("proxy", status=404),
                 outside__0=came("outside", status=404))["finding"]["fix"]  # fmt: skip
    subprocess.run(["sh", "-c", fix.partition(" && ")[0]], check=True)
    assert asleep() == {}, "the printed link leads nowhere"


NGINX = """nginx: configuration file /etc/nginx/nginx.conf test is successful
# configuration file /etc/nginx/nginx.conf:
http {
    proxy_http_version 1.1; # a comment; with { in it
    include sites-enabled/*;
}
# configuration file /etc/nginx/sites-enabled/app:
upstream app { server 127.0.0.1:8001; server unix:/run/app.sock; server 127.0.0.1:1 down; }
server {
    listen 443 ssl http2;
    server_name app.example.org;
    proxy_read_timeout 2m;
    location / { proxy_pass http://app; content_by_lua_block { if a then { return; } } }
    location /ws/ {
        proxy_pass http://app;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_read_timeout 1h;
    }
    location ~ ^/live/(?<name>\\w+)$ { proxy_pass http://127.0.0.1:9000/x$name; }
}
server { listen 80 default_server; server_name _; return 301 https://$host$request_uri; }
"""


def taken(text: str, port: int, target: str, host: str = "app.example.org") -> dict[str, Any]:
    """What nginx does with a handshake, by its configuration."""
    headers = exchange.client_headers(host if port in (80, 443) else f"{host}:{port}", PAGE)
    route = Config(text).route(host, port, target, headers, exists=lambda _path: False, here=True)
    assert route
    return route


def test_nginx_is_read_as_nginx_reads_itself() -> None:
    route = taken(NGINX, 443, "/ws/chat/")
    assert (route["where"], route["certain"]) == (f"{SITE}:7", True)
    assert route["upstream"] == ["127.0.0.1:8001", "unix:/run/app.sock"] and route["http_version"] == "1.1"
    assert route["headers"] == {"upgrade": "$http_upgrade", "connection": "upgrade"} and route["read_timeout"] == 3600
    plain = taken(NGINX, 443, "/other/")
    assert plain["headers"] == {} and plain["read_timeout"] == 120 and plain["unknown"] == ["content_by_lua_block"]
    matched = taken(NGINX, 443, "/live/one")
    assert (matched["pass"], matched["uri"]) == ("127.0.0.1:9000", "/xone")
    redirected = taken(NGINX, 80, "/ws/chat/?token=a")
    assert (redirected["status"], redirected["redirects"]) == (301, "https://app.example.org/ws/chat/")
    assert Config("nginx: not found").route("a", 80, "/", []) is None


def test_a_server_behind_a_balancer_is_guessed_by_its_name() -> None:
    """Nobody listens on the balancer's port here, or another site does."""
    text = NGINX.replace("listen 443 ssl http2", "listen 8080").replace("server_name _", "server_name other.net")
    headers = exchange.client_headers("app.example.org")
    for port in (443, 80):
        route = Config(text).route("app.example.org", port, "/ws/", headers, here=False)
        assert route and (route["pass"], route["certain"], route["listen"]["port"]) == ("app", False, 8080)
    here = Config(text).route("app.example.org", 80, "/ws/", headers, here=True)
    assert here and (here["status"], here["certain"]) == (301, True)


@pytest.mark.parametrize(("text", "value"), [("60", 60), ("60s", 60), ("1h 30m", 5400), ("500ms", 0.5), ("1d", 86400)])
def test_times_of_nginx(text: str, value: float) -> None:
    assert seconds(text) == value


def test_nginx_leads_a_handshake_where_a_map_says() -> None:
    text = """# configuration file /etc/nginx/nginx.conf:
http {
    map $http_upgrade $app_http { default app_wsgi; ~*^websocket$ app; }
    map $http_upgrade $other { default upgrade; }
    upstream app_wsgi { server unix:/run/app/1.wsgi.sock; }
    upstream app { server unix:/run/app/1.sock; }
    server { listen 80; location / { proxy_pass http://$app_http; } location /x/ { proxy_pass http://$other; } }
}
"""
    assert taken(text, 80, "/ws/")["upstream"] == ["unix:/run/app/1.sock"]
    assert taken(text, 80, "/x/")["upstream"] == ["upgrade"]


def plain(block: list[Directive]) -> list[Any]:
    """Directives as lists of their words and their blocks."""
    return [[each.words, plain(each.block)] for each in block]


def crossed(block: list[dict[str, Any]]) -> list[Any]:
    """The same, from crossplane, which takes an `if`'s parentheses away."""
    return [[[each["directive"], *each["args"]], crossed(each.get("block") or [])] for each in block if "#" not in each]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(random_nginx.server(), min_size=1, max_size=4))
def test_configurations_are_read_as_crossplane_reads_them(bodies: list[list[str]]) -> None:
    """Hosts have only Python's library, so the doctor reads for itself what this reads on the controller."""
    text = random_nginx.configuration(bodies)
    path = Path(os.environ.get("TMPDIR", "/tmp"), f"doctor-{os.getpid()}.conf")
    path.write_text(text)
    try:
        payload = crossplane.parse(str(path), check_ctx=False, check_args=False)
    finally:
        path.unlink()
    wanted = crossed(payload["config"][0]["parsed"])
    mine = json.loads(json.dumps(plain(main_block(f"# configuration file /x.conf:\n{text}"))))
    assert _joined(mine) == _joined(wanted)


def _joined(block: list[Any]) -> list[Any]:
    """Words of a condition as one, since parentheses may stand apart or not."""
    return [
        ["if", "".join(words[1:]).strip("()"), _joined(inner)] if words[0] == "if" else [words, _joined(inner)]
        for words, inner in block
    ]


# --- what nginx says, and what its user may


LOG = [
    '2026/01/01 10:00:00 [crit] 9#9: *7 connect() to unix:/run/a.sock failed (13: Permission denied) while connecting '
    'to upstream, client: 127.0.0.1, server: , request: "GET /ws/?token=abc HTTP/1.1", upstream: '
    '"http://unix:/run/a.sock:/ws/?token=abc", host: "192.0.2.7:8101"',
    '2026/01/01 10:00:00 [error] 9#9: *7 connect() to 127.0.0.1:9 failed (111: Connection refused) while connecting '
    'to upstream, client: 127.0.0.1, server: , request: "GET / HTTP/1.1", host: "other.example.org"',
    "2026/01/01 10:00:00 [alert] 9#9: 768 worker_connections are not enough",
    '2026/01/01 10:00:00 [error] 9#9: *7 broken header: "GET /ws/?token=abc HTTP/1.1',
    '2026/01/01 10:00:00 [error] 9#9: *7 SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version '
    'number) while SSL handshaking to upstream, client: 127.0.0.1, host: "192.0.2.7:8101"',
    '2026/01/01 10:00:00 [error] 9#9: *7 access forbidden by rule, client: 127.0.0.1, host: "192.0.2.7:8101"',
    '2026/01/01 10:00:00 [error] 9#9: *7 upstream sent no valid HTTP/1.0 header while reading response header from '
    'upstream, client: 127.0.0.1, upstream: "http://127.0.0.1:9/", host: "192.0.2.7:8101"',
    '2026/01/01 10:00:00 [error] 9#9: *7 open() "/var/www/ws" failed (2: No such file or directory), '
    'host: "192.0.2.7:8101"',
    '2026/01/01 10:00:00 [error] 9#9: *7 connect() failed (111: Connection refused) while connecting to upstream, '
    'client: 127.0.0.1, upstream: "http://127.0.0.1:9/ws/?token=abc", host: "192.0.2.7:8101"',
    "2026/01/01 10:00:00 [notice] 9#9: signal process started",
]  # fmt: skip


def test_lines_of_nginx_have_kinds_and_no_token() -> None:
    found = error_log.entries(LOG, "192.0.2.7:8101")
    assert [(each["kind"], each["errno"]) for each in found] == [
        ("connect", 13), ("connections", 0), ("proxy_protocol", 0), ("tls_to_plain", 0), ("denied", 0),
        ("not_http", 0), ("file", 2), ("connect", 111),
    ]  # fmt: skip
    assert found[0]["peer"] == "unix:/run/a.sock" and found[0]["line"].startswith("connect() to unix:/run/a.sock")
    assert "abc" not in json.dumps(found)


def test_a_way_that_is_closed_is_named(tmp_path: Path) -> None:
    """For a user who is neither the owner nor in the group."""
    folder, path = tmp_path / "closed", tmp_path / "closed" / "d.sock"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(folder)
        listening.bind("d.sock")
    path.chmod(0o755)
    folder.chmod(0o700)
    stranger = (os.getuid() + 1, os.getgid() + 1, [])
    found = [each for each in access.in_the_way(str(path), stranger) if str(tmp_path / "closed") in each["path"]]
    assert [(each["path"], each["mode"], each["folder"]) for each in found] == [
        (str(folder), "700", True), (str(path), "755", False)
    ]  # fmt: skip
    assert [
        each["path"] for each in access.in_the_way(str(path), (os.getuid(), 0, [])) if "closed" in each["path"]
    ] == []


def test_files_that_are_newer_than_the_workers_have_not_been_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload starts new workers."""
    old, new = tmp_path / "old.conf", tmp_path / "new.conf"
    for path in (old, new):
        path.write_text("")
    os.utime(old, (1.7e9, 1.7e9))
    monkeypatch.setattr(look, "workers", lambda: [7, 8])
    monkeypatch.setattr(look.proc, "started", lambda pid: {7: 1.71e9, 8: 1.72e9}[pid])
    shown = "".join(f"# configuration file {path}:\n" for path in (old, new))
    assert look.changed_since_loaded(shown) == [str(new)]


def test_a_server_that_expects_tls_is_noticed(
    certificates: SimpleNamespace, serve: Callable[..., SimpleNamespace]
) -> None:
    """And is spoken to in TLS from then on."""
    server = serve(lambda connection: connection.recv(), ssl=certificates.context("localhost"))
    examination = Examination({
        "app": "", "url": "ws://localhost:1/ws/", "query": "", "origin": "", "token": "", "foreign_origin": "",
        "token_command": [], "expired_token_command": [], "idle_seconds": 0, "timeout": 5.0, "asked_at": 0, "probe": "",
    })  # fmt: skip
    examination.evidence |= {"nginx": {}, "wsgi": [], "project": {}}
    examination.servers = [{"address": f"tcp:127.0.0.1:{server.port}", "pid": 1}]
    examination.try_all()
    good = [each for each in examination.evidence["exchanges"] if each["kind"] == "good"]
    assert examination.servers[0]["tls"] and [each["status"] for each in good] == [101]


def test_what_only_nginx_adds_is_asked_of_the_server_too(raw_server: Callable[..., SimpleNamespace]) -> None:
    """A stack is sound whose nginx takes a prefix away, though the server itself has no such path."""
    asked: list[str] = []

    def talk(way: Any, request: bytes) -> None:
        asked.append(request.split(b" ")[1].decode())
        found = b"101 Switching Protocols" if asked[-1].startswith("/ws/") else b"404 Not Found"
        way.sendall(b"HTTP/1.1 " + found + b"\r\nContent-Length: 0\r\n\r\n")

    port = raw_server(talk).port
    text = (
        "# configuration file /etc/nginx/nginx.conf:\nhttp {\nserver {\nlisten 8101;\nlocation /app/ {\n"
        f"proxy_pass http://127.0.0.1:{port}/;\nproxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\n"
        "proxy_set_header Connection upgrade;\n}\n}\n}\n"
    )
    examination = Examination({
        "app": "", "url": "ws://127.0.0.1:8101/app/ws/", "query": "", "origin": "", "token": "", "foreign_origin": "",
        "token_command": [], "expired_token_command": [], "idle_seconds": 0, "timeout": 5.0, "asked_at": 0, "probe": "",
    })  # fmt: skip
    examination.nginx = look.Nginx()
    examination.nginx.config = Config(text)
    route = examination.nginx.route(examination.parts, *examination.request(""))
    examination.evidence |= {"nginx": {"route": route}, "wsgi": [], "project": {}, "exchanges": [came("proxy")]}
    examination.servers = [{"address": f"tcp:127.0.0.1:{port}", "pid": 1}]
    jobs = [("process", "good", examination.servers[0], {})]
    examination.run(jobs)
    assert [each["status"] for each in examination.evidence["exchanges"]] == [101, 404]
    try_like_nginx(examination, jobs)
    assert [each["status"] for each in examination.evidence["exchanges"]] == [101, 101]
    assert asked == ["/app/ws/", "/ws/"]
