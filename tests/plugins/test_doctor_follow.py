"""What the doctor learns by asking the application and by following the port, as recorded cases and on real files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.host import proc, relatives
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
