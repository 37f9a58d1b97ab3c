"""How PostgreSQL's archive is reached, what PostgreSQL does for it, and when backups are made."""

from __future__ import annotations

import configparser
import json
from collections.abc import Callable
from typing import Any

import pytest

Render = Callable[..., str]
SYSTEMD: dict[str, Any] = {"preflight_host": {"init": "systemd", "id": "debian", "version": "13"}}
SYSVINIT: dict[str, Any] = {"preflight_host": {"init": "init", "id": "debian", "version": "12"}}
SECRET = "p@ss=w;rd#?%\"'\\"


def settings(render: Render, **variables: Any) -> dict[str, dict[str, str]]:
    """The sections of pgBackRest's file, read as it reads them: a value is all that comes after the first =."""
    reader = configparser.RawConfigParser(delimiters="=", comment_prefixes="#", interpolation=None)
    reader.read_string(render("pgbackrest/pgbackrest.conf.j2", pgbackrest_password=SECRET, **variables))
    return {name: dict(reader[name]) for name in reader.sections()}


def test_folder(render: Render) -> None:
    found = settings(
        render, pgbackrest_repository="/mnt/archive", pgbackrest_keep_full=9, pgbackrest_processes=5,
        postgresql_port=5433, pgbackrest_archive_mb=777, pgbackrest_stanza="shop", **SYSTEMD,
    )  # fmt: skip
    assert found == {
        "global": {
            "repo1-path": "/mnt/archive", "repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": SECRET,
            "repo1-retention-full": "9", "repo1-bundle": "y", "compress-type": "zst", "process-max": "5",
            "start-fast": "y", "archive-push-queue-max": "777MiB", "io-timeout": "15",
            "lock-path": "/var/lib/channels-pgbackrest/lock", "log-level-console": "off", "log-level-file": "off",
            "log-level-stderr": "warn",
        },
        "shop-17": {"pg1-path": "/var/lib/postgresql/17/main", "pg1-port": "5433"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("s3:https://s3.test/b", {"repo1-s3-endpoint": "s3.test", "repo1-s3-bucket": "b", "repo1-path": "/"}),
        (
            "s3:https://s3.test:9000/b/x/y/",
            {
                "repo1-s3-endpoint": "s3.test",
                "repo1-storage-port": "9000",
                "repo1-s3-bucket": "b",
                "repo1-path": "/x/y",
            },
        ),
    ],
)
@pytest.mark.parametrize(("path_style", "style"), [(True, "path"), (False, "host")])
def test_bucket(render: Render, address: str, place: dict[str, str], path_style: bool, style: str) -> None:
    given = {
        "pgbackrest_repository": address, "pgbackrest_s3_key": "k=1", "pgbackrest_s3_key_secret": "s/+=",
        "pgbackrest_s3_region": "eu-1", "pgbackrest_s3_path_style": path_style,
    }  # fmt: skip
    found = settings(render, **given, **SYSTEMD)["global"]
    assert found["repo1-cipher-pass"] == SECRET
    assert {
        name: value for name, value in found.items() if name.startswith(("repo1-s3", "repo1-st", "repo1-p", "repo1-t"))
    } == {
        "repo1-type": "s3", "repo1-s3-key": "k=1", "repo1-s3-key-secret": "s/+=", "repo1-s3-region": "eu-1",
        "repo1-s3-uri-style": style, **place,
    }  # fmt: skip


def test_the_tool_knows_what_is_not_secret(render: Render) -> None:
    found = json.loads(
        render("pgbackrest/channels.json.j2", pgbackrest_repository="/mnt/a", pgbackrest_full_days=3, **SYSVINIT)
    )
    assert found == {
        "app": "dash-board", "stanza": "dash-board-15", "version": "15", "port": 5432, "repository": "/mnt/a",
        "full_days": 3,
    }  # fmt: skip


def test_postgresql_archives(render: Render) -> None:
    start, reload = (
        [line for line in render(f"pgbackrest/{name}.conf.j2", **given).splitlines() if line[0] != "#"]
        for name, given in (("start", {}), ("reload", {"pgbackrest_archive_seconds": 7, **SYSVINIT}))
    )
    assert start == ["archive_mode = on"]
    assert reload == [
        "archive_command = 'pgbackrest --stanza=dash-board-15 archive-push %p'", "archive_timeout = 7",
    ]  # fmt: skip


def test_times(render: Render) -> None:
    timer = render("pgbackrest/timer.j2", pgbackrest_times=["01:20", "14:05"]).splitlines()
    assert [line for line in timer if "=" in line] == [
        "Description=Back up PostgreSQL by pgBackRest", "OnCalendar=*-*-* 01:20:00", "OnCalendar=*-*-* 14:05:00",
        "RandomizedDelaySec=10min", "Persistent=true", "Unit=channels-pgbackrest@due.service",
        "WantedBy=timers.target",
    ]  # fmt: skip
    cron = render("pgbackrest/cron.j2", pgbackrest_times=["01:20", "14:05"]).splitlines()
    low = "root nice -n 10 ionice -c 3 /usr/local/sbin/channels-pgbackrest run >/dev/null"
    assert cron[-2:] == [f"20 1 * * * {low}", f"5 14 * * * {low}"]
    assert {"SHELL=/bin/sh", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"} < set(cron)


def test_service_is_modest_and_confined(render: Render) -> None:
    given = {"pgbackrest_repository": "/mnt/archive", "pgbackrest_sandbox": {"PrivateTmp": False}, **SYSTEMD}
    lines = render("pgbackrest/service.j2", **given).splitlines()
    assert {
        "Type=oneshot", "Nice=10", "CPUSchedulingPolicy=batch", "IOSchedulingClass=idle", "ProtectSystem=strict",
        "ExecStart=/usr/local/sbin/channels-pgbackrest run %i", "NoNewPrivileges=yes", "PrivateTmp=no",
        "ReadWritePaths=-/mnt/archive", "ReadWritePaths=/var/lib/channels-pgbackrest",
        "CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_SETUID CAP_SETGID",
    } <= set(lines)  # fmt: skip
    bucket = render("pgbackrest/service.j2", pgbackrest_repository="s3:https://s3.test/b", **SYSTEMD)
    assert "s3" not in bucket
