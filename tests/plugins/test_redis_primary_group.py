"""What redis-primary says to the Redises and Sentinels of a group, and what it makes of their answers.

They are played by this process, at 127.0.0.1 to 127.0.0.3; real ones are in scenario fleet.
"""

from __future__ import annotations

import importlib.util
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_protocol import commands

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("redis_primary", ROOT / "roles/redis/files/redis_primary.py")
assert SPEC and SPEC.loader
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)

ONE, TWO, THREE = MEMBERS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


def packed(answer: Any) -> bytes:
    """Return an answer as Redis sends it: bytes as they are, nothing, numbers, texts and lists."""
    if isinstance(answer, bytes):
        return answer
    if answer is None:
        return b"$-1\r\n"
    if isinstance(answer, int):
        return b":%d\r\n" % answer
    if isinstance(answer, str):
        return b"$%d\r\n%s\r\n" % (len(answer.encode()), answer.encode())
    return b"*%d\r\n" % len(answer) + b"".join(map(packed, answer))


class Player(socketserver.StreamRequestHandler):
    """One connection to a Redis or a Sentinel: reads whole commands."""

    server: Host

    def handle(self) -> None:
        """Answer until the client has gone."""
        for words in commands(self.rfile):
            answer = self.server.group.answer(self.server, words)
            if answer is None:
                return
            self.wfile.write(packed(answer))


class Host(socketserver.ThreadingTCPServer):
    """The Redis or the Sentinel of one member."""

    daemon_threads = allow_reuse_address = True

    def __init__(self, group: Group, member: str, port: int, sentinel: bool) -> None:
        self.group, self.member, self.sentinel = group, member, sentinel
        super().__init__((member, port), Player)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        self.shutdown()
        self.server_close()


class Group:
    """Three members, of which the first is the primary, and all that they have been told."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.primary = ONE
        self.named = dict.fromkeys(MEMBERS, ONE)
        self.roles: dict[str, list[Any]] = {}
        self.flags = dict.fromkeys(MEMBERS, "master")
        self.refusals: list[str] = []
        self.password = "secret"
        self.mute: set[str] = set()
        self.told: list[tuple[str, str]] = []
        self.redises: dict[str, Host] = {}
        self.sentinels: dict[str, Host] = {}

    def start(self) -> dict[str, Any]:
        """Start all six at ports that are free at each address; return the settings of the first member."""
        ports = []
        for sentinel, hosts in ((False, self.redises), (True, self.sentinels)):
            while len(hosts) < len(MEMBERS):
                for host in hosts.values():
                    host.stop()
                hosts.clear()
                with socket.create_server((ONE, 0)) as found:
                    port = found.getsockname()[1]
                try:
                    for member in MEMBERS:
                        hosts[member] = Host(self, member, port, sentinel)
                except OSError:
                    continue
            ports.append(port)
        return {
            "name": "channels", "address": ONE, "port": ports[0], "sentinel_port": ports[1], "quorum": 2,
            "members": MEMBERS, "user": "sentinel", "password": "secret", "authority": "",
        }  # fmt: skip

    def answer(self, host: Host, words: list[str]) -> Any:
        """Answer one command as Redis or Sentinel does; None ends the connection."""
        if host.member in self.mute:
            return None
        if words[0] == "AUTH":
            return b"+OK\r\n" if words[1:] == ["sentinel", self.password] else b"-WRONGPASS invalid\r\n"
        if host.sentinel:
            assert words[0] == "SENTINEL" and words[2] == "channels", words
            return self.fail_over(host) if words[1] == "FAILOVER" else self.master(host)
        if words == ["ROLE"]:
            follows = ["slave", self.primary, host.server_address[1], "connected", 7]
            return self.roles.get(host.member) or (["master", 7, []] if host.member == self.primary else follows)
        self.told.append((host.member, " ".join(words)))
        return b"+OK\r\n"

    def master(self, host: Host) -> list[str]:
        """What a Sentinel says of the primary."""
        port = str(self.redises[ONE].server_address[1])
        facts = {"name": "channels", "ip": self.named[host.member], "port": port, "flags": self.flags[host.member]}
        return [word for item in {**facts, "config-epoch": "3"}.items() for word in item]

    def fail_over(self, host: Host) -> bytes:
        """Refuse as told, or make the next one the primary."""
        self.told.append((host.member, "FAILOVER"))
        if self.refusals:
            return f"-{self.refusals.pop(0)}\r\n".encode()
        self.primary = MEMBERS[(MEMBERS.index(self.primary) + 1) % len(MEMBERS)]
        self.named = dict.fromkeys(MEMBERS, self.primary)
        return b"+OK\r\n"


@pytest.fixture
def group() -> Iterator[Group]:
    """A healthy group."""
    made = Group()
    made.settings = made.start()
    yield made
    for host in [*made.redises.values(), *made.sentinels.values()]:
        host.stop()


@pytest.fixture
def settings(group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings of the first member, which are also in its file."""
    (tmp_path / "primary.json").write_text(json.dumps(group.settings))
    monkeypatch.setattr(tool, "SETTINGS", tmp_path / "primary.json")
    monkeypatch.setattr(tool, "SENTINEL", tmp_path / "sentinel.conf")
    monkeypatch.setattr(tool, "FIRST", tmp_path / "first-primary")
    monkeypatch.setattr(tool, "PATIENCE", 60.0)
    return group.settings


