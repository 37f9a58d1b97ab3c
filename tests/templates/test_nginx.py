"""All that nginx is told, and why: a line that is lost or changed is noticed by who relies on it."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from nginx_parsed import found, location, parsed_nginx, settings

Render = Callable[..., str]
APP = "dash-board"
PAGE_HEADERS = [
    "X-Content-Type-Options $dash_board_header_x_content_type_options always",
    "Referrer-Policy $dash_board_header_referrer_policy always",
    "X-Frame-Options $dash_board_header_x_frame_options always",
]
LOGS = "/var/log/nginx"
ERRORS = f"syslog:server=unix:/run/nginx-errors/{APP}.sock,nohostname,tag=nginx error"


def server(parsed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the directives of the site."""
    (only,) = [entry for entry in found(parsed, "server") if "block" in entry]
    return only["block"]


def test_main_settings(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_worker_connections=30720)
    assert settings(parsed) == {
        "user": ["www-data"],  # the group that sockets and uploads are open to
        "worker_processes": ["auto"],
        "pid": ["/run/nginx.pid"],  # module service_state asks it
        "error_log": [f"{LOGS}/error.log notice"],  # module service_state shows it
    }
    text = (tmp_path / "nginx.conf").read_text()
    for path in ("mime.types", "modules-enabled/*.conf", "conf.d/*.conf", "sites-enabled/*.conf"):
        assert f"include {tmp_path}/{path};" in text
    (events,) = found(parsed, "events")
    assert settings(events["block"]) == {"worker_connections": ["30720"], "multi_accept": ["on"]}


def test_http_settings(tmp_path: Path, render: Render) -> None:
    (http,) = found(parsed_nginx(tmp_path, render), "http")
    own = settings(http["block"])
    for name in ("limit_conn_zone", "limit_req_zone"):  # test_limits.py
        del own[name]
    assert own.pop("log_format")[0].startswith("channels escape=json ")  # test_nginx_log.py
    assert own == {
        "default_type": ["application/octet-stream"],
        "sendfile": ["on"],
        "tcp_nopush": ["on"],
        "server_tokens": ["off"],  # whoever looks for a version with a hole finds none
        "types_hash_max_size": ["2048"],
        "variables_hash_max_size": ["8192"],
        "variables_hash_bucket_size": ["128"],
        "client_header_timeout": ["15s"],
        "client_body_timeout": ["30s"],
        "send_timeout": ["60s"],
        "gzip": ["on"],
        "gzip_vary": ["on"],
        "gzip_proxied": ["any"],  # behind a balancer, too
        # text/event-stream is not among them: what is compressed is collected.
        "gzip_types": ["text/css text/plain application/javascript application/json image/svg+xml"],
        "access_log": [f"{LOGS}/access.log channels"],
        "error_log": [f"{LOGS}/error.log emerg"],  # below that level it holds requests
    }


def test_maps(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_static_seconds=60, nginx_media_url="/media/")
    maps = {entry["args"][-1]: (entry["args"][0], entry["block"]) for entry in found(parsed, "map")}
    by, values = maps["$connection_upgrade"]
    # A handshake is passed on as one, and another request's connection to a process ends with it.
    assert by == "$http_upgrade" and settings(values) == {"default": ["upgrade"], "": ["close"]}
    by, values = maps["$dash_board_static_cache"]
    assert by == "$uri" and settings(values).pop("default") == ["public, max-age=60"]
    by, values = maps["$dash_board_media_policy"]
    assert by == "$sent_http_content_type"
    policies = settings(values)
    assert policies.pop("default") == [""]
    ((kinds, policy),) = policies.items()
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; sandbox"]
    scripted = ("text/html", "text/html; charset=utf-8", "application/xhtml+xml", "image/svg+xml", "text/xml")
    assert all(re.search(kinds[1:], kind) for kind in scripted)
    assert not any(re.search(kinds[1:], kind) for kind in ("text/plain", "image/png", "application/pdf"))


