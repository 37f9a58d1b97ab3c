"""A project's database and user: what is done when, and that the password shows nowhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.channels.stack.plugins.module_utils.host import scram
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
postgresql_app = importlib.import_module("ansible_collections.channels.stack.plugins.modules.postgresql_app")

PASSWORD = "p@ss/w:rd?#%+ '\"$\\"
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40)


class Psql:
    """Stands in the place of the server: `state` is what it answers, `sent` what it was told."""

    def __init__(self, folder: Path) -> None:
        self.state: dict[str, Any] = {
            "role": None, "database": None, "read": time.time() + 60, "faults": None, "hosts": None, "pending": None,
        }  # fmt: skip
        self.sent: list[str] = []
        self.record = folder / "sent"
        self.answer = folder / "answer"
        program = folder / "runuser"
        program.write_text(
            f"#!/bin/sh\nprintf '%s\\n' \"$*\" >> {folder}/arguments\n"
            f"(cat; echo ';;;') >> {self.record}\ncat {self.answer}\n"
        )
        program.chmod(0o755)
        self.arguments = folder / "arguments"

    def settled(self) -> None:
        """Have it as a run leaves it."""
        self.state |= {
            "role": {"verifier": postgresql_app.verifier(PASSWORD), "login": True, "super": False},
            "database": {"owner": "shop", "open": False},
        }


@pytest.fixture
def psql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Psql:
    """A server that has nothing of the project."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return Psql(tmp_path)


