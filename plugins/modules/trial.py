#!/usr/bin/python
"""Ansible module: a change that could lock its operator out; the host itself undoes it unless it is confirmed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: trial
short_description: Undoes a change that could lock its operator out, unless it is confirmed
description:
  - Writes files and has a command load them. Before that it leaves on the host what puts everything back, and a timer
    that runs it, so that a host which cannot be reached any more mends itself. C(state=kept) ends the trial.
  - A trial that a killed run has left is taken back by the timer, by the next start of the host, or by the next run,
    whichever comes first. Nothing that was not confirmed outlives a start of the host.
options:
  name:
    description: What is on trial, such as C(firewall). Each has one trial at a time.
    type: str
    required: true
  state:
    description: C(begun) makes the change, on trial; C(kept) confirms the change of trial O(id).
    type: str
    choices: [begun, kept]
    default: begun
  id:
    description: The trial to keep.
    type: str
  files:
    description:
      - Files to write, owned by root. Each has a C(path) and a C(content). Without content, the file is removed.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Its path; the folder is created., type: path, required: true}
      content: {description: Its text., type: str}
      mode: {description: Its mode., type: str, default: "0644"}
  validate:
    description: Command that must accept the files, once they are in place, before they are loaded.
    type: list
    elements: str
    default: []
  load:
    description: Command that loads the files. It also runs when they are restored.
    type: list
    elements: str
    default: []
  loaded:
    description: Command whose exit code says whether the host uses the files as they are.
    type: list
    elements: str
    default: []
  seconds:
    description: Seconds after which the host restores everything.
    type: int
    default: 60
  back: {description: "Required of the action, which brings it: the program that puts everything back.", type: str}
  boot_unit: {description: "Required of the action: the unit that calls it when the host boots.", type: str}
  boot_script: {description: "Required of the action: the same without systemd.", type: str}
attributes:
  check_mode: {description: Tells what would change., support: full}
  diff_mode: {description: Shows the files., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Try the rules
  channels.stack.trial:
    name: firewall
    files:
      - {path: /etc/channels-firewall/projects/dashboard.nft, content: "{{ lookup('template', 'project.nft.j2') }}"}
    validate: [/usr/local/sbin/channels-firewall, check]
    load: [/usr/local/sbin/channels-firewall, apply]
    loaded: [/usr/local/sbin/channels-firewall, loaded]
  register: __firewall_trial

- name: Keep the rules
  channels.stack.trial: {name: firewall, state: kept, id: "{{ __firewall_trial.id }}"}
"""

RETURN = r"""
id:
  description: The trial that was begun; empty if nothing had to be changed.
  type: str
  returned: with C(state=begun)
paths:
  description: Files that were changed.
  type: list
  elements: str
  returned: with C(state=begun)
"""

import contextlib
import fcntl
import os
import secrets
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

SYSTEMD = Path("/run/systemd/system")  # exists if systemd is PID 1 (sd_booted(3))
HOME = Path("/var/lib/channels-trial")
UNIT = Path("/etc/systemd/system/channels-trial.service")
WANTED = Path("/etc/systemd/system/sysinit.target.wants/channels-trial.service")
SCRIPT = Path("/etc/init.d/channels-trial")
DONE = "what was on trial is as it was before"
PROGRAMS = ("back", "boot_unit", "boot_script")  # module_utils/host/trial/


def text_of(path: str | Path) -> str | None:
    """Return a file's content; None if there is no file."""
    try:
        return Path(path).read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None


