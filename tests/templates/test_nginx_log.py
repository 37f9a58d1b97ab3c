"""What nginx's access log shows of a request: its maps are evaluated as nginx does, with whatever a client may send."""

from __future__ import annotations

import configparser
import json
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from nginx_parsed import found, parsed_nginx
from nginx_parsed import settings as directives

Render = Callable[..., str]
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoxfQ.c2lnbmF0dXJl"
HIDDEN = "[hidden]"


class Maps:
    """The maps of a configuration, and what they make of a request's variables."""

    def __init__(self, parsed: list[dict[str, Any]]) -> None:
        self.maps: dict[str, tuple[str, list[tuple[str, str]]]] = {}
        for entry in found(parsed, "map"):
            source, target = entry["args"]
            rules = [(rule["directive"], rule["args"][0]) for rule in entry["block"] if rule["directive"] != "#"]
            self.maps[target.removeprefix("$")] = (source, rules)
        self.compiled: dict[str, re.Pattern[str]] = {}

    def fill(self, text: str, variables: dict[str, str], captures: tuple[str | None, ...] = ()) -> str:
        """Return a text with its variables filled in."""

        def value(match: re.Match[str]) -> str:
            name = match[1]
            return (captures[int(name) - 1] or "") if name.isdigit() else self.value(name, variables)

        return re.sub(r"\$(\d|\w+)", value, text)

    def value(self, name: str, variables: dict[str, str]) -> str:
        """Return a variable: first its own text, then the first pattern in order, then the default."""
        if name not in self.maps:
            return variables.get(name, "")
        source, rules = self.maps[name]
        given_ = self.fill(source, variables)
        plain = {key: text for key, text in rules if not key.startswith("~") and key != "default"}
        if given_ in plain:
            return self.fill(plain[given_], variables)
        if given_:  # an empty text is held against no pattern
            for key, text in rules:
                if not key.startswith("~"):
                    continue
                if key not in self.compiled:
                    ignore = re.IGNORECASE if key.startswith("~*") else re.NOFLAG
                    self.compiled[key] = re.compile(key.lstrip("~*"), ignore | re.ASCII)
                if match := self.compiled[key].search(given_):
                    return self.fill(text, variables, match.groups())
        return self.fill(dict(rules).get("default", ""), variables)


MADE: list[Maps] = []


@pytest.fixture
def maps(tmp_path: Path, render: Render) -> Maps:
    """The maps as the defaults make them, made once."""
    MADE.extend([] if MADE else [Maps(parsed_nginx(tmp_path, render))])
    return MADE[0]


def query(maps: Maps, text: str) -> str:
    """What is shown of a query."""
    return maps.value("dash_board_query_shown_0", {"args": text})


