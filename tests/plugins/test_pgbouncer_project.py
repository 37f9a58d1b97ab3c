"""A project's part of PgBouncer's files: both users are let in, other projects stay, and nothing shows a verifier."""

from __future__ import annotations

import grp
import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

pgbouncer_project = importlib.import_module("ansible_collections.channels.stack.plugins.modules.pgbouncer_project")
VERIFIER = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy"
SHOP = {
    "project": "shop", "database": "shop", "users": ["shop", "shop__b"], "settings": "host=127.0.0.1 port=5432",
    "clients": ["host shop shop,shop__b 127.0.0.1/32 scram-sha-256"],
}  # fmt: skip

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="the files belong to root")


@pytest.fixture
def have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Return a function that runs the module, with a PostgreSQL that knows some users."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs), prepend=":")

    def ran(known: tuple[str, ...] = ("shop",), code: int = 0, **options: Any) -> dict[str, Any]:
        program = programs / "runuser"
        answer = json.dumps(dict.fromkeys(known, VERIFIER))
        program.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{answer}'\nexit {code}\n")
        program.chmod(0o755)
        given = {**SHOP, "folder": str(tmp_path / "etc"), "group": grp.getgrgid(0).gr_name, **options}
        (tmp_path / "etc").mkdir(exist_ok=True)
        with patch_module_args(given), pytest.raises(SystemExit):
            pgbouncer_project.main()
        text = capsys.readouterr().out
        assert VERIFIER not in text
        return dict(json.loads(text))

    return ran


Have = Callable[..., dict[str, Any]]


def read(folder: Path, name: str) -> list[str]:
    """Return the lines of a file that are not comments."""
    return [line for line in (folder / "etc" / name).read_text().splitlines() if line[0] not in ";#"]


def test_users_are_let_in(have: Have, tmp_path: Path) -> None:
    assert have()["changed"] and not have()["changed"]
    assert read(tmp_path, "databases.ini") == ["[databases]", "shop = dbname=shop host=127.0.0.1 port=5432"]
    assert read(tmp_path, "users.txt") == [f'"shop" "{VERIFIER}"']
    assert read(tmp_path, "hba.conf") == [*SHOP["clients"], "local pgbouncer pgbouncer peer"]
    assert (tmp_path / "etc/users.txt").stat().st_mode & 0o777 == 0o640


def test_both_users_are_let_in_during_a_rotation_and_one_after(have: Have, tmp_path: Path) -> None:
    have()
    assert have(("shop", "shop__b"))["changed"] and len(read(tmp_path, "users.txt")) == 2
    assert have(("shop__b",))["changed"] and read(tmp_path, "users.txt") == [f'"shop__b" "{VERIFIER}"']


def test_users_of_nobody_are_left_out(have: Have, tmp_path: Path) -> None:
    have(("shop", "postgres", "replicator"))
    assert len(read(tmp_path, "users.txt")) == 1


def test_other_projects_stay(have: Have, tmp_path: Path) -> None:
    have(("shop", "pad"), project="pad", database="pad", users=["pad"], clients=["host pad pad 127.0.0.1/32 reject"])
    assert have(("shop", "pad"))["projects"] == ["pad", "shop"]
    assert len(read(tmp_path, "users.txt")) == 2 and len(read(tmp_path, "databases.ini")) == 3
    assert have(("shop", "pad"), state="absent")["projects"] == ["pad"]
    assert read(tmp_path, "users.txt") == [f'"pad" "{VERIFIER}"']
    assert not have(("shop", "pad"), state="absent")["changed"]


def test_check_mode_writes_nothing(have: Have, tmp_path: Path) -> None:
    assert have(_ansible_check_mode=True)["changed"] and not list((tmp_path / "etc").iterdir())
    assert have(code=2, _ansible_check_mode=True)["changed"]


def test_an_open_file_is_closed(have: Have, tmp_path: Path) -> None:
    have()
    (tmp_path / "etc/users.txt").chmod(0o644)
    assert have()["files"] == [str(tmp_path / "etc/users.txt")]


def test_silence_of_postgresql_changes_nothing(have: Have, tmp_path: Path) -> None:
    have()
    assert "does not say" in have(code=2)["msg"] and len(read(tmp_path, "users.txt")) == 1
