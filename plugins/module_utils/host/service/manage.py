"""Finds what a service needs so that it runs what is on the disk, and does it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .init_script import ETC, InitScript
from .notes import Notes, State, look
from .service import Run, Service, ServiceError
from .systemd import Systemd

SYSTEMD = Path("/run/systemd/system")  # exists if systemd is PID 1 (sd_booted(3))

Result = dict[str, Any]


def manage(given: Mapping[str, Any], check: bool, run: Run, warn: Callable[[str], object]) -> Result:
    """Make a service run what is on the disk; return what was done, or would be if this is only a `check`.

    `given` are the options of module `service_state`. May raise ServiceError.
    """
    service = find(given, run)
    if not service.installed:
        if check:
            return {"changed": True, "action": "start", "reason": "it is not installed yet"}
        raise ServiceError(f"there is no service named {service.name} on this host: install its package first")
    # Look before doing anything: the next run finds what changes meanwhile.
    reload_files, restart_files = (
        {f"{verb} {path}": look(path) for path in given[f"{verb}_files"]} for verb in ("reload", "restart")
    )
    notes = Notes(service.name)
    action, reason = needed_action(service, notes, reload_files, restart_files)
    changed = action != "none" or not service.enabled or service.stale
    if check:
        return {"changed": changed, "action": action, "reason": reason}

    def in_effect() -> dict[str, State]:
        states, warning = started_with(service, notes, given["next_start_files"])
        if warning:
            warn(warning)
        return states

    if not changed:
        notes.note(service.main_pid, reload_files | restart_files | in_effect())
        return {"changed": False, "action": action, "reason": reason}
    with alone(service.name):
        validate(service.name, given["validate"], run)
        # Warn before, since what waits may be why a reload fails. A service that starts now waits for nothing.
        waited = in_effect() if action in ("none", "reload") else None
        service.apply(action)
    started = in_effect() if waited is None else waited
    notes.note(service.main_pid, reload_files | restart_files | started)
    return {"changed": True, "action": action, "reason": reason or "it was not enabled, or its unit had changed"}


def find(given: Mapping[str, Any], run: Run) -> Service:
    """Return the service that the options name, for whatever starts services on this host. May raise ServiceError."""
    if SYSTEMD.is_dir():
        unit_files = [*given["unit_files"], *given["next_start_files"]]
        stay, same = given.get("old_workers_stay", False), given["same_workers"]
        return Systemd(given["name"], given["log_file"], unit_files, run, old_workers_stay=stay, same_workers=same)
    return InitScript(given["name"], given["log_file"], given["pid_file"], run, same_workers=given["same_workers"])


def needed_action(
    service: Service, notes: Notes, reload_files: dict[str, State], restart_files: dict[str, State]
) -> tuple[str, str]:
    """Return what the service needs (none, start, reload or restart) and why."""
    if not service.running:
        return "start", f"it was {service.found}"
    if changed := notes.unread(service.main_pid, restart_files):
        return "restart", changed
    if changed := notes.unread(service.main_pid, reload_files):
        return "reload", changed
    return "none", ""


def started_with(service: Service, notes: Notes, paths: list[str]) -> tuple[dict[str, State], str]:
    """Return the files that the service was started with, and a warning about those that wait for its next start."""
    states = {f"start {path}": look(path) for path in paths}
    if waiting := notes.unread(service.main_pid, states):
        return {}, (
            f"{service.name} runs without what {waiting} says until it starts next, because a restart ends its open "
            f"connections. When these may end: systemctl restart {service.name}"
        )
    return states, ""


def validate(name: str, command: list[str], run: Run) -> None:
    """Validate a service's configuration, if there is a command for it. Raise ServiceError if that refuses."""
    code, out, err = run(command) if command else (0, "", "")
    if code:
        raise ServiceError(
            f"{name} was left as it runs, because `{' '.join(command)}` refused its new configuration:\n{err or out}"
        )


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Keep others from putting a daemon's files in place for a while, such as a certificate but not yet its key.

    Whatever does so outside a run of Ansible takes the same lock (role certificate's deploy). It is the daemon's own
    folder, which still exists after a restart of the machine, and in a sandbox that may write nowhere.
    """
    with contextlib.ExitStack() as stack:
        if (ETC / name).is_dir():
            lock = os.open(ETC / name, os.O_RDONLY)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
