"""The WebSocket client against real servers: what works, and that each way of failing gets its right name."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import websockets
from ansible_collections.channels.stack.plugins.module_utils.text.secrets import redact
from ansible_collections.channels.stack.plugins.module_utils.websocket.client import Message, open_websocket
from ansible_collections.channels.stack.plugins.module_utils.websocket.errors import (
    Closed,
    HandshakeFailed,
    HandshakeRefused,
    SocketClosed,
)
from ansible_collections.channels.stack.plugins.module_utils.websocket.explain import explain
from ansible_collections.channels.stack.plugins.module_utils.websocket.http import http_get
from ansible_collections.channels.stack.plugins.module_utils.websocket.symptoms import SYMPTOMS, Symptom
from ansible_collections.channels.stack.plugins.module_utils.websocket.watch import watch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

Serve = Callable[..., SimpleNamespace]
URL = "ws://localhost/"


def echo(connection: Any) -> None:
    for message in connection:
        connection.send(message)


def stay(connection: Any) -> None:
    for _message in connection:
        pass


# --- opens


def test_tcp_opens_with_timings_and_no_tls(serve: Serve) -> None:
    with open_websocket(serve(echo).url) as ws:
        assert set(ws.timings) == {"connect", "tls", "handshake"}
        assert ws.timings["tls"] is None
        assert ws.timings["connect"] >= 0 and ws.timings["handshake"] > 0
        assert ws.headers["server"].startswith("Python/")
        assert ws.closed is None
    assert ws.closed and (ws.closed.code, ws.closed.by) == (1000, "client")


def test_a_unix_socket_takes_the_public_url_without_tls(serve: Serve) -> None:
    seen: list[Any] = []

    def handler(connection: Any) -> None:
        seen.append(connection.request)
        echo(connection)

    server = serve(handler, unix=True)
    with open_websocket("wss://app.example.org/ws/?a=b#c", unix_socket=server.path) as ws:
        ws.send("x")
        got = ws.receive(5)
        assert isinstance(got, Message) and got.data == got.text == "x"
    assert seen[0].path == "/ws/?a=b"
    assert seen[0].headers["Host"] == "app.example.org"
    assert "Origin" not in seen[0].headers


def test_tls_verifies_the_certificate_against_the_urls_name(serve: Serve, certificates: SimpleNamespace) -> None:
    server = serve(echo, ssl=certificates.context("app.example.org"))
    trusting = ssl.create_default_context(cafile=certificates.ca)
    to = f"127.0.0.1:{server.port}"
    with open_websocket("wss://app.example.org/", connect_to=to, ssl_context=trusting) as ws:
        assert ws.timings["tls"] > 0
        # Many TLS records: none may be left inside the TLS layer, where no poll sees it.
        ws.send("ä" * 400_000)
        assert ws.receive(10).data == "ä" * 400_000
    with pytest.raises(HandshakeFailed, match="mismatch") as wrong_name:
        open_websocket("wss://other.example.org/", connect_to=to, ssl_context=trusting)
    assert wrong_name.value.stage == "tls"
    assert "not for this host name" in explain(wrong_name.value)["likely"]
    with pytest.raises(HandshakeFailed) as unknown:
        open_websocket("wss://app.example.org/", connect_to=to)
    assert unknown.value.stage == "tls"
    assert "authority" in explain(unknown.value)["likely"]


def test_an_expired_certificate_is_called_expired(serve: Serve, certificates: SimpleNamespace) -> None:
    server = serve(echo, ssl=certificates.context("app.example.org", expired=True))
    with pytest.raises(HandshakeFailed) as caught:
        open_websocket(
            "wss://app.example.org/",
            connect_to=f"127.0.0.1:{server.port}",
            ssl_context=ssl.create_default_context(cafile=certificates.ca),
        )
    assert "expired" in explain(caught.value)["likely"]


def test_wss_to_a_plain_port_and_ws_to_a_tls_port(serve: Serve, certificates: SimpleNamespace) -> None:
    """A ClientHello is no line of HTTP: servers answer it with an error page at once, or hang up."""
    with socket.create_server(("127.0.0.1", 0)) as plain:
        port = plain.getsockname()[1]

        def answer() -> None:
            connection, _address = plain.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(HandshakeFailed) as caught:
            open_websocket(f"wss://localhost:{port}/", timeout=5)
    assert caught.value.stage == "tls"
    assert "Use ws://" in explain(caught.value)["fix"]
    with pytest.raises(HandshakeFailed) as caught:
        open_websocket(f"wss://localhost:{serve(echo).port}/", timeout=5)
    assert caught.value.stage == "tls"
    assert "plain HTTP" in explain(caught.value)["likely"]
    tls = serve(echo, ssl=certificates.context("localhost"))
    with pytest.raises(HandshakeFailed) as caught:
        open_websocket(f"ws://localhost:{tls.port}/", timeout=5)
    assert caught.value.stage == "handshake"


def test_what_is_sent_in_the_handshake(serve: Serve) -> None:
    seen: list[Any] = []

    def handler(connection: Any) -> None:
        seen.append(connection.request)

    server = serve(handler, subprotocols=["two"])
    with open_websocket(
        server.url + "é/%2F?q=ü a",
        origin="https://app.example.org",
        headers={"X-One": "1", "host": "other.example.org"},
        subprotocols=["one", "two"],
    ) as ws:
        assert ws.subprotocol == "two"
    wait_until(lambda: seen != [])
    request = seen[0]
    assert request.path == "/%C3%A9/%2F?q=%C3%BC%20a"
    assert request.headers["Origin"] == "https://app.example.org"
    assert request.headers["X-One"] == "1"
    assert request.headers.get_all("Host") == ["other.example.org"]


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://localhost/", {}),
        ("localhost:8000", {}),
        ("ws://", {}),
        ("ws://user:sesame@localhost/", {}),
        ("ws://localhost:99999/", {}),
        (URL, {"headers": {"X": "a\r\nb: c"}}),
        (URL, {"headers": {"X Y": "a"}}),
        (URL, {"headers": {"X": "€"}}),
        (URL, {"subprotocols": ["ö"]}),
        (URL, {"connect_to": ":80"}),
    ],
)
def test_what_cannot_be_sent_is_a_value_error(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:
        open_websocket(url, **options)
    assert "sesame" not in str(caught.value)


# --- refusals


@pytest.mark.parametrize(
    ("answer", "status", "likely"),
    [
        (b"301 Moved Permanently\r\nLocation: https://h/ws/\r\nContent-Length: 0\r\n\r\n", 301, "redirected"),
        (b"426 Upgrade Required\r\nContent-Length: 0\r\n\r\n", 426, "Upgrade header"),
        (b'400 Bad Request\r\nContent-Length: 44\r\n\r\nConnection headers do not include "upgrade"\n', 400, "Upgrade"),
        (b"400 Bad Request\r\n\r\nThe plain HTTP request was sent to HTTPS port", 400, "TLS port"),
        (b"400 Bad Request\r\n\r\n<h1>DisallowedHost at /</h1>", 400, "DisallowedHost"),
        (b"403 Forbidden\r\nContent-Length: 13\r\n\r\nAccess denied", 403, "token"),
        (b"404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, "Upgrade header was lost"),
        (b"200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "ASGI"),
        (b"414 Request-URI Too Large\r\nContent-Length: 0\r\n\r\n", 414, "longer"),
        (b"500 Internal Server Error\r\n\r\nValueError: No route found for path 'x'.", 500, "No WebSocket route"),
        (b"500 Internal Server Error\r\n\r\nError 111 connecting to localhost:6379", 500, "Redis does not answer"),
        (b"500 Internal Server Error\r\n\r\nNOAUTH Authentication required", 500, "wrong password"),
        (b"500 Internal Server Error\r\n\r\n", 500, "opened the connection"),
        (b"502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", 502, "no application process"),
        (b"503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", 503, "limit"),
        (b"504 Gateway Time-out\r\nContent-Length: 0\r\n\r\n", 504, "too long to accept"),
        (b"418 I'm a teapot\r\nContent-Length: 0\r\n\r\n", 418, "not the WebSocket endpoint"),
        (b"103 Early Hints\r\n\r\n", 103, "not the WebSocket endpoint"),
    ],
)
def test_a_refusal_keeps_its_status_and_is_explained(
    raw_server: Callable[..., SimpleNamespace], answer: bytes, status: int, likely: str
) -> None:
    server = raw_server(lambda connection, _request: connection.sendall(b"HTTP/1.1 " + answer))
    with pytest.raises(HandshakeRefused) as caught:
        open_websocket(server.url, timeout=5)
    assert caught.value.status == status
    problem = explain(caught.value)
    assert str(status) in problem["what"]
    assert likely in problem["likely"]
    assert problem["fix"]


def test_a_redirect_names_where_it_points_to(raw_server: Callable[..., SimpleNamespace]) -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: /login/\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 0\r\n\r\n"
    server = raw_server(lambda connection, _request: connection.sendall(answer))
    with pytest.raises(HandshakeRefused) as caught:
        open_websocket(server.url, timeout=5)
    assert "/login/" in explain(caught.value)["what"]
    assert caught.value.reason == "Found"
    assert caught.value.headers["x-a"] == "1, 2"


def test_a_long_error_page_is_cut_and_an_endless_one_does_not_hold_us(
    raw_server: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()

    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 500 Oops\r\nContent-Length: 999999\r\n\r\n")
        connection.sendall(b"long" * 25_000 if b"/long" in request else b"short")
        done.wait(20)

    monkeypatch.setattr("ansible_collections.channels.stack.plugins.module_utils.websocket.upgrade.BODY_WAIT", 0.2)
    server = raw_server(talk)
    begun = time.monotonic()
    with pytest.raises(HandshakeRefused) as caught:
        open_websocket(server.url, timeout=20)
    assert caught.value.body == "short"
    assert time.monotonic() - begun < 15
    done.set()
    with pytest.raises(HandshakeRefused) as caught:
        open_websocket(server.url + "long", timeout=20)
    assert caught.value.body == "long" * 512


def test_a_refusal_by_an_independent_server(serve: Serve) -> None:
    server = serve(echo, process_request=lambda connection, _request: connection.respond(401, "log in\n"))
    with pytest.raises(HandshakeRefused) as caught:
        open_websocket(server.url)
    assert (caught.value.status, caught.value.reason, caught.value.body) == (401, "Unauthorized", "log in\n")


# --- failures


def answers(data: bytes) -> Callable[[socket.socket, bytes], None]:
    return lambda connection, _request: connection.sendall(data)


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


@pytest.mark.parametrize(
    ("talk", "reason", "likely"),
    [
        (answers(b""), "without answering", "hung up"),
        (answers(b"hello, this is no HTTP\r\n\r\n"), "illegal status line", "does not speak HTTP"),
        (answers(b"\x15\x03\x03\x00\x02\x02\x16"), "within its answer|not a WebSocket", ""),
        (answers(b"HTTP/1.1 101 Switch"), "within its answer|not a WebSocket", ""),
        (answers(SWITCH + b"Sec-WebSocket-Accept: d3Jvbmc=\r\n\r\n"), "accept token", "cache or a faulty proxy"),
        (answers(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n"), "Missing header", "faulty proxy"),
        (answers(b"HTTP/1.1 200 OK\r\nX-Large: " + b"a" * 300_000 + b"\r\n\r\n"), "not a WebSocket", "not speak HTTP"),
    ],
    ids=["closes", "garbage", "tls-alert", "half", "wrong-accept", "no-connection-header", "huge-header"],
)
def test_an_answer_that_is_no_handshake(
    raw_server: Callable[..., SimpleNamespace], talk: Any, reason: str, likely: str
) -> None:
    with pytest.raises(HandshakeFailed, match=reason) as caught:
        open_websocket(raw_server(talk).url, timeout=5)
    assert caught.value.stage == "handshake"
    assert likely in explain(caught.value)["likely"]


def test_a_server_that_resets(raw_server: Callable[..., SimpleNamespace]) -> None:
    def talk(connection: socket.socket, _request: bytes) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with pytest.raises(HandshakeFailed, match=r"(?i)reset") as caught:
        open_websocket(raw_server(talk).url, timeout=5)
    assert caught.value.stage == "handshake"
    assert "hung up" in explain(caught.value)["likely"]


def test_a_server_that_hangs(raw_server: Callable[..., SimpleNamespace]) -> None:
    done = threading.Event()
    server = raw_server(lambda _connection, _request: done.wait(20) and None)
    with pytest.raises(HandshakeFailed, match=r"nothing within 0\.3 s") as caught:
        open_websocket(server.url, timeout=0.3)
    done.set()
    assert caught.value.stage == "timeout"
    assert "does not answer" in explain(caught.value)["likely"]


def test_a_server_that_drips_cannot_stretch_the_timeout(raw_server: Callable[..., SimpleNamespace]) -> None:
    def talk(connection: socket.socket, _request: bytes) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    with pytest.raises(HandshakeFailed) as caught:
        open_websocket(raw_server(talk).url, timeout=0.5)
    assert caught.value.stage == "timeout"


def test_tls_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(HandshakeFailed) as caught:
        open_websocket(f"wss://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.3)
    assert caught.value.stage == "timeout"
    assert "TLS" in caught.value.reason


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(HandshakeFailed, match=f"127.0.0.1 port {port}.*refused") as caught:
        open_websocket(f"ws://127.0.0.1:{port}/")
    assert caught.value.stage == "tcp"
    assert "Nothing listens" in explain(caught.value)["likely"]


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64])
def test_a_name_that_does_not_resolve(host: str) -> None:
    with pytest.raises((HandshakeFailed, ValueError)) as caught:
        open_websocket(f"ws://{host}/")
    if isinstance(caught.value, HandshakeFailed):
        assert caught.value.stage == "name"
        assert "DNS" in explain(caught.value)["likely"]


def test_unix_sockets_that_are_missing_or_stale_or_no_socket(short_dir: Path) -> None:
    stale = short_dir / "stale.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stale))
    plain = short_dir / "file"
    plain.write_text("")
    likely = {}
    for path in (short_dir / "missing.sock", stale, plain, Path("/" + "x" * 200)):
        with pytest.raises(HandshakeFailed) as caught:
            open_websocket(URL, unix_socket=str(path))
        assert caught.value.stage == "socket"
        likely[path.name] = explain(caught.value)["likely"]
    assert "does not run" in likely["missing.sock"]
    assert "left over" in likely["stale.sock"]


def test_a_unix_socket_without_permission(serve: Serve) -> None:
    server = serve(echo, unix=True)
    Path(server.path).chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # Root may connect to every socket.
        with pytest.raises(HandshakeFailed) as caught:
            open_websocket(URL, unix_socket=server.path)
    finally:
        os.seteuid(user)
    assert caught.value.stage == "socket"
    assert "mode" in explain(caught.value)["likely"]


# --- talk


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=300), max_size=5))
def test_any_texts_come_back_in_order(serve: Serve, texts: list[str]) -> None:
    server = getattr(serve, "echo_server", None)
    if server is None:
        server = serve.echo_server = serve(echo, unix=True)  # type: ignore[attr-defined]
    with open_websocket(URL, unix_socket=server.path) as ws:
        for text in texts:
            ws.send(text)
        assert [ws.receive(10).data for _ in texts] == texts


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000, 1_000_000])
def test_sizes_at_the_edges_of_the_frame_format(serve: Serve, size: int) -> None:
    with open_websocket(URL, unix_socket=serve(echo, unix=True).path) as ws:
        ws.send("x" * size)
        assert ws.receive(10).data == "x" * size


def test_fragments_are_joined_and_binary_is_told_from_text(serve: Serve) -> None:
    def handler(connection: Any) -> None:
        connection.send(["fr", "", "ag", "ment", "s ä"])
        connection.send([b"\xff", b"\x00"])
        connection.send("end")
        stay(connection)

    with open_websocket(URL, unix_socket=serve(handler, unix=True).path) as ws:
        got = [ws.receive(10) for _ in range(3)]
        assert [message.data for message in got] == ["fragments ä", b"\xff\x00", "end"]
        assert got[1].text == "\ufffd\x00"
        assert 0 <= got[0].at <= got[2].at


def test_receive_gives_none_when_nothing_comes_and_messages_wait(serve: Serve) -> None:
    with open_websocket(URL, unix_socket=serve(echo, unix=True).path) as ws:
        assert ws.receive(0) is None
        assert ws.receive(0.05) is None
        ws.send("a")
        ws.send("b")
        assert ws.receive(5).data == "a"
        assert ws.receive(5).data == "b"


def test_a_frame_in_the_same_packet_as_the_101_is_not_lost(raw_server: Callable[..., SimpleNamespace]) -> None:
    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(accept(request) + b"\x81\x05early")
        connection.recv(100)

    server = raw_server(talk)
    with open_websocket(server.url) as ws:
        assert ws.receive(0).data == "early"
    with open_websocket(server.url) as ws:
        assert [message.data for message in watch([ws], 0.05)[0].messages] == ["early"]


def accept(request: bytes) -> bytes:
    """A right answer, made by the websockets library's own rules."""
    key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
    assert key
    token = websockets.utils.accept_key(key[1].decode())
    return SWITCH + f"Sec-WebSocket-Accept: {token}\r\n\r\n".encode()


