"""What the vault says before, during and after a rotation, and which secrets are whose."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.channels.stack.plugins.module_utils.vault import files
from ansible_collections.channels.stack.plugins.module_utils.vault.files import SecretsError
from ansible_collections.channels.stack.plugins.module_utils.vault.rotation import Outcome, Rotation, listed

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = VaultLib([("default", VaultSecret(b"password"))])
KINDS = {
    "redis": "vault_redis_password",
    "jwt": "vault_jwt_secret",
    "django": "vault_secret_key",
    "database": "vault_postgresql_password",
}


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Production's example, with secrets that are made and encrypted."""
    folder = tmp_path / "mine"
    for path in (ROOT / "inventories" / "production").rglob("*.yml"):
        copy = folder / path.relative_to(ROOT / "inventories" / "production")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    file = files.read(folder / "group_vars" / "all" / "vault.yml", LIBRARY)
    file.fill()
    files.save(file, LIBRARY)
    return folder


def text(inventory: Path) -> str:
    """Return what the vault says."""
    return files.read(inventory / "group_vars" / "all" / "vault.yml", LIBRARY).text


def values(inventory: Path) -> dict[str, str]:
    """Return the variables of the vault."""
    return dict(yaml.safe_load(text(inventory)))


def rotate(inventory: Path, *names: str, dry: bool = False) -> Outcome:
    """Rotate secrets of an inventory."""
    return Rotation(inventory, LIBRARY).run(names, dry=dry)


def edit(inventory: Path, name: str, old: str, new: str) -> None:
    """Replace a piece of a file of variables."""
    path = inventory / "group_vars" / "all" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(("kind", "variable"), KINDS.items())
def test_rotation_begins_is_not_repeated_and_ends(inventory: Path, kind: str, variable: str) -> None:
    before = values(inventory)
    told = rotate(inventory, kind)
    assert (told.rotated, told.under_way, told.notices) == ([variable], [variable], [])
    between = values(inventory)
    assert between[variable] != before[variable] and between[f"{variable}_previous"] == before[variable]
    changed = {name for name in between if between[name] != before.get(name)}
    assert changed == {variable, f"{variable}_previous"} | ({"vault_postgresql_login"} if kind == "database" else set())
    # A run that was killed begins again, by this name or by the variable's.
    for name in (kind, variable):
        told = rotate(inventory, name)
        assert (told.rotated, told.files, told.under_way) == ([], [], [variable])
        assert "under way" in told.notices[-1]
    assert values(inventory) == between
    told = rotate(inventory, "finish")
    assert (told.ended, told.under_way) == ([variable], [])
    assert values(inventory) == {**between, f"{variable}_previous": ""}
    assert rotate(inventory, "finish").files == []
    # And again: the empty one is used, and what it was before is gone.
    rotate(inventory, kind)
    assert values(inventory)[f"{variable}_previous"] == between[variable]
    assert before[variable] not in text(inventory)


def test_users_of_the_database_take_turns(inventory: Path) -> None:
    """Also where the password is rotated by its own name."""
    for name, login in (("database", "b"), ("vault_postgresql_password", "a"), ("all", "b")):
        rotate(inventory, name)
        assert values(inventory)["vault_postgresql_login"] == login
        rotate(inventory, "finish")


def test_all_is_rotated_at_once_and_comments_stay(inventory: Path) -> None:
    before = text(inventory)
    told = rotate(inventory, "all")
    assert sorted(told.rotated) == sorted(KINDS.values()) and told.notices == []
    lines = [line.partition(":")[0] for line in text(inventory).splitlines() if "_previous" not in line]
    assert lines == [*(line.partition(":")[0] for line in before.splitlines()), "vault_postgresql_login"]


def test_what_is_read_nowhere_is_told(inventory: Path) -> None:
    """With "all" it is left out, by its name it is done all the same; but for the database's, which would not serve."""
    edit(inventory, "main.yml", "JWT_SECRET_PREVIOUS: \"{{ vault_jwt_secret_previous | default('') }}\"", "A: b")
    edit(inventory, "main.yml", "vault_secret_key_previous", "vault_other")
    told = rotate(inventory, "all", dry=True)
    assert sorted(told.rotated) == ["vault_postgresql_password", "vault_redis_password"]
    hint = "JWT_SECRET_PREVIOUS: \"{{ vault_jwt_secret_previous | default('') }}\""
    assert (
        len(told.notices) == 2 and hint in " ".join(told.notices) and "SECRET_KEY_FALLBACKS" in " ".join(told.notices)
    )
    told = rotate(inventory, "jwt")
    assert told.rotated == ["vault_jwt_secret"] and hint in told.notices[0]
    edit(inventory, "main.yml", "{{ postgresql_url }}", "postgresql://shop:{{ postgresql_password }}@h/shop")
    with pytest.raises(SecretsError, match="postgresql_login"):
        rotate(inventory, "database")


