"""A drill: what a site promises, what clients notice, what is broken and mended, the verdict and the report."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import action_loader, filter_loader
from ansible_collections.channels.stack.plugins.module_utils.drill import host, judge, plan, report, site, watch
from ansible_collections.channels.stack.plugins.module_utils.websocket.client import open_websocket
from test_load import Server, eventually
from test_reports import HOSTILE, Seen

ROOT = Path(__file__).resolve().parents[2]
FLEET = {
    "app": ["app-1", "app-2"], "edges": ["edge-1", "edge-2"], "redis": ["redis-1", "redis-2", "redis-3"],
    "database": ["db"], "primary": "redis-2", "holder": "edge-2", "floating": True,
    "edge_addresses": ["10.0.0.31", "10.0.0.32"], "processes": 4, "redis_loses": False, "sentinel_seconds": 5.0,
    "failover": True,
}  # fmt: skip


def step_of(part: str = "nginx", **promise: Any) -> dict[str, Any]:
    """A step of a plan."""
    (step,) = plan.plan(plan.Shape(**FLEET), [part], {part: promise}, "dashboard")
    return step


# --- what is promised


def test_fleet_has_all_parts_in_order() -> None:
    steps = plan.plan(plan.Shape(**FLEET), [], {}, "dashboard")
    assert [(each["part"], each["host"]) for each in steps] == [
        ("process", "app-1"), ("nginx", "app-1"), ("redis", "redis-2"), ("database", "db"), ("host", "app-2"),
        ("edge", "edge-2"),
    ]  # fmt: skip
    assert [each["addresses"] for each in steps if each["addresses"]] == [["10.0.0.31", "10.0.0.32"]]
    assert "dashboard-generations" in steps[0]["advice"]


def test_one_machine_has_fewer() -> None:
    """And what has to start again takes longer than what another one takes over."""
    small = plan.Shape(app=["box"], redis=["box"], processes=1)
    steps = {each["part"]: each for each in plan.plan(small)}
    assert list(steps) == ["process", "nginx", "redis"]
    assert steps["process"]["promise"]["seconds"] > step_of("process")["promise"]["seconds"]
    assert steps["redis"]["promise"]["sockets"] == plan.ALL and steps["redis"]["host"] == "box"
    assert step_of("redis")["promise"]["sockets"] == plan.NONE


def test_parts_are_those_that_were_named() -> None:
    steps = plan.plan(plan.Shape(**FLEET), ["edge", "process"])
    assert [each["part"] for each in steps] == ["process", "edge"]
    with pytest.raises(ValueError, match="no part edge; it has: process, nginx"):
        plan.plan(plan.Shape(app=["box"]), ["edge"])


def test_own_promises_replace_ours() -> None:
    own = step_of("nginx", seconds=0.5)["promise"]
    assert (own["seconds"], own["sockets"], own["why"]) == (0.5, plan.OWN, "")


def test_page_of_the_documentation_has_the_same() -> None:
    """The table of docs/drill.md, in its own words."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / "drill.md").read_text().splitlines()
        if line.startswith("|") and " s |" in line
    ]
    said = [(cell[3], cell[4]) for cell in cells]
    words = {plan.OWN: ("its own", "those of the host", "those of the edge"), plan.NONE: ("none",),
             plan.ALL: ("none with the pub/sub layer, else all",)}  # fmt: skip
    alone = plan.Shape(**{**FLEET, "processes": 1, "redis": ["redis-1"], "failover": False, "redis_loses": True})
    many = plan.Shape(**{**FLEET, "redis_loses": True})
    expected = [
        plan.promises(shape)[part]
        for shape, part in (
            (many, "process"), (alone, "process"), (many, "nginx"), (alone, "redis"), (many, "redis"),
            (many, "database"), (many, "host"), (many, "edge"),
        )
    ]  # fmt: skip
    assert len(said) == len(expected)
    for (seconds, sockets), promise in zip(said, expected, strict=True):
        number = re.sub(r"`sentinel_down_after_seconds` \+ (\d+)", lambda found: str(5 + int(found[1])), seconds)
        assert number == f"{promise.seconds:g} s" and sockets in words[promise.sockets], (seconds, sockets)


