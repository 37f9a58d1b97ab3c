"""What the inventory and the roles say about a generation, read once and as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

#: Stands for a generation's digest until that is known. It has no hexadecimal digit, so no digest looks like it.
PLACEHOLDER = "xxxxxx"


@dataclass(frozen=True)
class Settings:
    """Everything that Python decides on. What a template only shows, it reads for itself."""

    app: str
    release: Mapping[str, Any]  # name, version, code, venv
    base: str  # folder of the project on the host
    run: str  # folder of its sockets
    server: str  # daphne or uvicorn
    manager: str  # systemd or supervisor
    application: str
    http: str  # who answers plain HTTP: asgi or wsgi
    prefix: str  # path that the site is below, or nothing
    count: int  # processes that this host has room for, or that the inventory asks for
    asked: int  # processes that the inventory asks for; 0 leaves it to the host
    workers: list[Mapping[str, Any]]
    first: bool  # whether this is the host that runs what may run only once
    environment: Mapping[str, Any]
    shared_paths: list[str]
    stop_seconds: int
    memory_max: str
    sandbox: Mapping[str, Any]  # lines of the inventory, by systemd's names
    backlog: int
    ping_interval: int
    ping_timeout: int
    websocket_timeout: int
    websocket_connect_timeout: int
    websocket_max_size: int  # bytes; 0 is the server's own limit
    unit_template: str
    program_template: str

    @property
    def provisional(self) -> str:
        """The generation's name as it is written before the digest is known."""
        return f"{self.release['name']}-{PLACEHOLDER}"

    @property
    def home(self) -> str:
        """The generation's folder, before the digest is known."""
        return f"{self.base}/generations/{self.provisional}"


def settings_of(value: Callable[[str], Any]) -> Settings:
    """Read the settings; `value` returns a variable by its name, with its templates filled in."""
    module = value("release_settings_module")
    return Settings(
        app=value("release_app"),
        release=value("_asgi_release"),
        base=value("_asgi_base"),
        run=value("_asgi_run"),
        server=value("asgi_server"),
        manager=value("asgi_manager"),
        application=value("asgi_application"),
        http=value("asgi_http"),
        prefix=value("_asgi_prefix"),
        count=int(value("_asgi_count")),
        asked=int(value("asgi_processes")),
        workers=value("asgi_workers"),
        first=value("inventory_hostname") == value("groups")["app"][0],
        environment={
            **({"DJANGO_SETTINGS_MODULE": module} if module else {}),
            **value("release_environment"),
            **value("release_secrets"),
        },
        shared_paths=value("release_shared_paths"),
        stop_seconds=int(value("asgi_stop_seconds")),
        memory_max=value("asgi_memory_max"),
        sandbox=value("asgi_sandbox"),
        backlog=int(value("asgi_backlog")),
        ping_interval=int(value("asgi_ping_interval")),
        ping_timeout=int(value("asgi_ping_timeout")),
        websocket_timeout=int(value("asgi_websocket_timeout")),
        websocket_connect_timeout=int(value("asgi_websocket_connect_timeout")),
        websocket_max_size=int(value("asgi_websocket_max_size")),
        unit_template=value("asgi_unit_template"),
        program_template=value("asgi_program_template"),
    )
