"""The module websocket_handshake: its judgement on real servers, real Ansible runs, and that no secret comes out."""

from __future__ import annotations

import itertools
import json
import os
import select
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import websockets.sync.server
import yaml
from ansible_collections.channels.stack.plugins.module_utils.handshake.gate import plan, retries
from ansible_collections.channels.stack.plugins.module_utils.handshake.gate.run import run as run_checks
from ansible_collections.channels.stack.plugins.module_utils.host import proc
from ansible_collections.channels.stack.plugins.module_utils.text.secrets import header_secrets

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0+/=&.signature"
QUOTED = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0%2B%2F%3D%26.signature"
URL = "wss://app.example.org/%s/?token={token}"


def stay(connection: Any) -> None:
    """A server's handler that takes what comes and says nothing."""
    for _message in connection:
        pass


Serve = Callable[..., SimpleNamespace]
Check = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def check(handshake_module: ModuleType) -> Check:
    """Run the module's own code: check(url=…, …) gives its entries, raising ValueError for wrong options."""

    def run(**given: Any) -> list[dict[str, Any]]:
        options = {name: spec.get("default") for name, spec in handshake_module.ARGUMENTS.items()} | given
        secrets = {options["token"]} if options["token"] else set()
        entries, wrong = run_checks(options, secrets)
        if wrong:
            raise ValueError(wrong)
        json.dumps(entries)  # Ansible sends it as JSON.
        return entries

    return run


@pytest.fixture
def run_ansible(tmp_path: Path) -> Callable[..., tuple[bool, dict[str, Any], str]]:
    """A real run: run_ansible(options) gives whether it went well, the module's result, and everything printed."""
    config = tmp_path / "ansible.cfg"
    config.write_text("[defaults]\nlocalhost_warning = false\n")
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(config),
        "ANSIBLE_COLLECTIONS_PATH": str(PLUGINS.parent / "collections"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_INJECT_INVOCATION": "true",  # what a module was given is shown, as older releases always do
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
        "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
    }

    def run(options: dict[str, Any], *arguments: str) -> tuple[bool, dict[str, Any], str]:
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible")),
                "localhost",
                "-m",
                "channels.stack.websocket_handshake",
                "-a",
                json.dumps(options),
                "-vvv",
                *arguments,
            ],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        output = done.stdout + done.stderr
        start = done.stdout.index("=> {") + 3
        result, _end = json.JSONDecoder().raw_decode(done.stdout[start:])
        return done.returncode == 0, result, output

    return run


# --- real Ansible runs


def test_a_run_that_goes_well_shows_no_secret(daphne: str, run_ansible: Any, tmp_path: Path) -> None:
    """The server echoes the query string and all headers, plain and quoted; a command makes the token."""
    (tmp_path / "token").write_text(f"a line before\n{TOKEN}\n")
    ok, result, output = run_ansible(
        {
            "url": URL % "whoami",
            "token_command": ["cat", str(tmp_path / "token")],
            "unix_sockets": [daphne],
            "headers": {
                "Authorization": "Bearer abcdef-123456",
                "Cookie": "sessionid=cookie-value-1; a=b",
                "X-Mine": "say {token}",
                "X-Forwarded-Port": 10,
            },
            "subprotocols": ["bearer"],
            "send": ['{"auth": "{token}"}'],
            "expect": ["^token=", "auth"],
            "http_path": "/health/?key={token}",
            "http_status": [200],
        },
        "--check",
    )
    assert ok, output
    assert result["changed"] is False
    (entry,) = result["handshakes"]
    # 101 holds the 10 of a header that is no secret: Ansible's own masking would have eaten it.
    assert (entry["ok"], entry["outcome"], entry["status"], entry["problem"]) == (True, "accepted", 101, None)
    assert entry["target"] == daphne
    assert entry["subprotocol"] == "bearer"
    assert entry["timings_ms"]["handshake"] > 0
    assert entry["received"][0].startswith("token=*** ") or "********" in entry["received"][0]
    assert "'origin': 'https://app.example.org'" in entry["received"][0]
    for secret in (TOKEN, QUOTED, "signature", "abcdef-123456", "cookie-value-1", "sessionid=cookie"):
        assert secret not in output
    assert result["invocation"]["module_args"]["url"] == URL % "whoami"


