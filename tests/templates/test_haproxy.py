"""HAProxy's configuration on an edge, as HAProxy itself reads it where it is installed."""

from __future__ import annotations

import ast
import contextlib
import http.client
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.certificates.pairs import Authority, Pair

Render = Callable[..., str]
ROOT = Path(__file__).resolve().parents[2]
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
        {"certificate_source": "acme"},
        {"certificate_source": "acme", "haproxy_redirect_http": False},
        {"haproxy_app_tls": True},
        {"__haproxy_left_out": {"left_out": ["app-2"]}},
    ],
    ids=lambda given: " ".join(f"{name}={value}" for name, value in given.items()) or "defaults",
)
def test_haproxy_accepts_it(tmp_path: Path, render: Render, variables: dict[str, Any]) -> None:
    text = rendered(render, **variables)
    pair = Authority(tmp_path / "authority").issue(["www.example.org"])
    (tmp_path / "fullchain.pem").write_text(pair.chain)
    (tmp_path / "fullchain.pem.key").write_text(pair.key)
    text = text.replace("/etc/dash-board/certificate", str(tmp_path))
    text = text.replace("/etc/haproxy/app-authority.pem", str(tmp_path / "authority" / "authority.crt"))
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


def test_host_without_processes_costs_no_handshake(render: Render) -> None:
    """Another one gets the request, unless it may have been done already. No 503: a full site would be asked thrice."""
    text = rendered(render)
    (retry,) = (line for line in section(text, "defaults") if line.startswith("retry-on "))
    assert set(retry.split()[1:]) == {"conn-failure", "empty-response", "502"}
    assert "http-request disable-l7-retry unless METH_GET" in section(text, "backend app")


def test_numbers_follow_from_the_sockets(render: Render) -> None:
    text = rendered(render, haproxy_sockets=40000)
    assert "maxconn 50000" in section(text, "global")
    assert "LimitNOFILE=101024\n" in render("haproxy/limits.conf.j2", **FLEET, haproxy_sockets=40000)
    assert "LimitNOFILE=65536\n" in render("haproxy/limits.conf.j2", **FLEET, haproxy_sockets=5000)


def test_ports_are_the_kernel_s_where_they_are_enough(render: Render, evaluate: Callable[..., str]) -> None:
    """A file says more only if more are needed."""
    host = {"cores": "4", "memory_mb": "2000"}
    few = {"preflight_host": {**host, "limits": {"kernel": {}}}}
    more = {"preflight_host": {**host, "limits": {"kernel": {"net.ipv4.ip_local_port_range": "10240 65535"}}}}
    folder = ROOT / "templates" / "haproxy"
    assert ast.literal_eval(evaluate("_haproxy_kernel_file", folder, **FLEET, **few)) == {
        "path": "/etc/sysctl.d", "directory": True,
    }  # fmt: skip
    written = ast.literal_eval(evaluate("_haproxy_kernel_file", folder, **FLEET, **more))
    assert written["path"] == "/etc/sysctl.d/60-channels-edge.conf"
    assert written["content"].splitlines()[2:] == ["net.ipv4.ip_local_port_range = 10240 65535"]


def test_log_has_nothing_that_holds_a_token(render: Render) -> None:
    """%r and %HU are the request line and its path; %hr and %hs are captured headers."""
    text = rendered(render)
    (form,) = (line for line in section(text, "defaults") if line.startswith("log-format "))
    assert not re.search(r"%(r|HU|HP|HPO|HQ|hr|hs|hrl|hsl|\[)\b", form.replace("%[tr]", "").replace(" [%tr]", ""))
    assert "capture" not in text and "httplog" not in text


