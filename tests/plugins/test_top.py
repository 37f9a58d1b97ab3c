"""What a site's sockets do: counted from /proc, nginx's access log and Redis, and shown on a host and of a fleet."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.filter.fleet import top_table

FILES = Path(__file__).resolve().parents[2] / "roles" / "asgi" / "files"
sys.path.insert(0, str(FILES))
from generations import clients, measure, redis_reach, top  # noqa: E402


def row(name: str = "a1", state: str = "live", served: float = 1000.0, **more: Any) -> dict[str, Any]:
    """A generation as the overview has it, with one process."""
    return {
        "generation": name, "version": "v1", "state": state, "deadline": 0.0, "served": served, "running": 1,
        "memory": 50 * 2**20, "instances": [f"{name}-1"], "sockets": [f"/run/site/{name}-1.sock"],
        "processes": [{
            "instance": f"{name}-1", "unit": "site-daphne", "kind": "server", "pid": 7, "memory": 50 * 2**20,
            "restarts": 0, "age": 61.0, "word": "running",
        }],
    } | more  # fmt: skip


def moment(at: float, rows: list[dict[str, Any]], ticks: int = 0, **open_: set[str]) -> measure.Moment:
    """What was counted at a moment: connections by generation, and the ticks of process 7."""
    paths = {f"/run/site/{name}-1.sock": inodes for name, inodes in open_.items()}
    return measure.Moment(at, rows, paths, {}, {7: ticks})


def test_connections_of_real_sockets_are_told_from_those_that_wait(tmp_path: Path) -> None:
    """What nobody has accepted yet is the backlog."""
    path = str(tmp_path / "a b.sock")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(path)
        server.listen(5)
        for _ in range(3):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(path)
        accepted = stack.enter_context(server.accept()[0])
        found, waiting = measure.connections(Path("/proc/net/unix").read_text(), {path})
        assert waiting == {path: 2} and found == {path: {str(os.fstat(accepted.fileno()).st_ino)}}


def test_cpu_includes_that_of_children() -> None:
    """A worker's own children do its work."""
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        before = measure.look([row()])
        while measure.look([row()]).ticks[os.getpid()] - before.ticks[os.getpid()] < 20:
            time.sleep(0.05)
        now = measure.look([row()])
        assert now.ticks[child.pid] > before.ticks.get(child.pid, 0)
        assert measure.cpu(os.getpid(), before, now, now.at - before.at) > 0
    finally:
        child.kill()
        child.wait()


def access(log: Path, *entries: tuple[float, float, int, str]) -> None:
    """Write an access log: when a request ended, how long it took, its status and its upgrade."""
    keys = ("msec", "request_time", "status", "upgrade")
    log.write_text("".join(json.dumps(dict(zip(keys, entry, strict=True))) + "\n" for entry in entries) + '{"half')


def test_handshakes_are_those_that_stay_and_those_that_ended_already(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    access(
        log,
        (1009.0, 0.1, 101, "websocket"),  # before
        (1010.5, 500, 101, "websocket"),  # ended now, but opened long ago
        (1011.0, 0.5, 101, "websocket"),
        (1011.5, 0.0, 403, "websocket"),
        (1011.6, 0.0, 200, ""),
        (1011.7, 0.0, 502, "websocket"),
        (1011.8, 0.0, 404, ""),
    )
    watch = measure.Watch()
    before, now = moment(1010, [row()], 100, a1={"1", "2"}), moment(1012, [row()], 250, a1={"2", "3", "4", "5"})
    for each in (before, now):
        watch.notice(each)
    figures = measure.compare(before, now, watch, log)
    assert figures["handshakes_per_second"] == 2.0 and figures["failed_per_second"] == 1.0
    shown = figures["generations"][0]
    assert (shown["sockets"], shown["oldest_at_least"], shown["cpu"]) == (4, 2.0, 75.0 * 100 / measure.TICKS)


def test_sockets_of_a_draining_generation_are_as_old_as_the_switch_at_least(tmp_path: Path) -> None:
    rows = [row("b2", served=900), row("a1", "draining", served=100)]
    watch = measure.Watch()
    now = moment(1000, rows, a1={"1"}, b2={"2"})
    watch.notice(now)
    ages = [one["oldest_at_least"] for one in measure.compare(now, now, watch, tmp_path / "none")["generations"]]
    assert ages == [0.0, 100.0]


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ("REDIS_URL='redis://channels:p%40ss@10.0.0.1:6380/0'\n", ["10.0.0.1:6380"]),
        ("# redis://10.9.9.9\nA=rediss://u:p@redis.test/1\nB=redis://redis.test\n", ["redis.test:6379"] * 2),
        ("""LAYER='{"hosts": ["redis://:x@h1:1/0", "redis://:x@h2:2/0"]}'\n""", ["h1:1", "h2:2"]),
        ("A=unix:///run/redis/redis.sock\n", ["/run/redis/redis.sock"]),
        ("A=redis://u:p@[::1]:7/0\n", ["::1:7"]),
        ("A=redis://u:p,:;.-_q@h:1/0\n", ["h:1"]),
        ("A=redis://h1:1,redis://u:p,q@h2:2/0,rediss://:x@h3\n", ["h1:1", "h2:2", "h3:6379"]),
        ("A='half a quote\nREDIS_URL=redis://h\n", []),
        ("DEBUG=0\n", []),
    ],
)
def test_addresses_of_redis_come_from_the_environment(environment: str, found: list[str]) -> None:
    assert [str(each) for each in redis_reach.addresses(environment)] == found


