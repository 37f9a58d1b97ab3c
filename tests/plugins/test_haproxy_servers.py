"""How the hosts behind HAProxy are read from its admin socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.channels.stack.plugins.module_utils.host import haproxy

HEAD = "# pxname,svname,status,scur,check_status,check_code,\n"
ROWS = {
    "app-1": "app,app-1,UP,3,L7OK,200,",
    "app-2": "app,app-2,NOLB 1/2,1,* L7OKC,404,",
    "app-3": "app,app-3,DOWN 1/2,0,L4TOUT,,",
    "app-4": "app,app-4,MAINT,,,,",
}


def answer(*rows: str) -> str:
    """What HAProxy answers to `show stat`."""
    return HEAD + "\n".join(["site,FRONTEND,OPEN,9,,,", *rows, "app,BACKEND,UP,4,,,", "other,x,UP,1,,,", ""])


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """An admin socket's path, and the answers that it gives, one after another and the last one again and again."""
    path, answers = str(tmp_path / "admin.sock"), [answer(*ROWS.values())]
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def serve() -> None:
        while True:
            try:
                way, _ = server.accept()
            except OSError:
                return
            with way:
                assert way.recv(100) == b"show stat\n"
                way.sendall((answers.pop(0) if len(answers) > 1 else answers[0]).encode())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield path, answers
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def test_states_are_ours(admin: tuple[str, list[str]]) -> None:
    found = haproxy.servers("app", admin[0])
    assert {one["name"]: one["state"] for one in found} == {
        "app-1": "up", "app-2": "drain", "app-3": "down", "app-4": "maintenance",
    }  # fmt: skip
    assert [one["check"] for one in found] == ["L7OK 200", "L7OKC 404", "L4TOUT", ""]
    assert [one["connections"] for one in found] == [3, 1, 0, 0]
    assert haproxy.told(found)[0] == "app-1  up                3 connections  L7OK 200"


def test_state_is_waited_for(admin: tuple[str, list[str]]) -> None:
    path, answers = admin
    answers[:] = [answer("app,app-1,UP,1,L7OK,200,")] * 3 + [answer("app,app-1,NOLB,1,L7OKC,404,")]
    (found,) = haproxy.awaited("app", "app-1", ["drain", "down"], 30, path)
    assert found["state"] == "drain"


def test_state_that_never_comes_is_told(admin: tuple[str, list[str]]) -> None:
    with pytest.raises(haproxy.HaproxyError, match=r"app-1 is up and not drain after 0 s \(last check: L7OK 200\)"):
        haproxy.awaited("app", "app-1", ["drain"], 0, admin[0])


def test_host_that_missed_a_deploy_is_told(admin: tuple[str, list[str]]) -> None:
    with pytest.raises(haproxy.HaproxyError, match=r"app-4 is maintenance and not up .* It has missed a deploy"):
        haproxy.awaited("app", "app-4", ["up"], 0, admin[0])


def test_what_is_not_there_is_told(admin: tuple[str, list[str]], tmp_path: Path) -> None:
    with pytest.raises(haproxy.HaproxyError, match="does not answer"):
        haproxy.servers("app", str(tmp_path / "none.sock"))
    with pytest.raises(haproxy.HaproxyError, match="no server in a backend elsewhere"):
        haproxy.servers("elsewhere", admin[0])
    with pytest.raises(haproxy.HaproxyError, match="no server app-9"):
        haproxy.awaited("app", "app-9", ["up"], 0, admin[0])


CONFIG = """# The edge of dash: of hosts
frontend site
    default_backend app

backend app
    balance leastconn
    # a comment about server app-1 and others

# another one
    server app-1 10.0.0.1:80 tcp-ut 30s
    server app-2 10.0.0.2:80 tcp-ut 30s
    server app-20 10.0.0.20:80 tcp-ut 30s disabled

backend other
    server app-1 10.0.0.1:81 check
"""


def test_servers_are_left_out_by_the_configuration() -> None:
    """Others of their backend are not, and nothing else changes."""
    assert haproxy.left_out(CONFIG, "app") == ["app-20"] and haproxy.left_out(CONFIG, "other") == []
    changed = haproxy.leaving_out(CONFIG, "app", ["app-1", "app-2", "gone"])
    assert haproxy.left_out(changed, "app") == ["app-1", "app-2"]
    differing = [one for one, other in zip(changed.splitlines(), CONFIG.splitlines(), strict=True) if one != other]
    assert differing == [
        "    server app-1 10.0.0.1:80 tcp-ut 30s disabled", "    server app-2 10.0.0.2:80 tcp-ut 30s disabled",
        "    server app-20 10.0.0.20:80 tcp-ut 30s",
    ]  # fmt: skip
    assert haproxy.leaving_out(changed, "app", ["app-20"]) == CONFIG
    assert haproxy.left_out("", "app") == [] and haproxy.leaving_out("", "app", ["app-1"]) == ""
    assert haproxy.configured(CONFIG, "app") and not haproxy.configured("defaults\n    mode http\n", "app")
