"""Whom nginx believes, whose pages it lets in, what it tells a balancer, and what it adds to every answer."""

from __future__ import annotations

import ast
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.channels.stack.plugins.module_utils.nginx.origins import allowed
from nginx_parsed import found, location, parsed_nginx, settings
from test_nginx import TLS, header_sent, sites

Render = Callable[..., str]
TRUSTED = {"nginx_trusted_proxies": ["10.0.0.5", "fd00::/64", "fastly", "10.0.0.5"]}
HEALTH = {"nginx_health_path": "/.well-known/health", "handshake_health_path": "/health/"}


def maps_of(parsed: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return each map and geo by its variable, without the project's part of the name."""
    entries = [*found(parsed, "map"), *found(parsed, "geo")]
    return {entry["args"][-1].removeprefix("$dash_board_"): entry for entry in entries}


def listed(root: Path, name: str) -> list[str]:
    """Return the networks of a set."""
    return yaml.safe_load((root / "roles/nginx/files/proxies.yml").read_text())[name]["networks"]


# --- balancers


def test_nobody_is_believed_by_default(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render)
    (own,) = sites(parsed)
    told = settings(own)
    assert not [name for name in told if name.startswith(("set_real_ip", "real_ip"))]
    assert {"X-Forwarded-Proto $scheme", "X-Forwarded-Port $server_port", "X-Forwarded-For $remote_addr"} < set(
        told["proxy_set_header"]
    )
    assert not {"trusted", "scheme", "port"} & set(maps_of(parsed))


def test_balancers_are_believed_and_nobody_else(tmp_path: Path, render: Render, root: Path) -> None:
    """By the address of the connection, which no header changes; each network once."""
    parsed = parsed_nginx(tmp_path, render, **TRUSTED)
    (own,) = sites(parsed)
    told, networks = settings(own), ["10.0.0.5", "fd00::/64", *listed(root, "fastly")]
    assert told["set_real_ip_from"] == networks
    assert (told["real_ip_header"], told["real_ip_recursive"]) == (["X-Forwarded-For"], ["on"])
    trusted = maps_of(parsed)["trusted"]
    assert trusted["args"] == ["$realip_remote_addr", "$dash_board_trusted"]
    assert settings(trusted["block"]) == {"default": ["0"], **{network: ["1"] for network in networks}}
    assert {"X-Forwarded-Proto $dash_board_scheme", "X-Forwarded-Port $dash_board_port"} < set(told["proxy_set_header"])


@pytest.mark.parametrize(
    ("trusted", "said", "scheme"),
    [
        ("0", "https", "$scheme"),  # a liar
        ("0", "http", "$scheme"),
        ("1", "", "$scheme"),
        ("1", "https", "https"),
        ("1", "HTTPS", "https"),
        ("1", "wss", "https"),
        ("1", "http", "http"),
        ("1", "ws", "http"),
        ("1", "https, http", "http"),  # what the nearest has seen counts
        ("1", "http,https", "https"),
        ("1", "httpsx", "$scheme"),
        ("1", "ftp", "$scheme"),
    ],
)
def test_scheme_is_what_a_balancer_says(tmp_path: Path, render: Render, trusted: str, said: str, scheme: str) -> None:
    entry = maps_of(parsed_nginx(tmp_path, render, **TRUSTED))["scheme"]
    assert entry["args"][0] == "$dash_board_trusted $http_x_forwarded_proto"
    assert mapped_any_case(entry["block"], f"{trusted} {said}") == scheme


def mapped_any_case(block: list[dict[str, Any]], value: str) -> str:
    """Return what a map makes of a value where its expressions may ignore case; `$name` for a group."""
    for pattern, results in settings(block).items():
        flags = re.IGNORECASE if pattern.startswith("~*") else 0
        named = re.sub(r"\(\?<(?=[a-z])", "(?P<", pattern.lstrip("~*"))
        if pattern.startswith("~") and (match := re.search(named, value, flags)):
            return match.groupdict().get(results[0].removeprefix("$"), results[0])
    return settings(block).get(value, settings(block)["default"])[0]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("1 7d4c1ad1-0e61-4a8a-8a23-0a39a1a3b1c5", "given_id"),
        ("1 1bbadc8b3de53531c2029cd5b1d23d7a", "given_id"),
        ("0 1bbadc8b3de53531c2029cd5b1d23d7a", ""),  # a client's own
        ("1 ", ""),
        ("1 short", ""),
        ("1 eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOjF9.c2ln", ""),
        (f"1 {'a' * 65}", ""),
    ],
)
def test_request_keeps_the_id_that_a_balancer_gave_it(tmp_path: Path, render: Render, key: str, name: str) -> None:
    """In the log and on the way to the process. Anybody's else is replaced, and so is what may be a token."""
    parsed = parsed_nginx(tmp_path, render, **TRUSTED)
    maps = maps_of(parsed)
    assert settings(maps["identified"]["block"]) == settings(maps["trusted"]["block"])
    entry = maps["request_id"]
    assert entry["args"][0] == "$dash_board_identified $http_x_request_id"
    expected = key[2:] if name else "$request_id"
    assert mapped_any_case(entry["block"], key) == expected
    (own,) = sites(parsed)
    assert "X-Request-ID $dash_board_request_id" in settings(own)["proxy_set_header"]
    (form,) = (one for one in found(parsed, "log_format") if one["args"][0] == "dash-board_redacted")
    assert '"id":"$dash_board_request_id"' in "".join(form["args"])


