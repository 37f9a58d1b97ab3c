"""What becomes of the data of a project that is removed is asked once, and what is answered is done on every host."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PLAYS = [
    {"name": "Ask", "hosts": "app", "gather_facts": False, "tasks": [
        {"name": "Ask", "ansible.builtin.import_role": {
            "name": "remove", "tasks_from": "prompt", "rolespec_validate": False}},
    ]},
    {"name": "Forget", "hosts": "database", "gather_facts": False, "tasks": [
        {"name": "Forget", "ansible.builtin.import_role": {
            "name": "remove", "tasks_from": "database", "rolespec_validate": False}},
    ]},
]  # fmt: skip
HOSTS = {"all": {"children": {"app": {"hosts": {"a": {}, "b": {}}}, "database": {"hosts": {"b": {}}}}}}
STATE = {
    "role": {"verifier": "x", "login": True, "super": False}, "database": {"owner": "shop_1", "open": False},
    "read": 4e9, "faults": None, "hosts": None, "pending": None,
}  # fmt: skip
OWN = "# BEGIN project shop-1\nhost x\n# END project shop-1\n"
HBA = f"local all all peer\n{OWN}# BEGIN project shop\nhost y\n# END project shop\n"


def at_a_terminal(command: list[str], environment: dict[str, str], answer: str) -> str:
    """Run a command at a terminal of its own, answer its question, and return what was shown."""
    child, terminal = pty.fork()
    if not child:
        os.chdir(ROOT)
        os.execve(command[0], command, environment)
    shown = b""
    with contextlib.suppress(OSError):  # EIO, when the command has ended
        while True:
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 4096)
            elif b"stops this run" in shown:
                os.write(terminal, f"{answer}\r".encode())  # again where it came before it was listened for
    os.waitpid(child, 0)
    return shown.decode()


@pytest.fixture
def removed(tmp_path: Path) -> Callable[..., tuple[str, list[str]]]:
    """Return a function that has a database forget a project, and returns what was told and done there."""
    (tmp_path / "pg_hba.conf").write_text(HBA)
    (tmp_path / "answer").write_text(json.dumps(STATE))
    (tmp_path / "runuser").write_text(f"#!/bin/sh\ncat >> {tmp_path}/sent\ncat {tmp_path}/answer\n")
    (tmp_path / "runuser").chmod(0o755)
    (tmp_path / "plays.yml").write_text(yaml.safe_dump(PLAYS))
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(HOSTS))
    given: dict[str, Any] = {
        "release_app": "shop-1", "ansible_connection": "local", "_postgresql_home": str(tmp_path),
        "ansible_python_interpreter": sys.executable, "preflight_host": {},
    }  # fmt: skip

    def ran(*arguments: str, answer: str = "") -> tuple[str, list[str]]:
        command = [
            str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(tmp_path / "hosts.yml"),
            "-e", json.dumps(given), *arguments, str(tmp_path / "plays.yml"),
        ]  # fmt: skip
        environment = {
            **os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1", "COLUMNS": "200", "ANSIBLE_STRATEGY": "ansible.builtin.linear",
        }  # fmt: skip
        output = at_a_terminal(command, environment, answer) if answer else subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        ).stdout  # fmt: skip
        sent = (tmp_path / "sent").read_text() if (tmp_path / "sent").exists() else ""
        said = " ".join(output.split())
        return said, [word for word in ("DROP DATABASE", "DROP ROLE", "NOLOGIN") if word in sent]

    return ran


Removed = Callable[..., tuple[str, list[str]]]


@pytest.mark.parametrize(
    ("data", "done"), [("true", ["DROP DATABASE", "DROP ROLE"]), ("false", ["NOLOGIN"])], ids=["data", "no-data"]
)
def test_database_goes_where_the_data_do(removed: Removed, tmp_path: Path, data: str, done: list[str]) -> None:
    said, sent = removed("-e", f"remove_data={data}")
    assert sent == done, said
    assert "Database shop_1 on b " + ("was removed" if data == "true" else "stays") in said
    assert (tmp_path / "pg_hba.conf").read_text() == HBA.replace(OWN, "")


def test_nothing_is_done_without_an_answer(removed: Removed, tmp_path: Path) -> None:
    said, sent = removed()
    assert "Nothing was changed" in said and sent == []
    said, sent = removed("--check", "-e", "remove_data=true")
    assert "would be removed" in said and sent == []
    assert (tmp_path / "pg_hba.conf").read_text() == HBA


@pytest.mark.parametrize("hosts", ["all", "b"])
def test_answer_is_for_all_hosts_of_the_run(removed: Removed, hosts: str) -> None:
    """Also where the first of the project is not among them."""
    said, sent = removed("--limit", hosts, answer="yes")
    assert sent == ["DROP DATABASE", "DROP ROLE"], said
    assert "(databases, uploads) and in database shop_1 on b, and cannot be recovered." in said


def test_host_without_its_version_of_postgresql_is_left_alone(removed: Removed, tmp_path: Path) -> None:
    (tmp_path / "pg_hba.conf").unlink()
    said, sent = removed("-e", "remove_data=true")
    assert "failed=0" in said and sent == []
