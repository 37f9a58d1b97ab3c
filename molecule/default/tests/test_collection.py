"""The collection as its users install it: built, installed into an empty folder, and run from there by its name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lab_host import ROOT, LabHost


class Folder:
    """A folder with only an inventory and requirements.yml, and the collection beside it."""

    def __init__(self, folder: Path) -> None:
        self.home, self.installed = folder / "mine", folder / "collections"
        self.home.mkdir()
        inventory = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"
        (self.home / "inventory").symlink_to(inventory)
        self.command("ansible-galaxy", "collection", "build", "--output-path", str(folder), str(ROOT))
        (built,) = folder.glob("channels-stack-*.tar.gz")
        (self.home / "requirements.yml").write_text(f"collections:\n  - {{name: {built}, type: file}}\n")
        self.command("ansible-galaxy", "collection", "install", "-r", "requirements.yml", "-p", str(self.installed))

    def command(self, program: str, *arguments: str, **environment: str) -> str:
        """Run one of Ansible's programs here; return its output, or fail the test if it fails."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        given = {"ANSIBLE_COLLECTIONS_PATH": str(self.installed), "ANSIBLE_NOCOLOR": "1"} | environment
        done = subprocess.run(
            [str(Path(sys.executable).with_name(program)), *arguments],
            cwd=self.home, env=kept | given, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    def play(self, name: str, host: str, **environment: str) -> str:
        """Run a playbook of the collection on a host; the lab's own inventory finds its files where they always are."""
        more = ("--limit", f"{host},localhost", "-e", f"lab_root={ROOT}")
        return self.command("ansible-playbook", f"channels.stack.{name}", "-i", "inventory", *more, **environment)


@pytest.fixture(scope="module")
def folder(lab: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """One folder for all tests of this module, which check the same on both Debians."""
    if not lab.name.endswith("bookworm"):
        pytest.skip("is the controller's business, and was tried on another host")
    return Folder(tmp_path_factory.mktemp("collection"))


def test_site_is_the_one_that_the_clone_has_made(folder: Folder, lab: LabHost) -> None:
    """Nothing is changed, and all is proven; reports are where the run started, and nothing is in the collection."""
    before = sorted(
        path for path in folder.installed.rglob("*") if path.suffix != ".pyc" and path.name != "__pycache__"
    )
    said = folder.play("site", lab.name)
    assert f"{lab.name} " in said and "changed=0 " in said.split("PLAY RECAP")[1]
    assert "Handshake from the controller, as a browser would" in said
    assert (folder.home / "artifacts" / "handshake" / f"{lab.name}.html").is_file()
    after = sorted(path for path in folder.installed.rglob("*") if path.suffix != ".pyc" and path.name != "__pycache__")
    assert before == after and len(after) > 300
    collection = folder.installed / "ansible_collections" / "channels" / "stack"
    assert (collection / "CHANGELOG.md").is_file() and (collection / "changelogs" / "changelog.yaml").is_file()


def test_secrets_of_an_inventory_are_made_without_a_clone(folder: Folder, tmp_path: Path) -> None:
    """The password is created too, and a second run finds it by itself and changes nothing."""
    vault = folder.home / "own" / "group_vars" / "all" / "vault.yml"
    vault.parent.mkdir(parents=True)
    (folder.home / "own" / "hosts.yml").write_text("app: {hosts: {one: {ansible_host: '!!!SET the address!!!'}}}\n")
    vault.touch(mode=0o600)
    vault.write_text('vault_secret_key: "!!!SET a random string of 50 characters or more!!!"\n')
    environment = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": ""}

    def make() -> str:
        return folder.command("ansible-playbook", "channels.stack.secrets", "-i", "own", **environment)

    password = tmp_path / ".config" / "ansible-channels-stack" / "own.password"
    said = make()
    assert "changed=1 " in said and f"export ANSIBLE_VAULT_PASSWORD_FILE={password}" in said
    assert "ansible-playbook channels.stack.site -i own" in said
    made = vault.read_bytes()
    assert made.startswith(b"$ANSIBLE_VAULT;")
    assert [path.stat().st_mode & 0o777 for path in (vault, password)] == [0o600, 0o600]
    assert "changed=0 " in make() and vault.read_bytes() == made


def test_its_strategy_is_mitogen_s(folder: Folder, lab: LabHost) -> None:
    said = folder.play("status", lab.name, ANSIBLE_STRATEGY="channels.stack.fastest")
    assert "Mitogen" not in said and "live" in said


@pytest.mark.parametrize(
    ("kind", "name", "shown"),
    [
        ("role", "asgi", "ENTRY POINT: *main"),
        ("module", "websocket_handshake", "OPTIONS"),
        ("module", "file_set", "OPTIONS"),
        ("lookup", "extra_var", "release_version=v1"),
        ("strategy", "fastest", "Mitogen"),
        ("filter", "failure_hints", "failure"),
    ],
)
def test_documentation_is_shown(folder: Folder, kind: str, name: str, shown: str) -> None:
    said = folder.command("ansible-doc", "-t", kind, f"channels.stack.{name}")
    assert shown in said and "ERROR" not in said, said
