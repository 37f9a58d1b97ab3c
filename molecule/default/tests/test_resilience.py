"""Sockets survive what happens to other processes, and processes come back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from lab_host import PATIENCE, LabHost, ask, echoes
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException


@pytest.fixture
def serving(lab: LabHost) -> Iterator[LabHost]:
    """A host whose processes are all healthy before and after."""
    lab.await_serving()
    yield lab
    lab.run("systemctl start " + " ".join(lab.units))
    lab.await_serving()


def test_killed_process_comes_back(serving: LabHost) -> None:
    """A killed process is started again although its socket file is still there; other processes' sockets stay open."""
    first, second = serving.live["instances"][:2]
    path, unit = serving.live["sockets"][0], serving.units[0]
    with serving.socket_on_each_process() as sockets:
        before = serving.pids()
        # It is down for a moment, so the file that it left can be seen: systemd starts it again within a second.
        left = serving.run("kill -KILL %s && sleep 0.1 && test -S %s && echo left", str(before[unit]), path)
        assert left.strip() == "left", "the killed process left no socket file, so its restart proves less than it says"
        with pytest.raises(ConnectionClosed):
            sockets[first].recv(timeout=PATIENCE)
        assert echoes(sockets[second]), f"a socket on {second} is broken, although {first} was killed"
        serving.await_serving()
        after = serving.pids()
        assert after[unit] not in (0, before[unit]), f"{unit} was not started again"
        with serving.tunnel(path) as port, serving.connect(port=port) as websocket:
            assert ask(websocket, {"type": "status"})["process"] == first, "another process answers on its socket"
        assert echoes(sockets[second])
        assert after[serving.units[1]] == before[serving.units[1]], f"{second} was restarted too"


def test_clients_reach_others_while_a_process_is_away(serving: LabHost) -> None:
    """While one process is stopped, another one serves every new handshake at once."""
    first = serving.live["instances"][0]
    serving.run(f"systemctl stop {serving.units[0]}")
    for _ in range(8):
        with serving.connect() as websocket:
            assert ask(websocket, {"type": "status"})["process"] != first


def test_killed_nginx_comes_back(lab: LabHost) -> None:
    """Its workers would keep the ports, so they are ended; sockets open again as soon as nginx is back."""
    before = set(lab.run("pgrep --full '^nginx: '").split())
    lab.run("kill -KILL $(cat /run/nginx.pid)")
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError, WebSocketException, EOFError), lab.connect() as websocket:
            assert echoes(websocket)
            break
        assert time.monotonic() < deadline, "nginx does not serve after it was killed"
        time.sleep(0.2)
    assert not before & set(lab.run("pgrep --full '^nginx: '").split()), "processes of the one that was killed run on"


@pytest.mark.parametrize("unit", ["nginx", "redis-server"])
def test_daemon_is_started_again_for_as_long_as_it_takes(lab: LabHost, unit: str) -> None:
    """By default systemd gives up after five starts in ten seconds."""
    shown = lab.run(f"systemctl show --property=Restart,StartLimitIntervalUSec,NeedDaemonReload {unit}").splitlines()
    assert sorted(shown) == ["NeedDaemonReload=no", "Restart=always", "StartLimitIntervalUSec=0"]


def test_reload_of_nginx_keeps_sockets_open(lab: LabHost) -> None:
    """A reload of nginx, as after a renewed certificate, closes no socket, and new ones open."""
    with lab.socket_on_each_process() as sockets:
        lab.reload_nginx()
        for process, websocket in sockets.items():
            assert echoes(websocket), f"a socket on {process} does not echo after the reload"
        with lab.connect() as websocket:
            assert echoes(websocket), "a socket that was opened after the reload does not echo"


def test_clients_may_come_back_all_at_once(lab: LabHost) -> None:
    """Hundreds of clients that connect at the same moment, as after a network failure, are all served."""

    async def one() -> int:
        try:
            async with connect(lab.url(lab.token()), proxy=None, ping_interval=None, open_timeout=30):
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    async def storm() -> list[int]:
        return await asyncio.gather(*(one() for _ in range(400)))

    statuses = Counter(asyncio.run(storm()))
    assert statuses == {101: 400}, f"of 400 handshakes in one instant: {dict(statuses)}"
