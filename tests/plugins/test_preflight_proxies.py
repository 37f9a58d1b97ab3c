"""Whom nginx is to believe and whose pages it is to let in is looked at before it is told so."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.nginx import origins, proxies
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks import proxies as preflight_proxies
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView

LOOKS = (
    preflight_proxies.nginx_networks,
    preflight_proxies.nginx_proxy_protocol,
    preflight_proxies.nginx_proxied_ports,
    preflight_proxies.nginx_health,
    preflight_proxies.nginx_origins,
    preflight_proxies.nginx_page_headers,
)
SITE = {
    "release_app": "dash", "nginx_server_names": ["www.example.org"], "certificate_source": "acme",
    "nginx_redirect_http": True, "nginx_http_port": 80, "nginx_https_port": 443, "nginx_local_port": 8000,
    "handshake_host": "localhost", "handshake_url": "wss://www.example.org",
    "handshake_origin": "https://www.example.org", "nginx_health_socket": "/ws/", "nginx_health_page": "/health/",
    "groups": {"app": ["app1"]},
}  # fmt: skip
BALANCER = {"nginx_trusted_proxies": ["10.0.0.5"]}


def told(answer: str = "", **variables: Any) -> list[tuple[str, str]]:
    """Which variables the checks name, and what they say and advise."""
    host = HostView("app1", {PROBE: {"stdout": answer}, **SITE, **variables}, {}, Templar())
    return [(one.variable, f"{one.fault} | {one.fix}") for look in LOOKS for one in look(host)]


def test_site_that_is_sound_has_no_problem() -> None:
    assert told() == []
    assert told(**BALANCER, nginx_proxy_protocol=True, nginx_health_path="/.well-known/health",
                nginx_health_allow=["10.0.0.5"], nginx_origins=["https://www.example.org"],
                nginx_page_headers={"X-Frame-Options": "DENY"}) == []  # fmt: skip


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        (
            "10.0.0.256",
            "is no address, no network and no set of them | Write an address, a network, or one of cloudflare",
        ),
        ("cloudfare", "is no address"),
        ("lb.example.org", "is no address"),
        ("10.0.0.5/24", "is an address with the size of a network | Write 10.0.0.0/24"),
        ("fd00::5/64", "Write fd00::/64"),
        ("0.0.0.0/0", "is everybody"),
        ("::/0", "is everybody"),
        ("", "is no address"),
    ],
)
def test_balancers_that_cannot_be(item: str, fault: str) -> None:
    ((variable, said),) = told(nginx_trusted_proxies=[item, "cloudflare", "10.0.0.0/8", "fd00::5"])
    assert variable == "nginx_trusted_proxies" and said.startswith(f'"{item}" ') and fault in said


def test_who_may_ask_for_health_can_be_everybody() -> None:
    assert told(nginx_health_allow=["0.0.0.0/0", "::/0"]) == []
    ((variable, said),) = told(nginx_health_allow=["x"])
    assert variable == "nginx_health_allow" and "is no address" in said


def test_sets_become_networks_once() -> None:
    found = proxies.networks(["fastly", "10.0.0.5", "fd00::0:5", "151.101.0.0/16", "10.0.0.5", "10.0.0.5/32"])
    assert found[-4:] == ["2a04:4e42::/32", "10.0.0.5", "fd00::5", "10.0.0.5/32"]
    assert found.count("151.101.0.0/16") == 1


@pytest.mark.parametrize(
    ("variables", "variable", "fault"),
    [
        ({"nginx_trusted_proxies": []}, "nginx_proxy_protocol", "names nobody who speaks it"),
        ({"groups": {"app": ["app1", "app2"]}}, "nginx_proxy_protocol", "pass the authority's challenges on"),
        ({"handshake_connect_to": "10.0.0.1:443"}, "handshake_connect_to", "bypasses the balancer"),
    ],
)
def test_proxy_protocol_that_somebody_has_to_do_without(variables: dict[str, Any], variable: str, fault: str) -> None:
    ((named, said),) = told(**{**BALANCER, "nginx_proxy_protocol": True, **variables})
    assert named == variable and fault in said
    assert told(**{**BALANCER, "nginx_proxy_protocol": False, **variables}) == []


def test_proxy_protocol_leaves_ways() -> None:
    several = {**BALANCER, "nginx_proxy_protocol": True, "groups": {"app": ["app1", "app2"]}}
    assert told(**several, certificate_acme_auth_hook="hook") == []
    assert told(**several, certificate_source="provided") == []
    assert told(**BALANCER, nginx_proxy_protocol=True, handshake_connect_to="") == []


def test_proof_of_a_site_without_tls_goes_through_the_balancer() -> None:
    plain = {name: value for name, value in SITE.items() if name != "handshake_url"}
    plain |= {"certificate_source": "none", **BALANCER, "nginx_proxy_protocol": True}
    host = HostView("app1", plain, {}, Templar())
    ((variable, fault),) = [(one.variable, one.fault) for one in preflight_proxies.nginx_proxy_protocol(host)]
    assert variable == "handshake_url" and "accepts only the PROXY protocol" in fault


@pytest.mark.parametrize(
    ("listens", "mine", "fault"),
    [
        ("listen 80;listen [::]:80", True, "blog, which is on this host too, does not speak it"),
        ("listen 443 ssl proxy_protocol", False, "blog, which is on this host too, speaks it"),
        ("listen [::]:443 ssl", True, "does not speak it"),
        ("listen 80 proxy_protocol", True, ""),
        ("listen 80", False, ""),
        ("listen 8080", True, ""),
        ("listen 127.0.0.1:8001;server_name x", True, ""),
    ],
)
def test_sites_of_a_port_speak_the_same(listens: str, mine: bool, fault: str) -> None:
    found = told(f"site:blog={listens};server_name blog.example.org\nsite:dash=listen 80\n", **BALANCER,
                 nginx_proxy_protocol=mine)  # fmt: skip
    assert [variable for variable, _ in found] == (["nginx_proxy_protocol"] if fault else [])
    assert not fault or fault in found[0][1]


@pytest.mark.parametrize("path", ["health", "/", "/health/", "/a b", "/a;b", "/{x}", "/a?b", '/a"', "/$x", "/é"])
def test_health_paths_that_cannot_be(path: str) -> None:
    ((variable, said),) = told(nginx_health_path=path, nginx_health_allow=["10.0.0.5"])
    assert variable == "nginx_health_path" and "/.well-known/health" in said


@pytest.mark.parametrize(
    ("variables", "variable"),
    [
        ({"nginx_health_allow": []}, "nginx_health_path"),
        ({"nginx_health_socket": "ws/"}, "nginx_health_socket"),
        ({"nginx_health_socket": ""}, "nginx_health_socket"),
        ({"nginx_health_page": "/health/;"}, "nginx_health_page"),
        ({"nginx_health_page": "/$host"}, "nginx_health_page"),
    ],
)
def test_health_that_nobody_can_ask_for(variables: dict[str, Any], variable: str) -> None:
    given = {"nginx_health_allow": ["10.0.0.5"], **variables}
    assert [name for name, _ in told(nginx_health_path="/up", **given)] == [variable]
    assert told(nginx_health_path="", **given) == []
    assert told(nginx_health_path="/up", nginx_health_allow=["10.0.0.5"], nginx_health_page="",
                nginx_health_socket="/ws/{token}/") == []  # fmt: skip


@pytest.mark.parametrize(
    ("origin", "fault"),
    [
        ("www.example.org", "has no scheme before it"),
        ("https://", "is no origin"),
        ("https://www.example.org/", "is no origin"),
        ("https://www.example.org/path", "is no origin"),
        ("https://user@www.example.org", "is no origin"),
        ("https://fd00::1", "is no origin"),
        ("https://[fd00::x]", "is no origin"),
        ("https://[fd00:::1]", "has [fd00:::1], which is no IPv6 address"),
        ("https://www.example.org:70000", "has the port 70000"),
        ("https://www.example.org:0", "has the port 0"),
        ("https://www.*.org", "has a * elsewhere"),
        ("https://*", "has a * elsewhere"),
        ('https://a";evil', "is no origin"),
        ("https://a$b", "is no origin"),
        ("https://a b", "is no origin"),
    ],
)
def test_origins_that_cannot_be(origin: str, fault: str) -> None:
    ((variable, said),) = told(nginx_origins=["https://www.example.org", origin])
    assert variable == "nginx_origins" and said.startswith(f'"{origin}" {fault}')


def test_all_origins_that_can_be() -> None:
    fine = ["https://www.example.org", "http://localhost:*", "https://*.example.org", "https://[fd00::1]:81", "null",
            "capacitor://localhost", "chrome-extension://abcdef", "*", "HTTPS://A.example.org:443"]  # fmt: skip
    assert [origins.origin_fault(one) for one in fine] == [""] * len(fine)


@pytest.mark.parametrize(
    ("variables", "refused"),
    [
        ({"handshake_origin": "https://localhost"}, True),
        ({"handshake_origin": "http://www.example.org"}, True),
        ({"handshake_origin": "http://www.example.org", "nginx_redirect_http": False}, False),
        ({"handshake_origin": "http://www.example.org", "certificate_source": "none"}, False),
        ({"nginx_origins": ["https://app.example.org"]}, True),
        ({"nginx_origins": ["https://app.example.org"], "handshake_origin": "https://app.example.org"}, False),
        ({"nginx_origins": ["*"], "handshake_origin": "https://localhost"}, False),
        ({"nginx_server_names": ["_"], "handshake_origin": "https://localhost"}, False),
        ({"handshake_origin": ""}, False),
        ({"handshake_origin": "https://www.example.org:8443", "handshake_url": "wss://www.example.org:8443"}, True),
        ({"handshake_origin": "https://www.example.org:8443", "nginx_https_port": 8443}, False),
    ],
)
def test_site_would_refuse_its_own_proof(variables: dict[str, Any], refused: bool) -> None:
    """Through the balancer or the public port, and on the host, where it is asked at another one."""
    found = told(**variables)
    assert [name for name, _ in found] == (["handshake_origin"] if refused else [])
    if refused:
        assert f"nginx_origins: [{({**SITE, **variables})['handshake_origin']}]" in found[0][1]
        assert ("nginx_server_names" in found[0][1]) == ("nginx_origins" not in variables)


@pytest.mark.parametrize("name", [r"~^(www\.)?example\.org$", "www.example.*"])
def test_names_that_anybody_could_have_are_no_origins(name: str) -> None:
    ((variable, said),) = told(nginx_server_names=["www.example.org", name])
    assert variable == "nginx_server_names" and name in said and "nginx_origins" in said
    assert told(nginx_server_names=["www.example.org", name], nginx_origins=["https://www.example.org"]) == []


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        ({"Strict-Transport-Security": "max-age=1"}, "nginx_hsts_seconds"),
        ({"X Frame": "DENY"}, "is not a header"),
        ({"X-A": 'a"b'}, "is not a header"),
        ({"X-A": "$host"}, "is not a header"),
        ({"X-A": "a\nb"}, "is not a header"),
        ({"X-A": "a\\"}, "is not a header"),
        ({"X-A": "1", "x-a": "2"}, "twice"),
    ],
)
def test_page_headers_that_cannot_be(headers: dict[str, str], fault: str) -> None:
    ((variable, said),) = told(nginx_page_headers=headers)
    assert variable == "nginx_page_headers" and fault in said
