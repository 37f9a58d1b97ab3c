"""The example inventories stop a run while their placeholders stand, and pass once these are filled in."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = [ROOT / "site.yml", *sorted((ROOT / "playbooks").glob("*.yml"))]
PREFLIGHT = ROOT / "playbooks" / "preflight.yml"
ANSWER = "python=3.11.2\nid=debian\nversion=12\ninit=systemd\nuser=root\napt=yes\ncores=2\nmemory_mb=2000\n"
PLACEHOLDER = re.compile(r"!!!SET .*?!!!")


def filled_in(text: str) -> str:
    """Return an inventory's text as its user completes it."""
    text = re.sub(r"(?<=site_name: ).*", "www.example.org", text)
    return PLACEHOLDER.sub("filled-in-with-a-value-of-its-own", text)


def run(playbooks: list[Path], inventory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run playbooks against an inventory whose hosts answer the probe as a Debian would."""
    command = [str(Path(sys.executable).with_name("ansible-playbook")), *map(str, playbooks), "-i", str(inventory)]
    command += options
    given = {"ansible_connection": "scripted", "scripted_answer": ANSWER, "certificate_acme_check_names": False}
    extra = ["-e", json.dumps(given)]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_CONNECTION_PLUGINS": str(ROOT / "tests" / "connection"),
    }
    return subprocess.run([*command, *extra], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["staging", "production"])
def test_placeholders_stop_the_run(name: str) -> None:
    done = run([PREFLIGHT], ROOT / "inventories" / name)
    assert done.returncode
    for variable in ("release_repository", "site_name", "vault_secret_key", "vault_jwt_secret", "vault_redis_password"):
        assert f"variable  {variable} " in done.stdout, done.stdout


def completed(name: str, folder: Path) -> Path:
    """Return a copy of an inventory as its user completes it."""
    copy = folder / name
    shutil.copytree(ROOT / "inventories" / name, copy)
    for path in copy.rglob("*.yml"):
        text = re.sub(r"(?<=release_repository: ).*", "git@host:team/project.git", path.read_text())
        path.write_text(filled_in(text))
    return copy


@pytest.mark.parametrize("name", ["staging", "production"])
def test_filled_in_it_is_sound(name: str, tmp_path: Path) -> None:
    copy = completed(name, tmp_path)
    done = run([PREFLIGHT], copy)
    assert done.returncode == 0, done.stdout + done.stderr


def test_authorities_in_an_inventory_are_no_inventory(tmp_path: Path) -> None:
    """They are made beside its hosts; Ansible would read each file in there for hosts, and complain of it."""
    copy = tmp_path / "staging"
    shutil.copytree(ROOT / "inventories" / "staging", copy)
    for folder in ("authority", "stores-authority"):
        (copy / folder).mkdir()
        (copy / folder / "authority.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    done = run([ROOT / "playbooks" / "inspect.yml"], copy, "--list-hosts")
    assert done.returncode == 0 and "CERTIFICATE" not in done.stdout + done.stderr, done.stderr
    assert "as an inventory source" not in done.stderr, done.stderr


def test_hosts_of_production_share_a_database(tmp_path: Path) -> None:
    """With an SQLite each, as staging's one host has it, the preflight would stop it; and it is no SQLite."""
    copy = completed("production", tmp_path)
    main = copy / "group_vars" / "all" / "main.yml"
    assert 'DATABASE_URL: "{{ postgresql_url }}"' in main.read_text() and "sqlite" not in main.read_text().lower()
    shown = main.read_text()
    main.write_text(
        shown.replace('DATABASE_URL: "{{ postgresql_url }}"', "DATABASE_URL: sqlite:////srv/dashboard/shared/db")
    )
    done = run([PREFLIGHT], copy)
    assert done.returncode and "DATABASE_URL names an SQLite, and there are 2 app hosts" in done.stdout, done.stdout


def test_production_is_a_fleet_that_can_lose_a_machine_of_each_kind() -> None:
    """But the database's."""
    listed = yaml.safe_load((ROOT / "inventories" / "production" / "hosts.yml").read_text())["all"]["children"]
    numbers = {group: len((hosts or {}).get("hosts") or {}) for group, hosts in listed.items()}
    assert numbers == {"proxy": 2, "app": 2, "redis": 3, "database": 1, "monitoring": 0}
    addresses = [
        host["private_address"] for hosts in listed.values() for host in ((hosts or {}).get("hosts") or {}).values()
    ]
    assert len(set(addresses)) == 8


@pytest.mark.parametrize("name", ["lab", "local", "staging", "production"])
def test_playbooks_parse(name: str) -> None:
    """In one run: Ansible names the one that does not, and starting takes longer than reading."""
    done = run(PLAYBOOKS, ROOT / "inventories" / name, "--syntax-check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"playbook: {playbook}" in done.stdout for playbook in PLAYBOOKS)