@pytest.mark.parametrize(
    ("variables", "believed"),
    [
        ({**TRUSTED, "nginx_proxy_protocol": True}, False),  # such a balancer passes on what the client wrote
        ({**TRUSTED, "nginx_proxy_protocol": True, "groups": {"app": ["app-1"], "proxy": ["edge-1"]}}, True),
        ({}, False),
    ],
)
def test_ids_of_those_who_only_pass_bytes_on_are_not_kept(
    tmp_path: Path, render: Render, variables: dict[str, Any], believed: bool
) -> None:
    given = {"hostvars": {"app-1": {}, "edge-1": {"private_address": "10.0.0.31"}}} if "groups" in variables else {}
    (own,) = sites(parsed_nginx(tmp_path, render, **variables, **given))
    sent = "$dash_board_request_id" if believed else "$request_id"
    assert f"X-Request-ID {sent}" in settings(own)["proxy_set_header"]


@pytest.mark.parametrize(
    ("key", "port"),
    [
        ("0 http a.example.org:81", "$server_port"),
        ("1 https a.example.org:8443", "8443"),
        ("1 https a.example.org", "443"),
        ("1 http a.example.org", "80"),
        ("1 https [fd00::1]", "443"),
        ("1 https [fd00::1]:444", "444"),
    ],
)
def test_port_is_where_the_client_went(tmp_path: Path, render: Render, key: str, port: str) -> None:
    entry = maps_of(parsed_nginx(tmp_path, render, **TRUSTED))["port"]
    assert entry["args"][0] == "$dash_board_trusted $dash_board_scheme $http_host"
    assert mapped_any_case(entry["block"], key) == port


