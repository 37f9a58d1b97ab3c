"""What is to be backed up is put together: the database's dump, copies of SQLite files, and a list of all of it."""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .postgresql import Server
from .settings import Failed, Settings, collected

SQLITE_NAMES = (".sqlite3", ".sqlite", ".db")
SQLITE_MAGIC = b"SQLite format 3\0"
SIDECARS = ("-wal", "-shm", "-journal")
# Run as the project's user: root does not open what a project may have prepared. A copy by SQLite itself is whole, even
# if somebody writes meanwhile.
COPY = """
import sqlite3, sys
with sqlite3.connect(f"file:{sys.argv[1]}?mode=rw", uri=True, timeout=60) as source:
    with sqlite3.connect(sys.argv[2]) as target:
        source.backup(target)
        found = target.execute("PRAGMA quick_check").fetchone()[0]
sys.exit(0 if found == "ok" else f"it is damaged: {found}")
"""
OUTPUT_CHARACTERS = 2000  # of a hook that failed


class Collection:
    """What one backup consists of."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = collected(settings.app)
        self.manifest: dict[str, Any] = {
            "app": settings.app, "host": settings.host, "made": int(time.time()), "release": release(settings),
        }  # fmt: skip
        self.paths = [str(self.folder)]
        self.excludes: list[str] = []

    def gather(self) -> None:
        """Put everything together. Raise Failed if a part cannot be had."""
        self.empty()
        values = self.settings.values
        if values.get("database"):
            self.database(Server(values["database"]))
        if values.get("files") and self.settings.shared.is_dir():
            self.files()
        for path in values.get("paths", []):
            if not os.path.lexists(path):
                raise Failed(f"{path} of backup_paths is not there")
            self.paths.append(path)
        for name, path in values.get("copies", {}).items():
            if os.path.exists(path):
                copy(Path(path), self.folder / "copies" / name)
        if not ({"tables", "owners"} & self.manifest.keys() or len(self.paths) > 1):
            raise Failed("there is nothing to back up on this host")
        (self.folder / "manifest.json").write_text(json.dumps(self.manifest, indent=1) + "\n")

    def empty(self) -> None:
        """Begin with an empty folder, whatever a killed run left."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o711)  # the project's user passes through it

    def database(self, server: Server) -> None:
        """Dump PostgreSQL's database. A standby leaves that to its primary."""
        if server.is_standby():
            self.manifest["tables"] = {}
            return
        dump = self.folder / "database.dump"
        self.manifest["tables"] = server.dump(dump)
        self.manifest["owner"] = server.owner
        self.manifest["dump"] = digest(dump)

    def files(self) -> None:
        """Name the shared files, with copies in place of SQLite's, and to whom they belong."""
        shared, values = self.settings.shared, self.settings.values
        self.paths.append(str(shared))
        # Those that begin with a slash are absolute; others are in the shared folder.
        self.excludes += [str(shared / one) for one in values.get("exclude", [])]
        account = pwd.getpwnam(self.settings.app)
        copies = self.folder / "sqlite"
        copies.mkdir(mode=0o700)
        os.chown(copies, account.pw_uid, account.pw_gid)
        users, groups, names = set(), set(), []
        for path, status in walk(shared):
            users.add(status.st_uid)
            groups.add(status.st_gid)
            if is_sqlite(path, status, shared, values.get("sqlite", [])):
                names.append(str(path.relative_to(shared)))
        self.manifest["owners"] = {
            "users": {uid: name for uid in users if (name := name_of(pwd.getpwuid, uid))},
            "groups": {gid: name for gid in groups if (name := name_of(grp.getgrgid, gid))},
        }
        self.manifest["sqlite"] = {}
        for number, name in enumerate(sorted(names)):
            self.copy_sqlite(shared / name, copies / str(number))
            status = (shared / name).lstat()
            self.manifest["sqlite"][name] = {
                "copy": str(number), "digest": digest(copies / str(number)), "mode": stat.S_IMODE(status.st_mode),
                "user": status.st_uid, "group": status.st_gid,
            }  # fmt: skip
            self.excludes += [escaped(shared / f"{name}{end}") for end in ("", *SIDECARS)]

    def copy_sqlite(self, source: Path, target: Path) -> None:
        """Copy an SQLite file as the project's user; raise Failed if that fails."""
        account = pwd.getpwnam(self.settings.app)
        done = subprocess.run(
            [sys.executable, "-I", "-c", COPY, str(source).replace("%", "%25").replace("?", "%3f"), str(target)],
            capture_output=True, text=True, check=False, cwd="/", umask=0o077, user=account.pw_uid,
            group=account.pw_gid, extra_groups=[],
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"the SQLite file {source} cannot be copied: {done.stderr.strip().splitlines()[-1]}")


def escaped(path: Path) -> str:
    """Return restic's pattern for one path."""
    return "".join(f"\\{sign}" if sign in "*?[\\" else sign for sign in str(path))


def walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield a folder and all that is in it, with its status; links are not followed."""
    yield folder, folder.lstat()
    for at, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(at, name)
            try:
                yield path, path.lstat()
            except FileNotFoundError:  # it was deleted meanwhile
                continue


def is_sqlite(path: Path, status: os.stat_result, shared: Path, named: list[str]) -> bool:
    """Tell whether a file is a database of SQLite's, by its name, by a file beside it, or because it is named."""
    if not stat.S_ISREG(status.st_mode) or path.name.endswith(SIDECARS):
        return False
    likely = path.suffix in SQLITE_NAMES or str(path.relative_to(shared)) in named
    if not likely and not os.path.lexists(f"{path}-wal"):
        return False
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except OSError:
        return False


def name_of(ask: Any, number: int) -> str:
    """Return the name of a user or group; empty if it has none."""
    try:
        return str(ask(number)[0])
    except KeyError:
        return ""


def digest(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder of root's, as readable for root alone."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)


def release(settings: Settings) -> dict[str, str]:
    """Return which release serves on this host; empty if none does."""
    try:
        live = json.loads((settings.home / "live" / "generation.json").read_text())
    except (OSError, ValueError):
        return {}
    return {name: str(live[name]) for name in ("release", "version", "generation") if name in live}


def hooks(commands: list[str], label: str, result: str = "") -> None:
    """Run an inventory's commands, one after another; raise Failed at the first that fails."""
    for command in commands:
        done = subprocess.run(
            ["sh", "-euc", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", check=False, cwd="/", env={**os.environ, "BACKUP_RESULT": result},
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"a command of {label} failed with {done.returncode}: {done.stdout[-OUTPUT_CHARACTERS:]}")
