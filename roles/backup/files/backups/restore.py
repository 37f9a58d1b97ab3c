"""A backup's way back: it is fetched beside what serves, takes its place in an instant, and can be taken back.

What is replaced stays until somebody settles the matter. Each step can be repeated, whenever it was killed.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import shutil
import time
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from . import report
from .collect import digest, walk
from .postgresql import Server
from .restic import Repository, chosen
from .settings import Failed, Settings, collected


class Restore:
    """One host's restore. `source` leads to the repository, which may be another site's."""

    def __init__(self, settings: Settings, source: Settings, host: str, app: str) -> None:
        self.settings, self.source = settings, source
        self.host, self.app = host or settings.host, app or settings.app
        # On the same file system as what it is to replace.
        self.scratch = (settings.home if settings.values.get("files") else settings.state) / ".restored"

    @cached_property
    def server(self) -> Server | None:
        """The host's PostgreSQL, if it holds the project's database; a standby has everything from its primary."""
        if not self.settings.values.get("database"):
            return None
        server = Server(self.settings.values["database"])
        return None if server.is_standby() else server

    def manifest(self) -> dict[str, Any]:
        """Return what the fetched backup says of itself; raise Failed if there is none."""
        try:
            return dict(json.loads((self.inside(collected(self.app)) / "manifest.json").read_text()))
        except (OSError, ValueError) as error:
            raise Failed(f"no backup has been fetched to {self.scratch}: {error}") from error

    def inside(self, path: Path) -> Path:
        """Return where a path of the backup is below the scratch folder."""
        return self.scratch / str(path).lstrip("/")

    @property
    def files(self) -> Path:
        """The shared files that were fetched."""
        return self.inside(Path("/srv") / self.app / "shared")

    def fetch(self, wanted: str) -> dict[str, Any]:
        """Bring a backup to the host, beside what serves, and check it. Raise Failed if it is not whole."""
        repository = Repository(self.source)
        known = repository.snapshots(self.host, self.app)
        snapshot = chosen(known, wanted)
        self.remember(known[-1])
        self.discard()
        self.scratch.mkdir(mode=0o700)
        repository.restore(str(snapshot["id"]), str(self.scratch))
        manifest = self.manifest()
        if manifest.get("owners") and self.settings.values.get("files"):
            if os.path.ismount(self.settings.shared):
                raise Failed(
                    f"{self.settings.shared} is a mount of its own, and cannot be replaced in one step. The backup is "
                    f"in {self.scratch}: copy it by hand"
                )
            self.prepare_files(manifest)
        dump = self.inside(collected(self.app)) / "database.dump"
        if self.server and manifest.get("dump"):
            same(dump, str(manifest["dump"]))
            self.server.load(dump, str(manifest["owner"]))
            self.compare_tables(manifest["tables"])
        return {**snapshot, **manifest}

    def remember(self, newest: dict[str, Any]) -> None:
        """Note when the newest backup of this host was made, if a new machine doesn't know: it is watched at once."""
        settings = self.settings
        own = (self.source.folder, self.host, self.app) == (settings.folder, settings.host, settings.app)
        if own and "last_success_timestamp_seconds" not in report.read(settings):
            made = int(datetime.fromisoformat(str(newest["time"])).timestamp())
            report.note(settings, last_success_timestamp_seconds=made)

    def prepare_files(self, manifest: dict[str, Any]) -> None:
        """Put SQLite's copies in their places, and give all files to the users who have the same names here."""
        users = numbers(manifest["owners"]["users"], pwd.getpwnam, {self.app: self.settings.app})
        groups = numbers(manifest["owners"]["groups"], grp.getgrnam, {self.app: self.settings.app})
        for name, one in manifest["sqlite"].items():
            source = self.inside(collected(self.app)) / "sqlite" / one["copy"]
            same(source, one["digest"])
            target = self.files / name
            os.replace(source, target)
            os.chmod(target, one["mode"])
            os.chown(target, one["user"], one["group"])
        for path, status in walk(self.files):
            user, group = users.get(status.st_uid, status.st_uid), groups.get(status.st_gid, status.st_gid)
            if (user, group) != (status.st_uid, status.st_gid):
                os.lchown(path, user, group)
                if not path.is_symlink():
                    os.chmod(path, status.st_mode & 0o7777)  # chown takes the set-group bit away

    def compare_tables(self, wanted: dict[str, int]) -> None:
        """Check that the restored database has as many rows as the dump; raise Failed if not."""
        assert self.server
        found = self.server.counts(self.server.restored)
        different = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
        if different:
            shown = ", ".join(f"{name}: {found.get(name)} rows of {wanted.get(name)}" for name in different[:5])
            raise Failed(f"the restored database is not what was backed up: {shown}")

    def swap(self) -> list[str]:
        """Let what was fetched take the place of what is there; return what was done.

        Where it is kept is noted first, so that a restore that was killed can be taken back.
        """
        manifest, done, shared, now = self.manifest(), [], self.settings.shared, int(time.time())
        with_files = self.files.is_dir() and self.settings.values.get("files")
        server = self.server if manifest.get("dump") else None
        aside = {
            "files": f"{shared}.replaced-{now}" if with_files else "",
            "database": f"{server.replaced}{now}" if server else "",
        }
        report.note(self.settings, replaced=aside)
        if with_files:
            there = shared.lstat()
            os.chown(self.files, there.st_uid, there.st_gid)
            os.chmod(self.files, there.st_mode & 0o7777)
            exchange(self.files, shared, Path(aside["files"]))
            done.append(f"{shared} was replaced")
        if server:
            server.exchange(server.restored, aside["database"])
            done.append(f"database {server.name} was replaced")
        return done

    def undo(self) -> list[str]:
        """Put back what the last restore replaced; return what was done."""
        done, shared = [], self.settings.shared
        aside = report.read(self.settings).get("replaced", {})
        mend(shared)
        if aside.get("files") and Path(aside["files"]).exists():
            gone = self.scratch.with_name(".undone")
            remove(gone)
            exchange(Path(aside["files"]), shared, gone)
            remove(gone)
            done.append(f"{shared} is as it was")
        if self.server and aside.get("database") in self.server.kept():
            self.server.drop(self.server.restored)
            self.server.exchange(aside["database"], self.server.restored)
            done.append(f"database {self.server.name} is as it was")
        report.note(self.settings, replaced={})
        self.discard()
        return done

    def settle(self) -> list[str]:
        """Remove what restores have replaced; return what was removed."""
        kept = [str(one) for one in kept_files(self.settings.shared)]
        for path in kept:
            remove(Path(path))
        databases = self.server.kept() if self.server else []
        for name in databases:
            assert self.server
            self.server.drop(name)
        report.note(self.settings, replaced={})
        self.discard()
        return [*kept, *(f"database {name}" for name in databases)]

    def discard(self) -> None:
        """Remove what was fetched."""
        mend(self.settings.shared)
        remove(self.scratch)
        if self.server:
            self.server.drop(self.server.restored)