def test_a_run_that_fails_names_every_target_and_shows_no_secret(
    daphne: str, short_dir: Path, run_ansible: Any
) -> None:
    missing = str(short_dir / "missing.sock")
    url = URL % "deny" + "&key=written-out-secret"
    ok, result, output = run_ansible({"url": url, "token": TOKEN, "unix_sockets": [daphne, missing]})
    assert not ok
    message = result["msg"]
    assert message.startswith("2 of 2 WebSocket checks of wss://app.example.org/deny/?token={token}&key=*** failed:")
    assert f"{daphne}: The server answered the handshake with 403 Forbidden." in message
    assert f"{missing}: No connection to the unix socket: No such file or directory." in message
    assert message.count("Likely: ") == message.count("Fix: ") == 2
    assert [entry["status"] for entry in result["handshakes"]] == [403, None]
    for secret in (TOKEN, QUOTED, "signature", "written-out-secret"):
        assert secret not in output
    # It did not come out here, but Ansible has logged the url on the host by then.
    assert "[WARNING]" in output and "pass it as token" in " ".join(output.split())


def test_without_wsproto_the_message_says_what_to_install(run_ansible: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "wsproto.py").write_text("raise ImportError('hidden by the test')\n")
    interpreter = broken / "python3"
    interpreter.write_text(f'#!/bin/sh\nPYTHONPATH="{broken}:$PYTHONPATH" exec "{sys.executable}" "$@"\n')
    interpreter.chmod(0o755)
    ok, result, _output = run_ansible({"url": "ws://localhost/"}, "-e", f"ansible_python_interpreter={interpreter}")
    assert not ok
    assert "wsproto" in result["msg"] and "python3-wsproto" in result["msg"]


# --- accepted


def test_several_sockets_one_of_which_is_wrong(check: Check, daphne: str, short_dir: Path) -> None:
    entries = check(url="ws://localhost/echo/", unix_sockets=[daphne, str(short_dir / "no.sock"), daphne])
    assert [entry["ok"] for entry in entries] == [True, False, True]
    assert [entry["outcome"] for entry in entries] == ["accepted", "failed", "accepted"]


def test_tcp_with_connect_to_and_the_origin_of_a_browser(check: Check, serve: Serve) -> None:
    seen: list[Any] = []

    def handler(connection: Any) -> None:
        seen.append(connection.request)
        list(connection)

    server = serve(handler)
    (entry,) = check(url="ws://app.example.org:8080/", connect_to=f"127.0.0.1:{server.port}", timeout=5)
    assert entry["ok"] and entry["target"] == f"127.0.0.1:{server.port}"
    check(url=server.url, origin="https://other.example.org")
    check(url=server.url, origin="")
    assert seen[0].headers["Origin"] == "http://app.example.org:8080"
    assert seen[0].headers["Host"] == "app.example.org:8080"
    assert seen[1].headers["Origin"] == "https://other.example.org"
    assert "Origin" not in seen[2].headers


def test_tls_with_and_without_verification(check: Check, serve: Serve, certificates: SimpleNamespace) -> None:
    def page(connection: Any, request: Any) -> Any:
        return connection.respond(200, "well\n") if request.path == "/health/" else None

    server = serve(lambda connection: list(connection), ssl=certificates.context("localhost"), process_request=page)
    common = {"url": server.url, "http_path": "/health/"}
    (trusted,) = check(**common, ca_path=certificates.ca)
    assert trusted["ok"] and trusted["timings_ms"]["tls"] > 0
    assert trusted["http"] == {"status": 200, "body": "well\n", "ok": True}
    (unverified,) = check(**common, validate_certs=False)
    assert unverified["ok"]
    (untrusted,) = check(**common)
    assert not untrusted["ok"]
    assert "ca_path" in untrusted["problem"]["fix"]


