"""The machine itself as the host: its inventory, and what `make up LAB=local` says before it changes anything."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "inventories" / "local"
SCRIPT = ROOT / "scripts" / "local.py"


@pytest.fixture(scope="module")
def local() -> ModuleType:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("local_machine", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A bare Debian 12 with systemd, as far as the script looks at it."""
    (tmp_path / "etc" / "nginx" / "sites-enabled").mkdir(parents=True)
    (tmp_path / "etc" / "nginx" / "conf.d").mkdir()
    (tmp_path / "etc" / "redis").mkdir()
    (tmp_path / "proc" / "1").mkdir(parents=True)
    (tmp_path / "proc" / "1" / "comm").write_text("systemd\n")
    (tmp_path / "etc" / "os-release").write_text('PRETTY_NAME="Debian GNU/Linux 12"\nVERSION_ID="12"\nID=debian\n')
    return tmp_path


def ansible(playbook: Path | str, inventory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook with the project's configuration."""
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(playbook), "-i", str(inventory), *options]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_CONNECTION_PLUGINS": str(ROOT / "tests" / "connection"),
    }
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def play(path: Path, tasks: str, *options: str) -> str:
    """Run tasks on the inventory's host, and return what was printed."""
    path.write_text(f"- hosts: app\n  gather_facts: false\n  tasks:\n{tasks}")
    done = ansible(path, INVENTORY, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_modules_run_here_by_the_systems_python(tmp_path: Path) -> None:
    """Debian's binding to apt is the system's, and not in the tools' environment that Ansible itself runs in."""
    (tmp_path / "here").write_text("this very machine")
    tasks = f"""
    - ansible.builtin.setup: {{gather_subset: ['!all', '!min', python]}}
      register: __facts
    - ansible.builtin.slurp: {{src: {tmp_path}/here}}
      register: __file
    - ansible.builtin.debug: {{msg: "PYTHON {{{{ __facts.ansible_facts.ansible_python.executable }}}} END"}}
    - ansible.builtin.debug: {{msg: "FILE {{{{ __file.content | b64decode }}}} END"}}
"""
    said = play(tmp_path / "play.yml", tasks, "-e", "ansible_become=false")  # who runs tests may not be root
    assert "PYTHON /usr/bin/python3 END" in said
    assert "FILE this very machine END" in said


@pytest.mark.parametrize("manager", ["systemd", "supervisor"])
def test_packages_are_those_of_role_base(local: ModuleType, tmp_path: Path, manager: str) -> None:
    base = ROOT / "roles" / "base"
    tasks = f"""
    - ansible.builtin.include_vars: {base}/defaults/main.yml
    - ansible.builtin.include_vars: {base}/vars/main.yml
    - ansible.builtin.debug: {{msg: "PACKAGES {{{{ _base_packages | join(' ') }}}} END"}}
"""
    host = json.dumps({"preflight_host": {"manager": manager}, "ansible_become": False})
    said = re.search(r"PACKAGES (.*?) END", play(tmp_path / "play.yml", tasks, "-e", host), re.DOTALL)
    assert said and sorted(said[1].split()) == sorted(local.packages(manager))


def test_ports_are_the_roles(local: ModuleType) -> None:
    for name, daemon in local.DAEMONS.items():
        role = daemon.partition("-")[0]
        defaults = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text())
        assert local.setting(role, name) == str(defaults[name])
        assert name not in yaml.safe_load((ROOT / "inventories/lab/group_vars/all/main.yml").read_text())


def test_own_project_on_the_machine_itself(tmp_path: Path) -> None:
    """What the inventory's head says to do makes an inventory that passes the preflight."""
    lines = (INVENTORY / "hosts.yml").read_text().splitlines()
    copy = next(line.removeprefix("#").strip() for line in lines if "cp -r" in line)
    shutil.copytree(ROOT / "inventories", tmp_path / "inventories", symlinks=True)
    subprocess.run(copy, shell=True, cwd=tmp_path, check=True)
    for path in (tmp_path / "inventories" / "mine").rglob("*.yml"):
        text = re.sub(r"(?<=release_repository: ).*", "git@host:team/project.git", path.read_text())
        text = re.sub(r"(?<=site_name: ).*", "www.example.org", text)
        path.write_text(re.sub(r"!!!SET .*?!!!", "filled-in-with-a-value-of-its-own", text))
    answer = "python=3.11.2\nid=debian\nversion=12\ninit=sleep\nuser=root\napt=yes\ncores=2\nmemory_mb=2000\n"
    extra = {"ansible_connection": "scripted", "scripted_answer": answer, "ansible_become": False}
    extra |= {"certificate_acme_check_names": False}  # www.example.org is somebody else's
    done = ansible("playbooks/preflight.yml", tmp_path / "inventories" / "mine", "-e", json.dumps(extra))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def listener() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_holder_of_a_port_is_named(local: ModuleType, listener: int) -> None:
    name = Path("/proc/self/comm").read_text().strip()
    assert local.holder(listener) == f"{name} (process {os.getpid()})"


def test_free_port_has_no_holder(local: ModuleType) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))  # and does not listen
        assert local.holder(server.getsockname()[1]) == ""


