"""What outlives a release is taken over once, never overwritten, and nothing that a release ships is lost silently."""

from __future__ import annotations

import contextlib
import getpass
import importlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

ROOT = Path(__file__).resolve().parents[2]
shared_paths = importlib.import_module("ansible_collections.channels.stack.plugins.modules.shared_paths")

Share = Callable[..., dict[str, Any]]


class Killed(BaseException):
    """The run ends here."""


@pytest.fixture
def share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Share:
    """Return a function that shares paths of release NAME, with the files that it ships."""
    (tmp_path / "shared").mkdir()

    def shared(name: str, *paths: str, ships: dict[str, str] | None = None, check: bool = False) -> dict[str, Any]:
        code = tmp_path / name
        code.mkdir(exist_ok=True)
        for path, text in (ships or {}).items():
            write(code / path, text)
        given = {"code": str(code), "shared": str(tmp_path / "shared"), "user": getpass.getuser(), "paths": paths}
        with patch_module_args({**given, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            shared_paths.main()
        return dict(json.loads(capsys.readouterr().out))

    return shared


def write(path: Path, text: str) -> None:
    """Write a file, and the folders that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_first_release_gives_what_it_ships(share: Share, tmp_path: Path) -> None:
    told = share("a", "db.sqlite3", "data/media/", ships={"db.sqlite3": "one", "data/media/x/y.png": "y"})
    assert told["changed"] and told["notices"] == []
    assert (tmp_path / "shared" / "db.sqlite3").read_text() == "one"
    assert (tmp_path / "shared" / "data" / "media" / "x" / "y.png").read_text() == "y"
    assert os.readlink(tmp_path / "a" / "db.sqlite3") == str(tmp_path / "shared" / "db.sqlite3")
    assert os.readlink(tmp_path / "a" / "data" / "media") == str(tmp_path / "shared" / "data" / "media")
    assert not share("a", "db.sqlite3", "data/media/")["changed"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["data", "db.sqlite3"]


def test_later_release_overwrites_nothing_and_is_told_of(share: Share, tmp_path: Path) -> None:
    share("a", "db.sqlite3", "media/", ships={"db.sqlite3": "one", "media/x": "x"})
    (tmp_path / "shared" / "db.sqlite3").write_text("written by users")
    (tmp_path / "shared" / "media" / "upload").write_text("of a user")
    told = share("b", "db.sqlite3", "media/", ships={"db.sqlite3": "two", "media/x": "x", "media/new": "new"})
    assert (tmp_path / "shared" / "db.sqlite3").read_text() == "written by users"
    assert sorted(path.name for path in (tmp_path / "shared" / "media").iterdir()) == ["upload", "x"]
    assert (tmp_path / "b" / "db.sqlite3").read_text() == "written by users"
    assert (tmp_path / "b" / "db.sqlite3.shipped").read_text() == "two"
    assert (tmp_path / "b" / "media.shipped" / "new").read_text() == "new"
    database, media = told["notices"]
    assert "another db.sqlite3" in database and "stays as it is" in database
    assert "differs or is missing: new." in media
    assert share("b", "db.sqlite3", "media/")["notices"] == told["notices"], "a killed run's are told by the next"


def test_what_the_shared_one_has_already_is_no_news(share: Share, tmp_path: Path) -> None:
    ships = {"media/x": "x", "seed.json": "{}"}
    share("a", "media/", "seed.json", ships=ships)
    (tmp_path / "shared" / "media" / "upload").write_text("of a user")
    assert share("b", "media/", "seed.json", ships=ships)["notices"] == []
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["media", "seed.json"]


def test_nothing_shipped_gives_an_empty_folder_and_a_place_for_a_file(share: Share, tmp_path: Path) -> None:
    share("a", "media/", "data/db.sqlite3")
    assert (tmp_path / "shared" / "media").is_dir() and not list((tmp_path / "shared" / "media").iterdir())
    database = sqlite3.connect(tmp_path / "a" / "data" / "db.sqlite3")
    database.execute("create table notes (text)")
    database.close()
    assert (tmp_path / "shared" / "data" / "db.sqlite3").stat().st_size


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_sqlite_writes_beside_the_shared_file(share: Share, tmp_path: Path, mode: str) -> None:
    """The code's folder is not writable for the project, so neither journal may land there."""
    share("a", "db.sqlite3")
    database = sqlite3.connect(tmp_path / "a" / "db.sqlite3", isolation_level=None)
    database.execute(f"pragma journal_mode={mode}")
    database.execute("create table notes (text)")
    database.execute("begin immediate")
    database.execute("insert into notes values ('x')")
    names = {path.name for path in (tmp_path / "shared").iterdir()}
    assert names & {"db.sqlite3-wal", "db.sqlite3-journal"}, names
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["db.sqlite3"]
    database.close()


def test_database_that_was_not_closed_comes_whole(share: Share, tmp_path: Path) -> None:
    """Its newest rows are in the file beside it."""
    (tmp_path / "a").mkdir()
    database = sqlite3.connect(tmp_path / "a" / "db.sqlite3")
    database.execute("pragma journal_mode=wal")
    database.execute("create table notes (text)")
    database.execute("insert into notes values ('newest')")
    database.commit()
    for name in ("db.sqlite3", "db.sqlite3-wal"):  # as they are while it is open
        write(tmp_path / "b" / name, "")
        (tmp_path / "b" / name).write_bytes((tmp_path / "a" / name).read_bytes())
    database.close()
    share("b", "db.sqlite3")
    assert sqlite3.connect(tmp_path / "b" / "db.sqlite3").execute("select text from notes").fetchall() == [("newest",)]


def test_what_is_taken_over_is_the_project_s_to_write_and_closed_to_others(share: Share, tmp_path: Path) -> None:
    """nginx may pass through the shared folder where it serves uploads, and read nothing there but these."""
    for path in ("db.sqlite3", "media/x/y"):
        write(tmp_path / "a" / path, "")
        (tmp_path / "a" / path).chmod(0o444)
    (tmp_path / "a" / "media" / "x").chmod(0o555)
    assert share("a", "db.sqlite3", "media/")["notices"] == []
    shared = tmp_path / "shared"
    modes = {path: (shared / path).stat().st_mode & 0o777 for path in ("db.sqlite3", "media", "media/x", "media/x/y")}
    assert modes == {"db.sqlite3": 0o640, "media": 0o750, "media/x": 0o750, "media/x/y": 0o640}


def test_journal_of_another_database_is_not_mixed_with_the_shipped_one(share: Share, tmp_path: Path) -> None:
    """SQLite would take it for the newest pages of the database that it lies beside."""
    (tmp_path / "shared" / "db.sqlite3-wal").write_text("of a database that somebody has removed")
    told = share("a", "db.sqlite3", ships={"db.sqlite3": "one"})
    assert told.get("failed") and "db.sqlite3-wal belongs to a db.sqlite3 that is not there" in told["msg"]
    assert (tmp_path / "a" / "db.sqlite3").read_text() == "one" and not (tmp_path / "shared" / "db.sqlite3").exists()


@pytest.mark.parametrize(
    ("path", "ships", "fault"),
    [
        ("media", {"media/x": "x"}, "is a folder. Write media/"),
        ("db.sqlite3/", {"db.sqlite3": "x"}, "is a file. Write db.sqlite3"),
        ("out/db.sqlite3", {}, "leaves the project's folder"),
        ("blocked/db.sqlite3", {}, "blocked"),
    ],
)
def test_what_does_not_fit_is_told(share: Share, tmp_path: Path, path: str, ships: dict[str, str], fault: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "out").symlink_to("/etc")
    (tmp_path / "shared" / "blocked").write_text("a file where a folder is to be")
    told = share("a", path, ships=ships)
    assert told.get("failed") and fault in told["msg"], told
    assert all((tmp_path / "a" / name).read_text() == text for name, text in ships.items())


def test_link_that_is_shipped_is_set_aside(share: Share, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "media").symlink_to("/mnt/media")
    assert "as a link to /mnt/media" in share("a", "media/")["notices"][0]
    assert os.readlink(tmp_path / "a" / "media.shipped") == "/mnt/media"
    assert (tmp_path / "a" / "media").is_dir()


def test_link_of_an_operator_is_followed(share: Share, tmp_path: Path) -> None:
    """Uploads that were moved to a larger disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "shared" / "media").symlink_to(tmp_path / "disk")
    share("a", "media/", ships={"media/x": "x"})
    assert not list((tmp_path / "disk").iterdir())
    assert (tmp_path / "a" / "media.shipped" / "x").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("kind", ["closed to the user", "pipe", "another", "the same"])
def test_what_is_shared_is_looked_at_as_its_user(tmp_path: Path, kind: str) -> None:
    """A link or a pipe that the project has put there would have root read what it may not, or wait for ever."""
    tmp_path = Path(tempfile.mkdtemp())  # one that the other user reaches
    tmp_path.chmod(0o755)
    (tmp_path / "code").mkdir()
    (tmp_path / "shared").mkdir()
    write(tmp_path / "code" / "file", "secret")
    write(tmp_path / "secret", "secret")
    (tmp_path / "secret").chmod(0o600 if kind == "closed to the user" else 0o644)
    there = tmp_path / "shared" / "file"
    if kind == "pipe":
        os.mkfifo(there)
        there.chmod(0o666)
    elif kind == "another":
        there.write_text("SECRET")
    else:
        there.symlink_to(tmp_path / "secret")
    path = shared_paths.SharedPath(tmp_path / "code", tmp_path / "shared", "file", "nobody")
    assert path.lacking(path.here) == ([] if kind == "the same" else ["file"])
    shutil.rmtree(tmp_path)


def test_check_mode_tells_and_makes_nothing(share: Share, tmp_path: Path) -> None:
    told = share("a", "media/", ships={"media/x": "x"}, check=True)
    assert told["changed"] and told["paths"] == [str(tmp_path / "a" / "media")]
    assert not list((tmp_path / "shared").iterdir())


@pytest.mark.parametrize("left", range(1, 36))
@pytest.mark.parametrize("ships", [True, False], ids=["ships", "ships-not"])
@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_killed_anywhere_the_next_run_ends_it(again: bool, ships: bool, left: int, tmp_path: Path) -> None:
    """Before each step: at the end, nothing of the shared is lost and nothing of the shipped is."""
    code, shared = tmp_path / "code", tmp_path / "shared"
    shared.mkdir()
    code.mkdir()
    paths = ["db.sqlite3", "media/"]
    if again:
        write(shared / "db.sqlite3", "written by users")
        write(shared / "media" / "upload", "of a user")
    if ships:
        write(code / "db.sqlite3", "shipped")
        write(code / "db.sqlite3-wal", "shipped")
        write(code / "media" / "x", "shipped")

    def settle() -> list[str]:
        found = [shared_paths.SharedPath(code, shared, path, getpass.getuser()) for path in paths]
        for path in found:
            path.settle()
        return [path.notice() for path in found if path.notice()]

    def count_down(patch: pytest.MonkeyPatch) -> None:
        def dying(original: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return original(*arguments, **options)

        for owner, name in (
            (shared_paths.SharedPath, "as_user"), (Path, "rename"), (Path, "symlink_to"), (Path, "replace"),
            (shared_paths, "remove"),
        ):  # fmt: skip
            original = getattr(owner, name)
            patch.setattr(owner, name, lambda *a, _original=original, **o: dying(_original, *a, **o))

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Killed):
        count_down(patch)
        settle()
    notices = settle()
    assert all((code / path).is_symlink() for path in ("db.sqlite3", "media"))
    upload, database = shared / "media" / "upload", shared / "db.sqlite3"
    if again:
        assert (upload.read_text(), database.read_text()) == ("of a user", "written by users")
        assert len(notices) == (2 if ships else 0)
        kept = [(code / path).exists() for path in ("db.sqlite3.shipped", "media.shipped/x")]
        assert kept == [ships, ships]
    elif ships:
        came = (database, shared / "db.sqlite3-wal", shared / "media" / "x")
        assert [path.read_text() for path in came] == ["shipped"] * 3
        assert notices == []
    leftovers = [path for folder in (code, shared) for path in folder.rglob(".*")]
    assert leftovers == [], leftovers
