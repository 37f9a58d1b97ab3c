"""1: the processes serve, run with the environment on disk, and stay alive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...doctor.unsteady import unsteady_values
from ...host import proc
from ...host.project import stale
from ...host.steady import of_kind
from ..host import Host
from ..results import Proof, tried


def check_processes(host: Host, proof: Proof) -> bool:
    """1: each socket has an ASGI server behind it, not runserver and not a WSGI server."""
    title = "Processes are an ASGI server"
    if not host.generation:
        return proof.failed("process", title, f"{host.home}/live is not there: nothing was deployed yet",
                            code="E117_NOT_DEPLOYED", values={"home": str(host.home)})  # fmt: skip
    tries = [tried(f"who listens on {path}", listener(host.serving.get(path))) for path in host.sockets]
    missing = [Path(name).name for name in host.sockets if name not in host.serving]
    if missing:
        return proof.failed("process", title, f"no process listens on {', '.join(missing)}", tries)
    silent = sorted({each["server"] for each in host.serving.values() if each["server"] and not each["speaks"]})
    if silent:
        return proof.failed(
            "process", title, f"the sockets are served by {', '.join(silent)}, which speaks no WebSocket", tries
        )
    names = ", ".join(sorted({each["server"] or each["name"] for each in host.serving.values()}))
    version = host.project.get("versions", {}).get(host.bundle["server"], "")
    if not version:
        seen = f"{host.bundle['server']} is not installed in {host.home}/live/venv"
        return proof.failed("process", title, seen, tries,
                            code="E103_SERVER_MISSING")  # fmt: skip
    seen = f"{len(host.serving)} × {names} {version}, generation {host.generation}"
    return proof.passed("process", title, seen, tries)


def check_environment(host: Host, proof: Proof) -> None:
    """1b: the processes run with the environment on disk, so that a token from one is valid for the other."""
    title = "Processes run with the environment on disk"
    running = {each["pid"]: proc.environment_of(each["pid"]) for each in host.serving.values()}
    differing = {pid: sorted(stale(host.environment or {}, each)) for pid, each in running.items()}
    changed = ", ".join(sorted({name for names in differing.values() for name in names}))
    tries = [tried(f"the environment of pid {pid} against {host.home}/live/env",
                   f"differs in {', '.join(names)}" if names else "the same")
             for pid, names in differing.items()]  # fmt: skip
    if not running:
        proof.skipped("environment", title, "no process runs")
    elif host.environment is None:
        proof.failed("environment", title, f"{host.home}/live/env cannot be read, so it could not be compared")
    elif changed:
        proof.failed("environment", title, f"{changed} changed on the disk after the processes had started", tries,
                     code="E114_ENVIRONMENT_STALE", values={"names": changed})  # fmt: skip
    else:
        values = len(host.environment) or "no"
        proof.passed("environment", title, f"{values} values are the same in {len(running)} processes", tries)


def listener(process: dict[str, Any] | None) -> str:
    """Who listens on a socket, in words."""
    return f"pid {process['pid']}: {process['server'] or process['name']}" if process else "nobody"


def check_steady(host: Host, proof: Proof) -> None:
    """1c: what was started is as alive at the end of the proof as at its beginning, workers too."""
    host.steady = host.watch.end()
    for worker, name, who, code in (
        (False, "steady", "Processes", "E121_PROCESS_UNSTEADY"),
        (True, "workers", "Workers", "E122_WORKER_UNSTEADY"),
    ):
        found, title = of_kind(host.steady, worker), f"{who} stay alive"
        told = [each for each in found if each["what"]]
        seen = "; ".join(each["what"] for each in told)
        tries = [tried(f"{each['unit']}@{each['instance']} twice", each["what"] or f"pid {each['pid']} both times")
                 for each in found]  # fmt: skip
        if not host.steady and not worker:
            proof.skipped(name, title, "the host's tool is from an older bundle and cannot tell; a deploy updates it")
        elif not told and found:
            proof.passed(name, title, f"{len(found)} × the same for {host.steady['seconds']:.0f} s", tries)
        elif told and told[0]["unsteady"]:
            # The diagnosis may know better why a server does not run; a worker is no hop on the way.
            hints = {"code" if worker else "guess": code, "values": unsteady_values(told[0], host.bundle)}
            proof.failed(name, title, seen, tries, **hints)
        elif told:
            values = unsteady_values(told[0], host.bundle)
            proof.add(name, title, "warned", seen, tries, code="W123_STARTED_AGAIN", values=values)
