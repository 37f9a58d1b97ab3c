"""How each server is started: its options, its socket, and the environment that only it gets."""

from __future__ import annotations

import shlex

from .settings import Settings

#: The number and length of headers that daphne takes. uvicorn never answers a handshake with a line over its own 8 kB.
HEADERS = {"WEBSOCKETS_MAX_LINE_LENGTH": "16384", "WEBSOCKETS_MAX_NUM_HEADERS": "500"}
DEFAULT_MESSAGE = 2**20  # bytes, for uvicorn: one message of each client may be in memory


def options_of(settings: Settings) -> str:
    """Return the server's options, quoted for sh, without those of its socket."""
    words = {"daphne": _daphne, "uvicorn": _uvicorn}[settings.server](settings)
    return shlex.join(str(word) for word in words)


def endpoint_of(settings: Settings) -> str:
    """Return the socket's options, quoted for sh; `$socket` is its path."""
    return {
        "daphne": f'--endpoint "unix:$socket:mode=660:backlog={settings.backlog}"',
        "uvicorn": f'--uds "$socket" --backlog {settings.backlog}',
    }[settings.server]


def environment_of(settings: Settings) -> list[str]:
    """Return what the server's environment has in addition to the project's, as NAME=VALUE."""
    found = {"PYTHONPATH": f"{settings.home}/mount"} if settings.prefix else {}
    found |= HEADERS if settings.server == "uvicorn" else {}
    return [f"{name}={value}" for name, value in found.items()]


def _daphne(settings: Settings) -> list[str | int]:
    """Return daphne's options."""
    size = settings.websocket_max_size
    limits: list[str | int] = ["--websocket-max-message-size", size, "--websocket-max-frame-size", size] if size else []
    return [
        "--access-log", "/dev/null", "--proxy-headers",
        "--ping-interval", settings.ping_interval, "--ping-timeout", settings.ping_timeout,
        "--websocket_timeout", settings.websocket_timeout,
        "--websocket_connect_timeout", settings.websocket_connect_timeout, *limits,
    ]  # fmt: skip


def _uvicorn(settings: Settings) -> list[str | int]:
    """Return uvicorn's options.

    At "info" it logs each handshake's query, with its token, whatever --no-access-log says. Nobody but nginx reaches
    its socket, so every sender of proxy headers is nginx. Compression would double the memory of each idle socket.
    """
    return [
        "--log-level", "warning", "--no-access-log", "--no-server-header",
        "--proxy-headers", "--forwarded-allow-ips", "*", "--ws-per-message-deflate", "false",
        "--ws-ping-interval", settings.ping_interval, "--ws-ping-timeout", settings.ping_timeout,
        "--timeout-graceful-shutdown", max(1, settings.stop_seconds - 2),
        "--ws-max-size", settings.websocket_max_size or DEFAULT_MESSAGE,
    ]  # fmt: skip
