"""If a run was killed, the next one finishes it, wherever it was; a run that lives keeps all others out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from clients import NAMES
from lab_host import PATIENCE
from pair import Copy, Pair, deploy
from websockets.exceptions import ConnectionClosed

POINTS = [
    # The generation has its files, and the run holds the lock.
    "Check the project, collect its static files and migrate its database",
    # Its processes run.
    "Wait until each process answers HTTP and completes a handshake",
    # nginx already passes connections to it.
    "Make the new generation the live one and drain the old one",
    # It is the live one, but what follows the switch was not done.
    "Note the deploy and remove what no kept generation needs",
]


def test_next_run_goes_on_where_one_was_killed(lab: Pair, copy: Callable, clients: Callable) -> None:
    """A deploy is killed at five points, each time later, and then left alone."""
    lab.settle()
    before, made = lab.live(), copy("killed")
    hooks = ("-e", json.dumps({"release_hooks_after_switch": ["echo $ASGI_GENERATION >>$HOME/hooks"]}))
    running = clients()
    for task in POINTS:
        deploy(made.folder, *hooks, drain=180).until(task).kill()
    output = deploy(made.folder, *hooks, drain=180).succeeded().output
    assert "the lock of a run that died was broken" in output
    live = lab.live()
    for host in lab:
        assert live in host.run("cat /srv/dashboard/shared/hooks"), f"{host.name} did not run what follows the switch"
    states = [host.states() for host in lab]
    running.unharmed()
    assert live != before
    for shown in states:
        assert shown[live] == "live" and shown[before] == "draining", shown
    lab.settle()
    lab.assert_settled()


MADE = "readlink /srv/dashboard/live/venv; stat -c %Y /srv/dashboard/venvs/*/.complete"
GO = "/srv/dashboard/shared/go"
SLOW = f"""
import time
while "ASGI_INSTANCE" in os.environ and not os.path.exists("{GO}"):
    time.sleep(0.2)
"""


def test_second_deploy_at_once_is_told_who_holds_the_lock(lab: Pair, copy: Callable, clients: Callable) -> None:
    """The first one continues as if there were no other, even on hosts that don't hold the lock.

    The second one is only for the last host, because from there it could migrate the same database.
    """
    lab.settle()
    before, slow = lab.live(), copy("slow")
    slow.append("core/asgi.py", SLOW)
    for host in lab:
        host.run("rm --force %s", GO)
    running = clients()
    first = deploy(slow.folder, "-e", "release_who=first@desk", "-e", "asgi_start_seconds=150", drain=180)
    first.until("Wait until each process answers HTTP and completes a handshake")
    since = time.strftime("since %Y-%m-%d", time.gmtime())
    told = ("Nothing was changed: another deploy", "first@desk", since, "dashboard-generations unlock --force")
    deploy(copy("other").folder, "--limit", lab.hosts[-1].name, drain=180).failed(*told)
    for host in lab:
        assert "new" in host.states().values(), f"the second deploy took the first one's generation from {host.name}"
        host.run("touch %s", GO)
    first.succeeded()
    running.unharmed()
    assert lab.live() != before
    lab.settle()
    lab.assert_settled()


MIGRATION = """
import os, time
from django.db import migrations
def note(text):
    with open(os.path.expanduser("~/migrations"), "a") as file:
        file.write(f"{text} {name}\\n")
def work(apps, schema_editor):
    note("begin")
    time.sleep(seconds)
    note("end")
class Migration(migrations.Migration):
    operations = [migrations.RunPython(work)]