def test_proxy_protocol_is_spoken_to_the_public_ports(tmp_path: Path, render: Render) -> None:
    """By all servers of a port; a header would be the word of a client whom the balancer has not read."""
    parsed = parsed_nginx(tmp_path, render, **TLS, **TRUSTED, nginx_proxy_protocol=True)
    refused, own = sites(parsed)
    told = settings(own)
    assert told["listen"] == [
        "443 ssl http2 proxy_protocol", "[::]:443 ssl http2 proxy_protocol", "80 proxy_protocol",
        "[::]:80 proxy_protocol", "127.0.0.1:8000",
    ]  # fmt: skip
    assert settings(refused)["listen"] == [
        "443 ssl proxy_protocol default_server", "[::]:443 ssl proxy_protocol default_server",
    ]  # fmt: skip
    assert told["real_ip_header"] == ["proxy_protocol"]
    maps = maps_of(parsed)
    for name in ("scheme", "port"):
        assert maps[name]["args"][0] == "$dash_board_trusted $proxy_protocol_server_port"
    said = {"1 443": ("https", "443"), "1 80": ("$scheme", "80"), "0 443": ("$scheme", "$server_port")}
    for key, (scheme, port) in {**said, "1 ": ("$scheme", "$server_port")}.items():
        assert mapped_any_case(maps["scheme"]["block"], key) == scheme, key
        assert mapped_any_case(maps["port"]["block"], key) == port, key
    other = sites(parsed_nginx(tmp_path, render, **TLS, **TRUSTED, nginx_proxy_protocol=True, nginx_https_port=8443))[0]
    assert settings(other)["listen"] == ["443 ssl default_server", "[::]:443 ssl default_server"], "not the site's port"


@pytest.mark.parametrize("options", [TRUSTED, {**HEALTH, "nginx_health_allow": ["10.0.0.5"]}])
def test_balancer_with_tls_is_not_led_in_circles(tmp_path: Path, render: Render, options: dict[str, Any]) -> None:
    """It asks for pages at port 80 that were asked for with TLS; who came without is led on as ever."""
    parsed = parsed_nginx(tmp_path, render, **{**TLS, "certificate_source": "acme"}, **options)
    _, own = sites(parsed)
    told = settings(own)
    assert told["listen"][2:] == ["80", "[::]:80", "127.0.0.1:8000"]
    assert "464 =403 @dash-board_plain" in told["error_page"]
    conditions = {entry["args"][0]: settings(entry["block"]) for entry in found(own, "if")}
    assert conditions["$dash_board_plain"] == {"return": ["308 https://$host$request_uri"]}
    assert conditions["$dash_board_plain_socket"] == {"return": ["464"]}
    assert "wss://" in settings(location(own, "@dash-board_plain"))["return"][0]
    maps, scheme = maps_of(parsed), "dash_board_scheme" if options == TRUSTED else "scheme"
    assert maps["plain"]["args"][0] == f"$server_port ${scheme} $uri"
    keys = {"80 http /": "1", "443 http /": "1", "80 https /": "0", "443 https /": "0", "8000 http /": "0",
            "80 http /.well-known/acme-challenge/x": "0", "80 http /x/.well-known/acme-challenge/": "1",
            "80 http /.well-known/health": "1" if options == TRUSTED else "0"}  # fmt: skip
    for key, value in keys.items():
        assert mapped_any_case(maps["plain"]["block"], key) == value, key
    for key, value in {"1websocket": "1", "1WebSocket": "1", "1": "0", "1h2c": "0", "0websocket": "0"}.items():
        assert mapped_any_case(maps["plain_socket"]["block"], key) == value, key
    challenge = settings(location(own, "/.well-known/acme-challenge/"))
    assert challenge["root"] == ["/var/lib/channels-acme"]


# --- Origins

NAMES = {"nginx_server_names": ["www.example.org", "192.0.2.7", "fd00::1", "*.example.net"]}
OWN = [
    ("https://www.example.org", "www.example.org", True),
    ("HTTPS://WWW.example.org", "www.example.org", True),
    ("https://www.example.org", "localhost:8000", True),  # the proof, on the host
    ("https://www.example.org:8443", "www.example.org:8443", True),  # a port that leads here
    ("https://www.example.org:8443", "www.example.org", False),
    ("https://www.example.org", "www.example.org:8443", True),
    ("https://192.0.2.7", "192.0.2.7", True),
    ("https://[fd00::1]", "[fd00::1]", True),
    ("https://fd00::1", "[fd00::1]", False),
    ("https://a.b.example.net", "a.b.example.net", True),
    ("https://example.net", "example.net", False),
    ("https://evil/x.example.net", "x.example.net", False),
    ("https://wwwxexample.org", "wwwxexample.org", False),  # a point is a point
    ("https://www.example.org.evil.org", "www.example.org.evil.org", False),
    ("https://evil.org", "evil.org", False),  # also where it has its name lead here
    ("https://evil.org", "www.example.org", False),
    ("https://www.example.org@evil.org", "www.example.org", False),
    ("null", "www.example.org", False),
    ("", "www.example.org", True),  # no browser
    ("", "", True),
]