def test_what_is_expected_has_to_come(check: Check, daphne: str) -> None:
    common = {"url": "ws://localhost/echo/", "unix_sockets": [daphne]}
    (entry,) = check(**common, send=["one", "two"], expect=["^two$", "n"])
    assert entry["ok"] and entry["received"] == ["one", "two"]
    (entry,) = check(**common, send=["one"], expect=["one", "three"], timeout=0.3)
    assert "'three'" in entry["problem"]["what"] and "'one'" not in entry["problem"]["what"]
    assert entry["received"] == ["one"]
    (entry,) = check(**common, send=["bye"], expect=["three"])
    assert entry["close_code"] == 4000
    assert "4000" in entry["problem"]["what"]


def test_what_was_received_is_cut(check: Check, serve: Serve) -> None:
    def handler(connection: Any) -> None:
        for _ in range(30):
            connection.send("x" * 1000)
        list(connection)

    (entry,) = check(url="ws://localhost/", unix_sockets=[serve(handler, unix=True).path], idle_seconds=0.5)
    assert [len(text) for text in entry["received"]] == [500] * 20


def test_a_socket_that_is_closed_while_idle(check: Check, serve: Serve) -> None:
    def handler(connection: Any) -> None:
        time.sleep(0.4)
        connection.close(1011, "broke")

    path = serve(handler, unix=True).path
    (short,) = check(url="ws://localhost/", unix_sockets=[path])
    assert short["ok"] and short["close_code"] is None
    (entry,) = check(url="ws://localhost/", unix_sockets=[path], idle_seconds=30)
    assert not entry["ok"]
    assert (entry["outcome"], entry["close_code"], entry["close_reason"]) == ("accepted", 1011, "broke")
    assert 0.3 < entry["idle_seconds"] < 30
    assert "exception" in entry["problem"]["likely"]


def test_accepted_and_closed_at_once_is_not_accepted(check: Check, daphne: str) -> None:
    common = {"url": "ws://localhost/turn-away/", "unix_sockets": [daphne]}
    (entry,) = check(**common)
    assert not entry["ok"] and entry["close_code"] == 4401
    (entry,) = check(**common, close_codes=[4401])
    assert entry["ok"]
    (entry,) = check(**common, close_codes=[4403])
    assert "4403" in entry["problem"]["what"] and "4401" in entry["problem"]["what"]
    (entry,) = check(url="ws://localhost/echo/", unix_sockets=[daphne], close_codes=[4401], timeout=0.3)
    assert "stayed open" in entry["problem"]["what"]


def test_accepted_and_closed_a_little_later_is_not_accepted_either(check: Check, serve: Serve) -> None:
    def handler(connection: Any) -> None:
        time.sleep(0.03)
        connection.close(4401)

    (entry,) = check(url="ws://localhost/", unix_sockets=[serve(handler, unix=True).path])
    assert not entry["ok"] and entry["close_code"] == 4401


def test_an_exception_after_accept_is_seen_within_one_and_a_half_seconds(check: Check, daphne: str) -> None:
    (entry,) = check(url="ws://localhost/crash-after/", unix_sockets=[daphne], idle_seconds=1.5)
    assert not entry["ok"] and entry["close_code"] == 1011


# --- refused


def test_refusals_are_right_when_asked_for(check: Check, daphne: str) -> None:
    deny = {"url": "ws://localhost/deny/", "unix_sockets": [daphne], "outcome": "refused"}
    assert check(**deny)[0]["ok"]
    assert check(**deny, status=[401, 403])[0]["ok"]
    (entry,) = check(**deny, status=[401, 404])
    assert "401 or 404" in entry["problem"]["what"] and "403" in entry["problem"]["what"]
    assert (entry["outcome"], entry["status"]) == ("refused", 403)


def test_an_open_door_is_a_problem_when_it_should_be_shut(check: Check, daphne: str) -> None:
    (entry,) = check(url="ws://localhost/echo/", unix_sockets=[daphne], outcome="refused")
    assert "refusal was expected" in entry["problem"]["what"]
    assert entry["outcome"] == "accepted"


