"""A service with a script in /etc/init.d, if systemd does not run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from .. import proc
from .service import Run, ServiceError
from .workers import Log, orphans, reload

ETC = Path("/etc")
SCRIPT_SECONDS = 120  # that an init script may take
START_SECONDS = 20  # for a daemon to write its pid file after its script has ended
SETTLE_SECONDS = 1  # by then, a daemon that cannot work, such as one whose port is taken, has ended


class InitScript:
    """A service with a script. Links in /etc/rc?.d make it start with the machine."""

    stale = False  # a script is read each time that it runs
    found = "not running"
    old_workers_stay = False

    def __init__(
        self, name: str, log_file: str | None, pid_file: str | None, run: Run, same_workers: bool = False
    ) -> None:
        """Take its name, its log, where it writes its process's id, and what runs commands. May raise ServiceError.

        `same_workers` says that no reload gives it other workers.
        """
        self.name, self.run, self.same_workers = name, run, same_workers
        if not pid_file:
            raise ServiceError(f"systemd is not running on this host: say which pid_file {self.name} writes")
        self.pid_file = Path(pid_file)
        self.script = ETC / "init.d" / self.name
        self.installed = self.script.exists()
        self.log = Path(log_file or os.devnull)
        self.lines = Log(self.log)

    @property
    def main_pid(self) -> int:
        """Id of the main process, or 0 if there is none."""
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return 0
        return pid if self.name in proc.text(pid, "cmdline") else 0

    @property
    def running(self) -> bool:
        """Tell whether the service runs."""
        return self.main_pid > 0

    @property
    def enabled(self) -> bool:
        """Tell whether the service starts in each runlevel that its script names."""
        named = re.search(r"^# Default-Start:(.*)$", self.script.read_text(), re.MULTILINE)
        levels = named[1].split() if named else "2345"
        return all(any(ETC.glob(f"rc{level}.d/S[0-9][0-9]{self.name}")) for level in levels)

    def apply(self, action: str) -> None:
        """Enable the service if it is not enabled, and start, reload or restart it. May raise ServiceError."""
        if not self.enabled:
            # Make links if there are none; then turn those that stop it into ones that start it.
            for verb in ("defaults", "enable"):
                self.run(["update-rc.d", self.name, verb], check_rc=True)
        if action == "reload":
            reload(self, lambda: self.service("reload"))
        if action == "restart":  # not by the script's own verb: Debian's for supervisor only stops the daemon
            self.stop()
        if action in ("start", "restart"):
            self.start()

    def stop(self) -> None:
        """Stop the service, and wait until it has ended."""
        old = self.main_pid
        self.service("stop")
        self.wait(lambda: not proc.living(old), SCRIPT_SECONDS, f"{self.name} did not end (process {old})")

    def start(self) -> None:
        """Start the service, and wait until it has shown that it works."""
        for pid in orphans(self.name):  # they hold its ports; now they serve only until their sockets have ended
            os.kill(pid, signal.SIGQUIT)
        self.pid_file.unlink(missing_ok=True)  # some scripts mistake any process with the old id for the daemon
        said = self.service("start")
        fault = f"{self.name} started no process that {self.pid_file} names"
        self.wait(lambda: self.running, START_SECONDS, fault, said)
        time.sleep(SETTLE_SECONDS)
        if not self.running:
            raise self.failed(f"{self.name} started and ended at once", said)

    def service(self, verb: str) -> str:
        """Run the script; return what it printed. Raise ServiceError if it fails."""
        # Into a file: a pipe would stay open as long as a daemon that writes to it.
        with tempfile.TemporaryFile() as output:
            script = subprocess.Popen(
                ["service", self.name, verb],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
            try:
                code = str(script.wait(SCRIPT_SECONDS))
            except subprocess.TimeoutExpired:
                os.killpg(script.pid, signal.SIGKILL)
                code = f"no end within {SCRIPT_SECONDS} seconds"
            output.seek(0)
            said = output.read().decode(errors="replace")
        if code != "0":
            raise self.failed(f"service {self.name} {verb} failed ({code})", said)
        return said

    def wait(self, done: Callable[[], bool], seconds: float, fault: str, said: str = "") -> None:
        """Wait until something is true. Raise ServiceError with a fault if that takes too long."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise self.failed(fault, said)
            time.sleep(0.1)

    def failed(self, fault: str, said: str) -> ServiceError:
        """Return a fault, with what the script said and what the daemon has logged since this object was made."""
        return ServiceError(f"{fault}: {said.strip()}{self.lines.told(self.lines.lines())}")
