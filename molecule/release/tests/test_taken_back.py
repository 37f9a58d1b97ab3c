"""A release that passes its gate and fails a moment later is undone automatically, and the previous one stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab_host import echoes
from pair import Pair, Playbook, ReleaseHost, deploy, differences

# Once the gate is passed, however long that took.
DYING = """
import threading, time
def die():
    while not os.path.exists("/srv/dashboard/shared/dying"):
        time.sleep(0.1)
    time.sleep(1)
    os._exit(1)
if "ASGI_INSTANCE" in os.environ:
    threading.Thread(target=die, daemon=True).start()
"""
# Later than the gate looks, and before the watch after it ends.
CLOSING = """
import asyncio
connects = DashboardConsumer.connect
async def connect(self):
    await connects(self)
    if os.path.exists("/srv/dashboard/shared/closing"):
        asyncio.get_running_loop().call_later(0.5, lambda: asyncio.ensure_future(self.close(4000)))
DashboardConsumer.connect = connect
"""
WORKER = {"name": "failing", "command": "sh -c 'sleep 0.5; echo NOPERM, says the broker; exit 1'"}
UNIT = "{% extends 'process.service.j2' %}"


@pytest.fixture
def host(lab: Pair) -> ReleaseHost:
    """The host on which these tests run: other tests show how one host's fault stops all."""
    lab.settle()
    return lab.hosts[0]


def taken_back(host: ReleaseHost, folder: Path, told: list[str], *given: str) -> str:
    """Deploy a folder; fail the test unless it is rejected with a reason, and all is as before. Return the output."""
    before = {host.name: host.snapshot()}
    with host.connect() as websocket:
        run = deploy(folder, "--limit", host.name, "-e", "asgi_start_seconds=30", *given).failed(*told)
        assert echoes(websocket), "a socket of the release that was to be replaced was closed"
    assert differences(before, {host.name: host.snapshot()}) == [], "something was left behind, or taken away"
    assert host.refusal() == 101
    return run.output


def test_processes_that_end_after_the_gate(host: ReleaseHost, copy: Callable) -> None:
    made = copy()
    made.append("core/asgi.py", DYING)
    hooks = json.dumps({"release_hooks_before_switch": ["touch /srv/dashboard/shared/dying"]})
    try:
        taken_back(host, made.folder, ["served for a moment"], "-e", "asgi_watch_seconds=8", "-e", hooks)
    finally:
        host.run("rm --force /srv/dashboard/shared/dying")


def test_sockets_that_are_closed_after_the_gate(host: ReleaseHost, copy: Callable) -> None:
    made = copy()
    made.append("dashboard/consumers.py", "import os\n" + CLOSING)
    hooks = json.dumps({"release_hooks_before_switch": ["touch /srv/dashboard/shared/closing"]})
    told = ["served for a moment", "closed with code 4000"]
    try:
        taken_back(host, made.folder, told, "-e", hooks)
    finally:
        host.run("rm --force /srv/dashboard/shared/closing")


def test_worker_that_keeps_dying(host: ReleaseHost, copy: Callable) -> None:
    """The reason that it gave is reported."""
    workers = json.dumps({"asgi_workers": [WORKER]})
    told = ["served for a moment", "dashboard-failing@", "NOPERM, says the broker"]
    taken_back(host, copy().folder, told, "-e", workers)


def test_new_unit_is_no_other_release_s(host: ReleaseHost, copy: Callable, tmp_path: Path) -> None:
    """A limit too low for a new release doesn't apply to the serving one, and neither does a faulty template."""
    if host.live["manager"] != "systemd":
        pytest.skip("supervisor has a file for each generation anyway")
    shown = "systemctl show --property=MemoryMax,NRestarts,NeedDaemonReload " + " ".join(host.units)
    before = host.run(shown)
    made = copy("limit")
    made.append("core/asgi.py", 'if "ASGI_INSTANCE" in os.environ:\n    ballast = b"x" * 2**27')
    taken_back(host, made.folder, ["nothing was switched"], "-e", "asgi_memory_max=80M")
    assert host.run(shown) == before
    template = tmp_path / "unit.j2"
    shipped = (Path(__file__).resolve().parents[3] / "templates" / "asgi" / "process.service.j2").read_text()
    template.write_text(shipped.replace("[Service]\n", "[Service]\nNoSuchKey=1\n"))
    told = ["nothing was switched", "asgi_unit_template", "Unknown key", "NoSuchKey"]
    taken_back(host, copy("template").folder, told, "-e", f"asgi_unit_template={template}")
    assert host.run(shown) == before


def test_nginx_that_cannot_read_its_configuration(host: ReleaseHost, copy: Callable) -> None:
    """`nginx -t` doesn't notice that a port is taken; nginx keeps its old configuration, and logs why."""
    site = "/etc/nginx/sites-enabled/dashboard.conf"
    taken = "import socket, time\nwith socket.create_server(('', 8099)):\n    time.sleep(600)"
    host.run("nohup python3 -c %s >/dev/null 2>&1 & echo $! >/run/taken", taken)
    try:
        with host.edited(site, "s/^    listen 80.*/&\\n    listen 8099;/"):
            taken_back(host, copy().folder, ["served for a moment", "Address already in use"])
    finally:
        host.run("kill $(cat /run/taken); rm /run/taken")
    host.reload_nginx()


def test_kept_release_that_can_serve_no_more(host: ReleaseHost, copy: Callable) -> None:
    """A rollback goes through the same gate as a deploy."""
    deploy(copy("kept").folder, "--limit", host.name).succeeded()
    before: dict[str, Any] = next(row for row in host.overview() if row["state"] != "live")
    with host.edited(
        f"/srv/dashboard/generations/{before['generation']}/serve", "s|^exec .*|echo no luck; exit 3; \\\\|"
    ):
        shown = {host.name: host.snapshot()}
        Playbook("rollback", "--limit", host.name, "-e", "asgi_start_seconds=6").failed("rejected", "no luck")
        assert host.snapshot()["live"] == shown[host.name]["live"] != before["generation"]
        assert host.refusal() == 101
    Playbook("rollback", "--limit", host.name).succeeded()
    assert host.snapshot()["live"] == before["generation"]
