"""A daemon of a script in /etc/init.d, and one of systemd: what is done to them, and what is told."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

ROOT = Path(__file__).resolve().parents[2]
HERE = "ansible_collections.channels.stack.plugins"
daemon = importlib.import_module(f"{HERE}.modules.service_state")
proc = importlib.import_module(f"{HERE}.module_utils.host.proc")
init_script, manage, notes, workers = (
    importlib.import_module(f"{HERE}.module_utils.host.service.{name}")
    for name in ("init_script", "manage", "notes", "workers")
)

# Goes to the background as nginx does, but keeps its output open; SIGHUP gives it another child. Like nginx, it goes on
# with the child that it has where it cannot have its address, and replaces one that crashed.
TOYD = """
import os, signal, subprocess, sys, time
home = sys.argv[1]
if os.path.exists(home + "/fails-at-once"):
    sys.exit("toyd: not today")
if os.fork():
    os._exit(0)
os.setsid()
# Noted, and done by the loop below: a handler that is interrupted by itself would leave two children.
asked = []
signal.signal(signal.SIGHUP, lambda *_: asked.append(1))
open(home + "/toyd.pid", "w").write(str(os.getpid()))
log = open(home + "/toyd.log", "a", buffering=1)
log.write("up\\n")
if os.path.exists(home + "/fails-later"):
    time.sleep(float(open(home + "/fails-later").read()))
    sys.exit(log.write("address in use\\n") and 1)
child = subprocess.Popen(["sleep", "60"])
def reload():
    global child
    if os.path.exists(home + "/taken"):
        for _ in range(2):
            log.write("2026/11/29 02:43:08 [emerg] %d#%d: bind() to 0.0.0.0:80 failed\\n" % (os.getpid(), os.getpid()))
        log.write("2026/11/29 02:43:08 [notice] 7#7: try again\\n")
        if open(home + "/taken").read() != "crash":
            return
    elif os.path.exists(home + "/deaf"):
        return
    if os.path.exists(home + "/keeps"):
        return log.write("asked\\n")
    if not os.path.exists(home + "/old-stay"):
        child.kill()
        child.wait()
    child = subprocess.Popen(["sleep", "60"])
while True:
    if asked:
        asked.clear()
        reload()
    if child.poll() is not None:
        child = subprocess.Popen(["sleep", "60"])
    time.sleep(0.02)
"""

# Its restart is like that of Debian's supervisor. Like it, it takes whoever has the id in the pid file for the daemon.
SCRIPT = """#!/bin/sh
### BEGIN INIT INFO
# Provides:       toyd
# Default-Start:  2 3
### END INIT INFO
pid=$(cat {home}/toyd.pid 2>/dev/null)
case $1 in
  start) kill -0 "$pid" 2>/dev/null && exit 1; {python} {home}/toyd.py {home} ;;
  stop|restart) kill "$pid" ;;
  reload) kill -HUP "$pid" ;;
esac
"""

UPDATE_RC = """#!/bin/sh
cd {etc}
case $2 in
  defaults) ls rc2.d | grep -q toyd || for level in 2 3; do ln -s ../init.d/toyd rc$level.d/S01toyd; done ;;
  enable) for link in rc?.d/K01toyd; do [ ! -L "$link" ] || mv "$link" "${{link%/*}}/S01toyd"; done ;;