# --- whether a site is whole


def look(running: int = 2, processes: int = 2, *addresses: str) -> dict[str, Any]:
    return {"running": running, "processes": processes, "addresses": ["127.0.0.1", *addresses]}


def found_of(**changes: Any) -> dict[str, Any]:
    """What the hosts of a fleet say."""
    up = [{"name": "app-1", "state": "up"}, {"name": "app-2", "state": "up"}]
    return {
        "app": {"app-1": look(), "app-2": look()},
        "edges": {"edge-1": look(0, 0, "10.0.0.100"), "edge-2": look(0, 0)},
        "servers": {"edge-1": up, "edge-2": up}, "redis": ["r1", "r2", "r3"],
        "redis_status": {"primary": "10.0.0.12", "healthy": True, "redis": {}}, "database": [],
        "addresses": {"edge-1": "10.0.0.31", "edge-2": "10.0.0.32", "r1": "10.0.0.11", "r2": "10.0.0.12"},
        "floating": "10.0.0.100", "layer": "channels_redis.pubsub.RedisPubSubChannelLayer", "sentinel_seconds": "4",
        "failover": True,
        **changes,
    }  # fmt: skip


def test_site_is_put_together() -> None:
    told = site.site(found_of())
    assert not told["problems"]
    shape = plan.Shape(**told["shape"])
    assert (shape.primary, shape.holder, shape.floating, shape.processes) == ("r2", "edge-1", True, 2)
    assert shape.edge_addresses == ["10.0.0.31", "10.0.0.32"] and not shape.redis_loses
    assert plan.promises(shape)["redis"].seconds == 14
    assert told["lines"][0] == "2 app hosts with 2 processes each, 2 edges, an address that moves between them, 3 Redis"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"app": {"app-1": look(1), "app-2": look()}}, "app-1: 1 of 2 processes run"),
        ({"app": {"app-1": look(0, 0)}}, "app-1: nothing is deployed"),
        ({"servers": {"edge-1": [{"name": "app-2", "state": "drain"}], "edge-2": []}}, "edge-1 sees app-2 as drain"),
        ({"servers": {"edge-1": []}}, "edge-2: HAProxy does not answer"),
        ({"redis_status": {"healthy": False, "redis": {"r1": "down"}}}, "the Redises do not agree: r1 down"),
        ({"redis_status": {}}, "redis-primary does not answer"),
        ({"edges": {"edge-1": look(), "edge-2": look()}}, "10.0.0.100 is on no edge"),
        ({"edges": {"edge-1": look(0, 0, "10.0.0.100"), "edge-2": look(0, 0, "10.0.0.100")}},
         "10.0.0.100 is on edge-1 and edge-2"),
    ],
)  # fmt: skip
def test_what_is_not_whole_is_told(changes: dict[str, Any], problem: str) -> None:
    assert any(problem in each for each in site.site(found_of(**changes))["problems"])


def test_a_machine_alone_has_nothing_to_agree_on() -> None:
    alone = found_of(
        app={"box": look()}, edges={}, servers={}, redis=["box"], redis_status={}, failover=False, floating="", layer=""
    )
    told = site.site(alone)
    assert not told["problems"] and told["lines"] == ["1 app host with 2 processes, 1 Redis"]
    assert told["shape"]["redis_loses"], "a layer that is not known may lose sockets"


def test_redises_that_share_the_layer_do_not_have_to_agree() -> None:
    """Each is by itself, and starts again by itself."""
    shared = site.site(found_of(failover=False, redis_status={}))
    assert not shared["problems"] and plan.promises(plan.Shape(**shared["shape"]))["redis"].seconds == 10


