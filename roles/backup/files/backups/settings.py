"""What this host is to back up, and where things are: read from the file that the inventory's values are in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Failed(Exception):
    """A backup or a restore cannot go on; the text says why, and what to do."""


@dataclass(frozen=True)
class Settings:
    """One folder of settings: the site's own, or that of a repository from which another site's data come."""

    folder: Path
    values: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Settings:
        """Read a folder of settings; raise Failed if there is none."""
        try:
            return cls(folder, json.loads((folder / "settings.json").read_text()))
        except (OSError, ValueError) as error:
            raise Failed(f"{folder}/settings.json cannot be read ({error}): run playbooks/provision.yml") from error

    @property
    def app(self) -> str:
        """The project's name."""
        return str(self.values["app"])

    @property
    def host(self) -> str:
        """The host's name in the inventory, which its backups carry."""
        return str(self.values["host"])

    @property
    def state(self) -> Path:
        """The folder for what the tool itself remembers, and for what it collects."""
        return Path("/var/lib") / f"{self.app}-backup"

    @property
    def cache(self) -> Path:
        """The folder in which restic keeps what it knows of the repository."""
        return Path("/var/cache") / f"{self.app}-backup"

    @property
    def home(self) -> Path:
        """The project's folder."""
        return Path("/srv") / self.app

    @property
    def shared(self) -> Path:
        """The folder of files that outlive a release."""
        return self.home / "shared"

    @property
    def repository(self) -> str:
        """Where the backups go, without a password that the address may hold."""
        given = (self.folder / "repository").read_text().strip()
        scheme, mark, rest = given.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}" if mark and ":" in rest.rpartition("@")[0] else given


def collected(app: str) -> Path:
    """Return the folder in which dumps and copies are collected, by which a snapshot has them."""
    return Path("/var/lib") / f"{app}-backup" / "collected"
