"""The host's tool for backups, as far as it needs no host: what it picks, puts in place, takes back and reports."""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles" / "backup" / "files"))
from backups import collect, commands, reach, report, restic, restore
from backups.settings import Failed, Settings

SNAPSHOTS = [
    {"id": f"{letter * 8}{number}", "short_id": letter * 8, "time": time}
    for number, (letter, time) in enumerate(
        [("a", "2026-11-28T02:41:07Z"), ("b", "2026-11-29T02:41:09Z"), ("c", "2026-11-29T14:00:01Z")]
    )
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("latest", "c"), ("bbbbbbbb", "b"), ("2026-11-28", "a"), ("2026-11-29", "c"), ("2026-11-29 14:00", "c"),
        ("2026-11-29T13:59", "b"), ("2026-11-29 02:41:08", "a"), ("2027-01-01", "c"),
    ],
)  # fmt: skip
def test_chosen(wanted: str, found: str) -> None:
    assert restic.chosen(SNAPSHOTS, wanted)["short_id"] == found * 8


@pytest.mark.parametrize("wanted", ["2026-11-27", "dddddddd"])
def test_nothing_is_chosen_by_guessing(wanted: str) -> None:
    with pytest.raises(Failed, match=f"no backup is called {wanted}.*cccccccc of 2026-11-29T14:00"):
        restic.chosen(SNAPSHOTS, wanted)
    with pytest.raises(Failed, match="no backup of this host"):
        restic.chosen([], "latest")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a project whose folders are in a temporary one."""
    (tmp_path / "etc").mkdir()
    values = {"app": "shop", "host": "app-1", "files": True, "database": {}, "credentials": {"AWS_ACCESS_KEY_ID": "k"}}
    (tmp_path / "etc" / "settings.json").write_text(json.dumps(values))
    for name in ("state", "home", "cache"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(Settings, name, property(lambda _, name=name: tmp_path / name))
    return Settings.read(tmp_path / "etc")


def at(settings: Settings, repository: str) -> restic.Repository:
    """A repository at some address."""
    (settings.folder / "repository").write_text(f"{repository}\n")
    return restic.Repository(settings)


def test_no_secret_is_an_argument(settings: Settings) -> None:
    repository = at(settings, "rest:https://user:s3cret@host:8000/shop")
    assert repository.command("snapshots") == ["restic", "snapshots"]
    environment = repository.environment()
    assert environment["RESTIC_PASSWORD_FILE"] == str(settings.folder / "password")
    assert environment["RESTIC_REPOSITORY_FILE"] == str(settings.folder / "repository")
    assert environment["AWS_ACCESS_KEY_ID"] == "k"
    assert settings.repository == "rest:https://host:8000/shop"
    assert "s3cret" not in repository.meaning("Fatal: dial tcp: connection refused")


@pytest.mark.parametrize(
    ("address", "ssh"),
    [
        ("sftp:me@host:folder", "me@host -s sftp"), ("sftp://me@host/folder", "me@host -s sftp"),
        ("sftp://me@host:2222//folder", "-p 2222 me@host -s sftp"), ("/mnt/disk", ""), ("s3:https://host/bucket", ""),
    ],
)  # fmt: skip
def test_ssh_reads_its_own_settings(settings: Settings, address: str, ssh: str) -> None:
    command = at(settings, address).command("check")
    wanted = ["--option", f"sftp.command=ssh -F {settings.folder}/ssh_config {ssh}"] if ssh else []
    assert command == ["restic", *wanted, "check"]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Fatal: wrong password or no key found", "the password does not open it"),
        ("Fatal: create repository at x failed: write: no space left on device", "no room left"),
        ("subprocess ssh: me@host: Permission denied (publickey).", "lets nobody in by this key"),
        ("Fatal: unable to open config file: stat /mnt/x/config: no such file or directory\n"
         "Is there a repository at the following location?", "it is not there"),
        ("Fatal: unable to open config file: unexpected HTTP response (401): 401 Unauthorized\n"
         "Is there a repository at the following location?", "refuses the user, the password or the keys"),
        ("Fatal: unable to open config file: Stat: Access Denied.\n"
         "Is there a repository at the following location?", "refuses the user, the password or the keys"),
        ("Fatal: unable to open config file: Stat: The specified key does not exist.\n"
         "Is there a repository at the following location?", "it is not there"),
        ("subprocess ssh: ssh: connect to host x port 22: Connection refused", "cannot be reached"),
        ("unable to create lock in backend: repository is already locked by PID 7", "shop-backup restic unlock"),
        ("Fatal: something else", "restic failed"),
    ],
)  # fmt: skip
def test_errors_say_what_they_mean(settings: Settings, said: str, meant: str) -> None:
    text = at(settings, "/mnt/x").meaning(f"first\n{said}\n")
    assert meant in text and said.splitlines()[-1] in text


@pytest.mark.parametrize(
    ("repository", "variables", "place"),
    [
        ("rest:https://user:word@host:8000/shop", "", ("host", 8000)), ("rest:http://host/shop/", "", ("host", 80)),
        ("s3:s3.eu-west-1.amazonaws.com/bucket/shop", "", ("s3.eu-west-1.amazonaws.com", 443)),
        ("s3:http://10.0.0.9:9000/bucket", "PATH", ("10.0.0.9", 9000)), ("s3://host/bucket", "", ("host", 443)),
        ("rest:https://[::1]:8000/", "", ("::1", 8000)), ("rest:https://host:port/", "", None),
        ("rest:https://host/", "HTTPS_PROXY", None), ("sftp:me@host:folder", "", None), ("/mnt/disk", "", None),
    ],
)  # fmt: skip
def test_service_of_a_repository(repository: str, variables: str, place: tuple[str, int] | None) -> None:
    assert reach.service(repository, variables.split()) == place


def test_service_that_is_away_is_said_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """restic would try for a quarter of an hour, and so would the run of a playbook that waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert reach.fault("127.0.0.1", port) == ""
    monkeypatch.setattr(reach.fault, "__defaults__", (0.0,))
    monkeypatch.setattr(restic.subprocess, "run", lambda *_, **__: pytest.fail("restic was started"))
    repository = at(settings, f"rest:http://user:s3cret@127.0.0.1:{port}/shop")
    with pytest.raises(Failed, match=f"cannot be reached.*127.0.0.1, port {port}: Connection refused") as failed:
        repository.exists()
    assert "s3cret" not in str(failed.value)