def test_a_message_too_large_is_not_taken(serve: Serve) -> None:
    codes: list[Any] = []

    def handler(connection: Any) -> None:
        connection.send("x" * 5000)
        with contextlib.suppress(websockets.ConnectionClosed):
            stay(connection)
        codes.append(connection.close_code)

    server = serve(handler, unix=True)
    with open_websocket(URL, unix_socket=server.path, max_message_bytes=4999) as ws:
        closed = ws.receive(10)
    assert (closed.code, closed.by) == (1009, "client")
    wait_until(lambda: codes == [1009])
    with open_websocket(URL, unix_socket=server.path, max_message_bytes=5000) as ws:
        assert ws.receive(10).data == "x" * 5000


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- closes


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 3000, 4401, 4999])
def test_the_servers_close_code_and_reason(serve: Serve, code: int) -> None:
    server = serve(lambda connection: connection.close(code, "why ä"), unix=True)
    with open_websocket(URL, unix_socket=server.path) as ws:
        closed = ws.receive(10)
        assert (closed.code, closed.reason, closed.by) == (code, "why ä", "server")
        assert ws.receive(0) is closed
        with pytest.raises(SocketClosed) as caught:
            ws.send("late")
        assert caught.value.closed is closed
        assert ws.close() is closed
    assert type(closed.code) is int, "an enum of wsproto is no JSON for Ansible"