@pytest.mark.parametrize(("origin", "host", "passes"), OWN)
def test_own_pages_may_open_sockets(tmp_path: Path, render: Render, origin: str, host: str, passes: bool) -> None:
    parsed = parsed_nginx(tmp_path, render, **{**TLS, **NAMES})
    maps = maps_of(parsed)
    assert maps["foreign"]["args"][0] == "$http_origin $http_host"
    assert mapped_any_case(maps["foreign"]["block"], f"{origin} {host}") == ("0" if passes else "1")


@pytest.mark.parametrize(
    ("options", "http", "https"),
    [
        ({**TLS}, False, True),
        ({**TLS, "nginx_redirect_http": False}, True, True),
        ({}, True, True),  # TLS may end before it gets here
    ],
)
def test_schemes_of_own_pages(tmp_path: Path, render: Render, options: dict[str, Any], http: bool, https: bool) -> None:
    maps = maps_of(parsed_nginx(tmp_path, render, **{**options, "nginx_server_names": ["www.example.org"]}))
    for scheme, passes in (("http", http), ("https", https)):
        for host in ("www.example.org", "www.example.org:8080"):
            value = mapped_any_case(maps["foreign"]["block"], f"{scheme}://{host} {host}")
            assert value == ("0" if passes else "1"), (scheme, host)


def test_ports_of_own_pages(tmp_path: Path, render: Render) -> None:
    options = {**TLS, "nginx_server_names": ["www.example.org"], "nginx_https_port": 8443}
    block = maps_of(parsed_nginx(tmp_path, render, **options))["foreign"]["block"]
    assert mapped_any_case(block, "https://www.example.org:8443 localhost:8000") == "0"
    assert mapped_any_case(block, "https://www.example.org localhost:8000") == "1"


@pytest.mark.parametrize(
    ("origin", "passes"),
    [
        ("https://app.example.org", True),
        ("https://APP.example.org", True),
        ("https://www.example.org", False),  # the list is all there is
        ("http://app.example.org", False),
        ("https://app.example.org:443", True),  # which browsers never write
        ("https://app.example.org:1", False),
        ("http://localhost:5173", True),
        ("http://localhost", True),
        ("http://localhostx", False),
        ("http://localhost:x", False),
        ("https://a.b+c.org", True),
        ("https://a.bbc.org", False),
        ("https://x.pages.dev", True),
        ("https://pages.dev", False),
        ("https://[fd00::1]:81", True),
        ("capacitor://localhost", True),
        ("null", True),
        ("nullx", False),
        ("", True),
    ],
)
def test_origins_that_are_given(tmp_path: Path, render: Render, origin: str, passes: bool) -> None:
    given = ["https://app.example.org:443", "http://localhost:*", "https://a.b+c.org", "https://*.pages.dev",
             "https://[FD00:0::1]:81", "capacitor://localhost", "null"]  # fmt: skip
    parsed = parsed_nginx(tmp_path, render, **TLS, nginx_origins=given)
    assert mapped_any_case(maps_of(parsed)["foreign"]["block"], f"{origin} a.example.org") == ("0" if passes else "1")