def test_filters_are_those_of_the_room() -> None:
    steps = filter_loader.get("channels.stack.drill_plan").j2_function(FLEET, ["nginx"], {}, "dashboard")
    lines = filter_loader.get("channels.stack.drill_lines").j2_function(steps)
    assert lines == ["nginx on app-1 is killed: new sockets open within 5 s, only its own sockets are lost"]
    assert filter_loader.get("channels.stack.drill_site").j2_function(found_of())["shape"]["primary"] == "r2"
    with pytest.raises(AnsibleFilterError, match="no part edge"):
        filter_loader.get("channels.stack.drill_plan").j2_function({"app": ["box"]}, ["edge"], {}, "dashboard")


# --- what clients notice


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def watching(server: Server, sockets: int = 6) -> watch.Watch:
    ways = {name: lambda: open_websocket(server.url, timeout=20) for name in ("edge-1", "edge-2")}
    return watch.Watch(ways, sockets, 0.05)


def test_watch_sees_that_it_works_fails_and_works_again(server: Server) -> None:
    seen = watching(server)
    seen.begin()
    try:
        assert seen.held() == 6
        assert seen.await_works(seen.now(), 0.5, 60)
        server.most, server.status = 0, HTTPStatus.BAD_GATEWAY
        eventually(lambda: any(each["failure"] == "502" for each in seen.attempts))
        assert not seen.await_works(seen.now(), 0.3, 1.0)
        server.most = 10**6
        mended = seen.now()
        assert seen.await_works(mended, 0.5, 60) and seen.now() >= mended + 0.5
        server.wait(server._cut())
        eventually(lambda: sum(seen.lost().values()) == 6)
    finally:
        seen.end()
    assert seen.lost() == {"4001": 6}
    assert {each["way"] for each in seen.attempts} == {"edge-1", "edge-2"}
    eventually(lambda: not server.opened)


def test_one_way_that_fails_is_enough(server: Server) -> None:
    seen = watching(server)
    seen.ways = {**seen.ways, "edge-2": lambda: open_websocket("ws://127.0.0.1:1/", timeout=5)}
    seen._ticker.start()
    try:
        eventually(lambda: {each["way"] for each in seen.attempts} == {"edge-1", "edge-2"})
        assert not seen.await_works(seen.now(), 0.3, 1.0)
    finally:
        seen.end()


def test_client_that_still_waits_has_no_socket(server: Server) -> None:
    """Although all that have ended got theirs."""
    release, hang = threading.Event(), threading.Event()

    def shake() -> Any:
        if hang.is_set():
            release.wait(60)
        return open_websocket(server.url, timeout=20)

    seen = watch.Watch({"edge-1": shake}, 1, 0.05)
    seen.begin()
    try:
        assert seen.await_works(seen.now(), 0.5, 60)
        hang.set()
        threading.Event().wait(watch.SLOW + 0.5)
        # Long enough to have some that got theirs.
        assert not seen.works_since(0.0, watch.SLOW + 1)
        hang.clear()
        release.set()
        assert seen.await_works(seen.now(), 0.5, 60)
    finally:
        release.set()
        seen.end()


# --- the verdict


def tries(*rows: tuple[float, float, str], way: str = "edge-1") -> list[dict[str, Any]]:
    return [{"way": way, "at": at, "took": took, "failure": failure} for at, took, failure in rows]


def seen_with(attempts: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return {"attempts": attempts, "held": 40, "lost": {}, "at": 1.0, "healed": None, "what": "nginx", "holds": 20,
            "notes": [], **changes}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "wait"),
    [
        ([(0.0, 0.1, ""), (2.0, 0.03, "")], 0.03),
        ([(1.5, 0.1, "502"), (2.0, 0.1, "502"), (3.0, 0.2, "")], 1.7),
        ([(1.5, 4.0, ""), (6.0, 0.1, "")], 4.0),
        ([(1.5, 5.0, "timeout"), (1.6, 0.1, ""), (7.0, 0.1, "")], 0.2),
        ([(0.2, 0.1, "502"), (2.0, 0.1, "")], 0.1),
        ([(1.5, 0.1, ""), (2.0, 0.1, "502")], None),
    ],
    ids=["unnoticed", "refused", "hung", "one hung", "before", "for good"],
)
def test_how_long_a_client_waits(rows: list[tuple[float, float, str]], wait: float | None) -> None:
    assert judge.waits(tries(*rows), 1.0) == {"edge-1": pytest.approx(wait) if wait else None}


