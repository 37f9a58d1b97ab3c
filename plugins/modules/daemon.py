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
  - Where systemd is not running, the service is that of its script in C(/etc/init.d).
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
  pid_file:
    description:
      - File that holds the id of the daemon's main process. Needed where systemd is not running, and read only there.
      - An id whose command line does not hold the service's name is another process's, left from before a restart.
    type: path
  log_file:
    description: File whose newest lines say why the daemon did not start. Read only where systemd is not running.
    type: path
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: Nginx runs its configuration
  daemon:
    name: nginx
    reload_files: [/etc/nginx]
    pid_file: /run/nginx.pid
    log_file: /var/log/nginx/error.log
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
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

SYSTEMD = Path("/run/systemd/system")  # is there where systemd is PID 1 (sd_booted(3))
ETC = Path("/etc")
SCRIPT_SECONDS = 120  # that an init script may take
START_SECONDS = 20  # for a daemon to write its pid file after its script has ended
SETTLE_SECONDS = 1  # after which a daemon that cannot work, such as for a taken port, has ended


def process_age_start(pid: int) -> float:
    """Return when a process started, in seconds since the epoch; 0.0 when it is gone.

    /proc/PID/stat holds the start in clock ticks since boot as its 22nd field (proc(5)). A process that has ended stays
    as a zombie where PID 1 looks after none, as in a container that runs a plain command.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    if fields[0] == "Z":
        return 0.0
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    # Not /proc/uptime: containers of LXC have one of their own, while the start still counts from the kernel's boot.
    return booted() + since_boot


def booted() -> float:
    """Return when the kernel booted, in seconds since the epoch."""
    while True:
        before, now, after = (
            time.clock_gettime(time.CLOCK_BOOTTIME),
            time.time(),
            time.clock_gettime(time.CLOCK_BOOTTIME),
        )
        if after - before < 0.005:  # else this process was held up between the clocks, and all would seem older
            return now - after


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


class Systemd:
    """A service of systemd."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.name = module, module.params["name"]
        shown = self.systemctl("show", "--property=LoadState,ActiveState,MainPID,UnitFileState,NeedDaemonReload")
        state = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        self.installed = state["LoadState"] == "loaded"
        self.running = state["ActiveState"] in ("active", "reloading")
        self.found = state["ActiveState"]
        self.main_pid = int(state["MainPID"])
        self.enabled = state["UnitFileState"] != "disabled"
        self.stale = state["NeedDaemonReload"] == "yes"

    def systemctl(self, verb: str, *options: str) -> str:
        """Run systemctl on the service; on failure end the module with the service's last log lines."""
        code, out, err = self.module.run_command(["systemctl", verb, *options, self.name])
        if code:
            _, log, _ = self.module.run_command(
                ["journalctl", "--no-pager", "--output=cat", "-n", "15", "-u", self.name]
            )
            self.module.fail_json(msg=f"systemctl {verb} {self.name} failed: {err or out}\nIts last log lines:\n{log}")
        return out

    def apply(self, action: str) -> None:
        """Enable the service where it is not, and start, reload or restart it."""
        # systemd does not notice the first file in a new drop-in folder, so a restart always has it look again.
        if self.stale or action == "restart":
            self.module.run_command(["systemctl", "daemon-reload"], check_rc=True)
        if not self.enabled:
            self.systemctl("enable")
        if action != "none":
            self.systemctl(action)