def test_refusing_by_close_code_has_to_be_named(check: Check, daphne: str) -> None:
    turn_away = {"url": "ws://localhost/turn-away/", "unix_sockets": [daphne], "outcome": "refused"}
    (entry,) = check(**turn_away)
    assert "add 4401 to close_codes" in entry["problem"]["fix"]
    assert check(**turn_away, close_codes=[4401])[0]["ok"]
    (entry,) = check(**turn_away | {"url": "ws://localhost/echo/"}, close_codes=[4401], timeout=0.3)
    assert "nor was the socket closed with 4401" in entry["problem"]["what"]


def test_a_server_that_does_not_answer_was_not_refusing(check: Check, short_dir: Path) -> None:
    for outcome in ("refused", "any"):
        (entry,) = check(url="ws://localhost/", unix_sockets=[str(short_dir / "no.sock")], outcome=outcome)
        assert not entry["ok"] and entry["outcome"] == "failed"


def test_any_takes_every_answer(check: Check, daphne: str) -> None:
    for path, outcome in (("deny", "refused"), ("turn-away", "accepted"), ("echo", "accepted")):
        (entry,) = check(url=f"ws://localhost/{path}/", unix_sockets=[daphne], outcome="any")
        assert entry["ok"] and entry["outcome"] == outcome


# --- http


def test_http_is_asked_on_the_same_socket(check: Check, daphne: str) -> None:
    common = {"url": "ws://localhost/echo/", "unix_sockets": [daphne]}
    (entry,) = check(**common, http_path="/health/?a=1")
    assert entry["http"] == {"status": 200, "body": "asked with a=1", "ok": True}
    assert check(**common, http_path="/nowhere/")[0]["ok"], "404 is below 500"
    (entry,) = check(**common, http_path="/nowhere/", http_status=[200])
    assert "404" in entry["problem"]["what"] and "200" in entry["problem"]["what"]
    (entry,) = check(**common, http_path="/sick/")
    assert not entry["ok"] and entry["outcome"] == "accepted"
    assert "below 500" in entry["problem"]["what"]
    assert "asked with" in entry["problem"]["fix"]


# --- wait


def test_it_waits_for_a_process_that_is_starting(check: Check, short_dir: Path) -> None:
    path = str(short_dir / "late.sock")
    servers: list[Any] = []

    def start() -> None:
        servers.append(websockets.sync.server.unix_serve(stay, path))
        servers[0].serve_forever()

    threading.Timer(0.5, start).start()
    (entry,) = check(url="ws://localhost/", unix_sockets=[path], wait_seconds=30, delay=0.1)
    servers[0].shutdown()
    assert entry["ok"] and entry["attempts"] > 2


def test_plain_http_of_other_sockets(check: Check, serve: Serve) -> None:
    """Those that answer plain HTTP are asked for it and for no handshake, and the others for a handshake alone."""

    def no_http(connection: Any, request: Any) -> Any:
        return None if "Upgrade" in request.headers else connection.respond(500, "no application for http")

    def no_websocket(connection: Any, request: Any) -> Any:
        return connection.respond(500 if request.path == "/sick/" else 200, "plain")

    sockets = serve(stay, unix=True, process_request=no_http).path
    plain = serve(stay, unix=True, process_request=no_websocket).path
    common = {"url": "ws://localhost/", "unix_sockets": [sockets]}
    assert not check(**common, http_path="/")[0]["ok"]
    first, second = check(**common, http_path="/", http_sockets=[plain])
    assert first["ok"] and first["status"] == 101 and first["http"] is None
    assert second["ok"] and second["target"] == plain and second["http"]["status"] == 200
    first, second = check(**common, http_path="/sick/", http_sockets=[plain])
    assert first["ok"] and not second["ok"] and "answered with 500" in second["problem"]["what"]
    # A proxy in front passes on both, so it is asked for both.
    proxy = serve(stay, process_request=no_http)
    listeners = [{"address": f"127.0.0.1:{proxy.port}"}]
    first, second, third = check(**common, http_path="/", http_sockets=[plain], listeners=listeners)
    assert first["ok"] and third["ok"] and second["status"] == 101 and "with 500" in second["problem"]["what"]