def test_each_way_counts() -> None:
    attempts = [*tries((2.0, 0.1, "")), *tries((2.0, 0.1, "tcp: Connection refused"), (4.0, 0.5, ""), way="edge-2")]
    result = judge.measured(step_of(seconds=2), seen_with(attempts))
    assert result["waited"] == 2.5 and result["ways"] == {"edge-1": 0.1, "edge-2": 2.5}
    assert result["verdict"] == judge.MISSED
    assert result["reasons"] == ["a client waited 2.5 s for a socket; 2 s were promised"]
    assert result["failures"] == {"tcp: Connection refused": 1}
    assert judge.measured(step_of(seconds=2.5), seen_with(attempts))["verdict"] == judge.KEPT


@pytest.mark.parametrize(
    ("sockets", "holds", "lost", "kept"),
    [("none", 20, 0, True), ("none", 20, 1, False), ("own", 20, 20, True), ("own", 20, 21, False),
     ("own", 99, 40, True), ("all", 0, 40, True)],
)  # fmt: skip
def test_sockets_that_may_be_lost(sockets: str, holds: int, lost: int, kept: bool) -> None:
    seen = seen_with(tries((2.0, 0.1, "")), holds=holds, lost={"1006": lost} if lost else {})
    result = judge.measured(step_of(sockets=sockets), seen)
    assert (result["verdict"] == judge.KEPT) is kept, result["reasons"]
    assert bool(re.search(rf"^{lost} of 40 open sockets were lost", "".join(result["reasons"]))) is not kept


def test_what_never_comes_back_or_needs_help_is_missed() -> None:
    gone = judge.measured(step_of(), seen_with(tries((2.0, 0.1, "502"))))
    assert gone["waited"] is None and "no new socket opened any more over edge-1" in gone["reasons"][0]
    helped = judge.measured(step_of(), seen_with(tries((2.0, 0.1, "")), notes=["nginx was started"]))
    assert helped["verdict"] == judge.MISSED and helped["reasons"] == ["nginx was started"]


def test_drill_is_good_if_all_was_tried_and_kept() -> None:
    kept = judge.measured(step_of(), seen_with(tries((2.0, 0.1, ""))))
    assert judge.summed([kept]) == {"ok": True, "kept": 1, "missed": 0, "not_tried": 0}
    assert not judge.summed([kept, judge.not_tried(step_of(), "no token")])["ok"]
    assert not judge.summed([])["ok"]


# --- on the host


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose notes and pid files are in a folder."""
    monkeypatch.setattr(host, "NOTE", tmp_path / "drill.json")
    monkeypatch.setattr(host, "DAEMONS", {**host.DAEMONS, "nginx": (str(tmp_path / "*.pid"), "sh")})
    return tmp_path


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child of its own, both of which ignore what they can ignore."""
    line = "trap '' TERM INT; sh -c \"trap '' TERM INT; while :; do sleep 600; done\" & wait; while :; do wait; done"
    made = subprocess.Popen(["sh", "-c", line], start_new_session=True)
    eventually(lambda: len(descendants(made.pid)) >= 2)
    yield made
    for pid in [made.pid, *descendants(made.pid)]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    made.wait()


def descendants(pid: int) -> list[int]:
    found = [child for child in host.proc.children(pid) if host.proc.living(child)]
    return found + [below for child in found for below in descendants(child)]