def test_the_servers_code_wins_over_a_close_of_ours_that_crosses_it(raw_server: Callable[..., SimpleNamespace]) -> None:
    closes_4401 = b"\x88\x02\x11\x31"

    def early(connection: socket.socket, request: bytes) -> None:
        connection.sendall(accept(request) + closes_4401)

    def crossing(connection: socket.socket, request: bytes) -> None:
        connection.sendall(accept(request))
        connection.recv(100)  # our close frame
        connection.sendall(closes_4401)

    for talk in (early, crossing):
        closed = open_websocket(raw_server(talk).url).close()
        assert (closed.code, closed.by) == (4401, "server")


def test_our_close_reaches_the_server_with_its_code(serve: Serve) -> None:
    codes: list[Any] = []

    def handler(connection: Any) -> None:
        stay(connection)
        codes.append((connection.close_code, connection.close_reason))

    ws = open_websocket(URL, unix_socket=serve(handler, unix=True).path)
    assert ws.close(1001, "done").by == "client"
    wait_until(lambda: codes == [(1001, "done")])


@pytest.mark.parametrize(
    ("frames", "code", "reason"),
    [
        (b"", 1006, "without a close frame"),
        (b"\x81\x05hel", 1006, "without a close frame"),
        (b"\x88\x00", 1005, ""),
        (b"\x81\x85abcdhello", 1006, "broke the WebSocket protocol"),
        (b"\x83\x00", 1006, "broke the WebSocket protocol"),
        (b"\x81\x02\xff\xfe", 1006, "broke the WebSocket protocol"),
        (b"\x88\x02\x03\xee", 1006, "broke the WebSocket protocol"),
    ],
    ids=["end-of-file", "half-a-frame", "no-code", "masked", "opcode", "no-utf8", "1006-on-the-wire"],
)
def test_odd_ends(raw_server: Callable[..., SimpleNamespace], frames: bytes, code: int, reason: str) -> None:
    server = raw_server(lambda connection, request: connection.sendall(accept(request) + frames))
    with open_websocket(server.url) as ws:
        closed = ws.receive(10)
    assert closed.code == code
    assert reason in closed.reason
    assert closed.by == ("server" if code == 1005 else "network")


