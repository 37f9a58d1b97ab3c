"""Redis serves the channel layer, and nobody and nothing else."""

from __future__ import annotations

import pytest
from lab_host import LabHost
from testinfra.backend.base import CommandResult


def as_layer(lab: LabHost, *command: str) -> str:
    """Run a command as the channel layer's user; return Redis's answer."""
    script = '. /etc/dashboard/env; exec redis-cli --no-auth-warning -u "$REDIS_URL" "$@"'
    return lab.run("sh -c %s sh" + " %s" * len(command), script, *command).strip()


@pytest.mark.parametrize("command", ["PING", "GET asgi:x", "PUBLISH asgi:x hello", "CONFIG GET maxmemory", "KEYS *"])
def test_strangers_are_refused(lab: LabHost, command: str) -> None:
    """A client that doesn't log in gets no answer to anything."""
    words = command.split()
    answer = lab.run("redis-cli" + " %s" * len(words), *words)
    assert answer.startswith("NOAUTH"), f"a stranger's {command} was answered with {answer!r}"


@pytest.mark.parametrize("password", ["", "default", "redis"])
def test_default_user_is_off(lab: LabHost, password: str) -> None:
    """The user that every Redis starts with cannot log in with any password."""
    done: CommandResult = lab.host.run("redis-cli AUTH default %s", password)
    assert done.stdout.startswith("WRONGPASS"), f"Redis answered {done.stdout!r}"


def test_layer_may_do_its_work(lab: LabHost) -> None:
    """The layer's user may publish, and keep messages under its prefix."""
    key = "asgi:test-of-rights"
    assert as_layer(lab, "PUBLISH", key, "hello").isdigit()
    assert as_layer(lab, "ZADD", key, "1", "member") == "1"
    assert as_layer(lab, "DEL", key) == "1"


@pytest.mark.parametrize(
    "command",
    [
        "CONFIG GET maxmemory",
        "FLUSHALL",
        "FLUSHDB",
        "ACL LIST",
        "SHUTDOWN NOSAVE",
        "SLOWLOG GET",
        "GET session:1",
        "ZADD other:x 1 member",
        "DEL other:x",
        "PUBLISH other:x hello",
        "SELECT 1",
        "MODULE LIST",
    ],
)
def test_layer_may_do_nothing_else(lab: LabHost, command: str) -> None:
    """The layer's user may not administer Redis, nor touch anything outside its prefix."""
    answer = as_layer(lab, *command.split())
    assert answer.startswith("NOPERM"), f"{command} was answered with {answer!r}"


def test_settings_are_a_channel_layer_s(lab: LabHost) -> None:
    """Redis drops no message, cuts no idle connection, limits its memory, and runs with the file that says so."""
    lines = [line.split(None, 1) for line in lab.run("cat /etc/redis/redis.conf").splitlines() if line[:1].isalpha()]
    settings = {name: value for name, value in lines if name != "bind"}
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["timeout"] == "0"
    assert int(settings["maxmemory"].removesuffix("mb")) >= 64, f"maxmemory is {settings['maxmemory']}"
    assert settings["aclfile"] == "/etc/redis/users.acl"
    started, command = lab.run(
        "pid=$(systemctl show --value --property=MainPID redis-server); "
        "stat --format=%Y /proc/$pid; systemctl show --value --property=ExecStart redis-server"
    ).split("\n", 1)
    assert "/etc/redis/redis.conf" in command, f"Redis runs {command}"
    changed = lab.run("stat --format=%Z /etc/redis/redis.conf /etc/redis/users.acl").split()
    assert int(started) >= max(map(int, changed)), f"Redis started at {started}, and its files changed at {changed}"


def test_redis_listens_on_loopback_alone(lab: LabHost) -> None:
    """Redis listens at none of the host's addresses except loopback."""
    listening = [line.split()[3] for line in lab.run("ss --listening --tcp --numeric --no-header").splitlines()]
    assert [address for address in listening if address.endswith(":6379")] == ["127.0.0.1:6379"]
