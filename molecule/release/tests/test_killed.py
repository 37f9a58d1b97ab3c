"""A run that was killed is finished by the next, wherever it was; one that lives keeps all others out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from pair import Pair, deploy

POINTS = [
    "Code of the release is there",
    # The generation has its files.
    "Project passes its own check, its static files are collected, and its database is migrated",
    # Its processes run.
    "Each process answers HTTP and completes a handshake",
    # nginx passes connections to it already.
    "New generation is the live one, and the old one drains",
    # It is the live one, and what follows the switch was not done.
    "Deploy is noted, and what no kept generation needs is gone",
]


def test_next_run_goes_on_where_one_was_killed(lab: Pair, copy: Callable, clients: Callable) -> None:
    """A deploy is killed at five points, each time farther on, and then left alone."""
    lab.settle()
    before, made = lab.live(), copy("killed")
    hooks = ("-e", json.dumps({"release_hooks_after_switch": ["echo $ASGI_GENERATION >>$HOME/hooks"]}))
    running = clients()
    for task in POINTS:
        deploy(made.folder, *hooks, drain=90).until(task).kill()
    deploy(made.folder, *hooks, drain=90).succeeded()
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


GO = "/srv/dashboard/shared/go"
SLOW = f"""
import time
while "ASGI_INSTANCE" in os.environ and not os.path.exists("{GO}"):
    time.sleep(0.2)
"""


def test_second_deploy_at_once_is_told_who_holds_the_lock(lab: Pair, copy: Callable, clients: Callable) -> None:
    """The first goes on as if there had been no other, also on hosts that do not hold the lock."""
    lab.settle()
    before, slow = lab.live(), copy("slow")
    slow.append("core/asgi.py", SLOW)
    for host in lab:
        host.run("rm --force %s", GO)
    running = clients()
    first = deploy(slow.folder, "-e", "release_who=first@desk", "-e", "asgi_start_seconds=150", drain=60)
    first.until("Each process answers HTTP and completes a handshake")
    since = time.strftime("since %Y-%m-%d", time.gmtime())
    deploy(copy("other").folder, drain=60).failed("Nothing was changed: another deploy", "first@desk", since)
    for host in lab:
        assert "new" in host.states().values(), f"the second deploy took the first one's generation from {host.name}"
        host.run("touch %s", GO)
    first.succeeded()
    running.unharmed()
    assert lab.live() != before
    lab.settle()
    lab.assert_settled()


def test_deploy_of_what_is_live_changes_nothing(lab: Pair, copy: Callable) -> None:
    made = copy("same")
    deploy(made.folder).succeeded()
    lab.settle()
    before = lab.snapshot()
    assert deploy(made.folder).succeeded().changed() == {"release-1": 0, "release-2": 0}
    assert lab.snapshot() == before
    changed_secret_makes_a_generation_of_the_same_release(lab, made.folder)


def changed_secret_makes_a_generation_of_the_same_release(lab: Pair, folder) -> None:
    """Deploy the same folder with another secret: no code is unpacked and no package is installed."""
    environment = lab.hosts[0].environment()
    secrets = {name: environment[name] for name in ("JWT_SECRET", "REDIS_URL")} | {"SECRET_KEY": "x" * 60}
    before = {host.name: host.overview()[0] for host in lab}
    made = "readlink /srv/dashboard/live/venv; stat -c %Y /srv/dashboard/venvs/*/.complete"
    venvs = {host.name: host.run(made) for host in lab}
    deploy(folder, "-e", json.dumps({"release_secrets": secrets})).succeeded()
    for host in lab:
        row = host.overview()[0]
        assert row["release"] == before[host.name]["release"]
        assert row["generation"] != before[host.name]["generation"]
        assert host.run(made) == venvs[host.name], "the environment was made anew"
        assert "SECRET_KEY=" + "x" * 60 in host.run("cat /srv/dashboard/live/env")