def test_a_server_that_never_answers_our_close(raw_server: Callable[..., SimpleNamespace]) -> None:
    done = threading.Event()

    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(accept(request))
        done.wait(20)

    ws = open_websocket(raw_server(talk).url)
    assert (ws.close(timeout=0.1).code, ws.closed.by) == (1000, "client")
    done.set()


def test_sending_into_a_broken_connection_finds_the_close_frame_that_came_before(
    raw_server: Callable[..., SimpleNamespace],
) -> None:
    gone = threading.Event()

    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(accept(request))
        connection.recv(100)
        connection.sendall(b"\x88\x02\x11\x31")
        connection.close()
        gone.set()

    ws = open_websocket(raw_server(talk).url)
    ws.send("first")
    assert gone.wait(10)
    with pytest.raises(SocketClosed) as caught:
        for _ in range(1000):
            ws.send("x" * 10_000)
    assert (caught.value.closed.code, caught.value.closed.by) == (4401, "server")


# --- watch


def test_watch_is_silent_answers_pings_and_tells_who_closed_when(serve: Serve) -> None:
    """The server of the second socket drops clients that do not answer its pings within 0.3 s."""

    def late(connection: Any) -> None:
        connection.send("one")
        time.sleep(0.3)
        connection.close(1011, "broke")

    received: list[Any] = []

    def demanding(connection: Any) -> None:
        received.extend(connection)

    quiet = serve(stay, unix=True)
    pinging = serve(demanding, unix=True, ping_interval=0.1, ping_timeout=0.3)
    closing = serve(late, unix=True)
    sockets = [open_websocket(URL, unix_socket=server.path) for server in (quiet, pinging, closing)]
    first, second, third = watch(sockets, 1.5)
    assert (first.closed, first.messages, first.count) == (None, [], 0)
    assert second.closed is None, f"pings were not answered: {second.closed}"
    assert first.seconds >= 1.5 and second.seconds >= 1.5
    assert [message.data for message in third.messages] == ["one"]
    assert (third.closed.code, third.closed.reason) == (1011, "broke")
    assert 0.2 < third.seconds < 1.5
    assert sockets[1].close().code == 1000
    wait_until(lambda: received == [])
    sockets[0].close()


