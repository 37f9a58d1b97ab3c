"""One deploy at a time, however close two come; nothing beside what works; and no lock that nobody can free."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.host import locks

ROOT = Path(__file__).resolve().parents[2]

action = importlib.import_module("ansible_collections.channels.stack.plugins.action.deploy_lock")

ALICE: dict[str, Any] = {"run": "alice's", "who": "alice@laptop"}
BOB: dict[str, Any] = {"run": "bob's", "who": "bob@desk"}


@pytest.fixture
def lock(tmp_path: Path) -> Any:
    """The lock of a project's deploys."""
    return locks.DeployLock(tmp_path)


def test_second_run_is_told_of_the_first(lock: Any) -> None:
    assert lock.take(ALICE) == {"taken": True}
    answer = lock.take(BOB)
    assert not answer["taken"] and answer["held"]["who"] == "alice@laptop" and answer["held"]["since"].startswith("20")
    assert lock.take(BOB, dead="carol's")["taken"] is False, "another run has it than the one that was looked at"
    assert lock.take(BOB, dead="alice's")["broken"]["who"] == "alice@laptop"
    assert not lock.give_back("alice's") and lock.shown().startswith("bob@desk"), "not what another run holds"
    assert lock.give_back("bob's") and not lock.path.exists() and lock.shown() == ""


TAKER = """
import sys, time
sys.path.insert(0, {folder!r})
from ansible_collections.channels.stack.plugins.module_utils.host import locks
from pathlib import Path
lock = locks.DeployLock(Path({home!r}))
while time.time() < {begin!r}:
    pass
# Killed runs' locks are broken on the way, by all of them.
answer = lock.take({{"run": sys.argv[1], "who": sys.argv[1]}}, dead={dead!r})
print(sys.argv[1] if answer["taken"] else "")
"""


@pytest.mark.parametrize("before", [None, ALICE], ids=["free", "of a dead run"])
def test_of_many_at_once_one_gets_it(lock: Any, tmp_path: Path, before: dict[str, Any] | None) -> None:
    for _ in range(6):
        lock.force()
        if before:
            lock.take(before)
        code = TAKER.format(
            folder=str(ROOT / "collections"), home=str(tmp_path), begin=time.time() + 0.7,
            dead=before and before["run"],
        )  # fmt: skip
        runs = [
            subprocess.Popen([sys.executable, "-c", code, f"run {number}"], stdout=subprocess.PIPE, text=True)
            for number in range(6)
        ]
        got = [text for run in runs if (text := run.communicate()[0].strip())]
        assert len(got) == 1 and lock.shown().startswith(got[0])


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "7", '{"who": "alice"}', "\0" * 40, b"\xff\xfe"])
def test_record_that_cannot_be_read_is_told_and_not_broken(lock: Any, content: str | bytes) -> None:
    """Its run may live. The message has the command that frees it."""
    lock.path.write_bytes(content.encode() if isinstance(content, str) else content)
    answer = lock.take(BOB)
    assert not answer["taken"] and "cannot be read" in answer["unreadable"]
    told = action.refusal("dashboard", "app-1", answer)
    assert told.endswith("on app-1: dashboard-generations unlock --force") and str(lock.path) in told
    assert "cannot be read" in lock.force() and lock.take(BOB)["taken"]


def test_record_of_an_earlier_version_is_understood(lock: Any) -> None:
    lock.path.write_text(json.dumps({"who": "alice", "since": "2026", "pid": 1, "started": "never"}))
    answer = lock.take(BOB)
    assert answer["session"] == "dead" and action.is_dead(answer)
    assert lock.take(BOB, dead=locks.name_of(answer["held"]))["broken"]["who"] == "alice"


