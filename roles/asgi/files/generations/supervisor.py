"""supervisor as the manager of a generation's processes."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import socket
import time
from pathlib import Path
from typing import Any

from .managers import Group, State, Unmanageable, run, write


def interface(path: Path) -> Any:
    """Return supervisor's XML-RPC interface on a unix socket."""
    # Imported here: together they take as long as all other imports of this program, and systemd needs neither.
    import http.client
    import xmlrpc.client

    class Connection(http.client.HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.connect(str(path))

    class Transport(xmlrpc.client.Transport):
        def make_connection(self, host: Any) -> http.client.HTTPConnection:
            return Connection("localhost")

    return xmlrpc.client.ServerProxy("http://localhost", transport=Transport())


class Supervisor:
    """Processes are programs of root's supervisor, with one group `<unit>@<generation>` for each kind.

    What should run after a boot has its file in supervisor's permanent folder; the rest has it in a folder below /run,
    which a boot empties. supervisor reads both and sees no difference between them, so nothing is restarted.
    """

    SOCKET = Path("/run/supervisor.sock")
    LASTING = Path("/etc/supervisor/conf.d")
    FLEETING = Path("/run/supervisor/conf.d")
    # From Debian's package: supervisor would not start if a log's folder were missing.
    LOGS = Path("/var/log/supervisor")
    # Of this boot: each process has a file here, to which templates/asgi/launch.j2 adds a byte at each start.
    # Supervisor itself doesn't count starts.
    STARTS = Path("/run/supervisor/starts")
    # supervisor's own numbers: supervisor/xmlrpc.py, class Faults.
    BAD_NAME, ALREADY_ADDED = 10, 90

    def __init__(self, app: str, home: Path) -> None:
        """Take the project's name and its folder."""
        self.app, self.home = app, home

    @functools.cached_property
    def server(self) -> Any:
        """Supervisor itself."""
        return interface(self.SOCKET)

    @staticmethod
    def name(group: Group) -> str:
        """Return supervisor's name for a group."""
        return f"{group['unit']}@{group['generation']}"

    def start(self, groups: list[Group]) -> None:
        """Start processes, now and after each boot."""
        for group in groups:
            name = self.name(group)
            write(self.LASTING / f"{name}.conf", self._program(group))
            (self.FLEETING / f"{name}.conf").unlink(missing_ok=True)
        self._add([self.name(group) for group in groups])

    def forget(self, groups: list[Group]) -> None:
        """Keep processes running until they are stopped, but don't start them after the next boot."""
        for group in groups:
            name = self.name(group)
            write(self.FLEETING / f"{name}.conf", self._program(group))
            (self.LASTING / f"{name}.conf").unlink(missing_ok=True)

    def stop(self, groups: list[Group]) -> None:
        """Stop processes, for this boot and the next, and wait until they have ended."""
        for group in groups:
            name = self.name(group)
            for folder in (self.LASTING, self.FLEETING):
                (folder / f"{name}.conf").unlink(missing_ok=True)
            self._remove(name)
            for instance in group["instances"]:
                self._starts(group, instance).unlink(missing_ok=True)
                for folder in (self.home / "private").glob(f"*-{instance}"):  # its /tmp, which launch creates
                    shutil.rmtree(folder, ignore_errors=True)

    def installed(self, groups: list[Group]) -> bool:
        """Tell whether supervisor has the same files for some groups as their generation."""
        files = [(self.LASTING / f"{self.name(group)}.conf", self._program(group)) for group in groups]
        return all(file.exists() and file.read_text() == text for file, text in files)

    def install(self, groups: list[Group]) -> None:
        """Make what cron starts known; with supervisor, it needs nothing outside the generation."""

    def verify(self, groups: list[Group]) -> str:
        """Return what is wrong with the programs of some groups; supervisor itself reports it when they are added."""
        return ""

    def last_lines(self, group: Group, instance: str, number: int) -> list[str]:
        """Return the last lines that a process logged."""
        path = self.LOGS / f"{group['unit']}@{instance}.log"
        return run("tail", f"--lines={number}", str(path), check=False).splitlines()

    def _starts(self, group: Group, instance: str) -> Path:
        """Return the file whose size is the number of a process's starts."""
        return self.STARTS / f"{self.name(group)}:{instance}"

    def states(self, groups: list[Group]) -> list[State]:
        """Return the states of all processes of some groups, in order."""
        try:
            shown = {(entry["group"], entry["name"]): entry for entry in self._call("getAllProcessInfo")}
        except _Silent:
            shown = {}
        found = []
        for group in groups:
            for instance in group["instances"]:
                entry = shown.get((self.name(group), instance), {})
                pid = entry["pid"] if entry.get("statename") in ("STARTING", "RUNNING", "STOPPING") else 0
                starts = self._starts(group, instance)
                found.append(
                    State(
                        pid=pid,
                        memory=_memory(pid) if pid else 0,
                        restarts=max(0, starts.stat().st_size - 1) if starts.exists() else 0,
                        age=max(0.0, float(entry["now"] - entry["start"])) if pid else None,
                        word=str(entry.get("statename", "unknown")).lower(),
                    )
                )
        return found

    def begin(self, name: str, command: list[str]) -> None:
        """Run a command once in the background, under a name."""
        self.end(name)  # supervisor may know an earlier run of that name, with other arguments
        program = {
            "command": shlex.join(command).replace("%", "%%"),
            "startsecs": 0,
            # If it is killed, it starts again; 3 means that it was refused.
            "autorestart": "unexpected",
            "exitcodes": "0,3",
            "redirect_stderr": "true",
            "stdout_logfile": self.LOGS / f"{self.app}-drains.log",
            "stdout_logfile_maxbytes": "1MB",
            "stdout_logfile_backups": 1,
        }
        lines = [f"[program:{name}]", *(f"{key}={value}" for key, value in program.items())]
        write(self.FLEETING / f"{name}.conf", "\n".join(lines) + "\n")
        self._add([name])

    def end(self, name: str) -> None:
        """End what runs in the background under a name, if anything does."""
        (self.FLEETING / f"{name}.conf").unlink(missing_ok=True)
        self._remove(name)

    def begun(self, names: list[str]) -> set[str]:
        """Return which of some names run in the background."""
        if not names:
            return set()
        try:
            shown = self._call("getAllProcessInfo")
        except _Silent:
            return set()
        running = ("STARTING", "RUNNING", "BACKOFF", "STOPPING")
        return {entry["group"] for entry in shown if entry["group"] in names and entry["statename"] in running}

    def clean(self, names: list[str]) -> None:
        """Remove what background commands with these names left when they ended."""
        ended = {path.stem for path in self.FLEETING.glob(f"{self.app}-drain-*.conf")} & set(names)
        for name in ended - self.begun(list(ended)):
            self.end(name)

    def kinds(self, generation: str) -> list[str]:
        """Return the programs that a generation has, if nothing else tells."""
        files = [path for folder in (self.LASTING, self.FLEETING) for path in folder.glob(f"{self.app}-*@*.conf")]
        return sorted({path.stem.split("@")[0] for path in files if path.stem.endswith(f"@{generation}")})

    def log_command(self, units: list[str], generation: str, lines: int, follow: bool, plain: bool) -> list[str]:
        """Return the command that shows the last log lines of some kinds of processes of a generation ("*": any)."""
        patterns = [*(f"{unit}@{generation}-*.log" for unit in units), f"{self.app}-drains.log"]
        patterns += [f"{self.app}-nginx-errors.log"] if generation == "*" else []
        files = sorted(str(path) for pattern in patterns for path in self.LOGS.glob(pattern))
        return ["tail", f"--lines={lines}", *(["-F"] if follow else []), *(["--quiet"] if plain else []), *files]

    def shared(self, groups: list[Group]) -> set[str]:
        """Return kinds for which several generations share one description; with supervisor, each has its own file."""
        return set()

    def remove_shared(self, units: set[str]) -> list[str]:
        """Remove such shared descriptions; there are none."""
        return []

    def remove_logs(self, groups: list[Group]) -> None:
        """Remove the logs of processes that nobody will ask for again."""
        for group in groups:
            for path in self.LOGS.glob(f"{self.name(group)}-*.log*"):
                path.unlink()

    def _program(self, group: Group) -> str:
        """Return a generation's configuration for supervisor."""
        return (self.home / "generations" / group["generation"] / f"{group['unit']}.conf").read_text()

    def _add(self, names: list[str]) -> None:
        """Let supervisor read some groups' files, and run the groups."""
        self._call("reloadConfig")
        for name in names:
            try:
                self._call("addProcessGroup", name)
            except _Fault as fault:
                if fault.code != self.ALREADY_ADDED:
                    raise
                # A group that is still being stopped would not start.
                while any(e["group"] == name and e["statename"] == "STOPPING" for e in self._call("getAllProcessInfo")):
                    time.sleep(0.1)
                self._call("startProcessGroup", name, False)

    def _remove(self, name: str) -> None:
        """Stop a group and make supervisor forget it; wait for its processes to end."""
        try:
            self._call("stopProcessGroup", name, True)
            self._call("removeProcessGroup", name)
        except _Silent:
            return  # the host may have switched to systemd, which removed supervisor
        except _Fault as fault:
            if fault.code != self.BAD_NAME:
                raise

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call a method of supervisor (http://supervisord.org/api.html); raise Unmanageable if that fails."""
        import xmlrpc.client

        try:
            return getattr(self.server.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            raise _Fault(fault.faultCode, f"supervisor answers to {method}{arguments}: {fault.faultString}") from None
        except OSError as error:
            raise _Silent(
                f"supervisor does not answer at {self.SOCKET} ({error}): site.yml installs and starts it"
            ) from None


class _Silent(Unmanageable):
    """Supervisor isn't running, and so runs nothing."""


class _Fault(Unmanageable):
    """Supervisor refuses a call, with a number of its own."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def _memory(pid: int) -> int:
    """Return the memory of a process and its children, in bytes; memory that they share counts for each of them."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = [
            child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
        ]
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(_memory(int(child)) for child in children)
