#!/usr/bin/python
"""Have a daemon enabled, running, and running the configuration that is on the disk."""

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon
short_description: A daemon runs the configuration that is on the disk
description:
  - Enables and starts a service, and reloads or restarts it when it has not read its files as they are.
  - It asks the host and not the tasks before it, as a handler does. So a run that was killed between writing a file and
    notifying a handler, or a file that somebody edited by hand, is mended by the next run.
  - What a daemon has read is noted on the host, below C(/run), once it was seen to read it. A file that is not noted is
    compared with the age of the daemon's main process.
  - A restart supersedes a reload. A reload has failed when the main process keeps the children that it had.
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
  unit_files:
    description:
      - Files of the service's unit, such as drop-ins, that systemd has to have read. They restart nothing; one that
        must, belongs in O(restart_files) as well.
    type: list
    elements: path
    default: []
  next_start_files:
    description:
      - Files of the service's unit that systemd has to have read, and that take effect when the service starts next.
        They restart nothing. As long as the service runs without what they say, each run warns of it.
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
    description:
      - File whose newest lines say why the daemon did not start (read only where systemd is not running) or reload. The
        file that its main process has as standard error is read instead where there is one.
    type: path
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: Run nginx with its configuration
  channels.stack.daemon:
    name: nginx
    reload_files: [/etc/nginx]
    restart_files: [/etc/systemd/system/nginx.service.d/limits.conf]
    unit_files: [/etc/systemd/system/nginx.service.d/restart.conf]
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
  description: The file that the daemon had not read, or the state that was found.
  type: str
  returned: when changed
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ansible.module_utils.basic import AnsibleModule

SYSTEMD = Path("/run/systemd/system")  # is there where systemd is PID 1 (sd_booted(3))
ETC = Path("/etc")
NOTES = Path("/run/ansible-channels-stack")
SCRIPT_SECONDS = 120  # that an init script may take
START_SECONDS = 20  # for a daemon to write its pid file after its script has ended
SETTLE_SECONDS = 1  # after which a daemon that cannot work, such as for a taken port, has ended
RELOAD_SECONDS = 30  # for a daemon to have new processes after it was told to reload
QUIET_SECONDS = 1  # without a line in its log, after which a reload has failed for good; nginx tries each half second


def process_stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on (proc(5)); none when the process is gone.

    A process that has ended stays as a zombie where PID 1 looks after none, as in a container of a plain command.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] == "Z" else fields


def process_start(pid: int) -> float:
    """Return when a process started, in seconds since the epoch; 0.0 when it is gone."""
    fields = process_stat(pid)
    # Not /proc/uptime: containers of LXC have one of their own, while the start still counts from the kernel's boot.
    return booted() + int(fields[19]) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def process_name(pid: int) -> str:
    """Return a name that no other process has or will have; an empty one when the process is gone."""
    fields = process_stat(pid)
    return f"{pid} {fields[19]} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}" if fields else ""


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


def workers(pid: int) -> set[str]:
    """Return names of the direct children of a process, without those that only wait for the end of their sockets."""
    found: set[str] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            with contextlib.suppress(OSError):
                if b"shutting down" not in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.add(process_name(int(child)))
    return found - {""}


def orphans(name: str) -> list[int]:
    """Return ids of a daemon's workers, by nginx's way of naming them, whose main process was killed."""
    titles: dict[int, bytes] = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            titles[int(path.parent.name)] = path.read_bytes()
    return [
        pid
        for pid, title in titles.items()
        if title.startswith(f"{name}: worker process".encode())
        # Others have one, such as those in a container that this machine runs.
        and (stat := process_stat(pid))
        and not titles.get(int(stat[1]), b"").startswith(f"{name}: master process".encode())
    ]


class State(NamedTuple):
    """What is below a path; links count as themselves."""

    digest: str  # another one after any change, be it one that puts a text back
    changed: float  # the newest change, in seconds since the epoch
    newest: str  # where that was


