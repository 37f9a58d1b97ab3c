"""The action `generation` as a play calls it, with either strategy and on a host that has nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SECRET = "correct horse battery staple"
VARIABLES: dict[str, Any] = {
    "release_app": "dash-board",
    "release_settings_module": "{{ name_of_project }}.settings",
    "name_of_project": "core",
    "release_environment": {"HOST": "{{ inventory_hostname }}"},
    "release_secrets": {"SECRET_KEY": "{{ vault_secret }}"},
    "vault_secret": SECRET,
    "release_shared_paths": [],
    "asgi_workers": [{"name": "queue", "command": "echo '{% raw %}{{ not_a_template }}{% endraw %}'"}],
    "preflight_host": {"processes": 2, "manager": "systemd"},
    "release_prepared": {"name": "0123456789ab", "version": "v1", "code": "/srv/x/code", "venv": "/srv/x/venv"},
}
PLAY = {
    "hosts": "all",
    "gather_facts": False,
    "vars_files": [f"{ROOT}/roles/asgi/defaults/main.yml", f"{ROOT}/roles/asgi/vars/main.yml", "values.yml"],
    "tasks": [
        {"name": "Specify it", "channels.stack.generation": None, "register": "__asgi_specified"},
        {
            "name": "Write it",
            "channels.stack.generation": {"state": "written", "name": "{{ _asgi_specification.name }}"},
            "register": "__asgi_written",
        },
        {
            "name": "Write it with one process",
            "channels.stack.generation": {
                "state": "written", "name": "{{ _asgi_specification.name }}", "processes": "{{ 1 }}",
            },
            "register": "__asgi_limited",
        },
        {"ansible.builtin.copy": {"content": "{{ [__asgi_specified, __asgi_written, __asgi_limited] | to_json }}",
                                  "dest": "results.json"}, "check_mode": False, "diff": False},
    ],
}  # fmt: skip


@pytest.mark.parametrize("strategy", ["channels.stack.fastest", "ansible.builtin.linear"])
def test_specified_and_foretold_on_a_bare_host(tmp_path: Path, strategy: str) -> None:
    base = tmp_path / "srv"
    (tmp_path / "templates").symlink_to(ROOT / "templates" / "asgi")
    (tmp_path / "values.yml").write_text(yaml.safe_dump({**VARIABLES, "_asgi_base": str(base)}))
    (tmp_path / "play.yml").write_text(yaml.safe_dump([PLAY]))
    inventory = {"app": {"hosts": {"one": {"ansible_connection": "local"}}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [program, "-i", tmp_path / "hosts.yml", tmp_path / "play.yml", "--check", "--diff", "-vvv"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_STRATEGY": strategy}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert SECRET not in output and "[WARNING]: Encountered" not in output
    specified, written, limited = json.loads((tmp_path / "results.json").read_text())
    document = specified["generation"]
    assert not specified["changed"] and not base.exists()
    home = f"{base}/generations/{document['name']}"
    paths = [home, f"{home}/generation.json"]
    paths += [f"{home}/{entry['path']}" for key in ("files", "manager_files") for entry in document[key]]
    assert written["changed"] and sorted(written["paths"]) == sorted(paths)
    assert written["generation"] == document and len(document["sockets"]) == 2
    assert limited["generation"]["name"] == document["name"] and len(limited["generation"]["sockets"]) == 1
    diffs = {diff["after_header"]: diff["after"] for diff in written["diff"]}
    assert "secret" in diffs[f"{home}/env"] and "cd /srv/x/code\n" in diffs[f"{home}/within"]
    assert "echo '\"'\"'{{ not_a_template }}'\"'\"'" in diffs[f"{home}/work"], "a text was templated twice"


def test_variable_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(
        yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": PLAY["tasks"][:1]}])
    )
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [program, "-i", "localhost,", "-c", "local", tmp_path / "play.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode and "'release_settings_module' is undefined" in done.stdout + done.stderr
