"""What preflight says of backups before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks import backup
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import HostView

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----"


def faults(check: Any, **variables: Any) -> list[str]:
    host = HostView("app-1", {"release_app": "shop", **variables}, {}, Templar())
    return [f"{one.variable} {one.fault}" for one in check(host)]


@pytest.mark.parametrize(
    "address",
    [
        "sftp:me@host:/backups", "sftp:me@host:folder", "sftp://me@host:2222//backups", "s3:https://host/bucket",
        "rest:https://user:word@host:8000/shop", "/mnt/disk/shop", "local:/mnt/disk/shop", "b2:bucket:shop",
    ],
)  # fmt: skip
def test_addresses_that_restic_knows(address: str) -> None:
    assert faults(backup.backup_repository, backup_repository=address, backup_password="x" * 12) == []


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("host:/backups", "is no address that restic knows"), ("backups", "is no address that restic knows"),
        ("sftp:host:/backups", "does not name a user, a host and a folder"),
        ("rest:host/shop", "has no http:// or https:// in it"), ("/srv/shop/backups", "lies in what is backed up"),
        ("local:backups", "is no address that restic knows"),
    ],
)  # fmt: skip
def test_other_addresses_are_refused(address: str, fault: str) -> None:
    found = faults(backup.backup_repository, backup_repository=address, backup_password="x" * 12)
    assert found == [f'backup_repository "{address}" {fault}']


def test_backups_have_a_password() -> None:
    given = {"backup_repository": "/mnt/disk", "restore_repository": "/mnt/other", "restore_password": "short"}
    assert faults(backup.backup_repository, backup_password="", **given) == [
        "backup_password is empty, and backups are encrypted with it",
        "restore_password is shorter than 12 characters",
    ]
    assert faults(backup.backup_repository, backup_repository="", backup_password="") == []


def test_ssh() -> None:
    known = {"backup_ssh_known_hosts": ["host ssh-ed25519 AAAA"]}
    assert faults(backup.backup_ssh, backup_ssh_key=KEY, **known) == []
    assert faults(backup.backup_ssh, backup_ssh_key="") == []
    assert faults(backup.backup_ssh, backup_ssh_key="ssh-ed25519 AAAA", **known) == ["backup_ssh_key is no private key"]
    assert faults(backup.backup_ssh, backup_ssh_key=KEY, backup_ssh_known_hosts=[]) == [
        "backup_ssh_known_hosts is empty, so the host of the backups cannot be recognised"
    ]


def test_times() -> None:
    assert faults(backup.backup_times, backup_times=["00:00", "23:59"]) == []
    assert faults(backup.backup_times, backup_times=["24:00", "2:40", "02:40"]) == [
        'backup_times "24:00" is no time of a day', 'backup_times "2:40" is no time of a day',
    ]  # fmt: skip


def test_there_is_a_time() -> None:
    told = ["backup_times is empty, so no backup would be made"]
    assert faults(backup.backup_times, backup_times=[], backup_repository="/mnt") == told
    assert faults(backup.backup_times, backup_times=[], backup_repository="") == []


def test_something_is_kept() -> None:
    none = dict.fromkeys((f"backup_keep_{name}" for name in ("last", "daily", "weekly", "monthly")), 0)
    assert faults(backup.backup_keeps, backup_prune=True, **none) == ["backup_keep_daily and all like it are 0"]
    assert faults(backup.backup_keeps, backup_prune=False, **none) == []
    assert faults(backup.backup_keeps, backup_prune=True, **{**none, "backup_keep_last": 1}) == []


def test_migrations_wait_for_a_backup_that_has_a_place() -> None:
    told = ["backup_before_migrations is true, and backup_repository is empty"]
    assert faults(backup.backup_before_migrations, backup_before_migrations=True, backup_repository="") == told
    assert faults(backup.backup_before_migrations, backup_before_migrations=True, backup_repository="/mnt") == []


@pytest.mark.parametrize("wanted", ["", "latest", "undo", "0123abcd", "2026-11-30", "2026-11-30 14:00"])
def test_backups_that_can_be_meant(wanted: str) -> None:
    assert faults(backup.restore_snapshot, restore_snapshot=wanted, restore_repository="/mnt") == []


@pytest.mark.parametrize("wanted", ["newest", "2026-11", "14:00", "0123"])
def test_others_are_refused(wanted: str) -> None:
    told = [f'restore_snapshot "{wanted}" names no backup']
    assert faults(backup.restore_snapshot, restore_snapshot=wanted, restore_repository="/mnt") == told
    assert faults(backup.restore_snapshot, restore_snapshot="latest") == ["restore_repository is empty"]
