"""A daemon of a script in /etc/init.d, and one of systemd: what is done to them, and what is told."""

from __future__ import annotations

import contextlib
import importlib.util
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
spec = importlib.util.spec_from_file_location("daemon", ROOT / "plugins" / "modules" / "daemon.py")
assert spec and spec.loader
daemon = importlib.util.module_from_spec(spec)
spec.loader.exec_module(daemon)

# Goes to the background as nginx does, but keeps its output open; SIGHUP gives it a new child.
TOYD = """
import os, signal, subprocess, sys, time
home = sys.argv[1]
if os.path.exists(home + "/fails-at-once"):
    sys.exit("toyd: not today")
if os.fork():
    os._exit(0)
os.setsid()
open(home + "/toyd.pid", "w").write(str(os.getpid()))
log = open(home + "/toyd.log", "a", buffering=1)
log.write("up\\n")
if os.path.exists(home + "/fails-later"):
    time.sleep(float(open(home + "/fails-later").read()))
    sys.exit(log.write("address in use\\n") and 1)
work = lambda *_: subprocess.Popen(["sleep", "60"])
signal.signal(signal.SIGHUP, work)
while True:
    signal.pause()
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
    monkeypatch.setattr(daemon, "SYSTEMD", tmp_path / "run/systemd/system")
    monkeypatch.setattr(daemon, "ETC", made.etc)
    monkeypatch.setattr(daemon, "START_SECONDS", 2)
    monkeypatch.setattr(daemon, "SETTLE_SECONDS", 0.8)
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
    main = toy.pid
    time.sleep(0.1)
    toy.conf.touch()
    time.sleep(0.1)  # starts are told in hundredths of a second
    reloaded = toy.run(reload_files=[str(toy.conf)])
    assert (reloaded["action"], reloaded["reason"], toy.pid) == ("reload", str(toy.conf), main)
    deadline = time.monotonic() + 5
    while not daemon.children(main):
        assert time.monotonic() < deadline, "nothing was reloaded"
        time.sleep(0.05)
    assert toy.run(reload_files=[str(toy.conf)])["action"] == "none"
    restarted = toy.run(reload_files=[str(toy.conf)], restart_files=[str(toy.conf)])
    assert restarted["action"] == "restart" and toy.pid != main
    os.kill(toy.pid, 0)
    assert toy.run(reload_files=[str(toy.conf)], restart_files=[str(toy.conf)])["action"] == "none"


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
    toy: Toy, seconds: float, fault: str
) -> None:
    toy.log.write_text("something old\n")
    (toy.home / "fails-later").write_text(str(seconds))
    failed = toy.run(log_file=str(toy.log))
    assert failed["failed"] and re.search(fault, failed["msg"])
    assert failed["msg"].endswith(f"In {toy.log} since:\nup\naddress in use")


def test_a_script_that_does_not_end_is_told(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "SCRIPT_SECONDS", 0.5)
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


def test_a_process_that_nobody_has_looked_after_is_gone() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        assert 0 <= time.time() - daemon.process_age_start(other.pid) < 5
        other.kill()
        deadline = time.monotonic() + 5
        while daemon.process_age_start(other.pid):
            assert time.monotonic() < deadline, "a zombie is taken for a process"
            time.sleep(0.05)


def test_without_systemd_a_pid_file_is_asked_for(toy: Toy) -> None:
    assert "say which pid_file toyd writes" in toy.run(pid_file=None)["msg"]


SYSTEMCTL = """#!/bin/sh
echo "$@" >> {home}/asked
[ "$1" != show ] || cat {home}/state
"""


@pytest.fixture
def systemd(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[dict[str, Any], list[str]]]:
    """Return a function that runs the module where systemd shows a state; its result, and what systemd was asked."""
    (toy.home / "run/systemd/system").mkdir(parents=True)
    program(toy.home / "bin/systemctl", SYSTEMCTL.format(home=toy.home))

    def ran(state: dict[str, Any], **options: Any) -> tuple[dict[str, Any], list[str]]:
        shown = {"LoadState": "loaded", "ActiveState": "active", "MainPID": os.getpid(), "UnitFileState": "enabled"}
        shown |= {"NeedDaemonReload": "no", **state}
        (toy.home / "state").write_text("".join(f"{key}={value}\n" for key, value in shown.items()))
        (toy.home / "asked").write_text("")
        result = toy.run(**options)
        return result, (toy.home / "asked").read_text().splitlines()[1:]

    return ran


def test_systemd_is_asked_for_what_is_needed_and_no_more(toy: Toy, systemd: Any) -> None:
    assert systemd({})[1] == []
    assert systemd({"ActiveState": "failed"})[1] == ["start toyd"]
    assert systemd({"UnitFileState": "disabled"})[1] == ["enable toyd"]
    assert systemd({"NeedDaemonReload": "yes"})[1] == ["daemon-reload"]
    toy.conf.touch()
    assert systemd({}, reload_files=[str(toy.conf)])[1] == ["reload toyd"]
    assert systemd({}, restart_files=[str(toy.conf)])[1] == ["daemon-reload", "restart toyd"]
    result, asked = systemd({}, restart_files=[str(toy.conf)], check=True)
    assert (result["action"], asked) == ("restart", [])
