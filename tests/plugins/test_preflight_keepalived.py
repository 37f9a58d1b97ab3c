"""An address that the edges cannot share is reported before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks import keepalived
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView

CHECKS = (keepalived.keepalived_address, keepalived.keepalived_edges)
FLEET: dict[str, Any] = {
    "group_names": ["proxy"],
    "groups": {"app": ["app1"], "proxy": ["edge1", "edge2"]},
    "hostvars": {
        "app1": {"private_address": "10.0.0.1"},
        "edge1": {"private_address": "10.0.0.31"},
        "edge2": {"private_address": "10.0.0.32"},
    },
    "keepalived_address": "10.0.0.100/24",
    "keepalived_router_id": 7,
}


def told(answer: str = "init=systemd\n", **variables: Any) -> list[str]:
    """What the checks say of an edge."""
    host = HostView("edge1", {PROBE: {"stdout": answer}, **FLEET, **variables}, {}, Templar())
    return [f"{one.variable}: {one.fault} | {one.fix}" for look in CHECKS for one in look(host)]


def test_sound_fleet_has_no_problem() -> None:
    assert told() == []
    assert told("init=init\n", keepalived_address="", groups={"proxy": ["edge1"]}) == []


@pytest.mark.parametrize(
    ("answer", "variables", "fault"),
    [
        ("", {"keepalived_address": "10.0.0.300/24"}, "is no address"),
        ("", {"keepalived_address": "10.0.0.100"}, "without the prefix"),
        ("", {"keepalived_address": "10.0.0.1/24"}, "is the address of app1"),
        ("", {"keepalived_address": "fd00::9/64"}, "private_address of edge1 and edge2 is of the other IP version"),
        ("", {"groups": {"proxy": ["edge1"]}}, "group proxy has 1 hosts"),
        ("init=init\n", {}, "needs systemd"),
        ("", {"keepalived_router_id": 256}, "keepalived_router_id: is 256"),
    ],
)
def test_address_that_cannot_be_shared(answer: str, variables: dict[str, Any], fault: str) -> None:
    found = told(answer, **variables)
    assert len(found) == 1 and fault in found[0], found
