"""What the doctor reads on a host of strangers: sources, units, fronts' rules, workers, containers, routes."""

from __future__ import annotations

import os
import socket
import textwrap
from pathlib import Path
from typing import Any

import jwt
import pytest
from ansible_collections.channels.stack.plugins.module_utils.doctor import following, routes, seal
from ansible_collections.channels.stack.plugins.module_utils.host import (
    apache,
    consumer_source,
    fronts,
    haproxy_config,
    probe,
    processes,
    relatives,
    servers,
    unit_setup,
)
from test_doctor import everywhere, judged

CONSUMERS = """
    from channels.generic.websocket import AsyncWebsocketConsumer as _, AsyncJsonWebsocketConsumer
    class Base(AsyncJsonWebsocketConsumer):
        async def allow(self):
            if not self.scope["user"].is_authenticated:
                await self.close(4001)
            await self.accept()
    class Chat(Base):
        async def connect(self):
            await self.channel_layer.group_add("all", self.channel_name)
            await self.allow()
    class Forgets(Base):
        async def connect(self):
            self.accept()
    class Leaves(Base):
        async def connect(self):
            await admit(self)
    class Mixed(SomeMixin, Base):
        async def connect(self):
            pass
    class Silent(Base):
        async def connect(self):
            helper()
    class Super(Base):
        async def connect(self):
            await super().connect()
    def helper():
        return "query_string"
"""


def test_a_consumer_s_source_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    file = tmp_path / "consumers.py"
    file.write_text(textwrap.dedent(CONSUMERS))

    def look(name: str) -> dict[str, Any]:
        return consumer_source.look(str(file), name)

    chat = look("Chat")
    assert chat["accepts"] and chat["closes"] == [6] and chat["line"] == 9 and not chat["unawaited"]
    assert chat["users"] == ["is_authenticated", "user"] and chat["tokens"] == []
    assert look("Forgets")["unawaited"] == 14
    assert not look("Silent")["accepts"] and look("Silent")["tokens"] == ["query_string"]
    assert look("Super")["accepts"]
    assert look("Leaves") == look("Mixed") == look("Base") == look("Nobody") == {}
    assert consumer_source.look(str(tmp_path / "none.py"), "Chat") == {}


def test_what_a_unit_needs_is_looked_at(tmp_path: Path) -> None:
    script = tmp_path / "daphne"
    script.write_text("#!/moved/venv/bin/python\n")
    found = unit_setup.setup({"WorkingDirectory": "!/no/folder", "ProtectHome": "yes", "User": "nobody"}, str(script))
    assert (found["interpreter"], found["folder_there"], found["program_there"]) == (
        "/moved/venv/bin/python",
        False,
        True,
    )
    assert found["program_runs"] == os.access(script, os.X_OK) and found["homes_hidden"] == []
    hidden = unit_setup.setup({"WorkingDirectory": "/home/deploy/app", "ProtectHome": "tmpfs"}, "/root/venv/bin/daphne")
    assert unit_setup.setup({"Type": "notify"}, "")["type"] == "notify" and "Type" in unit_setup.PROPERTIES.split(",")
    assert hidden["homes_hidden"] == ["/root/venv/bin/daphne", "/home/deploy/app"]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shut = unit_setup.setup({"User": "nobody"}, str(closed / "daphne"))["closed"]
        assert shut and str(closed).startswith(shut)
    file = tmp_path / "chat.service"
    file.write_text("[Service]\nExecStart=venv/bin/daphne -p 8001 core.asgi:application\n")
    assert unit_setup.command_in_file(str(file)) == "venv/bin/daphne -p 8001 core.asgi:application"
    assert unit_setup.command_in_file("") == ""


def test_workers_of_gunicorn_are_read_where_they_are_named(tmp_path: Path) -> None:
    def workers(*options: str, **environ: str) -> str:
        return servers.workers_of_gunicorn(["gunicorn", *options, "core.asgi:application"], str(tmp_path), environ)

    assert workers() == "" and workers("-k", "gevent") == "" and workers("--worker-class=asgi") == "asgi"
    assert workers(GUNICORN_CMD_ARGS="--worker-class uvicorn_worker.UvicornWorker") == "uvicorn"
    (tmp_path / "gunicorn.conf.py").write_text("workers = 2\nworker_class = 'uvicorn.workers.UvicornWorker'\n")
    assert workers() == "uvicorn" and workers("-k", "sync") == "" and workers("-c", "other.py") == ""