def test_a_socket_that_nobody_watches_is_dropped_by_that_server(serve: Serve) -> None:
    """Shows that the test above can fail: the same server without our answers."""
    server = serve(stay, unix=True, ping_interval=0.1, ping_timeout=0.3)
    ws = open_websocket(URL, unix_socket=server.path)
    time.sleep(1)
    assert ws.close().code == 1011


def test_watch_ends_early_when_all_are_closed_and_takes_closed_ones(serve: Serve) -> None:
    server = serve(lambda connection: connection.close(4000), unix=True)
    sockets = [open_websocket(URL, unix_socket=server.path) for _ in range(3)]
    assert sockets[0].receive(10).code == 4000
    begun = time.monotonic()
    reports = watch(sockets, 60)
    assert time.monotonic() - begun < 30
    assert [report.closed.code for report in reports] == [4000] * 3
    assert watch([], 60) == []


def test_watch_keeps_the_first_messages_and_counts_all(serve: Serve, certificates: SimpleNamespace) -> None:
    def handler(connection: Any) -> None:
        for number in range(500):
            connection.send(f"{number} " + "x" * 100)
        stay(connection)

    server = serve(handler, ssl=certificates.context("localhost"))
    ws = open_websocket(server.url, ssl_context=ssl.create_default_context(cafile=certificates.ca))
    (report,) = watch([ws], 0.6, keep=3)
    assert [message.data.split()[0] for message in report.messages] == ["0", "1", "2"]
    assert report.count == 500
    ws.close()