def test_a_page_that_redirects_to_itself(check: Check, serve: Serve) -> None:
    """Asked as nginx asks for a page that came by https, which it also tells the process."""

    def page(connection: Any, request: Any) -> Any:
        if "Upgrade" in request.headers:
            return None
        answer = connection.respond(301, "")
        answer.headers["Location"] = "/welcome/" if request.path == "/" else f"https://localhost{request.path}"
        answer.headers["X-Asked"] = request.headers.get("X-Forwarded-Proto", "")
        return answer

    common = {"url": "ws://localhost/", "unix_sockets": [serve(stay, unix=True, process_request=page).path]}
    site = {"origin": "https://www.example.org", "wait_seconds": 60}
    (entry,) = check(**common, **site, http_path="/health/")
    assert not entry["ok"] and "SECURE_PROXY_SSL_HEADER" in entry["problem"]["fix"], entry
    assert check(**common, **site, http_path="/")[0]["ok"], "elsewhere is an answer"
    assert check(**common, origin="http://www.example.org", http_path="/health/")[0]["ok"], "https is another address"


def test_each_listener_has_to_lead_to_the_processes_that_are_meant(check: Check, serve: Serve) -> None:
    """Each is asked under the name that it knows the site by, and the proxy says who answered."""
    asked: list[tuple[str, str | None]] = []

    def says(upstream: str) -> Any:
        def respond(connection: Any, request: Any, response: Any) -> None:
            asked.append((request.headers["Host"], request.headers["X-Channels-Probe"]))
            response.headers["X-Channels-Upstream"] = upstream

        return respond

    new, old = (
        serve(stay, process_response=says(upstream))
        for upstream in ("unix:/run/gone.sock, unix:/run/new-1.sock", "unix:/run/old-1.sock")
    )
    given = [
        {"address": f"localhost:{new.port}", "host": ""},
        {"address": f"localhost:{old.port}", "host": "www.example.org"},
    ]
    right, wrong = check(url="ws://localhost/x/", listeners=given, answered_by=["/run/new-1.sock", "/run/new-2.sock"])
    assert right["ok"] and right["target"] == given[0]["address"]
    assert not wrong["ok"] and "accepted by /run/old-1.sock" in wrong["problem"]["what"]
    assert set(asked) == {("localhost", "upstream"), ("www.example.org", "upstream")}


def test_listener_of_the_proxy_protocol_is_told_that_nobody_is_behind(check: Check, serve: Serve) -> None:
    """Before the page and before the handshake; a listener that does not speak it is told nothing."""
    heard: list[bytes] = []
    line = b"PROXY UNKNOWN\r\n"

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            heard.append(self.request.recv(len(line), socket.MSG_WAITALL))
            with socket.create_connection(("localhost", behind)) as way:
                sides = {self.request: way, way: self.request}
                while sides:
                    for side in select.select(list(sides), [], [], 5)[0]:
                        if not (data := side.recv(65536)):
                            return
                        sides[side].sendall(data)

    behind = serve(stay).port
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as relay:
        threading.Thread(target=relay.serve_forever, args=(0.05,), daemon=True).start()
        listener = {"address": f"127.0.0.1:{relay.server_address[1]}", "proxied": True}
        plain = {"address": f"localhost:{behind}", "proxied": False}
        through, direct = check(url="ws://localhost/x/", http_path="/", http_status=[426], listeners=[listener, plain])
        relay.shutdown()
    assert through["ok"] and direct["ok"], (through, direct)
    assert heard == [line, line]


def test_proxy_that_does_not_say_who_answered_is_judged_by_connections(
    check: Check, serve: Serve, short_dir: Path
) -> None:
    """A site of the user's own may say nothing: then a socket of the new processes has to have a connection."""
    silent = serve(stay)
    path = short_dir / "new.sock"
    options = {"listeners": [{"address": f"localhost:{silent.port}", "host": ""}], "answered_by": [str(path)]}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        (alone,) = check(url="ws://localhost/x/", **options)
        assert not alone["ok"] and "accepted by another process" in alone["problem"]["what"]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            with listener.accept()[0]:
                (connected,) = check(url="ws://localhost/x/", **options)
                assert connected["ok"]