def test_foreign_sockets_are_refused_and_pages_are_not(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, **TLS)
    own = sites(parsed)[-1]
    maps = maps_of(parsed)
    assert maps["foreign_socket"]["args"][0] == "$dash_board_foreign$http_upgrade"
    for key, value in {"1websocket": "1", "1WebSocket": "1", "1": "0", "0websocket": "0", "1h2c": "0"}.items():
        assert mapped_any_case(maps["foreign_socket"]["block"], key) == value
    conditions = {entry["args"][0]: settings(entry["block"]) for entry in found(own, "if")}
    assert conditions["$dash_board_foreign_socket"] == {"return": ["463"]}
    assert "463 =403 @dash-board_foreign" in settings(own)["error_page"]
    answer = settings(location(own, "@dash-board_foreign"))
    assert answer["default_type"] == ["text/plain"] and answer["return"][0].startswith("403 ")
    assert "(nginx_origins)" in answer["return"][0], "the doctor tells it from the project's by that"


@pytest.mark.parametrize("options", [{}, {"nginx_server_names": ["_"]}, {**TLS, "nginx_origins": ["*"]}])
def test_site_without_names_leaves_origins_to_the_project(
    tmp_path: Path, render: Render, options: dict[str, Any]
) -> None:
    parsed = parsed_nginx(tmp_path, render, **options)
    assert "foreign" not in maps_of(parsed) and "foreign" not in (tmp_path / "sites-enabled/site.conf").read_text()


# --- the health path


def test_no_health_path_by_default(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, **TRUSTED)
    assert not found(parsed, "auth_request") and not {"may_ask", "healthy"} & set(maps_of(parsed))


def test_health_is_a_handshake_and_a_page(tmp_path: Path, render: Render) -> None:
    options = {**HEALTH, **TRUSTED, "handshake_path": "/ws/{token}/dash/?token={token}", "nginx_path_prefix": "/chat"}
    parsed = parsed_nginx(tmp_path, render, **{**TLS, **options})
    own = sites(parsed)[-1]
    asked = location(own, "/.well-known/health")
    assert settings(asked) == {
        "access_log": ["off"],
        "error_page": ["401 403 500 503 = @dash-board_health"],
        "auth_request": ["/.dash-board-handshake"],
        "auth_request_set": ["$dash_board_handshake $upstream_status"],
        "try_files": ["/. @dash-board_health"],
    }
    conditions = {" ".join(entry["args"]): settings(entry["block"])["return"] for entry in found(asked, "if")}
    assert conditions == {
        "$dash_board_may_ask = 0": ["404"], "-f /srv/dash-board/drained": ["404"],
        "$http_upgrade": ["400"], "$dash_board_maintenance": ["503"],
    }  # fmt: skip
    sent = ["Host a.example.org", "Content-Length ", "X-Forwarded-For $remote_addr", "X-Forwarded-Proto https",
            "X-Forwarded-Host a.example.org", "X-Real-IP $remote_addr"]  # fmt: skip
    handshake = settings(location(own, "/.dash-board-handshake"))
    assert handshake.pop("proxy_set_header") == [
        *sent, "Upgrade websocket", "Connection upgrade", "Sec-WebSocket-Version 13",
        "Sec-WebSocket-Key aGVhbHRoIG9mIGEgaG9zdA==", "Origin https://a.example.org",
    ]  # fmt: skip
    bounded = {"proxy_connect_timeout": ["2s"], "proxy_read_timeout": ["4s"], "proxy_next_upstream_timeout": ["5s"]}
    alone = {"proxy_method": ["GET"], "proxy_pass_request_headers": ["off"], "proxy_pass_request_body": ["off"]}
    assert handshake == {
        "internal": [""], "proxy_pass": ["http://dash-board/chat/ws/none/dash/"], "proxy_buffering": ["off"],
        **bounded, **alone,
    }  # fmt: skip
    page = location(own, "@dash-board_health")
    (unhealthy,) = found(page, "if")
    assert unhealthy["args"] == ["$dash_board_healthy", "=", "0"]
    assert settings(unhealthy["block"])["return"][0].startswith("503 ")
    assert settings(page) == {
        "access_log": ["off"], "default_type": ["text/plain"], "recursive_error_pages": ["on"],
        "error_page": [
            "301 302 303 307 308 =200 @dash-board_healthy",
            "400 401 403 404 405 410 429 500 501 502 503 504 =503 @dash-board_unhealthy",
        ],
        "rewrite": ["^ /chat/health/? break"], "proxy_pass": ["http://$dash_board_http"],
        "proxy_set_header": [*sent, "Connection close"], "proxy_intercept_errors": ["on"], **bounded, **alone,
    }  # fmt: skip
    for name, status in (("healthy", "200"), ("unhealthy", "503")):
        told = settings(location(own, f"@dash-board_{name}"))
        assert told["access_log"] == ["off"] and told["return"][0].startswith(f"{status} ")