def test_a_turn_on_one_socket_ends_though_more_comes_at_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = open_websocket(URL, unix_socket=serve(stay, unix=True).path)
    reads = iter(range(1000))
    with monkeypatch.context() as patch:
        patch.setattr(ws._transport, "read_now", lambda: b"\x81\x01x" if next(reads) < 999 else pytest.fail("endless"))
        (report,) = watch([ws], 0.05)
    assert 0 < report.count < 999
    ws.close()


def test_a_flooding_socket_does_not_starve_the_others(serve: Serve) -> None:
    def flood(connection: Any) -> None:
        with pytest.raises(websockets.ConnectionClosed):
            while True:
                connection.send("x" * 1000)

    def late(connection: Any) -> None:
        time.sleep(0.1)
        connection.send("here")
        stay(connection)

    servers = [serve(flood, unix=True), serve(late, unix=True)]
    sockets = [open_websocket(URL, unix_socket=server.path) for server in servers]
    flooded, other = watch(sockets, 0.6)
    assert [message.data for message in other.messages] == ["here"]
    assert flooded.count > 100 and len(flooded.messages) == 100
    for ws in sockets:
        ws.close(timeout=0.2)


# --- daphne


def test_daphne_echoes_and_chooses_a_subprotocol(daphne: str) -> None:
    with open_websocket("ws://localhost/echo/", unix_socket=daphne, subprotocols=["a", "b"]) as ws:
        assert ws.subprotocol == "a"
        ws.send("hällo")
        assert ws.receive(10).data == "hällo"
        ws.send("bye")
        assert ws.receive(10).code == 4000