class InitScript:
    """A service of a script in /etc/init.d, which says by its links in /etc/rc?.d that it starts with the machine."""

    stale = False  # a script is read each time that it runs

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.name = module, module.params["name"]
        if not module.params["pid_file"]:
            module.fail_json(msg=f"systemd is not running on this host: say which pid_file {self.name} writes")
        self.pid_file = Path(module.params["pid_file"])
        self.script = ETC / "init.d" / self.name
        self.installed = self.script.exists()
        self.found = "not running"
        self.log = Path(module.params["log_file"] or os.devnull)  # which never has a line
        self.log_size = self.log.stat().st_size if self.log.exists() else 0

    @property
    def main_pid(self) -> int:
        """Id of the main process, or 0 where there is none."""
        try:
            pid = int(self.pid_file.read_text())
            return pid if self.name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes() else 0
        except (OSError, ValueError):
            return 0

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
        """Enable the service where it is not, and start, reload or restart it."""
        if not self.enabled:
            # Links where there are none; then, of those that say to stop it, ones that say to start it.
            for verb in ("defaults", "enable"):
                self.module.run_command(["update-rc.d", self.name, verb], check_rc=True)
        if action == "reload":
            self.service("reload")
        if action == "restart":  # not by the script's own verb: Debian's for supervisor stops the daemon and no more
            old = self.main_pid
            self.service("stop")
            self.wait(lambda: not process_age_start(old), SCRIPT_SECONDS, f"{self.name} did not end (process {old})")
        if action in ("start", "restart"):
            self.pid_file.unlink(missing_ok=True)  # some scripts take any process that has the old id for the daemon
            said = self.service("start")
            fault = f"{self.name} started no process that {self.pid_file} names"
            self.wait(lambda: self.running, START_SECONDS, fault, said)
            time.sleep(SETTLE_SECONDS)
            if not self.running:
                self.fail(f"{self.name} started and ended at once", said)

    def service(self, verb: str) -> str:
        """Run the script; return what it printed, or end the module where it fails."""
        # Into a file: a pipe would stay open for as long as a daemon that keeps its output.
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
            self.fail(f"service {self.name} {verb} failed ({code})", said)
        return said

    def wait(self, done: Callable[[], bool], seconds: float, fault: str, said: str = "") -> None:
        """Wait until something is so, or end the module with a fault."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                self.fail(fault, said)
            time.sleep(0.1)

    def fail(self, fault: str, said: str) -> None:
        """End the module with a fault, what the script said and what the daemon has logged since the module began."""
        message = f"{fault}: {said.strip()}"
        if self.log.is_file():
            with self.log.open("rb") as file:
                file.seek(self.log_size)
                lines = file.read().decode(errors="replace").splitlines()
            message += "\n".join([f"\nIn {self.log} since:", *(lines[-15:] or ["(nothing)"])])
        self.module.fail_json(msg=message)


def needed_action(service: Systemd | InitScript, reload_files: list[str], restart_files: list[str]) -> tuple[str, str]:
    """Return what the service needs (none, start, reload or restart) and why."""
    if not service.running:
        return "start", f"it was {service.found}"
    changed, name = newest_change(restart_files)
    main = service.main_pid
    if changed > process_age_start(main):
        return "restart", name
    changed, name = newest_change(reload_files)
    # The newest process has read them: after a reload that is a worker.
    if changed > max(process_age_start(pid) for pid in (main, *children(main))):
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
            "pid_file": {"type": "path"},
            "log_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    service = (Systemd if SYSTEMD.is_dir() else InitScript)(module)
    if not service.installed:
        if module.check_mode:
            module.exit_json(changed=True, action="start", reason="it is not installed yet")
        module.fail_json(msg=f"there is no service named {service.name} on this host: install its package first")
    action, reason = needed_action(service, module.params["reload_files"], module.params["restart_files"])
    changed = action != "none" or not service.enabled or service.stale
    if module.check_mode or not changed:
        module.exit_json(changed=changed, action=action, reason=reason)
    if module.params["validate"]:
        code, out, err = module.run_command(module.params["validate"])
        if code:
            module.fail_json(
                msg=f"{service.name} was left as it runs, because `{' '.join(module.params['validate'])}` refused its "
                f"new configuration:\n{err or out}"
            )
    service.apply(action)
    module.exit_json(changed=True, action=action, reason=reason or "it was not enabled, or its unit had changed")


if __name__ == "__main__":
    main()
