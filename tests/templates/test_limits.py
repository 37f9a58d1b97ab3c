"""What nginx takes from one address and in all, and what it is told to say to the others."""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from nginx_parsed import found, location, parsed_nginx, settings

Render = Callable[..., str]
V4, V6 = bytes([192, 0, 2, 7]), bytes.fromhex("20010db800000001") + b"\n\0\xff\0\0\0\0\x05"
MAPPED = bytes(10) + b"\xff\xff" + V4


def site_of(parsed: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the directives of the site itself."""
    (only,) = [entry for entry in found(parsed, "server") if "block" in entry]
    return settings(only["block"])


def map_of(parsed: list[dict[str, Any]], name: str) -> tuple[str, list[tuple[str, str]]]:
    """Return what a map goes by, and its entries in their order."""
    (only,) = [entry for entry in found(parsed, "map") if entry["args"][-1] == f"$dash_board_{name}"]
    return only["args"][0], [(entry["directive"], entry["args"][0]) for entry in only["block"]]


def chosen(entries: list[tuple[str, str]], value: bytes) -> tuple[str, dict[str, bytes]]:
    """Return what nginx would make of a value, and what its expression has captured."""
    for pattern, result in entries:
        if not pattern.startswith("~"):
            if pattern.encode() == value and pattern != "default":
                return result, {}
            continue
        # Python wants flags first, and names captures otherwise.
        flags = "(?s)" if "(?s)" in pattern else ""
        expression = flags + pattern[1:].replace("(?s)", "").replace("(?<", "(?P<")
        if match := re.search(expression.encode(), value):
            return result, match.groupdict()
    return dict(entries)["default"], {}


def keys(parsed: list[dict[str, Any]], counted: bool, upgrade: str = "", uri: str = "/") -> dict[str, str]:
    """Return the keys of all zones for a request."""
    exempt = "1" if counted else ""
    file = chosen(map_of(parsed, "file")[1], uri.encode())[0]
    by = {
        "handshake": exempt + upgrade,
        "socket": exempt + upgrade,
        "request": exempt + file + upgrade,
    }
    assert map_of(parsed, "file")[0] == "$uri"
    assert map_of(parsed, "handshake_key")[0] == map_of(parsed, "socket_key")[0] == "$dash_board_counted$http_upgrade"
    assert map_of(parsed, "request_key")[0] == "$dash_board_counted$dash_board_file$http_upgrade"
    return {name: chosen(map_of(parsed, f"{name}_key")[1], value.encode())[0] for name, value in by.items()}


def test_who_is_counted_for_what(tmp_path: Path, render: Render) -> None:
    """A handshake by its address and for the site, a page by its address, a file and whoever is exempt not at all."""
    parsed = parsed_nginx(tmp_path, render, nginx_media_url="/media/", nginx_path_prefix="/a.b")
    network = "$dash_board_network"
    handshake = {"handshake": network, "socket": "site", "request": ""}
    page = {"handshake": "", "socket": "", "request": network}
    nothing = dict.fromkeys(handshake, "")
    assert keys(parsed, True, "websocket", "/ws/") == keys(parsed, True, "h2c") == handshake
    assert keys(parsed, True) == keys(parsed, True, uri="/x/static/") == keys(parsed, True, uri="/aXb/static/x") == page
    for uri in ("/static/a.css", "/a.b/static/a.css", "/media/b.png"):
        assert keys(parsed, True, uri=uri) == nothing, uri
    assert keys(parsed, False, "websocket") == keys(parsed, False) == nothing
    # An address that is full never comes to ask for the site's key, by which the answer tells the two apart.
    assert chosen(map_of(parsed, "socket_key")[1], b"1websocket")[1] == {"dash_board_reached": b"1"}


def test_host_itself_and_the_exempt_are_not_counted(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_limit_exempt=["127.0.0.1", "192.0.2.0/24", "127.0.0.1"])
    (geo,) = [entry for entry in found(parsed, "geo") if entry["args"] == ["$dash_board_exempt"]]
    assert settings(geo["block"]) == {"default": ["0"], "127.0.0.1": ["1"], "192.0.2.0/24": ["1"]}
    by, entries = map_of(parsed, "itself")
    # Neither who says so through a proxy, nor whoever comes through a proxy on the host itself.
    assert by == "$realip_remote_addr $remote_addr $server_addr"
    for addresses, value in (
        (b"10.0.0.1 10.0.0.1 10.0.0.1", "1"),
        (b"fd00::1 fd00::1 fd00::1", "1"),
        (b"10.0.0.1 10.0.0.1 10.0.0.11", "0"),
        (b"10.0.0.2 10.0.0.1 10.0.0.1", "0"),
        (b"10.0.0.1 192.0.2.1 10.0.0.1", "0"),
    ):
        assert chosen(entries, addresses)[0] == value
    by, entries = map_of(parsed, "counted")
    assert by == "$dash_board_exempt$dash_board_itself"
    assert [chosen(entries, value)[0] for value in (b"00", b"10", b"01", b"11")] == ["1", "", "", ""]


@pytest.mark.parametrize(("address", "key"), [(V4, V4), (V6, V6[:8]), (MAPPED, V4)])
def test_address_of_ipv6_is_its_network(tmp_path: Path, render: Render, address: bytes, key: bytes) -> None:
    """Whatever bytes it has, ends of lines among them."""
    by, entries = map_of(parsed_nginx(tmp_path, render), "network")
    assert by == "$binary_remote_addr"
    result, captured = chosen(entries, address)
    assert captured.get(result.removeprefix("$"), address) == key


def test_zones_and_what_they_let_through(tmp_path: Path, render: Render) -> None:
    given = {
        "nginx_address_sockets": 30, "nginx_address_handshakes": 4, "nginx_address_handshakes_burst": 50,
        "nginx_address_requests": 6, "nginx_address_requests_burst": 70, "nginx_sockets": 80,
    }  # fmt: skip
    parsed = parsed_nginx(tmp_path, render, **given)
    (http,) = found(parsed, "http")
    zones = settings(http["block"])
    assert zones["limit_conn_zone"] == [
        "$dash_board_handshake_key zone=dash-board_address_sockets:10m",
        "$dash_board_socket_key zone=dash-board_site_sockets:64k",
    ]
    assert zones["limit_req_zone"] == [
        "$dash_board_handshake_key zone=dash-board_address_handshakes:10m rate=4r/s",
        "$dash_board_request_key zone=dash-board_address_requests:10m rate=6r/s",
    ]
    own = {name: value for name, value in site_of(parsed).items() if name.startswith("limit_")}
    assert own == {
        # The address first: see test_who_is_counted_for_what.
        "limit_conn": ["dash-board_address_sockets 30", "dash-board_site_sockets 80"],
        "limit_conn_status": ["599"],
        "limit_conn_log_level": ["info"],  # a line of the error log has the query
        "limit_req": [
            "zone=dash-board_address_handshakes burst=50 nodelay",
            "zone=dash-board_address_requests burst=70 nodelay",
        ],
        "limit_req_status": ["429"],
        "limit_req_log_level": ["info"],
    }


def test_limits_of_an_address_can_be_taken_away(tmp_path: Path, render: Render) -> None:
    none = dict.fromkeys(("nginx_address_sockets", "nginx_address_handshakes", "nginx_address_requests"), 0)
    parsed = parsed_nginx(tmp_path, render, **none)
    (http,) = found(parsed, "http")
    assert "limit_req_zone" not in settings(http["block"]) and "limit_req" not in site_of(parsed)
    assert site_of(parsed)["limit_conn"] == ["dash-board_site_sockets 10000"]


def test_zones_have_new_names_once_a_worker_was_killed(tmp_path: Path, render: Render) -> None:
    facts = {"cores": "4", "memory_mb": "2000", "python": "3.11.2", "version": "12", "worker_died": "20261129114847"}
    parsed = parsed_nginx(tmp_path, render, preflight_host=facts)
    (http,) = found(parsed, "http")
    zones = [line.split("zone=")[1].split(":")[0] for line in settings(http["block"])["limit_conn_zone"]]
    assert zones == ["dash-board_address_sockets_20261129114847", "dash-board_site_sockets_20261129114847"]
    assert [line.split()[0] for line in site_of(parsed)["limit_conn"]] == zones


def test_refusals_name_their_limit_and_when_to_come_back(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_limit_retry_seconds=7, nginx_sockets=80)
    pages = site_of(parsed)["error_page"]
    assert "429 @dash-board_too_fast" in pages and "599 =503 @dash-board_too_many" in pages
    named = {
        "too_fast": ("$http_upgrade", "429", ["nginx_address_handshakes", "nginx_address_requests"]),
        "too_many": ("$dash_board_reached", "503", ["nginx_sockets", "nginx_address_sockets"]),
    }
    for name, (condition, status, variables) in named.items():
        block = location(parsed, f"@dash-board_{name}")
        own = settings(block)
        assert own["add_header"][:2] == ["Retry-After 7 always", "Cache-Control no-store always"]
        assert own["default_type"] == ["text/plain"]
        assert own["keepalive_timeout"] == ["0"]  # what is refused keeps no connection
        (other,) = found(block, "if")
        assert other["args"] == [condition]
        for answer, variable in zip((settings(other["block"])["return"], own["return"]), variables, strict=True):
            assert answer[0].startswith(f"{status} ") and f"({variable}" in answer[0] and "_ " not in answer[0]
    assert (
        "All 80 WebSockets" in settings(found(location(parsed, "@dash-board_too_many"), "if")[0]["block"])["return"][0]
    )


def test_room_follows_from_the_number_of_sockets(tmp_path: Path, render: Render) -> None:
    (events,) = found(parsed_nginx(tmp_path, render, nginx_sockets=30000), "events")
    assert settings(events["block"]) == {"worker_connections": ["64096"], "multi_accept": ["on"]}
    files = 64096 + 1024
    parser = configparser.ConfigParser()
    parser.read_string(render("nginx/open_files.conf.j2", nginx_sockets=40000))
    assert int(parser["Service"]["LimitNOFILE"]) == files + 20000
    parser.read_string(render("nginx/open_files.conf.j2", nginx_sockets=30000))
    assert parser["Service"]["LimitNOFILE"] == "65536"  # a smaller one restarts nginx for nothing


def test_workers_take_turns_where_files_are_few(tmp_path: Path, render: Render) -> None:
    facts = {"cores": "2", "memory_mb": "2000", "python": "3.11.2", "version": "12", "open_files": "20000"}
    (events,) = found(parsed_nginx(tmp_path, render, preflight_host=facts), "events")
    assert settings(events["block"]) == {
        "worker_connections": ["18976"],
        "multi_accept": ["on"],
        "accept_mutex": ["on"],
        "accept_mutex_delay": ["10ms"],
    }


def test_kernel_has_what_it_lacks(root: Path, render: Render, evaluate: Render) -> None:
    """Nothing where it has enough, and only where it runs with less than the file says is anything done."""
    facts = {"cores": "2", "memory_mb": "2000", "python": "3.11.2", "version": "12", "init": "systemd"}
    enough = facts | {"sysctl:net.core.somaxconn": "4096"}
    few = facts | {"sysctl:net.core.somaxconn": "128"}
    assert evaluate("_nginx_kernel_file", preflight_host=enough) == "{'path': '/etc/sysctl.d', 'directory': True}"
    lines = [line for line in render("nginx/sysctl.conf.j2", preflight_host=few).splitlines() if line[0] != "#"]
    assert lines == ["net.core.somaxconn = 4096"]
    _, task = yaml.safe_load((root / "roles/nginx/tasks/configure.yml").read_text())
    assert task["when"] == "preflight_host.limits.kernel_is_behind"
    assert task["ansible.builtin.command"]["argv"] == ["sysctl", "--quiet", "--load={{ _nginx_kernel }}"]


def test_timeouts(tmp_path: Path, render: Render) -> None:
    given = {"nginx_header_timeout": 3, "nginx_body_timeout": 4, "nginx_send_timeout": 5}
    (http,) = found(parsed_nginx(tmp_path, render, **given), "http")
    own = settings(http["block"])
    assert [own[f"{name}_timeout"] for name in ("client_header", "client_body", "send")] == [["3s"], ["4s"], ["5s"]]


def test_no_variable_has_two_meanings(tmp_path: Path, render: Render) -> None:
    """nginx takes the second one without a word, and whoever reads it gets one or the other."""
    options = {"nginx_health_path": "/healthz", "nginx_trusted_proxies": ["192.0.2.1"], "nginx_media_url": "/media/"}
    parsed = parsed_nginx(tmp_path, render, **options)
    names = [entry["args"][-1] for kind in ("map", "geo") for entry in found(parsed, kind)]
    names += [entry["args"][0] for kind in ("set", "auth_request_set") for entry in found(parsed, kind)]
    assert len(names) > 10 and sorted(names) == sorted(set(names))
