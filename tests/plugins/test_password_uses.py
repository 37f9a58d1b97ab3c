"""Which of some passwords the environments of generations hold, by their hashes."""

from __future__ import annotations

import hashlib
import importlib
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

ROOT = Path(__file__).resolve().parents[2]
password_uses = importlib.import_module("ansible_collections.channels.stack.plugins.modules.password_uses")

PASSWORDS = ("old pass/w'ord@1", "new-password-2", "none-has-this-3")
HASHES = [hashlib.sha256(password.encode()).hexdigest() for password in PASSWORDS]


def environment(folder: Path, generation: str, **variables: str) -> None:
    """Write a generation's environment as role asgi does."""
    (folder / generation).mkdir(parents=True)
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in variables.items()]
    (folder / generation / "env").write_text("# Environment of it, isn't it: read by sh\n" + "".join(lines))


@pytest.mark.parametrize(
    ("value", "used"),
    [
        ("redis://channels:old%20pass%2Fw%27ord%401@127.0.0.1:6379/0", [0]),
        ("redis://:new-password-2@h:6379", [1]),
        ("redis+sentinel://u:new-password-2@h:1,h:2/0", [1]),
        ("old pass/w'ord@1", [0]),
        ('{"hosts": [{"address": "redis://h", "password": "old pass/w\'ord@1"}]}', [0]),
        ("host=h password=new-password-2 port=1", [1]),
        ("rediss://a:new-password-2@h/0 redis://b:old%20pass%2Fw%27ord%401@h/1", [0, 1]),
    ],
)
def test_passwords_are_found(tmp_path: Path, value: str, used: list[int]) -> None:
    environment(tmp_path, "one-1", DEBUG="", TEXT="two\nlines # and 'quotes'", REDIS_URL=value)
    assert password_uses.uses(tmp_path, HASHES) == (used, [])


def test_all_generations_are_asked_and_ones_without_any_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment(tmp_path, "one-1", REDIS_URL=f"redis://u:{PASSWORDS[1]}@h")
    environment(tmp_path, "two-2", REDIS_URL="redis://u:another@h", SECRET_KEY="it's a secret")
    (tmp_path / "half-3").mkdir()
    given: dict[str, Any] = {"folder": str(tmp_path), "hashes": HASHES, "_ansible_check_mode": True}
    with patch_module_args(given), pytest.raises(SystemExit):
        password_uses.main()
    said = capsys.readouterr().out
    told = json.loads(said)
    assert (told["changed"], told["used"], told["unknown"]) == (False, [1], ["two-2"])
    assert not [text for text in (*HASHES, *PASSWORDS, "a secret", "another") if text in said]


def test_generations_that_a_rotation_leaves_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that has both, as of keys that tokens are checked by, is not behind; nor is one that has none."""
    environment(tmp_path, "old-1", REDIS_URL=f"redis://u:{PASSWORDS[1]}@h", KEY=PASSWORDS[0])
    environment(tmp_path, "both-2", KEYS=f"{PASSWORDS[2]},{PASSWORDS[1]}")
    environment(tmp_path, "half-3", KEYS=f"{PASSWORDS[2]},{PASSWORDS[1]}", OTHER="oldest-password")
    environment(tmp_path, "none-4", KEY="another")
    oldest, newest = (hashlib.sha256(text.encode()).hexdigest() for text in ("oldest-password", "newest-password"))
    given: dict[str, Any] = {"folder": str(tmp_path), "hashes": [HASHES[1], oldest], "instead": [HASHES[2], newest]}
    with patch_module_args(given), pytest.raises(SystemExit):
        password_uses.main()
    assert json.loads(capsys.readouterr().out)["behind"] == ["half-3", "old-1"]


def test_host_without_generations_uses_none(tmp_path: Path) -> None:
    assert password_uses.uses(tmp_path / "none", HASHES) == ([], [])


def test_environment_that_cannot_be_read_is_a_failure_without_its_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment(tmp_path, "one-1", A="a")
    (tmp_path / "one-1" / "env").write_text("SECRET_KEY='very secret")
    with patch_module_args({"folder": str(tmp_path), "hashes": HASHES}), pytest.raises(SystemExit):
        password_uses.main()
    said = capsys.readouterr().out
    assert json.loads(said)["failed"] and "very secret" not in said
