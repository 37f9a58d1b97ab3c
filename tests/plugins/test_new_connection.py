"""A new connection is one of its own, made as the inventory says."""

from __future__ import annotations

import importlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ansible.playbook.play_context import PlayContext

ROOT = Path(__file__).resolve().parents[2]
new_connection = importlib.import_module("ansible_collections.channels.stack.plugins.action.new_connection")


@pytest.fixture
def ssh(tmp_path: Path) -> Any:
    """Return a function that connects by a program that takes its words down, and gives the answer and the words."""

    def connected(script: str = "exit 0", **variables: Any) -> tuple[str, list[str]]:
        program = tmp_path / "ssh"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/words\n{script}\n')
        program.chmod(0o755)
        given = {
            "ansible_host": "host.test", "ansible_port": 2222, "ansible_user": "deploy",
            "ansible_ssh_private_key_file": "/keys/one", "ansible_ssh_executable": str(program),
            "ansible_ssh_common_args": "-J jump.test", "ansible_ssh_extra_args": "-S /run/mux", **variables,
        }  # fmt: skip
        said = new_connection.connect(PlayContext(), given, 15)
        return said, (tmp_path / "words").read_text().splitlines()

    return connected


def test_it_goes_as_the_inventory_says(ssh: Any) -> None:
    """Port, user, key and jump host; and whatever shares connections comes before what ends it."""
    said, words = ssh()
    assert said == ""
    for name, value in (("-J", "jump.test"), ("-o", "Port=2222"), ("-o", 'User="deploy"'), ("-o", "ConnectTimeout=15")):
        assert (name, value) in set(pairwise(words)), words
    assert any("/keys/one" in word for word in words) and "host.test" in words
    paths = [value for name, value in pairwise(words) if name == "-S"]
    assert paths == ["/run/mux", "none"], "ssh takes the last one"


def test_values_may_be_templates() -> None:
    """So they are filled in before: the names of those that are read must be known, whatever has been loaded."""
    assert {"ansible_host", "ansible_ssh_common_args", "ansible_ssh_pass"} <= new_connection.names_read()


def test_failure_is_told(ssh: Any) -> None:
    """Whether ssh does not get there, or the host runs no command."""
    said, _ = ssh("echo 'Connection timed out' >&2; exit 255")
    assert "Connection timed out" in said
    said, _ = ssh("echo 'This account is not available'; exit 1")
    assert said == "This account is not available"
    assert ssh("exit 7")[0] == "it ended with 7"