"""


def migrating(made: Copy, name: str, seconds: int) -> Path:
    """Make a copy of the project whose migration takes some seconds and notes its start and end; return its folder."""
    made.append(f"{name}/__init__.py", "")
    made.append(f"{name}/migrations/__init__.py", "")
    made.append(f"{name}/migrations/0001_initial.py", f"name, seconds = {name!r}, {seconds}{MIGRATION}")
    return made.append("core/settings.py", f"INSTALLED_APPS.append({name!r})")


def test_migration_of_a_killed_run_is_waited_for(lab: Pair, copy: Callable) -> None:
    """It continues when its run is killed, and the next run's doesn't run beside it. One host runs it, for all."""
    lab.settle()
    written = "cat /srv/dashboard/shared/migrations 2>/dev/null || true"
    for host in lab:
        host.run("rm --force /srv/dashboard/shared/migrations")
    one, two = f"slow_{time.time_ns()}", f"next_{time.time_ns()}"
    killed = deploy(migrating(copy("killed"), one, 20), "-e", "release_who=killed@desk")
    killed.until("migrate its database")
    deadline = time.monotonic() + PATIENCE
    while "begin" not in lab.hosts[0].run(written):
        assert time.monotonic() < deadline, "the migration did not begin"
    killed.kill()
    output = " ".join(deploy(migrating(copy("next"), two, 0)).succeeded().output.split())
    assert "the lock of a run that died was broken (killed@desk, since" in output
    assert "dashboard-generations prepare" in output and "manage.py" in output, "it does not say what it waits for"
    lines = [line for host in lab for line in host.run(written).splitlines()]
    assert lines == [f"begin {one}", f"end {one}", f"begin {two}", f"end {two}"]
    lab.settle()
    lab.assert_settled()


def test_migrations_are_run_on_one_host_for_all(lab: Pair, copy: Callable) -> None:
    """So is what comes before them. Each host of this scenario has its own database, which would show it."""
    name = f"once_{time.time_ns()}"
    hooks = {"release_hooks_before_migrate": [f"echo before {name} >>$HOME/migrations"]}
    deploy(migrating(copy("once"), name, 0), "-e", json.dumps(hooks)).succeeded()
    shown = [host.run("grep %s /srv/dashboard/shared/migrations || true", name).splitlines() for host in lab]
    assert shown[0] == [f"before {name}", f"begin {name}", f"end {name}"]
    assert not any(shown[1:]), "another host has run them, too"


@pytest.fixture(scope="module")
def same(lab: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project folder of a release that serves."""
    made = Copy(tmp_path_factory.mktemp("same") / "project")
    folder = made.append("core/__init__.py", f"# same {time.time_ns()}")
    deploy(folder).succeeded()
    lab.settle()
    return folder


def test_deploy_of_what_is_live_changes_nothing(lab: Pair, same: Path) -> None:
    before = lab.snapshot()
    assert deploy(same).succeeded().changed() == dict.fromkeys(NAMES, 0)
    assert lab.snapshot() == before


@pytest.fixture
def core(lab: Pair) -> dict[str, str]:
    """The project's environment, with the channel layer that keeps group members in Redis."""
    environment = lab.hosts[0].environment()
    return {name: environment[name] for name in ("ALLOWED_HOSTS", "SQLITE_PATH")} | {"CHANNEL_LAYER": "core"}


def test_changed_environment_is_a_generation_of_the_same_release(lab: Pair, same: Path, core: dict[str, str]) -> None:
    """It needs no new code and no new packages, and when its sockets are closed, no group member is left behind.

    Daphne runs no consumer's disconnect() when it is stopped; then the members would stay for a day.
    """
    before = [host.overview()[0] for host in lab]
    venvs = [host.run(MADE) for host in lab]
    changed = json.dumps({"release_environment": core})
    deploy(same, "-e", changed).succeeded()
    for host, row, venv in zip(lab, before, venvs, strict=True):
        assert host.overview()[0]["release"] == row["release"]
        assert host.overview()[0]["generation"] != row["generation"]
        assert host.run(MADE) == venv, "the environment was made anew"
        assert "CHANNEL_LAYER=core" in host.run("cat /srv/dashboard/live/env")
    opened = [host.connect() for host in lab for _ in range(10)]
    assert len(lab.redis("zrange asgi:group:dashboard 0 -1")) == len(opened)
    deploy(same).succeeded()
    lab.settle()
    assert lab.redis("zrange asgi:group:dashboard 0 -1") == []
    for websocket in opened:
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=PATIENCE)
    lab.assert_settled()