def test_daphne_refuses_with_403_before_accept(daphne: str) -> None:
    with pytest.raises(HandshakeRefused) as caught:
        open_websocket("ws://localhost/deny/", unix_socket=daphne)
    assert caught.value.status == 403
    assert "Origin" in explain(caught.value)["likely"]


def test_daphne_gives_500_for_an_exception_before_accept(daphne: str) -> None:
    with pytest.raises(HandshakeRefused) as caught:
        open_websocket("ws://localhost/crash-before/", unix_socket=daphne)
    assert caught.value.status == 500


def test_daphne_gives_1011_for_an_exception_after_accept(daphne: str) -> None:
    with open_websocket("ws://localhost/crash-after/", unix_socket=daphne) as ws:
        closed = ws.receive(10)
    assert (closed.code, closed.by) == (1011, "server")
    assert "exception" in explain(closed)["likely"]


def test_daphne_with_a_connect_that_is_too_slow(daphne: str) -> None:
    with pytest.raises(HandshakeFailed) as ours:
        open_websocket("ws://localhost/slow/", unix_socket=daphne, timeout=0.3)
    assert ours.value.stage == "timeout"
    with pytest.raises((HandshakeFailed, HandshakeRefused)) as theirs:
        open_websocket("ws://localhost/slow/", unix_socket=daphne, timeout=20)
    assert getattr(theirs.value, "stage", "handshake") == "handshake"
    assert "connect()" in explain(theirs.value)["likely"]


# --- http


def test_http_get_on_a_unix_socket(daphne: str) -> None:
    answer = http_get("/health/?a=b", unix_socket=daphne, host="app.example.org")
    assert (answer.status, answer.reason, answer.body) == (200, "OK", "asked with a=b")
    assert answer.headers["content-type"] == "text/plain"
    assert http_get("/sick/", unix_socket=daphne, host="app.example.org").status == 503


def test_http_get_over_tls_checks_the_name(serve: Serve, certificates: SimpleNamespace) -> None:
    def page(connection: Any, request: Any) -> Any:
        return connection.respond(200, request.headers["Host"])

    server = serve(echo, ssl=certificates.context("app.example.org"), process_request=page)
    trusting = ssl.create_default_context(cafile=certificates.ca)
    address = f"127.0.0.1:{server.port}"
    answer = http_get("/", address=address, host="app.example.org", ssl_context=trusting)
    assert answer.body == "app.example.org"
    with pytest.raises(HandshakeFailed) as caught:
        http_get("/", address=address, host="other.example.org", ssl_context=trusting)
    assert caught.value.stage == "tls"


@pytest.mark.parametrize(
    ("data", "stage"), [(b"", "handshake"), (b"no HTTP at all\r\n\r\n", "handshake"), (None, "timeout")]
)
def test_http_get_failures(raw_server: Callable[..., SimpleNamespace], data: bytes | None, stage: str) -> None:
    done = threading.Event()

    def talk(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(data) if data is not None else done.wait(20)

    with pytest.raises(HandshakeFailed) as caught:
        http_get("/?secret=1", address=f"127.0.0.1:{raw_server(talk).port}", host="h", timeout=0.3)
    done.set()
    assert caught.value.stage == stage
    assert "secret" not in caught.value.reason


def test_http_get_does_not_send_what_http_forbids(daphne: str) -> None:
    with pytest.raises(ValueError):
        http_get("/a b\r\nX: y", unix_socket=daphne, host="h")


# --- redact

SECRETS = st.text(min_size=1, max_size=30).filter(lambda text: "*" not in text)
CONTEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="*"), max_size=30)
WRITERS: list[Callable[[str], str]] = [
    str,
    lambda text: urllib.parse.quote(text, safe="", errors="replace"),
    lambda text: urllib.parse.quote(text, errors="replace"),
    lambda text: urllib.parse.quote_plus(text, errors="replace"),
    lambda text: urllib.parse.quote(text, safe="", errors="replace").lower() if text.islower() else text,
    lambda text: json.dumps(text)[1:-1],
    lambda text: text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#x27;"),
]


