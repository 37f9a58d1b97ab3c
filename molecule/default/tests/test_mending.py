"""A run mends what a killed run or a manual edit left behind, and a run that finds nothing changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_host import LabHost, Run, echoes

SITE = "/etc/nginx/sites-enabled/dashboard.conf"
PARTS = ("site.yml", "--tags", "nginx,redis", "--limit")


@pytest.fixture
def site(lab: LabHost) -> Iterator[str]:
    """The content of nginx's site. At the end, in any case, nginx runs it again, and processes know their Redis."""
    content = lab.run(f"cat {SITE}")
    try:
        yield content
    finally:
        if lab.run(f"cat {SITE}") != content:
            lab.run("printf %s %s > " + SITE, "%s", content)
            lab.reload_nginx()
        lab.await_handshakes()


def redis_pid(lab: LabHost) -> str:
    """Return the process id of Redis."""
    return lab.run("systemctl show --value --property=MainPID redis-server").strip()


def test_run_mends_a_host(lab: LabHost, site: str) -> None:
    """A run repairs an edited site that nginx runs, and restarts a Redis that is older than its configuration."""
    # Somebody edited the site and reloaded nginx.
    lab.run(f"sed --in-place --expression='/Upgrade/d' --expression='/Connection /d' {SITE}")
    lab.reload_nginx()
    assert lab.refusal() == 404, "the edited site still passes handshakes on, so nothing is proven"
    # A run rewrote Redis's configuration, and was killed before it restarted Redis.
    lab.run("touch /etc/redis/redis.conf")
    before = redis_pid(lab)

    run = Run(*PARTS, lab.name)
    assert run.changed(lab.name) == 3, f"expected the site, nginx and Redis to be mended:\n{run.output}"
    assert lab.run(f"cat {SITE}") == site, "the site is not what it was before it was edited"
    assert redis_pid(lab) != before, "Redis still runs what it read before the file changed"
    lab.await_handshakes()
    with lab.connect() as websocket:
        assert echoes(websocket), "nginx does not run the repaired site"

    run = Run(*PARTS, lab.name)
    assert run.changed(lab.name) == 0, f"a run that had nothing to do changed something:\n{run.output}"


def test_run_tells_redis_of_its_users(lab: LabHost) -> None:
    """If Redis has other users than its file, they are mended without a restart, and no connection is cut."""
    tell = "redis-cli --no-auth-warning --user acl-operator --pass $(cat /etc/redis/operator.password) ACL"
    right = lab.run(f"{tell} LIST")
    before = redis_pid(lab)
    with lab.connect() as websocket:
        lab.run(f"{tell} SETUSER channels resetpass && {tell} SETUSER stranger on nopass +@all")
        run = Run("site.yml", "--tags", "redis", "--limit", lab.name)
        assert run.changed(lab.name) == 1, f"expected Redis's users to be mended:\n{run.output}"
        assert lab.run(f"{tell} LIST") == right
        assert redis_pid(lab) == before
        assert echoes(websocket), "the socket has lost its channel layer"
    assert Run("site.yml", "--tags", "redis", "--limit", lab.name).changed(lab.name) == 0


def test_run_finishes_what_a_killed_run_began(lab: LabHost, site: str) -> None:
    """If a run was killed between writing nginx's site and the reload, the next one finishes its work."""
    with lab.nginx_edited(SITE, "/Upgrade/d", "/Connection /d"):
        # The killed run wrote the right file to the disk, and nginx still has the wrong one in memory.
        lab.run("printf %s %s > " + SITE, "%s", site)
        assert lab.refusal() == 404, "nginx runs the new file already, so nothing is proven"
        run = Run("site.yml", "--tags", "nginx", "--limit", lab.name)
        assert run.changed(lab.name) == 1, f"expected one change, nginx's reload:\n{run.output}"
        with lab.connect() as websocket:
            assert echoes(websocket), "nginx does not run the file on the disk"