def test_site_settings(tmp_path: Path, render: Render) -> None:
    options = {"nginx_header_buffers": "4 64k", "nginx_body_size": "3m", "nginx_http_port": 81, "nginx_local_port": 82}
    own = settings(server(parsed_nginx(tmp_path, render, **options)))
    del own["proxy_set_header"]  # test_nginx_overwrites_what_a_client_could_claim
    own = {name: value for name, value in own.items() if not name.startswith("limit_")}  # test_limits.py
    assert own == {
        "listen": ["81 default_server", "[::]:81 default_server", "127.0.0.1:82"],
        "server_name": ["_"],
        "access_log": [f"{LOGS}/{APP}.access.log {APP}_redacted"],
        "error_log": [ERRORS],
        "client_max_body_size": ["3m"],
        "large_client_header_buffers": ["4 64k"],
        "client_header_buffer_size": ["3k"],
        "request_pool_size": ["1k"],
        "error_page": [
            f"494 =431 @{APP}_headers",
            f"429 @{APP}_too_fast",
            f"599 =503 @{APP}_too_many",
            f"503 @{APP}_maintenance",
        ],
        "add_header": ["X-Channels-Upstream $dash_board_answered always", *PAGE_HEADERS],
        "proxy_http_version": ["1.1"],
        "proxy_redirect": ["off"],
        "proxy_connect_timeout": ["5s"],
    }


def test_site_with_a_name_leaves_other_names_to_others(tmp_path: Path, render: Render) -> None:
    names = ["a.example.org", "b.example.org", "a.example.org"]
    own = settings(server(parsed_nginx(tmp_path, render, nginx_server_names=names)))
    assert own["listen"] == ["80", "[::]:80", "127.0.0.1:8000"]
    assert own["server_name"] == ["a.example.org b.example.org"]


@pytest.mark.parametrize(
    ("options", "buffering"),
    [
        ({}, "off"),
        ({"asgi_http": "wsgi"}, "on"),  # a slow client would keep a thread
        ({"nginx_http_buffering": True}, "on"),
        ({"asgi_http": "wsgi", "nginx_http_buffering": False}, "off"),
        ({"asgi_http": "wsgi", "nginx_websocket_paths": ["/"]}, "off"),
    ],
)
def test_streams_arrive_as_they_are_written(
    tmp_path: Path, render: Render, options: dict[str, Any], buffering: str
) -> None:
    """Buffered, the head of a stream comes with its first 4 kB, and an event's rest with the next event."""
    parsed = parsed_nginx(tmp_path, render, **options)
    assert settings(location(parsed, "/"))["proxy_buffering"] == [buffering]
    if "/" not in options.get("nginx_websocket_paths", []):
        assert settings(location(parsed, "/ws/"))["proxy_buffering"] == ["off"]


def test_locations(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_websocket_timeout=7200, nginx_http_timeout=30)
    site = {" ".join(entry["args"]): settings(entry["block"]) for entry in found(server(parsed), "location")}
    site = {path: own for path, own in site.items() if "_too_" not in path}  # test_limits.py
    cache = {"add_header": ["Cache-Control $dash_board_static_cache", *PAGE_HEADERS]}
    assert site == {
        "@dash-board_headers": {
            "default_type": ["text/plain"],
            "return": [r"431 Request line and headers are too long (large_client_header_buffers 1 12k)\n"],
        },
        "@dash-board_maintenance": {
            "root": ["/srv/dash-board"],
            "default_type": ["text/plain"],
            "rewrite": ["^ /maintenance.html break"],
            "add_header": ["Retry-After 120 always", "Cache-Control no-store always", *PAGE_HEADERS],
        },
        "/static/": {
            "alias": ["/srv/dash-board/live/static/"],
            "disable_symlinks": ["on from=/srv/dash-board/live/static"],
            "error_page": ["404 = @dash-board_before"],
            **cache,
        },
        "@dash-board_before": {
            "rewrite": [r"^()?/static/(.*)$ /$2 break"],
            "root": ["/srv/dash-board/before/static"],
            "disable_symlinks": ["on from=/srv/dash-board/before/static"],
            **cache,
        },
        "/ws/": {
            "proxy_pass": ["http://dash-board"],
            "proxy_read_timeout": ["7200s"],
            "proxy_send_timeout": ["7200s"],
            "proxy_buffering": ["off"],
        },
        "/": {
            "proxy_pass": ["http://$dash_board_http"],
            "proxy_read_timeout": ["30s"],
            "proxy_send_timeout": ["30s"],
            "proxy_buffering": ["off"],
        },
    }