@pytest.fixture
def redis() -> Iterator[tuple[int, list[bytes], list[bytes]]]:
    """A port that answers each connection with the same bytes, which a test may set, and what was asked."""
    answers, asked = [b"+PONG\r\n"], []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    said = b""
                    while not said.endswith(b"\r\n") and (more := client.recv(100)):
                        said += more
                    asked.append(said)
                    client.sendall(answers[0])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], answers, asked
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"+PONG\r\n", ""),
        (b"-NOAUTH Authentication required.\r\n", ""),
        (b"-LOADING Redis is loading\r\n", "LOADING Redis is loading"),
        (b"", "closed without an answer"),
        (b"HTTP/1.1 400\r\n", "is no Redis"),
    ],
)
def test_redis_answers_without_a_password(
    redis: tuple[int, list[bytes], list[bytes]], answer: bytes, fault: str
) -> None:
    port, answers, asked = redis
    answers[0] = answer
    [said] = redis_reach.ask_all(f"REDIS_URL=redis://user:secret@127.0.0.1:{port}/0\n")
    assert (said["address"], said["fault"]) == (f"127.0.0.1:{port}", fault)
    assert asked == [b"PING\r\n"]


def test_redis_that_is_gone_is_said_to_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    [said] = redis_reach.ask_all(f"REDIS_URL=redis://127.0.0.1:{port}\n")
    assert said["fault"] == "Connection refused"


def figures(*rows: dict[str, Any], fault: str = "") -> dict[str, Any]:
    """What a host prints as JSON."""
    now = moment(1000, list(rows), a1={"1", "2"})
    watch = measure.Watch()
    watch.notice(now)
    redis = [{"address": "10.0.0.1:6379", "milliseconds": 0.4, "fault": fault}]
    return {"app": "site", **measure.compare(now, now, watch, Path("/none")), "redis": redis}


@pytest.fixture(params=["127.0.0.1", "::1"])
def pairs(request: pytest.FixtureRequest) -> Iterator[tuple[int, list[tuple[socket.socket, socket.socket]]]]:
    """A port at which this process listens, and both ends of three connections to it."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server((request.param, 0), family=family))
        found = []
        for _ in range(3):
            client = stack.enter_context(socket.create_connection(server.getsockname()[:2]))
            found.append((stack.enter_context(server.accept()[0]), client))
        yield server.getsockname()[1], found


def test_packets_of_real_connections(pairs: tuple[int, list[tuple[socket.socket, socket.socket]]]) -> None:
    """Of those to ports at which a process listens, with the client's address; one packet for each message."""
    port, ends = pairs

    def seen() -> dict[int, clients.Connection]:
        found = clients.clients([os.getpid()], [], Path("/proc"))
        return {inode: one for inode, one in found.items() if one.port == port}

    def say(sender: socket.socket, receiver: socket.socket, times: int) -> None:
        for _ in range(times):
            sender.sendall(b"hello")
            assert receiver.recv(5, socket.MSG_WAITALL) == b"hello"

    before = seen()
    assert before.keys() == {os.fstat(here.fileno()).st_ino for here, _ in ends}
    assert {one.peer for one in before.values()} == {ends[0][1].getsockname()[0]}
    for number, (here, there) in enumerate(ends):
        say(there, here, 4)
        say(here, there, number)
    told = clients.traffic(before, seen(), 2.0)
    assert (told["connections"], told["packets_in_per_second"], told["packets_out_per_second"]) == (3, 6.0, 1.5)
    assert 0 < told["slowest"][0]["milliseconds"] < 60_000 and len(told["slowest"]) == 3 and told["stalled"] == 0
    assert clients.clients([1 << 30], [os.getpid()], Path("/proc")).keys() >= before.keys()


