"""Users of several projects on one Redis: each project's own file, one ACL file of all, and a Redis that is told."""

from __future__ import annotations

import getpass
import hashlib
import importlib
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from redis_protocol import commands

ROOT = Path(__file__).resolve().parents[2]
redis_acl = importlib.import_module("ansible_collections.channels.stack.plugins.modules.redis_acl")

SHOP = "# project=shop\nuser shop on #00 ~shop* +get\n"
CHAT = "# project=chat\nuser chat on #11 ~chat* +get\nuser cache on #22 ~c* +get\n"


class Redis(socketserver.ThreadingTCPServer):
    """Speaks as much of Redis's protocol as users need; `users` are those that it has."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Session)
        self.users = {"default": "on nopass"}
        self.password = ""
        self.commands: list[list[str]] = []

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])


class Session(socketserver.StreamRequestHandler):
    """One connection to it."""

    server: Redis

    def handle(self) -> None:
        """Answer commands until the other side ends."""
        for words in commands(self.rfile):
            self.server.commands.append(words)
            self.wfile.write(self.answer(words))

    def answer(self, words: list[str]) -> bytes:
        """Answer one command."""
        users = self.server.users
        if words[0] == "AUTH":
            hashed = hashlib.sha256(words[2].encode()).hexdigest()
            known = f"#{hashed}" in users.get(words[1], "")
            return b"+OK\r\n" if known else b"-WRONGPASS invalid username-password pair\r\n"
        if words[1] == "LIST":
            lines = [f"user {name} {rules}".encode() for name, rules in users.items()]
            return b"*%d\r\n" % len(lines) + b"".join(b"$%d\r\n%s\r\n" % (len(line), line) for line in lines)
        if words[1] == "DELUSER":
            return b":%d\r\n" % len([users.pop(name) for name in words[2:]])
        if "+nonsense" in words:
            return b"-ERR Error in ACL SETUSER modifier '+nonsense': Unknown command\r\n"
        users[words[2]] = " ".join(words[4:])
        return b"+OK\r\n"


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A Redis that runs."""
    with Redis() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def declare(tmp_path: Path, redis: Redis, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Return a function that declares the users of a project."""

    def declared(project: str, users: str, **options: Any) -> dict[str, Any]:
        given = {
            "project": project, "users": users, "folder": str(tmp_path / "users.d"), "owner": getpass.getuser(),
            "file": str(tmp_path / "users.acl"), "password_file": str(tmp_path / "operator.password"),
            "port": redis.port, **options,
        }  # fmt: skip
        with patch_module_args(given), pytest.raises(SystemExit):
            redis_acl.main()
        return dict(json.loads(capsys.readouterr().out))

    return declared


def restart(redis: Redis, tmp_path: Path) -> None:
    """Have it read its file, as when it starts."""
    redis.users = redis_acl.user_lines((tmp_path / "users.acl").read_text())


Declare = Callable[..., dict[str, Any]]


def test_no_file_is_ever_open_to_others(declare: Declare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even in a run that is killed before the file has its mode."""

    def killed(self: Any, path: Path, *_: Any) -> bool:
        if path.is_file():
            raise SystemExit
        return False

    monkeypatch.setattr(redis_acl.Users, "own", killed)
    with pytest.raises(json.JSONDecodeError):
        declare("shop", SHOP)
    assert (tmp_path / "operator.password").stat().st_mode & 0o777 == 0o600


class TlsRedis:
    """A Redis as `serve` sees it."""

    def __init__(self, shown: str, answer: str = "") -> None:
        self.shown, self.answer, self.asked = shown, answer, []

    def certificate(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.shown)

    def ask(self, *words: str) -> None:
        self.asked.append(words)
        if self.answer:
            raise redis_acl.RedisError(self.answer)


def test_redis_is_told_of_another_certificate(tmp_path: Path) -> None:
    """And of no other; the first one of the file is its own, whatever leads from it to an authority."""
    one, two = (ssl.DER_cert_to_PEM_cert(text) for text in (b"one" * 30, b"two" * 30))
    (tmp_path / "fullchain.pem").write_text(one + two)
    same, other = TlsRedis(one), TlsRedis(two)
    assert not redis_acl.serve(same, tmp_path) and same.asked == []
    assert redis_acl.serve(other, tmp_path)
    pair = ("tls-cert-file", f"{tmp_path}/fullchain.pem", "tls-key-file", f"{tmp_path}/privkey.pem")
    assert other.asked == [("CONFIG", "SET", *pair)]
    assert not redis_acl.serve(TlsRedis(two, "NOPERM this user has no permissions"), tmp_path)
    with pytest.raises(redis_acl.UsersError, match="cannot serve the certificate"):
        redis_acl.serve(TlsRedis(two, "ERR CONFIG SET failed"), tmp_path)


def test_projects_add_up(declare: Declare, redis: Redis, tmp_path: Path) -> None:
    first = declare("shop", SHOP)
    assert first["changed"] and not first["applied"], "a Redis that does not know the module's user has to be restarted"
    assert (tmp_path / "users.acl").read_text().startswith("user default off\n")
    restart(redis, tmp_path)
    second = declare("chat", CHAT)
    assert second["changed"] and second["applied"] and second["users"] == ["cache", "chat"]
    assert set(redis.users) == {"default", "acl-operator", "shop", "chat", "cache"}
    assert redis.users["shop"] == "on #00 ~shop* +get"
    for project, users in (("shop", SHOP), ("chat", CHAT)):
        again = declare(project, users)
        assert not again["changed"] and again["applied"], again


def test_modes_are_private(declare: Declare, tmp_path: Path) -> None:
    declare("shop", SHOP)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*")}
    assert modes == {
        "users.d": "0o750", "shop.acl": "0o640", "operator.acl": "0o640", "users.acl": "0o640",
        "operator.password": "0o600",
    }  # fmt: skip
    password = (tmp_path / "operator.password").read_text().strip()
    assert len(password) == 64 and password not in (tmp_path / "users.acl").read_text()


def test_project_goes_without_the_others(declare: Declare, redis: Redis, tmp_path: Path) -> None:
    declare("shop", SHOP)
    declare("chat", CHAT)
    restart(redis, tmp_path)
    redis.commands.clear()
    gone = declare("shop", "", state="absent")
    assert gone["users"] == ["shop"] and set(redis.users) == {"default", "acl-operator", "chat", "cache"}
    assert ["ACL", "DELUSER", "shop"] in redis.commands
    assert "shop" not in (tmp_path / "users.acl").read_text()
    assert not declare("shop", "", state="absent")["changed"]


def test_killed_run_is_mended(declare: Declare, redis: Redis, tmp_path: Path) -> None:
    """Files that are right say nothing of the Redis that runs."""
    declare("shop", SHOP)
    restart(redis, tmp_path)
    redis.users["shop"] = "on #99 ~* +@all"
    redis.users["stranger"] = "on nopass ~* +@all"
    told = declare("shop", SHOP)
    assert told["changed"] and told["users"] == ["shop", "stranger"] and told["paths"] == []
    assert redis.users["shop"] == "on #00 ~shop* +get" and "stranger" not in redis.users


def test_edited_file_is_mended(declare: Declare, redis: Redis, tmp_path: Path) -> None:
    declare("shop", SHOP)
    restart(redis, tmp_path)
    (tmp_path / "users.acl").write_text("user default on nopass ~* +@all\n")
    told = declare("shop", SHOP)
    assert told["changed"] and told["applied"]
    assert (tmp_path / "users.acl").read_text().startswith("user default off\n")


def test_rules_that_redis_refuses_are_not_written(declare: Declare, redis: Redis, tmp_path: Path) -> None:
    """It would not start with them."""
    declare("shop", SHOP)
    restart(redis, tmp_path)
    told = declare("chat", CHAT + "user bad on +nonsense\n")
    assert told["failed"] and "rules of user bad" in told["msg"]
    assert "nonsense" not in (tmp_path / "users.acl").read_text()
    assert not (tmp_path / "users.d" / "chat.acl").exists()


@pytest.mark.parametrize(
    ("users", "fault"),
    [
        ("user shop on #33 ~chat*\n", "project shop declares the user shop, who is one of chat"),
        ("user chat on\nuser chat off\n", "user chat is declared twice"),
        ("user acl-operator on nopass\n", "who is one of the bundle itself"),
        ("chat on nopass\n", "does not begin with `user NAME`"),
        ("user\n", "does not begin with `user NAME`"),
    ],
)
def test_clashes_are_told_before_anything_is_changed(
    declare: Declare, redis: Redis, tmp_path: Path, users: str, fault: str
) -> None:
    declare("shop", SHOP)
    restart(redis, tmp_path)
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    told = declare("chat", users)
    assert told["failed"] and fault in told["msg"], told
    assert before == {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}


def test_anonymous_user_is_one_project_s(declare: Declare, tmp_path: Path) -> None:
    declare("shop", SHOP + "user default on nopass ~shop* +get\n")
    assert "user default on nopass ~shop* +get\n" in (tmp_path / "users.acl").read_text()
    assert declare("chat", "user default on nopass ~chat* +get\n")["failed"]


def test_check_mode_tells_and_makes_nothing(declare: Declare, redis: Redis, tmp_path: Path) -> None:
    told = declare("shop", SHOP, _ansible_check_mode=True)
    assert told["changed"] and not list(tmp_path.iterdir()) and redis.commands == []


def test_redis_that_does_not_run_is_not_told(declare: Declare, redis: Redis) -> None:
    redis.shutdown()
    redis.server_close()
    told = declare("shop", SHOP)
    assert told["changed"] and not told["applied"]


A, B, C = "a" * 64, "b" * 64, "c" * 64
RULES = "~shop* &shop* -@all +get"


def shop(*hashes: str, rules: str = RULES) -> str:
    """Return a project's text with one user."""
    return f"# project=shop\nuser shop on {' '.join(f'#{known}' for known in hashes)} {rules}\n"


def test_password_of_before_stays_beside_the_new_one(declare: Declare, redis: Redis, tmp_path: Path) -> None:
    """A release that serves logs in with it, whatever becomes of the one that is to come."""
    declare("shop", shop(A))
    restart(redis, tmp_path)
    told = declare("shop", shop(B))
    assert (told["changed"], told["users"], told["kept"]) == (True, ["shop"], ["shop"])
    assert redis.users["shop"] == f"on #{B} #{A} {RULES}"
    assert (tmp_path / "users.d/shop.acl").read_text() == shop(B, A)
    assert f"user shop on #{B} #{A} {RULES}\n" in (tmp_path / "users.acl").read_text()
    again = declare("shop", shop(B))
    assert (again["changed"], again["kept"]) == (False, ["shop"])
    third = declare("shop", shop(C))
    assert redis.users["shop"] == f"on #{C} #{B} #{A} {RULES}" and third["kept"] == ["shop"]


def test_passwords_that_nobody_uses_go(declare: Declare, redis: Redis, tmp_path: Path) -> None:
    declare("shop", shop(A))
    restart(redis, tmp_path)
    declare("shop", shop(B))
    declare("shop", shop(C))
    assert not declare("shop", shop(C), used=[A, B, C])["changed"]
    told = declare("shop", shop(C), used=[A])
    assert told["changed"] and told["kept"] == ["shop"] and redis.users["shop"] == f"on #{C} #{A} {RULES}"
    told = declare("shop", shop(C), used=[])
    assert told["changed"] and told["kept"] == [] and redis.users["shop"] == f"on #{C} {RULES}"
    assert (tmp_path / "users.d/shop.acl").read_text() == shop(C)
    assert A not in (tmp_path / "users.acl").read_text()
    assert not declare("shop", shop(C))["changed"]


def test_passwords_are_forgotten_at_once(declare: Declare, redis: Redis, tmp_path: Path) -> None:
    """As one that has leaked."""
    declare("shop", shop(A))
    restart(redis, tmp_path)
    declare("shop", shop(B))
    told = declare("shop", shop(B), forget=True)
    assert told["changed"] and told["kept"] == [] and redis.users["shop"] == f"on #{B} {RULES}"


def test_user_that_is_not_declared_any_more_stays_while_it_is_used(
    declare: Declare, redis: Redis, tmp_path: Path
) -> None:
    """Redis ends all connections of a user that it loses."""
    declare("shop", shop(A))
    restart(redis, tmp_path)
    other = f"# project=shop\nuser other on #{B} {RULES}\n"
    told = declare("shop", other)
    assert told["kept"] == ["shop"] and {"shop", "other"} <= set(redis.users)
    assert not declare("shop", other)["changed"]
    assert not declare("shop", other, used=[A])["changed"]
    assert declare("shop", other, used=[])["users"] == ["shop"] and "shop" not in redis.users
    assert (tmp_path / "users.d/shop.acl").read_text() == other


def test_what_has_no_password_keeps_none(declare: Declare, redis: Redis, tmp_path: Path) -> None:
    """A hash behind nopass would ask for a password again; a user that was anonymous has nothing to keep."""
    declare("shop", shop(A) + "user default on nopass ~shop*\n")
    restart(redis, tmp_path)
    told = declare("shop", "user shop on nopass ~shop*\n")
    assert told["kept"] == [] and redis.users["shop"] == "on nopass ~shop*" and redis.users["default"] == "off"


def test_rules_are_those_that_are_declared(declare: Declare, redis: Redis, tmp_path: Path) -> None:
    declare("shop", shop(A))
    restart(redis, tmp_path)
    declare("shop", shop(B, rules="~new* +set"))
    assert redis.users["shop"] == f"on #{B} #{A} ~new* +set"


def test_run_that_was_killed_keeps_the_password_of_before(
    declare: Declare, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare("shop", shop(A))
    restart(redis, tmp_path)

    def killed(*_: Any, **__: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(redis_acl.Users, "write", killed)
        with pytest.raises(json.JSONDecodeError):
            declare("shop", shop(B))
    declare("shop", shop(B))
    assert redis.users["shop"] == f"on #{B} #{A} {RULES}"


def test_check_mode_tells_what_would_be_kept(declare: Declare, redis: Redis, tmp_path: Path) -> None:
    declare("shop", shop(A))
    restart(redis, tmp_path)
    foretold = declare("shop", shop(B), _ansible_check_mode=True)
    assert foretold["changed"] and foretold["kept"] == ["shop"]
    assert (tmp_path / "users.d/shop.acl").read_text() == shop(A)


def test_file_of_users_that_was_damaged_is_written_anew(declare: Declare, redis: Redis, tmp_path: Path) -> None:
    declare("shop", shop(A))
    restart(redis, tmp_path)
    (tmp_path / "users.d/shop.acl").write_text("nonsense\n")
    told = declare("shop", shop(B))
    assert told["changed"] and (tmp_path / "users.d/shop.acl").read_text() == shop(B)
