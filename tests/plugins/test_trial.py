"""A change on trial: kept when it is confirmed, and taken back by the host itself when it is not."""

from __future__ import annotations

import importlib
import json
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

PROGRAMS = Path(__file__).resolve().parents[2] / "plugins" / "module_utils" / "host" / "trial"
RULES = "it's a \\n of rules"  # nothing that reads this name may take a part of it for something else
trial = importlib.import_module("ansible_collections.channels.stack.plugins.modules.trial")
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Give a function that runs the module in a folder of its own, on a host where systemd does not run.

    What is loaded is written into `loaded`, by which tests see what the host works by.
    """
    home, rules = tmp_path / "trials", tmp_path / "etc" / RULES
    quoted, brought = shlex.quote(str(rules)), {path.stem: path.read_text() for path in PROGRAMS.iterdir()}
    for name, path in (("HOME", home), ("SYSTEMD", tmp_path / "no"), ("SCRIPT", tmp_path / "channels-trial")):
        monkeypatch.setattr(trial, name, path)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("update-rc.d", "logger"):
        (tools / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/said\n')
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    load = ["sh", "-c", f"cat {quoted} >{tmp_path}/loaded 2>/dev/null || : >{tmp_path}/loaded"]
    valid, same = f"! grep -q wrong {quoted}", f"cmp -s {quoted} {tmp_path}/loaded"

    def ran(content: str | None = None, check: bool = False, **options: Any) -> dict[str, Any]:
        given = {
            "name": "firewall", "files": [{"path": str(rules), "content": content}], "load": load, "seconds": 600,
            "validate": ["sh", "-c", valid], "loaded": ["sh", "-c", same], "_ansible_check_mode": check,
            "_ansible_diff": True, **brought, **options,
        }  # fmt: skip
        if content is None and "files" not in options:
            given["files"] = [] if options.get("state") == "kept" else [{"path": str(rules)}]
        with patch_module_args(given), pytest.raises(SystemExit):
            trial.main()
        return json.loads(capsys.readouterr().out)

    yield ran
    subprocess.run(["pkill", "--full", f"{home}/"], check=False)  # timers, which would wait for ten minutes


def texts(home: Path) -> tuple[str | None, str | None]:
    """Return the file's text, and what was loaded."""
    return trial.text_of(home / "etc" / RULES), trial.text_of(home / "loaded")


def back(home: Path, argument: str) -> None:
    """Do what the timer does, or the start of the host."""
    subprocess.run(["sh", home / "trials" / "firewall" / "back", argument], check=True)


def confirmed(run: Run, content: str) -> None:
    """Have rules, and keep them."""
    run(state="kept", id=run(content)["id"])


def test_what_is_confirmed_stays(run: Run, tmp_path: Path) -> None:
    first = run("one\n")
    assert first["changed"] and texts(tmp_path) == ("one\n", "one\n")
    folder, late = tmp_path / "trials" / "firewall", tmp_path / "late"
    shutil.copytree(folder, late)
    assert run(state="kept", id=first["id"])["changed"]
    again = run("one\n")
    assert not again["changed"] and again["id"] == ""
    assert sorted(path.name for path in (tmp_path / "trials").iterdir()) == ["lock"]
    # A run that was killed while it confirmed has removed the id, and no more than that.
    (late / "id").unlink()
    late.rename(folder)
    for argument in (first["id"], "boot"):
        back(tmp_path, argument)
        assert texts(tmp_path) == ("one\n", "one\n"), "what was confirmed has been taken back"


@pytest.mark.parametrize("before", ["", "old\n"])
def test_what_is_not_confirmed_goes(run: Run, tmp_path: Path, before: str) -> None:
    """A file that was there is as it was, one that was not is gone, and the host works by that."""
    if before:
        confirmed(run, before)
        (tmp_path / "etc" / RULES).chmod(0o644)
    ident = run("new\n")["id"]
    back(tmp_path, ident)
    assert texts(tmp_path) == (before or None, before)
    assert not (tmp_path / "trials" / "firewall").exists()
    late = run(state="kept", id=ident)
    assert late["failed"] and "came too late" in late["msg"]


def test_timer_takes_it_back(run: Run, tmp_path: Path) -> None:
    """By itself, with nobody there."""
    run("new\n", seconds=1)
    deadline = time.monotonic() + 60
    while texts(tmp_path) != (None, ""):
        assert time.monotonic() < deadline, "the timer has not come"
        time.sleep(0.1)