def test_uploads_are_what_nginx_serves_of_them(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_media_url="/media/", nginx_path_prefix="/chat")
    for path in ("/media/", "/chat/media/"):
        assert (
            settings(location(parsed, path))
            == {
                "alias": ["/srv/dash-board/shared/media/"],
                "disable_symlinks": ["if_not_owner from=/srv/dash-board/shared/media"],
                "add_header": [
                    "X-Content-Type-Options nosniff always",  # whatever nginx_page_headers says
                    "Content-Security-Policy $dash_board_media_policy",
                    *PAGE_HEADERS[1:],
                ],
            }
        )


def test_files_of_the_release_before_are_found_below_a_path(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_path_prefix="/chat.x", nginx_static_url="/st.c/")
    rule, target, _ = settings(location(parsed, "@dash-board_before"))["rewrite"][0].split(" ")
    assert target == "/$2"
    for uri, name in (("/chat.x/st.c/a/b.css", "a/b.css"), ("/st.c/a.css", "a.css")):
        match = re.match(rule, uri)
        assert match and match[2] == name
    assert not re.match(rule, "/chatxx/st.c/a.css") and not re.match(rule, "/stxc/a.css")


def test_path_without_its_slash_is_the_project(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_path_prefix="/chat")
    assert settings(location(parsed, "/chat")) == {
        "absolute_redirect": ["off"],
        "return": ["301 /chat/$is_args$args"],
    }


@pytest.mark.parametrize(("asked", "value"), [({}, "0"), ({"maintenance": "on"}, "1"), ({"maintenance": "off"}, "0")])
def test_maintenance_is_for_all_but_a_few(tmp_path: Path, render: Render, asked: dict[str, str], value: str) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_maintenance_allow=["127.0.0.1", "10.0.0.0/8"], **asked)
    (geo,) = [entry for entry in found(parsed, "geo") if entry["args"] == ["$dash_board_maintenance"]]
    assert settings(geo["block"]) == {"default": [value], "127.0.0.1": ["0"], "10.0.0.0/8": ["0"]}
    conditions = {entry["args"][0]: (entry, settings(entry["block"])) for entry in found(server(parsed), "if")}
    assert conditions["$dash_board_closed"][1] == {"return": ["503"]}
    # nginx sends no file in answer to a POST.
    entry, answer = conditions["$request_method"]
    assert entry["args"] == ["$request_method", "!~", "^(GET|HEAD)$"] and answer == {"return": ["503 Maintenance\\n"]}


def mapped(block: list[dict[str, Any]], value: str) -> str:
    """Return what a map makes of a value."""
    values = settings(block)
    patterns = (name for name in values if name.startswith("~") and re.search(name[1:], value))
    return values.get(value, values.get(next(patterns, ""), values["default"]))[0]


@pytest.mark.parametrize(
    ("asked", "peer", "client", "server_address", "closed", "answered"),
    [
        ("upstream", "127.0.0.1", "127.0.0.1", "127.0.0.1", "0", "$upstream_addr"),
        ("upstream", "fd00::1", "fd00::1", "fd00::1", "0", "$upstream_addr"),
        ("", "127.0.0.1", "127.0.0.1", "127.0.0.1", "1", ""),
        ("upstream", "10.0.0.9", "10.0.0.9", "10.0.0.1", "1", ""),  # not from the host itself
        ("upstream", "10.0.0.11", "10.0.0.11", "10.0.0.1", "1", ""),
        ("upstream 10.0.0.1", "10.0.0.9", "10.0.0.9", "10.0.0.1", "1", ""),
        ("upstream 10.0.0.1 10.0.0.1", "10.0.0.9", "10.0.0.9", "10.0.0.1", "1", ""),
        ("upstream", "10.0.0.9", "10.0.0.1", "10.0.0.1", "1", ""),  # a balancer that has taken a client's word
        ("upstream", "127.0.0.1", "10.0.0.9", "127.0.0.1", "1", ""),  # by a balancer on the host
    ],
)
def test_deploy_is_told_who_answered_and_nobody_else_is(
    tmp_path: Path, render: Render, asked: str, peer: str, client: str, server_address: str, closed: str, answered: str
) -> None:
    """A deploy gets through in a maintenance, too."""
    maps = {entry["args"][-1]: entry for entry in found(parsed_nginx(tmp_path, render), "map")}
    probe = maps["$dash_board_probe"]
    assert probe["args"][0] == "$http_x_channels_probe $realip_remote_addr $remote_addr $server_addr"
    asks = mapped(probe["block"], f"{asked} {peer} {client} {server_address}")
    assert maps["$dash_board_answered"]["args"][0] == "$dash_board_probe"
    assert mapped(maps["$dash_board_answered"]["block"], asks) == answered
    assert maps["$dash_board_closed"]["args"][0] == "$dash_board_maintenance$dash_board_probe"
    assert mapped(maps["$dash_board_closed"]["block"], f"1{asks}") == closed
    assert mapped(maps["$dash_board_closed"]["block"], f"0{asks}") == "0"


