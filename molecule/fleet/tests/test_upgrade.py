"""An app host's packages are upgraded; one that an operator took out stays out, and nothing is cut unasked."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from fleet import Fleet, playbook
from lab_host import LabHost, Run

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
def host(lab: Fleet) -> Iterator[LabHost]:
    """The app host without Redis. A package of it is old, and a reboot is due, from which its container returns."""
    host = lab.apps[1]
    subprocess.run(["docker", "update", "--restart=always", host.name], check=True, capture_output=True)
    host.run(REPOSITORY)
    yield host
    subprocess.run(["docker", "update", "--restart=no", host.name], check=True, capture_output=True)
    host.run(f"dpkg --purge {NAME}; rm -rf /srv/packages /etc/apt/sources.list.d/lab-dummy.list; apt-get update -qq")


def upgrade(host: LabHost, *arguments: str) -> tuple[str, ...]:
    """The arguments of an upgrade of one host."""
    return ("playbooks/upgrade.yml", "--limit", host.name, *arguments)


def version(host: LabHost) -> str:
    """The version of the package that is installed."""
    return host.run("dpkg-query --show --showformat='${Version}' " + NAME)


def test_host_of_an_operator_stays_out(lab: Fleet, host: LabHost) -> None:
    host.run("rm --force /run/reboot-required")
    playbook("playbooks/drain_host.yml", "--limit", host.name)
    try:
        playbook(*upgrade(host))
        assert version(host) == "2.0"
        lab.await_states(app_1="UP", app_2="NOLB")
    finally:
        playbook("playbooks/drain_host.yml", "--limit", host.name, "-e", "drain=off")
    lab.await_states(app_1="UP", app_2="UP")


def test_sockets_are_not_closed_without_asking(lab: Fleet) -> None:
    """The first app host also has Redis, whose reboot closes sockets of all hosts."""
    lab.apps[0].run("touch /run/reboot-required")
    try:
        refused = Run(*upgrade(lab.apps[0]))
        assert refused.code and "-e upgrade_sockets=close" in " ".join(refused.output.split()), refused.output
        lab.await_states(app_1="UP", app_2="UP")
    finally:
        lab.apps[0].run("rm /run/reboot-required")