def test_a_repository_in_the_place_of_another_is_not_written_to(settings: Settings, monkeypatch: Any) -> None:
    """A disk that is not mounted, for example. Another address is another place."""
    repository = at(settings, "/mnt/x")
    monkeypatch.setattr(restic.Repository, "identity", lambda self: self.settings.repository[-1] * 64)
    commands.known(settings, repository)
    commands.known(settings, repository)
    monkeypatch.setattr(restic.Repository, "identity", lambda _: "f" * 64)
    with pytest.raises(Failed, match="another one than before \\(ffffffff, not xxxxxxxx\\)"):
        commands.known(settings, repository)
    commands.known(settings, at(settings, "/mnt/y"))
    assert report.read(settings)["repository"] == "f" * 64


def test_sqlite_is_found_and_copied_whole(tmp_path: Path) -> None:
    """By its name, by what lies beside it, or because it is named; and never through a link."""
    for name in ("one.sqlite3", "two", "three", "four"):
        with sqlite3.connect(tmp_path / name) as base:
            base.execute("CREATE TABLE t (a)")
        base.close()
    (tmp_path / "two-wal").touch()
    (tmp_path / "text.db").write_text("no database")
    (tmp_path / "link.db").symlink_to("one.sqlite3")
    found = {
        path.name for path, status in collect.walk(tmp_path) if collect.is_sqlite(path, status, tmp_path, ["three"])
    }
    assert found == {"one.sqlite3", "two", "three"}


def test_patterns_name_one_path() -> None:
    assert collect.escaped(Path("/srv/a*b[c]?\\d")) == "/srv/a\\*b\\[c]\\?\\\\d"


def back(settings: Settings, files: dict[str, str]) -> restore.Restore:
    """A restore whose backup has been fetched."""
    one = restore.Restore(settings, settings, "", "")
    one.files.mkdir(parents=True)
    for name, text in files.items():
        (one.files / name).write_text(text)
    manifest = one.inside(Path("/var/lib/shop-backup/collected/manifest.json"))
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"owners": {"users": {}, "groups": {}}, "sqlite": {}}))
    return one


def there(settings: Settings) -> dict[str, str]:
    """What serves."""
    return {path.name: path.read_text() for path in settings.shared.iterdir()}


def test_what_is_replaced_comes_back_or_goes(settings: Settings) -> None:
    settings.shared.mkdir(mode=0o710)
    (settings.shared / "now").write_text("1")
    one = back(settings, {"then": "2"})
    assert one.swap() == [f"{settings.shared} was replaced"]
    assert there(settings) == {"then": "2"} and settings.shared.stat().st_mode & 0o777 == 0o710
    assert one.undo() == [f"{settings.shared} is as it was"]
    assert there(settings) == {"now": "1"} and one.undo() == [], "once is enough"
    back(settings, {"then": "3"}).swap()
    assert [Path(name).name[:16] for name in one.settle()] == ["shared.replaced-"]
    assert there(settings) == {"then": "3"} and one.undo() == []
    assert sorted(path.name for path in settings.home.iterdir()) == ["shared"]