def test_check_mode_writes_nothing(inventory: Path) -> None:
    before = text(inventory)
    assert rotate(inventory, "all", dry=True).rotated and text(inventory) == before


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["redsi"], "'redsi' is nothing that is rotated. Write some of redis, jwt"),
        (["vault_redis_password_previous"], "nothing that is rotated"),
        (["redis", "finish"], "finish ends all"),
        (["redis", "vault_nope"], "No file of secrets below"),
    ],
)
def test_bad_names_change_nothing(inventory: Path, names: list[str], reason: str) -> None:
    before = text(inventory)
    with pytest.raises(SecretsError, match=reason):
        rotate(inventory, *names)
    assert text(inventory) == before


def test_values_that_cannot_be_rotated_change_nothing(inventory: Path) -> None:
    vault = inventory / "group_vars" / "all" / "vault.yml"
    for given, reason in {
        '"!!!SET a random string!!!"': "has no value yet",
        "|\n  -----BEGIN\n  KEY": "no text on one line",
        '"one\n  two"': "no text on one line",
    }.items():
        vault.write_text(f"vault_jwt_secret: {given}\nvault_redis_password: abc\n")
        with pytest.raises(SecretsError, match=reason):
            rotate(inventory, "redis", "vault_jwt_secret")
        assert given in vault.read_text() and "previous" not in vault.read_text()
    vault.write_text("vault_redis_password: abc\n")
    (inventory / "group_vars" / "redis").mkdir(exist_ok=True)
    (inventory / "group_vars" / "redis" / "vault.yml").write_text("vault_redis_password: def\n")
    with pytest.raises(SecretsError, match="set in several files"):
        rotate(inventory, "redis")
    (inventory / "group_vars" / "all" / "main.yml").write_text("a: b\n")
    with pytest.raises(SecretsError, match="Name the variable itself"):
        rotate(inventory, "redis")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("JWT_SECRET_KEY", "jwt"), ("SIMPLE_JWT_SIGNING_KEY", "jwt"), ("JWT_PUBLIC_KEY", ""), ("STRIPE_SECRET_KEY", ""),
        ("DJANGO_SECRET_KEY", "django"), ("MY_DJANGO_SECRET_KEY", "django"), ("AWS_SECRET_KEY", ""),
        ("SECRET_KEY_FALLBACKS", ""), ("JWT_SECRET_PREVIOUS", ""),
    ],
)  # fmt: skip
def test_names_of_the_environment_say_what_a_secret_is_for(inventory: Path, name: str, kind: str) -> None:
    (inventory / "group_vars" / "all" / "main.yml").write_text(
        f'release_secrets: {{{name}: "{{{{ vault_x }}}}"}}\nother: {{{name}: "{{{{ vault_y }}}}"}}\n'
    )
    found = Rotation(inventory, LIBRARY)
    assert {one: found.of_kind(one) for one in ("jwt", "django")} == {
        one: ["vault_x"] if one == kind else [] for one in ("jwt", "django")
    }


def test_quotes_of_an_old_value_stay_what_they_are(inventory: Path) -> None:
    vault = inventory / "group_vars" / "all" / "vault.yml"
    vault.write_text("vault_redis_password: 'it''s #1: {{ x }}' # ours\nvault_last: |\n  abc\n  def")
    rotate(inventory, "redis", "vault_redis_password")
    lines = text(inventory).splitlines()
    assert lines[0].endswith('" # ours') and lines[1] == "vault_redis_password_previous: 'it''s #1: {{ x }}'"
    assert values(inventory)["vault_last"] == "abc\ndef"


def test_lists_of_names() -> None:
    assert listed("redis, jwt django,") == listed(["redis", " jwt", "django"]) == ["redis", "jwt", "django"]
    assert listed(None) == listed([]) == []


PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: rotate, rolespec_validate: false}
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: rotate, tasks_from: reload_vault, rolespec_validate: false}
    - ansible.builtin.debug: {msg: "{{ inventory_hostname }} has {{ redis_password | hash('sha256') }}"}
"""


def test_run_that_rotates_has_the_new_values_and_shows_none(inventory: Path, tmp_path: Path) -> None:
    """Also one whose password is asked for, since the vault is written by the run itself."""
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("password\n")
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, str(tmp_path / "play.yml"), "-i", str(inventory), f"--vault-password-file={password}", "-vvv"]
    environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}

    def run(*options: str) -> str:
        done = subprocess.run(
            [*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    before = values(inventory)
    assert digest(before) in run("--check", "-e", "rotate_secrets=redis,jwt") and values(inventory) == before
    said = run("-e", "rotate_secrets=redis,jwt")
    after = values(inventory)
    assert digest(after) != digest(before) and after["vault_jwt_secret_previous"] == before["vault_jwt_secret"]
    for host in ("app-1", "redis-1", "database-1"):
        assert f"{host} has {digest(after)}" in said
    assert not [value for value in (*before.values(), *after.values()) if len(value) > 9 and value in said]


def digest(given: dict[str, str]) -> str:
    """Return the hash of Redis' password, which may be shown."""
    return hashlib.sha256(given["vault_redis_password"].encode()).hexdigest()
