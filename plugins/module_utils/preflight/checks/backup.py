"""Backups have a place to go to, a password, and times; a restore says which one. Controller only."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..view import HostView, Problem, check

# What restic knows, and what its address needs; a folder begins with a slash.
SCHEMES = ("azure", "b2", "gs", "local", "rclone", "rest", "s3", "sftp", "swift")
SFTP = re.compile(r"sftp:(//[^/\s:@]+@[^/\s:]+(:\d+)?/|[^/\s:@]+@[^/\s:]+:).+")
EXAMPLE = "sftp:backups@backup.example.org:/srv/backups"
MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?")
SHORTEST = 12  # characters of a password that nobody guesses


def repository_fault(text: str, app: str) -> str:
    """Why backups cannot go to an address; empty if they can."""
    scheme, colon, _ = text.partition(":")
    folder = text.removeprefix("local:")
    if folder.startswith("/"):
        inside = any(f"{folder}/".startswith(f"{one}/") for one in (f"/srv/{app}", f"/var/lib/{app}-backup"))
        return f'"{text}" lies in what is backed up' if inside else ""
    if not colon or scheme not in SCHEMES or scheme == "local":
        return f'"{text}" is no address that restic knows'
    if scheme == "sftp" and not SFTP.fullmatch(text):
        return f'"{text}" does not name a user, a host and a folder'
    if scheme == "rest" and not re.match(r"rest:https?://", text):
        return f'"{text}" has no http:// or https:// in it'
    return ""


@check("backup")
def backup_repository(host: HostView) -> Iterator[Problem]:
    """Backups can go where they are to go, and are encrypted."""
    for role in ("backup", "restore"):
        given, app = host.get(f"{role}_repository"), str(host.get("release_app"))
        if not given or (role == "restore" and given == host.get("backup_repository")):
            continue
        if fault := repository_fault(str(given), app):
            fix = f"Write where another machine keeps them, as restic does:\n  {role}_repository: {EXAMPLE}"
            yield Problem(f"{role}_repository", fault, fix)
        password = host.get(f"{role}_password")
        if password is not None and len(str(password)) < SHORTEST:
            fault = "is shorter than 12 characters" if password else "is empty, and backups are encrypted with it"
            fix = "Have one made, and keep a copy of it where the loss of these hosts does not reach it:\n"
            yield Problem(f"{role}_password", fault, f'{fix}  {role}_password: "{{{{ vault_backup_password }}}}"')


@check("backup")
def backup_ssh(host: HostView) -> Iterator[Problem]:
    """A key for SFTP comes with the host that it is for, and is one."""
    key = str(host.get("backup_ssh_key") or "")
    if key and not re.match(r"-----BEGIN [A-Z ]*PRIVATE KEY-----", key):
        yield Problem("backup_ssh_key", "is no private key", "Write the whole file, from its BEGIN to its END line.")
    if key and not host.items("backup_ssh_known_hosts"):
        fix = "Write the lines that `ssh-keyscan HOST` prints, once you have compared them with the host's own."
        yield Problem("backup_ssh_known_hosts", "is empty, so the host of the backups cannot be recognised", fix)


@check("backup")
def backup_times(host: HostView) -> Iterator[Problem]:
    """Times are times of a day, and there is one."""
    if host.get("backup_repository") and host.get("backup_times") == []:
        fix = 'Write when backups are made:\n  backup_times: ["02:40"]'
        yield Problem("backup_times", "is empty, so no backup would be made", fix)
    for one in map(str, host.items("backup_times")):
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", one):
            fix = 'Write hours and minutes, in quotes:\n  backup_times: ["02:40", "14:40"]'
            yield Problem("backup_times", f'"{one}" is no time of a day', fix)


@check("backup")
def backup_keeps(host: HostView) -> Iterator[Problem]:
    """Something is kept."""
    kept = [host.get(f"backup_keep_{name}") for name in ("last", "daily", "weekly", "monthly")]
    if host.get("backup_prune") and kept == [0, 0, 0, 0]:
        yield Problem("backup_keep_daily", "and all like it are 0", "Write how many backups are kept, such as 7.")


@check("backup")
def backup_before_migrations(host: HostView) -> Iterator[Problem]:
    """A backup before migrations has a place to go to."""
    if host.get("backup_before_migrations") and not host.get("backup_repository"):
        fix = f"Write where backups go, or false:\n  backup_repository: {EXAMPLE}"
        yield Problem("backup_before_migrations", "is true, and backup_repository is empty", fix)


@check("restore")
def restore_snapshot(host: HostView) -> Iterator[Problem]:
    """It is clear which backup is meant, and there is a repository that it can be in."""
    wanted = str(host.get("restore_snapshot") or "")
    if wanted and not (
        wanted in ("latest", "undo") or MOMENT.fullmatch(wanted) or re.fullmatch(r"[0-9a-f]{8,64}", wanted)
    ):
        fix = "Write latest, undo, a name that playbooks/restore.yml lists, or a moment in UTC:\n"
        fix += "  -e restore_snapshot='2026-11-30 14:00'"
        yield Problem("restore_snapshot", f'"{wanted}" names no backup', fix)
    if wanted and not host.get("restore_repository"):
        yield Problem("restore_repository", "is empty", f"Write where the backups are:\n  backup_repository: {EXAMPLE}")
