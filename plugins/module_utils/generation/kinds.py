"""Kinds of processes of a generation: the server's, gunicorn's if there is one, and the workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.common.text.formatters import human_to_bytes
from ansible.module_utils.parsing.convert_bool import boolean

from .settings import Settings

Kind = dict[str, Any]


def kinds_of(settings: Settings, count: int, first: bool) -> list[Kind]:
    """Return the kinds in the form that templates and the host's tool expect, the server's first.

    `count` is the number of the server's processes. `first` says whether this host runs what may run only once;
    elsewhere that has no instances.
    """
    server = _kind(
        settings.server, f"{settings.app}-{settings.server}", "serve", _instances(settings, range(1, count + 1)),
        stop_seconds=settings.stop_seconds, memory_max=settings.memory_max,
    )  # fmt: skip
    found = [server]
    if settings.http == "wsgi":
        # As many as the host has room for, even if a channel layer allows only one process for sockets.
        own = _instances(settings, range(1, settings.count + 1))
        found.append({**server, "name": "wsgi", "unit": f"{settings.app}-wsgi", "run": "wsgi", "instances": own})
    return found + [_worker(settings, worker, first) for worker in settings.workers]


def is_worker(kind: Mapping[str, Any]) -> bool:
    """Tell whether the processes of a kind serve no clients."""
    return str(kind["run"]).startswith("work ")


def sockets_of(settings: Settings, kind: Mapping[str, Any], ending: str) -> list[str]:
    """Return the path of each process's socket, in the order of its instances."""
    return [f"{settings.run}/{instance}{ending}" for instance in kind["instances"]]


def _worker(settings: Settings, worker: Mapping[str, Any], first: bool) -> Kind:
    """Return the kind of one entry of asgi_workers."""
    schedule, singleton = worker.get("schedule") or "", boolean(worker.get("singleton") or False)
    numbers: Iterable[int] = [0] if schedule else range(1, int(worker.get("number") or 1) + 1)
    return _kind(
        worker["name"], f"{settings.app}-{worker['name']}", f"work {worker['name']}",
        _instances(settings, numbers) if first or not singleton else [],
        stop_signal=worker.get("stop_signal") or "TERM", stop_seconds=int(worker.get("stop_seconds") or 60),
        memory_max=worker.get("memory_max") or "", schedule=schedule, singleton=singleton,
        sandbox=worker.get("sandbox") or {},
    )  # fmt: skip


def _instances(settings: Settings, numbers: Iterable[int]) -> list[str]:
    """Return the names of processes by their numbers."""
    return [f"{settings.provisional}-{number}" for number in numbers]


def _kind(name: str, unit: str, run: str, instances: list[str], **more: Any) -> Kind:
    """Return a kind with the values that most kinds share."""
    memory = more["memory_max"]
    return {
        "name": name, "unit": unit, "run": run, "instances": instances, "stop_signal": "TERM", "schedule": "",
        "singleton": False, "sandbox": {}, "memory_kib": human_to_bytes(memory) // 1024 if memory else "unlimited",
        **more,
    }  # fmt: skip
