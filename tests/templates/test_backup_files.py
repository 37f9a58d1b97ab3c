"""When and how backups are made, and how their repository is reached."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Render = Callable[..., str]
SYSTEMD = {"preflight_host": {"memory_mb": "2000", "id": "debian", "version": "12", "init": "systemd"}}


def test_settings_of_a_host_that_has_all(render: Render) -> None:
    given: dict[str, Any] = {
        "backup_credentials": {"AWS_SECRET_ACCESS_KEY": "s3"}, "backup_paths": ["/etc/hostname"], "backup_prune": False,
        "backup_settings": True, "backup_hooks_before": ["true"], "postgresql_port": 5433, "backup_keep_weekly": 9,
    }  # fmt: skip
    assert json.loads(render("backup/settings.json.j2", **given, **SYSTEMD)) == {
        "app": "dash-board",
        "host": "host",
        "files": True,
        "database": {"name": "dash_board", "owner": "dash_board", "port": 5433},
        "credentials": {"AWS_SECRET_ACCESS_KEY": "s3"},
        "options": [],
        "keep": {"last": 3, "daily": 7, "weekly": 9, "monthly": 12},
        "prune": False,
        "check_days": 7,
        "check_percent": 5,
        "drill_days": 0,
        "paths": ["/etc/hostname"],
        "exclude": [".cache"],
        "sqlite": [],
        "copies": {"environment": "/srv/dash-board/live/env"},
        "hooks_before": ["true"],
        "hooks_after": [],
    }


@pytest.mark.parametrize(("groups", "files", "database"), [(["app"], True, False), (["database"], False, True)])
def test_hosts_back_up_what_they_have(render: Render, groups: list[str], files: bool, database: bool) -> None:
    found = json.loads(render("backup/settings.json.j2", group_names=groups, backup_certificates=True, **SYSTEMD))
    assert (found["files"], bool(found["database"])) == (files, database)
    assert (bool(found["exclude"]), bool(found["copies"])) == (files, files)


def test_times(render: Render) -> None:
    timer = render("backup/timer.j2", backup_times=["02:40", "14:05"]).splitlines()
    assert [line for line in timer if "=" in line] == [
        "Description=Back up dash-board", "OnCalendar=*-*-* 02:40:00", "OnCalendar=*-*-* 14:05:00",
        "RandomizedDelaySec=10min", "Persistent=true", "Unit=dash-board-backup@scheduled.service",
        "WantedBy=timers.target",
    ]  # fmt: skip
    cron = render("backup/cron.j2", backup_times=["02:40", "14:05"]).splitlines()
    low = "root nice -n 10 ionice -c 3 /usr/local/sbin/dash-board-backup run --reason scheduled >/dev/null"
    assert cron[-2:] == [f"40 2 * * * {low}", f"5 14 * * * {low}"]
    assert [line for line in cron[:-2] if not line.startswith("#")] == [
        "SHELL=/bin/sh", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]  # fmt: skip


def test_service_is_modest_and_confined(render: Render) -> None:
    lines = render(
        "backup/service.j2", backup_repository="/mnt/backups", backup_sandbox={"PrivateTmp": False}, **SYSTEMD
    ).splitlines()
    assert {
        "[Unit]", "Description=Back up dash-board", "After=network-online.target postgresql.service",
        "Wants=network-online.target", "[Service]", "Type=oneshot", "Nice=10", "CPUSchedulingPolicy=batch",
        "IOSchedulingClass=idle", "ExecStart=/usr/local/sbin/dash-board-backup run --reason %i",
        "StateDirectory=dash-board-backup", "StateDirectoryMode=0711", "CacheDirectory=dash-board-backup",
        "CacheDirectoryMode=0700", "ProtectSystem=strict", "NoNewPrivileges=yes", "PrivateTmp=no",
        "ReadWritePaths=-/mnt/backups", "ReadWritePaths=-/srv/dash-board",
    } <= set(lines)  # fmt: skip
    assert not any("/mnt" in line for line in render("backup/service.j2", **SYSTEMD).splitlines())


def test_ssh_knows_its_host(render: Render) -> None:
    bare = render("backup/ssh_config.j2").splitlines()
    assert [line.strip() for line in bare if not line.startswith("#")] == [
        "Host *", "BatchMode yes", "ConnectTimeout 30", "ServerAliveInterval 15", "ServerAliveCountMax 4",
        "ForwardAgent no", "ForwardX11 no",
    ]  # fmt: skip
    own = render("backup/ssh_config.j2", backup_ssh_key="-----BEGIN", backup_ssh_known_hosts=["host ssh-ed25519 AAAA"])
    assert [line.strip() for line in own.splitlines()[len(bare) :]] == [
        "IdentityFile /etc/dash-board/backup/ssh_key", "IdentitiesOnly yes",
        "UserKnownHostsFile /etc/dash-board/backup/known_hosts", "StrictHostKeyChecking yes",
    ]  # fmt: skip
