"""Why a process does not stay alive, by its last lines; and what the doctor makes of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.doctor.diagnosis import diagnose
from ansible_collections.channels.stack.plugins.module_utils.host import raw
from ansible_collections.channels.stack.plugins.module_utils.host.steady import Watch, of_kind
from ansible_collections.channels.stack.plugins.module_utils.websocket.symptoms import of_log, telling_line
from test_doctor import BUNDLE, came, everywhere, healthy, judged
from test_generations import make

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles" / "asgi" / "files"))
from generations import commands, managers, paths

WORKER = {
    "unit": "app-celery", "instance": "r1-abc-celery-1", "kind": "worker", "pid": 0, "restarts": 23, "age": None,
    "word": "auto-restart", "what": "app-celery@r1-abc-celery-1 does not run", "unsteady": True,
    "log": ["Traceback (most recent call last):", "NOPERM this user has no permissions to run the 'info' command",
            "app-celery@r1-abc-celery-1.service: Main process exited, code=exited, status=1/FAILURE"],
}  # fmt: skip
SERVER = {**WORKER, "unit": "app-daphne", "instance": "r1-abc-1", "kind": "server", "pid": 7, "age": 2.0,
          "what": "app-daphne@r1-abc-1 was started again 3 times, last 2 s ago"}  # fmt: skip
FINE = {**WORKER, "pid": 8, "restarts": 0, "what": "", "unsteady": False, "log": []}


class Manager:
    """A service manager that has one server, whose age is all that changes."""

    age = 100.0

    def __init__(self, *_about: Any) -> None:
        pass

    def states(self, groups: list[Any]) -> list[Any]:
        """The state of each process."""
        return [managers.State(pid=7, memory=1, restarts=4, age=self.age, word="running") for each in groups[:1]]

    def begun(self, _names: list[str]) -> set[str]:
        """No drain."""
        return set()

    def last_lines(self, _group: Any, instance: str, _number: int) -> list[str]:
        """What a process said last."""
        return [f"NOPERM said {instance}"]


def test_the_tool_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """What it really prints, of a server that is well at first and was started again by the end."""
    (tmp_path / "generations").mkdir()
    for folder in ("releases", "static", "venvs", "instances"):
        (tmp_path / folder).mkdir()
    for name, value in (("HOME", tmp_path), ("HISTORY", tmp_path / "history"), ("CRON", tmp_path / "cron")):
        monkeypatch.setattr(paths, name, value)
    monkeypatch.setattr(managers, "KINDS", ("systemd",))
    monkeypatch.setattr(managers, "get", lambda kind: Manager())
    row = make(tmp_path, "release", "aaaaaa")

    def output(path: str, *command: str) -> str:
        assert path == "/usr/local/sbin/app-generations"
        monkeypatch.setattr(sys, "argv", ["generations", *command])
        commands.main()
        return str(capsys.readouterr().out)

    monkeypatch.setattr(raw, "output", output)
    watch = Watch({"app": "app", "generation": row["generation"]})
    monkeypatch.setattr(Manager, "age", 9.0)
    (found,) = of_kind(watch.end(), worker=False)
    assert found["what"] == "dashboard-daphne@release-aaaaaa-1 was started again 4 times, last 9 s ago"
    assert found["unsteady"] and found["log"] == ["NOPERM said release-aaaaaa-1"]


@pytest.mark.parametrize(("lines", "fix"), [
    (["redis.exceptions.NoPermissionError: this user has no permissions to access a key"], "redis_extra_users"),
    (["redis.exceptions.AuthenticationError: WRONGPASS invalid username-password pair"], "release_secrets"),
    (["redis.exceptions.AuthenticationError: Authentication required."], "redis_extra_users"),
    (["kombu.exceptions.VersionMismatch: Redis transport requires redis-py versions 3.2.0 or later. You have 2.10.6"],
     "release_constraints"),
    (['  File "/srv/a/venv/lib/python3.11/site-packages/kombu/transport/redis.py", line 9, in connect',
      "AttributeError: 'Connection' object has no attribute 'register_connect_callback'"], "release_constraints"),
    (["ImportError: cannot import name 'Callable' from 'collections'"], "release_constraints"),
    (["ModuleNotFoundError: No module named 'flower'"], "release_packages"),
    (["sh: 1: exec: celery: not found"], "release_packages"),
    (["Unknown command: 'rqworker'. Type 'manage.py help' for usage."], "asgi_workers"),
    (["consumer: Cannot connect to redis://127.0.0.1:6379/0: Error 111 connecting to 127.0.0.1:6379."], "address"),
    (["django.db.utils.OperationalError: no such table: jobs"], "release_migrate"),
    (["django.core.exceptions.ImproperlyConfigured: Set the BROKER environment variable"], "release_environment"),
    (["PermissionError: [Errno 13] Permission denied: 'celerybeat-schedule'"], "release_shared_paths"),
    (["app-celery@1.service: Main process exited, code=killed, status=9/KILL"], "memory_max"),
    (["it is Tuesday"], "Read its log"), ([], "Read its log"),
])  # fmt: skip
def test_last_lines_are_a_sign_of_a_cause(lines: list[str], fix: str) -> None:
    symptom = of_log(lines)
    assert symptom.kind == "ended" and fix in symptom.fix, symptom


def test_the_line_that_tells_is_shown() -> None:
    assert telling_line(WORKER["log"], of_log(WORKER["log"])) == WORKER["log"][1]
    assert telling_line(["one", " two ", ""], of_log(["one"])) == "two" and telling_line([], of_log([])) == ""


def test_a_worker_that_dies_is_broken_and_keeps_no_socket_from_opening() -> None:
    """It is the verdict where all else is well, with every hop that works; and never where a handshake fails."""
    steady = {"seconds": 12.0, "processes": [SERVER | {"what": "", "unsteady": False}, WORKER]}
    report = judged(host__bundle=BUNDLE, host__steady=steady)
    assert report["verdict"] == "E122_WORKER_UNSTEADY" and not report["ok"]
    assert "NOPERM" in report["finding"]["cause"] and "redis_extra_users" in report["finding"]["fix"]
    assert "app-generations logs r1-abc" in report["finding"]["fix"]
    assert {hop["id"] for hop in report["hops"] if hop["state"] == "ok"} >= {"edge", "token", "layer"}
    failing = judged(host__bundle=BUNDLE, host__steady=steady, **everywhere(status=403))
    assert failing["verdict"] == "E402_TOKEN_BAD"
    assert [each["code"] for each in failing["noticed"]] == ["E122_WORKER_UNSTEADY"]


def test_a_server_that_keeps_dying_is_at_fault_for_the_handshake() -> None:
    report = judged(host__bundle=BUNDLE, host__steady={"processes": [SERVER]}, **everywhere(status=500))
    assert report["verdict"] == "E121_PROCESS_UNSTEADY"
    silent = {"host__servers__0__pid": 0, "host__units__0__state": "failed", "host__units__0__result": "exit-code"}
    known = judged(host__bundle=BUNDLE, host__steady={"processes": [SERVER]}, **silent)
    assert known["verdict"] == "E105_CRASH_LOOP", "why nobody listens at a socket is told once"


def test_one_that_was_started_again_is_noticed() -> None:
    again = {**WORKER, "pid": 9, "unsteady": False, "what": "app-celery@r1-abc-celery-1 was started again 2 times"}
    report = judged(host__bundle=BUNDLE, host__steady={"processes": [again, FINE]})
    assert report["ok"] and [each["code"] for each in report["noticed"]] == ["W123_STARTED_AGAIN"]


def test_nothing_is_said_where_all_run_or_nobody_can_tell() -> None:
    for steady in ({"processes": [FINE]}, {}, None):
        evidence = healthy()
        evidence["host"] |= {"steady": steady, "exchanges": [came("process"), came("proxy")]}
        assert diagnose(evidence)["noticed"] == []