def path(maps: Maps, text: str) -> str:
    """What is shown of a request's address, without its query."""
    return maps.value("dash_board_path_shown_0", {"request_uri": text})


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("", ""),
        ("page=2&q=hello+world&sort=-date,name", "page=2&q=hello+world&sort=-date,name"),
        ("room=550e8400-e29b-41d4-a716-446655440000", "room=550e8400-e29b-41d4-a716-446655440000"),
        ("q=caf%C3%A9%20au%20lait&path=a%2Fb", "q=caf%C3%A9%20au%20lait&path=a%2Fb"),
        ("&&a=1&", "&&a=1&"),
        ("token=abc", "token=[hidden]"),
        ("a=1&TOKEN=abc&b=2", "a=1&TOKEN=[hidden]&b=2"),
        ("token=a&token=b&x=1&Token=c", "token=[hidden]&token=[hidden]&x=1&Token=[hidden]"),
        ("access_token=a&user[jwt]=b&csrfmiddlewaretoken=c&apiKey=d", "access_token=[hidden]&user[jwt]=[hidden]"
         "&csrfmiddlewaretoken=[hidden]&apiKey=[hidden]"),
        ("to%6ben=abc", "[hidden]"),  # a name that is escaped is no name to go by
        ("a=1;token=abc", "a=[hidden]"),  # to some servers, that is another parameter
        ("=abc", "[hidden]"),
        ("abc", "[hidden]"),
        ("abc=", "[hidden]"),  # base64 ends so
        ("abc==", "[hidden]"),
        ("a=abc=", "a=[hidden]"),
        ("?token=abc", "[hidden]"),
        (f"t={TOKEN}", "t=[hidden]"),
        (f"{TOKEN}=1", "[hidden]"),
        ("t=xxeyJhb", "t=[hidden]"),
        ("t=" + "a" * 36, "t=" + "a" * 36),
        ("t=" + "a" * 37, "t=[hidden]"),
        ("t=%65yJhbGci", "t=[hidden]"),
        ("next=%2Fws%2F%3Ftoken%3Dabc", "next=[hidden]"),
        ("next=/ws/?token=abc", "next=[hidden]"),
        ("token=[hidden]&abc", "token=[hidden]&[hidden]"),
        ("eyJabc=[hidden]", "[hidden]"),
        ("a=%&b=%zz&c=\xff", "a=[hidden]&b=[hidden]&c=[hidden]"),
        ("&".join(["token=a"] * 6), "&".join(["token=[hidden]"] * 6)),
        ("&".join(["token=a"] * 7), "[hidden]"),
        ("a=1&" * 2000 + "token=abc", "a=1&" * 2000 + "token=[hidden]"),
    ],
)  # fmt: skip
def test_query_is_redacted(maps: Maps, given_: str, shown: str) -> None:
    assert query(maps, given_) == shown


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("/", "/"),
        ("/ws/dashboard/?token=abc", "/ws/dashboard/"),
        ("/ws/dashboard/#token=abc", "/ws/dashboard/"),
        ("/ws/room/550e8400-e29b-41d4-a716-446655440000/", "/ws/room/550e8400-e29b-41d4-a716-446655440000/"),
        ("/static/js/main-abcdef0123456789abcdef0123456789abcdef.chunk.js",
         "/static/js/main-abcdef0123456789abcdef0123456789abcdef.chunk.js"),
        ("/caf%C3%A9//x%20y/", "/caf%C3%A9//x%20y/"),
        (f"/ws/{TOKEN}/x", "/ws/[hidden]/x"),
        (f"/ws/{TOKEN}", "/ws/[hidden]"),
        ("/ws/%65yJhbGciOi", "/ws/[hidden]"),
        ("/ws/%3Ftoken=abc", "/ws/[hidden]"),
        ("/ws/;token=abc/x", "/ws/[hidden]/x"),
        ("/accounts/reset/MQ/cl3k2x-0123456789abcdef0123456789abcdef/", "/accounts/reset/MQ/[hidden]/"),
        ("/" + "/".join(["a=b"] * 3), "/[hidden]/[hidden]/[hidden]"),
        ("/" + "/".join(["a=b"] * 4), "/[hidden]"),
        ("/\xff", "/[hidden]"),
        ("*", "/[hidden]"),
        ("", ""),
    ],
)  # fmt: skip
def test_path_is_redacted(maps: Maps, given_: str, shown: str) -> None:
    assert path(maps, given_) == shown


def test_names_are_the_inventory_s(tmp_path: Path, render: Render) -> None:
    """Each as it is written: a sign of patterns is a sign of the name."""
    own = Maps(parsed_nginx(tmp_path, render, nginx_redacted_parameters=["seat.no", "a[b"]))
    assert query(own, "token=abc&seat.no=1&seatXno=2&xa[b]=3") == "token=abc&seat.no=[hidden]&seatXno=2&xa[b]=[hidden]"


def test_without_names_tokens_are_still_known_by_their_look(tmp_path: Path, render: Render) -> None:
    own = Maps(parsed_nginx(tmp_path, render, nginx_redacted_parameters=[]))
    assert query(own, f"token=abc&t={TOKEN}&{'b' * 50}") == "token=abc&t=[hidden]&[hidden]"


SECRETS = st.text(string.ascii_letters + string.digits + "-_.~", min_size=16, max_size=80).filter(
    lambda text: not text.islower()
)
LISTED = st.sampled_from(
    ["token", "TOKEN", "access_token", "jwt", "Authorization", "api-key", "sessionid", "code", "a[token]"]
)
NOISE = st.text(string.ascii_letters + string.digits + "&;=?%[]/.~:+@!*'()|-_,\x80\xe9\xff", max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    NOISE,
    st.sampled_from(["&", ";", "&&", "?", ""]),
    LISTED,
    SECRETS,
    st.sampled_from(["&", ";", "", "=", "&="]),
    NOISE,
)
@example("", "", "token", "A" * 20, ";", "x")
@example("a=1", "&", "token", "A" * 20, "", "")
def test_no_value_of_a_listed_name_is_shown(
    maps: Maps, before: str, separator: str, name: str, secret: str, end: str, after: str
) -> None:
    """Whatever stands around it: the name is the parameter's own wherever a server may see a parameter begin."""
    assume(secret not in before + after + name)
    separator = separator if before else ""
    assume(not before or separator)
    assert secret not in query(maps, f"{before}{separator}{name}={secret}{end}{after}")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NOISE, st.text(string.ascii_letters + string.digits + "-_", min_size=10, max_size=60), NOISE, st.booleans())