@pytest.mark.parametrize(
    ("known", "host", "noted"),
    [({}, "", 1796047201), ({"repository": "r"}, "app-1", 1796047201), ({}, "app-2", None),
     ({"last_success_timestamp_seconds": 5}, "", 5)],
)  # fmt: skip
def test_new_machine_knows_the_newest_backup_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, known: dict[str, Any], host: str, noted: int | None
) -> None:
    """Not the one that is restored, and none of another host."""
    monkeypatch.setattr(restic.Repository, "snapshots", lambda *_: [
        *SNAPSHOTS[:2], SNAPSHOTS[2] | {"time": "2026-11-30T15:00:01.123456789+01:00"},
    ])  # fmt: skip
    monkeypatch.setattr(restic.Repository, "restore", lambda *_: None)
    report.note(settings, **known)
    with pytest.raises(Failed, match="no backup has been fetched"):
        restore.Restore(settings, settings, host, "").fetch("2026-11-28")
    assert report.read(settings).get("last_success_timestamp_seconds") == noted


def test_a_killed_restore_loses_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two renames there is no shared folder: the next command brings it back."""
    settings.shared.mkdir()
    (settings.shared / "now").write_text("1")
    one, rename = back(settings, {"then": "2"}), Path.rename

    def killed(self: Path, target: Path) -> Path:
        if self == one.files:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        one.swap()
    monkeypatch.undo()
    monkeypatch.setattr(Settings, "home", property(lambda _: one.scratch.parent))
    monkeypatch.setattr(Settings, "state", property(lambda _: one.scratch.parent.parent / "state"))
    assert not settings.shared.exists()
    one.discard()
    assert there(settings) == {"now": "1"}


def test_users_are_found_by_their_names() -> None:
    names = {"4242": "root", "4243": "nobody-has-this-name", "4244": "shop"}
    here = {"root": 0, "newshop": 1007}
    assert restore.numbers(names, lambda name: ("", "", here[name]), {"shop": "newshop"}) == {4242: 0, 4244: 1007}


def test_metrics(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "METRICS", tmp_path / "metrics")
    report.note(settings, last_success_timestamp_seconds=17, error="x")
    (tmp_path / "metrics").mkdir()
    report.note(settings, last_exit_code=1)
    path = tmp_path / "metrics" / "channels_backup_shop.prom"
    assert path.read_text() == (
        "# HELP channels_backup_last_success_timestamp_seconds When the last complete backup was made.\n"
        "# TYPE channels_backup_last_success_timestamp_seconds gauge\n"
        'channels_backup_last_success_timestamp_seconds{app="shop"} 17\n'
        "# HELP channels_backup_last_exit_code How that ended: 0 if the backup is complete.\n"
        "# TYPE channels_backup_last_exit_code gauge\n"
        'channels_backup_last_exit_code{app="shop"} 1\n'
    )
    assert path.stat().st_mode & 0o777 == 0o644
    assert (settings.state / "state.json").stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path / "metrics")) == ["channels_backup_shop.prom"]


@pytest.mark.parametrize(
    ("fault", "raised", "said"),
    [
        (Failed("no room left"), Failed, "no room left"),
        (OSError(28, "No space left on device", "/x"), Failed, "on this host: .*No space left on device: '/x'"),
        (SystemExit("ended by SIGTERM"), SystemExit, "ended by SIGTERM"),
        (KeyError("files"), KeyError, "an unexpected error"),
    ],
)  # fmt: skip
def test_whatever_ends_a_backup_is_noted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fault: BaseException, raised: type, said: str
) -> None:
    """The one before went well, and stays the last one that did."""

    def backup(*_: Any) -> None:
        raise fault

    monkeypatch.setattr(report, "METRICS", settings.state / "metrics")
    monkeypatch.setattr(commands, "ETC", settings.folder)
    monkeypatch.setattr(commands, "backup", backup)
    report.note(settings, last_exit_code=0, error="", last_success_timestamp_seconds=17)
    with pytest.raises(raised):
        commands.run_(argparse.Namespace(reason="scheduled"))
    noted = report.read(settings)
    assert noted["last_exit_code"] == 1 and noted["last_success_timestamp_seconds"] == 17
    assert re.search(said, noted["error"])


@pytest.mark.parametrize(("command", "failed"), [("true", ""), ("echo no room; exit 3", "failed with 3: no room")])
def test_hooks(command: str, failed: str, capfd: Any) -> None:
    if not failed:
        collect.hooks([command], "hooks")
        return
    with pytest.raises(Failed, match=failed):
        collect.hooks(["true", command], "hooks")