def test_full_disk_leaves_the_lock_as_it_is(lock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(locks.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        lock.take(ALICE)
    assert {path.name for path in lock.path.parent.iterdir()} == {"deploy.lock.guard"}


def test_lock_is_refused_when_another_release_serves_than_the_one_seen(lock: Any, tmp_path: Path) -> None:
    """A run that read what serves before another one's end would drain the wrong generation."""
    (tmp_path / "live").symlink_to("generations/release1-aaaaaa")
    with pytest.raises(locks.Refused, match="release1-aaaaaa serves now"):
        lock.take(BOB, seen="release0-aaaaaa")
    assert not lock.path.exists()
    assert lock.take(BOB, seen="release1-aaaaaa")["taken"]


def test_process_of_the_same_number_is_another_one() -> None:
    started = locks.stat_of(os.getpid())[19]
    assert locks.lives(os.getpid(), started)
    assert not locks.lives(os.getpid(), "1")
    assert not locks.lives(2**22 + 1, "1")


# --- whether the run that holds it lives ------------------------------------------------------------------------------


def held(pid: int, started: str, session: str, controller: str | None = None) -> dict[str, Any]:
    """Return what a host answers of a lock that a run on some controller holds."""
    record = {
        **ALICE, "since": "2026-11-29 02:00:00 UTC", "controller": controller or action.controller(), "run_pid": pid,
        "run_started": started, "controller_name": "laptop",
    }  # fmt: skip
    return {"taken": False, "held": record, "session": session}


@pytest.mark.parametrize("session", ["alive", "dead", "unknown"])
def test_run_of_this_controller_is_looked_for_here(session: str) -> None:
    """Whatever is left of its connection: SSH keeps it for a minute, and for longer when the next run uses it."""
    run = subprocess.Popen(["sleep", "60"])
    answer = held(run.pid, action.started(run.pid), session)
    assert not action.is_dead(answer)
    told = action.refusal("dashboard", "app-1", answer)
    assert "alice@laptop on laptop holds the lock since 2026-11-29 02:00:00 UTC" in told
    assert f"process {run.pid} lives" in told and "on app-1: dashboard-generations unlock --force" in told
    run.kill()
    os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOWAIT)
    assert action.is_dead(answer), "it is a zombie, as where nobody waits for it"
    run.wait()
    assert action.is_dead(answer)
    assert action.is_dead(held(os.getpid(), "another start", session)), "its number was given to another process"


@pytest.mark.parametrize(("session", "dead"), [("alive", False), ("dead", True), ("unknown", False)])
def test_run_of_another_controller_is_told_by_its_session(session: str, dead: bool) -> None:
    answer = held(1, "1", session, controller="another boot pid:[1]")
    assert action.is_dead(answer) == dead
    told = action.refusal("dashboard", "app-1", answer)
    assert ("SSH session is open" in told) == (session == "alive") and "unlock --force" in told


Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def deploy(tmp_path: Path) -> Any:
    """Return a function that begins a run which takes the lock, without any SSH session; it ends with `stop`."""
    lock = {"app": "dashboard", "home": str(tmp_path / "srv")}
    play = [
        {
            "hosts": "localhost", "gather_facts": False, "strategy": "ansible.builtin.linear",
            "tasks": [
                {
                    "channels.stack.deploy_lock": {**lock, "who": "{{ who }}", "wait": 1},
                    "register": "lock", "failed_when": "not lock.taken",
                },
                {"ansible.builtin.debug": {"msg": "NOTES {{ lock.notes }}"}},
                {"ansible.builtin.wait_for": {"path": str(tmp_path / "stop"), "timeout": 60}, "when": "holds"},
                {"channels.stack.deploy_lock": {**lock, "state": "given_back", "run": "{{ lock.run }}"}},
            ],
        }
    ]  # fmt: skip
    (tmp_path / "play.json").write_text(json.dumps(play))

    def begin(who: str, holds: bool = False) -> subprocess.Popen[str]:
        given = json.dumps({"who": who, "holds": holds})
        command = ["ansible-playbook", "-i", "localhost,", "-c", "local", str(tmp_path / "play.json"), "-e", given]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    return begin


def test_live_run_keeps_others_out_and_a_killed_one_does_not(deploy: Run, tmp_path: Path) -> None:
    """Real runs; over a connection that leaves nothing on the host to go by but the controller's own process."""
    first = deploy("alice", holds=True)
    assert first.stdout
    while "NOTES []" not in first.stdout.readline():
        assert first.poll() is None
    second = deploy("bob").communicate()[0]
    assert "another deploy of dashboard is running: alice" in second and "lives" in second
    os.kill(first.pid, 9)
    first.wait()
    with locks.working(tmp_path / "srv", "a migration", 0):
        third = deploy("carol").communicate()[0]
        assert "the lock of a run that died was broken (alice, since 20" in third.replace("\n", "")
        assert "Waiting for what another run has left at work" in third and "still at work after 1 s" in third
        assert not (tmp_path / "srv" / "deploy.lock").exists(), "it did not give the lock back"
    fourth = deploy("dave")
    output = fourth.communicate()[0]
    assert fourth.returncode == 0 and "NOTES []" in output


# --- nothing beside what works ----------------------------------------------------------------------------------------


def test_work_is_waited_for_and_told(tmp_path: Path) -> None:
    with locks.working(tmp_path, "dashboard-generations prepare x", 0) as (_, note):
        assert note == ""
        with pytest.raises(locks.Busy, match="dashboard-generations prepare x, since 20"):  # noqa: SIM117
            with locks.working(tmp_path, "another", 0.3):
                pass
    with locks.working(tmp_path, "another", 0) as (_, note):
        assert note == ""


def test_who_inherits_the_lock_holds_it_until_it_is_given_back(tmp_path: Path) -> None:
    with locks.working(tmp_path, "the first", 0) as (descriptor, _):
        child = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
        assert any(pid == child.pid and "sleep 60" in text for pid, text in locks.holders(tmp_path / locks.WORK))
    with locks.working(tmp_path, "the next", 0):  # a process that the project leaves behind keeps nobody out
        pass
    child.kill()
    child.wait()


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_work_whose_record_cannot_be_read_is_told_by_its_processes(tmp_path: Path, content: str) -> None:
    with locks.working(tmp_path, "the first", 0) as (descriptor, _):
        child = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
        (tmp_path / locks.WORK).write_text(content)
        assert f"a command, pid {child.pid} (sleep 60)" in locks.at_work(tmp_path)
    child.kill()
    child.wait()


def test_tool_tells_who_holds_the_lock_and_frees_it(tmp_path: Path) -> None:
    """The command that each refusal names, as it is on a host."""
    library = tmp_path / "lib" / "dashboard" / "generations"
    shutil.copytree(ROOT / "roles" / "asgi" / "files" / "generations", library)
    paths = library / "paths.py"
    paths.write_text(paths.read_text().replace('Path("/srv")', f"Path({str(tmp_path)!r})"))

    def unlock(*options: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, str(library), "unlock", *options], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    locks.DeployLock(tmp_path / "dashboard").take(ALICE)
    code, told = unlock()
    assert code == 3 and "alice@laptop holds it since 20" in told and "dashboard-generations unlock --force" in told
    assert unlock("bob's") == (0, "") and locks.DeployLock(tmp_path / "dashboard").shown()
    assert "alice@laptop held it" in unlock("--force")[1] and unlock() == (0, "nobody holds the lock\n")
