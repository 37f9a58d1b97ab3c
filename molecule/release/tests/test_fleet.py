"""Runs that reach a part of the hosts: with a limit, in batches, and while a host is down."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator

import pytest
from boots import await_handshake, await_ssh, engine
from clients import NAMES
from pair import Pair, Playbook, ReleaseHost, deploy
from test_killed import migrating

pytestmark = pytest.mark.skipif(len(NAMES) < 2, reason="one host is no fleet")

# Another controller's record, whose session lives as long as the host.
HOLD = """
import json, pathlib
started = pathlib.Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
record = {"run": "bobs", "who": "bob@desk", "since": "now", "controller": "another", "pid": 1, "started": started}
pathlib.Path("/srv/dashboard/deploy.lock").write_text(json.dumps(record))
"""


@contextlib.contextmanager
def held(host: ReleaseHost) -> Iterator[None]:
    """Let another run hold the lock on a host."""
    host.python(HOLD)
    try:
        yield
    finally:
        host.run("dashboard-generations unlock bobs")


def told(run: Playbook) -> str:
    """What a run printed, in one line."""
    return " ".join(run.output.split())


def locks(lab: Pair) -> list[bool]:
    """Whether each host has a lock."""
    return [shown["lock"] for shown in lab.snapshot().values()]


def test_lock_on_either_host_keeps_limited_runs_out(lab: Pair, copy: Callable) -> None:
    """Each run asks a host outside its limit, and keeps nothing of a lock of which it gets one half."""
    first, last, before = lab.hosts[0], lab.hosts[-1], lab.snapshot()
    folder = copy("locked").folder
    for keeper, other in ((first, last), (last, first)):
        with held(keeper):
            deploy(folder, "--limit", other.name).failed("Nothing was changed", "bob@desk")
            assert locks(lab) == [host is keeper for host in lab]
    assert lab.snapshot() == before


def test_limited_deploy_migrates_once_and_says_what_it_leaves_different(lab: Pair, copy: Callable) -> None:
    """The lock's host is gone, and the other one keeps it alone."""
    lab.settle()
    before, first, last = lab.live(), lab.hosts[0], lab.hosts[-1]
    name = f"limited_{time.time_ns()}"
    folder = migrating(copy("limited"), name, 0)
    run = deploy(folder, "-e", "asgi_lock_host=gone.invalid", "--limit", last.name).succeeded()
    assert "The lock of this deploy is on one host instead of two" in told(run)
    assert f"- {first.name} serves" in told(run)
    assert f"({before}) since" in told(run)
    assert "was not in this run" in told(run)
    live = last.live["generation"]
    assert first.live["generation"] == before != live
    shown = Playbook("status").succeeded().output
    assert [line for line in shown.splitlines() if f"! {first.name}" in line or f"! {last.name}" in line], shown
    again = deploy(folder).succeeded()  # what serves already on one host
    assert again.changed()[last.name] == 0, "the host that had it did something"
    assert lab.live() == live
    assert "was not in this run" not in told(again)
    lines = [host.run("grep --count 'end %s' /srv/dashboard/shared/migrations || true", name).strip() for host in lab]
    assert lines == ["1"] * len(lab.hosts), "each host here has its own database, and got the release once"
    lab.settle()
    lab.assert_settled()


def test_batch_that_fails_takes_the_earlier_ones_back_or_leaves_them(lab: Pair, copy: Callable) -> None:
    """By asgi_failed_switch. The second host's nginx cannot be reloaded, which no gate shows."""
    lab.settle()
    before, first, last = lab.live(), lab.hosts[0], lab.hosts[-1]
    folder, broken = copy("batches").folder, "/etc/nginx/conf.d/zz-broken.conf"
    serial = ("-e", json.dumps({"asgi_serial": ["50%", 1]}))
    last.run("echo 'broken;' >%s", broken)
    try:
        deploy(folder, *serial).failed(f"rejected on {last.name}", "What served before serves here again")
        assert lab.live() == before
        reason = f"These hosts keep it, because asgi_failed_switch is stop: {first.name}"
        deploy(folder, *serial, "-e", "asgi_failed_switch=stop").failed(reason)
        assert last.live["generation"] == before != first.live["generation"]
        assert not any(locks(lab))
    finally:
        last.run("rm %s", broken)
    run = deploy(folder, *serial).succeeded()
    assert run.changed()[first.name] == 0
    assert lab.live() != before
    lab.settle()
    lab.assert_settled()


def test_host_that_is_down_stops_a_deploy_or_catches_up_later(lab: Pair, copy: Callable) -> None:
    lab.settle()
    before, first, last = lab.live(), lab.hosts[0], lab.hosts[-1]
    folder = copy("down").folder
    engine("stop", "--time", "0", last.name)
    try:
        deploy(folder).failed(f"host {last.name}", "unreachable", "-e preflight_skip_unreachable=true")
        assert first.live["generation"] == before
        without = deploy(folder, "-e", "preflight_skip_unreachable=true").end()
        assert without.code == 4, without.output  # Ansible's own code for a host that was not reached
        assert f"{last.name} did not answer; served" in told(without)
        assert f"{last.name} did not answer when" in first.run("dashboard-generations list")
    finally:
        engine("start", last.name)
    await_ssh(last)
    await_handshake(last.name, last.refusal)
    assert last.live["generation"] == before, "it comes back with what it had"
    assert f"{last.name} has caught up" in told(deploy(folder).succeeded())
    assert lab.live() == first.live["generation"]
    assert deploy(folder).succeeded().changed() == dict.fromkeys(NAMES, 0)
