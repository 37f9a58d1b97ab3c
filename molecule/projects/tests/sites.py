"""Projects on this scenario's hosts: how to create, deploy and reach each of them."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import re
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml
from lab_host import ROOT, SSH_CONFIG, LabHost
from private_index import PrivateIndex
from shapes import SHAPES
from websockets.sync.client import ClientConnection, connect

INVENTORIES = Path(__file__).resolve().parents[1] / "inventory"
# In the order in which they are deployed.
HOSTS = {
    "projects-1": ("compose", "tutorial", "letters", "bare", "tagged", "guesses"),
    "projects-2": ("quick", "split", "shop", "tokens", "members"),
}
PROJECTS = [name for pair in itertools.zip_longest(*HOSTS.values()) for name in pair if name]
# Deployed with what inspect writes, and the ports that are free.
INSPECTED = {"compose": {}, "guesses": {"nginx_http_port": 8105, "nginx_local_port": 8005}}
RUN_SECONDS = 900  # a run that takes longer hangs


class UnsafeLoader(yaml.SafeLoader):
    """Reads Ansible's !unsafe as a string."""


UnsafeLoader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def ansible(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook as its user does, without a terminal."""
    # Molecule and testinfra set variables that a user doesn't have.
    given = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PY_COLORS"))}
    given |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", **environment}
    return subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), *arguments], cwd=ROOT, env=given, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=RUN_SECONDS,
    )  # fmt: skip


class Site:
    """One project on its host."""

    def __init__(self, name: str, folder: Path, host: LabHost, addresses: dict[str, str], index: str) -> None:
        self.name, self.folder, self.host, self.addresses = name, folder, host, addresses
        self.index = index  # the private index, with its credentials
        self.told = ""  # the output of its first deploy

    @property
    def address(self) -> str:
        """The address of the host's container, where each project has a port."""
        return self.addresses[self.host.name]

    @cached_property
    def inventory(self) -> list[str]:
        """The arguments that name the project's inventory."""
        return ["--inventory", str(INVENTORIES / f"{self.name}.yml")]

    @cached_property
    def variables(self) -> dict[str, Any]:
        """What the project's inventory sets, as written."""
        return yaml.load((INVENTORIES / f"{self.name}.yml").read_text(), UnsafeLoader)["all"]["vars"]

    @property
    def port(self) -> int:
        """The port of the project."""
        return self.variables.get("nginx_http_port", 80)

    def play(self, playbook: str = "site.yml", *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook with the project's inventory."""
        place = {"PROJECTS_FOLDER": str(self.folder.parent), "PROJECTS_ADDRESSES": json.dumps(self.addresses)}
        place["PROJECTS_INDEX"] = self.index
        return ansible(*self.inventory, "--diff", *arguments, playbook, **place)

    def make(self) -> None:
        """Create the project, and deploy it for the first time."""
        SHAPES[self.name](self.folder)
        self.bring()
        done = self.play()
        self.folder.with_name(f"{self.name}.log").write_text(done.stdout)
        self.told = " ".join(self.changed(done)[1].split())

    def bring(self) -> None:
        """Put on the host what must be there before the first deploy."""
        if (database := self.folder.with_name(f"{self.name}.sqlite3")).exists():
            self.host.run("mkdir -p %s", shared := f"/srv/{self.name}/shared")
            self.copy(f"{shared}/db.sqlite3", database)

    def copy(self, there: str, *paths: Path) -> None:
        """Copy files or folders to the host."""
        given = ["scp", "-q", "-r", "-F", str(SSH_CONFIG), *map(str, paths), f"{self.host.name}:{there}"]
        subprocess.run(given, check=True)

    def changed(self, done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
        """Return how many tasks of a run changed something, and its output; fail the test if the run failed."""
        found = re.findall(r"^\S+\s+: ok=\d+ +changed=(\d+)", done.stdout.rpartition("PLAY RECAP")[2], re.MULTILINE)
        if done.returncode or len(found) < 2:  # the controller and the host
            end = "\n".join(done.stdout.splitlines()[-60:])
            pytest.fail(f"the run for {self.name} ended with {done.returncode}:\n{end}")
        return sum(map(int, found)), done.stdout

    def diagnosis(self) -> tuple[str, set[str]]:
        """Return the doctor's verdict, and the codes of everything else it noticed."""
        file = ROOT / "artifacts" / "doctor" / f"{self.host.name}.json"
        file.unlink(missing_ok=True)
        done = self.play("playbooks/doctor.yml", "--extra-vars", "doctor_idle_seconds=0")
        assert file.exists(), done.stdout
        report = json.loads(file.read_text())
        return report["verdict"], {each["code"] for each in report["noticed"]}

    def manage(self, *command: str) -> str:
        """Run a command of the project on the host; return the last line of its output."""
        return self.host.run(f"{self.name}-manage" + " %s" * len(command), *command).strip().splitlines()[-1]

    def token(self) -> str:
        """Return a token, created with the same command as the proof's."""
        command = self.variables.get("handshake_token_command")
        return self.manage(*command[2:]) if command else ""

    def open(self, path: str = "", token: str | None = None, **options: Any) -> ClientConnection:
        """Open a socket as a page on the site does, by default at the proof's path and with its token."""
        token = self.token() if token is None else token
        path = path or self.variables.get("handshake_path", "/ws/chat/")
        prefix = self.variables.get("nginx_path_prefix", "")
        headers = self.variables.get("handshake_headers", {})
        url = f"{self.address}:{self.port}"
        options = {
            "origin": f"http://{url}", "open_timeout": 10, "close_timeout": 2, "ping_interval": None, "proxy": None,
            "subprotocols": self.variables.get("handshake_subprotocols"),
            "additional_headers": {name: value.replace("{token}", token) for name, value in headers.items()},
            **options,
        }  # fmt: skip
        return connect(f"ws://{url}{prefix}{path.replace('{token}', token)}", **options)

    def request(self, path: str, method: str = "GET", body: str | None = None) -> tuple[int, dict[str, str], str]:
        """Request a path of the site; return status, headers (names in lower case) and body."""
        with contextlib.closing(http.client.HTTPConnection(self.address, self.port, timeout=60)) as way:
            way.request(method, path, body)
            answer = way.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()

    def about(self) -> dict[str, Any]:
        """Return what the project's page says."""
        status, _, body = self.request(self.variables.get("nginx_path_prefix", "") + "/")
        assert status == 200, body
        return json.loads(body)


class Inspected(Site):
    """A project whose inventory `playbooks/inspect.yml` writes; only the placeholders are filled in."""

    @cached_property
    def inventory(self) -> list[str]:
        """The arguments that name it, and the settings that only concern the lab."""
        written = self.folder.with_name(f"{self.name}-inventory")
        given = ("-e", f"inspect_folder={self.folder}", "-e", f"inspect_inventory={written}")
        done = ansible(*given, "playbooks/inspect.yml")
        assert done.returncode == 0, done.stdout
        filled = {"hosts.yml": self.host.name, "main.yml": self.address, "vault.yml": "0123456789" * 5}
        for path in written.rglob("*.yml"):
            text, number = re.subn('!!!SET [^"]*!!!', filled[path.name], path.read_text())
            assert number, f"{path.name} has no placeholders:\n{text}"
            path.write_text(text)
        authorities = [str(path) for path in Path("/usr/local/share/ca-certificates").glob("*.crt")]
        lab = {
            "ansible_ssh_common_args": f"-F {ROOT}/.lab/ssh_config", "ansible_host_key_checking": False,
            "base_ca_certificates": authorities, "handshake_idle_seconds": 0, **INSPECTED[self.name],
            # No public authority issues certificates for this site.
            "certificate_source": "none",
            # Its neighbours on the host use none of this, and all of them share SSH's settings.
            "firewall_enabled": False, "hardening_ssh_keys_only": False, "hardening_upgrades": False,
        }  # fmt: skip
        at = f"{self.address}:{INSPECTED[self.name].get('nginx_http_port', 80)}"
        lab |= {"handshake_url": f"ws://{at}", "handshake_connect_to": at, "handshake_origin": f"http://{at}"}
        return ["--inventory", str(written), "--extra-vars", json.dumps(lab)]

    @cached_property
    def variables(self) -> dict[str, Any]:
        """What was written for it."""
        written = yaml.load((Path(self.inventory[1]) / "group_vars/all/main.yml").read_text(), UnsafeLoader)
        return {**written, **INSPECTED[self.name]}


class Kept(Site):
    """A project in a repository on the host, which is open to the owner of its deploy key."""

    def bring(self) -> None:
        """Let git's own shell on the host serve the repository and its submodule."""
        self.forget()
        key = self.folder.with_name(f"{self.name}-key.pub").read_text()
        self.host.run("useradd --system --create-home --home-dir /srv/git --shell /usr/bin/git-shell git; cd /srv/git; "
                      "mkdir .ssh; printf %%s %s > .ssh/authorized_keys", key)  # fmt: skip
        self.copy("/srv/git/", self.folder, self.folder.with_name(f"{self.name}-chat"))
        self.host.run("chown -R git: /srv/git; chmod -R go= /srv/git")

    def forget(self) -> None:
        """Remove this machine's SSH keys for the host, because its address may have belonged to another one."""
        if Path("~/.ssh/known_hosts").expanduser().exists():
            subprocess.run(["ssh-keygen", "-q", "-R", self.address], check=False, capture_output=True)


class Sites:
    """All projects; one is ready when it is asked for, and so are those before it."""

    def __init__(self, folder: Path) -> None:
        self.found: dict[str, Site] = {}
        self.coming: dict[str, Future[None]] = {}
        self.workers = []
        inventory = str(Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory")
        found = {name: testinfra.get_host(f"ansible://{name}", ansible_inventory=inventory) for name in HOSTS}
        self.hosts = {name: LabHost(host) for name, host in found.items()}
        addresses = {name: host.run("hostname -I").split()[0] for name, host in self.hosts.items()}
        self.index = PrivateIndex()
        here = next(iter(self.hosts.values())).run("ip route show default").split()[2]
        index = f"http://deploy:{self.index.password}@{here}:{self.index.port}/simple/"
        for name, projects in HOSTS.items():
            self.workers.append(ThreadPoolExecutor(1))
            for project in projects:
                kind = Inspected if project in INSPECTED else Kept if project == "tagged" else Site
                self.found[project] = kind(project, folder / project, self.hosts[name], addresses, index)
                self.coming[project] = self.workers[-1].submit(self.found[project].make)

    def __getitem__(self, name: str) -> Site:
        """Return a project as soon as it is deployed; fail the test if it could not be."""
        self.coming[name].result()
        return self.found[name]

    def settled(self, name: str) -> Site:
        """Return a project when all others on its host are deployed, too."""
        for project in next(projects for projects in HOSTS.values() if name in projects):
            self.coming[project].exception()  # waits; the tests of that project report the reason
        return self[name]

    def end(self) -> None:
        """Start no further deploy."""
        for worker in self.workers:
            worker.shutdown(cancel_futures=True)
        self.index.end()
        self.found["tagged"].forget()
