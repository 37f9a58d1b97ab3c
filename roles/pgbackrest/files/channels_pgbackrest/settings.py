"""What this host archives and where: read from the file that the inventory's values are in. And PostgreSQL's user."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ETC = Path("/etc/pgbackrest")
STATE = Path("/var/lib/channels-pgbackrest")
USER = "postgres"
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/var/lib/postgresql"}


class Failed(Exception):
    """It cannot go on; the text says why, and what to do."""


@dataclass(frozen=True)
class Settings:
    """What the inventory says, but for what is secret: pgBackRest reads that itself."""

    app: str  # the project whose inventory set this up
    stanza: str  # pgBackRest's name for this cluster
    version: str  # of PostgreSQL
    port: int
    repository: str  # for people
    full_days: int  # after how many days a full backup is due

    @classmethod
    def read(cls) -> Settings:
        """Read them; raise Failed if there are none."""
        path = ETC / "channels.json"
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise Failed(f"{path} cannot be read ({error}): run playbooks/provision.yml") from error

    @property
    def home(self) -> Path:
        """The folder that the cluster's data are in, beside what recoveries make and replace."""
        return Path("/var/lib/postgresql") / self.version

    @property
    def programs(self) -> Path:
        """Where PostgreSQL's programs are."""
        return Path("/usr/lib/postgresql") / self.version / "bin"


def identity() -> dict[str, Any]:
    """PostgreSQL's user, in subprocess's terms."""
    account = pwd.getpwnam(USER)
    groups = [group.gr_gid for group in grp.getgrall() if USER in group.gr_mem]
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups, "cwd": "/", "env": ENVIRONMENT}


def run(words: Sequence[str], text: str = "") -> tuple[int, str, str]:
    """Run a command as PostgreSQL's user; return its status and what it said. A bare host does not have all of them."""
    try:
        done = subprocess.run(
            list(words), input=text, capture_output=True, text=True, errors="replace", check=False, **identity()
        )
    except FileNotFoundError:
        return 127, "", f"{words[0]} is not installed"
    return done.returncode, done.stdout, done.stderr


def state() -> dict[str, Any]:
    """Return what is known of earlier work; empty if nothing is."""
    try:
        return dict(json.loads((STATE / "state.json").read_text()))
    except (OSError, ValueError):
        return {}


def note(**changes: Any) -> dict[str, Any]:
    """Note something; return everything that is noted."""
    known = {**state(), **changes}
    put(STATE / "state.json", json.dumps(known, indent=1) + "\n")
    return known


def put(path: Path, text: str) -> None:
    """Write a file that everybody may read, in one step."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.chmod(0o644)
    os.replace(part, path)
