"""restic, as a library: what it is told, and what its errors mean. No secret is ever in an argument."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from . import reach
from .settings import Failed, Settings

LOCKED = "repository is already locked"
LOCK_SECONDS = 1800.0  # how long to wait for another host's work in the same repository
INCOMPLETE = 3  # restic's status if it could not read some files
# What restic and ssh say, and what that means. The first match counts.
PASSWORD = r"wrong password or no key found"
FULL = r"no space left|[Dd]isk quota exceeded|507 Insufficient|QuotaExceeded|sftp: \"?Failure|SSH_FX_FAILURE"
DENIED = r"Permission denied \(|Host key verification failed|REMOTE HOST IDENTIFICATION"
# Of REST servers, and of S3, by the codes of its errors.
REFUSED = (
    r"HTTP response \(40[13]\)|Access ?Denied|InvalidAccessKeyId|SignatureDoesNotMatch|"
    r"Access Key Id you provided does not exist|signature we calculated does not match"
)
# "Is there a repository at the following location?" follows any error at all, so it means nothing.
GONE = r"repository does not exist|unable to open config file: .*(no such file|not exist)"
UNREACHABLE = (
    r"[Cc]onnection refused|No route to host|timed out|Could not resolve|no such host|[Cc]onnection reset|"
    r"Network is unreachable|unable to start the sftp session|Connection closed|ssh command exited"
)
AWAY = "it cannot be reached. Earlier backups are untouched"
MEANINGS = (
    (PASSWORD, "the password does not open it, so nothing was changed. Write the one that it was made with "
     "(backup_password); without it, nobody can read these backups"),
    (FULL, "it has no room left, or refuses to write. Earlier backups are whole. Make room there, or keep fewer "
     "(backup_keep_daily and so on)"),
    (DENIED, "its host lets nobody in by this key, or is not the one that backup_ssh_known_hosts names"),
    (REFUSED, "it refuses the user, the password or the keys in backup_credentials. Earlier backups are untouched"),
    (GONE, "it is not there. If it was moved or its disk is not mounted, bring it back; nothing new is begun in its "
     "place"),
    (UNREACHABLE, AWAY),
    (LOCKED, "somebody else has been working in it for longer than half an hour. If nobody is, remove their lock: "
     "{tool} restic unlock --remove-all"),
)  # fmt: skip


class Repository:
    """A restic repository, by the settings that lead to it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    # --- what restic gets ------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """Return restic's environment: nothing of the caller's, but the files that hold the secrets."""
        folder, values = self.settings.folder, self.settings.values
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root",
            "RESTIC_CACHE_DIR": str(self.settings.cache), "RESTIC_PASSWORD_FILE": str(folder / "password"),
            "RESTIC_REPOSITORY_FILE": str(folder / "repository"), "TMPDIR": str(self.settings.state),
            **{name: str(value) for name, value in values.get("credentials", {}).items()},
        }  # fmt: skip

    def command(self, *words: str) -> list[str]:
        """Return the command line; ssh reads its own file of settings, which names the key."""
        ssh = re.match(r"sftp:(?://)?([^:/]+)(?::(\d+))?", (self.settings.folder / "repository").read_text().strip())
        options = []
        if ssh:
            config = str(self.settings.folder / "ssh_config")
            port = f" -p {ssh[2]}" if ssh[2] else ""
            options = ["--option", f"sftp.command=ssh -F {config}{port} {ssh[1]} -s sftp"]
        return ["restic", *options, *self.settings.values.get("options", []), *words]

    def run(self, *words: str, cwd: str = "/") -> str:
        """Run restic and return its output; wait for other hosts' locks. Raise Failed if it fails."""
        code, out, err = self.attempt(*words, cwd=cwd)
        if code:
            raise Failed(self.meaning(err or out))
        return out

    def attempt(self, *words: str, cwd: str = "/") -> tuple[int, str, str]:
        """Run restic, again while another host has the repository locked; return its status and what it said.

        Raise Failed if the service that keeps the repository does not answer.
        """
        place = reach.service((self.settings.folder / "repository").read_text().strip(), self.environment())
        if place and (fault := reach.fault(*place)):
            raise Failed(f"The repository {self.settings.repository}: {AWAY}. {fault}")
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            done = subprocess.run(
                self.command(*words), env=self.environment(), cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, errors="replace", check=False, close_fds=False,
            )  # fmt: skip
            if done.returncode == 0 or LOCKED not in done.stderr or time.monotonic() > deadline:
                return done.returncode, done.stdout, done.stderr
            time.sleep(10)

    def meaning(self, said: str) -> str:
        """Return what an error of restic's means, with its last lines."""
        tool = f"{self.settings.app}-backup"
        why = next((text for pattern, text in MEANINGS if re.search(pattern, said)), "restic failed")
        last = " | ".join(said.strip().splitlines()[-3:])
        return f"The repository {self.settings.repository}: {why.format(tool=tool)}. restic says: {last}"

    # --- what is asked of it ---------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Tell whether there is a repository; raise Failed if that cannot be told, or the password is wrong."""
        code, out, err = self.attempt("cat", "config")
        if code and re.search(GONE, err) and not re.search(f"{UNREACHABLE}|{PASSWORD}|{DENIED}|{REFUSED}", err):
            return False
        if code:
            raise Failed(self.meaning(err or out))
        return True

    def identity(self) -> str:
        """Return the name that a repository keeps for ever."""
        return str(json.loads(self.run("cat", "config"))["id"])

    def make(self) -> None:
        """Make the repository."""
        self.run("init")

    def release_stale_locks(self) -> None:
        """Remove the locks that killed processes left; those of living ones stay."""
        self.run("unlock")

    def snapshots(self, host: str = "", app: str = "") -> list[dict[str, Any]]:
        """Return the snapshots of a host, the oldest first."""
        words = ["--host", host] if host else []
        found = json.loads(self.run("snapshots", "--json", "--tag", app or self.settings.app, *words) or "[]") or []
        return sorted(found, key=lambda one: str(one["time"]))

    def backup(self, paths: list[str], excludes: list[str], reason: str) -> dict[str, Any]:
        """Make a snapshot and return its summary; `unread` has what could not be read."""
        words = ["backup", "--json", "--host", self.settings.host, "--tag", f"{self.settings.app},{reason}"]
        code, out, err = self.attempt(*words, *(f"--exclude={one}" for one in excludes), "--", *paths)
        lines = list(parsed(out + "\n" + err))
        summary = next((one for one in lines if one.get("message_type") == "summary"), None)
        if summary is None or code not in (0, INCOMPLETE):
            raise Failed(self.meaning(err or out))
        errors = [one for one in lines if one.get("message_type") == "error"]
        # What users deleted meanwhile is no fault.
        lost = [one for one in errors if "no such file" not in json.dumps(one.get("error", {})).lower()]
        return {**summary, "unread": [str(one.get("item") or one.get("error")) for one in lost]}

    def forget(self, keep: dict[str, int]) -> None:
        """Remove old snapshots of this host and project, and what only they need."""
        words = [f"--keep-{name}={number}" for name, number in keep.items() if number]
        if words:
            host = ["--host", self.settings.host, "--tag", self.settings.app, "--group-by", "host"]
            self.run("forget", "--prune", *host, *words)

    def check(self, percent: int) -> None:
        """Check that the repository is whole, and read some of its data."""
        self.run("check", *([f"--read-data-subset={percent}%"] if percent else []))

    def restore(self, snapshot: str, target: str) -> None:
        """Write a snapshot's files below a folder; restic compares each with its checksum."""
        self.run("restore", snapshot, "--target", target, "--verify")

    def show(self, *words: str) -> int:
        """Run any command of restic's for a person."""
        return subprocess.run(self.command(*words), env=self.environment(), check=False).returncode


def parsed(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of restic's lines."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            if isinstance(found := json.loads(line), dict):
                yield found


def chosen(snapshots: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    """Return the snapshot that a person means: latest, a name, or the newest at a time; raise Failed if none is."""
    if not snapshots:
        raise Failed("there is no backup of this host")
    if wanted == "latest":
        return snapshots[-1]
    if moment := re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?))?", wanted):
        until = f"{moment[1]}T{moment[2] or '24'}"
        found = [one for one in snapshots if str(one["time"])[: len(until)] <= until]
    else:
        found = [one for one in snapshots if str(one["id"]).startswith(wanted)]
    if not found:
        known = ", ".join(f"{one['short_id']} of {str(one['time'])[:16]}" for one in snapshots[-5:])
        raise Failed(f"no backup is called {wanted}, or as old as that; the newest are {known}")
    return found[-1]


def available() -> bool:
    """Tell whether restic is installed."""
    return any(os.access(f"{folder}/restic", os.X_OK) for folder in ("/usr/bin", "/usr/local/bin"))
