"""The least and the most that numbers may be. Controller only."""

from __future__ import annotations

import contextlib
import functools
import typing as t
from collections.abc import Iterator

from ..view import HostView, Problem, check

# The least and the most that a number may be, by its variable, whose name begins with its role's.
LIMITS = {
    "release_keep": (0, 1000),
    "release_free_mb": (0, 2**24),
    "release_drain_seconds": (0, 2**31),
    "release_drain_spread_seconds": (0, 86400),
    "release_drain_generations": (0, 1000),
    "asgi_processes": (0, 1000),
    "asgi_ping_interval": (1, 2**31),
    "asgi_ping_timeout": (1, 2**31),
    "asgi_websocket_max_size": (0, 2**31),
    "asgi_open_files": (64, 2**30),
    "asgi_backlog": (1, 2**31 - 1),
    "asgi_start_seconds": (1, 86400),
    "asgi_wait_seconds": (0, 86400),
    "asgi_watch_seconds": (0, 3600),
    "asgi_stop_seconds": (1, 86400),
    "nginx_http_port": (1, 65535),
    "nginx_local_port": (1, 65535),
    "nginx_websocket_timeout": (1, 2**31 - 1),
    "nginx_http_timeout": (1, 2**31 - 1),
    "nginx_header_timeout": (1, 3600),
    "nginx_body_timeout": (1, 3600),
    "nginx_send_timeout": (1, 3600),
    "nginx_sockets": (1, 65535),
    "nginx_worker_connections": (0, 2**30),
    "nginx_address_sockets": (0, 65535),
    "nginx_address_handshakes": (0, 10**6),
    "nginx_address_handshakes_burst": (0, 10**6),
    "nginx_address_requests": (0, 10**6),
    "nginx_address_requests_burst": (0, 10**6),
    "nginx_limit_retry_seconds": (0, 2**31 - 1),
    "nginx_static_seconds": (0, 2**31 - 1),
    "nginx_maintenance_retry_seconds": (0, 2**31 - 1),
    "handshake_local_port": (1, 65535),
    "handshake_idle_seconds": (0, 86400),
    "handshake_timeout": (0.1, 3600),
    "load_sockets": (1, 60000),
    "load_most": (1, 60000),
    "load_at_once": (1, 500),
    "load_hold_seconds": (0, 3600),
    "load_plan_sockets": (0, 10**8),
    "load_timeout": (0.1, 3600),
    "redis_port": (1, 65535),
    "redis_plain_port": (0, 65535),
    "sentinel_port": (1, 65535),
    "sentinel_down_after_seconds": (2, 3600),
    "redis_maxclients": (1, 2**31 - 1),
    "base_apt_cache_seconds": (0, 2**31 - 1),
    "postgresql_port": (1, 65535),
    "postgresql_memory_mb": (64, 2**24),
    "postgresql_standby_log_mb": (64, 2**30),
    "postgresql_max_connections": (10, 10000),
    "pgbouncer_port": (1, 65535),
    "pgbouncer_pool_size": (1, 10000),
    "pgbouncer_max_clients": (10, 2**20),
    "backup_keep_last": (0, 10000),
    "backup_keep_daily": (0, 10000),
    "backup_keep_weekly": (0, 10000),
    "backup_keep_monthly": (0, 10000),
    "backup_check_days": (0, 3650),
    "backup_check_percent": (0, 100),
    "backup_drill_days": (0, 3650),
}


def numbers(host: HostView, role: str = "") -> Iterator[Problem]:
    """Numbers of one role, or of all, are in the range that their reader can handle."""
    for variable, (least, most) in LIMITS.items():
        value = host.get(variable) if variable.startswith(role) else None
        with contextlib.suppress(TypeError, ValueError):  # reported as not valid
            if not least <= float(t.cast("float", value)) <= most:
                yield Problem(variable, f"is {value}", f"Write a number from {least} to {most}.")


for _role in sorted({name.partition("_")[0] for name in LIMITS}):
    check(_role)(functools.partial(numbers, role=f"{_role}_"))
