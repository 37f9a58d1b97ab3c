"""An app host's packages are upgraded while clients are served; one that is not proven stays out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from boots import engine
from clients import Clients
from fleet import APP_1, APP_2, Fleet, playbook
from lab_host import LabHost, Run
from redis_group import Group

NAME = "lab-dummy"
# Runs on the host: a package and its newer version in a repository of the host's own.
REPOSITORY = """
set -e
mkdir -p /srv/packages
for version in 1.0 2.0; do
    mkdir -p /tmp/dummy/DEBIAN
    printf 'Package: lab-dummy\\nVersion: %s\\nArchitecture: all\\nMaintainer: nobody\\nDescription: nothing\\n' \
        $version > /tmp/dummy/DEBIAN/control
    dpkg-deb --build /tmp/dummy /srv/packages/lab-dummy_${version}_all.deb
done
dpkg --install /srv/packages/lab-dummy_1.0_all.deb
cd /srv/packages
deb=lab-dummy_2.0_all.deb
{ dpkg-deb --field $deb; echo "Filename: ./$deb"; echo "Size: $(stat --format=%s $deb)"
  echo "SHA256: $(sha256sum $deb | cut -d' ' -f1)"; } > Packages
echo 'deb [trusted=yes] file:/srv/packages ./' > /etc/apt/sources.list.d/lab-dummy.list
touch /run/reboot-required
"""


@pytest.fixture
def host(lab: Fleet, group: Group) -> Iterator[LabHost]:
    """An app host with the primary Redis. A package of it is old, and a reboot is due.

    Its container is started again after a reboot by the engine.
    """
    host = group.led_by_app_host()
    engine("update", "--restart=always", host.name)
    host.run(REPOSITORY)
    yield host
    engine("update", "--restart=no", host.name)
    host.run(f"dpkg --purge {NAME}; rm -rf /srv/packages /etc/apt/sources.list.d/lab-dummy.list; apt-get update -qq")


def upgrade(host: LabHost, *arguments: str) -> tuple[str, ...]:
    """The arguments of an upgrade of one host."""
    return ("playbooks/upgrade.yml", "--limit", host.name, *arguments)


def version(host: LabHost) -> str:
    """The version of the package that is installed."""
    return host.run("dpkg-query --show --showformat='${Version}' " + NAME)


def boot(host: LabHost) -> str:
    """What another boot changes: when the first process started."""
    return host.run("cut -d' ' -f22 /proc/1/stat")


def test_upgrade_and_reboot_under_load(
    lab: Fleet, group: Group, host: LabHost, clients: Callable[..., Clients]
) -> None:
    """No handshake fails, only the host's own sockets move, and another Redis leads before the reboot.

    A host that is not proven stays out until it is.
    """
    other = next(one.name for one in lab.apps if one is not host)
    shown = playbook(*upgrade(host, "--check")).output
    assert "a reboot is due" in shown and "its sockets move to other hosts first" in shown
    assert "another Redis becomes the primary first" in shown, shown
    running, booted = clients(*(edge.name for edge in lab.edges)), boot(host)
    failed = Run(*upgrade(host, "-e", '{"handshake_send": "nobody answers this"}', "-e", "handshake_timeout=3"))
    assert failed.code and "is out of the fleet" in " ".join(failed.output.split()), failed.output
    # An edge that saw it down while it rebooted does not call it drained.
    lab.await_states({other: "UP", host.name: "NOLB|DOWN"})
    assert boot(host) != booted, "the host was not rebooted"
    assert group.healthy() is not host
    playbook(*upgrade(host))
    lab.await_states({APP_1: "UP", APP_2: "UP"})
    assert version(host) == "2.0"
    noticed = running.stop()
    failures = [each for each in noticed["failures"] if each["what"] != "message"]
    assert not failures, failures[:5]
    assert {each["machine"] for each in noticed["closings"]} == {host.name}
    assert len(noticed["open"]) == 40


def test_sockets_are_not_closed_without_asking(lab: Fleet) -> None:
    """A reboot of an edge ends all sockets through it."""
    edge = next(edge for edge in lab.edges if edge.name.endswith("trixie"))
    edge.run("touch /run/reboot-required")
    try:
        refused = Run(*upgrade(edge))
        assert refused.code and "-e upgrade_sockets=close" in " ".join(refused.output.split()), refused.output
    finally:
        edge.run("rm /run/reboot-required")
