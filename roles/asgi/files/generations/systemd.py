"""systemd as the manager of a generation's processes."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

from .managers import Group, State, run, write

# What systemd itself keeps writing into a unit's log.
SYSTEMD_SAYS = re.compile(
    r"^(Started|Starting|Stopped|Stopping) |: (Scheduled restart job|Deactivated successfully|Consumed .* CPU time)"
)


class Systemd:
    """Processes are instances of template units, `<unit>@<instance>.service`; drains are transient units."""

    UNITS = Path("/etc/systemd/system")

    def __init__(self, app: str, home: Path) -> None:
        """Take the project's name and its folder."""
        self.app, self.home = app, home

    @staticmethod
    def names(groups: list[Group]) -> list[str]:
        """Return the names of the groups' units."""
        return [f"{group['unit']}@{instance}.service" for group in groups for instance in group["instances"]]

    def own(self, group: Group) -> Path:
        """Return the unit that a generation has for one kind of its processes; old generations have none."""
        return self.home / "generations" / group["generation"] / f"{group['unit']}.service"

    def installed(self, groups: list[Group]) -> bool:
        """Tell whether systemd has the same units for some groups as their generation."""
        return all(
            file.exists() and file.read_bytes() == self.own(group).read_bytes()
            for group in groups
            if self.own(group).exists()
            for file in map(self.UNITS.joinpath, self.names([group]))
        )

    def install(self, groups: list[Group]) -> None:
        """Tell systemd about the units of some groups; each process has its own.

        A template for all generations would change under the serving one before the next one has passed its gate.
        """
        missing = [group for group in groups if not self.installed([group])]
        for group in missing:
            for name in self.names([group]):
                write(self.UNITS / name, self.own(group).read_text())
        if missing:
            run("systemctl", "daemon-reload")

    def verify(self, groups: list[Group]) -> str:
        """Return what systemd finds wrong with the units of some groups; empty if they are right."""
        import shutil
        import tempfile  # only here: importing it takes longer than all of our own files

        found: list[str] = []
        with tempfile.TemporaryDirectory() as folder:
            for group in groups:
                if not self.own(group).exists() or not group["instances"]:
                    continue
                unit = Path(folder) / self.names([group])[0]
                shutil.copyfile(self.own(group), unit)
                done = subprocess.run(
                    ["systemd-analyze", "verify", "--man=no", str(unit)],
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                # It also reports faults of other units, and features that are merely old.
                found += [
                    line.removeprefix(f"{folder}/")
                    for line in done.stderr.splitlines()
                    if unit.name in line and not re.search("deprecated|obsolete", line)
                ]
        return "\n".join(dict.fromkeys(found))

    def start(self, groups: list[Group]) -> None:
        """Start processes, now and after each boot."""
        self.install(groups)
        if names := self.names(groups):
            run("systemctl", "enable", "--now", "--quiet", *names)

    def forget(self, groups: list[Group]) -> None:
        """Keep processes running until they are stopped, but don't start them after the next boot."""
        if names := self._known(groups):
            run("systemctl", "disable", "--quiet", *names)

    def stop(self, groups: list[Group]) -> None:
        """Stop processes, for this boot and the next, and wait until they have ended."""
        names = self.names(groups)
        shown = self._show(names, "ActiveState")
        if active := [name for name, unit in zip(names, shown, strict=True) if unit["ActiveState"] != "inactive"]:
            run("systemctl", "stop", "--quiet", *active)
            run("systemctl", "reset-failed", "--quiet", *active, check=False)  # most have not failed
        self.forget(groups)
        files = [file for file in map(self.UNITS.joinpath, names) if file.exists()]
        for file in files:
            file.unlink()
        if files:
            run("systemctl", "daemon-reload")

    def _known(self, groups: list[Group]) -> list[str]:
        """Return the names of the units that have a file, their own or one for all generations; no others can start."""
        return [
            name
            for group in groups
            for name in self.names([group])
            if (self.UNITS / name).exists() or (self.UNITS / f"{group['unit']}@.service").exists()
        ]

    def states(self, groups: list[Group]) -> list[State]:
        """Return the states of all processes of some groups, in order."""
        properties = (
            "ActiveState", "SubState", "MainPID", "MemoryCurrent", "NRestarts", "ExecMainStartTimestampMonotonic",
        )  # fmt: skip
        now = time.monotonic()  # the clock of systemd's monotonic timestamps
        found = []
        for unit in self._show(self.names(groups), *properties):
            pid = int(unit["MainPID"]) if unit["ActiveState"] == "active" else 0
            found.append(
                State(
                    pid=pid,
                    memory=int(unit["MemoryCurrent"]) if unit["MemoryCurrent"].isdigit() else 0,
                    restarts=int(unit["NRestarts"]),
                    age=max(0.0, now - int(unit["ExecMainStartTimestampMonotonic"]) / 1e6) if pid else None,
                    word=unit["SubState"],
                )
            )
        return found

    def last_lines(self, group: Group, instance: str, number: int) -> list[str]:
        """Return the last lines that a process logged, and how it ended; systemd's other messages are left out."""
        shown = run(
            "journalctl", "--no-pager", "--output=cat", f"--lines={number * 4}",
            f"--unit={group['unit']}@{instance}.service", check=False,
        )  # fmt: skip
        return [line for line in shown.splitlines() if not SYSTEMD_SAYS.search(line)][-number:]

    def begin(self, name: str, command: list[str]) -> None:
        """Run a command once in the background, under a name."""
        run("systemd-run", "--collect", "--quiet", f"--unit={name}.service", *command)

    def end(self, name: str) -> None:
        """End what runs in the background under a name, if anything does."""
        run("systemctl", "stop", "--quiet", f"{name}.service", check=False)

    def begun(self, names: list[str]) -> set[str]:
        """Return which of some names run in the background."""
        shown = self._show([f"{name}.service" for name in names], "ActiveState")
        return {
            name
            for name, unit in zip(names, shown, strict=True)
            if unit["ActiveState"] in ("active", "activating", "deactivating")
        }

    def clean(self, names: list[str]) -> None:
        """Remove what background commands left when they ended; with systemd, nothing is left."""

    def shared(self, groups: list[Group]) -> set[str]:
        """Return the kinds of some groups whose unit is a template for several generations, as all units once were."""
        return {group["unit"] for group in groups if not self.own(group).exists()}

    def remove_shared(self, units: set[str]) -> list[str]:
        """Remove those templates; return the kinds whose templates were there."""
        gone = [unit for unit in sorted(units) if (self.UNITS / f"{unit}@.service").exists()]
        for unit in gone:
            (self.UNITS / f"{unit}@.service").unlink()
        if gone:
            run("systemctl", "daemon-reload")
        return gone

    def remove_logs(self, groups: list[Group]) -> None:
        """Remove the logs of processes that nobody will ask for again; the journal does that itself."""

    def kinds(self, generation: str) -> list[str]:
        """Return the units that a generation may have, if nothing else tells."""
        files = [*self.UNITS.glob(f"{self.app}-*@{generation}-*.service"), *self.UNITS.glob(f"{self.app}-*@.service")]
        return sorted({path.name.split("@")[0] for path in files})

    def log_command(self, units: list[str], generation: str, lines: int, follow: bool, plain: bool) -> list[str]:
        """Return the command that shows the last log lines of some kinds of processes of a generation ("*": any)."""
        patterns = [*(f"{unit}@{generation}-*" for unit in units), f"{self.app}-drain-{generation}"]
        patterns += [f"{self.app}-nginx-errors"] if generation == "*" else []
        options = [f"--lines={lines}", *(["--follow"] if follow else []), *(["--output=cat"] if plain else [])]
        return ["journalctl", "--no-pager", *options, *(f"--unit={pattern}" for pattern in patterns)]

    @staticmethod
    def _show(names: list[str], *properties: str) -> list[dict[str, str]]:
        """Return some properties of some units, in order, with one call for all of them."""
        if not names:
            return []
        shown = run("systemctl", "show", f"--property={','.join(properties)}", *names)
        return [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.strip().split("\n\n")]