def test_a_module_is_read_for_the_name_of_its_settings(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    command, values = "/venv/bin/daphne core.asgi:application", {"WorkingDirectory": str(tmp_path)}
    assert unit_setup.setup(values, "", command)["names_settings"], "what is not read accuses nobody"
    for text, named in (("import django\n", False), ("os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'x')", True)):
        (tmp_path / "core" / "asgi.py").write_text(text)
        assert unit_setup.setup(values, "", command)["names_settings"] is named


def test_a_redis_is_told_from_another_without_its_password() -> None:
    assert relatives.place_of("redis://:secret@10.0.0.1/1") == "10.0.0.1:6379/1"
    assert relatives.place_of("rediss://r:6380") == "r:6380/0" and relatives.place_of("amqp://x") == ""
    assert relatives.place_of("redis://h:port") == ""


def test_what_a_front_refuses_is_read_from_its_configuration(tmp_path: Path) -> None:
    file = tmp_path / "apache2.conf"
    file.write_text("<VirtualHost *:80>\n<Location />\nRequire all granted\n</Location>\n"
                    "<Location /ws/>\nRequire ip 10.0.0.1\n</Location>\n"
                    "ProxyPass / http://127.0.0.1:8001/\n</VirtualHost>\n")  # fmt: skip
    lines = apache.read(str(file), str(tmp_path))
    assert apache.way(lines, "h", 80, "/ws/chat/", "2.4.62")["guards"] == [f"{file}:6: Require ip 10.0.0.1"]
    assert apache.way(lines, "h", 80, "/", "2.4.62")["guards"] == []
    text = "frontend f\n bind :80\n acl ws path_beg /ws\n http-request deny if ws\n http-request deny if !ws\n"
    text += " http-request tarpit unless ws\n default_backend b\nbackend b\n server a 127.0.0.1:1 send-proxy-v2\n"
    way = haproxy_config.way(text, "h", "x", 80, "/ws/chat/")
    assert way["guards"] == ["h:4: http-request deny if ws"] and way["sends_proxy"]


def test_haproxy_s_last_word_about_a_server_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [
        "Server web/a is DOWN, reason: Layer7 wrong status.",
        "Server web/b is DOWN.",
        "Server web/b is UP",
    ]
    monkeypatch.setattr(fronts.raw, "output", lambda *_words: "\n".join(said))
    assert fronts.down() == said[0]
    said.append("Server web/a is UP, reason: Layer7 check passed")
    assert fronts.down() == ""


def test_a_project_s_own_middleware_is_asked_what_it_reads() -> None:
    found: dict[str, Any] = {}

    class Inner:
        routes: tuple[Any, ...] = ()

        def __call__(self) -> None: ...

    class KeyMiddleware:
        inner = Inner()

        def __call__(self) -> None:
            """Looks at headers."""

    class Router:
        def __init__(self) -> None:
            self.application_mapping = {"websocket": KeyMiddleware()}

        def __call__(self) -> None: ...

    probe.describe(Router(), "", "/ws/", found)
    assert found["foreign"] == ["KeyMiddleware", "Inner"] and found["foreign_reads"] == ["headers"]


def test_a_server_in_a_container_is_told_from_one_that_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in another network: what it listens on is in a table of its own."""
    monkeypatch.setattr(processes.proc, "pids", lambda: [5, 6])
    monkeypatch.setattr(processes.proc, "argv", lambda _pid: ["/venv/bin/daphne", "core.asgi:application"])
    monkeypatch.setattr(processes.proc, "open_files", lambda _pid: ["socket:[77]"])
    monkeypatch.setattr(processes.proc, "listening", lambda pid=0: {"77": "tcp:127.0.0.1:8001"} if pid == 5 else {})
    monkeypatch.setattr(processes.proc, "link", lambda pid, _name: "net:[2]" if pid == 5 else "net:[1]")
    contained, lonely = processes.processes()
    assert contained["apart"] == ["tcp:127.0.0.1:8001"] and contained["listens"] == [] and "apart" not in lonely


def test_a_port_that_accepts_has_somebody_behind_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        place = f"tcp:127.0.0.1:{listening.getsockname()[1]}"
        assert following.accepts(place)
    assert not following.accepts(place) and not following.accepts("unix:/run/a.sock")
    assert not following.accepts("tcp:192.0.2.1:80"), "that is another host"


@pytest.mark.parametrize(("route", "path", "right"), [
    (r"^/ws/chat/(?P<room>\w+)/$", "/ws/chat/a/", r"^ws/chat/(?P<room>\w+)/$"),
    (r"ws/chat/(?P<room>\w+)/$", "/ws/chat/my-room/", r"ws/chat/(?P<room>[\w-]+)/$"),
    (r"ws/chat/(?P<room>\w+)/$", "/ws/chat/my-room", r"ws/chat/(?P<room>[\w-]+)/?$"),
    ("/ws/chat/<str:room>/", "/ws/chat/a/", "ws/chat/<str:room>/"),
    ("ws/chat/<int:room>/", "/ws/chat/a/", "ws/chat/<str:room>/"),
    (r"ws/news/$", "/ws/chat/a/", ""), ("(", "/ws/", ""),
])  # fmt: skip
def test_a_route_is_told_that_would_fit_with_a_small_change(route: str, path: str, right: str) -> None:
    assert routes.nearest(["admin/$", route], path) == ((route, right) if right else ("", ""))


def test_a_token_is_held_against_the_project_s_secrets() -> None:
    token = jwt.encode({"sub": "1"}, "k" * 32, "HS256")
    assert seal.sealed_by(token, [None, "", "x", "k" * 32]) is True and seal.sealed_by(token, ["x"]) is False
    for other in ("opaque", "a.b.c", "", jwt.encode({"sub": "1"}, None, "none")):
        assert seal.sealed_by(other, ["k" * 32]) is None
    for sealed, why in (
        (True, "has signed it, so the user"),
        (False, "none of the project's secrets"),
        (None, "or for"),
    ):
        finding = judged(**everywhere(status=403), host__project__sealed=sealed)["finding"]
        assert finding["code"] == "E402_TOKEN_BAD" and why in finding["cause"]
