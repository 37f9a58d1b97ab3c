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

# Puts everything back. The trial's own timer calls it with the trial's id; the host, when it boots, with `boot`.
# Daemons then read the files by themselves; if this waited for one, that one would be waiting for us.
BACK = """\
#!/bin/sh
# Written by a run of Ansible that has put {name} on trial: puts back what was there, unless it was confirmed.
exec 9>{home}/lock && flock 9 || exit 1
[ "$(cat {folder}/id 2>/dev/null)" = {id} ] || exit 0
case $1 in {id} | boot) ;; *) exit 0 ;; esac
{restore}
[ "$1" = boot ] || {load} 9>&- || logger -t channels-trial "{name}: the files are back, and could not be loaded"
rm -rf {folder}
logger -t channels-trial "{name}: nobody has confirmed the change, and {done}"
"""
ALL = f'for back in {HOME}/*/back; do if [ -e "$back" ]; then sh "$back" boot; fi; done'
BOOT_UNIT = f"""\
# Changes that nobody has confirmed do not outlive a start of the host.
[Unit]
Description=Put back what was on trial when the host stopped
DefaultDependencies=no
RequiresMountsFor={HOME}
After=local-fs.target
Before=sysinit.target network-pre.target channels-firewall.service ssh.service
ConditionDirectoryNotEmpty={HOME}

[Service]
Type=oneshot
ExecStart=/bin/sh -c '{ALL}'

# It puts files of /etc back where they were, and says so to the log.
ProtectSystem=strict
ReadWritePaths=/etc -{HOME}
ProtectHome=yes
InaccessiblePaths=-/etc/shadow -/etc/gshadow -/srv -/etc/letsencrypt
UMask=0077
PrivateTmp=yes
PrivateDevices=yes
PrivateIPC=yes
PrivateMounts=yes
DevicePolicy=closed
KeyringMode=private
LimitCORE=0
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
NoNewPrivileges=yes
CapabilityBoundingSet=
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX
IPAddressDeny=any
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallFilter=@chown
SystemCallErrorNumber=EPERM
"""
BOOT_SCRIPT = f"""\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          channels-trial
# Required-Start:    $local_fs
# Required-Stop:
# X-Start-Before:    channels-firewall networking
# Default-Start:     S
# Default-Stop:
# Short-Description: Put back what was on trial when the host stopped
### END INIT INFO
case $1 in start) {ALL} ;; esac
exit 0
"""


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
        """Write the script that puts everything back, complete or not at all."""
        part = HOME / f".{self.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)  # without an id, its script puts nothing back
        part.mkdir(mode=0o700)
        restore = [":"]
        for number, file in enumerate(changes):
            path, kept = shlex.quote(file["path"]), shlex.quote(f"{self.folder}/{number}")
            if os.path.lexists(file["path"]):
                shutil.copy2(file["path"], part / str(number))
                # In one step, since daemons may read it meanwhile.
                restore.append(f"cp -p {kept} {path}.trial && mv -f {path}.trial {path}")
            else:
                restore.append(f"rm -f {path}")
        load = self.module.params["load"]
        text = BACK.format(
            name=self.name, home=HOME, folder=self.folder, id=ident, done=DONE, restore="\n".join(restore),
            load=shlex.join(load) if load else "true",
        )  # fmt: skip
        put(part / "back", text, 0o700)
        put(part / "id", ident, 0o600)
        part.rename(self.folder)
        if SYSTEMD.is_dir():
            put(UNIT, BOOT_UNIT, 0o644)
            WANTED.parent.mkdir(mode=0o755, exist_ok=True)
            if not WANTED.is_symlink():
                WANTED.symlink_to(UNIT)
        elif text_of(SCRIPT) != BOOT_SCRIPT:
            put(SCRIPT, BOOT_SCRIPT, 0o755)
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
        },
        required_if=[("state", "kept", ["id"])],
        supports_check_mode=True,
    )
    trial = Trial(module)
    module.exit_json(**(trial.keep() if module.params["state"] == "kept" else trial.begin()))


if __name__ == "__main__":
    main()
