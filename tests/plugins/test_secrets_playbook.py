"""`playbooks/secrets.yml`: a run makes the secrets of its inventory, also from an installed collection."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.channels.stack.plugins.module_utils.inspection import inspect, summary
from ansible_collections.channels.stack.plugins.module_utils.inspection import inventory as project_inventory
from ansible_collections.channels.stack.plugins.module_utils.preflight.values import placeholder_problems
from ansible_collections.channels.stack.plugins.module_utils.text import commands
from ansible_collections.channels.stack.plugins.module_utils.vault.files import LENGTH
from ansible_collections.channels.stack.plugins.module_utils.vault.secrets import with_secrets

ROOT = Path(__file__).resolve().parents[2]
KEPT = "already-set-and-secret"
PLAIN = f"""vault_secret_key: "!!!SET a random string!!!"
vault_mine: {KEPT}
vault_api_key: "!!!SET the key of a service!!!"
"""
Play = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """An inventory with placeholders, whose vault is not encrypted yet."""
    folder = tmp_path / "mine"
    (folder / "group_vars" / "all").mkdir(parents=True)
    (folder / "hosts.yml").write_text("app: {hosts: {one: {ansible_host: '!!!SET the address!!!'}}}\n")
    vault(folder).write_text(PLAIN)
    vault(folder).chmod(0o600)
    return folder


@pytest.fixture
def play(inventory: Path, tmp_path: Path) -> Play:
    """Return a function that runs the playbook on the inventory, for a user who has a home of their own."""

    def run(*options: str, playbook: str = str(ROOT / "playbooks" / "secrets.yml"), **environment: str) -> Any:
        known = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        known |= {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": "", "ANSIBLE_NOCOLOR": "1"}
        known["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
        command = [str(Path(sys.executable).with_name("ansible-playbook")), playbook, "-i", str(inventory), *options]
        return subprocess.run(
            command, cwd=tmp_path, env=known | environment, capture_output=True, text=True, check=False, input=""
        )

    return run


def vault(inventory: Path) -> Path:
    """Return the path of an inventory's secrets."""
    return inventory / "group_vars" / "all" / "vault.yml"


def default_file(tmp_path: Path) -> Path:
    """Return where the password of the inventory is by default."""
    return tmp_path / "home" / ".config" / "ansible-channels-stack" / "mine.password"


def password_file(path: Path, password: str) -> Path:
    """Write a password that only its user can read."""
    path.touch(mode=0o600)
    path.write_text(f"{password}\n")
    return path


def opened(path: Path, password: str) -> dict[str, str]:
    """Return the values in an encrypted file."""
    content: dict[str, str] = yaml.safe_load(
        VaultLib([("default", VaultSecret(password.encode()))]).decrypt(path.read_bytes())
    )
    return content


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Return all that a run has printed, on one line."""
    return " ".join((done.stdout + done.stderr).split())


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return contents and times of all files."""
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_secrets_are_made_shown_nowhere_and_kept(play: Play, inventory: Path, tmp_path: Path) -> None:
    """Without a password anywhere, also in the second run, whose Ansible has to decrypt the vault first."""
    done = play("-vvv", "--diff")
    assert done.returncode == 0 and "changed=1 " in done.stdout, done.stdout + done.stderr
    file = default_file(tmp_path)
    password = file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600 and vault(inventory).stat().st_mode & 0o777 == 0o600
    values = opened(vault(inventory), password)
    assert len(values["vault_secret_key"]) == LENGTH and values["vault_mine"] == KEPT
    for secret in (password, *(values[name] for name in ("vault_secret_key", "vault_mine"))):
        assert secret not in done.stdout + done.stderr
    for text in (
        "vault_secret_key",
        "the address",
        "the key of a service",
        f"export ANSIBLE_VAULT_PASSWORD_FILE={file}",
    ):
        assert text in said(done), said(done)
    before = state(tmp_path)
    again = play("-vvv")
    assert again.returncode == 0 and "changed=0 " in again.stdout, again.stdout + again.stderr
    assert "nothing was changed" in said(again) and values["vault_secret_key"] not in said(again)
    assert {path: each for path, each in state(tmp_path).items() if ".ansible" not in path} == before


def test_check_mode_says_what_it_would_do(play: Play, tmp_path: Path) -> None:
    before = state(tmp_path)
    done = play("--check", "--diff", "-vvv")
    assert done.returncode == 0 and "changed=1 " in done.stdout, done.stdout + done.stderr
    for text in ("vault.yml would be encrypted", "vault_secret_key", "password would be made"):
        assert text in said(done), said(done)
    assert "export" not in done.stdout and KEPT not in said(done)
    assert state(tmp_path) == before and not default_file(tmp_path).exists()


@pytest.mark.parametrize("how", ["option", "environment"])
def test_password_is_that_of_the_run(play: Play, inventory: Path, tmp_path: Path, how: str) -> None:
    file = password_file(tmp_path / "own", "password-of-mine")
    done = play(f"--vault-password-file={file}") if how == "option" else play(ANSIBLE_VAULT_PASSWORD_FILE=str(file))
    assert done.returncode == 0 and not default_file(tmp_path).exists(), done.stdout + done.stderr
    assert opened(vault(inventory), "password-of-mine")["vault_mine"] == KEPT
    assert "export" not in done.stdout


