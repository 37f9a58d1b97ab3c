"""A service of systemd."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .service import Run, ServiceError
from .workers import reload


class Systemd:
    """A service of systemd, as found when this object is made."""

    def __init__(
        self,
        name: str,
        log_file: str | None,
        unit_files: Iterable[str],
        run: Run,
        *,
        old_workers_stay: bool = False,
        same_workers: bool = False,
    ) -> None:
        """Take its name, its log, the files of its unit that systemd must have read, and what runs commands.

        `old_workers_stay` says that workers from before a reload keep their connections, and `same_workers` that
        there are no other ones after it.
        """
        self.name, self.run, self.old_workers_stay, self.same_workers = name, run, old_workers_stay, same_workers
        asked = "LoadState,ActiveState,MainPID,UnitFileState,NeedDaemonReload,FragmentPath,DropInPaths"
        shown = self.systemctl("show", f"--property={asked}")
        state = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        self.installed = state["LoadState"] == "loaded"
        self.running = state["ActiveState"] in ("active", "reloading")
        self.found = state["ActiveState"]
        self.enabled = state["UnitFileState"] != "disabled"
        # systemd does not notice the first file in a new drop-in folder.
        read = [*state["DropInPaths"].split(), state["FragmentPath"]]
        there = [path for path in unit_files if os.path.exists(path)]
        self.stale = state["NeedDaemonReload"] == "yes" or not set(there) <= set(read)
        self.main_pid = int(state["MainPID"])
        self.log = Path(log_file or os.devnull)

    def systemctl(self, verb: str, *options: str) -> str:
        """Run systemctl on the service. Raise ServiceError with the service's last log lines if that fails."""
        code, out, err = self.run(["systemctl", verb, *options, self.name])
        if code:
            _, log, _ = self.run(["journalctl", "--no-pager", "--output=cat", "-n", "15", "-u", self.name])
            raise ServiceError(f"systemctl {verb} {self.name} failed: {err or out}\nIts last log lines:\n{log}")
        return out

    def apply(self, action: str) -> None:
        """Enable the service if it is not enabled, and start, reload or restart it. May raise ServiceError."""
        # systemd does not notice the first file in a new drop-in folder, so always make it look again before a restart.
        if self.stale or action == "restart":
            self.run(["systemctl", "daemon-reload"], check_rc=True)
        if not self.enabled:
            self.systemctl("enable")
        if action == "reload":
            reload(self, lambda: self.systemctl(action))
        elif action != "none":
            self.systemctl(action)
            self.main_pid = int(self.systemctl("show", "--value", "--property=MainPID"))
