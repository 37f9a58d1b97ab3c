"""The load test: clients against a real server, samples of this machine, what gave way, the report, the action."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import action_loader
from ansible_collections.channels.stack.plugins.module_utils.load import clients, host, judge, report
from ansible_collections.channels.stack.plugins.module_utils.websocket.client import WebSocket, open_websocket
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

SECRET = "a-token-of-the-project"


class Server:
    """A server that lets `most` sockets in, and refuses more as nginx does at a limit."""

    def __init__(self) -> None:
        self.most, self.body, self.status = 10**6, "", HTTPStatus.TOO_MANY_REQUESTS
        self.opened: set[ServerConnection] = set()
        self.tokens: set[str] = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = self.wait(self._serve())
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/ws/"

    def wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def _serve(self) -> Any:
        return await serve(self._hold, "127.0.0.1", 0, process_request=self._judge, ping_interval=0.2, ping_timeout=5)

    def _judge(self, connection: ServerConnection, request: Request) -> Response | None:
        self.tokens.add(request.path)
        return connection.respond(self.status, self.body) if len(self.opened) >= self.most else None

    async def _hold(self, connection: ServerConnection) -> None:
        self.opened.add(connection)
        try:
            await connection.wait_closed()
        finally:
            self.opened.discard(connection)

    async def _cut(self) -> None:
        for connection in list(self.opened):
            await connection.close(4001)

    def close(self) -> None:
        self.server.close()
        self.wait(self.server.wait_closed())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def crowd_for(server: Server) -> clients.Crowd:
    return clients.Crowd(lambda: open_websocket(server.url, timeout=20), 10)


def eventually(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(300):
        if true():
            return
        threading.Event().wait(0.1)
    raise AssertionError("not within 30 s")


def test_sockets_stay_open_and_answer_pings(server: Server) -> None:
    crowd = crowd_for(server)
    crowd.open(60)
    assert len(crowd.times) == 60
    threading.Event().wait(1.0)  # several pings
    assert len(server.opened) == 60
    assert not crowd.failures
    assert not crowd.lost
    crowd.close()
    eventually(lambda: not server.opened)


def test_refusals_are_counted_by_their_limit(server: Server) -> None:
    server.most, server.body = 0, "Too many handshakes from one address (nginx_address_handshakes).\n"
    crowd = crowd_for(server)
    crowd.open(7)
    crowd.close()
    assert crowd.failures == {"429 nginx_address_handshakes": 7}
    server.status, server.body = HTTPStatus.BAD_GATEWAY, "<html>"
    crowd = crowd_for(server)
    crowd.open(3)
    crowd.close()
    assert crowd.failures == {"502": 3}


def test_sockets_that_end_are_counted_by_their_code(server: Server) -> None:
    crowd = crowd_for(server)
    crowd.open(5)
    eventually(lambda: len(server.opened) == 5)
    server.wait(server._cut())
    eventually(lambda: crowd.lost.total() == 5)
    crowd.close()
    assert crowd.lost == {"4001": 5}


def test_nobody_there(server: Server) -> None:
    crowd = clients.Crowd(lambda: open_websocket("ws://127.0.0.1:1/", timeout=5), 3)
    crowd.open(4)
    crowd.close()
    assert sum(crowd.failures.values()) == 4
    assert next(iter(crowd.failures)).startswith("tcp: ")


def test_no_more_sockets_than_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert clients.room_for(10) == 10
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= soft
        if hard != resource.RLIM_INFINITY:
            assert clients.room_for(hard * 2) == hard - clients.OTHER_FILES
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


# --- the host


def test_group_is_this_process() -> None:
    before = len(os.listdir("/proc/self/fd"))
    found = host.group([os.getpid(), 2**22 + 1])
    assert found["kb"] > 1000
    assert found["cpu"] > 0
    assert abs(found["files"] - before) < 20
    assert found["limit"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert host.group([]) == {"kb": 0, "cpu": 0.0, "files": 0, "limit": 0}


def test_whole_is_this_machine() -> None:
    found = host.whole()
    assert found["cores"] == os.cpu_count()
    assert found["busy"] > 0
    assert 0 < found["available_kb"] < found["memory_kb"]


def test_overflows_are_found_by_their_name() -> None:
    table = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 42 43\nIpExt: InNoRoutes\nIpExt: 5\n"
    assert host.overflows(table) == 42
    assert host.overflows("") == 0


# --- what gave way


def look(**changes: Any) -> dict[str, Any]:
    """A sample of a host with 2 cores."""
    plain = {"kb": 10_000, "cpu": 1.0, "files": 10, "limit": 1000}
    found: dict[str, Any] = {
        "processes": dict(plain), "nginx": dict(plain), "redis": dict(plain),
        "sockets": 3, "count": 2, "server": "daphne",
        "host": {"cores": 2, "busy": 10.0, "idle": 10.0, "memory_kb": 4_000_000, "available_kb": 3_000_000,
                 "overflows": 0},
    }  # fmt: skip
    for name, values in changes.items():
        found[name] = {**found[name], **values} if isinstance(values, dict) else values
    return found


def crowd_with(opened: int, lost: dict[str, int] | None = None, **failures: int) -> Any:
    told = {name.replace("_", " ").strip(): number for name, number in failures.items()}
    times = [0.001 * number for number in range(1, opened + 1)]
    return SimpleNamespace(times=times, failures=Counter(told), lost=Counter(lost or {}), seconds=2.0)


def judged(crowd: Any, opened: dict[str, Any] | None = None, held: dict[str, Any] | None = None) -> dict[str, Any]:
    return judge.measured(crowd, look(), opened or look(host={"busy": 11.0, "idle": 13.0}), held or look())


def test_sums() -> None:
    found = judged(
        crowd_with(200), look(processes={"cpu": 1.4}, nginx={"cpu": 1.1}, host={"busy": 13.0, "idle": 11.0}),
        look(processes={"kb": 17_680}, nginx={"kb": 14_000}, sockets=203),
    )  # fmt: skip
    assert found["sockets_on_host"] == found["opened"] == 200
    assert found["handshakes_per_second"] == 100
    assert (found["p50_ms"], found["p99_ms"]) == (100, 198)
    assert found["kb_per_socket"] == {"processes": 38.4, "nginx": 20.0, "redis": 0.0}
    assert found["cpu_ms_per_handshake"] == {"processes": 2.0, "nginx": 0.5, "redis": 0.0}
    assert found["use"]["CPU"] == 0.75
    assert found["gave_way"] == {"what": "", "fix": "", "near": "CPU (75%)"}


def test_few_sockets_say_nothing_about_memory() -> None:
    assert judged(crowd_with(20), held=look(sockets=23))["kb_per_socket"] == {}


@pytest.mark.parametrize(
    ("failure", "told"),
    [("429 nginx_address_handshakes", "handshakes of one address"), ("503 nginx_sockets", "sockets of the site"),
     ("503 nginx_address_sockets", "sockets of one address"), ("502", "nginx reached none"), ("500", "an error in the"),
     ("timeout", "back-pressure"), ("tcp: Connection refused", "refused or cut"),
     ("tcp: Too many open files", "open files of the controller"), ("handshake: odd", "handshakes: handshake: odd")],
)  # fmt: skip
def test_failures_say_what_gave_way(failure: str, told: str) -> None:
    crowd = crowd_with(150)
    crowd.failures = Counter({failure: 3})
    found = judged(crowd)["gave_way"]
    assert told in found["what"]
    assert found["fix"]


def test_what_is_used_up_is_behind_a_timeout_and_not_behind_a_limit() -> None:
    full = look(nginx={"files": 990})
    crowd = crowd_with(150)
    crowd.failures = Counter({"timeout": 5})
    assert judged(crowd, held=full)["gave_way"]["what"].startswith("open files of nginx, which shows as back-pressure")
    crowd.failures["429"] = 1
    assert judged(crowd, held=full)["gave_way"]["what"].startswith("a limit")


def test_lost_sockets_and_a_full_backlog() -> None:
    assert judged(crowd_with(150, {"1006": 4}))["gave_way"]["what"] == "open sockets were lost"
    assert judged(crowd_with(150), held=look(host={"overflows": 7}))["use"]["backlog"] == 1


# --- the report, the action


def told_of(sockets: int = 200) -> dict[str, Any]:
    crowd = crowd_with(sockets)
    crowd.failures = Counter({"429 nginx_address_handshakes": 3})
    result = judge.measured(crowd, look(), look(host={"busy": 11.0, "idle": 13.0}), look(sockets=3 + sockets))
    sizing = judge.sizing_of(50_000, [look(), look()])
    return {"name": "app-1", "at": "now", "url": "ws://x/", "result": result, "sizing": sizing}


def test_report_is_written_whole(tmp_path: Path) -> None:
    target = tmp_path / "load" / "app-1.json"
    report.write(target, told_of())
    assert json.loads(target.read_text())["result"]["opened"] == 200
    text = target.with_suffix(".md").read_text()
    assert "200 of 203 sockets opened" in text
    assert "failed: 3 with 429 nginx_address_handshakes" in text
    assert "gave way first: a limit: handshakes of one address" in text
    assert "processes reuse what earlier sockets left" in text
    assert "50,000 sockets on hosts like this (2 cores, 3.8 GB) need" in text
    assert sorted(path.name for path in target.parent.iterdir()) == ["app-1.json", "app-1.md"]


def action_for(monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]], check: bool = False, **args: Any) -> Any:
    task = MagicMock(args=args, async_val=0, check_mode=check, diff=False)
    action = action_loader.get(
        "channels.stack.load", task=task, connection=MagicMock(), play_context=MagicMock(check_mode=check),
        loader=DataLoader(), templar=MagicMock(), shared_loader_obj=MagicMock(),
    )  # fmt: skip
    asked: list[dict[str, Any]] = []

    def execute(name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        asked.append(module_args)
        return answers[min(len(asked), len(answers)) - 1]

    monkeypatch.setattr(action, "_execute_module", execute)
    action.asked = asked
    return action


def given(server: Server, tmp_path: Path, **changes: Any) -> dict[str, Any]:
    return {
        "app": "dashboard", "name": "app-1", "sockets": 30, "at_once": 5, "hold_seconds": 0, "url": server.url,
        "query": "token={token}", "token": SECRET, "timeout": 20,
        "report": str(tmp_path / "app-1.json"), **changes,
    }  # fmt: skip


def test_action_opens_reports_and_closes(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [{"sample": look()}, {"sample": look()}, {"sample": look(sockets=33)}]
    action = action_for(monkeypatch, answers, **given(server, tmp_path))
    result = action.run(task_vars={})
    assert result["result"]["opened"] == result["result"]["sockets_on_host"] == 30
    assert server.tokens == {f"/ws/?token={SECRET}"}
    assert action.asked == [{"app": "dashboard"}] * 3
    for path in tmp_path.iterdir():
        assert SECRET not in path.read_text()


def test_action_stops_without_a_token(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = given(server, tmp_path, complaint="no such command")
    result = action_for(monkeypatch, [{"sample": look()}], **wrong).run(task_vars={})
    assert result == {"failed": True, "msg": "No token for the sockets: no such command"}
    assert not server.tokens


def test_action_opens_nothing_in_check_mode(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    action = action_for(monkeypatch, [{"sample": look()}], check=True, **given(server, tmp_path))
    assert action.run(task_vars={})["lines"] == ["Would open 30 sockets"]
    assert not server.tokens
    assert not list(tmp_path.iterdir())


def test_closed_before_it_is_held(server: Server) -> None:
    """A server that accepts and closes at once."""

    def shake() -> WebSocket:
        websocket = open_websocket(server.url, timeout=20)
        websocket.close(4000)
        return websocket

    crowd = clients.Crowd(shake, 2)
    crowd.open(3)
    eventually(lambda: crowd.lost.total() == 3)
    crowd.close()
