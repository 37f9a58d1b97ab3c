"""A host that the last released version has set up gets this one, and nobody notices (docs/upgrading.md)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from boots import engine
from clients import Clients
from lab_host import ROOT, LabHost, Run
from testinfra import get_host
from testinfra.host import Host
from watching import ask, watch  # noqa: F401 - pytest finds fixtures by their names

testinfra_hosts = ["ansible://day-two-site"]

NAME = "day-two-former"
# Until a release has a tag, its tree is that of this commit.
RELEASED = "Make the changelog with antsibull-changelog, and the documentation as web pages"
PROJECT = {
    "all": {
        "vars": {"ansible_ssh_common_args": f"-F {ROOT}/.lab/ssh_config"},
        "children": {
            "app": {"hosts": {NAME: None}}, "redis": {"hosts": {NAME: None}}, "proxy": None, "database": None,
            "monitoring": None,
        },
    }
}  # fmt: skip


class Former(LabHost):
    """A host that the last released version has set up."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.name = NAME

    def load_options(self, *_: str) -> list[str]:
        """Lead the load generator to it."""
        return ["--token", self.token("load"), f"{self.name}={self.port}"]

    def pids_of(self, *units: str) -> list[str]:
        """The main processes of daemons."""
        return self.run(f"systemctl show --property=MainPID --value {' '.join(units)}").split()


def git(*arguments: str) -> bytes:
    """Ask the clone's history."""
    return subprocess.run(["git", "-C", str(ROOT), *arguments], stdout=subprocess.PIPE, check=True).stdout


def site(tree: Path, inventory: Path) -> str:
    """Run a tree's site.yml, as its user does in it; return what it printed."""
    inventory.mkdir()
    (inventory / "hosts.yml").write_text(yaml.safe_dump(PROJECT))
    (inventory / "group_vars").symlink_to(tree / "inventories" / "lab" / "group_vars")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PY_COLORS"))}
    environment |= {"ANSIBLE_CONFIG": str(tree / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    done = subprocess.run(
        [program, "--inventory", str(inventory), "site.yml", "-e", "handshake_idle_seconds=0"], cwd=tree,
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Former]:
    """A new host with the last released version on it."""
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    tag = git("tag", "--list", f"v{version}").decode().strip()
    commit = tag or git("log", "--format=%H", f"--grep=^{RELEASED}$", "-1").decode().strip()
    if git("rev-parse", "--is-shallow-repository").strip() == b"true" and not commit:
        pytest.skip(f"the history holds no v{version}: fetch all of it (git fetch --unshallow)")
    assert commit, f"there is neither a tag v{version} nor the commit that was released without one"
    tree = tmp_path_factory.mktemp("former")
    subprocess.run(["tar", "-x", "-C", str(tree)], input=git("archive", commit), check=True)
    (tree / ".lab").symlink_to(ROOT / ".lab")
    lab = [sys.executable, str(ROOT / "molecule" / "lab" / "lab.py")]
    subprocess.run([*lab, "up", NAME, "--debian", "12", "--publish", "0:80"], check=True, stdout=subprocess.DEVNULL)
    try:
        site(tree, tree / "inventories" / "former")
        yield Former(get_host(f"ssh://{NAME}", ssh_config=str(ROOT / ".lab" / "ssh_config")))
    finally:
        subprocess.run([*lab, "down", NAME], check=True, stdout=subprocess.DEVNULL)


def test_upgrade_of_the_bundle_disturbs_nobody(former: Former, tmp_path: Path) -> None:
    """No handshake fails and no socket closes, no daemon restarts, and the second run has nothing left to do."""
    daemons, before = former.pids_of("nginx", "redis-server"), former.live["generation"]
    clients = Clients(former, tmp_path / "clients.json")
    site(ROOT, tmp_path / "inventory")
    listed = json.loads(former.run("dashboard-generations list --json"))["generations"]
    clients.unharmed()
    assert [(row["state"], row["generation"] == before) for row in listed] == [("live", False), ("draining", True)]
    assert listed[1]["connections"] >= 20, "sockets stay where they are"
    assert former.pids_of("nginx", "redis-server") == daemons
    assert former.run("ls -A /usr/local/lib/dashboard").split() == ["generations", "generations.py"]
    again = site(ROOT, tmp_path / "again")
    assert re.search(rf"^{NAME} *:.* changed=0 ", again, re.MULTILINE), again


def test_host_that_watches_is_upgraded_and_watches_again(watch: LabHost) -> None:  # noqa: F811
    """It has nothing to upgrade, and is rebooted all the same."""
    started = "ps -o lstart= -p 1"
    before = watch.run(started)
    engine("update", "--restart=always", "day-two-watch")  # starts its container again after the reboot
    try:
        run = Run("playbooks/upgrade.yml", "--limit", "day-two-watch", "-e", "upgrade_reboot=always")
    finally:
        engine("update", "--restart=no", "day-two-watch")
    assert run.code == 0, run.output
    assert watch.run(started) != before
    assert ask(watch, "query", query='up{job="prometheus"}')["result"], "Prometheus answers as soon as the run ends"