def test_wrong_password_changes_nothing(play: Play, inventory: Path, tmp_path: Path) -> None:
    """Of a file that Ansible itself does not read for this run: it is of a host."""
    library = VaultLib([("default", VaultSecret(b"password-of-mine"))])
    other = inventory / "host_vars" / "one" / "vault.yml"
    other.parent.mkdir(parents=True)
    other.write_bytes(library.encrypt(f"vault_other: {KEPT}\n"))
    file = password_file(tmp_path / "wrong", "another-password")
    before = state(inventory)
    done = play(f"--vault-password-file={file}", "-vvv")
    assert done.returncode and "encrypted, and not with this password" in said(done), said(done)
    assert "ANSIBLE_VAULT_PASSWORD_FILE=" in said(done) and "--ask-vault-pass" in said(done)
    assert "another-password" not in said(done) and KEPT not in said(done)
    without = play()
    assert without.returncode and f"there is no {default_file(tmp_path)} with its password" in said(without)
    assert state(inventory) == before and not default_file(tmp_path).exists()


def test_wrong_password_of_what_ansible_reads_itself(play: Play, inventory: Path, tmp_path: Path) -> None:
    vault(inventory).write_bytes(VaultLib([("default", VaultSecret(b"password-of-mine"))]).encrypt(PLAIN))
    before = state(inventory)
    done = play(f"--vault-password-file={password_file(tmp_path / 'wrong', 'another-password')}", "-vvv")
    assert done.returncode and "Decryption failed" in said(done), said(done)
    assert KEPT not in said(done) and state(inventory) == before


def test_password_that_others_can_read_is_refused(play: Play, inventory: Path, tmp_path: Path) -> None:
    play()
    before = state(inventory)
    default_file(tmp_path).chmod(0o644)
    done = play("-vvv")
    assert done.returncode and f"chmod 600 {default_file(tmp_path)}" in said(done), said(done)
    assert state(inventory) == before and default_file(tmp_path).read_text().strip() not in said(done)


def test_inventories_of_a_run(inventory: Path, tmp_path: Path) -> None:
    """Each folder once, since it is locked; of several, those with a vault."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "hosts").write_text("one\n")
    hosts = str(inventory / "hosts.yml")
    assert with_secrets([str(inventory), hosts, str(tmp_path / "lists"), "one,"]) == [Path(hosts)]
    assert with_secrets([str(tmp_path / "lists")]) == [tmp_path / "lists"] and with_secrets(["one,"]) == []


def test_run_without_an_inventory_is_told_so(play: Play, inventory: Path) -> None:
    shutil.rmtree(inventory)
    done = play()
    assert done.returncode and "-i inventories/mine" in said(done), said(done)


def test_installed_collection_makes_them(play: Play, inventory: Path, tmp_path: Path) -> None:
    """And names commands that it has."""
    installed = tmp_path / "collections" / "ansible_collections" / "channels" / "stack"
    for name in ("plugins", "playbooks", "roles/secrets", "meta"):
        shutil.copytree(ROOT / name, installed / name)
    (tmp_path / "empty.cfg").touch()
    environment = {
        "ANSIBLE_CONFIG": str(tmp_path / "empty.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"),
    }
    done = play(playbook="channels.stack.secrets", **environment)
    assert done.returncode == 0 and vault(inventory).read_text().startswith("$ANSIBLE_VAULT"), said(done)
    assert "ansible-playbook channels.stack.site -i mine" in said(done) and "site.yml" not in said(done)


CLONE = [
    "make secrets INVENTORY=mine",
    "ansible-playbook -i mine site.yml",
    "ansible-playbook -i mine playbooks/deploy.yml",
]
INSTALLED = [f"ansible-playbook channels.stack.{name} -i mine" for name in ("secrets", "site", "deploy")]


@pytest.fixture(params=["clone", "installed"])
def named(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands for secrets, site and deploy, in a clone and where the collection was installed."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "site.yml").touch()  # which the tarball has too
    if request.param == "clone":
        (root / "Makefile").touch()
    monkeypatch.setattr(commands, "ROOT", root)
    return CLONE if request.param == "clone" else INSTALLED


def test_commands(named: list[str]) -> None:
    mine = [commands.secrets_command("mine"), *(commands.playbook_command(name, "mine") for name in ("site", "deploy"))]
    assert mine == named


def test_this_is_a_clone() -> None:
    assert commands.in_clone() and commands.playbook_name("inspect") == "playbooks/inspect.yml"


def test_inspection_names_commands_that_exist(
    named: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In what it prints, and in all that it writes."""
    found = inspect.inspect(ROOT / "examples" / "dashboard" / "backend")
    monkeypatch.chdir(tmp_path)
    written = project_inventory.write(found, tmp_path / "mine")
    lines = "\n".join(summary.summary(found, written, tmp_path / "mine"))
    hosts = (tmp_path / "mine" / "hosts.yml").read_text()
    for text in (lines, hosts):
        assert f" {named[0]}" in text and f" {named[1]}\n" in f"{text}\n"
    secrets = " ".join(re.sub("^# ", "", line) for line in vault(tmp_path / "mine").read_text().splitlines())
    assert f"`{named[0]}`" in secrets
    everything = lines + "".join(path.read_text() for path in written)
    foreign = ["channels.stack."] if named is CLONE else ["make secrets", "site.yml", "playbooks/"]
    assert not [text for text in foreign if text in everything]


def test_preflight_names_a_command_that_exists(named: list[str]) -> None:
    text = "!!!SET a random string!!!"
    option = "vault_redis_password"
    host: Any = SimpleNamespace(
        roles=[SimpleNamespace(options={option: {}})], sources=lambda name: [name], raw=lambda name: text, faulty=set()
    )
    (problem,) = placeholder_problems(host, "mine/group_vars/all/vault.yml")
    assert f"\n  {named[0]}\n" in problem.fix
