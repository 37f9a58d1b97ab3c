"""HAProxy's configuration on an edge, as HAProxy itself reads it where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.certificates.pairs import Authority

Render = Callable[..., str]
FLEET: dict[str, Any] = {
    "groups": {"app": ["app-1", "app-2"], "proxy": ["edge-1", "edge-2"], "redis": ["app-1"]},
    "group_names": ["proxy"],
    "inventory_hostname": "edge-1",
    "hostvars": {
        "app-1": {"private_address": "10.0.0.1"},
        "app-2": {"private_address": "fd00::2", "nginx_http_port": 8080},
        "edge-1": {"private_address": "10.0.0.31", "certificate_source": "provided"},
        "edge-2": {"private_address": "10.0.0.32", "certificate_source": "provided"},
    },
    "certificate_source": "provided",
    "nginx_server_names": ["_", "www.example.org"],
}


def rendered(render: Render, **variables: Any) -> str:
    """The configuration of an edge with TLS, with some variables set."""
    return render("haproxy/haproxy.cfg.j2", **{**FLEET, **variables})


def section(text: str, name: str) -> list[str]:
    """The lines of a section."""
    found = re.search(rf"^{re.escape(name)}\n((?:    .*\n|\n)*)", text, re.MULTILINE)
    assert found, f"no section {name}"
    return [line.strip() for line in found[1].splitlines() if line.strip() and not line.strip().startswith("#")]


@pytest.mark.skipif(not shutil.which("haproxy"), reason="HAProxy is not installed")
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"certificate_source": "none"},
        {"haproxy_redirect_http": False},
        {"nginx_tls_profile": "modern"},
        {"haproxy_address_sockets": 0},
        {"haproxy_address_handshakes": 0},
        {"haproxy_address_sockets": 0, "haproxy_address_handshakes": 0},
        {"haproxy_hsts_seconds": 300, "haproxy_https_port": 8443, "haproxy_http_port": 8080},
        {"haproxy_sockets": 500, "haproxy_check_seconds": 5, "haproxy_slow_start_seconds": 60},
    ],
    ids=lambda given: " ".join(f"{name}={value}" for name, value in given.items()) or "defaults",
)
def test_haproxy_accepts_it(tmp_path: Path, render: Render, variables: dict[str, Any]) -> None:
    text = rendered(render, **variables)
    pair = Authority(tmp_path / "authority").issue(["www.example.org"])
    (tmp_path / "fullchain.pem").write_text(pair.chain)
    (tmp_path / "fullchain.pem.key").write_text(pair.key)
    text = text.replace("/etc/dash-board/certificate", str(tmp_path))
    (tmp_path / "haproxy.cfg").write_text(text)
    done = subprocess.run(
        ["haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "WARNING" not in done.stdout + done.stderr, done.stdout + done.stderr


def test_each_app_host_is_a_server(render: Render) -> None:
    """At its private address and its own port, asked in nginx's way and told who the client is."""
    lines = section(rendered(render), "backend app")
    assert [line for line in lines if line.startswith("server ")] == [
        "server app-1 10.0.0.1:80 tcp-ut 30s", "server app-2 [fd00::2]:8080 tcp-ut 30s",
    ]  # fmt: skip
    assert "balance leastconn" in lines and "http-check disable-on-404" in lines
    assert "http-check send meth GET uri /.well-known/health ver HTTP/1.1 hdr Host www.example.org" in lines
    (default,) = (line for line in lines if line.startswith("default-server "))
    assert {"check", "check-send-proxy", "send-proxy-v2"} < set(default.split())
    # A check fails everywhere while Redis restarts, and sockets survive that.
    assert "on-marked-down" not in default


def test_numbers_follow_from_the_sockets(render: Render) -> None:
    text = rendered(render, haproxy_sockets=40000)
    assert "maxconn 50000" in section(text, "global")
    assert "LimitNOFILE=101024\n" in render("haproxy/limits.conf.j2", **FLEET, haproxy_sockets=40000)
    assert "LimitNOFILE=65536\n" in render("haproxy/limits.conf.j2", **FLEET, haproxy_sockets=5000)


def test_log_has_nothing_that_holds_a_token(render: Render) -> None:
    """%r and %HU are the request line and its path; %hr and %hs are captured headers."""
    text = rendered(render)
    (form,) = (line for line in section(text, "defaults") if line.startswith("log-format "))
    assert not re.search(r"%(r|HU|HP|HPO|HQ|hr|hs|hrl|hsl|\[)\b", form.replace("%[tr]", "").replace(" [%tr]", ""))
    assert "capture" not in text and "httplog" not in text


def test_ciphers_are_those_of_nginx(render: Render) -> None:
    """One source has both."""
    nginx = re.search(r"ssl_ciphers (.*);", render("nginx/tls.conf.j2"))
    haproxy = re.search(r"ssl-default-bind-ciphers (.*)", rendered(render))
    assert nginx and haproxy and nginx[1] == haproxy[1]
    modern = rendered(render, nginx_tls_profile="modern")
    assert "bind-ciphers" not in modern and "ssl-min-ver TLSv1.3" in modern


def test_limits_that_are_off_count_nothing(render: Render) -> None:
    text = rendered(render, nginx_address_sockets=0, nginx_address_handshakes=0)
    assert "stick-table" not in text and "429" not in text
    text = rendered(render, nginx_address_handshakes=0)
    assert "sc0_conn_cur gt 4000" in text and "sc0_gpc0_rate" not in text


def test_burst_and_rate_share_a_window(render: Render) -> None:
    """4,000 at once and 100 a second: 4,100 in 40 seconds."""
    text = rendered(render)
    assert "gpc0_rate(40s)" in text and "sc0_gpc0_rate ge 4100" in text
    assert "gpc0_rate(1s)" in rendered(render, haproxy_address_handshakes=10, haproxy_address_handshakes_burst=0)


def test_plain_port_leads_to_tls(render: Render) -> None:
    lines = section(rendered(render, haproxy_https_port=8443), "frontend plain")
    assert any("code 308 location https://%[req.hdr(Host),host_only]:8443%[pathq]" in line for line in lines)
    assert any("status 403" in line and "Upgrade" in line for line in lines)
    text = rendered(render, certificate_source="none")
    assert "frontend plain" not in text and " ssl " not in text


def test_app_hosts_nginx_serves_edges(render: Render) -> None:
    """It trusts them alone, takes only the PROXY protocol, and answers a drained host's checks with 404."""
    app = {**FLEET, "group_names": ["app"], "inventory_hostname": "app-1", "certificate_source": "none"}
    site = render("nginx/site.conf.j2", **app)
    assert re.findall(r"set_real_ip_from (.*);", site) == ["10.0.0.31", "10.0.0.32"]
    assert "listen 80 proxy_protocol" in site and "if (-f /srv/dash-board/drained)" in site
    assert "location = /.well-known/health" in site
    rules = render("firewall/project.nft.j2", **app, firewall_enabled=True)
    assert "ip saddr 10.0.0.31 tcp dport 80 accept" in rules
    assert not re.search(r"^\s*tcp dport 80 accept", rules, re.MULTILINE)
    edge = render("firewall/project.nft.j2", **FLEET, firewall_enabled=True)
    assert re.search(r"^\s*tcp dport 443 accept", edge, re.MULTILINE)
