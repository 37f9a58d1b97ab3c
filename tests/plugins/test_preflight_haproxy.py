"""Edges and app hosts that do not fit together are reported before anything is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks import certificate, haproxy, proxies
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView

EDGE = (
    haproxy.haproxy_host,
    haproxy.haproxy_addresses,
    haproxy.haproxy_app_tls,
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
LOOKED_UP = {
    "edge.example.org": "10.0.0.31", "shared.example.org": "10.0.0.100", "app.example.org": "10.0.0.1",
    "edge1": "10.0.0.31", "app1": "10.0.0.1", "app2": "10.0.0.2",
}  # fmt: skip
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
        ("", {"haproxy_app_tls": True, "nginx_server_names": ["a.org"]}, "app1 and app2 have no certificate"),
        ("", {"haproxy_app_tls": True, "nginx_server_names": ["9.9.9.9"]}, "has no name for which edges could verify"),
        ("", {"haproxy_sockets": 10000}, "needs 26024 open files, but the host allows 20000"),
        ("", {"haproxy_sockets": 0}, "haproxy_sockets: is 0"),
        ("open_files=unlimited\n", {"haproxy_sockets": 110001}, "55000 connections to each of 2 app hosts"),
        (
            "open_files=unlimited\nsysctl:net.ipv4.ip_local_port_range=32768\t60999\n"
            "fixed:net.ipv4.ip_local_port_range=yes\n",
            {"haproxy_sockets": 28001},
            "needs net.ipv4.ip_local_port_range 10240 65535, which cannot be changed",
        ),
        ("memory_mb=100\n", {}, "more than the host's 100 MB"),
        ("memory_mb=300\n", {"haproxy_app_tls": True}, "75 kB for each are more than the host's 300 MB"),
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


def test_app_hosts_with_certificates_can_be_verified(tmp_path: Path) -> None:
    app = {"certificate_source": "self_signed"}
    fleet = {name: {**known, **app} for name, known in FLEET["hostvars"].items()}
    given = {"haproxy_app_tls": True, "nginx_server_names": ["a.org"], "haproxy_app_ca_path": str(tmp_path / "ca")}
    assert told(**given, hostvars=fleet) == [], "the authority is made by the run"
    fleet["app2"]["certificate_source"] = "provided"
    (found,) = told(**given, hostvars=fleet)
    assert found.startswith("haproxy_app_ca_path: ") and "does not exist" in found
    (tmp_path / "ca").touch()
    assert told(**given, hostvars=fleet) == []


@pytest.mark.parametrize(
    ("name", "groups", "variables", "faults"),
    [
        ("edge1", ["proxy"], {}, []),
        ("edge1", ["proxy"], {"haproxy_http_port": 8080}, ["haproxy_http_port: is 8080"]),
        ("edge1", ["proxy"], {"nginx_http_port": 8080}, []),
        ("app1", ["app"], {}, ["certificate_source: is acme, but the authority reaches edge1"]),
        ("app1", ["app"], {"certificate_acme_auth_hook": "/bin/put"}, []),
    ],
)
def test_edges_alone_order_over_http(
    name: str, groups: list[str], variables: dict[str, Any], faults: list[str]
) -> None:
    checks = (certificate.certificate_acme, certificate.certificate_of_edges, proxies.nginx_proxy_protocol)
    given = {
        "certificate_source": "acme", "certificate_names": ["www.example.org"], "haproxy_http_port": 80,
        "nginx_http_port": 80, "nginx_trusted_proxies": ["10.0.0.31"], "nginx_proxy_protocol": groups == ["app"],
    }  # fmt: skip
    found = told(checks=checks, name=name, **{**given, "group_names": groups, **variables})
    assert len(found) == len(faults) and all(map(str.startswith, found, faults)), found


def test_names_lead_to_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or to the address that edges share; a name that leads to an app host reaches nobody who answers."""
    monkeypatch.setattr(certificate, "looked_up", lambda name: (LOOKED_UP.get(name, name),))
    given = {
        "certificate_source": "acme", "certificate_acme_check_names": True, "keepalived_address": "10.0.0.100/24",
    }  # fmt: skip
    checks = (certificate.certificate_names_lead_here,)
    for name in ("edge.example.org", "shared.example.org"):
        assert told(checks=checks, certificate_names=[name], **given) == []
    (found,) = told(checks=checks, certificate_names=["app.example.org"], **given)
    assert "leads to 10.0.0.1, and the site's hosts have 10.0.0.100 and 10.0.0.31" in found


@pytest.mark.parametrize(
    ("sockets", "running", "wanted", "behind"),
    [
        (28000, "32768\t60999", None, False),
        (28001, "32768\t60999", "10240 65535", True),
        (28001, "10240\t65535", "10240 65535", False),
        (28001, "1024\t65000", "1024 65535", True),
        (28001, "", None, False),
    ],
)
def test_ports_follow_from_the_sockets(sockets: int, running: str, wanted: str | None, behind: bool) -> None:
    """One app host may have to take all of them; a range that is wider stays."""
    answer = ANSWER + f"sysctl:net.ipv4.ip_local_port_range={running}\n"
    view = HostView("edge1", {PROBE: {"stdout": answer}, **FLEET, "haproxy_sockets": sockets}, {}, Templar())
    limits = haproxy.edge_limits_of(view)
    assert limits["kernel"].get("net.ipv4.ip_local_port_range") == wanted
    assert limits["kernel_is_behind"] is behind
