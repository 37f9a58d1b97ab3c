"""Backups: what is lost comes back to the last byte, and what goes wrong meanwhile costs no backup.

The tests of this file build on each other, in their order: each restores what the first one has backed up.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from lab_host import LabHost, Run
from testinfra import get_host
from testinfra.host import Host

testinfra_hosts = ["ansible://day-two-site"]

INVENTORY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"
METRICS = "/var/lib/prometheus/node-exporter"
# Rows, uploads with odd names, an SQLite file that has not been written back, and what need not be kept.
FILL = """
cd /
runuser -u postgres -- psql --quiet --dbname=dashboard <<'SQL'
CREATE TABLE notes (id serial PRIMARY KEY, body text, mail text);
INSERT INTO notes (body, mail) SELECT repeat(md5(g::text), 9), g || '@example.org' FROM generate_series(1, 5000) g;
ALTER TABLE notes OWNER TO dashboard;
SQL
runuser -u dashboard -- sh -euc '
  umask 027; cd /srv/dashboard/shared; mkdir -p media .cache
  for n in $(seq 40); do head -c 100000 /dev/urandom >"media/photo $n [ü].jpg"; done
  chmod 2750 media; ln -sfn media/nowhere dangling; echo x >.cache/derived'
runuser -u dashboard -- python3 - <<'END'
import os, sqlite3
base = sqlite3.connect("/srv/dashboard/shared/own.sqlite3")
base.execute("PRAGMA journal_mode=wal")
base.execute("CREATE TABLE t (a)")
base.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(700)])
base.commit()
os._exit(0)  # leaves what was written in the file beside it
END
"""
# Everything that a restore has to bring back, as one text.
DIGEST = """
import hashlib, os, sqlite3, subprocess, sys
shared, seen = "/srv/dashboard/shared", []
for at, folders, files in os.walk(shared):
    folders[:] = sorted(name for name in folders if name != ".cache")
    for name in sorted(files + folders):
        path, status = os.path.join(at, name), os.lstat(os.path.join(at, name))
        if name.endswith((".sqlite3-wal", ".sqlite3-shm")):
            continue
        if name.endswith(".sqlite3"):
            content = "\\n".join(sqlite3.connect(path).iterdump()).encode()
        elif os.path.islink(path):
            content = os.readlink(path).encode()
        else:
            content = open(path, "rb").read() if os.path.isfile(path) else b""
        owner = subprocess.run(["stat", "--format=%U:%G", path], capture_output=True, text=True).stdout.strip()
        seen.append(f"{path} {status.st_mode:o} {owner} {hashlib.sha256(content).hexdigest()}")
for table in ("notes", "django_migrations", "auth_permission"):
    query = f"SELECT count(*) || ' ' || md5(string_agg(one::text, ',' ORDER BY id)) FROM {table} one"
    rows = subprocess.run(
        ["runuser", "-u", "postgres", "--", "psql", "--dbname=dashboard", "-Atc", query], cwd="/", text=True,
        capture_output=True, check=True,
    ).stdout.strip()
    seen.append(f"{table} {rows}")
