"""What a load test found: sums, memory of a socket, and what gave way first."""

from __future__ import annotations

from typing import Any

from ..capacity.figures import HOST_SOCKETS, SERVERS
from ..capacity.sizing import Demand, size
from ..capacity.storm import percentile

#: From this part of a limit on, it is the one that is near.
NEAR = 0.9
#: Fewer sockets than this say nothing about memory: a process takes some for itself when it first works.
FEWEST_FOR_MEMORY = 100
#: What each kind of failure is a sign of, the most certain first: the start of its name, what gave way, what to do.
SIGNS = (
    ("429", "a limit: handshakes of one address",
     "Exempt this machine (nginx_limit_exempt), or see docs/limits.md"),
    ("503 nginx_address_sockets", "a limit: sockets of one address", "See docs/limits.md"),
    ("503 nginx_sockets", "a limit: sockets of the site", "Raise nginx_sockets, or add an app host"),
    ("tcp: Too many open files", "open files of the controller", "ulimit -n on this machine"),
    ("tcp: Cannot assign requested address", "ports of the controller", "Open fewer sockets from one machine"),
    ("502", "the processes: nginx reached none", "ansible-playbook playbooks/logs.yml"),
    ("503", "the processes: the project answered 503", "ansible-playbook playbooks/logs.yml"),
    ("500", "the project: an error in the handshake, as without Redis", "ansible-playbook playbooks/logs.yml"),
    ("timeout", "back-pressure: handshakes waited for too long", "Add processes or hosts, or let clients wait longer"),
    ("tcp:", "connections: refused or cut before the handshake", "ansible-playbook playbooks/doctor.yml"),
)  # fmt: skip


def measured(crowd: Any, before: dict[str, Any], opened: dict[str, Any], held: dict[str, Any]) -> dict[str, Any]:
    """Put the clients' figures and three samples of the host together.

    `before` was taken before the first handshake, `opened` after the last, `held` after a while of silence. Memory
    counts the sockets that the host itself has more than before.
    """
    times = sorted(crowd.times)
    sockets = held["sockets"] - before["sockets"]
    shakes = max(1, len(times))
    result = {
        "asked": len(times) + sum(crowd.failures.values()), "opened": len(times), "sockets_on_host": sockets,
        "seconds": round(crowd.seconds, 2),
        "handshakes_per_second": round(len(times) / crowd.seconds, 1) if crowd.seconds else 0.0,
        "p50_ms": round(1000 * percentile(times, 50), 1), "p99_ms": round(1000 * percentile(times, 99), 1),
        "failures": dict(crowd.failures), "lost": dict(crowd.lost),
        "kb_per_socket": {}, "cpu_ms_per_handshake": {}, "use": use(before, opened, held),
    }  # fmt: skip
    for name in ("processes", "nginx", "redis"):
        if not held[name]["kb"]:
            continue
        cpu = 1000 * (opened[name]["cpu"] - before[name]["cpu"]) / shakes
        result["cpu_ms_per_handshake"][name] = round(max(0.0, cpu), 3)
        if sockets >= FEWEST_FOR_MEMORY:
            result["kb_per_socket"][name] = round((held[name]["kb"] - before[name]["kb"]) / sockets, 1)
    result["gave_way"] = gave_way(result)
    return result


def use(before: dict[str, Any], opened: dict[str, Any], held: dict[str, Any]) -> dict[str, float]:
    """The part of each limit that was used, from 0 to 1; CPU while sockets were opened."""
    host = opened["host"]
    busy, idle = (host[name] - before["host"][name] for name in ("busy", "idle"))
    found = {
        "CPU": busy / (busy + idle) if busy + idle > 0 else 0.0,
        "memory": 1 - held["host"]["available_kb"] / max(1, held["host"]["memory_kb"]),
        "backlog": float(held["host"]["overflows"] > before["host"]["overflows"]),
    }
    for name, title in (("processes", "open files of a process"), ("nginx", "open files of nginx")):
        if held[name]["limit"]:
            found[title] = held[name]["files"] / held[name]["limit"]
    return {name: round(part, 3) for name, part in found.items()}


def gave_way(result: dict[str, Any]) -> dict[str, str]:
    """What gave way first: `what` and `fix`, and `near`, the limit that is nearest. `what` is empty if nothing did.

    Failures say it themselves where they can. Timeouts and refused connections have a cause behind them, which is the
    limit that was used up, if one was.
    """
    part = result["use"]
    nearest = max(part, key=lambda name: part[name])
    near = f"{nearest} ({part[nearest]:.0%})"
    failures = [name for name in result["failures"] if result["failures"][name]]
    for start, what, fix in SIGNS:
        if not any(name.startswith(start) for name in failures):
            continue
        behind = start in ("timeout", "tcp:", "502") and part[nearest] >= NEAR
        return {"what": f"{nearest}, which shows as {what}" if behind else what, "fix": fix, "near": near}
    if failures:
        return {
            "what": f"handshakes: {', '.join(failures)}",
            "fix": "ansible-playbook playbooks/doctor.yml",
            "near": near,
        }
    if result["lost"]:
        return {"what": "open sockets were lost", "fix": "ansible-playbook playbooks/logs.yml", "near": near}
    return {"what": "", "fix": "", "near": near}


def sizing_of(sockets: int, hosts: list[dict[str, Any]]) -> dict[str, Any]:
    """What so many sockets need on hosts like the smallest of these, by the model of docs/capacity.md."""
    host = min((each["host"] for each in hosts), key=lambda each: each["memory_kb"])
    server = hosts[0]["server"] if hosts[0]["server"] in SERVERS else "daphne"
    total = max(1, sockets)
    demand = Demand(
        sockets=total, server=server, cores=host["cores"], memory_gb=max(0.5, round(host["memory_kb"] / 1048576, 1)),
        edge="none" if total <= HOST_SOCKETS.value else "nginx",
    )  # fmt: skip
    return {"for": {"sockets": total, "server": server, "cores": demand.cores, "memory_gb": demand.memory_gb},
            **size(demand)}  # fmt: skip
