"""PgBouncer's share of PostgreSQL's connections, and its own limits. Controller only."""

from __future__ import annotations

from collections.abc import Iterator

from ..view import HostView, Problem, check, probe_facts

MODES = ("transaction", "session")
RESERVED = 3  # connections that PostgreSQL keeps for its administrators (superuser_reserved_connections)
SYS_RESOURCE = 24  # bit of CAP_SYS_RESOURCE, with which limits may be raised


def wanted(host: HostView) -> bool:
    """Whether this run is to give the host a PgBouncer."""
    return host.get("pgbouncer_mode") in MODES


@check("pgbouncer")
def pgbouncer_pool(host: HostView) -> Iterator[Problem]:
    """The pool is not larger than what PostgreSQL accepts."""
    pool, most = host.get("pgbouncer_pool_size"), host.get("postgresql_max_connections")
    if not wanted(host) or not isinstance(pool, int) or not isinstance(most, int):
        return
    if pool > most - RESERVED:
        fix = f"Write {max(1, (most - RESERVED) // 2)} or less, or raise postgresql_max_connections."
        yield Problem("pgbouncer_pool_size", f"is {pool}, and PostgreSQL accepts {most} connections", fix)


@check("pgbouncer")
def pgbouncer_open_files(host: HostView) -> Iterator[Problem]:
    """PgBouncer may open as many files as its clients need."""
    clients, facts = host.get("pgbouncer_max_clients"), probe_facts(host.probe)
    if not wanted(host) or not isinstance(clients, int) or not host.installs:
        return
    raised = int(facts.get("capabilities") or "0", 16) >> SYS_RESOURCE & 1
    most = facts.get("sysctl:fs.nr_open" if raised else "open_files", "")
    if most.isdigit() and 2 * clients + 100 > int(most):
        fix = f"Write {max(10, (int(most) - 100) // 2)} or less, or let a process of the host open more files."
        fault = f"is {clients}, for which PgBouncer needs {2 * clients + 100} open files, and the host allows {most}"
        yield Problem("pgbouncer_max_clients", fault, fix)


@check("pgbouncer")
def pgbouncer_loopback(host: HostView) -> Iterator[Problem]:
    """PgBouncer reaches PostgreSQL on loopback, and may log in from there."""
    if not wanted(host):
        return
    for variable in ("postgresql_bind", "postgresql_clients"):
        items = [str(one) for one in host.items(variable)]
        if items and not any(one.startswith("127.") for one in items):
            fix = f"Add it:\n  {variable}: [127.0.0.1, {', '.join(items)}]"
            yield Problem(variable, "lacks 127.0.0.1, from which PgBouncer connects to PostgreSQL", fix)
