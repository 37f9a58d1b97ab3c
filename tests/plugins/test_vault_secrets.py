"""Secrets of an inventory: what is made, what is left alone, and that nothing of it is ever plain on the disk."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.channels.stack.plugins.module_utils.inspection.given import HINTS
from ansible_collections.channels.stack.plugins.module_utils.vault import files
from ansible_collections.channels.stack.plugins.module_utils.vault.files import LENGTH, SecretsError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "vault_secrets.py"
MINE = """# What this file is for.
---
vault_secret_key: "!!!SET a random string of 50 characters or more!!!" # Django's

vault_mine: "already: set #1"
vault_broker: '!!!SET the address of your message broker, with user and password!!!'
vault_long: '!!!SET a random string of 80 characters!!!'
vault_many:
  - {name: one, key: '!!!SET a random string!!!'}
"""
Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """An inventory with placeholders of all kinds."""
    folder = tmp_path / "inventories" / "mine"
    (folder / "group_vars" / "all").mkdir(parents=True)
    (folder / "hosts.yml").write_text('app:\n  hosts:\n    one:\n      ansible_host: "!!!SET the address!!!"\n')
    (folder / "group_vars" / "all" / "main.yml").write_text(
        '---\n# Not this: !!!SET a comment!!!\nsite_name: "!!!SET such as www.example.org!!!"\n'
        'release_secrets: {SECRET_KEY: "{{ vault_secret_key }}"}\nodd_key: "!!!SET a random string!!!"\n'
    )
    vault(folder).write_text(MINE)
    return folder


def vault(inventory: Path) -> Path:
    """Return the path of an inventory's secrets."""
    return inventory / "group_vars" / "all" / "vault.yml"