def test_health_without_a_page(tmp_path: Path, render: Render) -> None:
    options = {"nginx_health_path": "/up", "nginx_health_page": "", "nginx_health_allow": ["10.0.0.0/8"]}
    parsed = parsed_nginx(tmp_path, render, **options)
    (own,) = sites(parsed)
    told = settings(location(own, "@dash-board_health"))
    assert told["return"][0].startswith("200 ") and "proxy_pass" not in told
    assert settings(location(own, "/.dash-board-handshake"))["proxy_pass"] == ["http://dash-board/ws/"]


@pytest.mark.parametrize(
    ("statuses", "healthy"),
    [("101", "1"), ("403", "1"), ("401", "1"), ("502, 403", "1"), ("502, 502 : 101", "1"), ("", "0"), ("502", "0"),
     ("403, 502", "0"), ("500", "0"), ("504", "0"), ("200", "0"), ("404", "0"), ("1101", "0")],
)  # fmt: skip
def test_health_is_what_the_last_process_says(tmp_path: Path, render: Render, statuses: str, healthy: str) -> None:
    """A refusal is the project's own word; an answer that is no handshake's is not."""
    entry = maps_of(parsed_nginx(tmp_path, render, **HEALTH, **TRUSTED))["healthy"]
    assert entry["args"][0] == "$dash_board_handshake"
    assert mapped_any_case(entry["block"], statuses) == healthy


def test_health_is_told_to_balancers(tmp_path: Path, render: Render) -> None:
    """And to the host itself. By the client's address: who comes through a balancer is none."""
    geo = maps_of(parsed_nginx(tmp_path, render, **HEALTH, nginx_trusted_proxies=["10.0.0.5", "127.0.0.1"]))["may_ask"]
    assert geo["args"] == ["$dash_board_may_ask"]
    assert settings(geo["block"]) == {"default": ["0"], "127.0.0.1": ["1"], "::1": ["1"], "10.0.0.5": ["1"]}


def test_health_in_maintenance_is_not_a_page(tmp_path: Path, render: Render) -> None:
    """The page would be in the log; that it is closed is said at the path itself."""
    closed = maps_of(parsed_nginx(tmp_path, render, **HEALTH, **TRUSTED))["closed"]
    assert closed["args"][0] == "$dash_board_maintenance$dash_board_probe $uri"
    for key, value in {"1 /": "1", "1 /.well-known/health": "0", "1 /.well-known/healthy": "1", "11 /": "0",
                       "0 /": "0", "1 /xwell-known/health": "1"}.items():  # fmt: skip
        assert mapped_any_case(closed["block"], key) == value, key


# --- headers of pages


def test_page_headers_are_added_where_the_project_has_none(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_page_headers={"Permissions-Policy": "camera=(), microphone=()"})
    sent = "camera=(), microphone=()"
    assert header_sent(parsed, "permissions_policy", "200", "") == sent
    assert header_sent(parsed, "permissions_policy", "404", "") == sent
    assert header_sent(parsed, "permissions_policy", "200", "camera=()") == "", "it would be there twice"
    assert header_sent(parsed, "permissions_policy", "101", "") == "", "a handshake is no page"
    (own,) = sites(parsed)
    assert settings(own)["add_header"][1:] == ["Permissions-Policy $dash_board_header_permissions_policy always"]