@pytest.mark.parametrize(("addresses", "tried"), [("", 1), ("00 01 80 10 80 lo\n", 2), ("00 02 40 20 80 eth0\n", 1)])
def test_listener_of_ipv6_counts_where_there_is_such(
    check: Check, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, addresses: str, tried: int
) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/if_inet6").write_text(addresses)
    monkeypatch.setattr(proc, "PROC", tmp_path)
    port = serve(stay).port
    listeners = [{"address": f"{name}:{port}", "host": ""} for name in ("localhost", "[::1]")]
    assert len(check(url="ws://localhost/x/", listeners=listeners)) == tried


def test_a_subprotocol_is_taken(check: Check, serve: Serve) -> None:
    """Browsers end a socket whose server takes none of those that they offered."""
    url = serve(stay, subprotocols=["pad.v1"]).url
    (entry,) = check(url=url, subprotocols=["pad.v2", "pad.v1"])
    assert entry["ok"] and entry["subprotocol"] == "pad.v1"
    (entry,) = check(url=serve(stay).url, subprotocols=["pad.v1"])
    assert not entry["ok"] and "none of the subprotocols" in entry["problem"]["what"]
    assert check(url=serve(stay).url, subprotocols=["pad.v1"], outcome="any")[0]["ok"]


def test_it_gives_up(check: Check, short_dir: Path) -> None:
    (entry,) = check(url="ws://localhost/", unix_sockets=[str(short_dir / "no")], wait_seconds=0.5, delay=0.2)
    assert not entry["ok"] and entry["attempts"] in (2, 3)


def test_it_takes_no_for_an_answer(check: Check, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 403 that stays one is not waited for; a 500 may be of something that is still to come."""
    monkeypatch.setattr(retries, "REFUSED_SECONDS", 0.3)
    answers = iter([500, 404, *[500] * 10])
    first = serve(stay, process_request=lambda connection, request: connection.respond(next(answers, 403), "")).url
    (entry,) = check(url=first, wait_seconds=60, delay=0.1)
    assert not entry["ok"] and entry["status"] == 403 and 12 < entry["attempts"] < 20
    sick = serve(stay, process_request=lambda connection, request: connection.respond(500, "")).url
    (entry,) = check(url=sick, wait_seconds=4, delay=0.1)
    assert entry["attempts"] > 7


def failing(serve: Serve, **options: Any) -> Any:
    """A server in this process that answers a handshake with 500."""
    return serve(stay, process_request=lambda connection, request: connection.respond(500, ""), **options)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the module believe at once what it believes."""
    for name in ("FAILED_SECONDS", "UNKNOWN_SECONDS", "REFUSED_SECONDS", "LOG_SECONDS"):
        monkeypatch.setattr(retries, name, 0.1)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("log", "believed"),
    [
        ("Traceback (most recent call last):\n…\nValueError: No route found for path 'ws/x/'.", True),
        ("django.core.exceptions.ImproperlyConfigured: …", True),
        ("nothing that says why", True),
        ("redis.exceptions.ConnectionError: Error 111 connecting to 127.0.0.1:6379. Connection refused.", False),
        ("psycopg.OperationalError: connection failed: FATAL:  the database system is starting up", False),
        ("redis.exceptions.BusyLoadingError: LOADING Redis is loading the dataset in memory", False),
    ],
)
def test_an_error_that_stays_is_told_and_one_that_may_pass_is_waited_for(
    check: Check, serve: Serve, log: str, believed: bool
) -> None:
    given = {"url": "ws://localhost/", "unix_sockets": [failing(serve, unix=True).path], "delay": 0.1}
    (entry,) = check(**given, wait_seconds=60 if believed else 1.5, log_command=["echo", log])
    assert not entry["ok"] and entry["status"] == 500
    assert ("its process runs on" in entry["problem"]["what"]) == believed


