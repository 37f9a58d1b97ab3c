"""Edges and app hosts that do not fit together are reported before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks import haproxy
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView

EDGE = (
    haproxy.haproxy_host,
    haproxy.haproxy_addresses,
    haproxy.haproxy_certificate,
    haproxy.haproxy_sockets_fit,
)
FLEET: dict[str, Any] = {
    "release_app": "dash",
    "group_names": ["proxy"],
    "groups": {"app": ["app1", "app2"], "proxy": ["edge1"]},
    "hostvars": {
        "app1": {"private_address": "10.0.0.1"},
        "app2": {"private_address": "10.0.0.2"},
        "edge1": {"private_address": "10.0.0.31"},
    },
    "certificate_source": "provided",
    "haproxy_sockets": 5000,
}
ANSWER = "init=systemd\nopen_files=20000\ncapabilities=0\nmemory_mb=2000\n"


def told(answer: str = "", checks: Any = EDGE, name: str = "edge1", **variables: Any) -> list[str]:
    """What the checks say of a host."""
    host = HostView(name, {PROBE: {"stdout": ANSWER + answer}, **FLEET, **variables}, {}, Templar())
    return [f"{one.variable}: {one.fault} | {one.fix}" for look in checks for one in look(host)]


def test_sound_fleet_has_no_problem() -> None:
    assert told() == []
    assert told("haproxy_project=dash\nhaproxy_conf=1\n") == []
    assert told("haproxy_conf=1\nhaproxy_packaged=1 \n") == []


@pytest.mark.parametrize(
    ("answer", "variables", "fault"),
    [
        ("", {"group_names": ["app", "proxy"]}, "is in groups app and proxy"),
        ("init=init\n", {}, "edges need systemd"),
        ("", {"release_app": ""}, "release_app: is not set for edges"),
        ("haproxy_project=other\nhaproxy_conf=1\n", {}, "is the edge of other"),
        ("haproxy_conf=1\nhaproxy_packaged=2\n", {}, "would be replaced"),
        ("", {"hostvars": {"app1": {"private_address": "10.0.0.1"}}}, "is not set for edge1 and app2"),
        ("", {"certificate_source": "acme"}, "certificate_source: is acme"),
        ("", {"haproxy_sockets": 10000}, "needs 26024 open files, but the host allows 20000"),
        ("", {"haproxy_sockets": 0}, "haproxy_sockets: is 0"),
        ("open_files=unlimited\n", {"haproxy_sockets": 56001}, "28000 connections to each of 2 app hosts"),
        ("memory_mb=100\n", {}, "more than the host's 100 MB"),
    ],
)
def test_fleet_that_cannot_be(answer: str, variables: dict[str, Any], fault: str) -> None:
    found = told(answer, **variables)
    assert any(fault in one for one in found), found


@pytest.mark.parametrize("allowed", [4096, 20000, 65536, 100001])
def test_number_that_is_advised_fits(allowed: int) -> None:
    """Whatever the host allows, HAProxy starts with the number that preflight says."""
    answer = f"open_files={allowed}\nmemory_mb=64000\n"
    (found,) = told(answer, haproxy_sockets=50000)
    assert told(answer, haproxy_sockets=int(found.rpartition("haproxy_sockets: ")[2])) == []


def test_host_for_which_no_number_fits() -> None:
    assert "not even a hundred sockets fit" in told("open_files=1500\n")[0]


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({"nginx_health_path": ""}, "nginx_health_path: is empty"),
        ({"nginx_proxy_protocol": False}, "nginx_proxy_protocol: is false"),
        ({"nginx_trusted_proxies": ["10.0.0.5"]}, "nginx_trusted_proxies: lacks the address of edge1"),
        ({"nginx_health_allow": ["10.0.0.5"]}, "nginx_health_allow: lacks the address of edge1"),
    ],
)
def test_app_host_that_edges_cannot_use(variables: dict[str, Any], fault: str) -> None:
    sound = {"nginx_health_path": "/h", "nginx_proxy_protocol": True, "nginx_trusted_proxies": ["10.0.0.0/24"]}
    checks = (haproxy.nginx_serves_edges,)
    sound |= {"nginx_health_allow": ["10.0.0.31"]}
    assert told(checks=checks, name="app1", **sound) == []
    found = told(checks=checks, name="app1", **{**sound, **variables})
    assert len(found) == 1 and fault in found[0], found
    assert told(checks=checks, name="app1", **{**sound, **variables}, groups={"app": ["app1"]}) == []
