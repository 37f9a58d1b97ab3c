"""Start the processes and workers of a generation."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from . import managers, paths
from .generation import describe, drain_name, generations, live, processes, steady, workers
from .locks import Refused


def start(generation: str) -> None:
    """Start a generation's processes, for this boot and the next. If it is draining, that ends."""
    described = describe(generation)
    groups = [*processes(described), *workers(described)]
    if any(worker["schedule"] for worker in workers(described)) and not Path("/usr/sbin/cron").exists():
        raise Refused("asgi_workers have a schedule, and cron is not installed: run site.yml, which does that")
    place(groups, generation)
    if fault := managers.of(described).verify(groups):
        raise Refused(f"the service manager would not take what asgi_unit_template makes:\n{fault}")
    managers.of(described).end(drain_name(generation))
    place(groups, generation)  # the drain may have been at its own end, and have removed the links
    (paths.HOME / "generations" / generation / "deadline").unlink(missing_ok=True)
    managers.of(described).start(processes(described))
    if generation == live():  # its workers, too; those of a new generation wait until it serves
        work(described)


def place(groups: list[dict[str, Any]], generation: str) -> None:
    """Link the working folders of some processes to their generation."""
    for group in groups:
        for instance in group["instances"]:
            link(paths.HOME / "instances" / instance, f"../generations/{generation}")


def work(described: dict[str, Any]) -> None:
    """Start a generation's workers, for this boot and the next, and let cron run the scheduled ones."""
    # If a worker may only run once, the old one ends before the new one starts; others end gradually, in the drain.
    for name, other in generations().items():
        if name != described["generation"]:
            managers.of(other).stop([worker for worker in steady(other) if worker["singleton"]])
    place(workers(described), described["generation"])
    managers.of(described).install(workers(described))
    managers.of(described).start(steady(described))
    schedule = paths.HOME / "generations" / described["generation"] / "cron"
    if any(worker["schedule"] for worker in workers(described)):
        part = paths.CRON.with_name(f".{paths.APP}")  # cron reads no file whose name begins with a dot
        shutil.copyfile(schedule, part)
        part.replace(paths.CRON)
    else:
        paths.CRON.unlink(missing_ok=True)


def link(path: Path, target: str) -> None:
    """Make a link lead to a target, in one step for anyone who follows it meanwhile."""
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    part.replace(path)