def test_page_of_maintenance_looks_again(render: Render) -> None:
    page = render("nginx/maintenance.html.j2", nginx_maintenance_retry_seconds=77)
    assert '<meta http-equiv="refresh" content="77">' in page and "{{" not in page


def test_before_the_first_deploy_nothing_answers(render: Render) -> None:
    assert "server unix:/run/dash-board/none.sock;" in render("nginx/initial_upstream.conf.j2")
    assert "map $http_upgrade $dash_board_http {\n    default dash-board;\n}" in render("nginx/initial_http.conf.j2")


def test_files_of_nginx(root: Path) -> None:
    """Which file comes from what; logs are as Debian's own, and what a deploy has written stays."""
    task, _ = yaml.safe_load((root / "roles/nginx/tasks/configure.yml").read_text())
    given = task["channels.stack.file_set"]["entries"]
    given.remove("{{ _nginx_restart_file }}")
    # Its folder is there by then, and other managers than systemd have none.
    assert given.index("{{ _nginx_sandbox_entry if _nginx_systemd else _nginx_restart_file }}") > 2
    given.remove("{{ _nginx_sandbox_entry if _nginx_systemd else _nginx_restart_file }}")
    given.remove("{{ _nginx_tls_file }}")
    given.remove("{{ _nginx_kernel_file }}")
    for number in (0, 1):
        given.remove(f"{{{{ _nginx_errors_files[{number}] }}}}")
    for number in range(3):
        given.remove(f"{{{{ _nginx_log_limits[{number}] }}}}")
    folder = "{'path': _nginx_errors_socket | dirname, 'directory': true}"
    given.remove(f"{{{{ _nginx_errors_files[2] | default({folder}) }}}}")
    entries = {entry.pop("path"): entry for entry in given}
    log = {"content": "", "force": False, "owner": "www-data", "group": "adm", "mode": "0640"}
    template = "{{{{ lookup('ansible.builtin.template', {}) }}}}".format
    assert entries == {
        "/var/log/nginx/{{ release_app }}.access.log": log,
        "{{ _nginx_limits | dirname }}": {"directory": True},
        "{{ _nginx_limits }}": {"content": template("_nginx_limits_template"), "only_settings": True},
        "/etc/nginx/conf.d/{{ release_app }}-limits.conf": {"content": template("'limits.conf.j2'")},
        "/etc/nginx/nginx.conf": {"content": template("nginx_conf_template")},
        "/etc/nginx/conf.d/{{ release_app }}-log.conf": {"content": template("'access_log.conf.j2'")},
        "/etc/nginx/sites-enabled/{{ release_app }}.conf": {"content": template("nginx_site_template")},
        **{
            f"/etc/nginx/conf.d/{{{{ release_app }}}}-{name}.conf": {
                "content": template(f"'{'' if name == 'maintenance' else 'initial_'}{name}.conf.j2'"),
                "force": False,
            }
            for name in ("upstream", "http", "maintenance")
        },
    }