def test_kill_leaves_nothing(family: subprocess.Popen[bytes]) -> None:
    known = descendants(family.pid)
    host.kill(family.pid)
    assert family.wait(30) == -signal.SIGKILL
    eventually(lambda: not any(host.proc.living(pid) for pid in known))


def test_daemon_is_killed_and_noted_before(notes: Path, family: subprocess.Popen[bytes]) -> None:
    """An id of a process that has gone, or is another one by now, is not believed."""
    with pytest.raises(host.PartError, match="no sh runs here"):
        host.broken("nginx", "dashboard", [], 60)
    (notes / "a.pid").write_text("4194399\n")
    (notes / "b.pid").write_text(f"{os.getpid()}\n")
    (notes / "c.pid").write_text(f"{family.pid}\n")
    found = host.broken("nginx", "dashboard", [], 60)
    assert family.wait(30) == -signal.SIGKILL
    assert found == {"what": f"nginx (process {family.pid} and its children)", "holds": 0}
    assert json.loads(host.NOTE.read_text()) == [{"service": "nginx"}]


def test_cluster_of_postgresql_has_its_unit(notes: Path, family: subprocess.Popen[bytes], monkeypatch: Any) -> None:
    (notes / "15-main.pid").write_text(f"{family.pid}\n")
    monkeypatch.setattr(host, "DAEMONS", {"database": (str(notes / "*.pid"), "sh")})
    assert host.main_process("database") == (family.pid, "postgresql@15-main")


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> Path:
    """Programs that write down how they are called, and do what a script says; return the file with the calls."""
    for name, script in {"ip": "", "systemctl": "", "systemd-run": "", "service": "", **scripts}.items():
        path = folder / "bin" / name.replace("_", "-")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{path.name} $*" >>{folder}/calls\n{script}\n')
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
    return folder / "calls"


