"""Where and how a site is proven is told to be wrong before anything changes, and not by a handshake that fails."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.handshake import (
    handshake_addresses,
    handshake_paths,
    handshake_token,
)
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import HostView


def told(**variables: Any) -> list[tuple[str, str]]:
    """Which variables the checks name, and what they say."""
    host = HostView("app1", variables, {}, Templar())
    return [
        (one.variable, one.fault)
        for look in (handshake_addresses, handshake_paths, handshake_token)
        for one in look(host)
    ]


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("handshake_url", "http://www.example.org", "begins with http://"),
        ("handshake_url", "www.example.org", "has no scheme"),
        ("handshake_url", "ws://[::1", "has no valid host name"),
        ("handshake_url", "ws://[::x]", "is no IPv6 address"),
        ("handshake_url", "ws://2001:db8::1", "IPv6 address without brackets"),
        ("handshake_url", "wss://www.example.org/", "ends with a slash"),
        ("handshake_url", "wss://www.example.org/ws/", "has a path"),
        ("handshake_url", "wss://www.example.org:70000", "has the port 70000"),
        ("handshake_url", "wss://www.example.org:", "has no valid host name"),
        ("handshake_url", "wss://user@www.example.org", "has no valid host name"),
        ("handshake_url", "wss://www.example.org\r\n", "a line's end"),
        ("handshake_url", "", "has no scheme"),
        ("handshake_host", "http://www.example.org", "has no valid host name"),
        ("handshake_host", "www.example.org/x", "has no valid host name"),
        ("handshake_host", "www.example.org\r\nX: y", "has no valid host name"),
        ("handshake_host", "", "has no valid host name"),
        ("handshake_origin", "www.example.org", "has no scheme"),
        ("handshake_origin", "https://www.example.org/", "ends with a slash"),
        ("handshake_origin", "", "has no scheme"),
        ("handshake_foreign_origin", "https://foreign.invalid\r\nX: y", "a line's end"),
        ("handshake_foreign_origin", "foreign", "has no scheme"),
        ("handshake_path", "ws/", "does not begin with a slash"),
        ("handshake_path", "/ws/ HTTP/1.1\r\nX: y", "a space or a line's end"),
        ("handshake_path", "/ws/#x", "has a #"),
        ("handshake_path", "", "does not begin with a slash"),
        ("handshake_health_path", "health", "does not begin with a slash"),
        ("handshake_health_path", "/a b", "a space"),
        ("handshake_token", "abc\n", "a line's end"),
    ],
)
def test_what_cannot_be_sent_is_told(variable: str, value: str, fault: str) -> None:
    """By the variable that has it, once."""
    ((name, said),) = told(**{variable: value})
    assert name == variable and fault in said
    assert "\n" not in said and "\r" not in said


@pytest.mark.parametrize(
    "given",
    [
        {"handshake_url": "ws://localhost:8080", "handshake_origin": "http://localhost"},
        {"handshake_url": "wss://[::1]:8443", "handshake_host": "[::1]:8443", "handshake_origin": "https://[::1]"},
        {"handshake_url": "wss://münchen.example", "handshake_host": "a_b.example:80", "handshake_foreign_origin": ""},
        {"handshake_origin": "null", "handshake_foreign_origin": "chrome-extension://abcdef"},
        {"handshake_path": "/ws/?a=1&token={token}", "handshake_token": "a.b.c", "handshake_health_path": "/h?x=1"},
        {"handshake_path": "/ws/ü"},
    ],
)
def test_what_can_be_sent_is_let_through(given: dict[str, str]) -> None:
    """Names, addresses, ports, and what is left out on purpose."""
    assert told(**given) == []


def test_token_of_ones_own_is_not_told() -> None:
    """It may stand in the path."""
    assert "hunter2" not in str(told(handshake_path="ws/?token=hunter2"))