def kept_files(shared: Path) -> list[Path]:
    """Return the folders that restores have replaced, the newest first."""
    found = [one for one in shared.parent.glob(f"{shared.name}.replaced-*") if re.search(r"-\d+$", one.name)]
    return sorted(found, reverse=True)


def exchange(new: Path, there: Path, aside: Path) -> None:
    """Let one folder take another's place, and keep that aside."""
    if there.exists():
        there.rename(aside)
    new.rename(there)


def mend(shared: Path) -> None:
    """Put the replaced folder back if a run was killed between the two renames."""
    kept = kept_files(shared)
    if kept and not shared.exists():
        kept[0].rename(shared)


def numbers(names: dict[str, str], ask: Any, other: dict[str, str]) -> dict[int, int]:
    """Return which numbers users or groups have here, by those that they had there."""
    found = {}
    for number, name in names.items():
        try:
            found[int(number)] = int(ask(other.get(name, name))[2])
        except KeyError:
            continue
    return found


def same(path: Path, wanted: str) -> None:
    """Raise Failed if a file is not the one that was backed up."""
    if not path.is_file() or digest(path) != wanted:
        raise Failed(f"{path.name} of the backup is damaged or missing: choose an earlier one")


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, if it is there."""
    if path.exists():
        shutil.rmtree(path)