def test_no_jwt_is_shown(maps: Maps, before: str, body: str, after: str, escaped: bool) -> None:
    """Under whatever name, in the query or in the path, and with its letters escaped."""
    token = "eyJ" + body
    assume(body not in before + after)
    sent = "".join(f"%{ord(sign):02x}" for sign in token) if escaped else token
    for shown in (query(maps, before + sent + after), path(maps, "/" + before + sent + after)):
        assert body not in shown and quote(body) not in shown and sent not in shown


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=200))
def test_what_is_shown_is_ascii_in_parts_that_are_harmless(maps: Maps, text: str) -> None:
    """No value that begins nowhere, no quote that ends the log's own text, no byte that is none of JSON's."""
    shown = query(maps, text)
    assert re.fullmatch(r"[A-Za-z0-9_.~:,/+@*!()|\[\]=&%-]*", shown)
    for part in filter(None, shown.split("&")):
        name, equals, value = part.partition("=")
        assert part == HIDDEN or (equals and value and len(name) <= 24 and (value == HIDDEN or len(value) <= 108))
    assert re.fullmatch(r"[A-Za-z0-9_.~:,+@!()*/%\[\]-]*", path(maps, text))


@pytest.mark.parametrize(
    ("name", "variable", "cases"),
    [
        ("agent", "http_user_agent", {"": "", "Mozilla/5.0 (X11; Linux)": "Mozilla/5.0 (X11; Linux)", TOKEN: HIDDEN,
                                      "x\xff": HIDDEN, "a\x07b": HIDDEN, "a" * 301: HIDDEN}),
        ("host", "host", {"": "", "a.example.org": "a.example.org", "[::1]": "[::1]", 'a"b': HIDDEN,
                          "a" * 101: HIDDEN}),
        ("origin", "http_origin", {"": "", "null": "null", "https://a.example:8443": "https://a.example:8443",
                                   "https://a/?token=abc": HIDDEN, "chrome-extension://abc": HIDDEN}),
        ("upgrade", "http_upgrade", {"": "", "websocket": "websocket", "WebSocket": "websocket", TOKEN: "other"}),
        ("method", "request_method", {"": "", "GET": "GET", "SECRET": "other"}),
        ("protocol", "server_protocol", {"": "", "HTTP/1.1": "HTTP/1.1", "HTTP/2.0": "HTTP/2.0", TOKEN: "other"}),
        ("status", "status", {"101": "101", "404": "404", "009": "0", "000": "0"}),
    ],
)  # fmt: skip
def test_headers_are_shown_where_they_are_harmless(maps: Maps, name: str, variable: str, cases: dict[str, str]) -> None:
    shown = {given_: maps.value(f"dash_board_{name}", {variable: given_}) for given_ in cases}
    assert shown == cases


@pytest.mark.parametrize(
    ("status", "completion", "connect", "header", "end"),
    [  # as they were when nginx 1.22 was made to end requests so
        ("101", "OK", "0.001", "0.003", "closed"),  # by either side, or by silence
        ("101", "", "0.000", "0.001", "cut"),  # by nginx: worker_shutdown_timeout
        ("499", "", "0.000", "-", "client_left"),
        ("408", "", "", "", "client_slow"),
        ("502", "OK", "-", "-", "unreachable"),
        ("502", "OK", "-, -", "-, -", "unreachable"),
        ("502", "OK", "0.001", "-", "broken"),
        ("502", "OK", "-, 0.001", "-, -", "broken"),
        ("502", "OK", "0.001", "0.004", ""),  # the project's own
        ("504", "OK", "-", "-", "unreachable"),
        ("504", "OK", "0.001", "-", "timeout"),
        ("200", "OK", "0.001", "0.004", ""),
        ("101", "OK", "-, 0.001", "-, 0.002", "closed"),
        ("404", "OK", "", "", ""),
    ],
)
def test_end_is_what_nginx_knows_of_it(
    maps: Maps, status: str, completion: str, connect: str, header: str, end: str
) -> None:
    variables = {"status": status, "request_completion": completion}
    variables |= {"upstream_connect_time": connect, "upstream_header_time": header}
    assert maps.value("dash_board_end", variables) == end


def test_line_is_json_of_harmless_variables_alone(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render)
    formats = {entry["args"][0]: entry["args"][1:] for entry in found(parsed, "log_format")}
    assert formats.keys() == {"channels", "dash-board_redacted"}
    for escape, *parts in formats.values():
        assert escape == "escape=json"
        names = set(re.findall(r"\$(\w+)", "".join(parts)))
        # What a client writes comes through a map, or not at all.
        own = {"time_iso8601", "msec", "request_id", "remote_addr", "bytes_sent", "request_time", "ssl_protocol",
               "status", "connection_requests", "pid", "connection"}  # fmt: skip
        assert all(name in own or name.startswith(("upstream_", "dash_board_")) for name in names)
    text = re.sub(r'":\$\w+', '":1', "".join(formats["dash-board_redacted"][1:]))
    assert list(json.loads(text)) == [
        "time", "msec", "id", "client", "host", "method", "path", "query", "protocol", "status", "end", "bytes",
        "request_time", "upstream", "upstream_status", "upstream_connect_time", "upstream_header_time",
        "upstream_response_time", "agent", "upgrade", "origin", "tls", "connection", "requests",
    ]  # fmt: skip