print("\\n".join(seen))
"""
HOLD_ON = "for _ in $(seq 1200); do %s && exit 0; sleep 0.1; done; exit 1"


@pytest.fixture(scope="module")
def watch() -> Host:
    """The host that keeps the backups."""
    return get_host("ansible://day-two-watch", ansible_inventory=str(INVENTORY))


@pytest.fixture(scope="module")
def lost(lab: LabHost) -> str:
    """What was backed up."""
    lab.run(f"mkdir -p {METRICS}")
    lab.run(FILL)
    return lab.python(DIGEST)


def password(lab: LabHost) -> str:
    """The password of the backups."""
    return lab.run("cat /etc/dashboard/backup/password").strip()


def names(lab: LabHost) -> list[str]:
    """The names of all backups of the host, the oldest first."""
    return [one["short_id"] for one in json.loads(lab.run("dashboard-backup list --json"))]


def restored(*arguments: str) -> Run:
    """Restore, as a person would."""
    return Run("playbooks/restore.yml", "-e", "restore_confirm=yes", *arguments)


def test_a_backup_is_made_and_tried(lab: LabHost, lost: str) -> None:
    """The password is in no list of processes meanwhile, and in no log and no output afterwards."""
    assert "own.sqlite3" in lost and "notes 5000" in lost and "ü" in lost
    look = "(while :; do ps axwwe; sleep 0.05; done) >/tmp/processes 2>&1 </dev/null"
    lab.run(f"{look} & echo $! >/tmp/looking")
    run = Run("playbooks/backup.yml", "-e", "backup_drill=true", "--diff", "-v")
    lab.run("kill $(cat /tmp/looking)")
    assert run.changed(lab.name) == 1
    told = " ".join(run.output.split())
    assert re.search(r"can be restored: \d+ rows in \d+ tables, [12] SQLite files", told), run.output
    secret = password(lab)
    assert secret not in run.output
    seen = lab.run("cat /tmp/processes; rm /tmp/processes")
    assert "restic" in seen and secret not in seen
    assert lab.host.run("grep --recursive --fixed-strings %s /var/log", secret).stdout == ""
    assert secret not in lab.run("journalctl --no-pager")
    assert lab.run("stat --format='%a %U' /etc/dashboard/backup/password").split() == ["600", "root"]
    metrics = lab.run(f"cat {METRICS}/channels_backup_dashboard.prom")
    made = re.search(r'(?m)^channels_backup_last_success_timestamp_seconds\{app="dashboard"\} (\d+)$', metrics)
    assert made and time.time() - int(made[1]) < 3600
    assert lab.python(DIGEST) == lost, "a backup and its trial change nothing"


def test_it_is_confined_and_comes_at_its_time(lab: LabHost) -> None:
    shown = lab.run("systemd-analyze security --no-pager dashboard-backup@scheduled.service")
    assert float(re.findall(r"level for \S+: ([0-9.]+)", shown)[0]) <= 2.6
    assert "dashboard-backup.timer" in lab.run("systemctl list-timers --no-pager dashboard-backup.timer")
    properties = lab.run("systemctl show --property=Nice,IOSchedulingClass dashboard-backup@scheduled.service")
    assert {"Nice=10", "IOSchedulingClass=3"} <= set(properties.split())


def test_what_is_not_as_it_should_be_is_said(lab: LabHost, watch: Host) -> None:
    """Wrong password, a target that is gone, one that cannot be reached: an error for each, and all backups stay."""
    before = names(lab)
    with lab.edited("/etc/dashboard/backup/password", "s/^./%/"):
        failed = lab.host.run("dashboard-backup now")
    assert failed.rc != 0 and "the password does not open it" in failed.stderr
    assert "the password does not open it" in lab.host.run("dashboard-backup status").stdout
    assert 'channels_backup_last_exit_code{app="dashboard"} 1' in lab.run(f"cat {METRICS}/*.prom")
    assert watch.run("mv /home/backups/repository /home/backups/moved").rc == 0
    try:
        failed, again = lab.host.run("dashboard-backup now"), lab.host.run("dashboard-backup prepare")
        assert failed.rc != 0 and "it is not there" in failed.stderr
        assert again.rc != 0 and "is gone" in again.stderr, "no new one is begun in its place"
    finally:
        assert watch.run("mv /home/backups/moved /home/backups/repository").rc == 0
    with lab.edited("/etc/dashboard/backup/repository", "s|.*|sftp://backups@127.0.0.9:1/repository|"):
        failed = lab.host.run("dashboard-backup now")
    assert failed.rc != 0 and "it cannot be reached" in failed.stderr
    assert names(lab) == before
    assert "A backup is made" in lab.run("dashboard-backup now")
    assert lab.host.run("dashboard-backup status").rc == 0


def test_a_full_target_keeps_what_it_has(lab: LabHost, watch: Host) -> None:
    small = "/home/backups/small"
    assert watch.run(f"mkdir {small} && mount -t tmpfs -o size=8m,uid=$(id -u backups) tmpfs {small}").rc == 0
    try:
        with lab.edited("/etc/dashboard/backup/repository", "s|:repository|:small/repository|"):
            lab.run("mv /var/lib/dashboard-backup/state.json /root/kept.json")
            lab.run("dashboard-backup prepare && dashboard-backup now")
            before = names(lab)
            lab.run("runuser -u dashboard -- sh -c 'head -c 20000000 /dev/urandom >/srv/dashboard/shared/large'")
            failed = lab.host.run("dashboard-backup now")
            assert failed.rc != 0 and "no room left" in failed.stderr, failed.stderr
            assert names(lab) == before
            lab.run("dashboard-backup drill " + before[0])
            lab.run("mv /root/kept.json /var/lib/dashboard-backup/state.json")
    finally:
        lab.run("rm -f /srv/dashboard/shared/large")
        assert watch.run(f"umount {small} && rmdir {small}").rc == 0


def test_a_killed_backup_costs_nothing(lab: LabHost) -> None:
    """Killed as it begins, as it collects and as it sends: the next one is made, and the repository is whole."""
    before = names(lab)
    lab.run("runuser -u dashboard -- sh -c 'head -c 60000000 /dev/urandom >/srv/dashboard/shared/large'")
    try:
        for moment in (
            "pgrep --full 'dashboard-backup run'", "test -e /var/lib/dashboard-backup/collected/database.dump",
            "pgrep --full 'restic.* backup'",
        ):  # fmt: skip
            lab.run("systemctl start --no-block dashboard-backup@killed.service")
            lab.run(HOLD_ON % f"{moment} >/dev/null")
            lab.run("systemctl kill --signal=KILL dashboard-backup@killed.service")
            lab.run(HOLD_ON % "! systemctl is-active --quiet dashboard-backup@killed.service")
            lab.run("systemctl reset-failed dashboard-backup@killed.service")
    finally:
        lab.run("rm /srv/dashboard/shared/large")
    kept = names(lab)
    assert kept[: len(before)] == before
    lab.run("dashboard-backup now")
    assert names(lab)[-1] not in kept
    assert "is whole" in lab.run("dashboard-backup check")
    assert lab.run("ls /var/lib/dashboard-backup/collected") == ""


def test_a_lost_site_comes_back(lab: LabHost, lost: str) -> None:
    """All of it is removed from the host, data too; one command brings it back, proven, with each row and file."""
    assert lab.python(DIGEST) == lost
    Run("playbooks/remove.yml", "-e", "remove_data=true").changed(lab.name)
    assert lab.host.run("id dashboard").rc != 0 and not lab.host.file("/srv/dashboard/shared").exists
    assert "dashboard" not in lab.run("cd / && runuser -u postgres -- psql -Atc 'SELECT datname FROM pg_database'")
    assert not lab.host.file("/usr/local/sbin/dashboard-backup").exists
    asked = Run("playbooks/restore.yml")
    assert asked.code != 0 and "-e restore_snapshot=latest" in asked.output and "by-hand" in asked.output
    made = "grep -h '^channels_backup_last_success_timestamp_seconds' %s/channels_backup_dashboard.prom"
    assert lab.host.run(made, METRICS).rc != 0
    run = restored("-e", "restore_snapshot=latest")
    run.changed(lab.name)
    assert 0 < time.time() - float(lab.run(made, METRICS).split()[-1]) < 6 * 3600, "the new host's backups are watched"
    assert "PLAY [Prove the WebSockets]" in run.output and "was restored" in run.output
    assert lab.python(DIGEST) == lost
    with lab.connect() as websocket:
        assert websocket.ping().wait(10)


def test_a_restore_that_fails_is_taken_back(lab: LabHost, lost: str) -> None:
    """Here its mask fails, at the very end: what was there serves again, with what was written since the backup."""
    lab.run('cd / && runuser -u postgres -- psql --quiet --dbname=dashboard -c "DELETE FROM notes WHERE id > 10"')
    since = lab.python(DIGEST)
    mask = json.dumps({"restore_mask_command": ["python", "manage.py", "no_such_command"]})
    run = restored("-e", "restore_snapshot=latest", "-e", mask, "--tags", "restore")
    assert run.code != 0 and "What was there before serves again" in run.output, run.output
    assert "no_such_command" in run.output
    assert lab.python(DIGEST) == since != lost
    lab.await_serving()


def test_a_restore_is_masked_before_anybody_sees_it(lab: LabHost, lost: str) -> None:
    """On a host that serves; afterwards nothing of what it replaced is left."""
    script = "from django.db import connection as c; c.cursor().execute('UPDATE notes SET mail = NULL')"
    mask = json.dumps({"restore_mask_command": ["python", "manage.py", "shell", "--command", script]})
    restored("-e", "restore_snapshot=latest", "-e", mask).changed(lab.name)
    asked = "cd / && runuser -u postgres -- psql --dbname=dashboard -Atc 'SELECT count(*), count(mail) FROM notes'"
    assert lab.run(asked).strip() == "5000|0"
    files = [line for line in lab.python(DIGEST).splitlines() if line.startswith("/")]
    assert files == [line for line in lost.splitlines() if line.startswith("/")]
    assert "__re" not in lab.run("cd / && runuser -u postgres -- psql -Atc 'SELECT datname FROM pg_database'")
    assert lab.run("ls -A /srv/dashboard").count("shared") == 1
    lab.await_serving()