def test_port_taken_is_told(local: ModuleType, listener: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "DAEMONS", {"nginx_http_port": "nginx"})
    monkeypatch.setattr(local, "setting", lambda role, name: str(listener))
    (told,) = local.ports_taken()
    assert f"port {listener}, for nginx, is taken by " in told and f"(process {os.getpid()})" in told
    monkeypatch.setattr(local, "holder", lambda port: "nginx (process 7)")
    assert list(local.ports_taken()) == []


@pytest.mark.parametrize("release", ['ID=ubuntu\nPRETTY_NAME="Ubuntu 24.04"\nVERSION_ID="24.04"\n', "ID=debian\n", ""])
def test_other_systems_are_told(local: ModuleType, machine: Path, release: str) -> None:
    assert list(local.unsupported(machine)) == []
    (machine / "etc" / "os-release").write_text(release)
    (told,) = local.unsupported(machine)
    assert "not Debian 12 or 13" in told


def test_user_without_root_is_told_what_is_missing(
    local: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no sudo" in next(local.root_fault())
    sudo = tmp_path / "sudo"
    for code, told in ((1, "sudo asks for a password"), (0, None)):
        sudo.write_text(f"#!/bin/sh\nexit {code}\n")
        sudo.chmod(0o755)
        found = list(local.root_fault())
        assert (told in found[0]) if told else found == []


def test_configuration_of_others_is_told_before_it_is_replaced(local: ModuleType, machine: Path) -> None:
    assert list(local.replaced(machine)) == []
    nginx = machine / "etc" / "nginx"
    (nginx / "nginx.conf").write_text("user www-data;\n")
    for name in ("shop", "blog.conf"):
        (nginx / "sites-enabled" / name).touch()
    (machine / "etc" / "redis" / "redis.conf").write_text("save 900 1\n")
    (machine / "srv" / "dashboard").mkdir(parents=True)
    told = local.plan(machine)
    assert f"REPLACES  {nginx}/nginx.conf" in told
    assert "ENDS      nginx's shop: " in told and "blog.conf" not in told
    assert f"REPLACES  {machine}/etc/redis/redis.conf" in told
    assert f"REPLACES  what {machine}/srv/dashboard serves" in told


def test_own_configuration_is_not_called_another_s(local: ModuleType, machine: Path) -> None:
    for name, template in (("nginx/nginx.conf", "nginx/nginx.conf.j2"), ("redis/redis.conf", "redis/redis.conf.j2")):
        rendered = (ROOT / "templates" / template).read_text().replace("{{ ansible_managed }}", "Ansible managed")
        (machine / "etc" / name).write_text(rendered)
    assert list(local.replaced(machine)) == []


def test_second_default_site_is_told(local: ModuleType, machine: Path) -> None:
    sites = machine / "etc" / "nginx" / "sites-enabled"
    (sites / "dashboard.conf").write_text("server {\n    listen 80 default_server;\n}\n")
    (sites / "default").write_text("server {\n    listen 80 default_server;\n}\n")  # which is then no longer read
    (sites / "blog.conf").write_text("server {\n    # listen 80 default_server;\n    listen 80;\n}\n")
    assert list(local.second_default(machine / "etc" / "nginx")) == []
    for text in ("server {\n    listen [::]:80 ipv6only=on default_server;\n}\n", "server { listen 80 default; }\n"):
        (sites / "shop.conf").write_text(text)
        (told,) = local.second_default(machine / "etc" / "nginx")
        assert told.startswith(f"{sites}/shop.conf is nginx's default site")


@pytest.mark.parametrize(
    ("init", "manager", "after"),
    [
        ("systemd", "systemd", "; also after a restart"),
        ("init", "supervisor", "; also after a restart"),
        ("sleep", "supervisor", "; not after a restart"),
    ],
)
def test_plan_says_what_starts_it(local: ModuleType, machine: Path, init: str, manager: str, after: str) -> None:
    (machine / "proc" / "1" / "comm").write_text(f"{init}\n")
    assert f"dashboard under {manager}{after}" in local.plan(machine)


def test_nothing_is_begun_without_a_yes(
    local: ModuleType, machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local, "faults", lambda machine: iter(()))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("LAB_YES", raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    with pytest.raises(local.LocalError, match="LAB_YES=1"):
        local.ask(machine)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    for answer, goes_on in (("", False), ("n", False), ("yes please", False), ("y", True), ("Yes", True)):
        monkeypatch.setattr("builtins.input", lambda prompt, answer=answer: answer)
        if goes_on:
            local.ask(machine)
        else:
            with pytest.raises(local.LocalError, match="nothing was changed"):
                local.ask(machine)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    monkeypatch.setenv("LAB_YES", "1")
    local.ask(machine)
    assert capsys.readouterr().out.count("This machine itself becomes the host") == 7


def test_faults_stop_it_all_at_once(local: ModuleType, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_YES", "1")
    monkeypatch.setattr(local, "faults", lambda machine: iter(["one", "two"]))
    with pytest.raises(local.LocalError, match=r"(?s)nothing was changed:\n  - one\n  - two"):
        local.ask(machine)


def test_other_labs_are_refused() -> None:
    done = subprocess.run(["make", "up", "LAB=vm"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode and 'LAB is "vm"' in done.stderr
