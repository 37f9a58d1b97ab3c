"""PostgreSQL's archive has a place to go to, and a PostgreSQL that it can be of. Controller only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from ..view import HostView, Problem, check, probe_facts
from .backup import SHORTEST
from .postgresql import members_of

S3 = re.compile(r"s3:https://[^/\s:@]+(:\d+)?/[^/\s]+(/\S*)?")
EXAMPLE = "s3:https://objects.example.org/bucket/folder"
MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?) ?(Z|UTC|[+-]\d\d(:?\d\d)?)?")


@check("pgbackrest")
def pgbackrest_server(host: HostView) -> Iterator[Problem]:
    """There is one PostgreSQL of this bundle's, and no other project's inventory archives it."""
    names = members_of(host)
    if not host.get("pgbackrest_enabled"):
        if host.get("pgbackrest_recover_to"):
            fix = "Write where its backups are, and true, or use playbooks/restore.yml for backups by restic."
            yield Problem("pgbackrest_recover_to", "is set, and pgbackrest_enabled is not true", fix)
        return
    if not names:
        fix = "Write false. Whoever runs the project's database backs it up: docs/backup.md."
        yield Problem("pgbackrest_enabled", "is true, and group database has no host", fix)
    if len(names) > 1:
        fix = "Write false, or keep one host in group database. backup_repository makes dumps of two hosts' data."
        yield Problem("pgbackrest_enabled", "is true, and group database has two hosts", fix)
    owner = str(probe_facts(host.probe).get("pgbackrest_project") or "")
    if owner and owner != host.get("release_app"):
        fix = f"Write false: the inventory of {owner} backs up all databases of this server."
        yield Problem("pgbackrest_enabled", f"is true, and that of project {owner} on the same PostgreSQL too", fix)


@check("pgbackrest")
def pgbackrest_repository(host: HostView) -> Iterator[Problem]:
    """Backups can go where they are to go, and are encrypted."""
    if not host.get("pgbackrest_enabled"):
        return
    given = str(host.get("pgbackrest_repository") or "")
    fix = f"Write a folder, such as a disk of another machine, or a bucket:\n  pgbackrest_repository: {EXAMPLE}"
    if not given:
        yield Problem("pgbackrest_repository", "is empty", fix)
    elif given.startswith("/"):
        if re.match(r"/(var/lib/(postgresql|channels-pgbackrest)|srv)(/|$)|/$", given):
            yield Problem("pgbackrest_repository", f'"{given}" lies in what is backed up', fix)
        elif not re.fullmatch(r"(/[\w.@+-]+)+", given):
            yield Problem("pgbackrest_repository", f'"{given}" is no plain path', fix)
    elif not S3.fullmatch(given):
        yield Problem("pgbackrest_repository", f'"{given}" is neither a folder nor a bucket behind https', fix)
    else:
        for variable in ("pgbackrest_s3_key", "pgbackrest_s3_key_secret"):
            if not host.get(variable):
                key = f'Write the key that may use the bucket:\n  {variable}: "{{{{ vault_{variable} }}}}"'
                yield Problem(variable, "is empty, and the repository is a bucket", key)
    password = str(host.get("pgbackrest_password") or "")
    if len(password) < SHORTEST or not re.fullmatch(r"[!-~]*", password):
        fault = "is not 12 or more printable characters without spaces, and backups are encrypted with it"
        fix = "Have one made, and keep a copy of it where the loss of these hosts does not reach it:\n"
        fix += '  pgbackrest_password: "{{ vault_pgbackrest_password }}"'
        yield Problem("pgbackrest_password", fault, fix)


@check("pgbackrest")
def pgbackrest_values(host: HostView) -> Iterator[Problem]:
    """Times are times of a day, and numbers leave something to recover."""
    times = host.items("pgbackrest_times")
    if host.get("pgbackrest_enabled") and not times:
        fix = 'Write when backups are made:\n  pgbackrest_times: ["01:20"]'
        yield Problem("pgbackrest_times", "is empty, so no backup would be made", fix)
    for one in map(str, times):
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", one):
            fix = 'Write hours and minutes, in quotes:\n  pgbackrest_times: ["01:20"]'
            yield Problem("pgbackrest_times", f'"{one}" is no time of a day', fix)
    least = {
        "pgbackrest_full_days": 1, "pgbackrest_keep_full": 1, "pgbackrest_archive_seconds": 1,
        "pgbackrest_archive_mb": 64, "pgbackrest_processes": 1,
    }  # fmt: skip
    for variable, number in least.items():
        value = host.get(variable)
        if isinstance(value, int) and value < number:
            yield Problem(variable, f"is {value}", f"Write {number} or more.")
    stanza = host.get("pgbackrest_stanza")
    if stanza is not None and not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", str(stanza)):
        yield Problem("pgbackrest_stanza", f'"{stanza}" is no plain name', "Write lower-case letters, digits, - and _.")


@check("pgbackrest")
def pgbackrest_recover_to(host: HostView) -> Iterator[Problem]:
    """It is clear which moment is meant."""
    wanted = str(host.get("pgbackrest_recover_to") or "")
    if wanted in ("", "latest", "undo"):
        return
    found = MOMENT.fullmatch(wanted)
    try:
        datetime.fromisoformat(f"{found[1]}T{found[2]}" if found else "")
    except ValueError:
        fix = "Write a moment, in UTC or with its zone, latest, or undo:\n"
        fix += "  -e pgbackrest_recover_to='2026-11-30 12:00:00+00'"
        yield Problem("pgbackrest_recover_to", f'"{wanted}" is no moment', fix)