@pytest.mark.skipif(not shutil.which("haproxy"), reason="HAProxy is not installed")
def test_request_gets_an_id_whatever_the_client_sent(tmp_path: Path, render: Render) -> None:
    """The app host gets one header, with the ID that HAProxy logs."""
    text = rendered(render)
    lines = [line for name in ("defaults", "frontend site") for line in section(text, name)]
    lines = [line for line in lines if "unique-id" in line or line.startswith("log-format ")]
    assert len(lines) == 3, lines
    port, came = free_port(), []
    with socket.create_server(("127.0.0.1", 0)) as site:
        (tmp_path / "haproxy.cfg").write_text(
            "defaults\n    mode http\n    timeout connect 30s\n    timeout client 30s\n    timeout server 30s\n"
            f"listen site\n    bind 127.0.0.1:{port}\n    log stdout format raw local0\n    " + "\n    ".join(lines)
            + f"\n    server app 127.0.0.1:{site.getsockname()[1]}\n"
        )  # fmt: skip

        def serve() -> None:
            way, _ = site.accept()
            with way:
                while not b"".join(came).endswith(b"\r\n\r\n") and (part := way.recv(1000)):
                    came.append(part)
                way.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with subprocess.Popen(
            ["haproxy", "-db", "-f", tmp_path / "haproxy.cfg"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as edge:
            try:
                assert answered(port, {"X-Request-ID": "claimed"}) == 200
                logged = edge.stdout.readline().decode()
            finally:
                edge.terminate()
        thread.join()
    ids = re.findall(r"(?im)^x-request-id: (.*?)\r$", b"".join(came).decode())
    assert len(ids) == 1 and re.fullmatch(r"[0-9a-f-]{36}", ids[0]), ids
    assert logged.split()[-1] == ids[0]


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


def test_challenges_reach_the_edge_that_ordered(render: Render) -> None:
    """Whichever edge the authority asks: its own certbot or another edge may know the answer, and none asks in turn."""
    acme = {"certificate_source": "acme", "haproxy_acme_port": 8405}
    fleet = {**FLEET["hostvars"], "edge-2": {"private_address": "fd00::32", "haproxy_http_port": 8080}}
    text = rendered(render, **acme, hostvars=fleet)
    plain = section(text, "frontend plain")
    assert "acl challenge path_beg /.well-known/acme-challenge/" in plain
    ways = [line for line in plain if line.startswith("use_backend ")]
    assert ways == [
        "use_backend acme_here if challenge { req.hdr(X-Channels-Acme) -m found }", "use_backend acme if challenge",
    ]  # fmt: skip
    (leads_on,) = (line for line in plain if line.startswith("http-request redirect "))
    assert leads_on.endswith(" unless challenge")
    assert "server certbot 127.0.0.1:8405" in section(text, "backend acme_here")
    lines = section(text, "backend acme")
    assert [line.split()[2] for line in lines if line.startswith("server ")] == ["127.0.0.1:8405", "[fd00::32]:8080"]
    assert "http-request set-header X-Channels-Acme 1" in lines
    (again,) = (line.split() for line in lines if line.startswith("retry-on "))
    assert {"conn-failure", "empty-response", "404", "502", "503"} < set(again), "a certbot that knows nothing hangs up"
    both = section(rendered(render, **acme, haproxy_redirect_http=False), "frontend site")
    assert "use_backend acme if challenge" in both
    for other in ({"certificate_source": "provided"}, {**acme, "certificate_acme_auth_hook": "/bin/put"}):
        assert "acme" not in rendered(render, **other).lower().replace("acme_", "")


def test_app_hosts_are_verified(render: Render) -> None:
    """By the site's name, at their port with TLS; health checks are, too."""
    lines = section(rendered(render, haproxy_app_tls=True), "backend app")
    assert [line.split()[2] for line in lines if line.startswith("server ")] == ["10.0.0.1:443", "[fd00::2]:443"]
    words = " ".join(line for line in lines if line.startswith("default-server ")).split()
    for name, value in (
        ("verify", "required"), ("ca-file", "/etc/haproxy/app-authority.pem"), ("verifyhost", "www.example.org"),
        ("sni", "str(www.example.org)"), ("check-sni", "www.example.org"), ("alpn", "http/1.1"),
    ):  # fmt: skip
        assert words[words.index(name) + 1] == value
    assert {"ssl", "check-send-proxy", "send-proxy-v2"} < set(words)
    assert not {"ssl", "verify"} & set(" ".join(section(rendered(render), "backend app")).split())


class TlsSite:
    """An app host's nginx with TLS, as far as one answer goes."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        (folder / "site.pem").write_text(pair.key + pair.chain)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "site.pem")
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                way, _ = self.socket.accept()
                with contextlib.suppress(OSError), self.context.wrap_socket(way, server_side=True) as tls:
                    tls.recv(1000)
                    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def free_port() -> int:
    """A port that nobody has now, below those that the kernel gives to connections (from 32768 on)."""
    while True:
        port = 20000 + secrets.randbelow(12000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@pytest.mark.skipif(not shutil.which("haproxy"), reason="HAProxy is not installed")
@pytest.mark.parametrize(
    ("issuer", "name", "status"),
    [("ours", "www.example.org", 200), ("ours", "other.example.org", 503), ("others", "www.example.org", 503)],
)
def test_haproxy_refuses_other_certificates(
    tmp_path: Path, render: Render, issuer: str, name: str, status: int
) -> None:
    """Of another authority, or for another site: nothing of a request reaches such a host."""
    authorities = {folder: Authority(tmp_path / folder) for folder in ("ours", "others")}
    site = TlsSite(tmp_path, authorities[issuer].issue([name]))
    lines = section(rendered(render, haproxy_app_tls=True), "backend app")
    (words,) = (line.removeprefix("default-server ") for line in lines if line.startswith("default-server ssl "))
    words = words.replace("/etc/haproxy/app-authority.pem", str(authorities["ours"].path))
    port = free_port()
    (tmp_path / "haproxy.cfg").write_text(
        "defaults\n    mode http\n    timeout connect 30s\n    timeout client 30s\n    timeout server 30s\n"
        f"    retries 0\nlisten site\n    bind 127.0.0.1:{port}\n    server app 127.0.0.1:{site.port} {words}\n"
    )
    with subprocess.Popen(["haproxy", "-db", "-f", tmp_path / "haproxy.cfg"], stderr=subprocess.DEVNULL) as edge:
        try:
            assert answered(port) == status
        finally:
            edge.terminate()
            site.socket.close()


def answered(port: int, headers: dict[str, str] | None = None) -> int:
    """The status of an answer at a port, once something listens there."""
    deadline = time.monotonic() + 60
    while True:
        way = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            way.request("GET", "/", headers=headers or {})
            return way.getresponse().status
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "HAProxy does not listen"
            time.sleep(0.05)
        finally:
            way.close()


def test_host_that_missed_a_deploy_stays_out(render: Render) -> None:
    lines = section(rendered(render, __haproxy_left_out={"left_out": ["app-2", "gone"]}), "backend app")
    assert [line for line in lines if line.startswith("server ")] == [
        "server app-1 10.0.0.1:80 tcp-ut 30s", "server app-2 [fd00::2]:8080 tcp-ut 30s disabled",
    ]  # fmt: skip


def test_edge_that_is_built_anew_leaves_out_what_the_others_do(render: Render) -> None:
    """Of two others, one does not answer."""
    others = {"results": [{"unreachable": True, "msg": "no route"}, {"left_out": ["app-2"], "known": True}]}
    own = {"left_out": [], "known": False}
    lines = section(rendered(render, __haproxy_left_out=own, __haproxy_left_out_elsewhere=others), "backend app")
    assert [line.endswith(" disabled") for line in lines if line.startswith("server ")] == [False, True]
    known = {"__haproxy_left_out": {**own, "known": True}, "__haproxy_left_out_elsewhere": {"skipped": True}}
    skipped = rendered(render, **known)
    assert "30s disabled" not in skipped


def test_edges_sockets_are_in_no_table_of_connections(render: Render) -> None:
    """Neither half of them: the client's, and the one to an app host."""
    rules = render("firewall/project.nft.j2", **FLEET, firewall_enabled=True)
    assert re.search(r"set untracked \{[^}]*elements = \{ 80, 443 \}", rules)
    assert "ip daddr 10.0.0.1 tcp dport 80 notrack" in rules and "ip saddr 10.0.0.1 tcp sport 80 notrack" in rules
    assert "ip6 daddr fd00::2 tcp dport 8080 notrack" in rules
    over_tls = render("firewall/project.nft.j2", **FLEET, firewall_enabled=True, haproxy_app_tls=True)
    assert "ip daddr 10.0.0.1 tcp dport 443 notrack" in over_tls and "dport 80 notrack" not in over_tls
    app = {**FLEET, "group_names": ["app"], "inventory_hostname": "app-1", "certificate_source": "none"}
    assert " notrack" not in render("firewall/project.nft.j2", **app, firewall_enabled=True)
