"""What an upgrade would do and cost, from what apt and the host say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.host import upgrades

SIMULATED = """\
Inst libssl3 [3.0.15-1~deb12u1] (3.0.17-1~deb12u2 Debian-Security:12/stable-security [amd64])
Inst nginx [1.22.1-9+deb12u1] (1.22.1-9+deb12u2 Debian:12.9/stable [amd64]) []
Inst linux-image-6.1.0-40-amd64 (6.1.153-1 Debian-Security:12/stable-security [amd64])
Remv old-module [1.0]
Conf nginx (1.22.1-9+deb12u2 Debian:12.9/stable [amd64])
"""


def package(name: str, old: str = "1") -> dict[str, str]:
    return {"name": name, "old": old, "new": "2"}


def process(root: Path, pid: int, unit: str, maps: str) -> None:
    """Have a process run."""
    folder = root / "proc" / str(pid)
    folder.mkdir(parents=True)
    (folder / "maps").write_text(maps)
    (folder / "cgroup").write_text(f"12:pids:{unit}\n1:name=systemd:{unit}\n")
    (folder / "comm").write_text("daemon\n")


def test_packages_of_a_simulation() -> None:
    assert upgrades.packages_in(SIMULATED) == [
        {"name": "libssl3", "old": "3.0.15-1~deb12u1", "new": "3.0.17-1~deb12u2"},
        {"name": "nginx", "old": "1.22.1-9+deb12u1", "new": "1.22.1-9+deb12u2"},
        {"name": "linux-image-6.1.0-40-amd64", "old": "", "new": "6.1.153-1"},
    ]
    assert upgrades.removed_in(SIMULATED) == ["old-module"]
    assert upgrades.packages_in("") == []


@pytest.mark.parametrize(
    ("names", "newest"),
    [([], ""), (["6.1.0-9-amd64", "6.1.0-40-amd64"], "6.1.0-40-amd64"), (["6.12.5-amd64"], "6.12.5-amd64")],
)
def test_newest_kernel_is_found_as_dpkg_sorts(names: list[str], newest: str) -> None:
    assert upgrades.newest_kernel(names, upgrades.compared) == newest


def test_reboot_is_due_for_a_newer_kernel_only(tmp_path: Path) -> None:
    """A container shows its machine's kernel, and has none in /boot."""
    assert upgrades.reboot_reasons(tmp_path, "6.1.0-9-amd64") == []
    (tmp_path / "boot").mkdir()
    for name in ("6.1.0-9-amd64", "6.1.0-8-amd64"):
        (tmp_path / "boot" / f"vmlinuz-{name}").touch()
    assert upgrades.reboot_reasons(tmp_path, "6.1.0-9-amd64") == []
    assert upgrades.reboot_reasons(tmp_path, "5.10.0-machine") == []
    (tmp_path / "boot" / "vmlinuz-6.1.0-40-amd64").touch()
    assert upgrades.reboot_reasons(tmp_path, "6.1.0-9-amd64") == [
        "kernel 6.1.0-40-amd64 is installed, and 6.1.0-9-amd64 runs"
    ]


def test_reboot_is_due_if_a_package_asks(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "reboot-required").touch()
    assert upgrades.reboot_reasons(tmp_path, "6") == ["a package asked for it (/run/reboot-required)"]
    (tmp_path / "run" / "reboot-required.pkgs").write_text("libc6\nlinux-base\nlibc6\n")
    assert upgrades.reboot_reasons(tmp_path, "6") == ["libc6, linux-base asked for it (/run/reboot-required)"]


def test_reboot_is_due_if_replaced_libraries_are_in_use(tmp_path: Path) -> None:
    """Deleted memory, a session that ends by itself, and a file that is no library are no reason."""
    old = "7f0-7f1 r-xp 0 08:01 12 /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)\n"
    process(tmp_path, 10, "/system.slice/nginx.service", old)
    process(tmp_path, 11, "/system.slice/nginx.service", old)
    process(tmp_path, 12, "/system.slice/system-dashboard.slice/dashboard@1.service", old)
    process(tmp_path, 13, "/user.slice/user-0.slice/session-4.scope", old)
    process(tmp_path, 14, "/system.slice/cron.service", old.replace(" (deleted)", ""))
    process(tmp_path, 15, "/system.slice/ssh.service", "7f0-7f1 rw-s 0 00:01 12 /dev/zero (deleted)\n")
    process(tmp_path, 16, "/system.slice/dbus.service", "7f0-7f1 rw-s 0 00:01 12 /usr/lib/locale/C (deleted)\n")
    assert upgrades.outdated(tmp_path) == ["dashboard@1", "nginx"]
    process(tmp_path, 17, "/", old)
    assert upgrades.outdated(tmp_path) == ["daemon", "dashboard@1", "nginx"]
    assert upgrades.reboot_reasons(tmp_path, "6") == ["daemon, dashboard@1, nginx still run with replaced libraries"]


