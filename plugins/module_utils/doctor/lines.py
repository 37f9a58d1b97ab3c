"""The lines of nginx that pass a handshake on, and which of them a location lacks."""

from __future__ import annotations

from typing import Any

VERSION = "proxy_http_version 1.1;"
UPGRADE = "proxy_set_header Upgrade $http_upgrade;"
MAP = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }"
ALL = f"{VERSION} {UPGRADE} proxy_set_header Connection $connection_upgrade; and, once in the http block: {MAP}"


def lacking(route: dict[str, Any]) -> list[str]:
    """What nginx's request lacks of a handshake: `version`, `upgrade`, `connection`, in this order.

    By the values that it would send, if they are known; a value that cannot be known is taken to be right.
    """
    if "sends" in route:
        sent: dict[str, str] = {}
        for name, value in route["sends"]:
            sent[name.lower()] = f"{sent[name.lower()]}, {value}" if name.lower() in sent else value
    else:
        sent = {name: "websocket, upgrade" if "$" in value else value for name, value in route["headers"].items()}
    doubtful = {name for name in ("upgrade", "connection") if _is_doubtful(route, name)}
    found = ["version"] if route["http_version"] == "1.0" else []
    found += ["upgrade"] if "websocket" not in sent.get("upgrade", "").lower() and "upgrade" not in doubtful else []
    connection = [each.strip() for each in sent.get("connection", "").lower().split(",")]
    return found + (["connection"] if "upgrade" not in connection and "connection" not in doubtful else [])


def _is_doubtful(route: dict[str, Any], name: str) -> bool:
    """Whether a header's value depends on a variable that is not known here."""
    value = route["headers"].get(name, "")
    return any(f"${each}" in value or f"${{{each}}}" in value for each in route.get("unknown", []))


def missing(route: dict[str, Any], lacks: list[str]) -> str:
    """The lines that are not there yet, with the variable of a map that is there already."""
    name = route.get("map") or "$connection_upgrade"
    lines = {"version": VERSION, "upgrade": UPGRADE, "connection": f"proxy_set_header Connection {name};"}
    text = " ".join(lines[each] for each in ("version", "upgrade", "connection") if each in lacks)
    return text if route.get("map") or "connection" not in lacks else f"{text} and, once in the http block: {MAP}"
