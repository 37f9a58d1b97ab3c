"""The host's tool for pgBackRest, as far as it needs no host: what it picks, swaps, takes back, says and reports."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles" / "pgbackrest" / "files"))
from channels_pgbackrest import cluster, commands, moments, repository
from channels_pgbackrest import settings as given_settings
from channels_pgbackrest.repository import Backup, Repository, chosen, due
from channels_pgbackrest.settings import Failed, Settings

NOON = moments.parsed("2026-11-30 12:00:00")
DAY = 86400.0
BACKUPS = [
    Backup("A", "full", NOON - 3 * DAY, 1 << 20), Backup("B", "diff", NOON - 2 * DAY, 1 << 20),
    Backup("C", "diff", NOON - DAY, 1 << 20),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-11-30 12:00:00+00", "2026-11-30 12:00:00+00"), ("2026-11-30 12:00", "2026-11-30 12:00:00+00"),
        ("2026-11-30T12:00:09Z", "2026-11-30 12:00:09+00"), ("2026-11-30 12:00:00 UTC", "2026-11-30 12:00:00+00"),
        ("2026-11-30 12:00+02", "2026-11-30 10:00:00+00"), ("2026-11-30 12:00:00-0330", "2026-11-30 15:30:00+00"),
        (" 2026-11-30 12:00:00+05:30 ", "2026-11-30 06:30:00+00"),
    ],
)  # fmt: skip
def test_moments(text: str, read: str) -> None:
    assert moments.target(moments.parsed(text)) == read


@pytest.mark.parametrize("text", ["", "noon", "2026-11-31 12:00", "2026-11-30", "2026-11-30 25:00", "12:00"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(Failed, match="is no moment: write one such as 2026"):
        moments.parsed(text)


def test_a_moment_is_reached_from_the_backup_before_it() -> None:
    assert chosen(BACKUPS, "latest", NOON) == (BACKUPS[2], 0.0)
    assert chosen(BACKUPS, "2026-11-29 12:00:01", NOON) == (BACKUPS[2], NOON - DAY + 1)
    assert chosen(BACKUPS, "2026-11-29 12:00:00", NOON) == (BACKUPS[1], NOON - DAY), "a backup ends after it"
    assert chosen(BACKUPS, "2026-11-30 12:00:00", NOON)[0] == BACKUPS[2]
    with pytest.raises(Failed, match="before the first backup: any moment after 2026-11-27 12:00:00 UTC"):
        chosen(BACKUPS, "2026-11-27 12:00:00", NOON)
    with pytest.raises(Failed, match="2026-11-30 12:00:01 UTC is yet to come"):
        chosen(BACKUPS, "2026-11-30 12:00:01", NOON)
    with pytest.raises(Failed, match="no backup yet"):
        chosen([], "latest", NOON)


def test_a_full_backup_is_due_after_some_days() -> None:
    assert due(BACKUPS, 7, NOON) == "diff"
    assert due(BACKUPS, 3, NOON) == "full"
    assert due(BACKUPS, 3, NOON - 0.6 * DAY) == "diff"
    assert due(BACKUPS[1:], 7, NOON) == "full", "the full one is gone"
    assert due([], 7, NOON) == "full"


# --- what pgBackRest says ---------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a host whose folders are in a temporary one."""
    for module in (given_settings, commands, cluster):
        monkeypatch.setattr(module, "STATE", tmp_path)
    for name in ("home", "metrics", "etc"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(commands, "METRICS", tmp_path / "metrics")
    monkeypatch.setattr(commands, "ETC", tmp_path / "etc")
    (tmp_path / "etc" / "pgbackrest.conf").write_text("[global]\n")
    monkeypatch.setattr(Settings, "home", property(lambda _: tmp_path / "home"))
    return Settings("shop", "shop-15", "15", 5432, "/mnt/archive", 7)


def status(code: int, message: str = "", **more: Any) -> dict[str, Any]:
    """What `info` says of a stanza."""
    return {
        "archive": [], "backup": [], "db": [], "repo": [{"status": {"code": code, "message": message}}],
        "status": {"code": code, "message": message}, **more,
    }  # fmt: skip


def answering(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[list[str]]:
    """Have commands end with a status and what they say, one after another; return the list of those that were run."""
    left, asked = list(answers), []

    def run(words: list[str], text: str = "") -> tuple[int, str, str]:
        asked.append([*words, *([text] if text else [])])
        answer = left.pop(0)
        return answer if isinstance(answer, tuple) else (0, json.dumps([answer]), "")

    for module in (repository, cluster):
        monkeypatch.setattr(module, "run", run)
    return asked


def test_backups_of_another_cluster_and_broken_ones_do_not_count(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("C", 2, False, 30), ("A", 1, False, 10), ("D", 2, True, 40), ("B", 2, False, 20)]
    found = status(0, db=[{"id": 1}, {"id": 2}])
    found["backup"] = [
        {"label": label, "type": "full", "database": {"id": number}, "error": error, "timestamp": {"stop": stop},
         "info": {"size": 5}}
        for label, number, error, stop in rows
    ]  # fmt: skip
    asked = answering(monkeypatch, found)
    assert [one.label for one in Repository(settings).backups()] == ["B", "C"]
    assert asked == [["pgbackrest", "--stanza=shop-15", "--output=json", "info"]]


def test_the_end_of_the_archive(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    last = "00000001000000000000000A"
    found = status(0, archive=[
        {"database": {"id": 1}, "id": "15-1", "max": "0" * 24}, {"database": {"id": 2}, "id": "15-2", "max": last},
    ])  # fmt: skip
    files = {".": {"type": "path"}, f"{last}-abc.zst": {"type": "file", "time": 77}}
    asked = answering(monkeypatch, (0, json.dumps(files), ""))
    assert Repository(settings).last_archived(found) == 77
    assert asked[0][2:] == [
        "--output=json", f"--filter=^{last}-", "repo-ls", "archive/shop-15/15-2/0000000100000000",
    ]  # fmt: skip
    assert Repository(settings).last_archived(status(2)) == 0


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("ERROR: [028]: backup and archive info files exist but do not match the database", "of another PostgreSQL"),
        ("ERROR: [056]: unable to connect to 'dbname=...'", "PostgreSQL does not answer"),
        ("ERROR: [039]: HTTP request failed with 403 (Forbidden): AccessDenied", "it refuses the keys"),
        ("ERROR: [041]: unable to write '/x': [28] No space left on device", "it has no room left"),
        ("ERROR: [049]: unable to connect to 's3.test:443': [111] Connection refused", "it cannot be reached"),
        ("ERROR: [047]: unable to create path '/x': [13] Permission denied", "postgres, may not write there"),
        ("ERROR: [082]: WAL segment was not archived before the 60000ms timeout", "does not get there in time"),
        ("ERROR: [050]: unable to acquire lock on file", "at work already"),
        ("ERROR: [095]: CryptoError", "the password does not open it"),
        ("ERROR: [025]: something else", "pgBackRest failed"),
    ],
)  # fmt: skip
def test_meanings(settings: Settings, monkeypatch: pytest.MonkeyPatch, said: str, meaning: str) -> None:
    answering(monkeypatch, (1, "", f"{said}\n       HINT: is this the correct stanza?\n"))
    with pytest.raises(Failed) as caught:
        Repository(settings).run("backup")
    assert meaning in str(caught.value) and str(caught.value).endswith(f"pgBackRest says: {said}")


def test_a_wrong_password_breaks_even_the_answer(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be decrypted is in pgBackRest's JSON as it is."""
    noise = "key/value found outside of section at line 1: \x01\x0f\ufffd"
    raw = json.dumps([status(99, f"[FormatError] unable to load info file:\n{noise}")])
    whole = raw.replace("\\u0001", "\x01").replace("\\n", "\n")
    for answer in (whole, whole[:-9]):
        answering(monkeypatch, (0, answer, ""))
        with pytest.raises(Failed, match="the password does not open it") as caught:
            Repository(settings).stanza()
        assert "\ufffd" not in str(caught.value)


def test_a_bare_host_lacks_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given_settings, "identity", dict)
    assert given_settings.run(["/no/such/psql"]) == (127, "", "/no/such/psql is not installed")
    assert given_settings.run(["cat"], "x") == (0, "x", "")


# --- commands ---------------------------------------------------------------------------------------------------------


def test_a_stanza_is_made_once(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """If the repository is gone that this host has written to, none is made in its place, nor is another's used."""
    none = argparse.Namespace()
    monkeypatch.setattr(Path, "exists", lambda _: True)
    asked = answering(monkeypatch, status(1), (0, "", ""))
    commands.prepare_(settings, none)
    assert capsys.readouterr().out == "made\n" and asked[-1][-1] == "stanza-create"
    answering(monkeypatch, status(1))
    with pytest.raises(Failed, match="to which this host has written, is gone"):
        commands.prepare_(settings, none)
    there = status(0, db=[{"id": 1, "system-id": 5}, {"id": 2, "system-id": 7}])
    answering(monkeypatch, there, (0, "Database system identifier:           7\n", ""))
    commands.prepare_(settings, none)
    answering(monkeypatch, there, (0, "Database system identifier:           5\n", ""))
    with pytest.raises(Failed, match=r"of another PostgreSQL under this name.*recover_database\.yml"):
        commands.prepare_(settings, none)
    assert capsys.readouterr().out == ""


def test_the_first_backup_is_made_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(commands, "now_", lambda _, given: made.append(given.kind) or 0)
    asked = answering(monkeypatch, (0, "", ""), status(2))
    commands.begin_(settings, argparse.Namespace())
    assert made == ["full"] and [words[-1] for words in asked] == ["check", "info"]
    asked = answering(monkeypatch, status(0))
    commands.begin_(settings, argparse.Namespace())
    assert made == ["full"] and [words[-1] for words in asked] == ["info"], "it archives as it did"
    (commands.ETC / "pgbackrest.conf").write_text("[global]\nrepo1-path=/elsewhere\n")
    asked = answering(monkeypatch, (82, "", "ERROR: [082]: not archived"))
    with pytest.raises(Failed, match="does not get there in time"):
        commands.begin_(settings, argparse.Namespace())
    asked = answering(monkeypatch, (0, "", ""), status(0))
    commands.begin_(settings, argparse.Namespace())
    assert [words[-1] for words in asked] == ["check", "info"], "until it is seen to arrive"


def test_how_a_backup_went_is_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    prom, before = commands.METRICS / "channels_pgbackrest.prom", int(time.time())
    asked = answering(monkeypatch, status(0), (0, "", ""))
    commands.run_(settings, argparse.Namespace(kind="due"))
    assert asked[-1][2:] == ["--type=full", "backup"]
    lines = dict(line.split(" ") for line in prom.read_text().splitlines() if line[0] != "#")
    assert lines['channels_pgbackrest_last_exit_code{app="shop"}'] == "0"
    made = lines['channels_pgbackrest_last_success_timestamp_seconds{app="shop"}']
    assert before <= int(made) <= time.time()
    assert prom.stat().st_mode & 0o777 == 0o644
    assert commands.status_(settings, argparse.Namespace()) == 0
    answering(monkeypatch, (41, "", "ERROR: [041]: No space left on device"))
    with pytest.raises(Failed):
        commands.run_(settings, argparse.Namespace(kind="diff"))
    lines = dict(line.split(" ") for line in prom.read_text().splitlines() if line[0] != "#")
    assert lines['channels_pgbackrest_last_exit_code{app="shop"}'] == "1"
    assert lines['channels_pgbackrest_last_success_timestamp_seconds{app="shop"}'] == made, "the last one is whole"
    capsys.readouterr()
    assert commands.status_(settings, argparse.Namespace()) == 1
    assert "it has no room left" in capsys.readouterr().out


# --- recoveries -------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> cluster.Cluster:
    """A cluster whose data are a file, and that only notes when it is started and stopped."""
    one = cluster.Cluster(settings)
    one.data.mkdir()
    (one.data / "rows").write_text("new")
    monkeypatch.setattr(cluster.Cluster, "service", lambda self, verb: done.append(verb))
    monkeypatch.setattr(cluster.Cluster, "runs", property(lambda self: bool(done) and done[-1] == "start"))
    done: list[str] = []
    monkeypatch.setattr(one, "done", done, raising=False)
    return one


def recover(one: cluster.Cluster, rows: str) -> None:
    """Recover something beside a cluster."""
    one.recovered.mkdir()
    (one.recovered / "rows").write_text(rows)
    one.ready.write_text("{}")


def test_what_is_recovered_takes_the_place_of_what_is_kept(server: cluster.Cluster) -> None:
    with pytest.raises(Failed, match="Nothing was recovered"):
        server.swap()
    recover(server, "old")
    said = server.swap()
    (kept,) = server.kept()
    assert said == [f"What was there before is in {kept}."]
    assert (server.data / "rows").read_text() == "old" and (kept / "rows").read_text() == "new"
    assert server.done == ["stop", "start"] and not server.ready.exists()  # type: ignore[attr-defined]
    assert server.undo() == ["The last recovery was taken back."]
    assert (server.data / "rows").read_text() == "new" and not server.kept() and not server.recovered.exists()
    assert server.undo() == []


def test_a_swap_that_was_killed_is_taken_back(server: cluster.Cluster) -> None:
    """Between its two renames, there are no data at all."""
    recover(server, "old")
    server.data.rename(server.settings.home / "main.replaced-20261130T120000")
    server.undo()
    assert (server.data / "rows").read_text() == "new" and not server.recovered.exists()
    recover(server, "old")
    assert server.undo() == [] and server.runs, "it had only been stopped"


def test_what_was_replaced_goes_once_the_site_is_proven(server: cluster.Cluster) -> None:
    recover(server, "old")
    server.swap()
    (kept,) = server.kept()
    assert server.settle() == [f"{kept} was removed."]
    assert not kept.exists() and (server.data / "rows").read_text() == "old"
    assert server.settle() == []


def test_a_recovery_needs_room(server: cluster.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    free = (600 << 20,)
    monkeypatch.setattr(cluster.shutil, "disk_usage", lambda _: argparse.Namespace(free=free[0]))
    asked = answering(monkeypatch)
    with pytest.raises(Failed, match="600 MB are free, and the backup is 400 MB"):
        server.fetch(Repository(server.settings), Backup("A", "full", NOON, 400 << 20), NOON)
    assert not asked


def test_a_recovery_that_fails_leaves_nothing(server: cluster.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It follows the backup's own timeline, up to the moment in UTC."""
    played: list[float] = []
    monkeypatch.setattr(server, "play", played.append)
    server.recovered.mkdir()
    asked = answering(monkeypatch, (55, "", "ERROR: [055]: unable to find a file"))
    restoring = repository.run
    monkeypatch.setattr(repository, "run", lambda words: (server.recovered.mkdir(), restoring(words))[1])
    with pytest.raises(Failed, match="unable to find a file"):
        server.fetch(Repository(server.settings), BACKUPS[0], NOON)
    assert asked[0][2:] == [
        f"--pg1-path={server.recovered}", "--set=A", "--type=time", "--target=2026-11-30 12:00:00+00",
        "--target-action=promote", "--target-timeline=current", "restore",
    ]  # fmt: skip
    assert not played and not server.recovered.exists() and not server.ready.exists()
    monkeypatch.setattr(server, "play", lambda _: (NOON - 5, "postgres, shop"))
    asked = answering(monkeypatch, (0, "", ""))
    said = server.fetch(Repository(server.settings), BACKUPS[0], 0.0)
    assert asked[0][4:] == ["--type=default", "--target-timeline=current", "restore"]
    assert said == "Databases postgres, shop. The latest change is of 2026-11-30 11:59:55 UTC."
    assert json.loads(server.ready.read_text())["databases"] == "postgres, shop"


def test_the_log_says_why_a_recovery_has_ended(server: cluster.Cluster) -> None:
    server.log.write_text("LOG: x\nFATAL:  recovery ended before configured recovery target was reached\n")
    assert "The archive ends before 2026-11-30 12:00:00 UTC" in server.why(NOON)
    server.log.write_text("LOG:  redo starts\n12:00 FATAL:  could not write: No space left on device\nLOG:  end\n")
    assert server.why(NOON).endswith("12:00 FATAL:  could not write: No space left on device")


def test_the_server_beside_reaches_nobody_and_archives(server: cluster.Cluster) -> None:
    words = server.command()
    values = dict(word.split("=", 1) for word in words[4::2])
    assert words[:3] == ["/usr/lib/postgresql/15/bin/postgres", "-D", str(server.recovered)]
    assert values["listen_addresses"] == "" and values["archive_mode"] == "on"
    assert values["data_directory"] == str(server.recovered) == words[2]
    assert values["config_file"] == "/etc/postgresql/15/main/postgresql.conf"
    assert values["archive_command"] == f"pgbackrest --stanza=shop-15 --pg1-path={server.recovered} archive-push %p"


def test_all_is_archived_before_a_recovery(server: cluster.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "000000020000000000000007"
    answers = iter([name, "00000002.history", "000000020000000000000006", name])
    asked: list[str] = []
    monkeypatch.setattr(server, "ask", lambda sql: (asked.append(sql), next(answers))[1])
    server.archive_now()
    assert asked[0].startswith("SELECT txid_current()") and len(asked) == 4