def test_sandbox_of_nginx(render: Render, evaluate: Callable[..., Any], root: Path) -> None:
    """As written, and tried with the sites that are there before it is: nginx would not come back from a boot in it."""
    text = render("nginx/sandbox.conf.j2", nginx_sandbox={"ReadWritePaths": ["/srv/logs"], "PrivateDevices": False})
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines.pop(0) == "[Service]"
    given = {"nginx_sandbox": {"ReadWritePaths": ["/srv/logs"], "PrivateDevices": False}}
    entry = ast.literal_eval(evaluate("_nginx_sandbox_entry", root / "templates" / "nginx", **given))
    assert entry["content"].strip() == text.strip() and entry["path"].endswith("/nginx.service.d/sandbox.conf")
    shell, command = entry["validate"][:4], entry["validate"][4:]
    assert command == [
        "systemd-run", "--quiet", "--wait", "--pipe", "--collect", *(f"--property={line}" for line in lines),
        "nginx", "-t", "-q",
    ]  # fmt: skip
    assert subprocess.run([*shell, "true"], check=False).returncode == 0
    done = subprocess.run([*shell, "false"], check=False, capture_output=True, text=True)
    assert done.returncode == 1 and "nginx_sandbox" in done.stderr
    values: dict[str, list[str]] = {}
    for line in lines:
        values.setdefault(line.partition("=")[0], []).append(line.partition("=")[2])
    switched = [
        "PrivateIPC", "PrivateMounts", "ProtectClock", "ProtectControlGroups", "ProtectHostname", "ProtectKernelLogs",
        "ProtectKernelModules", "ProtectKernelTunables", "NoNewPrivileges", "LockPersonality", "MemoryDenyWriteExecute",
        "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID",
    ]  # fmt: skip
    assert values == {
        **{name: ["yes"] for name in switched},
        "ProtectSystem": ["strict"],
        # What it writes: sockets, logs, caches, and bodies that are on their way.
        "ReadWritePaths": ["/run /var/log -/var/cache -/var/lib/nginx", "/srv/logs"],
        "ProtectHome": ["read-only"],
        "PrivateDevices": ["no"],
        "DevicePolicy": ["closed"], "KeyringMode": ["private"], "LimitCORE": ["0"], "ProtectProc": ["invisible"],
        "CapabilityBoundingSet": [
            "CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_KILL CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER"
        ],
        "RestrictAddressFamilies": ["AF_UNIX AF_INET AF_INET6"], "SystemCallArchitectures": ["native"],
        "SystemCallFilter": ["@system-service"], "SystemCallErrorNumber": ["EPERM"],
    }  # fmt: skip


TLS = {"certificate_source": "provided", "nginx_server_names": ["a.example.org", "b.example.org"]}