def test_status_of_a_healthy_group(settings: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["status"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "primary": ONE,
        "healthy": True,
        "redis": {ONE: "primary", TWO: "replica", THREE: "replica"},
        "in_step": [TWO, THREE],
        "sentinel": dict.fromkeys(MEMBERS, "up"),
    }


@pytest.mark.parametrize("fault", [
    "a Redis is down", "a Sentinel is down", "a link is down", "two lead", "one names another", "a password is wrong",
    "a machine hangs up",
])  # fmt: skip
def test_status_of_a_broken_group(group: Group, settings: dict[str, Any], fault: str) -> None:
    """Each of these is something that a switch must not begin with."""
    redis, sentinel, in_step = ["primary", "replica", "replica"], ["up", "up", "up"], [TWO, THREE]
    match fault:
        case "a Redis is down":
            group.redises[THREE].stop()
            redis[2], in_step = "down", [TWO]
        case "a Sentinel is down":
            group.sentinels[THREE].stop()
            sentinel[2] = "down"
        case "a link is down":
            group.roles[TWO] = ["slave", ONE, settings["port"], "connect", -1]
            in_step = [THREE]
        case "two lead":
            group.roles[TWO] = ["master", 9, [["127.0.0.3", "6379", "9"]]]
            redis[1], in_step = "primary", [THREE]
        case "one names another":
            group.named[TWO] = TWO
        case "a password is wrong":
            group.password = "other"
            redis, sentinel, in_step = ["down"] * 3, ["down"] * 3, []
        case "a machine hangs up":
            group.mute = {THREE}
            redis[2], sentinel[2], in_step = "down", "down", [TWO]
    said = tool.status(settings)
    assert not said["healthy"]
    assert (
        [*said["redis"].values()] == redis and [*said["sentinel"].values()] == sentinel and said["in_step"] == in_step
    )
    assert (said["primary"] is None) == (fault == "a password is wrong")


def test_switch(group: Group, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """The first Sentinel is asked, and again if it had no replica to choose."""
    group.refusals = ["NOGOODSLAVE No suitable replica to promote"]
    assert tool.main(["switch"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["former"], done["primary"], done["healthy"]) == (ONE, TWO, True) and done["seconds"] >= 0
    assert group.told == [(ONE, "FAILOVER"), (ONE, "FAILOVER")]


def test_switch_that_fails_says_so(
    group: Group, settings: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its exit code, too."""
    monkeypatch.setattr(tool, "READY_SECONDS", 0.1)
    group.redises[THREE].stop()
    assert tool.main(["switch"]) == 1
    assert json.loads(capsys.readouterr().out)["error"].startswith("Nothing was changed") and not group.told


@pytest.mark.parametrize(("refusals", "begun", "asked"), [
    ([], True, [ONE]),
    (["INPROG Failover already in progress"], True, [ONE]),
    (["NOGOODSLAVE No suitable replica to promote"], False, [ONE]),
])  # fmt: skip
def test_hand_over(group: Group, settings: dict[str, Any], refusals: list[str], begun: bool, asked: list[str]) -> None:
    """One Sentinel is enough; the next one is asked only if one cannot be."""
    group.refusals = [*refusals]
    assert tool.hand_over(settings) == begun and [member for member, _ in group.told] == asked
    group.sentinels[ONE].stop()
    group.told.clear()
    assert tool.hand_over(settings) and group.told == [(TWO, "FAILOVER")]


def test_nobody_can_hand_over(group: Group, settings: dict[str, Any]) -> None:
    for sentinel in group.sentinels.values():
        sentinel.stop()
    assert not tool.hand_over(settings)
    # Nor can a Sentinel be asked for the primary: those that run know it, and this one is not asked about itself.
    group.primary = TWO
    assert tool.primary(settings) == (TWO, settings["port"])
    group.roles = {member: ["slave", "10.9.9.9", 6379, "connect", -1] for member in MEMBERS}
    group.roles[THREE] = ["master", 0, []]
    assert tool.primary(settings) == (THREE, settings["port"])


@pytest.mark.parametrize(("switching", "told"), [
    ("master", [f"REPLICAOF {TWO} {{port}}", "CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub"]),
    ("master,failover_in_progress", []),
])  # fmt: skip
def test_former_primary_follows(
    group: Group, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, switching: str, told: list[str]
) -> None:
    """In one transaction with the end of its clients' connections, once; and not while the next switch is under way."""
    monkeypatch.setattr(tool, "SWEEPS", (0.0,))
    group.named = dict.fromkeys(MEMBERS, TWO)
    group.flags[THREE] = switching
    group.roles[ONE] = ["master", 9, []]
    port = str(settings["port"])
    assert tool.main(["channels", "observer", "start", ONE, port, TWO, port]) == 0
    commands = [command.format(port=port) for command in told]
    assert group.told == [(ONE, command) for command in (["MULTI", *commands, "EXEC"] if told else [])]
    group.told.clear()
    assert tool.main(["channels", "leader", "start", TWO, port, ONE, port]) == 0 and not group.told


@pytest.mark.parametrize("arguments", [[], ["statsu"], ["status", "now"]])
def test_wrong_arguments_get_the_help(
    settings: dict[str, Any], capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert tool.main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.strip() == str(tool.__doc__).strip() and not shown.out
