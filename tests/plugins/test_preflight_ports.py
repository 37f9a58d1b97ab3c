"""Ports that somebody else has, or another part of ours, are told with who has them and one that is free."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.ports import (
    kernel_address,
    listeners_of,
    ports_of_others,
    ports_of_our_own,
    split_address,
)
from ansible_collections.channels.stack.plugins.module_utils.preflight.facts import facts_for_roles
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView, Role, probe_facts

PROGRAM = Path(__file__).resolve().parents[2] / "roles" / "preflight" / "files" / "probe.sh"
SET = {
    "redis_port": 6379, "redis_bind": ["127.0.0.1", "-10.0.0.5"], "nginx_http_port": 80, "nginx_local_port": 8000,
    "postgresql_port": 5432, "postgresql_bind": ["127.0.0.1"],
}  # fmt: skip
OURS = """
ss:1=LISTEN 0 511 0.0.0.0:80 0.0.0.0:* users:(("nginx",pid=12,fd=6),("nginx",pid=10,fd=6))
ss:2=LISTEN 0 511 127.0.0.1:8000 0.0.0.0:* users:(("nginx",pid=12,fd=7),("nginx",pid=10,fd=7))
ss:3=LISTEN 0 511 [::]:80 [::]:* users:(("nginx",pid=12,fd=8),("nginx",pid=10,fd=8))
ss:4=LISTEN 0 511 127.0.0.1:6379 0.0.0.0:* users:(("redis-server",pid=20,fd=6))
ss:5=LISTEN 0 244 127.0.0.1:5432 0.0.0.0:* users:(("postgres",pid=30,fd=6))
ss:6=LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=47,fd=3))
ss:7=LISTEN 0 4096 127.0.0.53%lo:53 0.0.0.0:* users:(("systemd-resolve",pid=48,fd=13))
pid:nginx=10
pid:redis=20
pid:postgresql=30
"""


def host_of(answer: str, roles: str = "redis postgresql nginx", installs: bool = True, **variables: Any) -> HostView:
    """A host that has these roles and gave this answer."""
    applied = {name: Role(name, {}, {}, {}, ["app"]) for name in roles.split()}
    given = {"group_names": ["app"], PROBE: {"stdout": answer}, **SET, **variables}
    return HostView("app1", given, applied, Templar(), installs)


def told(*arguments: Any, **variables: Any) -> list[tuple[str, str, str]]:
    """What both checks say."""
    host = host_of(*arguments, **variables)
    return [(one.variable, one.fault, one.fix) for look in (ports_of_our_own, ports_of_others) for one in look(host)]


def test_our_own_daemons_are_no_conflict() -> None:
    """Neither before anything is there, nor when they listen already, nor one that moves to a free port."""
    assert told("") == [] == told(OURS)
    assert told(OURS, nginx_http_port=8080, redis_port=6380, postgresql_port=5433, nginx_local_port=8001) == []
    assert told(OURS, nginx_http_port=8000, nginx_local_port=8002) == []


@pytest.mark.parametrize(
    ("line", "variable", "said"),
    [
        ('0.0.0.0:80 0.0.0.0:* users:(("apache2",pid=812,fd=4))', "nginx_http_port", "apache2 (pid 812) listens there"),
        ('*:80 *:* users:(("apache2",pid=812,fd=4),("apache2",pid=813,fd=4))', "nginx_http_port", "pid 812 and 813"),
        ('203.0.113.9:80 0.0.0.0:* users:(("haproxy",pid=9,fd=4))', "nginx_http_port", "haproxy (pid 9) on 203"),
        ("0.0.0.0:8000 0.0.0.0:*", "nginx_local_port", "something that no process of this host has"),
        ('10.0.0.5:6379 0.0.0.0:* users:(("valkey-server",pid=5,fd=4))', "redis_port", "valkey-server (pid 5)"),
        ('0.0.0.0:6379 0.0.0.0:* users:(("redis-server",pid=5,fd=4))', "redis_port", "redis-server (pid 5)"),
        ('127.0.0.1:5432 0.0.0.0:* users:(("docker-proxy",pid=5,fd=4))', "postgresql_port", "docker-proxy (pid 5)"),
        ('*:80 *:* users:(("systemd",pid=1,fd=4))', "nginx_http_port", "systemd (pid 1)"),
    ],
)  # fmt: skip
def test_others_are_named(line: str, variable: str, said: str) -> None:
    """Program, id and address, the variable, and a port that is free; a second Redis is not ours."""
    ((named, fault, fix),) = told(
        f'ss:1=LISTEN 0 1 {line}\nss:2=LISTEN 0 1 *:8080 *:* users:(("x",pid=3,fd=1))\npid:redis=20'
    )
    assert named == variable and said.replace(" listens there", "") in fault, fault
    assert f"is {SET[variable]}" in fault and "listens there" in fault
    free = {"nginx_http_port": 8081, "nginx_local_port": 8001, "redis_port": 6380, "postgresql_port": 5433}
    assert fix.endswith(f"\n  {variable}: {free[variable]}")


@pytest.mark.parametrize(
    "line",
    [
        '127.0.0.53%lo:80 0.0.0.0:* users:(("x",pid=5,fd=4))',
        '10.0.0.6:6379 0.0.0.0:* users:(("x",pid=5,fd=4))',
        '[::1]:8000 [::]:* users:(("x",pid=5,fd=4))',
        '192.0.2.1:8000 0.0.0.0:* users:(("x",pid=5,fd=4))',
    ],
)
def test_other_addresses_are_nobodys_business(line: str) -> None:
    """But for those who listen on every address, which is what nginx does on its own port."""
    found = [one[0] for one in told(f"ss:1=LISTEN 0 1 {line}")]
    assert found == (["nginx_http_port"] if ":80 " in line else [])


@pytest.mark.parametrize(
    ("given", "variable", "other"),
    [
        ({"redis_port": 80}, "nginx_http_port", "redis_port"),
        ({"nginx_local_port": 80}, "nginx_local_port", "nginx_http_port"),
        ({"postgresql_port": 6379}, "postgresql_port", "redis_port"),
        ({"nginx_local_port": 5432}, "nginx_local_port", "postgresql_port"),
    ],
)
def test_our_own_parts_differ(given: dict[str, int], variable: str, other: str) -> None:
    """On a bare host and on a finished one, told once."""
    for answer in ("", OURS):
        ((named, fault, _),) = told(answer, **given)
        assert named == variable and fault == f"is {next(iter(given.values()))}, and so is {other}"
    assert told("", postgresql_port=6379, postgresql_bind=["10.0.0.7"]) == [], "they are on different addresses"


def test_port_that_is_left_in_time_is_free() -> None:
    """Redis has moved before nginx is set up, and nginx has not when Redis is."""
    assert told(OURS, redis_port=6380, nginx_local_port=6379) == []
    ((variable, fault, _),) = told(OURS, redis_port=8000, nginx_local_port=8001)
    assert variable == "redis_port" and "nginx (pid" in fault
    ((variable, fault, _),) = told(OURS, "postgresql nginx", nginx_local_port=6379)
    assert variable == "nginx_local_port" and "redis-server (pid 20)" in fault, "nothing moves a Redis that is no part"


def test_runs_that_set_up_nothing_do_not_look() -> None:
    """Who asks what serves, or takes a project away, is not kept from it."""
    answer = 'ss:1=LISTEN 0 1 *:80 *:* users:(("apache2",pid=8,fd=4))'
    assert told(answer, "nginx", False) == [] != told(answer, "nginx", True)


def test_addresses_are_read_as_they_are_written() -> None:
    """By ss and by the kernel."""
    assert split_address("[fe80::1]%eth0:80") == ("fe80::1", 80) == split_address("[fe80::1%eth0]:80")
    assert split_address("*:80") == ("::", 80) and split_address("*:*") is None
    assert kernel_address("0100007F:1F40") == ("127.0.0.1", 8000)
    assert kernel_address("00000000000000000000000001000000:0050") == ("::1", 80)
    assert kernel_address("00000000000000000000000000000000:0016") == ("::", 22)
    assert kernel_address("x:y") is None
    assert facts_for_roles({"ss:1": "", "kernel:1": "", "pid:nginx": "1", "init": "systemd"}) == {"init": "systemd"}


@pytest.fixture
def listening() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize("tool", ["ss", "kernel"])
def test_probe_finds_who_listens(tool: str, listening: int) -> None:
    """With ss, and without it, as on a bare host."""
    if tool == "ss" and not shutil.which("ss"):
        pytest.skip("this machine has no ss")
    text = PROGRAM.read_text() if tool == "ss" else PROGRAM.read_text().replace("command -v ss ", "command -v no-ss ")
    done = subprocess.run(["sh"], input=f"python={sys.executable}\n{text}", capture_output=True, text=True, check=True)
    found = listeners_of(host_of(done.stdout))
    (mine,) = [one for one in found if one.port == listening]
    name = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    assert mine.address == "127.0.0.1" and (os.getpid(), name) in mine.programs
    assert any(key.startswith(f"{tool}:") for key in probe_facts({"stdout": done.stdout}))
    assert not re.search(r"syntax|not found", done.stderr), done.stderr