def sites(parsed: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the directives of each server."""
    return [entry["block"] for entry in found(parsed, "server") if "block" in entry]


def test_site_with_a_certificate(tmp_path: Path, render: Render) -> None:
    refused, plain, own = sites(parsed_nginx(tmp_path, render, **TLS))
    assert settings(refused) == {
        "listen": ["443 ssl default_server", "[::]:443 ssl default_server"],
        "ssl_reject_handshake": ["on"],
    }
    told = settings(plain)
    assert (told["listen"], told["server_name"]) == (["80", "[::]:80"], ["a.example.org b.example.org"])
    # It logs as the site does: the token of a handshake that is refused came, too.
    assert told["access_log"] == [f"{LOGS}/{APP}.access.log {APP}_redacted"]
    assert told["error_log"] == [ERRORS]
    assert settings(location(plain, "/"))["return"] == ["308 https://$host$request_uri"]
    told = settings(own)
    assert told["listen"] == ["443 ssl http2", "[::]:443 ssl http2", "127.0.0.1:8000"]
    assert told["ssl_certificate"] == ["/etc/dash-board/certificate/fullchain.pem"]
    assert told["ssl_certificate_key"] == ["/etc/dash-board/certificate/privkey.pem"]
    assert told["ssl_buffer_size"] == ["4k"], "a silent socket keeps 16 kB"


def test_http2_where_listen_does_not_take_it(tmp_path: Path, render: Render) -> None:
    host = {"cores": "4", "memory_mb": "2000", "python": "3.13.5", "id": "debian", "version": "13"}
    own = settings(sites(parsed_nginx(tmp_path, render, **TLS, preflight_host=host))[-1])
    assert own["listen"][:2] == ["443 ssl", "[::]:443 ssl"] and own["http2"] == ["on"]
    between = {**host, "id": "ubuntu", "version": "24.04"}  # whose nginx is 1.24
    own = settings(sites(parsed_nginx(tmp_path, render, **TLS, preflight_host=between))[-1])
    assert own["listen"][:2] == ["443 ssl http2", "[::]:443 ssl http2"] and "http2" not in own


def test_ports_and_addresses_of_a_site_with_a_certificate(tmp_path: Path, render: Render) -> None:
    """Nobody names an address in TLS: the site must be the one of who names none."""
    options = {**TLS, "nginx_https_port": 8443, "nginx_server_names": ["a.example.org", "192.0.2.7"]}
    plain, own = sites(parsed_nginx(tmp_path, render, **options))
    assert settings(location(plain, "/"))["return"] == ["308 https://$host:8443$request_uri"]
    assert settings(own)["listen"][:2] == ["8443 ssl http2 default_server", "[::]:8443 ssl http2 default_server"]


def test_site_may_be_served_both_ways(tmp_path: Path, render: Render) -> None:
    _, own = sites(parsed_nginx(tmp_path, render, **TLS, nginx_redirect_http=False))
    assert settings(own)["listen"][2:] == ["80", "[::]:80", "127.0.0.1:8000"]


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({}, "max-age=31536000"),
        ({"nginx_hsts_seconds": 60, "nginx_hsts_subdomains": True}, "max-age=60; includeSubDomains"),
        ({"nginx_hsts_subdomains": True, "nginx_hsts_preload": True}, "max-age=31536000; includeSubDomains; preload"),
        ({"nginx_hsts_seconds": 0}, ""),
        ({"certificate_source": "self_signed"}, ""),  # who cannot take it would be shut out for good
        ({"certificate_source": "none"}, ""),
    ],
)
def test_browsers_are_told_to_stay_with_https(
    tmp_path: Path, render: Render, options: dict[str, Any], header: str
) -> None:
    """A location with headers of its own has none of its server's."""
    parsed = parsed_nginx(tmp_path, render, **{**TLS, "nginx_media_url": "/media/", **options})
    own = sites(parsed)[-1]
    expected = ["Strict-Transport-Security $dash_board_header_strict_transport_security always"] if header else []
    blocks = [own, *(entry["block"] for entry in found(own, "location") if "add_header" in settings(entry["block"]))]
    assert len(blocks) == 7
    for block in blocks:
        assert [value for value in settings(block)["add_header"] if value.startswith("Strict")] == expected
    if header:
        assert header_sent(parsed, "strict_transport_security", "200", "") == header


def header_sent(parsed: list[dict[str, Any]], name: str, status: str, by_project: str) -> str:
    """Return what nginx adds to an answer, which has a status and perhaps the project's own header."""
    (entry,) = [one for one in found(parsed, "map") if one["args"][-1] == f"$dash_board_header_{name}"]
    assert entry["args"][0] == f"$status $upstream_http_{name}"
    return mapped(entry["block"], f"{status} {by_project}")


@pytest.mark.parametrize(
    ("given", "gzip"),
    [(TLS, ["off"]), ({**TLS, "nginx_gzip_pages": True}, None), ({}, None)],
)
def test_pages_over_tls_are_not_compressed(
    tmp_path: Path, render: Render, given: dict[str, Any], gzip: list[str] | None
) -> None:
    """Against BREACH; static files, which hold nothing secret, are."""
    own = sites(parsed_nginx(tmp_path, render, **given))[-1]
    assert settings(location(own, "/")).get("gzip") == gzip
    assert "gzip" not in settings(location(own, "/static/")) and "gzip" not in settings(own)


def test_settings_of_tls(tmp_path: Path, render: Render) -> None:
    """Mozilla's guideline 6.0; of TLS 1.2 only what no later break opens."""
    (http,) = found(parsed_nginx(tmp_path, render, **TLS), "http")
    own = {name: value for name, value in settings(http["block"]).items() if name.startswith("ssl_")}
    ciphers = own.pop("ssl_ciphers")[0].split(":")
    assert own == {
        "ssl_protocols": ["TLSv1.2 TLSv1.3"],
        "ssl_ecdh_curve": ["X25519:prime256v1:secp384r1"],
        "ssl_prefer_server_ciphers": ["on"],
        "ssl_conf_command": ["Options PrioritizeChaCha"],
        "ssl_session_cache": ["shared:channels:10m"],
        "ssl_session_timeout": ["1d"],
        "ssl_session_tickets": ["off"],
    }
    assert len(ciphers) == 6 and all(re.fullmatch("ECDHE-(ECDSA|RSA)-(AES.*-GCM|CHACHA20)-.*", one) for one in ciphers)
    (http,) = found(parsed_nginx(tmp_path, render, **TLS, nginx_tls_profile="modern"), "http")
    own = settings(http["block"])
    assert own["ssl_protocols"] == ["TLSv1.3"] and "ssl_ciphers" not in own


def test_challenge_is_answered_by_any_host_of_the_site(tmp_path: Path, render: Render) -> None:
    acme = {**TLS, "certificate_source": "acme"}
    _, plain, own = sites(parsed_nginx(tmp_path, render, **acme))
    path = "/.well-known/acme-challenge/"
    alone = {"root": ["/var/lib/channels-acme"], "default_type": ["text/plain"]}
    assert settings(location(plain, path)) == alone
    assert path not in [entry["args"][-1] for entry in found(own, "location")]
    _, own = sites(parsed_nginx(tmp_path, render, **acme, nginx_redirect_http=False))
    assert settings(location(own, path)) == alone
    peers = {"groups": {"app": ["host", "b", "c", "d"], "database": ["host"]}, "hostvars": {
        "host": {}, "b": {"private_address": "10.0.0.2"}, "c": {"private_address": "fd00::3"}, "d": {},
    }}  # fmt: skip
    parsed = parsed_nginx(tmp_path, render, **acme, **peers)
    (upstream,) = [one for one in found(parsed, "upstream") if one["args"] == ["dash-board_acme"]]
    assert settings(upstream["block"]) == {"server": ["10.0.0.2:80", "[fd00::3]:80"]}
    _, plain, _ = sites(parsed)
    assert settings(location(plain, path)) == {**alone, "try_files": ["$uri @dash-board_acme"]}
    asked = location(plain, "@dash-board_acme")
    assert settings(asked) == {
        "proxy_pass": ["http://dash-board_acme"],
        "proxy_set_header": ["Host $host", "X-Channels-Acme 1"],
        "proxy_connect_timeout": ["2s"],
        "proxy_next_upstream": ["error timeout http_404"],
    }
    (condition,) = found(asked, "if")
    assert condition["args"] == ["$http_x_channels_acme"] and settings(condition["block"]) == {"return": ["404"]}


def test_processes_that_serve(tmp_path: Path, render: Render) -> None:
    """By how many sockets each holds, and one that restarts at once again."""
    parsed = parsed_nginx(tmp_path, render, asgi_processes=2, asgi_http="wsgi")
    upstreams = {one["args"][0]: settings(one["block"]) for one in found(parsed, "upstream")}
    sockets = [f"/run/{APP}/0123456789ab-c0ffee-{number}" for number in (1, 2)]
    assert upstreams == {
        APP: {
            "zone": [f"{APP} 128k"],
            "least_conn": [""],
            "server": [f"unix:{path}.sock max_fails=0" for path in sockets],
        },
        f"{APP}_wsgi": {
            "zone": [f"{APP}_wsgi 128k"],
            "least_conn": [""],
            "server": upstreams[f"{APP}_wsgi"]["server"],
        },
    }
    assert all(line.endswith(".wsgi.sock max_fails=0") for line in upstreams[f"{APP}_wsgi"]["server"])


def test_project_that_has_sockets_everywhere(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_websocket_paths=["/"], nginx_websocket_timeout=7200)
    assert settings(location(parsed, "/")) == {
        "proxy_pass": ["http://$dash_board_http"],
        "proxy_read_timeout": ["7200s"],
        "proxy_send_timeout": ["7200s"],
        "proxy_buffering": ["off"],
    }
