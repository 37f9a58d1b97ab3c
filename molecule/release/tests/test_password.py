"""A new Redis password is valid beside the old one as long as a release uses the old one."""

from __future__ import annotations

from collections.abc import Callable

from pair import Pair, Playbook, deploy

NEW = ("-e", "redis_password=another-password-of-redis")


def provision(*arguments: str) -> Playbook:
    """Set up Redis as the inventory says."""
    return Playbook("provision", "--tags", "redis", *arguments).succeeded()


def passwords(lab: Pair) -> int:
    """Return how many passwords the project's user has."""
    return lab.hosts[0].run("grep '^user channels ' /etc/redis/users.acl").count("#")


def test_new_password_with_a_rejected_release_cuts_nobody(lab: Pair, copy: Callable) -> None:
    assert passwords(lab) == 1
    assert "another-password-of-redis" not in provision(*NEW).output
    deploy(copy().append("dashboard/routing.py", "import no_such_module"), *NEW).failed("no_such_module")
    assert passwords(lab) == 2
    # Redis reads its file, and each process has to log in again.
    lab.hosts[0].run("systemctl restart redis-server")
    for host in lab:
        host.await_handshakes()
    assert provision(*NEW).changed()[lab.hosts[0].name] == 0

    # A host that is not asked may have a release that uses any of them.
    output = provision("--limit", lab.hosts[0].name).output
    assert "not every app host was asked" in " ".join(output.split()) and passwords(lab) == 2
    provision()
    assert passwords(lab) == 1
    for host in lab:
        assert host.refusal() == 101
