#!/usr/bin/python
"""Have a daemon enabled, running, and running the configuration that is on the disk."""

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon
short_description: A daemon runs the configuration that is on the disk
description:
  - Enables and starts a service, and reloads or restarts it when a process of it is older than its files.
  - It asks the host and not the tasks before it, as a handler does. So a run that was killed between writing a file and
    notifying a handler, or a file that somebody edited by hand, is mended by the next run.
  - A restart supersedes a reload.
options:
  name:
    description: Name of the service.
    type: str
    required: true
  reload_files:
    description: Files, or folders with all that is in them, that a reload makes the daemon read again.
    type: list
    elements: path
    default: []
  restart_files:
    description: Files or folders that only a restart makes the daemon read again.
    type: list
    elements: path
    default: []
  validate:
    description: Command that must succeed before the service is started, reloaded or restarted.
    type: list
    elements: str
    default: []
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: Nginx runs its configuration
  daemon:
    name: nginx
    reload_files: [/etc/nginx]
    validate: [nginx, -t]
"""

RETURN = r"""
action:
  description: What was done (or would be, in check mode), one of none, start, reload, restart.
  type: str
  returned: always
reason:
  description: The file that was newer than the daemon's processes, or the state that was found.
  type: str
  returned: when changed
"""

import os
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def process_age_start(pid: int) -> float:
    """Return when a process started, in seconds since the epoch; 0.0 when it is gone.

    /proc/PID/stat holds the start in clock ticks since boot as its 22nd field (proc(5)).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime + since_boot


def children(pid: int) -> list[int]:
    """Return the direct children of a process; a reload gives nginx new ones."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in task.read_text().split()]
    return found


def newest_change(paths: list[str]) -> tuple[float, str]:
    """Return the time and the name of the newest change below some paths; links count as themselves."""
    newest = (0.0, "")
    for path in paths:
        for folder, folders, files in os.walk(path):
            for name in (".", *folders, *files):
                entry = os.path.normpath(os.path.join(folder, name))
                newest = max(newest, (os.lstat(entry).st_ctime, entry))
        if os.path.lexists(path):
            newest = max(newest, (os.lstat(path).st_ctime, path))
    return newest


class Service:
    """A service of systemd."""

    def __init__(self, module: AnsibleModule, name: str) -> None:
        self.module, self.name = module, name
        shown = self.systemctl("show", "--property=LoadState,ActiveState,MainPID,UnitFileState,NeedDaemonReload")
        self.state = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)

    def systemctl(self, verb: str, *options: str) -> str:
        """Run systemctl on the service; on failure end the module with the service's last log lines."""
        code, out, err = self.module.run_command(["systemctl", verb, *options, self.name])
        if code:
            _, log, _ = self.module.run_command(
                ["journalctl", "--no-pager", "--output=cat", "-n", "15", "-u", self.name]
            )
            self.module.fail_json(msg=f"systemctl {verb} {self.name} failed: {err or out}\nIts last log lines:\n{log}")
        return out

    @property
    def installed(self) -> bool:
        """Tell whether the host has the service."""
        return self.state["LoadState"] == "loaded"

    @property
    def running(self) -> bool:
        """Tell whether the service runs."""
        return self.state["ActiveState"] in ("active", "reloading")

    @property
    def started(self) -> float:
        """When the service's main process started, in seconds since the epoch."""
        return process_age_start(int(self.state["MainPID"]))

    @property
    def configured(self) -> float:
        """When the newest process of the service started: after a reload that is a worker."""
        main = int(self.state["MainPID"])
        return max(process_age_start(pid) for pid in (main, *children(main)))


def needed_action(service: Service, reload_files: list[str], restart_files: list[str]) -> tuple[str, str]:
    """Return what the service needs (none, start, reload or restart) and why."""
    if not service.running:
        return "start", f"it was {service.state['ActiveState']}"
    changed, name = newest_change(restart_files)
    if changed > service.started:
        return "restart", name
    changed, name = newest_change(reload_files)
    if changed > service.configured:
        return "reload", name
    return "none", ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "reload_files": {"type": "list", "elements": "path", "default": []},
            "restart_files": {"type": "list", "elements": "path", "default": []},
            "validate": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    service = Service(module, module.params["name"])
    if not service.installed:
        if module.check_mode:
            module.exit_json(changed=True, action="start", reason="it is not installed yet")
        module.fail_json(msg=f"there is no service named {service.name} on this host: install its package first")
    action, reason = needed_action(service, module.params["reload_files"], module.params["restart_files"])
    disabled = service.state["UnitFileState"] == "disabled"
    stale_unit = service.state["NeedDaemonReload"] == "yes"
    changed = action != "none" or disabled or stale_unit
    if module.check_mode or not changed:
        module.exit_json(changed=changed, action=action, reason=reason)
    if module.params["validate"]:
        code, out, err = module.run_command(module.params["validate"])
        if code:
            module.fail_json(
                msg=f"{service.name} was left as it runs, because `{' '.join(module.params['validate'])}` refused its "
                f"new configuration:\n{err or out}"
            )
    # systemd does not notice the first file in a new drop-in folder, so a restart always has it look again.
    if stale_unit or action == "restart":
        module.run_command(["systemctl", "daemon-reload"], check_rc=True)
    if disabled:
        service.systemctl("enable")
    if action != "none":
        service.systemctl(action)
    module.exit_json(changed=True, action=action, reason=reason or "it was not enabled, or its unit had changed")


if __name__ == "__main__":
    main()
