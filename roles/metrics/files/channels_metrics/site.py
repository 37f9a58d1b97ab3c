"""Generations and their processes: sockets, backlog, memory, processor, starts, age and state."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from .samples import Samples
from .tool import Tool

TICKS = os.sysconf("SC_CLK_TCK")
CONNECTING, CONNECTED = "02", "03"  # states in /proc/net/unix: waits to be accepted, is accepted
UNIX = Path("/proc/net/unix")


def sockets(paths: set[str]) -> tuple[Counter[str], Counter[str]]:
    """Count accepted connections, and those that wait to be, by the path of the socket that listens."""
    accepted: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    with UNIX.open() as file:
        for line in file:
            path = line[line.rfind(" ") + 1 : -1]
            if path in paths:
                state = line.split(None, 6)[5]
                if state == CONNECTED:
                    accepted[path] += 1
                elif state == CONNECTING:
                    waiting[path] += 1
    return accepted, waiting


def processor(pid: int) -> float:
    """Seconds of processor time that a process and the children it has waited for have used."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(word) for word in words[11:15]) / TICKS


def measure(tool: Tool, app: str) -> Samples:
    """Samples of all generations of a project; kept ones that don't run are only counted."""
    samples = Samples(app=app)
    if not tool.installed:
        return samples
    generation, overview, managers, paths = map(tool.module, ("generation", "overview", "managers", "paths"))
    found: dict[str, dict[str, Any]] = generation.generations()
    upstream = paths.UPSTREAM.read_text() if paths.UPSTREAM.exists() else ""
    now = overview.Now(overview.drains(found), generation.live(), upstream)
    accepted, waiting = sockets({path for one in found.values() for path in generation.listening(one)})
    kept = 0
    for name, processes in states(found, generation, managers).items():
        described = found[name]
        servers = [one for one in processes if one["kind"] != "worker"]
        workers = [one for one in processes if one["kind"] == "worker"]
        running = any(one["state"].pid for one in servers if one["kind"] == "server")
        state = overview.state_of(described, now, running)
        if state == "kept":
            kept += 1
            continue
        add_generation(samples, described, state, servers, workers)
        own = sum(accepted[path] for path in generation.listening(described))
        samples.add("channels_generation_connections", own, generation=name)
        if served := generation.served(name):
            samples.add("channels_generation_served_timestamp_seconds", served, generation=name)
        if end := now.draining.get(name, 0.0):
            samples.add("channels_generation_drain_deadline_seconds", end, generation=name)
        listening = dict(zip(described["instances"], described["sockets"], strict=False))
        if wsgi := described.get("wsgi"):
            listening |= dict(zip(wsgi["instances"], wsgi["sockets"], strict=False))
        for one in processes:
            add_process(samples, name, one, listening.get(one["instance"], ""), accepted, waiting)
    samples.add("channels_generations_kept", kept)
    for broken in overview.broken():
        samples.add("channels_generation_info", 1, generation=broken["generation"], state="broken")
    return samples


def states(found: dict[str, dict[str, Any]], generation: Any, managers: Any) -> dict[str, list[dict[str, Any]]]:
    """All processes of all generations with their states: each manager is asked once for all of them."""
    groups = {name: [*generation.processes(one), *generation.steady(one)] for name, one in found.items()}
    answers: dict[str, Any] = {}
    for kind in {one["manager"] for one in found.values()}:
        asked = [group for name in found if found[name]["manager"] == kind for group in groups[name]]
        answers[kind] = iter(managers.get(kind).states(asked))
    return {
        name: [
            {
                "unit": group["unit"],
                "instance": instance,
                "kind": generation.kind(group, one),
                "state": next(answers[one["manager"]]),
            }
            for group in groups[name]
            for instance in group["instances"]
        ]
        for name, one in found.items()
    }


def add_generation(
    samples: Samples,
    described: dict[str, Any],
    state: str,
    servers: list[dict[str, Any]],
    workers: list[dict[str, Any]],
) -> None:
    """Add what a generation is, and how many of its processes run."""
    name = described["generation"]
    known = {key: str(described.get(key, "")) for key in ("release", "version", "server", "manager")}
    samples.add("channels_generation_info", 1, generation=name, state=state, **known)
    for what, each in (("processes", servers), ("workers", workers)):
        samples.add(f"channels_generation_{what}_expected", len(each), generation=name)
        running = len([one for one in each if one["state"].pid])
        samples.add(f"channels_generation_{what}_running", running, generation=name)


def add_process(
    samples: Samples, name: str, one: dict[str, Any], path: str, accepted: Counter[str], waiting: Counter[str]
) -> None:
    """Add what is known of a process."""
    state = one["state"]
    labels = {"generation": name, "process": one["instance"], "kind": one["kind"], "unit": one["unit"]}
    samples.add("channels_process_restarts_total", state.restarts, **labels)
    if not state.pid:
        return
    samples.add("channels_process_memory_bytes", state.memory, **labels)
    samples.add("channels_process_cpu_seconds_total", processor(state.pid), **labels)
    samples.add("channels_process_age_seconds", state.age or 0.0, **labels)
    if path:
        samples.add("channels_process_connections", accepted[path], **labels)
        samples.add("channels_process_backlog", waiting[path], **labels)