def test_cut_heals_itself_and_is_healed_by_the_next_run(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What heals it is there before anything is cut."""
    calls = programs(notes, monkeypatch, ip='case "$*" in *"route show"*) echo blackhole 10.0.0.31 ;; esac')
    begun: list[tuple[int, str, list[str]]] = []
    monkeypatch.setattr(host, "later", lambda seconds, command: begun.append((seconds, command, calls_in(calls))))
    found = host.cut("dashboard", ["10.0.0.31", "fd00::31"], 75)
    assert "10.0.0.31, fd00::31" in found["what"]
    assert begun == [(75, "ip route flush proto 219; ip -6 route flush proto 219", [])]
    assert calls_in(calls) == [
        "ip route replace blackhole 10.0.0.31 proto 219", "ip route replace blackhole fd00::31 proto 219",
    ]  # fmt: skip
    assert host.mended(True) == ["the cut was healed"] and host.NOTE.exists()
    assert not any("flush" in call for call in calls_in(calls))
    assert host.mended(False) == ["the cut was healed"] and not host.NOTE.exists()
    assert [call for call in calls_in(calls) if "flush" in call] == [
        "ip route flush proto 219", "ip -6 route flush proto 219",
    ]  # fmt: skip
    assert host.mended(False) == [], "what was mended is mended once"


def test_what_is_to_be_done_later_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without systemd, too."""
    monkeypatch.setattr(host.os.path, "isdir", lambda path: False)
    host.later(0, f"touch {tmp_path}/done")
    eventually((tmp_path / "done").exists)


def calls_in(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_nobody_to_be_cut_off_from(notes: Path) -> None:
    with pytest.raises(host.PartError, match="private_address"):
        host.broken("host", "dashboard", [], 60)
    assert not host.NOTE.exists()


@pytest.mark.parametrize("runs", [True, False])
def test_service_that_does_not_come_back_is_started(notes: Path, monkeypatch: pytest.MonkeyPatch, runs: bool) -> None:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(host, "is_running", lambda service: runs)
    monkeypatch.setattr(host, "run", lambda *words: calls.append(words))
    host.note({"service": "redis-server"})
    assert host.mended(True) == host.mended(False) == ([] if runs else
        ["redis-server was started, because it did not come back by itself"])  # fmt: skip
    assert any("start" in words for words in calls) is not runs
    assert not host.NOTE.exists()


def test_processes_that_do_not_come_back_are_started(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []
    live = {"generation": "one-2", "running": 1, "instances": ["a", "b"]}
    monkeypatch.setattr(host, "MOMENT", 0.0)
    monkeypatch.setattr(host, "live_generation", lambda app: live)
    monkeypatch.setattr(host, "run", lambda *words: calls.append(words))
    host.note({"app": "dashboard", "generation": "one-1"})
    assert "dashboard" in host.mended(False)[0]
    assert calls == [("/usr/local/sbin/dashboard-generations", "start", "one-2")]
    live["running"] = 2
    host.note({"app": "dashboard", "generation": "one-1"})
    assert host.mended(False) == [] and len(calls) == 1


def test_process_with_the_most_sockets_is_killed(notes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And how many it holds is counted, not guessed."""
    code = (
        "import socket,sys,time\nway=socket.socket(socket.AF_UNIX);way.bind(sys.argv[1]);way.listen()\n"
        "held=[way.accept()[0] for _ in range(int(sys.argv[2]))];print('ready',flush=True);time.sleep(600)"
    )
    made, clients = [], []
    for name, number in (("a", 1), ("b", 3)):
        path = str(tmp_path / f"{name}.sock")
        process = subprocess.Popen([sys.executable, "-c", code, path, str(number)], stdout=subprocess.PIPE, text=True)
        made.append(process)
        eventually(lambda path=path: Path(path).exists())
        for _ in range(number):
            clients.append(connected(path))
        assert process.stdout and process.stdout.readline() == "ready\n"
    rows = [{"kind": "server", "pid": one.pid, "instance": name} for one, name in zip(made, "ab", strict=True)]
    helper = {"kind": "worker", "pid": os.getpid(), "instance": "w"}
    monkeypatch.setattr(host, "live_generation", lambda app: {"generation": "g", "processes": [helper, *rows]})
    try:
        found = host.broken("process", "dashboard", [], 60)
        assert found == {"what": f"process b ({made[1].pid})", "holds": 3}
        assert made[1].wait(30) == -signal.SIGKILL and made[0].poll() is None
    finally:
        for each in [*clients, *made]:
            each.close() if hasattr(each, "close") else each.kill()
        for each in made:
            each.wait()
            each.stdout.close()


def connected(path: str) -> Any:
    for _ in range(300):
        try:
            way = host.haproxy.socket.socket(host.haproxy.socket.AF_UNIX)
            way.connect(path)
            return way
        except OSError:
            way.close()
            time.sleep(0.05)
    raise AssertionError(path)


def test_host_without_a_project_has_nothing_to_look_at() -> None:
    found = host.looked("nobody-has-this")
    assert (found["generation"], found["processes"], found["running"]) == ("", 0, 0)


# --- the action


def action(args: dict[str, Any], answers: Callable[..., dict[str, Any]], check: bool = False) -> Any:
    """The action, whose module answers as it is told to."""
    task = MagicMock(async_val=0, args=args, check_mode=check, diff=False, delegate_to=None)
    made = action_loader.get(
        "channels.stack.drill_part", task=task, connection=MagicMock(), play_context=MagicMock(check_mode=check),
        loader=DataLoader(), templar=MagicMock(), shared_loader_obj=MagicMock(),
    )  # fmt: skip
    made._execute_module = lambda name, module_args, task_vars: answers(**module_args)
    return made


def arguments(server: Server, **changes: Any) -> dict[str, Any]:
    way = {"name": "app-1", "url": server.url, "connect_to": "", "origin": ""}
    return {
        "app": "dashboard", "step": step_of(), "ways": [way], "query": "", "token": "", "validate_certs": True,
        "timeout": 20, "sockets": 4, "interval": 0.05, "settle_seconds": 0.5, "patience_seconds": 60,
        "cut_seconds": 0.1, **changes,
    }  # fmt: skip


def test_action_breaks_watches_and_mends(server: Server) -> None:
    done: list[str] = []

    def answers(state: str, **_: Any) -> dict[str, Any]:
        done.append(state)
        if state == "broken":
            server.wait(server._cut())
        return {"what": "nginx", "holds": 4} if state == "broken" else {"mended": []}

    result = action(arguments(server), answers).run(task_vars={})["result"]
    assert done == ["broken", "mended"]
    assert (result["verdict"], result["lost"], result["held"]) == (judge.KEPT, 4, 4), result["reasons"]


def test_action_heals_a_cut_once_its_time_is_over(server: Server) -> None:
    done: list[tuple[str, Any]] = []

    def answers(state: str, **given: Any) -> dict[str, Any]:
        done.append((state, given.get("seconds")))
        return {"what": "the network", "holds": 4} if state == "broken" else {"mended": []}

    result = action(arguments(server, step=step_of("host")), answers).run(task_vars={})["result"]
    assert done == [("broken", 30), ("mended", None), ("mended", None)]
    assert result["healed"] is not None and result["healed"] > result["at"]


def test_action_breaks_nothing_of_a_site_that_does_not_work(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[action_loader.get("channels.stack.drill_part", class_only=True).__module__]
    monkeypatch.setattr(module, "READY_PATIENCE", 1.0)
    server.most, server.status = 0, HTTPStatus.BAD_GATEWAY
    result = action(arguments(server), lambda **_: pytest.fail("it broke something")).run(task_vars={})["result"]
    assert result["verdict"] == judge.NOT_TRIED and "app-1: 502" in result["reasons"][0]


def test_action_helps_what_does_not_come_back(server: Server) -> None:
    def answers(state: str, **_: Any) -> dict[str, Any]:
        if state == "broken":
            server.most, server.status = 0, HTTPStatus.BAD_GATEWAY
            return {"what": "nginx", "holds": 4}
        server.most = 10**6
        return {"mended": ["nginx was started, because it did not come back by itself"]}

    result = action(arguments(server, patience_seconds=1), answers).run(task_vars={})["result"]
    assert result["verdict"] == judge.MISSED and "nginx was started" in result["reasons"][-1]
    assert result["waited"] is not None, "it waited until the site works again"


def test_action_reports_a_part_that_cannot_be_broken(server: Server) -> None:
    done: list[str] = []

    def answers(state: str, **_: Any) -> dict[str, Any]:
        done.append(state)
        return {"failed": True, "msg": "no nginx runs here"} if state == "broken" else {"mended": []}

    result = action(arguments(server), answers).run(task_vars={})["result"]
    assert result["verdict"] == judge.NOT_TRIED and result["reasons"] == ["no nginx runs here"]
    assert done == ["broken", "mended"]


def test_action_does_nothing_in_check_mode_or_without_a_token(server: Server) -> None:
    nothing = lambda **_: pytest.fail("it asked the host")  # noqa: E731
    checked = action(arguments(server), nothing, check=True).run(task_vars={})["result"]
    refused = action(arguments(server, complaint="mint_token failed"), nothing).run(task_vars={})["result"]
    assert checked["verdict"] == refused["verdict"] == judge.NOT_TRIED
    assert "mint_token failed" in refused["reasons"][0]


def test_token_is_in_no_result(server: Server) -> None:
    token = "a-token-of-the-project"
    args = arguments(server, query="token={token}", token=token)
    answers = lambda state, **_: {"what": f"saw {token}", "holds": 4, "mended": []}  # noqa: E731
    result = action(args, answers).run(task_vars={})["result"]
    assert server.tokens == {f"/ws/?token={token}"}
    assert token not in json.dumps(result)


# --- the report


def result_with(text: str = "x", **changes: Any) -> dict[str, Any]:
    attempts = [*tries((0.0, 0.1, ""), (2.0, 0.1, text), (3.0, 2.0, ""), way=text)]
    told = judge.measured(step_of(), seen_with(attempts, what=text, lost={text: 3}, notes=[text]))
    return {**told, **{key: text for key in ("title", "host", "how", "advice")}, **changes}


def report_with(text: str) -> dict[str, Any]:
    return report.made(text, text, [result_with(text), judge.not_tried(step_of(), text)], [text], [text])


def test_lines_say_what_was_missed_and_where_to_look() -> None:
    kept = judge.measured(step_of("process"), seen_with(tries((2.0, 0.034, "")), lost={"1006": 7}))
    late = judge.measured(step_of("redis"), seen_with(tries((2.0, 0.1, "500"), (23.0, 0.4, ""))))
    told = report.made("staging", "now", [kept, late, judge.not_tried(step_of("edge"), "no token")], [], [])
    assert list(report.lines(told)) == [
        "ok   One process on app-1: 34 ms until new sockets opened, 7 of 40 sockets lost",
        "FAIL Redis on redis-2: 21.4 s until new sockets opened, 0 of 40 sockets lost",
        "     a client waited 21.4 s for a socket; 15 s were promised",
        f"     look at: {late['advice']}",
        "skip HAProxy on an edge on edge-2: not tried",
        "     no token",
        "1 of 3 promises were kept, 1 not tried.",
    ]
    assert not told["ok"]
    assert not report.made("staging", "now", [kept], [], ["app-1: nothing is deployed"])["ok"]
    assert report.made("staging", "now", [kept], [], [])["ok"]


def test_timeline_is_in_proportion() -> None:
    attempts = tries((-9.0, 0.1, ""), (0.0, 0.1, ""), (2.0, 0.1, "502"), (4.0, 2.0, ""), (17.0, 0.1, ""))
    drawn = report.timeline(judge.measured(step_of(), seen_with(attempts, healed=9.1)))
    assert drawn["events"] == [{"x": 110.5, "text": "cut"}, {"x": 558.0, "text": "connected again"}]
    assert [(each["x"], each["state"]) for each in drawn["rows"]["edge-1"]] == [
        (55.2, "good"), (165.7, "bad"), (276.2, "slow"), (994.5, "good"),
    ]  # fmt: skip
    assert drawn["rows"]["edge-1"][2]["w"] == pytest.approx(110.5, abs=0.2) and not drawn["rows"]["edge-1"][0]["w"]
    assert [each["text"] for each in drawn["scale"]] == ["0 s", "5 s", "10 s", "15 s"]
    assert report.timeline(judge.not_tried(step_of(), "no token")) == {"rows": {}, "events": [], "scale": []}


def test_whatever_a_host_says_is_text_on_the_page() -> None:
    seen, harmless = Seen(report.page(report_with(HOSTILE))), Seen(report.page(report_with("Harmless")))
    assert [tag for tag, _ in seen.elements] == [tag for tag, _ in harmless.elements]
    assert not {"script", "img"} & {tag for tag, _ in seen.elements}
    assert seen.text.count(HOSTILE) == harmless.text.count("Harmless") > 10


def test_page_asks_for_nothing_from_elsewhere(tmp_path: Path) -> None:
    told = report.made("staging", "now", [result_with()], [], [])
    report.write(tmp_path / "drill" / "staging.json", told)
    text = (tmp_path / "drill" / "staging.html").read_text()
    assert text.startswith("<!doctype html>\n") and not re.search(r"(src|href)=|url\(|https?://", text)
    assert json.loads((tmp_path / "drill" / "staging.json").read_text())["missed"] == 1
    assert 'class="missed"' in text and "None" not in Seen(text).text
    assert sorted(path.name for path in (tmp_path / "drill").iterdir()) == ["staging.html", "staging.json"]
