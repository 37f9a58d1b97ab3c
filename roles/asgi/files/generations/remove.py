"""End and remove everything of the project on this host except its shared files."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from . import managers, paths
from .close import SETTLE, close_all
from .generation import drain_name, generations, listening, processes, workers
from .locks import GUARD, LOCK, WORK
from .sockets import accepted
from .stop import stop
from .systemd import Systemd


def remove(spread: float, dry: bool) -> list[str]:
    """End all generations and remove everything that deploys created, except shared files; return what was removed.

    nginx must no longer know the project: until then, connections would arrive that nobody ends. Other projects' files
    are not looked at. If `dry`, nothing is done.
    """
    found = generations()
    gone = [
        f"generation {name}: {sum(bool(state.pid) for state in managers.of(each).states(processes(each)))} processes, "
        f"{len(accepted(listening(each)))} sockets"
        for name, each in found.items()
    ]
    units = own_units()
    files = own_files(units)
    shown = [path for path in files if path.name not in (LOCK, GUARD, WORK)]
    gone += [str(path) for path in shown if os.path.lexists(path)]
    if dry:
        return gone
    end_generations(found, spread)
    end_processes(paths.APP)
    for path in files:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it may contain something of the user's own
        (paths.ETC / paths.APP).rmdir()
    if units:
        subprocess.run(["systemctl", "daemon-reload"], check=True)
    return gone


def own_units() -> list[Path]:
    """Return the project's units, including kinds that no generation has any more."""
    mine = f"ExecStart={paths.HOME}/instances/"  # a unit with just the name may belong to another project
    return [path for path in sorted(Systemd.UNITS.glob(f"{paths.APP}-*@*.service")) if mine in path.read_text()]


def own_files(units: list[Path]) -> list[Path]:
    """Return the files and folders that deploys have created, and those units, in the order in which to remove them."""
    return [
        paths.CRON,
        paths.ETC / "tmpfiles.d" / f"{paths.APP}.conf",
        *units,
        paths.ETC / paths.APP / "env",
        paths.ETC / paths.APP / "certificate",
        Path("/run") / paths.APP,
        *sorted(path for path in paths.HOME.glob("*") if path.name not in ("shared", "generations")),
        # Last: a run that continues after a killed one needs them.
        paths.HOME / "generations",
        paths.BIN / f"{paths.APP}-manage",
        paths.SBIN / f"{paths.APP}-generations",
        paths.SBIN / f"{paths.APP}-top",
        paths.LIBRARY,
    ]


def end_generations(found: dict[str, dict[str, Any]], spread: float) -> None:
    """Close the connections of all generations over `spread` seconds, and stop their processes."""
    for name, each in found.items():
        managers.of(each).end(drain_name(name))
    sockets = [path for each in found.values() for path in listening(each)]
    if accepted(sockets):
        time.sleep(SETTLE)
        close_all(sockets, spread, paths.APP)
        time.sleep(1.0)  # for each consumer's disconnect()
    for name, each in found.items():
        stop(each)
        managers.of(each).remove_logs([*processes(each), *workers(each)])
        managers.of(each).clean([drain_name(name)])


def end_processes(user: str) -> None:
    """End what a user still runs, such as a command that cron started; after some seconds, kill what is left."""
    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError:
        return
    for what in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + SETTLE
        while running := [int(path.name) for path in Path("/proc").glob("[0-9]*") if owner(path) == uid]:
            for pid in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, what)
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)


def owner(path: Path) -> int:
    """Return the number of the user who owns a path; -1 if it is gone."""
    try:
        return path.stat().st_uid
    except OSError:
        return -1