@pytest.fixture
def make(inventory: Path, tmp_path: Path) -> Make:
    """Return a function that runs the script on the inventory as a user does, who has a home of their own."""

    def ran(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        known |= {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": "", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        command = [sys.executable, str(SCRIPT), str(inventory), *options]
        return subprocess.run(
            command, cwd=ROOT, env=known | environment, capture_output=True, text=True, check=False, input=""
        )

    return ran


def password_file(tmp_path: Path) -> Path:
    """Return where the script keeps the password of the inventory."""
    return tmp_path / "home" / ".config" / "ansible-channels-stack" / "mine.password"


def opened(path: Path, password: str) -> str:
    """Return what an encrypted file says."""
    return VaultLib([("default", VaultSecret(password.strip().encode()))]).decrypt(path.read_bytes()).decode()


def test_secrets_are_made_and_all_else_stays(make: Make, inventory: Path, tmp_path: Path) -> None:
    done = make()
    assert done.returncode == 0, done.stderr
    password = password_file(tmp_path)
    assert password.stat().st_mode & 0o777 == 0o600 and len(password.read_text().strip()) == LENGTH
    text = opened(vault(inventory), password.read_text())
    values = yaml.safe_load(text)
    made = [values["vault_secret_key"], values["vault_long"], values["vault_many"][0]["key"]]
    assert [len(value) for value in made] == [LENGTH, 80, LENGTH] and len(set(made)) == 3
    assert all(re.fullmatch("[A-Za-z0-9]+", value) for value in made)
    lines, before = text.splitlines(), MINE.splitlines()
    for number, line in enumerate(before):
        if "random" not in line:
            assert lines[number] == line
    assert lines[2] == f'vault_secret_key: "{made[0]}" # Django\'s'
    assert not [value for value in (*made, password.read_text().strip()) if value in done.stdout + done.stderr]
    for name in ("vault_secret_key", "vault_long", "vault_many.key", "297 bits"):
        assert name in done.stdout
    assert "ANSIBLE_VAULT_PASSWORD_FILE=" in done.stdout


def test_what_only_the_user_knows_is_listed(make: Make, inventory: Path) -> None:
    """With file and line; a comment is none, and what is no file of secrets is not filled in."""
    told = make().stdout
    for line in (
        r"hosts\.yml:4 +app\.hosts\.one\.ansible_host: the address",
        r"main\.yml:3 +site_name: such as www\.example\.org",
        r"main\.yml:5 +odd_key: a random string",
        r"vault\.yml:6 +vault_broker: the address of your message broker.*ansible-vault edit",
    ):
        assert re.search(line, told), f"{line} is not in:\n{told}"
    assert "a comment" not in told
    assert "odd_key" in (inventory / "group_vars" / "all" / "main.yml").read_text()


def test_value_that_is_used_again_is_made_once(inventory: Path) -> None:
    """By an alias: its place in the file is that of the anchor, and it is filled in there alone."""
    text = (
        'vault_a: &x "!!!SET a random string!!!"\nvault_b: *x\nvault_c: &y [*x, "!!!SET a random string!!!"]\nd: *y\n'
    )
    file = files.File(vault(inventory), text)
    assert file.fill() == [] and file.made == ["vault_a", "vault_c"]
    held = yaml.safe_load(file.text)
    assert held["vault_b"] == held["vault_a"] == held["vault_c"][0] != held["vault_c"][1]
    assert (
        all(re.fullmatch(rf"[A-Za-z0-9]{{{LENGTH}}}", value) for value in held["vault_c"])
        and held["d"] == held["vault_c"]
    )
    assert re.fullmatch(r'vault_a: &x "\w+"\nvault_b: \*x\nvault_c: &y \[\*x, "\w+"\]\nd: \*y\n', file.text)


def test_second_run_changes_nothing(make: Make, inventory: Path) -> None:
    make()
    before = vault(inventory).read_bytes(), vault(inventory).stat().st_mtime_ns, vault(inventory).stat().st_ino
    done = make()
    assert "nothing was changed" in done.stdout and done.returncode == 0
    assert (
        vault(inventory).read_bytes(),
        vault(inventory).stat().st_mtime_ns,
        vault(inventory).stat().st_ino,
    ) == before


def test_new_placeholders_of_an_encrypted_file_are_filled_in(make: Make, inventory: Path, tmp_path: Path) -> None:
    make()
    password = password_file(tmp_path).read_text()
    before = opened(vault(inventory), password)
    secret = VaultSecret(password.strip().encode())
    more = before + 'vault_more: "!!!SET a random string of 32 characters or more!!!"\n'
    vault(inventory).write_bytes(VaultLib([("default", secret)]).encrypt(more))
    assert "vault_more" in make().stdout
    text = opened(vault(inventory), password)
    assert text.startswith(before) and len(yaml.safe_load(text)["vault_more"]) == LENGTH


def test_label_of_a_vault_stays(make: Make, inventory: Path, tmp_path: Path) -> None:
    file = tmp_path / "labelled"
    file.touch(mode=0o600)
    file.write_text("pass-word-of-prod\n")
    secret = VaultSecret(b"pass-word-of-prod")
    vault(inventory).write_bytes(VaultLib([("prod", secret)]).encrypt(MINE, vault_id="prod"))
    done = make(ANSIBLE_VAULT_IDENTITY_LIST=f"prod@{file}")
    assert done.returncode == 0, done.stderr
    assert vault(inventory).read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;prod\n")
    assert "!!!SET a random" not in opened(vault(inventory), "pass-word-of-prod")
    assert not password_file(tmp_path).exists()


def test_owner_says_where_the_password_is(make: Make, inventory: Path, tmp_path: Path) -> None:
    """By an option, or as Ansible itself is told, be it a program."""
    mine = tmp_path / "elsewhere" / "password"
    assert make("--password-file", str(mine)).returncode == 0
    assert mine.stat().st_mode & 0o777 == 0o600 and not password_file(tmp_path).exists()
    assert "Django" in opened(vault(inventory), mine.read_text())
    vault(inventory).write_text(MINE)
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho said-by-a-program\n")
    program.chmod(0o755)
    assert make(ANSIBLE_VAULT_PASSWORD_FILE=str(program)).returncode == 0
    assert "Django" in opened(vault(inventory), "said-by-a-program")


def test_password_is_not_where_git_takes_it(make: Make, inventory: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(inventory)], check=True)
    before = vault(inventory).read_bytes()
    done = make("--password-file", str(inventory / "password"))
    assert done.returncode == 1 and "would be committed" in done.stderr and "VAULT_PASSWORD_FILE=" in done.stderr
    assert not (inventory / "password").exists() and vault(inventory).read_bytes() == before
    (inventory / ".gitignore").write_text("password\n")
    assert make("--password-file", str(inventory / "password")).returncode == 0


def test_bad_passwords_change_nothing(make: Make, inventory: Path, tmp_path: Path) -> None:
    make()
    before, good = vault(inventory).read_bytes(), password_file(tmp_path)
    other = tmp_path / "other"
    other.touch(mode=0o600)
    other.write_text("another\n")
    cases = {"not with this password": other, "no " + str(tmp_path / "none"): tmp_path / "none"}
    for reason, file in cases.items():
        done = make("--password-file", str(file))
        assert done.returncode == 1 and reason in done.stderr and "VAULT_PASSWORD_FILE=" in done.stderr, done.stderr
    assert not (tmp_path / "none").exists(), "a new password opens nothing of what is there"
    good.chmod(0o644)
    assert f"chmod 600 {good}" in make().stderr
    good.chmod(0o600)
    good.write_text("")
    assert "password cannot be had" in make().stderr
    assert vault(inventory).read_bytes() == before


def test_file_that_is_no_yaml_is_told_without_its_secrets(make: Make, inventory: Path) -> None:
    vault(inventory).write_text('vault_a: "hunter2-hunter2"\nvault_b: "hunter3-hunter3\n')
    done = make()
    assert done.returncode == 1 and re.search(r"vault\.yml:\d+ is no YAML", done.stderr), done.stderr
    assert "hunter" not in done.stdout + done.stderr
    assert "no inventory" in make_of(inventory.parent / "nope").stderr


def make_of(inventory: Path) -> subprocess.CompletedProcess[str]:
    """Run the script on an inventory."""
    return subprocess.run([sys.executable, str(SCRIPT), str(inventory)], capture_output=True, text=True, check=False)


def test_killed_anywhere_it_is_the_old_file_or_the_new(
    inventory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each system call that may be the last, what is on the disk is encrypted or was there before."""
    library = VaultLib([("default", VaultSecret(b"password"))])
    before = {path: path.read_bytes() for path in inventory.rglob("*") if path.is_file()}
    names = ["fsync", "unlink", "replace", "close"]
    for name in names:
        for path, content in before.items():
            path.write_bytes(content)
        file = files.read(vault(inventory), library)
        file.fill()
        child = os.fork()
        if not child:  # pragma: no cover
            real = getattr(os, name)

            def die(*given: object, real: Callable[..., object] = real, **more: object) -> object:
                os.kill(os.getpid(), signal.SIGKILL)
                return real(*given, **more)

            monkeypatch.setattr(os, name, die)
            files.save(file, library)
            os._exit(0)
        os.waitpid(child, 0)
        left = {path: path.read_bytes() for path in inventory.rglob("*") if path.is_file()}
        made = set(yaml.safe_load(file.text)["vault_secret_key"].split())
        for path, content in left.items():
            assert content == before.get(path) or content.startswith(b"$ANSIBLE_VAULT;") or not content, (name, path)
            assert not [value for value in made if value.encode() in content]
        assert [path for path in left if path not in before] in ([], [vault(inventory).with_name(".vault.yml.part")])
        open_to = vault(inventory).stat().st_mode
        assert all(path.stat().st_mode & ~open_to & 0o077 == 0 for path in left if path not in before)
    file = files.read(vault(inventory), library)  # and the next run is not disturbed by what is left
    file.fill()
    files.save(file, library)
    assert not vault(inventory).with_name(".vault.yml.part").exists()
    assert files.read(vault(inventory), library).text == file.text


def test_full_disk_leaves_the_old_file(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = VaultLib([("default", VaultSecret(b"password"))])
    file = files.read(vault(inventory), library)
    file.fill()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SecretsError, match="No space left"):
        files.save(file, library)
    assert vault(inventory).read_text() == MINE and len(list(vault(inventory).parent.iterdir())) == 2


def test_mode_and_link_of_a_file_stay(inventory: Path, tmp_path: Path) -> None:
    library = VaultLib([("default", VaultSecret(b"password"))])
    real = tmp_path / "kept-elsewhere.yml"
    vault(inventory).rename(real)
    real.chmod(0o640)
    vault(inventory).symlink_to(real)
    file = files.read(vault(inventory), library)
    file.fill()
    files.save(file, library)
    assert vault(inventory).is_symlink() and real.stat().st_mode & 0o777 == 0o640
    assert real.read_bytes().startswith(b"$ANSIBLE_VAULT;")
    with pytest.raises(AnsibleError):
        VaultLib([("default", VaultSecret(b"another"))]).decrypt(real.read_bytes())


def test_two_at_once_do_not_overwrite_each_other(make: Make, inventory: Path) -> None:
    """The second one waits, and finds what the first has made."""
    with files.locked(inventory):
        command = [sys.executable, str(SCRIPT), str(inventory), f"--password-file={inventory.parent / 'password'}"]
        waiting = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(2)
        assert waiting.poll() is None and vault(inventory).read_text() == MINE
    assert waiting.wait(60) == 0


@pytest.mark.parametrize("name", ["staging", "production"])
def test_example_inventories_have_no_secret_left(make: Make, inventory: Path, name: str) -> None:
    """What their vaults ask for is made, all of it."""
    shutil.rmtree(inventory)
    shutil.copytree(ROOT / "inventories" / name, inventory)
    done = make()
    assert done.returncode == 0 and "vault.yml:" not in done.stdout, done.stdout + done.stderr
    assert "site_name" in done.stdout and vault(inventory).read_text().startswith("$ANSIBLE_VAULT")


def test_placeholders_that_inspection_writes_can_be_made() -> None:
    assert all(files.RANDOM.match(hint) for hint in HINTS.values())
