"""The token that the gate leaves for the watch: it is used once, soon, and by the same command and user."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from ansible_collections.channels.stack.plugins.module_utils.handshake.gate.token import KEPT_SECONDS, keep, take

COMMAND = ["runuser", "--", "/srv/app/generations/1/within", "mint"]


@pytest.fixture
def kept(tmp_path: Path) -> str:
    """The path of a file with a token, in a folder that keep() has made."""
    path = str(tmp_path / "run" / "app.token")
    keep(path, COMMAND, "secret")
    return path


def test_token_is_taken_once(kept: str) -> None:
    assert os.stat(kept).st_mode & 0o777 == 0o600
    assert take(kept, COMMAND) == "secret"
    assert not os.path.exists(kept)
    assert take(kept, COMMAND) is None


def test_next_token_replaces_one_that_nobody_took(kept: str) -> None:
    keep(kept, COMMAND, "next")
    assert take(kept, COMMAND) == "next"


def test_token_of_another_generation_is_not_taken(kept: str) -> None:
    """Its secret may be another one."""
    assert take(kept, [*COMMAND, "other"]) is None
    assert not os.path.exists(kept)


@pytest.mark.parametrize("age", [KEPT_SECONDS + 1, -60])
def test_old_token_is_not_taken(kept: str, age: int) -> None:
    os.utime(kept, (time.time() - age,) * 2)
    assert take(kept, COMMAND) is None
    assert not os.path.exists(kept)


def test_file_that_others_can_read_is_not_believed(kept: str) -> None:
    os.chmod(kept, 0o644)
    assert take(kept, COMMAND) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_file_of_another_user_is_not_believed(kept: str) -> None:
    os.chown(kept, 12345, -1)
    assert take(kept, COMMAND) is None


def test_links_are_not_followed(kept: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(kept)
    assert take(str(tmp_path / "link"), COMMAND) is None
    keep(str(tmp_path / "link"), COMMAND, "mine")
    assert not (tmp_path / "link").is_symlink()
    assert take(kept, COMMAND) == "secret"


def test_module_mints_once_for_two_calls(handshake_module: ModuleType, tmp_path: Path) -> None:
    commands = []

    def run_command(command: list[str]) -> tuple[int, str, str]:
        commands.append(command)
        return 0, f"a line before\ntoken {len(commands)}\n", ""

    module, path = SimpleNamespace(run_command=run_command), str(tmp_path / "app.token")
    assert [handshake_module.minted(module, COMMAND, path, True) for _ in range(2)] == ["token 1", "token 2"]
    assert handshake_module.minted(module, COMMAND, path) == "token 2"
    assert handshake_module.minted(module, COMMAND, path) == "token 3"
    assert not os.path.exists(path), "a token was left that nobody takes"
    nowhere = "/proc/none/app.token"  # no reason to fail: the next call mints its own
    assert handshake_module.minted(module, COMMAND, nowhere, True) == "token 4"
