"""PostgreSQL goes back to a moment: what was deleted after it is there again, and what cannot be reached is refused.

The first test switches pgBackRest on, the last one off, so that other files find the host as it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from lab_host import PATIENCE, LabHost, Run

testinfra_hosts = ["ansible://day-two-site"]

ARCHIVE = "/var/backups/archive"
ON = ["-e", json.dumps({
    "pgbackrest_enabled": True, "pgbackrest_repository": ARCHIVE, "pgbackrest_archive_seconds": 20,
    "pgbackrest_password": "{{ lookup('ansible.builtin.password', lab_secrets ~ '/archive_password', length=32) }}",
})]  # fmt: skip
PSQL = "cd / && runuser -u postgres -- psql --dbname=dashboard -Atc "
DIGEST = PSQL + "\"SELECT count(*) || ' ' || md5(string_agg(body, ',' ORDER BY id)) FROM kept\""


@pytest.fixture(scope="module", autouse=True)
def archived(lab: LabHost) -> Iterator[Run]:
    """PostgreSQL archives while these tests run; a socket that was open before stays open."""
    with lab.connect() as websocket:
        run = Run("playbooks/provision.yml", *ON, "--tags", "base,pgbackrest", "--diff", "-v")
        run.changed(lab.name)
        assert websocket.ping().wait(PATIENCE)
    yield run
    Run("playbooks/provision.yml", "--tags", "pgbackrest").changed(lab.name)
    assert lab.run(PSQL + "'SHOW archive_mode'").strip() == "off"
    assert not lab.host.file("/etc/pgbackrest/pgbackrest.conf").exists
    assert not lab.host.file("/usr/local/sbin/channels-pgbackrest").exists
    assert Run("playbooks/provision.yml", "--tags", "pgbackrest").changed(lab.name) == 0
    lab.run(f"rm -r {ARCHIVE}")


def recovered(moment: str, tags: str) -> Run:
    """Recover, as a person would, but that nothing else is set up and deployed again."""
    told = ["-e", json.dumps({"pgbackrest_recover_to": moment, "pgbackrest_recover_confirm": "yes"})]
    return Run("playbooks/recover_database.yml", *ON, *told, "--tags", tags)


def test_postgresql_archives(lab: LabHost, archived: Run) -> None:
    """With a first backup, which a second run does not repeat; and its password is nobody's business."""
    assert Run("playbooks/provision.yml", *ON, "--tags", "pgbackrest").changed(lab.name) == 0
    assert "full" in lab.run("channels-pgbackrest list")
    assert lab.run("stat --format='%a %U %G' /etc/pgbackrest/pgbackrest.conf").split() == ["640", "root", "postgres"]
    secret = lab.run("sed -n 's/^repo1-cipher-pass=//p' /etc/pgbackrest/pgbackrest.conf").strip()
    assert len(secret) == 32 and secret not in archived.output
    assert secret not in lab.run("journalctl --no-pager; cat /var/log/postgresql/*.log; ps axwwe")
    shown = lab.run("systemd-analyze security --no-pager channels-pgbackrest@due.service")
    assert float(shown.rpartition("level for ")[2].split()[1]) <= 2.6


def test_what_was_deleted_comes_back(lab: LabHost) -> None:
    """To the last row, on the host that serves, proven; and then it archives as before."""
    lab.run(PSQL + "'CREATE TABLE kept AS SELECT id, md5(id::text) AS body FROM generate_series(1, 3000) id'")
    before = lab.run(DIGEST)
    time.sleep(1.1)  # moments are whole seconds
    moment = lab.run("date --utc '+%Y-%m-%d %H:%M:%S+00'").strip()
    time.sleep(1.1)
    lab.run(PSQL + "'DELETE FROM kept WHERE id > 10'")
    since = lab.run(DIGEST)
    asked = Run("playbooks/recover_database.yml", *ON, "--tags", "pgbackrest")
    assert asked.code != 0 and "Any moment from" in asked.output and "pgbackrest_recover_to=" in asked.output
    early = recovered("2026-01-01 00:00", "pgbackrest")
    assert early.code != 0 and "is before the first backup" in early.output, early.output
    assert lab.run(DIGEST) == since != before
    run = recovered(moment, "pgbackrest,restore,handshake")
    run.changed(lab.name)
    assert "PLAY [Prove the WebSockets]" in run.output
    assert "a full backup of it is made" in " ".join(run.output.split())
    assert lab.run(DIGEST) == before
    assert lab.run("ls /var/lib/postgresql/15").split() == ["main"]
    with lab.connect() as websocket:
        assert websocket.ping().wait(PATIENCE)
    assert lab.run("channels-pgbackrest list").count("  full  ") == 2
    assert Run("playbooks/provision.yml", *ON, "--tags", "postgresql,pgbackrest").changed(lab.name) == 0


def test_a_recovery_that_fails_changes_nothing(lab: LabHost) -> None:
    """With a password that is not the archive's, and without the archive."""
    before = lab.run(DIGEST)
    with lab.edited("/etc/pgbackrest/pgbackrest.conf", "s/^repo1-cipher-pass=./&%/"):
        failed = lab.host.run("channels-pgbackrest fetch latest")
    assert failed.rc != 0 and "the password does not open it" in failed.stderr
    lab.run(f"mv {ARCHIVE} {ARCHIVE}.away")
    try:
        failed, again = lab.host.run("channels-pgbackrest fetch latest"), lab.host.run("channels-pgbackrest prepare")
        assert failed.rc != 0 and "has nothing of dashboard-15" in failed.stderr
        assert again.rc != 0 and "is gone" in again.stderr, "no new one is begun in its place"
    finally:
        lab.run(f"mv {ARCHIVE}.away {ARCHIVE}")
    assert lab.run("ls /var/lib/postgresql/15").split() == ["main"]
    assert lab.run(DIGEST) == before