def test_client_that_does_not_read(pairs: tuple[int, list[tuple[socket.socket, socket.socket]]]) -> None:
    """What waits for it is shown once it has taken nothing of it between two counts."""
    _, ends = pairs
    here, there = ends[0]
    here.setblocking(False)
    told: dict[str, Any] = {"stalled": 0}
    deadline = time.monotonic() + 60
    while not told["stalled"] and time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            while True:
                here.send(b"x" * 65536)
        before = clients.clients([os.getpid()], [], Path("/proc"))
        time.sleep(0.2)
        told = clients.traffic(before, clients.clients([os.getpid()], [], Path("/proc")), 0.2)
    assert told["stalled"] == 1 and len(told["most_unread"]) == 1
    assert told["most_unread"][0]["address"] == there.getsockname()[0] and told["most_unread"][0]["bytes"] > 1000
    line = top.carried(told)
    assert line.startswith("clients ") and f"1 not reading, {there.getsockname()[0]} " in line and "slowest " in line


def test_kernel_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault, and all else is shown."""
    monkeypatch.setattr(clients, "NETLINK_SOCK_DIAG", 30)  # of no subsystem
    assert clients.clients([os.getpid()], [], Path("/proc")) == {}
    monkeypatch.undo()
    monkeypatch.setattr(clients, "SOCK_DIAG_BY_FAMILY", 99)  # an error for an answer
    assert clients.clients([os.getpid()], [], Path("/proc")) == {}
    told = clients.traffic({}, {}, 1.0)
    assert top.carried(told) == "clients 0   packets/s 0 in, 0 out"


def test_host_shows_what_is_wrong() -> None:
    text = "\n".join(top.lines(figures(row(running=0), row("old", "kept"), fault="Connection refused")))
    assert "2 sockets" in text and "10.0.0.1:6379 ! Connection refused" in text
    assert "! 0 of 1 processes run" in text
    assert "old-1" not in text, "processes of a kept generation do not run, and that is right"


def test_fleet_is_one_table_with_sums() -> None:
    table = top_table({
        "app-1": figures(row(), row("old", "draining", served=10)),
        "app-2": figures(row(running=0), fault="no answer"),
        "app-3": {**figures(), "generations": []},
    }).splitlines()  # fmt: skip
    assert [line.split()[:3] for line in table[1:3]] == [["app-1", "a1", "live"], ["old", "draining", "0"]]
    assert table[3].startswith("! app-2") and "0 of 1 processes run; Redis at 10.0.0.1:6379: no answer" in table[3]
    assert table[4].startswith("! app-3") and table[4].endswith("nothing serves")
    assert table[0].split()[6:10] == ["HANDSHAKES/S", "FAILED/S", "IN/S", "OUT/S"]
    assert table[5] == "4 sockets on 3 hosts, 0 handshakes/s, 0 failed/s"


PROGRAM = """
import sys
sys.path.insert(0, {files!r})
from argparse import Namespace
from generations import top
top.os.geteuid = lambda: 0
top.overview = lambda: []
top.live = lambda: ""
top.top(Namespace(json=False, once=False, seconds=0.2))
"""


def test_terminal_is_refreshed_until_q_and_given_back() -> None:
    """Keys come one by one, and afterwards the terminal is as it was."""
    keyboard, screen = pty.openpty()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, keyboard)
        stack.callback(os.close, screen)
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(files=str(FILES))], stdin=screen, stdout=screen, stderr=screen
        )
        shown = b""
        while shown.count(top.HOME.encode()) < 3:
            assert select.select([keyboard], [], [], 60)[0], f"nothing came: {shown!r}"
            shown += os.read(keyboard, 65536)
        os.write(keyboard, b"q")
        while not shown.endswith(top.SHOW.encode()):
            assert select.select([keyboard], [], [], 60)[0], f"the terminal is not given back: {shown[-200:]!r}"
            shown += os.read(keyboard, 65536)
        assert program.wait(60) == 0
    assert shown.startswith(top.HIDE.encode()) and b"nothing was deployed yet" in shown