def test_every_server_logs_without_tokens(tmp_path: Path, render: Render) -> None:
    """The one that refuses plain HTTP, too: the token of its handshakes has come by then."""
    names = {"certificate_source": "provided", "nginx_server_names": ["a.example.org"], "nginx_error_level": "info"}
    parsed = parsed_nginx(tmp_path, render, **names)
    assert {entry["args"][1] for entry in found(parsed, "access_log")} == {"channels", "dash-board_redacted"}
    servers = [directives(entry["block"]) for entry in found(parsed, "server") if "block" in entry]
    logging = [server for server in servers if "access_log" in server]
    assert len(logging) == 2
    for server in logging:
        (told,) = server["error_log"]
        assert told == "syslog:server=unix:/run/nginx-errors/dash-board.sock,nohostname,tag=nginx info"


def unit(text: str) -> dict[str, list[str]]:
    """The settings of a unit, by section and name."""
    found_: dict[str, list[str]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found_.setdefault(f"{section}.{name}", []).append(value)
    return found_


READER = "/usr/local/sbin/dash-board-nginx-errors"
SOCKET = "/run/nginx-errors/dash-board.sock"


def test_socket_of_errors_is_nginx_s_and_outlives_its_reader(render: Render) -> None:
    told = unit(render("nginx/error_log.socket.j2"))
    del told["Unit.Description"]
    assert told == {
        "Socket.ListenDatagram": [SOCKET], "Socket.SocketGroup": ["www-data"], "Socket.SocketMode": ["0660"],
        "Socket.DirectoryMode": ["0755"], "Socket.RemoveOnStop": ["yes"], "Socket.TriggerLimitIntervalSec": ["0"],
        "Install.WantedBy": ["sockets.target"],
    }  # fmt: skip


def test_reader_of_errors_may_do_nothing_else(render: Render) -> None:
    told = unit(render("nginx/error_log.service.j2"))
    del told["Unit.Description"]
    on = [
        "DynamicUser",
        "PrivateTmp",
        "PrivateDevices",
        "PrivateNetwork",
        "PrivateIPC",
        "PrivateUsers",
        "ProtectHome",
        "ProtectClock",
        "ProtectControlGroups",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "NoNewPrivileges",
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "RestrictNamespaces",
        "RestrictRealtime",
        "RestrictSUIDSGID",
        "RemoveIPC",
    ]
    assert told == {
        "Unit.Requires": ["dash-board-nginx-errors.socket"], "Unit.After": ["dash-board-nginx-errors.socket"],
        "Unit.StartLimitIntervalSec": ["0"],
        "Service.Type": ["exec"], "Service.ExecStart": [f"/usr/bin/python3 -I {READER}"],
        "Service.Restart": ["always"], "Service.RestartSec": ["1"],
        "Service.SyslogIdentifier": ["dash-board-nginx-errors"],
        "Service.LimitCORE": ["0"], "Service.MemoryMax": ["64M"], "Service.OOMPolicy": ["continue"],
        "Service.Nice": ["5"], "Service.UMask": ["0077"],
        **{f"Service.{name}": ["yes"] for name in on},
        "Service.ProtectSystem": ["strict"], "Service.ProtectProc": ["invisible"], "Service.ProcSubset": ["pid"],
        "Service.CapabilityBoundingSet": [""], "Service.AmbientCapabilities": [""],
        "Service.RestrictAddressFamilies": ["AF_UNIX"], "Service.DevicePolicy": ["closed"],
        "Service.IPAddressDeny": ["any"], "Service.KeyringMode": ["private"],
        "Service.SystemCallArchitectures": ["native"],
        "Service.SystemCallFilter": ["@system-service", "~@privileged @resources"],
        "Service.SystemCallErrorNumber": ["EPERM"],
        "Install.WantedBy": ["multi-user.target"], "Install.Also": ["dash-board-nginx-errors.socket"],
    }  # fmt: skip


def test_supervisor_runs_the_reader_and_keeps_what_it_says(render: Render) -> None:
    parsed = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    parsed.read_string(render("nginx/error_log.conf.j2", _nginx_errors_version="abc123"))
    assert parsed.sections() == ["program:dash-board-nginx-errors"]
    assert dict(parsed["program:dash-board-nginx-errors"]) == {
        "command": f"/usr/bin/python3 -I {READER} --listen {SOCKET}",
        "environment": 'VERSION="abc123"',  # another version is another program, which is started again
        "directory": "/", "umask": "077", "autorestart": "true", "startretries": "100000", "redirect_stderr": "true",
        "stdout_logfile": "/var/log/supervisor/dash-board-nginx-errors.log", "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "2",
    }  # fmt: skip
