"""nginx's errors under each service manager: logged without queries, by a reader that is restarted."""

from __future__ import annotations

import time
import uuid

import pytest
from canaries import Canaries
from pair import Pair, ReleaseHost


def reasons(host: ReleaseHost, name: str) -> list[str]:
    """Return the lines about a file that was requested and doesn't exist."""
    shown = host.run("dashboard-generations logs --site --minutes=30 --lines=5000")
    return [line for line in shown.splitlines() if name in line]


@pytest.fixture(scope="module")
def canaries() -> Canaries:
    """The canaries of this file's tests."""
    return Canaries()


def test_reason_is_told_and_the_query_is_not(lab: Pair, canaries: Canaries) -> None:
    """The request is logged with it, even after the reader was killed: the service manager starts another one."""
    for host in lab:
        for killed in (False, True):
            if killed:
                host.run("pkill -KILL --full '^/usr/bin/python3 -I /usr/local/sbin/dashboard-nginx-errors'")
                time.sleep(4)  # supervisor waits a second, and the machine may be slow
            name, canary = f"none-{uuid.uuid4().hex[:8]}.js", canaries.new(f"static file on {host.name}")
            assert host.get(f"/static/{name}?token={canary}")[0] == 404
            told = ("dashboard-nginx-errors: ", f" nginx: GET /static/{name}?token=[hidden] 404 ")
            for _ in range(240):
                found = reasons(host, name)
                if all(any(part in line for line in found) for part in told):
                    break
                time.sleep(0.5)
            reason, request = ([line for line in found if part in line] for part in told)
            assert request and reason and "(2: No such file or directory)" in reason[0], found


def test_reader_is_nobody_in_particular(lab: Pair) -> None:
    for host in lab:
        pid = host.run("pgrep --full '^/usr/bin/python3 -I /usr/local/sbin/dashboard-nginx-errors'").strip()
        status = dict(
            line.split(":\t", 1) for line in host.run(f"cat /proc/{pid}/status").splitlines() if ":\t" in line
        )
        assert "0" not in status["Uid"].split() + status["Gid"].split() + status["Groups"].split()
        assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1"
        assert host.run("stat --format='%a %U:%G' /run/nginx-errors/dashboard.sock").strip() == "660 root:www-data"


def test_no_token_is_on_a_host(lab: Pair, canaries: Canaries) -> None:
    for host in lab:
        assert not canaries.on_host(host), canaries.told(host)
