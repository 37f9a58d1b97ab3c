"""Debian's cluster `main`, and another one that is recovered beside it and then takes its place.

The recovery runs to its end, in a folder of its own and without a network, while the other one serves. What can go
wrong goes wrong there. Then the folders change their names.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from . import moments
from .repository import Backup, Repository
from .settings import STATE, Failed, Settings, identity, put, run

PATIENCE = 60.0  # seconds for what should take one or two
ROOM = 256 << 20  # bytes for what the log adds to a backup's size, at the very least
RECOVERY_SETTINGS = (
    "restore_command", "recovery_target_time", "recovery_target_action", "recovery_target_timeline",
    "recovery_target_inclusive", "recovery_target",
)  # fmt: skip
PLAYED = "SELECT NOT pg_is_in_recovery()"
LATEST = "SELECT coalesce(extract(epoch FROM pg_last_xact_replay_timestamp()), 0)"
NAMES = "SELECT string_agg(datname, ', ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate"
# The first makes sure that a commit comes after the moment that is asked for: PostgreSQL stops only there.
SWITCH = "SELECT txid_current(); SELECT pg_walfile_name(pg_switch_wal())"


class Cluster:
    """The cluster of this host."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.data, self.recovered = settings.home / "main", settings.home / "main.recovered"
        self.socket, self.log, self.ready = STATE / "socket", STATE / "recovery.log", STATE / "recovered.json"

    # --- as it is ---------------------------------------------------------------------------------------------------

    def ask(self, sql: str, beside: bool = False) -> str:
        """Return the last line of PostgreSQL's answer; raise Failed if there is none."""
        where = [f"--host={self.socket}"] if beside else []
        words = ["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname=postgres"]
        code, out, err = run(["psql", *where, f"--port={self.settings.port}", *words], sql)
        if code:
            raise Failed(f"PostgreSQL refused: {err.strip() or out.strip()}")
        return (out.strip().splitlines() or [""])[-1]

    @property
    def runs(self) -> bool:
        """Whether it answers."""
        with contextlib.suppress(Failed):
            return self.ask("SELECT 1") == "1"
        return False

    @property
    def identifier(self) -> str:
        """By what PostgreSQL tells one cluster from another; empty if there is none."""
        _, out, _ = run([f"{self.settings.programs}/pg_controldata", f"--pgdata={self.data}"])
        found = re.search(r"system identifier: +(\d+)", out)
        return found[1] if found else ""

    def archive_now(self) -> None:
        """Bring all that was written until now into the archive; raise Failed if it does not get there in time."""
        name, deadline = self.ask(SWITCH), time.monotonic() + PATIENCE
        while self.ask("SELECT coalesce(max(last_archived_wal), '') FROM pg_stat_archiver")[:24] < name:
            if time.monotonic() > deadline:
                raise Failed("PostgreSQL's log does not get into the archive; /var/log/postgresql says why")
            time.sleep(0.2)

    def service(self, verb: str) -> None:
        """Start or stop it; raise Failed if that does not work."""
        said = subprocess.run(
            ["pg_ctlcluster", self.settings.version, "main", verb], capture_output=True, text=True, check=False
        )
        if verb == "stop":
            if run([f"{self.settings.programs}/pg_ctl", "status", f"--pgdata={self.data}"])[0] == 0:
                raise Failed(f"PostgreSQL does not stop: {said.stderr.strip()}")
            return
        deadline = time.monotonic() + PATIENCE
        while not self.runs:
            if time.monotonic() > deadline:
                raise Failed(f"PostgreSQL does not start: {said.stderr.strip() or 'see /var/log/postgresql'}")
            time.sleep(0.2)

    # --- beside it --------------------------------------------------------------------------------------------------

    def discard(self) -> None:
        """Remove what an earlier recovery has left beside it."""
        self.ready.unlink(missing_ok=True)
        if (self.recovered / "postmaster.pid").exists():
            stopping = ["--mode=immediate", f"--pgdata={self.recovered}", "--silent"]
            run([f"{self.settings.programs}/pg_ctl", "stop", *stopping])
        shutil.rmtree(self.recovered, ignore_errors=True)

    def fetch(self, repository: Repository, backup: Backup, moment: float) -> str:
        """Recover a backup beside it, up to a moment or as far as the archive goes; return what is there, for people.

        Raise Failed if that cannot be done. Nothing is left then.
        """
        self.discard()
        free = shutil.disk_usage(self.settings.home).free
        if free < backup.size * 1.1 + ROOM:
            raise Failed(
                f"There is not enough room in {self.settings.home} for another copy of the data: {free >> 20} MB are "
                f"free, and the backup is {backup.size >> 20} MB. Nothing was changed"
            )
        kind = ["--type=default"]
        if moment:
            kind = ["--type=time", f"--target={moments.target(moment)}", "--target-action=promote"]
        try:
            # Along the backup's own timeline: what came of an earlier recovery, and was taken back, is not followed.
            repository.run(
                f"--pg1-path={self.recovered}", f"--set={backup.label}", *kind, "--target-timeline=current", "restore"
            )
            latest, names = self.play(moment)
        except BaseException:
            self.discard()
            raise
        put(self.ready, json.dumps({"latest": latest, "databases": names}) + "\n")
        return f"Databases {names}. The latest change is of {moments.shown(latest) if latest else 'before the backup'}."

    def play(self, moment: float) -> tuple[float, str]:
        """Have PostgreSQL play its log, and stop it; return the time of the latest change, and the databases' names."""
        with self.log.open("w") as log, subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **identity()
        ) as server:  # fmt: skip
            try:
                while not self.played():
                    if server.poll() is not None:
                        raise Failed(self.why(moment))
                    time.sleep(0.5)
                latest, names = float(self.ask(LATEST, beside=True)), self.ask(NAMES, beside=True)
                # A standby that is copied from it one day would obey these.
                for name in RECOVERY_SETTINGS:
                    self.ask(f"ALTER SYSTEM RESET {name}", beside=True)
            finally:
                server.send_signal(signal.SIGINT)
        if server.returncode:
            raise Failed(self.why(moment))
        return latest, names

    def played(self) -> bool:
        """Tell whether the log is played, and PostgreSQL takes writes."""
        with contextlib.suppress(Failed):
            return self.ask(PLAYED, beside=True) == "t"
        return False

    def command(self) -> list[str]:
        """Return the command line of a server beside the one that serves, with its settings but for a few.

        It archives, so that no later recovery gives its timeline the same name.
        """
        pushing = f"pgbackrest --stanza={self.settings.stanza} --pg1-path={self.recovered} archive-push %p"
        values = {
            "config_file": f"/etc/postgresql/{self.settings.version}/main/postgresql.conf",
            "data_directory": self.recovered, "unix_socket_directories": self.socket, "listen_addresses": "",
            "external_pid_file": "", "port": self.settings.port, "hot_standby": "off", "ssl": "off",
            "shared_buffers": "64MB", "autovacuum": "off", "archive_mode": "on", "archive_command": pushing,
            "logging_collector": "off", "log_destination": "stderr",
        }  # fmt: skip
        options = [word for name, value in values.items() for word in ("-c", f"{name}={value}")]
        return [f"{self.settings.programs}/postgres", "-D", str(self.recovered), *options]

    def why(self, moment: float) -> str:
        """Return why a recovery has ended, by its log."""
        text = self.log.read_text(errors="replace")
        if "before configured recovery target was reached" in text:
            return (
                f"The archive ends before {moments.shown(moment)}. Nothing was changed. For all that there is: "
                "-e pgbackrest_recover_to=latest"
            )
        said = [line for line in text.splitlines() if re.search(r"\b(FATAL|PANIC|ERROR):", line)]
        return f"PostgreSQL could not play its log, and nothing was changed: {' | '.join(said[-3:]) or text[-500:]}"

    # --- in its place -----------------------------------------------------------------------------------------------

    def kept(self) -> list[Path]:
        """Return what recoveries have replaced, the newest first."""
        return sorted(self.settings.home.glob("main.replaced-*"), reverse=True)

    def swap(self) -> list[str]:
        """Let what was recovered serve. What it replaces is kept."""
        if not self.ready.exists():
            raise Failed("Nothing was recovered that could serve: run playbooks/recover_database.yml")
        aside = self.settings.home / f"main.replaced-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
        self.service("stop")
        if self.data.exists():
            self.data.rename(aside)
        self.recovered.rename(self.data)
        self.ready.unlink()
        self.service("start")
        return [f"What was there before is in {aside}."]

    def undo(self) -> list[str]:
        """Take the last recovery back. What it brought is removed."""
        kept = self.kept()
        if not kept:
            self.discard()
            if not self.runs:
                self.service("start")
            return []
        self.service("stop")
        self.discard()
        if self.data.exists():
            self.data.rename(self.recovered)
        kept[0].rename(self.data)
        self.service("start")
        self.discard()
        return ["The last recovery was taken back."]

    def settle(self) -> list[str]:
        """Remove what recoveries have replaced."""
        kept = self.kept()
        self.discard()
        for one in kept:
            shutil.rmtree(one)
        return [f"{one} was removed." for one in kept]