def look(path: str) -> State:
    """Return what is below a path."""
    entries = {path} if os.path.lexists(path) else set()
    for folder, folders, files in os.walk(path):
        entries |= {os.path.join(folder, name) for name in (*folders, *files)}
    digest, newest = hashlib.sha256(), (0.0, "")
    for entry in sorted(entries):
        with contextlib.suppress(FileNotFoundError):  # such as a file that an editor has open, a moment ago
            found = os.lstat(entry)
            digest.update(f"{entry}\0{found.st_ino} {found.st_ctime_ns} {found.st_size}\0".encode())
            newest = max(newest, (found.st_ctime, entry))
    return State(digest.hexdigest(), *newest)


class Notes:
    """What a daemon is known to have read: for each verb and path the state, and the main process that ran then.

    Not judged by the age of the newest child: one that was started again after a crash has what its main process once
    read. Nor by clocks, as far as that can be: they are set, and files come with times that are still to be.
    """

    def __init__(self, name: str) -> None:
        self.path = NOTES / f"{name}.json"
        self.read: dict[str, list[str]] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            known = json.loads(self.path.read_text())
            self.read = {name: [digest, reader] for name, (digest, reader) in known.items()}

    def unread(self, main: int, states: dict[str, State]) -> str:
        """Return a file that the main process has not read as it is now, or nothing."""
        for name, state in states.items():
            digest, reader = self.read.get(name, ["", ""])
            if digest == state.digest:  # a main process that came later has read the same
                continue
            if (reader and reader == process_name(main)) or state.changed > process_start(main):
                return state.newest or name.partition(" ")[2]
        return ""

    def note(self, main: int, states: dict[str, State]) -> None:
        """Note that the main process has read these."""
        reader = process_name(main)
        now = self.read | {name: [state.digest, reader] for name, state in states.items()}
        if now == self.read or not reader:
            return
        self.path.parent.mkdir(mode=0o755, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(now, indent=1))
        part.replace(self.path)


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Have nobody else put a file of a daemon in place for a while, such as one of a certificate and not yet its key.

    Who does so where no run of Ansible is, takes the same lock (role certificate's deploy): the daemon's own folder,
    which is there after a restart of the machine, and in a sandbox that writes nowhere.
    """
    with contextlib.ExitStack() as stack:
        if (ETC / name).is_dir():
            lock = os.open(ETC / name, os.O_RDONLY)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Log:
    """What a daemon writes into its log from now on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size if path.exists() else 0

    def lines(self) -> list[str]:
        """Return its lines."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as file:
            file.seek(self.size)
            return file.read().decode(errors="replace").splitlines()

    def told(self, lines: list[str]) -> str:
        """Return the newest of some lines, each once, for a message."""
        newest = list({re.sub(r"^[\d/:. -]+", "", line): line for line in lines}.values())[-15:]
        return "\n".join([f"\nIn {self.path} since:", *(newest or ["(nothing)"])]) if self.path.is_file() else ""


def reload(service: Systemd | InitScript, ask: Callable[[], object]) -> None:
    """Ask a daemon to reload, and wait until its main process has other workers; end the module where it keeps them.

    nginx tests no address: one that another process has is found by its main process, which then goes on with what it
    had, while whoever asked for the reload was told that all is well.
    """
    main = service.main_pid
    stderr = Path(f"/proc/{main}/fd/2").resolve()
    log = Log(stderr if stderr.is_file() else service.log)
    had, refused = workers(main), False
    lines: list[str] = []
    ask()
    quiet = began = time.monotonic()
    while True:
        time.sleep(0.02)
        now = workers(main)
        if (read := log.lines()) != lines:
            lines, quiet = read, time.monotonic()
            # nginx's, of its main process alone: a worker that was started again is as new as one after a reload.
            refused = any(f"[emerg] {main}#" in line for line in lines)
        if now and not now & had and not refused:
            return
        if time.monotonic() - (quiet if refused else began) > (QUIET_SECONDS if refused else RELOAD_SECONDS):
            break
    if refused:
        lines = [line for line in lines if f"[emerg] {main}#" in line]
    service.module.fail_json(
        msg=f"{service.name} was told to reload, and goes on with the configuration that it had. The next run tries "
        f"again.{log.told(lines)}"
    )


class Systemd:
    """A service of systemd."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.name = module, module.params["name"]
        asked = "LoadState,ActiveState,MainPID,UnitFileState,NeedDaemonReload,FragmentPath,DropInPaths"
        shown = self.systemctl("show", f"--property={asked}")
        state = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        self.installed = state["LoadState"] == "loaded"
        self.running = state["ActiveState"] in ("active", "reloading")
        self.found = state["ActiveState"]
        self.enabled = state["UnitFileState"] != "disabled"
        # systemd does not notice the first file in a new drop-in folder.
        read = [*state["DropInPaths"].split(), state["FragmentPath"]]
        named = [*module.params["unit_files"], *module.params["next_start_files"]]
        there = [path for path in named if os.path.exists(path)]
        self.stale = state["NeedDaemonReload"] == "yes" or not set(there) <= set(read)
        self.main_pid = int(state["MainPID"])
        self.log = Path(module.params["log_file"] or os.devnull)

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
        if action == "reload":
            reload(self, lambda: self.systemctl(action))
        elif action != "none":
            self.systemctl(action)
            self.main_pid = int(self.systemctl("show", "--value", "--property=MainPID"))


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
        self.log = Path(module.params["log_file"] or os.devnull)
        self.lines = Log(self.log)

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
            reload(self, lambda: self.service("reload"))
        if action == "restart":  # not by the script's own verb: Debian's for supervisor stops the daemon and no more
            old = self.main_pid
            self.service("stop")
            self.wait(lambda: not process_stat(old), SCRIPT_SECONDS, f"{self.name} did not end (process {old})")
        if action in ("start", "restart"):
            for pid in orphans(self.name):  # they hold its ports; now they only serve until their sockets have ended
                os.kill(pid, signal.SIGQUIT)
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
        self.module.fail_json(msg=f"{fault}: {said.strip()}{self.lines.told(self.lines.lines())}")


def needed_action(
    service: Systemd | InitScript, notes: Notes, reload_files: dict[str, State], restart_files: dict[str, State]
) -> tuple[str, str]:
    """Return what the service needs (none, start, reload or restart) and why."""
    if not service.running:
        return "start", f"it was {service.found}"
    if changed := notes.unread(service.main_pid, restart_files):
        return "restart", changed
    if changed := notes.unread(service.main_pid, reload_files):
        return "reload", changed
    return "none", ""


def in_effect(service: Systemd | InitScript, notes: Notes) -> dict[str, State]:
    """Return the files that the service has been started with, and warn of those that its next start waits for."""
    states = {f"start {path}": look(path) for path in service.module.params["next_start_files"]}
    if waiting := notes.unread(service.main_pid, states):
        service.module.warn(
            f"{service.name} runs without what {waiting} says until it starts next, because a restart ends its open "
            f"connections. When these may end: systemctl restart {service.name}"
        )
        return {}
    return states


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "reload_files": {"type": "list", "elements": "path", "default": []},
            "restart_files": {"type": "list", "elements": "path", "default": []},
            "unit_files": {"type": "list", "elements": "path", "default": []},
            "next_start_files": {"type": "list", "elements": "path", "default": []},
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
    # Before anything is done: what changes meanwhile is found by the next run.
    reload_files, restart_files = (
        {f"{verb} {path}": look(path) for path in module.params[f"{verb}_files"]} for verb in ("reload", "restart")
    )
    notes = Notes(service.name)
    action, reason = needed_action(service, notes, reload_files, restart_files)
    changed = action != "none" or not service.enabled or service.stale
    if module.check_mode:
        module.exit_json(changed=changed, action=action, reason=reason)
    if not changed:
        notes.note(service.main_pid, reload_files | restart_files | in_effect(service, notes))
        module.exit_json(changed=False, action=action, reason=reason)
    with alone(service.name):
        if module.params["validate"]:
            code, out, err = module.run_command(module.params["validate"])
            if code:
                module.fail_json(
                    msg=f"{service.name} was left as it runs, because `{' '.join(module.params['validate'])}` refused "
                    f"its new configuration:\n{err or out}"
                )
        # Told before, since what waits may be why a reload fails; whoever starts now waits for nothing.
        waited = in_effect(service, notes) if action in ("none", "reload") else None
        service.apply(action)
    started = in_effect(service, notes) if waited is None else waited
    notes.note(service.main_pid, reload_files | restart_files | started)
    module.exit_json(changed=True, action=action, reason=reason or "it was not enabled, or its unit had changed")


if __name__ == "__main__":
    main()
