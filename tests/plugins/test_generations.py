"""The tool that looks after generations on a host: what it can be asked without a service manager."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles" / "asgi" / "files"))
from generations import (
    close,
    drain,
    generation,
    history,
    managers,
    overview,
    paths,
    protect,
    remove,
    serve,
    sockets,
    start,
    stop,
    systemd,
    table,
    tidy,
    times,
    unsteady,
)  # fmt: skip
from generations.locks import Refused


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folders below tmp_path, and a service manager that only remembers what it was told."""
    for folder in ("generations", "instances", "releases", "static", "venvs"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(paths, "APP", "dashboard")
    monkeypatch.setattr(paths, "HOME", tmp_path)
    monkeypatch.setattr(paths, "HISTORY", tmp_path / "history.jsonl")
    monkeypatch.setattr(paths, "CRON", tmp_path / "cron")
    monkeypatch.setattr(managers, "KINDS", ("systemd",))
    monkeypatch.setattr(managers, "get", lambda kind: Recorder("dashboard", tmp_path))
    Recorder.told = []
    return tmp_path


class Recorder:
    """A service manager that only remembers what it was told."""

    told: ClassVar[list[tuple[str, list[str]]]] = []

    def __init__(self, app: str, home: Path) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name == "last_lines":
            return lambda group, instance, number: [f"last line of {instance}"]
        if name == "end":
            return lambda what: None
        if name == "shared":
            return lambda what: {each["unit"] for each in what}  # as if none brought its own
        if name == "remove_shared":
            return lambda what: self.told.append((name, sorted(what))) or sorted(what)
        if name == "kinds":
            return lambda what: ["dashboard-daphne"]
        if name == "states":
            return lambda groups: [managers.State(0, 0) for group in groups for _ in group["instances"]]
        return lambda what: self.told.append(
            (name, [each["unit"] if isinstance(each, dict) else each for each in what])
        )


def make(home: Path, release: str, digits: str, venv: str = "v1", served: float = 0.0) -> dict[str, Any]:
    """Make a generation's folders and return its row, as a kept one."""
    name = f"{release}-{digits}"
    folder = home / "generations" / name
    folder.mkdir()
    for kind, entry in (("releases", release), ("static", release), ("venvs", venv)):
        (home / kind / entry).mkdir(exist_ok=True)
    (folder / "venv").symlink_to(home / "venvs" / venv)
    described = {
        "generation": name, "release": release, "version": "v1", "unit": "dashboard-daphne", "instances": [f"{name}-1"],
        "manager": "systemd",
        "user": "nobody",
        "sockets": [str(home / f"{name}-1.sock")],
    }  # fmt: skip
    (folder / "generation.json").write_text(json.dumps(described))
    (home / "instances" / f"{name}-1").symlink_to(folder)
    return {
        **described,
        "state": "kept",
        "served": served,
        "running": 0,
        "working": 0,
        "expected": 0,
        "connections": 0,
        "memory": 0,
        "deadline": 0.0,
    }


def tidied(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]], keep: int, limit: int = 3) -> list[str]:
    """Tidy up, as if these rows were what the host has."""
    monkeypatch.setattr(tidy, "overview", lambda: rows)
    return tidy.tidy(keep, limit)


def left(home: Path, folder: str) -> set[str]:
    """Return what is left in a folder."""
    return {entry.name for entry in (home / folder).iterdir()}


def test_tidy_keeps_what_may_serve_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [make(home, f"release{number}", "aaaaaa", f"v{number % 2}") for number in range(5)]
    rows[0]["state"], rows[1]["state"] = "live", "draining"
    gone = tidied(monkeypatch, rows, keep=1)
    assert left(home, "generations") == {"release0-aaaaaa", "release1-aaaaaa", "release2-aaaaaa"}
    assert left(home, "releases") == left(home, "static") == {"release0", "release1", "release2"}
    assert left(home, "venvs") == {"v0", "v1"}
    assert left(home, "instances") == {"release0-aaaaaa-1", "release1-aaaaaa-1"}, "a reboot ended the drain of others"
    assert "generation release4-aaaaaa" in gone and "releases/release3" in gone


