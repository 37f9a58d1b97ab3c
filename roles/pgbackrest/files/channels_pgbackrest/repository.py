"""pgBackRest, as a library: what it is told, what it has, and what its errors mean. No secret is in an argument."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from . import moments
from .settings import Failed, Settings, run

READY, EMPTY, MISSING = 0, 2, (1, 3)  # the status of a stanza: with backups, without any, not there
# What pgBackRest says, and what that means. The first match counts.
MEANINGS = (
    (r"\[056\]|DbConnectError", "PostgreSQL does not answer"),
    (r"\[028\]", "it has the backups of another PostgreSQL under this name, and nothing was changed. To bring those "
     "back: playbooks/recover_database.yml. To begin anew: write another pgbackrest_stanza"),
    (r"\[050\]", "pgBackRest is at work already"),
    (r"CryptoError|cipher|outside of section", "the password does not open it, so nothing was changed. Write the one "
     "that it was made with (pgbackrest_password); without it, nobody can read these backups"),
    (r"No space left|Disk quota|QuotaExceeded|507 Insuff", "it has no room left. Earlier backups are whole. Make room "
     "there, or keep fewer (pgbackrest_keep_full)"),
    (r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|failed with 403", "it refuses the keys "
     "(pgbackrest_s3_key, pgbackrest_s3_key_secret)"),
    (r"NoSuchBucket|failed with 404|TLS error|HostConnectError|unable to connect|unable to get address|ServiceError|"
     r"CertInvalid|unable to verify|timeout waiting", "it cannot be reached. Earlier backups are untouched"),
    (r"Permission denied|unable to create path", "PostgreSQL's user, postgres, may not write there"),
    (r"\[082\]", "PostgreSQL's log does not get there in time; /var/log/postgresql says why"),
)  # fmt: skip


@dataclass(frozen=True)
class Backup:
    """One backup in the repository."""

    label: str
    kind: str  # full, diff or incr
    stop: float  # from here on, it can be recovered to; seconds since 1970
    size: int  # bytes of the cluster's files


class Repository:
    """The repository, as far as this cluster's stanza goes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def run(self, *words: str) -> str:
        """Run pgBackRest as PostgreSQL's user and return its output; raise Failed if it fails."""
        code, out, err = run(["pgbackrest", f"--stanza={self.settings.stanza}", *words])
        if code:
            raise Failed(self.meaning(err or out))
        return out

    def meaning(self, said: str) -> str:
        """Return what an error of pgBackRest's means, with what it says itself where that can be read."""
        why = next((text for pattern, text in MEANINGS if re.search(pattern, said)), "pgBackRest failed")
        lines = [
            line.strip() for line in said.splitlines() if line.isascii() and line.isprintable() and "HINT" not in line
        ]
        lines = [line for line in lines if line and "outside of section" not in line]
        says = f". pgBackRest says: {' | '.join(lines[-3:])}" if lines else ""
        return f"The repository {self.settings.repository}: {why}{says}"

    def stanza(self, required: bool = True) -> dict[str, Any]:
        """Return everything that the repository has of this cluster.

        Raise Failed if it cannot be read, or has nothing and something is required.
        """
        out = self.run("--output=json", "info")
        try:  # what it could not decrypt is in its answer, as it is
            found = dict(json.loads(out, strict=False)[0])
        except ValueError:
            raise Failed(self.meaning(out)) from None
        code = found["status"]["code"]
        if code in MISSING and required:
            raise Failed(
                f"The repository {self.settings.repository} has nothing of {self.settings.stanza}. If its disk is not "
                "mounted, mount it"
            )
        if code not in (READY, EMPTY, *MISSING):
            raise Failed(self.meaning(" ".join(repo["status"]["message"] for repo in found["repo"])))
        return found

    def backups(self, found: dict[str, Any] | None = None) -> list[Backup]:
        """Return the complete backups of the newest cluster in the stanza, the oldest first."""
        found = found or self.stanza()
        newest = max((one["id"] for one in found["db"]), default=0)
        good = [one for one in found["backup"] if not one.get("error") and one["database"]["id"] == newest]
        made = [
            Backup(one["label"], one["type"], float(one["timestamp"]["stop"]), int(one["info"]["size"])) for one in good
        ]
        return sorted(made, key=lambda one: one.stop)

    def last_archived(self, found: dict[str, Any]) -> float:
        """Return when the last piece of PostgreSQL's log came into the archive; 0 if there is none."""
        archive: dict[str, Any] = max(found["archive"], key=lambda one: int(one["database"]["id"]), default={})
        if not archive or not archive.get("max"):
            return 0.0
        folder = f"archive/{self.settings.stanza}/{archive['id']}/{archive['max'][:16]}"
        files = json.loads(self.run("--output=json", f"--filter=^{archive['max']}-", "repo-ls", folder))
        return max((float(one["time"]) for one in files.values() if one["type"] == "file"), default=0.0)


def chosen(backups: list[Backup], wanted: str, now: float) -> tuple[Backup, float]:
    """Return the backup from which a moment is reached, and the moment, 0 for the latest there is. May raise Failed."""
    if not backups:
        raise Failed("There is no backup yet that could be recovered")
    if wanted == "latest":
        return backups[-1], 0.0
    moment = moments.parsed(wanted)
    if moment > now:
        raise Failed(f"{moments.shown(moment)} is yet to come; it is {moments.shown(now)} on this host")
    before = [one for one in backups if one.stop < moment]
    if not before:
        raise Failed(
            f"{moments.shown(moment)} is before the first backup: any moment after {moments.shown(backups[0].stop)} "
            "can be recovered to"
        )
    return before[-1], moment


def due(backups: list[Backup], full_days: int, now: float) -> str:
    """Return which kind of backup is due: a full one each so many days, else what has changed since the last one."""
    full = max((one.stop for one in backups if one.kind == "full"), default=0.0)
    # Half a day early, since a timer comes a few minutes later or earlier each day.
    return "full" if now - full > (full_days - 0.5) * 86400 else "diff"