ALONE: dict[str, int] = {"app": 0, "proxy": 0, "redis": 0, "database": 0}


@pytest.mark.parametrize(
    ("groups", "packages", "reboots", "others", "closes"),
    [
        (["app"], ["libssl3"], False, {}, []),
        (["app"], ["redis-server"], False, {}, []),
        (["app"], ["supervisor"], False, {}, [True]),
        (["app"], [], True, {}, [True]),
        (["app"], [], True, {"app": 1}, [True]),
        (["app"], [], True, {"proxy": 1}, [True]),
        (["app"], [], True, {"app": 1, "proxy": 1}, [False]),
        (["app"], ["libssl3"], False, {"app": 1, "proxy": 1}, [False]),
        (["app"], [], False, {"app": 1, "proxy": 1}, []),
        (["app", "redis"], ["redis-server:amd64"], False, {}, [True]),
        (["app", "redis"], [], True, {"app": 1, "proxy": 2}, [False, True]),
        (["proxy"], ["libssl3"], False, {"app": 2}, []),
        (["proxy"], [], True, {"app": 2}, [True]),
        (["database"], ["postgresql-15"], False, {"app": 2}, [False]),
        (["database"], ["postgresql-client-15"], False, {"app": 2}, []),
    ],
)
def test_costs(groups: list[str], packages: list[str], reboots: bool, others: dict, closes: list[bool]) -> None:
    found = upgrades.costs(groups, [package(name) for name in packages], reboots, ALONE | others)
    assert [each["closes"] for each in found] == closes, found


@pytest.mark.parametrize(("part", "closes"), [("", True), ("broken", True), ("primary", False), ("replica", False)])
def test_redis_of_a_group_restarts_without_cost(part: str, closes: bool) -> None:
    """If all of the group work; another one is the primary by then."""
    (found,) = upgrades.costs(["redis"], [], True, ALONE, part)
    assert found["closes"] == closes
    assert ("another Redis becomes the primary first" in found["text"]) == (part == "primary")


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ({"healthy": True, "redis": {"10.0.0.1": "primary", "10.0.0.2": "replica"}}, "primary"),
        ({"healthy": True, "redis": {"10.0.0.1": "replica", "10.0.0.2": "primary"}}, "replica"),
        ({"healthy": False, "redis": {"10.0.0.1": "primary", "10.0.0.2": "down"}}, "broken"),
        ("Traceback", "broken"),
        (None, ""),
    ],
)
def test_part_in_a_group_of_redises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Any, part: str) -> None:
    (tmp_path / "primary.json").write_text('{"address": "10.0.0.1"}')
    monkeypatch.setattr(upgrades, "REDIS_GROUP", tmp_path / "primary.json")
    tool = tmp_path / "redis-primary"
    if said is not None:
        tool.write_text(f"#!/bin/sh\necho '{said if isinstance(said, str) else json.dumps(said)}'\n")
        tool.chmod(0o755)
    assert upgrades.redis_part(tool) == part


def test_new_package_restarts_nothing() -> None:
    assert upgrades.holders([package("supervisor", old="")], ["app"]) == {}


@pytest.mark.parametrize(
    ("text", "who"),
    [
        (None, ""),
        ("playbooks/upgrade.yml took this host out.\n", "upgrade"),
        ("playbooks/drain_host.yml took this host out.\n", "operator"),
        ("", "operator"),
    ],
)
def test_who_took_the_host_out(tmp_path: Path, text: str | None, who: str) -> None:
    """A file that somebody made by hand is the operator's."""
    if text is not None:
        (tmp_path / "drained").write_text(text)
    assert upgrades.drained_by(tmp_path / "drained") == who


def test_people_are_told() -> None:
    state: dict[str, Any] = {
        "packages": [package("nginx"), package("linux-image-7", old="")],
        "removed": ["old-module"],
        "unfinished": True,
        "reboot_reasons": ["libc6 asked for it"],
        "drained": "operator",
        "costs": [{"text": "its sockets move to other hosts first", "closes": False}],
    }
    assert upgrades.told(state) == [
        "2 packages to upgrade: nginx 1 -> 2, linux-image-7 2 (new)",
        "to remove: old-module",
        "an earlier run of dpkg was interrupted; it is finished first",
        "a reboot is due: libc6 asked for it",
        "taken out of the fleet by somebody: it stays out",
        "its sockets move to other hosts first",
    ]
    nothing = {
        **state,
        "packages": [],
        "removed": [],
        "unfinished": False,
        "reboot_reasons": [],
        "drained": "",
        "costs": [],
    }
    assert upgrades.told(nothing) == ["0 packages to upgrade", "no reboot is due"]


def test_failing_command_is_reported() -> None:
    with pytest.raises(upgrades.UpgradeError, match="it ended with 3"):
        upgrades.answer(["sh", "-c", "exit 3"])