def test_start_of_the_host_puts_files_back(run: Run, tmp_path: Path) -> None:
    """Daemons read them by themselves then: one that is waited for would wait for this."""
    confirmed(run, "old\n")
    run("new\n")
    subprocess.run(["sh", tmp_path / "channels-trial", "start"], check=True)
    assert texts(tmp_path) == ("new\n", "new\n"), "written for another folder"
    script = (tmp_path / "channels-trial").read_text().replace("/var/lib/channels-trial", str(tmp_path / "trials"))
    subprocess.run(["sh", "-c", script, "sh", "start"], check=True)
    assert texts(tmp_path) == ("old\n", "new\n")
    assert "update-rc.d channels-trial defaults" in (tmp_path / "said").read_text()


def test_timer_of_before_leaves_the_next_trial_alone(run: Run, tmp_path: Path) -> None:
    """A process that sleeps since then finds another trial in the place of its own."""
    former = run("one\n")["id"]
    run("two\n")
    back(tmp_path, former)
    assert texts(tmp_path) == ("two\n", "two\n")


def test_killed_run_is_mended_by_the_next(run: Run, tmp_path: Path) -> None:
    """What it has left on trial is not what the next one goes back to."""
    confirmed(run, "old\n")
    run("broken\n")
    ident = run("new\n")["id"]
    back(tmp_path, ident)
    assert texts(tmp_path) == ("old\n", "old\n")
    run("same\n")
    assert run("same\n", check=True)["changed"], "what is on trial is not there for good"
    assert run("same\n")["changed"]


def test_run_killed_before_a_file_was_written(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    confirmed(run, "old\n")
    whole = trial.put

    def killed(path: Path, *rest: Any) -> None:
        if path == tmp_path / "etc" / RULES:
            raise SystemExit
        whole(path, *rest)

    monkeypatch.setattr(trial, "put", killed)
    with pytest.raises(json.JSONDecodeError):
        run("new\n")
    monkeypatch.setattr(trial, "put", whole)
    subprocess.run(["sh", tmp_path / "trials" / "firewall" / "back", "boot"], check=True)
    assert texts(tmp_path) == ("old\n", "old\n")


def test_what_is_not_valid_is_taken_back_at_once(run: Run, tmp_path: Path) -> None:
    confirmed(run, "old\n")
    said = run("wrong\n")
    assert said["failed"] and "refused the new firewall" in said["msg"]
    assert texts(tmp_path) == ("old\n", "old\n")
    assert not (tmp_path / "trials" / "firewall").exists()
    said = run("new\n", load=["sh", "-c", "echo cannot >&2; exit 3"])
    assert said["failed"] and "could not load" in said["msg"] and "cannot" in said["msg"]
    assert texts(tmp_path)[0] == "old\n"


def test_check_mode_changes_nothing(run: Run, tmp_path: Path) -> None:
    found = run("new\n", check=True, loaded=[str(tmp_path / "not-yet-installed")])
    assert found["changed"] and found["diff"][0]["after"] == "new\n" and found["id"] == ""
    assert texts(tmp_path) == (None, None) and not (tmp_path / "trials").exists()


def test_host_that_does_not_work_by_its_files_is_mended(run: Run, tmp_path: Path) -> None:
    confirmed(run, "one\n")
    (tmp_path / "loaded").write_text("somebody else's\n")
    found = run("one\n")
    assert found["changed"] and found["paths"] == [] and texts(tmp_path) == ("one\n", "one\n")


def test_file_that_is_not_wanted_goes(run: Run, tmp_path: Path) -> None:
    """On trial, too: without the rules of one project, those of another may shut out who has taken them."""
    confirmed(run, "one\n")
    ident = run(None, loaded=[])["id"]
    assert texts(tmp_path) == (None, "")
    back(tmp_path, ident)
    assert texts(tmp_path) == ("one\n", "one\n")


def test_mode_is_part_of_it(run: Run, tmp_path: Path) -> None:
    confirmed(run, "one\n")
    (tmp_path / "etc" / RULES).chmod(0o666)
    assert run("one\n")["paths"] == [str(tmp_path / "etc" / RULES)]
    assert (tmp_path / "etc" / RULES).stat().st_mode & 0o777 == 0o644


def test_unit_for_the_start_of_the_host_is_judged_well(tmp_path: Path) -> None:
    """systemd's own judgement, as docs/sandbox.md promises it."""
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    shutil.copy(PROGRAMS / "boot_unit.service", units / "channels-trial.service")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", f"--root={tmp_path}"]
    done = subprocess.run([*command, "channels-trial.service"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