def put(path: Path, content: str, mode: int) -> None:
    """Write a file so that others see its old or its new content, never anything in between."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        file.write(content)
        os.fchmod(handle, mode)
        file.flush()
        os.fsync(handle)
    os.replace(part, path)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep timers and other runs away from trials."""
    HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Trial:
    """What is on trial under a name."""

    def __init__(self, module: AnsibleModule) -> None:
        """Take the module's parameters."""
        self.module, self.name = module, module.params["name"]
        self.folder = HOME / self.name
        self.back = self.folder / "back"

    def differences(self) -> list[dict[str, Any]]:
        """Return the files that are not as they should be."""
        return [
            file
            for file in self.module.params["files"]
            if text_of(file["path"]) != file["content"]
            or (file["content"] is not None and os.stat(file["path"]).st_mode & 0o7777 != int(file["mode"], 8))
        ]

    def fault(self, command: str) -> str:
        """Run one of the given commands; return why it failed, or nothing."""
        argv = self.module.params[command]
        if not argv:
            return ""
        try:
            code, out, err = self.module.run_command(argv, handle_exceptions=False)
        except OSError as error:  # for example in check mode, before its program is installed
            return str(error)
        return (err + out).strip() or f"it ended with {code}" if code else ""

    def put_back(self) -> None:
        """Put back what is on trial; the lock must be free."""
        if (ident := text_of(self.folder / "id")) is not None:
            self.module.run_command(["sh", str(self.back), ident])
        self.disarm()

    def begin(self) -> dict[str, Any]:
        """Make the changes, on trial."""
        left = (self.folder / "id").exists()
        if left and not self.module.check_mode:
            self.put_back()
        changes = self.differences()
        reason = "" if changes or left or not self.fault("loaded") else "the host does not work by its files"
        found = {
            "changed": bool(changes or left or reason),
            "id": "",
            "paths": [file["path"] for file in changes],
            "diff": [
                {
                    "before_header": file["path"],
                    "after_header": file["path"],
                    "before": text_of(file["path"]) or "",
                    "after": file["content"] or "",
                }
                for file in changes
            ],
        }
        if self.module.check_mode or not found["changed"]:
            return found
        with alone():
            ident = secrets.token_hex(8)
            self.write_back(ident, changes)
            self.arm(ident)
            for file in changes:
                if file["content"] is None:
                    Path(file["path"]).unlink(missing_ok=True)
                else:
                    put(Path(file["path"]), file["content"], int(file["mode"], 8))
            fault = self.refusal("validate", "refused") or self.refusal("load", "could not load")
        if fault:
            self.put_back()
            self.module.fail_json(msg=fault)
        return found | {"id": ident}

    def refusal(self, command: str, verdict: str) -> str:
        """Run one of the given commands on what is on trial; return a message that says why it failed, or nothing."""
        said, argv = self.fault(command), shlex.join(self.module.params[command])
        return f"`{argv}` {verdict} the new {self.name}, and {DONE}:\n{said}" if said else ""

    def write_back(self, ident: str, changes: list[dict[str, Any]]) -> None:
        """Write the script that puts everything back, and what it reads, complete or not at all."""
        part = HOME / f".{self.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)  # without an id, its script puts nothing back
        part.mkdir(mode=0o700)
        replaced: list[str] = []
        added: list[str] = []
        for path in (file["path"] for file in changes):
            if os.path.lexists(path):
                shutil.copy2(path, part / str(len(replaced)))
                replaced.append(path)
            else:
                added.append(path)
        for name, paths in (("replaced", replaced), ("added", added)):
            put(part / name, "".join(f"{path}\n" for path in paths), 0o600)
        put(part / "load", shlex.join(self.module.params["load"]) + "\n", 0o600)
        put(part / "back", self.module.params["back"], 0o700)
        put(part / "id", ident, 0o600)
        part.rename(self.folder)
        if SYSTEMD.is_dir():
            put(UNIT, self.module.params["boot_unit"], 0o644)
            WANTED.parent.mkdir(mode=0o755, exist_ok=True)
            if not WANTED.is_symlink():
                WANTED.symlink_to(UNIT)
        elif text_of(SCRIPT) != (script := self.module.params["boot_script"]):
            put(SCRIPT, script, 0o755)
            self.module.run_command(["update-rc.d", SCRIPT.name, "defaults"], check_rc=True)

    def arm(self, ident: str) -> None:
        """Make the host put everything back after a while."""
        seconds, command = self.module.params["seconds"], ["/bin/sh", str(self.back), ident]
        if SYSTEMD.is_dir():
            self.disarm()
            timer = [f"--unit=channels-trial-{self.name}", f"--on-active={seconds}", "--timer-property=AccuracySec=1s"]
            self.module.run_command(["systemd-run", "--collect", "--quiet", *timer, *command], check_rc=True)
            return
        subprocess.Popen(  # outlives this run, even a killed one
            ["sh", "-c", 'sleep "$0" && exec "$@"', str(seconds), *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd="/", start_new_session=True,
        )  # fmt: skip

    def disarm(self) -> None:
        """Stop the timer. Without systemd, a sleeping process finds nothing to put back when it wakes."""
        if SYSTEMD.is_dir():
            self.module.run_command(["systemctl", "stop", f"channels-trial-{self.name}.timer"])

    def keep(self) -> dict[str, Any]:
        """End the trial, and keep its changes."""
        if self.module.check_mode:
            return {"changed": True}
        with alone():
            if text_of(self.folder / "id") != self.module.params["id"]:
                self.module.fail_json(
                    msg=f"The confirmation of the new {self.name} came too late: {DONE}. Run this again; on a slow "
                    "way to the host, give it more seconds."
                )
            # Its id goes first: without it nothing is put back, wherever this is killed.
            (self.folder / "id").unlink()
            shutil.rmtree(self.folder)
        self.disarm()
        return {"changed": True}


def main() -> None:
    """Run the module."""
    files = {
        "path": {"type": "path", "required": True},
        "content": {"type": "str"},
        "mode": {"type": "str", "default": "0644"},
    }
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["begun", "kept"], "default": "begun"},
            "id": {"type": "str"},
            "files": {"type": "list", "elements": "dict", "default": [], "options": files},
            "validate": {"type": "list", "elements": "str", "default": []},
            "load": {"type": "list", "elements": "str", "default": []},
            "loaded": {"type": "list", "elements": "str", "default": []},
            "seconds": {"type": "int", "default": 60},
            **{name: {"type": "str", "required": True, "no_log": True} for name in PROGRAMS},
        },
        required_if=[("state", "kept", ["id"])],
        supports_check_mode=True,
    )
    trial = Trial(module)
    module.exit_json(**(trial.keep() if module.params["state"] == "kept" else trial.begin()))


if __name__ == "__main__":
    main()