@pytest.mark.usefixtures("hasty")
def test_error_without_a_reason_is_believed_later(check: Check, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "UNKNOWN_SECONDS", 60)
    sick = failing(serve, unix=True).path
    for command in ([], ["echo", "no reason"], ["false"], ["/nowhere/at/all"]):
        (entry,) = check(url="ws://h/", unix_sockets=[sick], wait_seconds=1, delay=0.1, log_command=command)
        assert "runs on" not in entry["problem"]["what"]


@pytest.mark.usefixtures("hasty")
def test_error_of_processes_that_die_is_not_their_last_word(
    check: Check, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time another process answers; and what answers 503 says itself that it is not ready."""
    common = {"url": "ws://localhost/", "wait_seconds": 1.5, "delay": 0.1, "log_command": ["echo", "ValueError: x"]}
    sick, count = failing(serve, unix=True).path, itertools.count()
    assert retries.process_behind(sick) == os.getpid()
    monkeypatch.setattr(retries, "process_behind", lambda _: next(count))
    (entry,) = check(unix_sockets=[sick], **common)
    assert "runs on" not in entry["problem"]["what"]
    busy = serve(stay, process_request=lambda connection, request: connection.respond(503, "")).url
    (entry,) = check(**{**common, "url": busy})
    assert "runs on" not in entry["problem"]["what"]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({}, True),
        ({"restarts": 2}, False),
        ({"kind": "worker"}, False),  # the deploy looks at workers itself, once servers are there
        ({"log": ["ConnectionError: Error 111 connecting to 127.0.0.1:6379. Connection refused."]}, False),
        (None, False),
    ],
)
def test_process_that_keeps_dying_is_not_waited_for(
    check: Check, tmp_path: Path, row: dict[str, Any] | None, told: bool
) -> None:
    """Unless it waits for another service."""
    dying = {"kind": "server", "restarts": 3, "what": "daphne@1 does not run", "log": ["PermissionError: no"]}
    printed = "no such generation" if row is None else json.dumps([dying | row])
    (entry,) = check(url="ws://h/", unix_sockets=[str(tmp_path / "none")], wait_seconds=60 if told else 1, delay=0.1,
                     unsteady_command=["printf", "%s", printed])  # fmt: skip
    assert not entry["ok"] and ("daphne@1 does not run." in entry["problem"]["what"]) == told


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("code", [1000, 1011, 4401])
def test_consumer_that_ends_each_socket_is_believed(check: Check, serve: Serve, code: int) -> None:
    """It has accepted before, so that there is no status."""
    url = serve(lambda connection: connection.close(code)).url
    started = time.monotonic()
    (entry,) = check(url=url, wait_seconds=300, delay=0.1, log_command=["echo", "ValueError: x"])
    assert entry["close_code"] == code and time.monotonic() < started + 200


@pytest.mark.usefixtures("hasty")
def test_page_that_fails_is_believed_too(check: Check, serve: Serve) -> None:
    def page(connection: Any, request: Any) -> Any:
        return None if "Upgrade" in request.headers else connection.respond(500, "")

    (entry,) = check(url=serve(stay, process_request=page).url, http_path="/", wait_seconds=60, delay=0.1,
                     log_command=["echo", "ValueError: No application configured for scope type 'http'"])  # fmt: skip
    assert entry["status"] == 101
    assert "GET / was answered with 500" in entry["problem"]["what"] and "runs on" in entry["problem"]["what"]


# --- secrets


def test_a_token_that_an_error_page_or_a_cookie_echoes(check: Check, serve: Serve) -> None:
    def page(connection: Any, request: Any) -> Any:
        # The excerpt of 2 kB ends within the token.
        body = f"{request.path} {TOKEN} ".ljust(2048 - 20) + TOKEN
        response = connection.respond(500, body)
        response.headers["X-Asked"] = request.path
        response.headers["Location"] = request.path
        response.headers["Set-Cookie"] = "sessionid=fresh-session-1"
        return response

    path = serve(lambda connection: None, unix=True, process_request=page).path
    (entry,) = check(url=URL % "x", token=TOKEN, unix_sockets=[path], http_path="/health/")
    told = json.dumps(entry)
    assert entry["status"] == 500 and "***" in entry["body"]
    for secret in (TOKEN, QUOTED, TOKEN[:12], "fresh-session-1"):
        assert secret not in told


def test_the_token_in_subprotocol_and_sent_text(check: Check, serve: Serve) -> None:
    def handler(connection: Any) -> None:
        for message in connection:
            connection.send(f"got {message}" + "x" * 490 + TOKEN)

    token = "abcdefgh.ijklmnop"
    path = serve(handler, unix=True, subprotocols=[token]).path
    (entry,) = check(
        url="ws://localhost/",
        token=token,
        unix_sockets=[path],
        subprotocols=["{token}"],
        send=["{token}"],
        expect=["got abcdefgh.ijklmnop"],
    )
    assert entry["ok"] and entry["subprotocol"] == "***"
    assert entry["received"][0].startswith("got ***xxx")
    assert token not in json.dumps(entry)


@pytest.mark.parametrize(("answer", "said"), [((3, "", "no such user"), "no such user"), ((0, "\n", ""), "nothing")])
def test_a_command_that_makes_no_token_ends_the_run(
    handshake_module: ModuleType, answer: tuple[int, str, str], said: str
) -> None:
    told: list[str] = []

    def fail_json(msg: str) -> None:
        told.append(msg)
        raise SystemExit(1)

    module = SimpleNamespace(run_command=lambda _command: answer, fail_json=fail_json)
    with pytest.raises(SystemExit):
        handshake_module.minted(module, ["make", "token"])
    assert "make token" in told[0] and said in told[0]


def test_which_headers_are_secret() -> None:
    secrets = header_secrets(
        {"Authorization": "Bearer abcdef", "X-Forwarded-Proto": "https", "Host": "h", "Cookie": "a=1; session=abcdefg"}
    )
    assert secrets == {"Bearer abcdef", "Bearer", "abcdef", "a=1; session=abcdefg", "session", "abcdefg"}
    assert plan.url_secrets("ws://h/?jwt=abc&page=1&access_token={token}&key=k") == {"abc", "k"}


# --- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "http://localhost/"}, "WebSocket URL"),
        ({"url": "ws://localhost/?t={token}"}, "option token is not set"),
        ({"url": "ws://localhost/", "send": ["{token}"]}, "option token is not set"),
        ({"url": "ws://localhost/", "expect": ["("]}, "no regular expression"),
        ({"url": "wss://localhost/", "ca_path": "/no/such/file"}, "ca_path /no/such/file"),
        ({"url": "ws://localhost/", "headers": {"X": "a\nb"}}, "HTTP does not allow"),
        ({"url": "ws://localhost:port/"}, "port"),
    ],
)
def test_wrong_options_are_named(check: Check, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(**options)


def test_an_empty_token_is_a_token(check: Check, daphne: str) -> None:
    (entry,) = check(url=URL % "whoami", token="", unix_sockets=[daphne], expect=["^token= "])
    assert entry["ok"]


def test_the_documentation_and_the_arguments_are_the_same(handshake_module: ModuleType) -> None:
    documented = yaml.safe_load(handshake_module.DOCUMENTATION)["options"]
    assert documented.keys() == handshake_module.ARGUMENTS.keys()
    for name, spec in handshake_module.ARGUMENTS.items():
        told = {key: value for key, value in documented[name].items() if key not in ("description", "suboptions")}
        for inner, facts in documented[name].get("suboptions", {}).items():
            told.setdefault("options", {})[inner] = {key: fact for key, fact in facts.items() if key != "description"}
        assert told == {key: value for key, value in spec.items() if key != "no_log"}, name
    assert all("channels.stack.websocket_handshake" in task for task in yaml.safe_load(handshake_module.EXAMPLES))


def test_the_documented_result_is_the_result(check: Check, handshake_module: ModuleType, daphne: str) -> None:
    (entry,) = check(url="ws://localhost/echo/", unix_sockets=[daphne])
    documented = yaml.safe_load(handshake_module.RETURN)["handshakes"]["contains"]
    assert entry.keys() == documented.keys()
