"""Checks of values that must fit together, by topic. Importing this package registers all of them in `CHECKS`."""

from __future__ import annotations

import importlib

from ..view import CHECKS

__all__ = ["CHECKS", "TOPICS"]

# In the order in which a report lists their problems.
TOPICS = (
    "certificate",
    "firewall",
    "handshake",
    "load",
    "drill",
    "hardening",
    "logs",
    "workers",
    "limits",
    "proxies",
    "haproxy",
    "keepalived",
    "pythons",
    "sandbox",
    "ports",
    "stores",
    "store_tls",
    "nginx",
    "names",
    "release",
    "files",
    "asgi",
    "site",
    "remove",
    "hosts",
    "postgresql",
    "pgbouncer",
    "backup",
    "pgbackrest",
    "numbers",
    "groups",
    "redis",
    "sentinel",
    "metrics",
)

for topic in TOPICS:
    importlib.import_module(f".{topic}", __name__)