@pytest.fixture
def have(psql: Psql, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Return a function that runs the module."""

    def ran(**options: Any) -> dict[str, Any]:
        psql.answer.write_text(json.dumps(psql.state))
        psql.record.write_text("")
        given = {"database": "shop", "user": "shop", "password": PASSWORD, **options}
        with patch_module_args(given), pytest.raises(SystemExit):
            postgresql_app.main()
        psql.sent = [one.strip() for one in psql.record.read_text().split(";;;") if one.strip()][1:]
        return dict(json.loads(capsys.readouterr().out))

    return ran


Have = Callable[..., dict[str, Any]]


def test_all_is_made(have: Have, psql: Psql) -> None:
    told = have()
    assert told["changed"] and len(told["done"]) == 3
    user, database, closed = psql.sent
    assert user.startswith("SET log_statement = 'none'") and "CREATE ROLE" in user
    assert "ENCODING 'UTF8'" in database and "REVOKE ALL" in closed
    assert PASSWORD not in psql.record.read_text() + psql.arguments.read_text() + json.dumps(told)


def test_nothing_is_done_twice(have: Have, psql: Psql) -> None:
    psql.settled()
    told = have()
    assert not told["changed"] and psql.sent == []


def test_check_mode_tells_and_makes_nothing(have: Have, psql: Psql) -> None:
    told = have(_ansible_check_mode=True)
    assert told["changed"] and len(told["done"]) == 3 and psql.sent == []


def test_check_mode_comes_before_files_and_server(have: Have, psql: Psql, tmp_path: Path) -> None:
    """Another port, or a PostgreSQL that was only installed: a real run would have written files and started it."""
    psql.settled()
    assert not have(_ansible_check_mode=True, reload_files=[str(tmp_path / "to-come.conf")])["changed"]
    (tmp_path / "runuser").write_text(
        "#!/bin/sh\ncat >/dev/null; echo 'psql: error: connection to server failed' >&2\nexit 2\n"
    )
    told = have(_ansible_check_mode=True)
    assert told["changed"] and not told.get("failed")
    assert "connection to server failed" in have()["msg"]


@pytest.mark.parametrize(
    ("part", "value", "done"),
    [
        ("role", {"verifier": None, "login": True, "super": False}, "user shop was given its password"),
        ("role", {"verifier": "md5abc", "login": True, "super": False}, "user shop was given its password"),
        ("role", {"verifier": "", "login": False, "super": False}, "user shop was given its password"),
        ("database", None, "database shop was made"),
        ("database", {"owner": "shop", "open": True}, "database shop was closed to all but its owner"),
    ],
)
def test_each_difference_is_mended(have: Have, psql: Psql, part: str, value: Any, done: str) -> None:
    psql.settled()
    psql.state[part] = value
    assert have()["done"][0] == done


def test_password_that_something_may_use_is_not_overwritten(have: Have, psql: Psql) -> None:
    psql.settled()
    told = have(password=PASSWORD + "x")
    assert told["failed"] and "-e rotate_secrets=database" in told["msg"] and psql.sent == []
    assert "postgresql_replace_password" in told["msg"] and PASSWORD not in json.dumps(told)
    told = have(password=PASSWORD + "x", replace=True)
    assert told["done"] == ["user shop was given its password"] and "ALTER ROLE" in psql.sent[0]


SECOND = {"second": "shop__b", "login": "shop__b"}
NEW = "another-password-of-shop"


def role(password: str = PASSWORD, **changes: Any) -> dict[str, Any]:
    """A user of PostgreSQL as the module is told of one."""
    kept = {"verifier": postgresql_app.verifier(password), "login": True, "super": False, "acts": True}
    return kept | changes


def test_second_user_comes_beside_the_first(have: Have, psql: Psql) -> None:
    """It has the new password, and all that it makes belongs to the owner; the first may log in as before."""
    psql.settled()
    told = have(**SECOND, password=NEW)
    assert told["done"] == ["user shop__b was made", "user shop__b acts as shop"]
    made, acts = psql.sent
    assert 'CREATE ROLE :"login" LOGIN' in made
    assert acts == """GRANT :"user" TO :"second"; ALTER ROLE :"second" SET role = :'user';"""
    assert "--set=login=shop__b --set=database=shop" in psql.arguments.read_text()
    psql.state["second"] = role(NEW)
    assert not have(**SECOND, password=NEW)["changed"]
    psql.state["second"] = role(NEW, acts=False)  # killed between both
    assert have(**SECOND, password=NEW)["done"] == ["user shop__b acts as shop"]


def test_first_user_is_let_in_no_more_at_the_end(have: Have, psql: Psql) -> None:
    psql.settled()
    psql.state["second"] = role(NEW)
    told = have(**SECOND, password=NEW, only=True)
    assert told["done"] == ["user shop may no longer log in"]
    assert 'ALTER ROLE :"user" NOLOGIN PASSWORD NULL' in psql.sent[0] and "usename = :'user'" in psql.sent[0]
    psql.state["role"] = role(login=False, verifier=None)
    assert not have(**SECOND, password=NEW, only=True)["changed"]


def test_rotation_goes_back_to_the_first_user(have: Have, psql: Psql) -> None:
    """Which nothing uses since the last rotation has ended, so it gets another password."""
    psql.settled()
    psql.state |= {"role": role(login=False, verifier=None), "second": role(NEW)}
    given = {"second": "shop__b", "login": "shop", "password": "third-password-of-shop"}
    assert have(**given)["done"] == ["user shop was given its password"]
    psql.state["role"] = role("third-password-of-shop")
    assert have(**given, only=True)["done"] == ["user shop__b may no longer log in"]


def test_new_host_whose_vault_names_the_second_user(have: Have, psql: Psql) -> None:
    done = have(**SECOND)["done"]
    assert done[:3] == ["user shop was made", "user shop__b was made", "user shop__b acts as shop"]
    assert 'CREATE ROLE :"user" NOLOGIN' in psql.sent[0]


def test_both_users_go(have: Have, psql: Psql) -> None:
    psql.settled()
    psql.state["second"] = role(NEW)
    assert have(second="shop__b", state="closed", password=None)["done"] == [
        "user shop__b may no longer log in", "user shop may no longer log in",
    ]  # fmt: skip
    done = have(second="shop__b", state="absent", password=None)["done"]
    assert done == ["database shop was dropped", "user shop__b was dropped", "user shop was dropped"]
    psql.state["second"]["super"] = True
    assert "shop__b administers" in have(second="shop__b", state="closed")["msg"]


def test_what_is_somebody_else_s_is_left(have: Have, psql: Psql) -> None:
    psql.settled()
    psql.state["database"]["owner"] = "chat"
    assert "belongs to chat" in have()["msg"] and psql.sent == []
    psql.settled()
    psql.state["role"]["super"] = True
    assert "administers PostgreSQL" in have()["msg"] and psql.sent == []


@pytest.mark.parametrize(
    ("state", "sent", "done"),
    [
        ("absent", ["DROP DATABASE", "DROP ROLE"], ["database shop was dropped", "user shop was dropped"]),
        ("closed", ["ALTER ROLE"], ["user shop may no longer log in"]),
    ],
)
def test_project_goes(have: Have, psql: Psql, state: str, sent: list[str], done: list[str]) -> None:
    """With its data, or without; once. Somebody else's stays."""
    psql.settled()
    told = have(state=state, password=None)
    assert told["done"] == done and [one.split(":")[0].strip() for one in psql.sent] == sent
    psql.state["database"]["owner"] = "chat"
    assert "belongs to chat" in have(state=state)["msg"]
    psql.state |= {"role": None, "database": None}
    assert not have(state=state)["changed"]


def test_settings_are_read_again_when_they_are_newer(have: Have, psql: Psql, tmp_path: Path) -> None:
    psql.settled()
    file = tmp_path / "pg_hba.conf"
    file.write_text("")
    assert not have(reload_files=[str(file)])["changed"]
    psql.state["read"] = time.time() - 60
    postgresql_app.RELOAD_SECONDS = 0.1
    told = have(reload_files=[str(file)])
    assert told["done"] == ["settings were read again"] and psql.sent[0] == "SELECT pg_reload_conf();"


def test_settings_that_cannot_be_read_are_told(have: Have, psql: Psql) -> None:
    psql.settled()
    psql.state |= {"faults": ["/etc/x.conf:3: syntax error"], "hosts": ["7: invalid IP mask"]}
    told = have()
    assert told["failed"] and "/etc/x.conf:3: syntax error; pg_hba.conf:7: invalid IP mask" in told["msg"]


@settings(max_examples=15, deadline=None)
@given(PRINTABLE, PRINTABLE)
def test_verifier_is_of_one_password(one: str, other: str) -> None:
    kept = postgresql_app.verifier(one)
    assert postgresql_app.verifies(one, kept)
    assert postgresql_app.verifies(other, kept) == (one == other)
    assert "'" not in kept and (one not in kept or len(one) < 4)


def test_verifier_is_the_standard_s() -> None:
    """The example of RFC 7677, by which any client of PostgreSQL computes."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    stored, server = scram.keys("pencil", salt, 4096)
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = (f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}").encode()
    signature = base64.b64encode(hmac.digest(server, message, "sha256")).decode()
    assert signature == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client = bytes(a ^ b for a, b in zip(proof, hmac.digest(stored, message, "sha256"), strict=True))
    assert hashlib.sha256(client).digest() == stored