esac
"""


class Toy:
    """A host without systemd on which toyd is installed."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Take the folder that holds all of it."""
        self.home, self.capsys, self.etc = home, capsys, home / "etc"
        self.conf, self.log = home / "toyd.conf", home / "toyd.log"

    @property
    def child(self) -> str:
        """The name of its child."""
        deadline = time.monotonic() + 5
        while not (found := workers.workers(self.pid)):
            assert time.monotonic() < deadline, "toyd has no child"
            time.sleep(0.02)
        return str(*found)

    def start(self) -> None:
        """Start it by hand."""
        pid_file = self.home / "toyd.pid"
        pid_file.write_text("")
        subprocess.run([self.etc / "init.d/toyd", "start"], check=True, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 5
        while not pid_file.read_text():
            assert time.monotonic() < deadline, "toyd does not start"
            time.sleep(0.02)

    def edit(self) -> None:
        """Change its configuration, in a moment that is later than any before."""
        time.sleep(0.1)  # starts are told in hundredths of a second
        self.conf.touch()
        time.sleep(0.1)

    @property
    def pid(self) -> int:
        """The id in the pid file."""
        return int((self.home / "toyd.pid").read_text())

    def run(self, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """Run the module; return its result."""
        given = {"name": "toyd", "pid_file": str(self.home / "toyd.pid"), "_ansible_check_mode": check, **options}
        with patch_module_args(given), pytest.raises(SystemExit):
            daemon.main()
        return json.loads(self.capsys.readouterr().out)

    def links(self) -> list[str]:
        """Links of the runlevels."""
        return sorted(str(link.relative_to(self.etc)) for link in self.etc.glob("rc?.d/*"))


def program(path: Path, text: str) -> None:
    """Write a program."""
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Toy]:
    """A host without systemd, with toyd installed and not yet started; what was started ends with the test."""
    made = Toy(tmp_path, capsys)
    for folder in ("bin", "etc/init.d", "etc/rc2.d", "etc/rc3.d"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "toyd.py").write_text(TOYD)
    made.conf.touch()
    program(made.etc / "init.d/toyd", SCRIPT.format(home=tmp_path, python=sys.executable))
    program(tmp_path / "bin/service", f'#!/bin/sh\nexec {made.etc}/init.d/"$@"\n')
    program(tmp_path / "bin/update-rc.d", UPDATE_RC.format(etc=made.etc))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(manage, "SYSTEMD", tmp_path / "run/systemd/system")
    for module in (init_script, manage):
        monkeypatch.setattr(module, "ETC", made.etc)
    monkeypatch.setattr(notes, "NOTES", tmp_path / "notes")
    monkeypatch.setattr(workers, "RELOAD_SECONDS", 5)
    monkeypatch.setattr(workers, "QUIET_SECONDS", 0.3)
    monkeypatch.setattr(init_script, "START_SECONDS", 2)
    monkeypatch.setattr(init_script, "SETTLE_SECONDS", 0.05)
    yield made
    with contextlib.suppress(OSError, ValueError):
        os.killpg(made.pid, signal.SIGKILL)


def test_it_is_started_and_enabled_once(toy: Toy) -> None:
    began = time.monotonic()
    first = toy.run(restart_files=[str(toy.conf)])
    assert (first["changed"], first["action"]) == (True, "start")
    assert time.monotonic() - began < 10, "it waited for output that the daemon keeps open"
    assert toy.links() == ["rc2.d/S01toyd", "rc3.d/S01toyd"]
    os.kill(toy.pid, 0)
    again = toy.run(restart_files=[str(toy.conf)])
    assert (again["changed"], again["action"]) == (False, "none")


def test_newer_files_are_read_once_and_a_restart_supersedes_a_reload(toy: Toy) -> None:
    toy.run()
    main, child = toy.pid, toy.child
    toy.edit()
    reloaded = toy.run(reload_files=[str(toy.conf)])
    assert (reloaded["action"], reloaded["reason"], toy.pid) == ("reload", str(toy.conf), main)
    assert toy.child != child, "it did not wait for the new child"
    assert toy.run(reload_files=[str(toy.conf)])["action"] == "none"
    toy.edit()
    restarted = toy.run(reload_files=[str(toy.conf)], restart_files=[str(toy.conf)])
    assert restarted["action"] == "restart" and toy.pid != main
    os.kill(toy.pid, 0)
    assert toy.run(reload_files=[str(toy.conf)], restart_files=[str(toy.conf)])["action"] == "none"


@pytest.mark.parametrize("how", ["", "crash"])
def test_a_reload_that_does_not_happen_fails_until_it_does(toy: Toy, how: str) -> None:
    """Also when a child has crashed meanwhile, and there is another one with the old configuration."""
    files = {"reload_files": [str(toy.conf)], "log_file": str(toy.log)}
    toy.run(**files)
    toy.edit()
    (toy.home / "taken").write_text(how)
    for _ in range(2):
        failed = toy.run(**files)
        assert failed.get("failed"), failed
        told = failed["msg"].splitlines()
        assert told[0].startswith("toyd was told to reload, and goes on with the configuration that it had")
        line = f"2026/11/29 02:43:08 [emerg] {toy.pid}#{toy.pid}: bind() to 0.0.0.0:80 failed"
        assert told[1:] == [f"In {toy.log} since:", line], "nginx's own words are missing, or said again and again"
    (toy.home / "taken").unlink()
    assert toy.run(**files)["action"] == "reload"
    assert not toy.run(**files)["changed"]


def test_a_reload_without_a_word_is_waited_for_and_fails(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "RELOAD_SECONDS", 0.5)
    toy.run()
    (toy.home / "deaf").touch()
    toy.edit()
    assert "goes on with the configuration that it had" in toy.run(reload_files=[str(toy.conf)])["msg"]


def test_its_standard_error_is_the_log_that_is_read(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """nginx's is the file that its configuration names, whatever the inventory has made of that."""
    source = toy.home / "toyd.py"
    source.write_text(source.read_text().replace('log.write("up', 'os.dup2(log.fileno(), 2); log.write("up'))
    toy.run()
    toy.edit()
    (toy.home / "taken").touch()
    assert "bind() to 0.0.0.0:80 failed" in toy.run(reload_files=[str(toy.conf)])["msg"]


def test_old_workers_stay_beside_a_new_one(toy: Toy, systemd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """HAProxy's old worker looks like the new one until its sockets have ended; nginx's would be a failed reload."""
    (toy.home / "old-stay").touch()
    toy.start()
    old = toy.child
    options = {"reload_files": [str(toy.conf)], "old_workers_stay": True}
    toy.edit()
    result, asked = systemd({"MainPID": toy.pid}, **options)
    assert (result["action"], asked) == ("reload", ["reload toyd"])
    assert len(workers.workers(toy.pid)) == 2 and old in workers.workers(toy.pid)
    assert systemd({"MainPID": toy.pid}, **options)[0]["action"] == "none"
    toy.edit()
    monkeypatch.setattr(workers, "RELOAD_SECONDS", 0.5)
    failed, _ = systemd({"MainPID": toy.pid}, reload_files=[str(toy.conf)])
    assert "goes on with the configuration that it had" in failed["msg"]


def test_a_reload_without_a_new_worker_fails_although_old_ones_may_stay(
    toy: Toy, systemd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "RELOAD_SECONDS", 0.5)
    (toy.home / "deaf").touch()
    toy.start()
    toy.edit()
    options = {"reload_files": [str(toy.conf)], "old_workers_stay": True}
    for _ in range(2):
        assert "goes on with the configuration that it had" in systemd({"MainPID": toy.pid}, **options)[0]["msg"]


@pytest.mark.parametrize("by", ["systemd", "script"])
def test_a_daemon_that_keeps_its_workers_is_only_asked(
    toy: Toy, systemd: Any, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """PgBouncer has no workers; others tell them to read the files again."""
    monkeypatch.setattr(workers, "RELOAD_SECONDS", 0.5)
    (toy.home / "keeps").touch()
    files = {"reload_files": [str(toy.conf)]}
    if by == "systemd":
        toy.start()
    else:
        (toy.home / "run/systemd/system").rmdir()
        toy.run(**files)

    def ran(**options: Any) -> dict[str, Any]:
        given = {**files, **options}
        return systemd({"MainPID": toy.pid}, **given)[0] if by == "systemd" else toy.run(**given)

    child = toy.child
    toy.edit()
    assert "goes on with the configuration that it had" in ran()["msg"], "others have to have new workers"
    assert ran(same_workers=True)["action"] == "reload"
    deadline = time.monotonic() + 30
    while toy.log.read_text().count("asked") < 2:
        assert time.monotonic() < deadline, "it was not asked"
        time.sleep(0.02)
    assert toy.child == child
    assert ran(same_workers=True)["action"] == "none"
    toy.edit()
    refused = ran(same_workers=True, validate=["sh", "-c", "echo line 3 is wrong; exit 1"])
    assert "line 3 is wrong" in refused["msg"] and toy.log.read_text().count("asked") == 2


def test_a_child_that_was_started_again_has_read_nothing(toy: Toy) -> None:
    """It is younger than the file, and has what its main process once read."""
    files = {"reload_files": [str(toy.conf)]}
    toy.run(**files)
    toy.edit()
    old = toy.child
    os.kill(int(old.split()[0]), signal.SIGKILL)
    while toy.child == old:
        time.sleep(0.02)
    assert toy.run(**files, check=True)["action"] == "reload"
    assert toy.run(**files)["action"] == "reload"
    assert toy.run(**files)["action"] == "none"


def test_a_text_that_is_put_back_is_read_again(toy: Toy) -> None:
    """Somebody may have reloaded in between."""
    files = {"reload_files": [str(toy.conf)]}
    toy.run(**files)
    toy.conf.write_text("edited")
    toy.conf.write_text("")
    assert toy.run(**files)["action"] == "reload"
    assert not toy.run(**files)["changed"]


def test_a_reload_by_hand_is_followed_by_one_reload_at_most(toy: Toy) -> None:
    files = {"reload_files": [str(toy.conf)]}
    toy.run(**files)
    toy.edit()
    os.kill(toy.pid, signal.SIGHUP)
    actions = [toy.run(**files)["action"] for _ in range(3)]
    assert actions[1:] == ["none", "none"], actions


def test_a_daemon_that_was_started_by_hand_has_read_its_files(toy: Toy) -> None:
    files = {"restart_files": [str(toy.conf)], "reload_files": [str(toy.etc)]}
    toy.run(**files)
    toy.edit()
    os.kill(toy.pid, signal.SIGKILL)
    toy.start()
    assert not toy.run(**files)["changed"]
    toy.edit()
    assert toy.run(**files)["action"] == "restart"


@pytest.mark.parametrize("noted", ["", "[]", '{"a": 1}', "no JSON"])
def test_a_run_that_was_killed_before_its_note_is_mended(toy: Toy, noted: str) -> None:
    files = {"reload_files": [str(toy.conf)]}
    toy.run(**files)
    toy.edit()
    os.kill(toy.pid, signal.SIGHUP)  # as far as the killed run came
    (toy.home / "notes/toyd.json").write_text(noted)
    assert [toy.run(**files)["action"] for _ in range(2)] == ["reload", "none"]


def test_times_that_are_still_to_be_restart_it_once(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that was set back leaves files with such times, until it has come there again."""
    files = {"restart_files": [str(toy.conf)]}
    toy.run(**files)
    right = notes.look
    monkeypatch.setattr(manage, "look", lambda path: right(path)._replace(digest="new", changed=time.time() + 3600))
    assert [toy.run(**files)["action"] for _ in range(3)] == ["restart", "none", "none"]


def test_a_clock_that_was_set_back_restarts_nothing_that_was_seen_to_be_right(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.run()  # without a word of its files, as by a release of this module that kept no notes
    files = {"restart_files": [str(toy.conf)]}
    toy.conf.touch()
    right = proc.booted
    monkeypatch.setattr(proc, "booted", lambda: right() + 3600)
    assert toy.run(**files, check=True)["action"] == toy.run(**files)["action"] == "none"
    monkeypatch.setattr(proc, "booted", lambda: right() - 3600)
    assert toy.run(**files)["action"] == "none"


def test_an_edit_after_a_clock_was_set_back_is_seen(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"restart_files": [str(toy.conf)]}
    toy.run(**files)
    toy.edit()
    right = proc.booted
    monkeypatch.setattr(proc, "booted", lambda: right() + 3600)
    assert [toy.run(**files)["action"] for _ in range(2)] == ["restart", "none"]


def test_check_mode_foretells_and_changes_nothing(toy: Toy) -> None:
    foretold = toy.run(check=True)
    assert (foretold["changed"], foretold["action"]) == (True, "start")
    assert not (toy.home / "toyd.pid").exists() and toy.links() == []
    (toy.etc / "init.d/toyd").unlink()
    assert toy.run(check=True)["reason"] == "it is not installed yet"
    assert "install its package first" in toy.run()["msg"]


@pytest.mark.parametrize("lost", ["removed", "disabled", "partly"])
def test_a_daemon_that_runs_and_would_not_start_with_the_machine_is_enabled(toy: Toy, lost: str) -> None:
    toy.run()
    main = toy.pid
    for link in list(toy.etc.glob("rc2.d/S*" if lost == "partly" else "rc?.d/S*")):
        link.unlink() if lost == "removed" else link.rename(link.with_name("K01toyd"))
    assert toy.run(check=True)["changed"]
    mended = toy.run()
    assert (mended["changed"], mended["action"], toy.pid) == (True, "none", main)
    assert toy.links() == ["rc2.d/S01toyd", "rc3.d/S01toyd"]
    assert not toy.run()["changed"]


def test_a_refused_configuration_leaves_it_as_it_runs(toy: Toy) -> None:
    toy.run()
    main = toy.pid
    time.sleep(0.1)
    toy.conf.touch()
    refused = toy.run(restart_files=[str(toy.conf)], validate=["sh", "-c", "echo line 3 is wrong; exit 1"])
    assert refused["failed"] and "line 3 is wrong" in refused["msg"]
    assert toy.pid == main
    os.kill(main, 0)


def test_a_start_that_fails_is_told_with_what_the_script_says(toy: Toy) -> None:
    (toy.home / "fails-at-once").touch()
    failed = toy.run()
    assert failed["failed"] and "service toyd start failed (1)" in failed["msg"] and "not today" in failed["msg"]


# On a busy machine the first may be seen as the second is.
@pytest.mark.parametrize(
    ("seconds", "fault"),
    [(0, "started no process|started and ended at once"), (0.4, "started and ended at once")],
)
def test_a_daemon_that_ends_after_its_start_is_told_with_the_newest_lines_of_its_log(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, seconds: float, fault: str
) -> None:
    monkeypatch.setattr(init_script, "SETTLE_SECONDS", 0.8)
    toy.log.write_text("something old\n")
    (toy.home / "fails-later").write_text(str(seconds))
    failed = toy.run(log_file=str(toy.log))
    assert failed["failed"] and re.search(fault, failed["msg"])
    assert failed["msg"].endswith(f"In {toy.log} since:\nup\naddress in use")


def test_a_script_that_does_not_end_is_told(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_script, "SCRIPT_SECONDS", 0.5)
    program(toy.etc / "init.d/toyd", "#!/bin/sh\necho in the foreground\nsleep 60\n")
    failed = toy.run()
    assert failed["failed"] and "no end within 0.5 seconds" in failed["msg"] and "in the foreground" in failed["msg"]


def test_an_id_that_another_process_has_by_now_is_not_taken_for_the_daemon(toy: Toy) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(["sh", "-c", "echo up; read line"], **pipes) as other:
        assert other.stdout and other.stdout.readline()
        (toy.home / "toyd.pid").write_text(str(other.pid))
        started = toy.run()
        assert (started.get("action"), toy.pid != other.pid) == ("start", True), started
        assert other.poll() is None


def test_workers_of_a_daemon_that_was_killed_give_its_ports_back(toy: Toy) -> None:
    """They would serve on with the old configuration, and keep the new one from its ports."""
    worker = 'exec -a "toyd: worker process" sleep 20'
    master = f"exec -a 'toyd: master process' bash -c '{worker} & wait'"
    # A shell starts what runs in the background with SIGQUIT ignored, and so the tests, where they are run so.
    shell = ["env", "--default-signal=QUIT", "bash", "-c"]
    with subprocess.Popen([*shell, worker]) as orphan, subprocess.Popen([*shell, master]) as other:
        deadline = time.monotonic() + 5
        while not workers.workers(other.pid) or workers.orphans("toyd") != [orphan.pid]:
            assert time.monotonic() < deadline, workers.orphans("toyd")
            time.sleep(0.02)
        toy.run()
        assert orphan.wait(5) == -signal.SIGQUIT
        kept = workers.workers(other.pid)
        assert len(kept) == 1, "a worker with a main process of its own was ended"
        os.kill(int(str(*kept).split()[0]), signal.SIGKILL)


def test_a_process_that_nobody_has_looked_after_is_gone() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        assert 0 <= time.time() - proc.started(other.pid) < 5
        other.kill()
        deadline = time.monotonic() + 5
        while proc.started(other.pid):
            assert time.monotonic() < deadline, "a zombie is taken for a process"
            time.sleep(0.05)


def test_without_systemd_a_pid_file_is_asked_for(toy: Toy) -> None:
    assert "say which pid_file toyd writes" in toy.run(pid_file=None)["msg"]


SYSTEMCTL = """#!/bin/sh
echo "$@" >> {home}/asked
case "$*" in
  "show --value"*) sed -n s/^MainPID=//p {home}/state ;;
  show*) cat {home}/state ;;
esac
[ "$1" != reload ] || kill -HUP "$(cat {home}/toyd.pid)"
"""


@pytest.fixture
def systemd(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[dict[str, Any], list[str]]]:
    """Return a function that runs the module where systemd shows a state; its result, and what systemd was asked."""
    (toy.home / "run/systemd/system").mkdir(parents=True)
    program(toy.home / "bin/systemctl", SYSTEMCTL.format(home=toy.home))

    def ran(state: dict[str, Any], **options: Any) -> tuple[dict[str, Any], list[str]]:
        shown = {"LoadState": "loaded", "ActiveState": "active", "MainPID": os.getpid(), "UnitFileState": "enabled"}
        shown |= {"NeedDaemonReload": "no", "FragmentPath": "/lib/toyd.service", "DropInPaths": "", **state}
        (toy.home / "state").write_text("".join(f"{key}={value}\n" for key, value in shown.items()))
        (toy.home / "asked").write_text("")
        result = toy.run(**options)
        return result, (toy.home / "asked").read_text().splitlines()[1:]

    return ran


def test_systemd_is_asked_for_what_is_needed_and_no_more(toy: Toy, systemd: Any) -> None:
    assert systemd({})[1] == []
    assert systemd({"ActiveState": "failed"})[1][:1] == ["start toyd"]
    assert systemd({"UnitFileState": "disabled"})[1] == ["enable toyd"]
    assert systemd({"NeedDaemonReload": "yes"})[1] == ["daemon-reload"]
    toy.start()
    main = {"MainPID": toy.pid}
    toy.edit()
    assert systemd(main, reload_files=[str(toy.conf)])[1] == ["reload toyd"]
    assert systemd(main, restart_files=[str(toy.conf)])[1][:2] == ["daemon-reload", "restart toyd"]
    toy.edit()
    result, asked = systemd(main, restart_files=[str(toy.conf)], check=True)
    assert (result["action"], asked) == ("restart", [])


def test_a_drop_in_that_systemd_has_not_read_restarts_nothing(toy: Toy, systemd: Any) -> None:
    """Also the first one in its folder, which systemd does not notice by itself."""
    drop_in = toy.home / "toyd.service.d/restart.conf"
    files = {"unit_files": [str(drop_in)]}
    assert systemd({}, **files)[1] == [], "there is none"
    drop_in.parent.mkdir()
    drop_in.touch()
    assert systemd({}, **files, check=True)[0]["changed"]
    result, asked = systemd({}, **files)
    assert (result["changed"], result["action"], asked) == (True, "none", ["daemon-reload"])
    assert systemd({"DropInPaths": f"/etc/other.conf {drop_in}"}, **files)[0]["changed"] is False
    assert systemd({"FragmentPath": str(drop_in)}, **files)[0]["changed"] is False


def test_what_waits_for_the_next_start_is_told_until_then(
    toy: Toy, systemd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd has to know it, and nothing is restarted for it: sockets would end."""
    warned: list[str] = []
    monkeypatch.setattr(daemon.AnsibleModule, "warn", lambda _, warning: warned.append(warning))
    drop_in = toy.home / "toyd.service.d/sandbox.conf"
    files = {"next_start_files": [str(drop_in)]}
    toy.start()

    def ran(read: bool = True, **options: Any) -> tuple[bool, list[str], list[str]]:
        state = {"MainPID": toy.pid, "DropInPaths": str(drop_in) if read else ""}
        warned.clear()
        result, asked = systemd(state, **files, **options)
        assert result["action"] == "none"
        return result["changed"], asked, [*warned]

    assert ran() == (False, [], []), "there is none"
    drop_in.parent.mkdir()
    time.sleep(0.1)
    drop_in.touch()
    changed, asked, (warning,) = ran(read=False)
    assert (changed, asked) == (True, ["daemon-reload"])
    assert f"runs without what {drop_in} says" in warning and "systemctl restart toyd" in warning
    assert ran() == (False, [], [warning]), "each run warns"
    time.sleep(0.1)
    os.kill(toy.pid, signal.SIGKILL)
    toy.start()
    assert ran() == (False, [], [])
    time.sleep(0.1)
    drop_in.touch()
    assert ran() == (False, [], [warning]), "another text waits again"