@settings(max_examples=300, deadline=None)
@example(secret="&", before="", after="", write=WRITERS[-1])
@given(secret=SECRETS, before=CONTEXT, after=CONTEXT, write=st.sampled_from(WRITERS))
def test_a_secret_is_found_however_it_is_written(
    secret: str, before: str, after: str, write: Callable[[str], str]
) -> None:
    # A lone surrogate cannot be percent-encoded or sent; it is tested below that it does no harm.
    assume(not any("\ud800" <= character <= "\udfff" for character in secret))
    written = write(secret)
    inside, alone, key = redact([before + written + after, (written,), {written: 5}], [secret, None, ""])
    assert written not in inside
    assert alone == ("***",)
    assert key == {"***": 5}


@settings(max_examples=200, deadline=None)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    ),
    secrets=st.lists(SECRETS, max_size=4),
)
def test_redact_keeps_the_shape_never_raises_and_leaves_no_secret(value: Any, secrets: list[str]) -> None:
    redacted = redact(value, secrets)
    assert type(redacted) is type(value)
    assert redact(value, []) == value
    for text in strings(redacted):
        assert not any(secret in text for secret in secrets)


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in strings(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in strings(item)]
    return []


def test_redact_knows_mixtures_and_cuts() -> None:
    assert redact("a%2fb%2Bc d/%62+c", ["a/b+c"]) == "*** d/%62+c"
    assert redact("x=A%20B y=A+B", ["A B"]) == "x=*** y=***"
    assert redact("longer one, long", ["long", "longer one"]) == "***, ***"
    assert redact("page cut at eyJhbGciOi", ["eyJhbGciOiJIUzI1NiJ9.e30.x"]) == "page cut at ***"
    assert redact("page cut at a%2Fb%2Fc%2", ["a/b/c/d/e/f"]) == "page cut at ***"
    assert redact("no secret: eyJ", ["eyJhbGciOiJIUzI1NiJ9.e30.x"]) == "no secret: eyJ"
    assert redact(b"\xff token", ["token"]) == b"\xff ***"


# --- explain


@pytest.mark.parametrize(
    ("code", "likely"),
    [(1006, "idle timeout"), (1011, "exception"), (4401, "token"), (4999, "its own code"), (1012, "deploy")],
)
def test_close_codes_are_explained(code: int, likely: str) -> None:
    assert likely in explain(Closed(code, "", "server", 1.0))["likely"]
    assert likely in explain(code)["likely"]


def test_certificates_that_only_newer_pythons_refuse_are_told_apart_from_strange_authorities() -> None:
    for reason in ("Missing Authority Key Identifier", "CA cert does not include key usage extension"):
        assert "3.13" in explain(HandshakeFailed("tls", f"certificate verify failed: {reason}"))["likely"]


@given(st.integers(min_value=-10, max_value=70_000))
def test_every_number_is_explained(code: int) -> None:
    assert all(explain(code).values())


@given(st.sampled_from(["name", "tcp", "socket", "tls", "handshake", "timeout", "new"]), st.text())
def test_every_failure_is_explained(stage: str, reason: str) -> None:
    problem = explain(HandshakeFailed(stage, reason))
    assert all(problem.values())
    assert reason in problem["what"]


def test_rows_can_be_added_and_each_row_can_be_reached() -> None:
    extra = Symptom("refused", "the moon is full", "wait", codes=(418,))
    assert explain(418, [extra])["likely"] == "the moon is full"
    assert explain(404, [extra]) == explain(404)
    for number, row in enumerate(SYMPTOMS):
        hidden = [
            other
            for other in SYMPTOMS[:number]
            if other.kind == row.kind
            and not other.text
            and (not other.stage or other.stage == row.stage)
            and (not other.codes or (row.codes and set(row.codes) <= set(other.codes)))
        ]
        assert not hidden, f"{row.likely!r} is never reached because of {hidden[0].likely!r}"