def test_tidy_removes_units_that_no_kept_generation_has(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as those of a worker that left the inventory, or of the other server; those of another project stay."""
    rows = [make(home, f"release{number}", "aaaaaa") for number in range(3)]
    rows[0]["state"] = "live"
    for row, workers in zip(rows, (["queue"], ["queue", "beat"], ["queue", "nightly"]), strict=True):
        row["workers"] = [{"unit": f"dashboard-{name}", "instances": [], "schedule": ""} for name in workers]
    rows[2]["unit"] = "dashboard-uvicorn"
    gone = tidied(monkeypatch, rows, keep=1)
    assert Recorder.told[-1] == ("remove_shared", ["dashboard-nightly", "dashboard-uvicorn"])
    assert {"unit dashboard-nightly", "unit dashboard-uvicorn"} <= set(gone)


def test_tidy_removes_what_never_served(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [make(home, "release0", "aaaaaa"), make(home, "release0", "bbbbbb", "v2")]
    rows[0]["state"], rows[1]["state"] = "live", "new"
    assert tidied(monkeypatch, rows, keep=3) == ["generation release0-bbbbbb", "venvs/v2"]
    assert left(home, "releases") == {"release0"}


def test_tidy_leaves_what_a_killed_run_left_running(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [make(home, "release0", "aaaaaa"), make(home, "release1", "aaaaaa")]
    rows[0]["state"], rows[1]["state"] = "live", "left"
    assert tidied(monkeypatch, rows, keep=0) == []


def test_tidy_ends_the_oldest_of_too_many_that_drain(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [make(home, f"release{number}", "aaaaaa") for number in range(4)]
    rows[0]["state"] = "live"
    for row in rows[1:]:
        row["state"] = "draining"
    assert tidied(monkeypatch, rows, keep=3, limit=2) == ["drain of release3-aaaaaa"]
    rows[3]["state"] = "draining"
    make(home, "release4", "aaaaaa")
    rows.append({**rows[3], "generation": "release4-aaaaaa", "release": "release4", "state": "kept"})
    gone = tidied(monkeypatch, rows, keep=1, limit=2)
    assert "generation release4-aaaaaa" in gone, "the one whose drain was ended is the one that is kept"
    assert left(home, "releases") == {"release0", "release1", "release2", "release3"}


def test_switch_is_told_only_by_a_later_line_of_history(home: Path) -> None:
    """What a run has to do after a switch is done again until its line says that it was."""
    make(home, "release0", "aaaaaa")
    event = {"what": "deploy", "generation": "release0-aaaaaa"}
    history.note(json.dumps({**event, "result": "serves"}))
    (home / "generations" / "release0-aaaaaa" / "served").touch()
    os.utime(home / "generations" / "release0-aaaaaa" / "served", (time.time() + 60, time.time() + 60))
    assert not history.told("release0-aaaaaa"), "the line is older than the switch"
    os.utime(home / "generations" / "release0-aaaaaa" / "served", (time.time() - 60, time.time() - 60))
    assert history.told("release0-aaaaaa")
    (home / "history.jsonl").unlink()
    history.note(json.dumps({**event, "result": "serves, but a command after the switch failed"}))
    assert not history.told("release0-aaaaaa")


def test_clock_that_is_set_back_repeats_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands after a switch would be run again by each deploy until the clock has come so far again."""
    monkeypatch.setattr(paths, "ETC", home / "etc")
    monkeypatch.setattr(serve, "retire", lambda *_: None)
    first, second = (make(home, f"release{number}", "aaaaaa")["generation"] for number in range(2))
    event = {"what": "deploy", "generation": first, "result": "serves"}
    (home / "etc").mkdir()
    serve.serve(first, 0, 0, [])
    later = time.time() + 3600
    os.utime(home / "generations" / first / "served", (later, later))
    assert not history.told(first)
    history.note(json.dumps(event))
    assert history.told(first)
    serve.serve(second, 0, 0, [])
    assert not history.told(second) and generation.switch(second) > generation.switch(first)
    serve.serve(first, 0, 0, [])
    assert not history.told(first), "the line is that of another switch"
    history.note(json.dumps(event))
    assert history.told(first) and not history.told(second)


def test_generation_that_served_later_is_the_younger_whatever_the_clock_says(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept longest is what served last."""
    names = [make(home, f"release{number}", "aaaaaa")["generation"] for number in range(3)]
    for number, name in enumerate(names):
        generation.count_switch(name)
        os.utime(home / "generations" / name / "served", (1e9 - number, 1e9 - number))
    stopped = managers.State(0, 0)
    monkeypatch.setattr(Recorder, "states", lambda self, groups: [stopped] * len(groups), raising=False)
    monkeypatch.setattr(overview, "drains", lambda found: {})
    assert [row["generation"] for row in overview.overview()] == names[::-1]


def test_singleton_of_the_old_release_ends_before_any_of_the_new_begins(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "ETC", home / "etc")
    monkeypatch.setattr(serve, "retire", lambda *given: None)
    (home / "etc").mkdir()
    for release in ("release0", "release1"):
        name = make(home, release, "aaaaaa")["generation"]
        kinds = [("beat", True, ""), ("queue", False, ""), ("nightly", True, "0 3 * * *")]
        path = home / "generations" / name / "generation.json"
        workers = [
            {"unit": f"{release}-{kind}", "singleton": single, "schedule": times, "instances": [f"{name}-1"]}
            for kind, single, times in kinds
        ]
        # One that another host has is not this one's, and has no files here.
        workers.append({"unit": f"{release}-other", "singleton": True, "schedule": "", "instances": []})
        path.write_text(json.dumps({**json.loads(path.read_text()), "workers": workers}))
        (path.parent / "env").touch()
        (path.parent / "cron").write_text(f"for {release}\n")
    serve.serve("release0-aaaaaa", 300, 10, [])
    Recorder.told.clear()
    serve.serve("release1-aaaaaa", 300, 10, [])
    assert Recorder.told == [
        ("stop", ["release0-beat"]),
        ("install", ["release1-beat", "release1-queue", "release1-nightly"]),
        ("start", ["release1-beat", "release1-queue"]),
    ]
    assert (home / "cron").read_text() == "for release1\n"
    assert (home / "instances" / "release1-aaaaaa-1").is_symlink()


def test_processes_for_plain_http_begin_and_end_with_the_others(home: Path) -> None:
    """They pass the same gate, drain and go; nothing of them is left."""
    make(home, "release0", "aaaaaa")
    path = home / "generations" / "release0-aaaaaa" / "generation.json"
    wsgi = {"unit": "dashboard-wsgi", "instances": ["release0-aaaaaa-1", "release0-aaaaaa-2"],
            "sockets": [str(home / "one.wsgi.sock"), str(home / "two.wsgi.sock")]}  # fmt: skip
    path.write_text(json.dumps({**json.loads(path.read_text()), "wsgi": wsgi}))
    described = generation.describe("release0-aaaaaa")
    assert generation.listening(described) == [*described["sockets"], *wsgi["sockets"]]
    start.start("release0-aaaaaa")
    assert ("start", ["dashboard-daphne", "dashboard-wsgi"]) in Recorder.told
    assert left(home, "instances") == {"release0-aaaaaa-1", "release0-aaaaaa-2"}
    Path(wsgi["sockets"][0]).touch()
    stop.stop(described)
    assert Recorder.told[-1] == ("stop", ["dashboard-daphne", "dashboard-wsgi"])
    assert left(home, "instances") == set() and not Path(wsgi["sockets"][0]).exists()


def test_drain_that_ends_while_its_release_is_taken_back_takes_nothing_away(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollback right after a deploy: the drain stops the old processes just before it is told to end."""
    make(home, "release0", "aaaaaa")
    described = generation.describe("release0-aaaaaa")
    monkeypatch.setattr(Recorder, "end", lambda self, name: stop.stop(described), raising=False)
    start.start("release0-aaaaaa")
    assert [what for what, _ in Recorder.told if what in ("start", "stop")] == ["stop", "start"]
    assert left(home, "instances") == {"release0-aaaaaa-1"}


def test_removal_leaves_shared_files_and_what_is_of_others(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ETC", "BIN", "SBIN", "UNITS"):
        (home / "host" / name).mkdir(parents=True)
        monkeypatch.setattr(systemd.Systemd if name == "UNITS" else paths, name, home / "host" / name)
    monkeypatch.setattr(remove, "end_processes", lambda user: None)
    monkeypatch.setattr(paths, "LIBRARY", home / "host" / "lib")
    monkeypatch.setattr(paths, "HOME", home / "srv")
    monkeypatch.setattr(Recorder, "states", lambda self, groups: [], raising=False)
    monkeypatch.setattr(remove.subprocess, "run", lambda *given, **options: None)
    srv = home / "srv"
    for folder in ("generations", "instances", "releases", "static", "venvs", "shared"):
        (srv / folder).mkdir(parents=True)
    (home / "host" / "lib").mkdir()
    (srv / "shared" / "db.sqlite3").touch()
    make(srv, "release0", "aaaaaa")
    texts = {"dashboard-daphne": srv, "dashboard-old-celery": srv, "dashboard-two-daphne": home / "other"}
    for unit, base in texts.items():
        (home / "host" / "UNITS" / f"{unit}@.service").write_text(f"ExecStart={base}/instances/%i/serve %i\n")
    (home / "host" / "SBIN" / "dashboard-generations").symlink_to(home / "host" / "lib" / "generations" / "__main__.py")
    (home / "host" / "ETC" / "dashboard").mkdir()
    (home / "host" / "ETC" / "dashboard" / "env").symlink_to("nowhere")
    told = remove.remove(0, True)
    assert (srv / "releases").exists() and Recorder.told == [], "it was only asked"
    assert any("release0-aaaaaa: 0 processes" in line for line in told)
    assert remove.remove(0, False) == told
    assert {path.name for path in srv.iterdir()} == {"shared"} and (srv / "shared" / "db.sqlite3").exists()
    assert [path.name for path in (home / "host" / "UNITS").iterdir()] == ["dashboard-two-daphne@.service"]
    assert not list((home / "host" / "SBIN").iterdir()) and not list((home / "host" / "ETC").iterdir())
    assert ("stop", ["dashboard-daphne"]) in Recorder.told
    assert remove.remove(0, False) == []


def test_deadline_is_none_while_a_drain_begins_or_ends(home: Path) -> None:
    """Its file is written and removed while others look."""
    make(home, "release0", "aaaaaa")
    path = home / "generations" / "release0-aaaaaa" / "deadline"
    assert generation.deadline("release0-aaaaaa") == 0.0
    path.write_text("")
    assert generation.deadline("release0-aaaaaa") == 0.0
    path.write_text("1795.5\n")
    assert generation.deadline("release0-aaaaaa") == 1795.5


def test_serving_leads_all_links_to_the_new_generation(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    retired: list[tuple[object, ...]] = []
    monkeypatch.setattr(paths, "ETC", home / "etc")
    monkeypatch.setattr(serve, "retire", lambda *given: retired.append(given))
    (home / "etc").mkdir()
    for release in ("release0", "release1"):
        make(home, release, "aaaaaa")
        (home / "generations" / f"{release}-aaaaaa" / "env").write_text(f"NAME={release}\n")
    serve.serve("release0-aaaaaa", 300, 10, [])
    assert retired == [] and not (home / "before").is_symlink()
    serve.serve("release1-aaaaaa", 300, 10, ["python", "manage.py", "drain"])
    assert (home / "live").resolve().name == "release1-aaaaaa"
    assert (home / "before").resolve().name == "release0-aaaaaa"
    assert (home / "etc" / "dashboard" / "env").read_text() == "NAME=release1\n"
    assert generation.served("release1-aaaaaa") > time.time() - 60
    assert retired == [("release0-aaaaaa", 300, 10, ["python", "manage.py", "drain"])]
    serve.serve("release1-aaaaaa", 300, 10, [])
    assert len(retired) == 1, "a generation is not retired for itself"


def test_history_is_told_newest_first_without_a_line_that_was_cut(home: Path) -> None:
    for number in range(7):
        history.note(json.dumps({"what": "deploy", "version": f"v{number}"}))
    with (home / "history.jsonl").open("a") as file:
        file.write('{"what": "dep')
    assert [event["version"] for event in history.history(3)] == ["v6", "v5", "v4"]


HALF = {
    "empty": "",
    "half": '{"generation": "rel',
    "a list": "[]",
    "of another": '{"generation": "x"}',
    "binary": "\0\1",
}


@pytest.mark.parametrize("text", HALF.values(), ids=HALF)
@pytest.mark.parametrize("serves", [True, False], ids=["serves", "kept"])
def test_generation_that_cannot_be_read_is_told_and_others_go_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, text: str, serves: bool
) -> None:
    """As a full disk or a crash leaves it. Whatever it needs is kept, and it is removed by the command that is told."""
    for number in (0, 1):
        make(home, f"release{number}", "aaaaaa", f"v{number}")
        code = home / "releases" / f"release{number}" / "backend"
        (home / "generations" / f"release{number}-aaaaaa" / "code").symlink_to(code)
    (home / "live").symlink_to(f"generations/release{0 if serves else 1}-aaaaaa")
    (home / "generations" / "release0-aaaaaa" / "generation.json").write_text(text)
    monkeypatch.setattr(paths, "UPSTREAM", home / "none")
    monkeypatch.setattr(Recorder, "begun", lambda self, names: set(), raising=False)
    rows = overview.overview()
    assert [row["state"] for row in rows] == ["new" if serves else "live", "broken"]
    assert rows[1]["serves"] == serves and rows[1]["running"] == 1, "a rejected release does not stop it"
    told = table.table(rows, history.history(5))
    assert str(home / "generations" / "release0-aaaaaa" / "generation.json") in told and "cannot be read" in told
    assert ("dashboard-generations discard release0-aaaaaa" in told) != serves
    gone = tidy.tidy(3, 3)
    assert gone == (
        ["generation release1-aaaaaa", "releases/release1", "static/release1", "venvs/v1"] if serves else []
    )
    assert {"release0"} <= left(home, "releases") and {"v0"} <= left(home, "venvs")
    with pytest.raises(Refused, match="cannot be read"):
        start.start("release0-aaaaaa")
    if serves:
        with pytest.raises(Refused, match="deploy it again"):
            tidy.discard("release0-aaaaaa")
        return
    tidy.discard("release0-aaaaaa")
    assert Recorder.told[-1] == ("stop", ["dashboard-daphne"])
    assert left(home, "generations") == {"release1-aaaaaa"} and left(home, "instances") == {"release1-aaaaaa-1"}
    assert {"releases/release0", "static/release0", "venvs/v0"} <= set(tidy.tidy(3, 3))


def test_switch_from_a_generation_that_cannot_be_read_comes_to_its_end(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (0, 1):
        make(home, f"release{number}", "aaaaaa")
    monkeypatch.setattr(paths, "ETC", home / "etc")
    (home / "etc" / "dashboard").mkdir(parents=True)
    (home / "live").symlink_to("generations/release0-aaaaaa")
    (home / "generations" / "release0-aaaaaa" / "generation.json").write_text("{")
    serve.serve("release1-aaaaaa", 5, 1, [])
    assert generation.live() == "release1-aaaaaa" and "does not drain" in capsys.readouterr().err


@pytest.mark.parametrize("bad", ['{"at": "2026', "7", "null", '{"what": "deploy"}', "\xff\xfe"])
def test_line_of_history_that_cannot_be_read_is_told_with_its_way_on(home: Path, bad: str) -> None:
    """And the next line is not written into it."""
    good = {"at": "2026-11-29 02:00:00", "what": "deploy", "generation": "release0-aaaaaa", "result": "serves"}
    (home / "history.jsonl").write_bytes(f"{json.dumps(good)}\n{bad}".encode("latin-1"))
    history.note(json.dumps({**good, "who": "bob"}))
    assert [event.get("who") for event in history.history(5)] == ["bob", None]
    told = table.table([], history.history(5)).splitlines()[-1]
    assert "line 2 cannot be read" in told
    subprocess.run(["sh", "-c", told.partition("read: ")[2]], check=True)
    assert history.history_fault() == "" and len((home / "history.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (65, "1m 5s"), (3700, "1h 1m"), (90000, "1d 1h")])
def test_age_is_told_in_two_figures(seconds: int, text: str) -> None:
    assert times.ago(time.time() - seconds) == text


def test_table_has_a_line_for_each_generation(home: Path) -> None:
    rows = [make(home, "release0", "aaaaaa", served=time.time()), make(home, "release1", "aaaaaa")]
    lines = table.table(rows, []).splitlines()
    assert len(lines) == 3 and "release1-aaaaaa" in lines[2] and "never" in lines[2]


def test_connections_are_closed_one_after_another_and_no_others(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("old.sock", "new.sock")]
    servers, clients = [], []
    for path in paths:
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
        servers.append(server)
        for _ in range(4):
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            clients.append((path, client, server.accept()[0]))
    assert len(sockets.accepted(paths)) == 8
    ended: dict[int, float] = {}

    def wait(number: int, client: socket.socket) -> None:
        client.settimeout(10)
        if client.recv(1) == b"":
            ended[number] = time.monotonic()

    old = [(number, client) for number, (path, client, _) in enumerate(clients) if path == paths[0]]
    waiting = [threading.Thread(target=wait, args=entry) for entry in old]
    for thread in waiting:
        thread.start()
    assert close.close_all([paths[0]], 1.0, "nobody") == 4
    for thread in waiting:
        thread.join()
    assert len(ended) == 4 and max(ended.values()) - min(ended.values()) > 0.5
    for path, client, peer in clients:
        if path == paths[1]:
            peer.send(b"x")
            assert client.recv(1) == b"x"
    for _, client, peer in clients:
        client.close()
        peer.close()
    for server in servers:
        server.close()


def listen(path: str, number: int) -> tuple[socket.socket, list[tuple[socket.socket, socket.socket]]]:
    """Listen on a unix socket, and return it with some connections: who connected, and what was accepted."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    pairs = []
    for _ in range(number):
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        pairs.append((client, server.accept()[0]))
    return server, pairs


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_drain_closes_what_is_open_at_its_deadline_and_not_before(
    home: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """A deadline of zero still leaves the time in which requests under way are answered."""
    described = make(home, "release0", "aaaaaa")
    monkeypatch.setattr(drain, "SETTLE", 0.5)
    stopped: list[str] = []
    monkeypatch.setattr(drain, "stop", lambda row: stopped.append(row["generation"]))
    server, pairs = listen(described["sockets"][0], 3)
    begun = time.monotonic()
    worker = threading.Thread(target=drain.drain, args=("release0-aaaaaa", seconds, 0.2, []))
    monkeypatch.setattr(drain.signal, "signal", lambda *_: None)  # only the main thread may
    worker.start()
    ended = []
    for client, accepted in pairs:
        client.settimeout(10)
        assert client.recv(1) == b""
        ended.append(time.monotonic() - begun)
        accepted.close()
    worker.join()
    server.close()
    assert min(ended) >= max(seconds, 0.5)
    assert stopped == ["release0-aaaaaa"]
    assert not (home / "generations" / "release0-aaaaaa" / "deadline").exists()


def test_drain_ends_early_when_the_last_socket_has_ended(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(home, "release0", "aaaaaa")
    monkeypatch.setattr(drain, "SETTLE", 0.1)
    monkeypatch.setattr(drain, "stop", lambda row: None)
    begun = time.monotonic()
    drain.drain("release0-aaaaaa", 600, 10, [])
    assert time.monotonic() - begun < 60


def test_drain_leaves_alone_what_serves_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(home, "release0", "aaaaaa")
    (home / "live").symlink_to("generations/release0-aaaaaa")
    monkeypatch.setattr(drain, "SETTLE", 0.1)
    with pytest.raises(Refused, match="serves again"):
        drain.drain("release0-aaaaaa", 0, 1, [])


def test_help_says_what_it_does() -> None:
    done = subprocess.Popen([sys.executable, str(paths.TOOL), "--help"], stdout=subprocess.PIPE, text=True)
    output, _ = done.communicate()
    assert done.returncode == 0 and "generations drain" in output


def process(kind: str, **state: Any) -> dict[str, Any]:
    """Return a process as a row of the overview has it."""
    unit = "dashboard-queue" if kind == "worker" else "dashboard-daphne"
    steady = {"pid": 7, "memory": 1, "restarts": 0, "age": 3600.0, "word": "running"}
    return {"unit": unit, "instance": "release0-aaaaaa-1", "kind": kind, **steady, **state}


@pytest.mark.parametrize(
    ("one", "since", "what"),
    [
        (process("server"), None, ""),
        (process("worker"), 10.0, ""),
        (process("worker", pid=0, age=None, word="auto-restart"), None, "does not run (auto-restart)"),
        (process("server", pid=0, age=None, word="failed"), 10.0, "does not run (failed)"),
        (process("worker", restarts=23, age=4.0), None, "was started again 23 times, last 4s ago"),
        (process("server", restarts=23), None, ""),  # it has been steady since
        (process("server", restarts=1, age=4.0), None, ""),  # one that was killed once is no news
        (process("server", restarts=1, age=4.0), 10.0, "was started again 1 time, last 4s ago"),
        (process("server", age=12.0), 10.0, ""),
        (process("worker", age=4.0), 10.0, ""),  # a worker begins after the gate
        (process("worker", restarts=1, age=4.0), 10.0, "was started again 1 time, last 4s ago"),
    ],
)
def test_process_that_keeps_dying_is_told_with_its_last_lines(
    home: Path, one: dict[str, Any], since: float | None, what: str
) -> None:
    row = {**make(home, "release0", "aaaaaa"), "processes": [one]}
    found = unsteady.unsteady(row, since)
    assert [what in entry["what"] for entry in found] == ([True] if what else []), found
    assert [entry["log"] for entry in found] == ([["last line of release0-aaaaaa-1"]] if what else [])


def test_environment_that_others_may_read_is_closed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of kept generations, too: a mode that an older bundle, or somebody's hand, has left stays no longer."""
    owned: list[tuple[str, int, int]] = []
    group = protect.pwd.getpwnam("nobody").pw_gid
    monkeypatch.setattr(protect.os, "chown", lambda path, user, to: owned.append((path.parent.name, user, to)))
    described = make(home, "release0", "aaaaaa")
    env = home / "generations" / "release0-aaaaaa" / "env"
    assert not protect.exposed(described), "without one, there is nothing to close"
    env.write_text("SECRET_KEY=x\n")
    env.chmod(0o644)
    assert protect.exposed(described)
    protect.protect()
    assert env.stat().st_mode & 0o777 == 0o640 and owned == [("release0-aaaaaa", 0, group)]
