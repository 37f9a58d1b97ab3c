"""What is asked of a project, in its own environment and as its own user: its import, layer, settings and tokens."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

#: Seconds that a project may take to import and to mint tokens, on a busy machine.
PATIENCE = 60.0
MARK = "@@doctor@@"


def stale(disk: dict[str, str], running: dict[str, str]) -> list[str]:
    """The names of variables whose values on the disk are not those that a process was started with."""
    return sorted(name for name, value in disk.items() if running.get(name) != value)


def listed_in(environment: dict[str, str], values: list[str]) -> str:
    """The name of the variable that lists some values, separated by commas or spaces; empty if none does."""
    return next((name for name, text in environment.items() if values and re.split(r"[,\s]+", text) == values), "")


class Project:
    """Runs commands as a project's processes run: with its user, environment, folder and Python."""

    def __init__(
        self, bundle: dict[str, Any], process: dict[str, Any] | None, environ: dict[str, str], probe: str
    ) -> None:
        """Take what is deployed, or a process that was found with its environment; and the text of probe.py."""
        self.bundle, self.process, self.environ, self.probe = bundle, process, environ, probe

    @property
    def known(self) -> bool:
        """Whether there is anything to ask."""
        return bool(self.bundle or (self.process and self.python))

    @property
    def python(self) -> str:
        """The interpreter of a process that was found running: the virtual environment's, not what that links to."""
        first = self.process["argv"][0] if self.process and self.process["argv"] else ""
        if os.path.basename(first).startswith(("python", "pypy")) and first.startswith("/"):
            return first
        beside = os.path.join(os.path.dirname(first), "python")
        if first.startswith("/") and os.path.exists(beside):
            return beside
        virtual = os.path.join(self.environ.get("VIRTUAL_ENV", ""), "bin", "python")
        return virtual if virtual.startswith("/") and os.path.exists(virtual) else ""

    def run(self, command: list[str], timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a command of the project; `python` as its first word is the project's own. May raise OSError."""
        options: dict[str, Any] = {
            "capture_output": True, "text": True, "errors": "replace", "timeout": timeout, "check": False,
            "stdin": subprocess.DEVNULL,
        }  # fmt: skip
        if self.bundle:
            script = self.bundle["home"] + "/within"
            return subprocess.run(["runuser", "--user", self.bundle["user"], "--", script, *command], **options)
        assert self.process
        if os.geteuid() == 0 and self.process["uid"]:
            entry = pwd.getpwuid(self.process["uid"])
            options |= {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(
                entry.pw_name, entry.pw_gid)}  # fmt: skip
        if command[0] == "python":
            command = [self.python, *command[1:]]
        environ = {**self.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(command, env=environ, cwd=self.process["folder"] or "/", **options)

    def ask(
        self, application: str, commands: dict[str, list[str]], origin: str = "", timeout: float = PATIENCE,
        path: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """Return what the probe finds; `minted` has tokens, by the names of the commands that print them.

        `origin` is that of the site's pages; what becomes of them is in `page`, as doctor/https.py takes it. `path` is
        the WebSocket's, by which its consumer is found.
        `not_minted` has the complaints of the others. Commands of manage.py share the probe's process, which has
        imported the project anyway; others run beside it.
        """
        managed = {name: line[1:] for name, line in commands.items() if line[:2] == ["python", "manage.py"]}
        others = {name: line for name, line in commands.items() if line and name not in managed}
        with ThreadPoolExecutor(1 + len(others)) as pool:
            minting = {name: pool.submit(self._mint, line, timeout) for name, line in others.items()}
            found = self._probe([application, json.dumps(managed), origin, path], managed, timeout)
        for name, made in minting.items():
            token, complaint = made.result()
            found["not_minted" if complaint else "minted"][name] = complaint or token
        return found

    def _probe(self, given: list[str], managed: dict[str, list[str]], timeout: float) -> dict[str, Any]:
        empty: dict[str, Any] = {"minted": {}, "not_minted": {}, "application": given[0]}
        try:
            done = self.run(["python", "-c", self.probe, MARK, *given], timeout)
        except (OSError, KeyError, subprocess.SubprocessError) as error:
            why = f"{type(error).__name__}: the project has not answered within {timeout:g} s"
            return {**empty, "unasked": why, "not_minted": dict.fromkeys(managed, why)}
        _, mark, text = done.stdout.rpartition(f"\n{MARK}")
        if not mark:
            last = done.stderr.strip().splitlines()[-1:] or ["the probe printed nothing"]
            return {**empty, "import_error": last[0]}
        found: dict[str, Any] = json.loads(text)
        return found

    def _mint(self, command: list[str], timeout: float) -> tuple[str, str]:
        """The token that a command prints, or what it complained of."""
        try:
            done = self.run(command, timeout)
        except (OSError, KeyError, subprocess.SubprocessError) as error:
            return "", type(error).__name__
        if done.returncode or not done.stdout.strip():
            return "", (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        return done.stdout.strip().splitlines()[-1], ""

    def disk_environment(self) -> dict[str, str] | None:
        """What the project's environment file sets, which may be nothing; None if it cannot be read."""
        if not self.bundle:
            return None
        try:
            shown = self.run(["env", "-0"]).stdout
            text = Path(self.bundle["home"], "env").read_text(encoding="utf-8")
        except (OSError, subprocess.SubprocessError):
            return None
        names = re.findall(r"^([A-Za-z_]\w*)=", text, re.MULTILINE)
        values = dict(entry.split("=", 1) for entry in shown.split("\0") if "=" in entry)
        return {name: values[name] for name in names if name in values}