def test_page_headers_can_be_none(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_page_headers={}, nginx_media_url="/media/")
    (own,) = sites(parsed)
    assert settings(own)["add_header"] == ["X-Channels-Upstream $dash_board_answered always"]
    assert "X-Content-Type-Options nosniff always" in settings(location(own, "/media/"))["add_header"]


def test_every_block_with_headers_has_those_of_pages(tmp_path: Path, render: Render) -> None:
    """A block with headers of its own has none of its server's."""
    options = {**TLS, **HEALTH, **TRUSTED, "nginx_media_url": "/media/"}
    own = sites(parsed_nginx(tmp_path, render, **options))[-1]
    blocks = [own, *(entry["block"] for entry in found(own, "location") if "add_header" in settings(entry["block"]))]
    # The site's, the maintenance's, static files' of two releases, uploads', and two refusals'.
    assert len(blocks) == 7
    for block in blocks:
        names = [value.split(" ")[0] for value in settings(block)["add_header"]]
        for name in ("X-Content-Type-Options", "Referrer-Policy", "X-Frame-Options", "Strict-Transport-Security"):
            assert names.count(name) == 1, (name, block)


def test_sets_are_networks_with_a_source_and_a_day(root: Path) -> None:
    sets = yaml.safe_load((root / "roles/nginx/files/proxies.yml").read_text())
    assert {"cloudflare", "fastly"} <= set(sets)
    for name, entry in sets.items():
        assert entry["source"].startswith("https://") and entry["seen"].year >= 2026, name
        networks = [ipaddress.ip_network(one) for one in entry["networks"]]
        assert len(set(networks)) == len(networks) and {one.version for one in networks} == {4, 6}, name
        assert all(one.is_global and one.prefixlen >= 8 for one in networks), name


@pytest.mark.parametrize("spoken", [False, True])
def test_nginx_is_tried_as_it_listens(evaluate: Callable[..., str], spoken: bool) -> None:
    """A deploy speaks the PROXY protocol to the public ports, and to the local one never."""
    tried = ast.literal_eval(
        evaluate("handshake_listeners", **TLS, **TRUSTED, nginx_redirect_http=False, nginx_proxy_protocol=spoken)
    )
    assert tried.pop(0) == {"address": "127.0.0.1:8000"}
    addresses = ["127.0.0.1:80", "[::1]:80", "127.0.0.1:443", "[::1]:443"]
    assert [(one["address"], one["proxied"]) for one in tried] == [(address, spoken) for address in addresses]


@pytest.mark.parametrize(
    ("options", "origin"),
    [
        ({}, "http://localhost"),
        ({"nginx_http_port": 8081}, "http://localhost:8081"),
        ({"nginx_server_names": ["_"], "handshake_host": "x.example.org"}, "http://x.example.org"),
        ({"nginx_server_names": ["www.example.org"], "handshake_host": "localhost"}, "http://www.example.org"),
        (TLS, "https://a.example.org"),
        ({**TLS, "nginx_https_port": 8443}, "https://a.example.org:8443"),
    ],
)
def test_nginx_lets_the_proof_in_by_default(evaluate: Callable[..., str], options: dict[str, Any], origin: str) -> None:
    assert evaluate("handshake_origin", **options) == origin
    patterns = ast.literal_eval(evaluate("_nginx_origins", **options))
    assert allowed(origin, "localhost:8000", patterns)


@pytest.mark.parametrize(("spoken", "leads"), [(False, "192.0.2.1:443"), (True, "")])
def test_nginx_is_proven_through_a_balancer_that_has_to_be_spoken_to(
    evaluate: Callable[..., str], spoken: bool, leads: str
) -> None:
    options = {**TLS, **TRUSTED, "nginx_proxy_protocol": spoken, "ansible_host": "192.0.2.1"}
    assert evaluate("handshake_connect_to", **options).strip() == leads
