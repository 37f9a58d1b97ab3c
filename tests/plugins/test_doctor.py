"""The doctor's judgement of recorded exchanges, its reading of nginx, and that every code is documented.

A case marked `recorded` stands in for a breakage that a lab host cannot have; the others are tried live as well.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.doctor.catalogue import CATALOGUE, HOPS
from ansible_collections.channels.stack.plugins.module_utils.doctor.controller import claims_of
from ansible_collections.channels.stack.plugins.module_utils.doctor.diagnosis import diagnose
from ansible_collections.channels.stack.plugins.module_utils.doctor.examination import Examination
from ansible_collections.channels.stack.plugins.module_utils.doctor.mends import MENDS
from ansible_collections.channels.stack.plugins.module_utils.doctor.page import lines, page
from ansible_collections.channels.stack.plugins.module_utils.doctor.rules.process import last_life
from ansible_collections.channels.stack.plugins.module_utils.doctor.signatures import SIGNATURES
from ansible_collections.channels.stack.plugins.module_utils.handshake.report import lines as proof_lines
from ansible_collections.channels.stack.plugins.module_utils.handshake.report import report_of
from ansible_collections.channels.stack.plugins.module_utils.handshake.results import result
from ansible_collections.channels.stack.plugins.module_utils.host import deployed, logs, raw, servers, units
from ansible_collections.channels.stack.plugins.module_utils.host.programs import text_of
from ansible_collections.channels.stack.plugins.module_utils.host.project import MARK, Project
from ansible_collections.channels.stack.plugins.module_utils.text.secrets import scrub, secrets_of
from ansible_collections.channels.stack.plugins.module_utils.websocket import exchange as doctor_probe

ROOT = Path(__file__).resolve().parents[2]
URL = "wss://app.example.org/ws/chat/"
BUNDLE = {"app": "app", "unit": "app-daphne", "generation": "r1-abc", "server": "daphne", "home": "/srv/app/live",
          "application": "core.asgi:application"}  # fmt: skip


def came(via: str, kind: str = "good", **other: Any) -> dict[str, Any]:
    """An exchange in which a socket opened, or what else is said."""
    return {
        "via": via, "kind": kind, "origin": "https://app.example.org", "stage": "", "reason": "", "verify": 0,
        "status": 101, "headers": {}, "body": "", "close": None, "idle": 1.3, "alpn": "", "expires": "",
        "ms": {"name": 1.0, "tcp": 2.0, "tls": 3.0, "handshake": 4.0}, "to": "there", **other,
    }  # fmt: skip


def healthy() -> dict[str, Any]:
    """The evidence of a hand-made host with nothing wrong."""
    process = {
        "pid": 10, "parent": 1, "server": "daphne", "name": "python", "speaks": True, "command": "daphne core.asgi:app",
        "user": "app", "folder": "/opt/app", "application": "core.asgi:application", "ping": 20.0,
        "listens": ["tcp:127.0.0.1:8001"], "files": 20, "limit": 1024, "unit": "app.service",
    }  # fmt: skip
    route = {
        "where": "/etc/nginx/sites-enabled/app:9", "location": ["/ws/"], "names": ["app.example.org"],
        "listen": [{"address": "", "port": 443, "tls": True, "default": False}], "pass": "127.0.0.1:8001",
        "upstream": ["127.0.0.1:8001"], "http_version": "1.1", "read_timeout": 3600.0, "buffers": "4 16k",
        "headers": {"upgrade": "$http_upgrade", "connection": "$connection_upgrade"}, "limits": [],
    }  # fmt: skip
    return {
        "name": "app-1", "url": URL, "origin": "https://app.example.org", "idle_seconds": 0, "now": 1_800_000_000.0,
        "skew": 0.0, "problem": {}, "token": {"present": True, "length": 100, "claims": {}, "minted": False},
        "outside": [came("outside")],
        "host": {
            "user": "root", "bundle": {}, "processes": [process], "programs": [], "log": [], "kills": [],
            "leftovers": [], "crowded": [], "servers": [{"address": "tcp:127.0.0.1:8001", "pid": 10}],
            "upstream": [{"address": "tcp:127.0.0.1:8001", "listening": True}],
            "units": [{"unit": "app.service", "state": "active", "sub": "running", "result": "success", "restarts": 0,
                       "status": "0", "pid": 10, "command": "daphne"}],
            "nginx": {"present": True, "running": True, "error": "", "route": route},
            "redis": {"present": True, "running": True, "version": "7.0.15", "file": "/etc/redis/redis.conf"},
            "project": {"versions": {"daphne": "4.2.3", "redis": "7.4.1"}, "import_ms": 500.0, "layer_ms": 9.0,
                        "layer": "channels_redis.pubsub.RedisPubSubChannelLayer", "hosts": ["127.0.0.1:6379/0"],
                        "allowed_hosts": ["app.example.org"], "databases": ["0"], "not_minted": {}},
            "exchanges": [came("process"), came("proxy"), came("process", "http", status=404),
                          came("process", "none", status=403), came("process", "foreign", status=403)],
        },
    }  # fmt: skip


def at(evidence: dict[str, Any], path: str, value: Any) -> None:
    """Set what a dotted path leads to; a number just beyond a list's end appends."""
    *way, last = path.split(".")
    for step in way:
        evidence = evidence[int(step)] if isinstance(evidence, list) else evidence[step]
    if isinstance(evidence, list) and int(last) == len(evidence):
        evidence.append(value)
    else:
        evidence[int(last) if isinstance(evidence, list) else last] = value


def judged(**changes: Any) -> dict[str, Any]:
    """The report on a healthy host with some changes, whose dots are written as two underscores."""
    evidence = copy.deepcopy(healthy())
    for path, value in changes.items():
        at(evidence, path.replace("__", "."), value)
    return diagnose(evidence)


def everywhere(**other: Any) -> dict[str, Any]:
    """The same answer at each hop."""
    return {"outside__0": came("outside", **other), "host__exchanges__0": came("process", **other),
            "host__exchanges__1": came("proxy", **other)}  # fmt: skip


def outside(**other: Any) -> dict[str, Any]:
    """Another answer from outside only, or with `alone`, nothing known of the host."""
    alone = {"host": None} if other.pop("alone", False) else {}
    return {"outside__0": came("outside", **other), **alone}


def certificate(**other: Any) -> dict[str, Any]:
    """A certificate of this bundle with nothing wrong, or what else is said."""
    return {
        "app": "app", "source": "acme", "names": ["app.example.org"], "served": True, "serves": "", "serial": "01",
        "since": 1.795e9, "ends": 1.803e9, "issuer": "CN=X", "active": True, "next": "", "last": {}, "failed": {},
        **other,
    }  # fmt: skip


def test_a_healthy_host_has_no_finding() -> None:
    report = judged()
    assert report["ok"] and report["verdict"] == "OK" and report["noticed"] == [], report
    assert {hop["state"] for hop in report["hops"] if hop["id"] != "idle"} == {"ok"}


# What a lab host cannot have, or not within seconds: a recorded exchange stands in.
RECORDED: dict[str, tuple[dict[str, Any], str]] = {
    "E001_NAME": (outside(stage="name", reason="Name or service not known", status=0, ms={}), "dig"),
    "E011_TCP_REFUSED": (outside(stage="tcp", reason="Connection refused", status=0, ms={"name": 1}), "ss -ltnp"),
    "E012_TCP_FILTERED": (outside(stage="tcp", reason="timed out", status=0, ms={"name": 1}), "ufw allow 443"),
    "E021_CERT_EXPIRED": (outside(stage="tls", verify=10, status=0), "certbot renew"),
    "E022_CERT_NAME": (outside(stage="tls", verify=62, status=0), "-d app.example.org"),
    "E023_CERT_CHAIN": (outside(stage="tls", verify=20, status=0), "fullchain.pem"),
    "E024_CERT_UNTRUSTED": (outside(stage="tls", verify=18, status=0), "public authority"),
    "E031_RENEWAL_FAILED": (
        {"host__certificate": certificate(last={"at": 1.7999e9, "code": 1, "said": ["no route"]})}, "channels-renew"),
    "E032_CERT_NOT_SERVED": ({"host__certificate": certificate(served=False)}, "systemctl reload nginx"),
    "E033_RENEWAL_OFF": ({"host__certificate": certificate(active=False)}, "channels-certificates.timer|service cron"),
    "E025_PORT_SPEAKS_HTTP": (outside(stage="tls", reason="[SSL: WRONG_VERSION_NUMBER]", status=0), "listen 443 ssl"),
    "E026_TLS": (outside(stage="tls", reason="handshake failure", status=0), "openssl s_client"),
    "E027_PORT_SPEAKS_TLS": (
        {"url": "ws://app.example.org:443/ws/", "origin": "",
         **outside(status=400, body="The plain HTTP request was sent to HTTPS port")}, "wss://app.example.org:443"),
    "E028_MIXED_CONTENT": ({"url": "ws://app.example.org/ws/"}, "location.protocol"),
    "E303_HTTP10": (
        {"host__nginx__route__http_version": "1.0", "host__exchanges__1": came("proxy", status=426),
         "outside__0": came("outside", status=426)}, r"/app:9: proxy_http_version 1\.1"),
    "E315_NGINX_ORIGINS": (
        {"outside__0": came("outside", status=403, body="Pages of this Origin may open no WebSocket (nginx_origins)\n"),
         "host__exchanges__1": came("proxy", status=403, body="… (nginx_origins)\n")},
        "Add https://app.example.org to nginx_origins"),
    "E312_EDGE": (outside(status=404), "proxy_http_version"),
    "E313_PATH_NOT_PROXIED": (
        {"host__nginx__route__pass": "", "host__exchanges__1": came("proxy", status=404),
         "outside__0": came("outside", status=404)}, "location \\^~ /ws/chat/ {"),
    "E106_OUT_OF_MEMORY": (
        {"host__servers__0__pid": 0, "host__units__0__result": "oom-kill", "host__units__0__state": "failed"},
        "MemoryMax"),
    "E108_STALE_LOCK": (
        {"host__servers__0__pid": 0, "host__units__0__state": "failed", "host__units__0__result": "exit-code",
         "host__units__0__log": ["Listen failure: Couldn't listen on any:b'/run/app.sock': Cannot acquire lock."]},
        r"rm -f /run/app\.sock /run/app\.sock\.lock"),
    "E117_NOT_DEPLOYED": ({"host__missing": "/srv/app", "host__servers": [], "host__exchanges": []}, "site.yml"),
    "E118_STARTING": (
        {"host__servers__0__pid": 0, "host__starting": [{"pid": 77, "age": 9.5}], "host__exchanges": []},
        "journalctl -u app.service"),
    "E111_SERVER_SILENT": (
        {**everywhere(stage="handshake", reason="no answer within 6 s", status=0),
         "host__exchanges__2": came("process", "http", stage="handshake", status=0)}, "py-spy dump --pid 10"),
    "E112_NO_WEBSOCKET_LIBRARY": (
        {**everywhere(status=404), "host__processes__0__server": "uvicorn"}, r"uvicorn\[standard\]"),
    "E113_SOCKET_PERMISSION": (
        {"host__nginx__reach": [{"address": "unix:/run/app.sock", "errno": 13, "user": "www-data", "ways": [
            {"path": "/run/app.sock", "mode": "755", "folder": False}]}],
         "host__exchanges__1": came("proxy", status=502), "outside__0": came("outside", status=502)},
        r"/run/app\.sock:mode=660"),
    "E401_NO_TOKEN": ({**everywhere(status=403), "token__present": False}, r"\?token="),
    "E409_CLOCK": (
        {**everywhere(status=403), "skew": -400.0, "token__claims": {"iat": 1.8e9, "exp": 1.8e9 + 60}}, "timedatectl"),
    "E410_CONNECT_SLOW": (
        everywhere(stage="handshake", reason="closed without an answer", status=0), "--websocket_connect_timeout 20"),
    "E413_OTHER_SECRET": ({**everywhere(status=403), "token__minted": True}, r"playbooks/deploy\.yml"),
    "E505_REDIS_OLD": (
        {**everywhere(status=500), "host__log": ["redis.exceptions.ResponseError: unknown command 'BZPOPMIN'"]},
        "apt-get install redis-server"),
    "E504_REDIS_DATABASE": ({"host__project__databases": ["0", "1"]}, "same REDIS_URL"),
    "E514_REDIS_TLS": (
        {**everywhere(status=500), "host__project__layer_error":
         "ConnectionError: Error 1 connecting to 10.0.0.10:6379. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
         "failed: unable to get local issuer certificate (_ssl.c:1016)."}, r"{{ redis_url }}"),
    "E510_LAYER": ({"host__project__layer_error": "TypeError: no such thing"}, "CHANNEL_LAYERS"),
    "E513_DATABASE": (
        {**everywhere(status=500), "host__project__database_error": "OperationalError: connection refused"},
        "systemctl start postgresql"),
    "E602_IDLE_BALANCER": (
        outside(close={"code": 1006, "reason": "", "at": 60.0}), "ping every 30 s"),
    "E604_IDLE_SERVER": (everywhere(close={"code": 1000, "reason": "", "at": 5.0}), "--websocket_timeout"),
    "E901_UNREACHABLE": (
        {"host": None, "problem": {"code": "E901_UNREACHABLE", "error": "Permission denied (publickey)"}}, "ssh app-1"),
    "E902_NO_RIGHTS": (
        {"host": None, "problem": {"code": "E902_NO_RIGHTS", "error": "Missing sudo password"}}, "--ask-become-pass"),
    "E903_NO_PYTHON": (
        {"host": None, "problem": {"code": "E903_NO_PYTHON", "error": "python3: not found"}}, "python3-minimal"),
    "E905_UNEXPLAINED": (everywhere(status=418), "."),
}  # fmt: skip


def test_origin_that_nginx_and_the_project_refuse_is_told_of_both() -> None:
    """Who mends one of them meets the other."""
    changes = everywhere(status=403)
    changes["host__exchanges__1"] = changes["outside__0"] = came("proxy", status=403, body="(nginx_origins)")
    evidence = copy.deepcopy(healthy())
    for path, value in changes.items():
        at(evidence, path.replace("__", "."), value)
    evidence["host"]["exchanges"].append(came("process", "other_origin", origin="https://other.example.org"))
    report = diagnose(evidence)
    told = {report["verdict"], *(finding["code"] for finding in report["noticed"])}
    assert report["verdict"] == "E315_NGINX_ORIGINS" and "E405_ORIGIN" in told


@pytest.mark.parametrize("code", RECORDED)
def test_recorded_error(code: str) -> None:
    changes, fix = RECORDED[code]
    report = judged(**changes)
    assert report["verdict"] == code, report
    assert re.search(fix, report["finding"]["fix"]), report["finding"]
    assert "…" in CATALOGUE[code].fix or "…" not in report["finding"]["fix"], report["finding"]
    assert [hop["id"] for hop in report["hops"] if hop["state"] == "broken"] == [report["finding"]["hop"]]


NOTICED: dict[str, dict[str, Any]] = {
    "N314_HTTP2": {"http2": True},
    "W029_CERT_EXPIRES_SOON": outside(expires="Jan 20 00:00:00 2027 GMT", since="Oct 22 00:00:00 2026 GMT"),
    "W515_STORE_CERT_EXPIRES": {
        "host__project__certificates": [
            {
                "name": "REDIS_URL",
                "place": "10.0.0.10:6379",
                "since": "Jan 20 00:00:00 2025 GMT",
                "expires": "Jan 20 00:00:00 2027 GMT",
            }
        ]
    },
    "W116_DAPHNE_OLD": {"host__project__versions": {"daphne": "4.2.1"}},
    "W115_RUNSERVER_SERVES": {"host__processes__0__server": "runserver"},
    "W119_WSGI_DOWN": {"host__bundle": BUNDLE, "host__wsgi": [{"address": "unix:/run/x.sock", "listening": False}]},
    "W120_SHARED_PATH": {"host__shared": [{"seen": "x is not there", "mend": "install -d x"}]},
    "W513_DATABASE": {"host__project__database_error": "OperationalError: connection refused"},
    "W409_CLOCK": {"skew": 90.0},
    "W606_REDIS_PY_8": {
        "host__project__layer": "channels_redis.core.RedisChannelLayer",
        "host__project__versions": {"daphne": "4.2.3", "redis": "8.0.1"},
    },
    "W608_WEBSOCKET_TIMEOUT": {"host__processes__0__websocket_timeout": 600.0},
    "W412_TOKEN_UNCHECKED": {"host__exchanges__3": came("process", "none")},
    "W509_CAPACITY": {"host__crowded": ["1 of 20 channels over capacity in group chat"]},
    "W904_NOT_ROOT": {"host__user": "1000"},
}


def test_certificate_that_ends_says_what_brings_another() -> None:
    """By where it comes from; of one that this bundle does not know, certbot's own way."""
    soon = {"since": 1.79e9, "ends": 1.8e9 + 86400 * 3 + 5}
    for source, fix in (
        ("acme", "channels-renew"),
        ("provided", "certificate_chain"),
        ("self_signed", "^ansible-playb"),
    ):
        report = judged(host__certificate=certificate(source=source, **soon))
        (finding,) = report["noticed"]
        assert report["ok"] and finding["code"] == "W029_CERT_EXPIRES_SOON"
        assert re.search(fix, finding["fix"]) and "in 3 days" in finding["cause"]


@pytest.mark.parametrize("code", NOTICED)
def test_recorded_notice(code: str) -> None:
    """Warnings and notes are told, and are no verdict."""
    report = judged(**NOTICED[code])
    assert report["ok"], report["finding"]
    assert [each["code"] for each in report["noticed"]] == [code]


def test_a_server_of_development_or_wsgi_is_named_from_outside_alone() -> None:
    for server, code in (("WSGIServer/0.2 CPython/3.11", "E101_RUNSERVER"), ("gunicorn", "E102_WSGI"),
                         ("nginx", "E301_UPGRADE_LOST")):  # fmt: skip
        report = judged(**outside(alone=True, status=404, headers={"server": server}))
        assert report["verdict"] == code


def test_a_proxy_is_not_blamed_for_the_server_behind_it() -> None:
    """The same 500 at each hop is the consumer's; a 403 at each hop is the token's."""
    failing = judged(**everywhere(status=500), host__log=["KeyError: 'team'"])
    assert failing["verdict"] == "E408_CONSUMER_RAISES" and "KeyError" in failing["finding"]["cause"]
    assert judged(**everywhere(status=403))["verdict"] == "E402_TOKEN_BAD"


def test_a_proxy_without_an_answer_is_not_blamed_for_a_server_that_has_none() -> None:
    """A 502 of nginx and a reset of the server: the server has no file left, and its socket's mode is sound."""
    reset = came("process", stage="handshake", reason="Connection reset by peer", status=0)
    report = judged(host__exchanges__0=reset, host__exchanges__1=came("proxy", status=502),
                    outside__0=came("outside", status=502), host__processes__0__files=1024)  # fmt: skip
    assert report["verdict"] == "E110_OPEN_FILES", report["finding"]


def test_the_first_broken_hop_has_the_verdict_and_the_rest_is_noticed() -> None:
    report = judged(host__nginx__route__headers={}, host__exchanges__1=came("proxy", status=404),
                    host__project__layer_error="ConnectionError: Error 111 connecting to 127.0.0.1:6379")  # fmt: skip
    assert report["verdict"] == "E301_UPGRADE_LOST"
    assert [each["code"] for each in report["noticed"]] == ["E501_REDIS_DOWN"]


@pytest.mark.parametrize("line", [
    "ValueError: No route found for path 'ws/nowhere/'.", "redis.exceptions.AuthenticationError: WRONGPASS",
    "[Errno 24] Too many open files", "ModuleNotFoundError: No module named 'core.azgi'",

    "django.core.exceptions.AppRegistryNotReady: Apps aren't loaded yet.",
    'Error loading ASGI app. Attribute "app" not found in module "core.asgi".',
    "ValueError: not enough values to unpack (expected 2, got 1)",
    "redis.exceptions.ResponseError: DB index is out of range",
])  # fmt: skip
def test_log_lines_of_the_field_are_known(line: str) -> None:
    assert sum(bool(re.search(pattern, line)) for pattern, _code in SIGNATURES) >= 1


def test_a_kill_is_for_memory_where_there_is_a_limit() -> None:
    """Under cgroup v1 systemd knows of the signal only; without a limit somebody else has sent it."""
    killed: dict[str, Any] = {"host__servers__0__pid": 0, "host__units__0__result": "signal",
                              "host__units__0__status": "9", "host__units__0__state": "failed",
                              "host__exchanges": []}  # fmt: skip
    assert judged(**killed, host__units__0__memory_max="20971520")["verdict"] == "E106_OUT_OF_MEMORY"
    assert judged(**killed, host__units__0__memory_max="infinity")["verdict"] == "E105_CRASH_LOOP"


def test_only_the_last_life_of_a_process_counts() -> None:
    log = ["Started app.", "AppRegistryNotReady", "app.service: Main process exited, code=exited", "Starting app...",
           "Started app.", "out of luck", "app.service: Main process exited"]  # fmt: skip
    assert last_life(log) == ["out of luck"]


# --- the catalogue and its reference


def test_signatures_and_hops_are_of_the_catalogue() -> None:
    assert {code for _pattern, code in SIGNATURES} <= set(CATALOGUE)
    assert all(entry.hop in HOPS and re.fullmatch(r"[EWN]\d{3}_[A-Z0-9_]+", code) for code, entry in CATALOGUE.items())


def test_the_reference_is_current() -> None:
    """docs/doctor.md has each code of the catalogue with its title, cause and fix, and no other."""
    command = [sys.executable, str(ROOT / "scripts" / "doctor_codes.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_error_is_tried_somewhere() -> None:
    """A code that neither a recorded case nor a test on a host asserts might never come."""
    tests = "".join(path.read_text() for path in (ROOT / "molecule" / "doctor" / "tests").glob("*.py"))
    tests += "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    untried = [code for code in CATALOGUE if f'"{code}"' not in tests]
    assert untried == []


# --- what is told holds no secret, and can be drawn


def test_page_and_lines_escape_and_mask() -> None:
    report = judged(**everywhere(status=500), host__log=["KeyError: '<script>alert(1)</script>'"])
    report |= {"name": "<b>host", "url": URL, "at": "now", "versions": {}}
    text = page(report)
    assert "<script>" not in text and "<b>host" not in text and text.count("<svg") == 1
    assert 'data-hop="origin"' in text and "http://" not in text.replace("http://www.w3.org", "")
    assert "E408_CONSUMER_RAISES" in "\n".join(lines(report, lambda words, _colour: words))


@pytest.mark.parametrize("text", [
    "GET /ws/?token=CANARY-CANARY HTTP/1.1", "redis://channels:CANARY-CANARY@127.0.0.1:6379/0",
    "Cookie: sessionid=CANARY-CANARY; theme=dark", "authorization: Bearer CANARY-CANARY",
    "daphne --password CANARY-CANARY",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlktQ0FOQVJZIn0.CANARY-CANARY",
])  # fmt: skip
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    assert "CANARY" not in json.dumps(scrub({"log": [text]}))


def test_secrets_of_an_environment() -> None:
    found = secrets_of({"SECRET_KEY": "canary-1", "REDIS_URL": "redis://:canary-2@h/0", "KEY_FILE": "/etc/key"})
    assert found == ["canary-1", "canary-2"]


def test_times_in_a_token() -> None:
    assert claims_of("eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3MDAwMDAwMDB9.x") == {"exp": 1700000000.0}
    assert claims_of("not.a.token") == {} and claims_of("opaque") == {}


# --- command lines and nginx


@pytest.mark.parametrize(("command", "kind"), [
    ("/v/bin/python /v/bin/daphne -u /run/a.sock core.asgi:application", ("daphne", True)),
    ("python manage.py runserver 0.0.0.0:8000", ("runserver", False)),
    ("/v/bin/python -m gunicorn core.wsgi", ("gunicorn", False)),
    ("/v/bin/python /v/bin/gunicorn -k uvicorn.workers.UvicornWorker core.asgi:application",
     ("gunicorn with uvicorn workers", True)),
    ("uwsgi --ini app.ini", ("uwsgi", False)),
    ("/v/bin/python -m uvicorn core.asgi:application", ("uvicorn", True)),
    ("journalctl -fu app-daphne", ("", False)), ("tail -f /var/log/daphne.log", ("", False)),
    ("python worker.py", ("", False)),
])  # fmt: skip
def test_servers_are_told_by_their_command_line(command: str, kind: tuple[str, bool]) -> None:
    assert servers.server_kind(command.split()) == kind


# --- the probe, against real servers


def test_probe_sees_what_a_socket_does(daphne: str) -> None:
    def tried(path: str, **options: Any) -> dict[str, Any]:
        return doctor_probe.attempt(f"ws://localhost{path}", via="process", unix_socket=daphne, linger=1.5, **options)

    assert tried("/")["status"] == 101 and tried("/")["close"] is None
    assert tried("/deny/")["status"] == 403
    assert tried("/turn-away/")["close"]["code"] == 4401
    assert tried("/crash-before/")["status"] == 500
    assert tried("/crash-after/")["close"]["code"] == 1011
    assert tried("/slow/")["stage"] == "handshake"
    assert tried("/health/", upgrade=False)["status"] == 200


def test_probe_names_where_the_way_breaks(short_dir: Path, raw_server: Callable[..., SimpleNamespace]) -> None:
    def tried(url: str, **options: Any) -> dict[str, Any]:
        return doctor_probe.attempt(url, via="outside", timeout=1, **options)

    assert tried("ws://no-such-host.invalid/")["stage"] == "name"
    assert "refused" in tried("ws://127.0.0.1:1/")["reason"]
    assert tried("ws://localhost/", unix_socket=str(short_dir / "none.sock"))["stage"] == "socket"
    silent = raw_server(lambda _way, _request: time.sleep(2))
    assert tried(silent.url)["reason"] == "no answer within 1 s"
    assert tried(raw_server(lambda way, _request: way.sendall(b"SSH-2.0\r\n\r\n")).url)["stage"] == "handshake"


def test_certificates_are_told_apart(serve: Callable[..., SimpleNamespace], certificates: SimpleNamespace) -> None:
    """With real servers: expired, for another name, from an unknown authority; and the codes for them."""
    import ssl

    for name, expired, trusting, code in (
        ("localhost", True, True, "E021_CERT_EXPIRED"), ("other.example.org", False, True, "E022_CERT_NAME"),
        ("localhost", False, False, "E024_CERT_UNTRUSTED"),
    ):  # fmt: skip
        server = serve(lambda connection: connection.recv(), ssl=certificates.context(name, expired=expired))
        context = ssl.create_default_context(cafile=certificates.ca) if trusting else None
        found = doctor_probe.attempt(f"wss://localhost:{server.port}/", via="outside", context=context)
        assert judged(outside__0=found)["verdict"] == code, found


@pytest.mark.parametrize(("sent", "trusting", "public", "code"), [
    (1, True, True, "E023_CERT_CHAIN"),  # cert.pem in place of fullchain.pem
    (2, True, True, "OK"), (2, False, True, "E024_CERT_UNTRUSTED"),  # whole, of an authority nobody knows
    (3, False, True, "E024_CERT_UNTRUSTED"),  # with its root
    (1, False, False, "E024_CERT_UNTRUSTED"),  # a company's, which names no place to fetch its issuer from
])  # fmt: skip
def test_an_incomplete_chain_is_told_from_an_unknown_authority(
    sent: int, trusting: bool, public: bool, code: str, chain: Callable[..., SimpleNamespace],
    serve: Callable[..., SimpleNamespace],
) -> None:  # fmt: skip
    import ssl

    made = chain(public=public)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server(sent))
    server = serve(lambda connection: connection.recv(), ssl=context)
    client = ssl.create_default_context(cafile=made.root if trusting else None)
    found = doctor_probe.attempt(f"wss://localhost:{server.port}/", via="outside", context=client)
    report = judged(outside__0=found)
    assert report["verdict"] == code, found
    if code != "OK":
        assert len([line for line in report["finding"]["seen"] if line.startswith("sent: ")]) == sent
        issuer = "CN=throwaway root" if sent > 1 else "CN=throwaway intermediate"
        assert issuer in report["finding"]["cause"]


# --- the proof tells its failures by the doctor's codes


def proven(*results: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The report of a proof with some results, on a host with some changes."""
    evidence = copy.deepcopy(healthy())
    for path, value in changes.items():
        at(evidence, path.replace("__", "."), value)
    return {"name": "app-1", "url": URL, "at": "now", "versions": {}, **report_of(list(results), evidence)}


def test_a_failure_of_the_proof_has_the_finding_of_the_doctor() -> None:
    """The hop's own, else the verdict; in the data, in the lines (once for each cause) and on the page."""
    lost = {"host__nginx__route__headers": {}, "host__exchanges__1": came("proxy", status=404),
            "outside__0": came("outside", status=404)}  # fmt: skip
    report = proven(
        result("handshake_1", "Handshake", "passed", "101"),
        result("handshake_nginx", "Through nginx", "failed", "404"),
        result("outside", "From outside", "failed", "404"), **lost,
    )  # fmt: skip
    asked = judged(**lost)
    assert report["verdict"] == asked["verdict"] == "E301_UPGRADE_LOST" and not report["ok"]
    told = {each["id"]: each for each in report["results"]}
    for name in ("handshake_nginx", "outside"):
        assert {key: told[name][key] for key in ("code", "cause", "fix")} == {
            key: asked["finding"][key] for key in ("code", "cause", "fix")
        }  # fmt: skip
    assert told["handshake_1"]["code"] == "" and "hints" not in told["handshake_1"]
    shown = "\n".join(proof_lines(report["results"]))
    assert shown.count(asked["finding"]["fix"]) == 1 and "E301_UPGRADE_LOST, as above" in shown
    assert 'class="broken" data-hop="proxy"' in page(report) and "Through nginx: 404" in page(report)
    assert [hop["id"] for hop in report["hops"] if hop["state"] == "broken"] == ["proxy"]


def test_what_the_proof_itself_knows_needs_no_diagnosis() -> None:
    """A certain code stands beside another error of the same hop; a guess does not; neither is needed on a host that
    is gone by then, and what nobody can explain says so."""
    logged = result("logs", "Log", "failed", "x.log", code="E414_TOKEN_LOGGED", values={"logs": "x.log"})
    lost = result("broadcast", "Message", "failed", "lost", guess="E512_NOT_SHARED")
    strange = result("http", "HTTP", "failed", "418", fix="Read the answer.")
    codes = [each["code"] for each in proven(logged, lost, strange)["results"]]
    assert codes == ["E414_TOKEN_LOGGED", "E512_NOT_SHARED", "E905_UNEXPLAINED"]
    memory = {"host__project__layer": "channels.layers.InMemoryChannelLayer",
              "host__servers": [{"address": "tcp:127.0.0.1:8001", "pid": 10}, {"address": "tcp:127.0.0.1:8002", "pid": 10}]}  # fmt: skip # noqa: E501
    told = proven(logged, lost, strange, **memory)["results"]
    assert [each["code"] for each in told] == ["E414_TOKEN_LOGGED", "E508_LAYER_MEMORY", "E508_LAYER_MEMORY"]
    assert "x.log" in told[0]["cause"]
    alone = proven(strange)["results"][0]
    assert "418" in alone["cause"] and alone["fix"] == "Read the answer."


@pytest.mark.parametrize(("code", "values"), [
    ("E103_SERVER_MISSING", {}), ("E114_ENVIRONMENT_STALE", {"names": "KEY"}),
    ("E117_NOT_DEPLOYED", {"home": "/srv/a"}),
    ("E411_TOKEN_COMMAND", {"error": "no"}), ("W407_ORIGIN_UNCHECKED", {}), ("W412_TOKEN_UNCHECKED", {"kind": "no"}),
    ("E415_NOT_LOGGED", {"logs": "a.log"}), ("E416_NO_ECHO", {"error": "nothing came"}), ("E906_NO_LIBRARY", {}),
    ("E609_DEAF", {"seconds": "12", "error": "nothing came"}),
])  # fmt: skip
def test_codes_that_the_proof_gives_have_all_their_values(code: str, values: dict[str, str]) -> None:
    entry = proven(result("process", "It works", "failed", "it does not", code=code, values=values))["results"][0]
    assert entry["code"] == code and "…" not in (entry["cause"] + entry["fix"]).replace("(…)", ""), entry


def test_only_from_outside_it_fails() -> None:
    """The host was not examined, as all went well there: what is between is at fault, and nothing else is told."""
    ways = [doctor_probe.opened_exchange("process", "a.sock", {}), doctor_probe.opened_exchange("proxy", "nginx", {})]
    evidence = {"url": URL, "outside": [came("outside", status=404)], "host": {"exchanges": ways}}
    report = report_of([result("outside", "From outside", "failed", "404")], evidence)
    assert (report["verdict"], report["noticed"]) == ("E312_EDGE", []), report


def test_a_proof_that_warns_has_passed() -> None:
    warned = result("redis_py", "redis-py", "warned", "redis-py 8.0", code="W606_REDIS_PY_8", values={"version": "8.0"})
    report = {**report_of([result("outside", "From outside", "passed", "101"), warned], {"url": URL})}
    assert report["ok"] and report["verdict"] == "OK"
    assert [each["code"] for each in report["noticed"]] == ["W606_REDIS_PY_8"]
    assert {hop["id"] for hop in report["hops"] if hop["state"] == "ok"} == {"name", "tcp", "tls", "edge", "idle"}


# --- what mends a host of the bundle


@pytest.mark.parametrize(("code", "changes", "settings"), [
    ("E301_UPGRADE_LOST", {"host__nginx__route__headers": {}, "host__exchanges__1": came("proxy", status=404)}, {}),
    ("E406_ALLOWED_HOSTS",
     {"host__project__allowed_hosts": ["a.example", "b.example"], "host__project__allowed_hosts_from": "HOSTS",
      "host__exchanges__2": came("process", "http", status=400)},
     {"release_environment": {"HOSTS": "a.example,b.example,app.example.org"}}),
    ("E410_CONNECT_SLOW", {**everywhere(stage="handshake", reason="closed without an answer", status=0),
                           "host__processes__0__connect_timeout": 30.0}, {"asgi_websocket_connect_timeout": 60}),
    ("E607_WEBSOCKET_TIMEOUT", {**everywhere(close={"code": 1000, "reason": "", "at": 5.0}),
                                "host__processes__0__websocket_timeout": 4.0}, {"asgi_websocket_timeout": -1}),
])  # fmt: skip
def test_settings_that_mend(code: str, changes: dict[str, Any], settings: dict[str, Any]) -> None:
    """On a host of the bundle a finding has its variables and its playbook; on another one it has neither."""
    finding = judged(host__bundle=BUNDLE, **changes)["finding"]
    assert (finding["code"], finding["settings"]) == (code, settings)
    assert finding["commands"] == ["ansible-playbook site.yml"]
    uvicorn = judged(host__bundle=BUNDLE | {"server": "uvicorn"}, **changes)["finding"]
    assert uvicorn["commands"] == ([] if code == "E410_CONNECT_SLOW" else finding["commands"])
    stranger = judged(**changes)["finding"]
    assert (stranger["code"], stranger["settings"], stranger["commands"]) == (code, {}, [])


def test_settings_that_mend_are_variables_of_roles() -> None:
    """A variable that no role has would be refused by preflight, and mend nothing."""
    documented = (ROOT / "docs" / "variables.md").read_text()
    assert set(MENDS) <= set(CATALOGUE)
    assert [name for mend in MENDS.values() for name in mend.settings if f"`{name}`" not in documented] == []


# --- hosts without systemd, other servers


def test_a_host_without_systemd_is_told_its_own_commands() -> None:
    redis = judged(host__manager="init", host__project__layer_error="ConnectionError: Error 111 connecting to x")
    assert redis["finding"]["fix"].startswith("service redis-server start")
    supervised = BUNDLE | {"manager": "supervisor"}
    programs = [
        {"program": f"app-daphne@r1-abc:r1-abc-{number}", "state": "STOPPED", "text": "", "pid": 0} for number in (1, 2)
    ]
    down: dict[str, Any] = {
        "host__manager": "init", "host__bundle": supervised, "host__units": [], "host__exchanges": [],
        "host__servers": [{"address": "unix:/run/app/r1-abc-2.sock", "pid": 0}],
    }  # fmt: skip
    stopped = judged(**down, host__programs=programs)
    assert stopped["verdict"] == "E104_NOT_RUNNING"
    assert stopped["finding"]["fix"] == "supervisorctl start app-daphne@r1-abc:r1-abc-2"
    unknown = judged(**down)
    assert unknown["finding"]["fix"] == "supervisorctl start 'app-daphne@r1-abc:*'"
    crashed = judged(**down, host__programs=[{**programs[1], "state": "FATAL"}])
    assert crashed["finding"]["fix"] == "app-generations logs r1-abc"
    killed = judged(
        **down, host__programs=[{**programs[1], "state": "FATAL"}], host__kills=["Killed process 9 (python)"]
    )
    assert killed["verdict"] == "E106_OUT_OF_MEMORY"
    assert not re.search(
        "journalctl|systemctl", json.dumps([each["finding"] for each in (stopped, unknown, crashed, killed)])
    )


def test_what_a_host_lacks_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither systemctl nor journalctl, supervisorctl, dmesg or nginx: nothing is found, and nothing is raised."""
    monkeypatch.setattr(raw, "output", lambda *_command, **_options: "")
    monkeypatch.setattr(logs, "manager", lambda: "init")
    assert units.units("app-daphne@r1-", {"app.service"}) == [] and units.supervised() == []
    assert logs.journal(["app.service"]) == [] and logs.kernel_kills(0) == []
    assert logs.program_log("app-1") == []


def test_a_project_that_does_not_answer_is_why_there_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not that the client has sent none."""

    def slow(*_arguments: Any, **_options: Any) -> None:
        raise subprocess.TimeoutExpired("python", 60)

    project = Project(BUNDLE | {"user": "app"}, None, {}, "")
    monkeypatch.setattr(project, "run", slow)
    found = project.ask("core.asgi:application", {"good": ["python", "manage.py", "mint"]})
    changed = {**everywhere(status=403), "token__present": False, "host__project__not_minted": found["not_minted"]}
    report = judged(**changed)
    assert report["verdict"] == "E411_TOKEN_COMMAND" and "within 60 s" in report["finding"]["cause"]


@pytest.mark.parametrize(("name", "command", "address", "meant"), [
    ("app-daphne@r1-2.service", "/srv/app/serve r1-2", "unix:/run/app/r1-2.sock", True),
    ("app-daphne@r1-2.service", "/srv/app/serve r1-2", "unix:/run/app/r1-3.sock", False),
    ("chat.service", "uvicorn --uds /run/chat.sock core.asgi:application", "unix:/run/chat.sock", True),
    ("chat.service", "daphne -p 9001 core.asgi:application", "tcp:127.0.0.1:9001", True),
    ("chat.service", "daphne -p 19001 core.asgi:application", "tcp:127.0.0.1:9001", False),
    ("chat.service", "gunicorn --bind=127.0.0.1:9001 core.wsgi", "tcp:127.0.0.1:9001", True),
])  # fmt: skip
def test_who_should_listen(name: str, command: str, address: str, meant: bool) -> None:
    assert servers.is_to_listen(name, command, address) is meant


def test_a_command_that_is_missing_prints_nothing() -> None:
    assert raw.output("no-such-command-as-this") == ""


def test_an_examination_of_this_machine_raises_nothing() -> None:
    """Whatever is installed here: where PID 1 is no systemd, this is a host without it."""
    examination = Examination({
        "app": "no-such-project", "url": "ws://localhost:1/ws/", "query": "token={token}", "origin": "", "token": "",
        "foreign_origin": "", "token_command": [], "expired_token_command": [], "idle_seconds": 0, "timeout": 1.0,
        "asked_at": time.time() - 100, "probe": "",
    })  # fmt: skip
    examination.examine()
    shown = examination.shown()
    assert "fault" not in shown, shown["fault"]
    assert 99 < shown["skew"] < 110, "a clock that is ahead is not noticed"


@pytest.mark.parametrize(
    ("since", "expires", "soon"),
    [  # it is 2027-01-15, 08:00
        ("Oct 22 00:00:00 2026 GMT", "Jan 28 00:00:00 2027 GMT", True),  # of 98 days, 12 are left
        ("Oct 22 00:00:00 2026 GMT", "Jan 31 00:00:00 2027 GMT", False),
        ("Jan 10 00:00:00 2027 GMT", "Jan 16 16:00:00 2027 GMT", True),  # of 6 days, one is left
        ("Jan 12 00:00:00 2027 GMT", "Jan 18 16:00:00 2027 GMT", False),
        ("", "", False),
    ],
)
def test_certificate_that_should_have_been_renewed(since: str, expires: str, soon: bool) -> None:
    noticed = [one["code"] for one in judged(**outside(since=since, expires=expires))["noticed"]]
    assert noticed == (["W029_CERT_EXPIRES_SOON"] if soon else [])


def test_gunicorn_that_does_not_answer_is_noticed() -> None:
    """It accepts as long as its backlog has room, whatever its worker is at."""
    changed: dict[str, Any] = {
        "host__bundle": BUNDLE, "host__wsgi": [{"address": "unix:/run/x.sock", "listening": True}],
        "host__exchanges__2": came("process", "wsgi", status=0, stage="handshake", reason="no answer within 5 s"),
    }  # fmt: skip
    (noticed,) = judged(**changed)["noticed"]
    assert noticed["code"] == "W119_WSGI_DOWN" and noticed["fix"].startswith("app-generations start r1-abc")
    assert noticed["commands"] == ["ansible-playbook site.yml"]
    assert judged(**changed | {"host__exchanges__2": came("process", "wsgi", status=404)})["noticed"] == []


def test_what_should_outlive_a_release_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "output", lambda *command, **_: "" if "closed" in command[-1] else "yes\n")
    code, shared = tmp_path / "releases" / "r1", tmp_path / "shared"
    for folder in (code / "plain", shared / "right", shared / "closed", shared / "plain", tmp_path / "live"):
        folder.mkdir(parents=True)
    (tmp_path / "live" / "code").symlink_to(code)
    for name in ("right", "closed", "gone", "db.sqlite3"):
        (code / name).symlink_to(shared / name)
    paths = ["right/", "db.sqlite3", "closed/", "gone/", "plain/", "lost.txt"]
    bundle = BUNDLE | {"user": "app", "home": str(tmp_path / "live"), "shared_paths": paths}
    assert [(each["seen"], each["mend"]) for each in deployed.shared(bundle)] == [
        (f"{shared}/closed is not writable for app", f"chown -R app: {shared}/closed"),
        (f"{shared}/gone is not there", f"install -d -o app -g app {shared}/gone"),
        (f"{code}/plain does not lead to {shared}/plain",
         f"mv {code}/plain {code}/plain.aside && ln -s {shared}/plain {code}/plain"),
        (f"{code}/lost.txt does not lead to {shared}/lost.txt", f"ln -s {shared}/lost.txt {code}/lost.txt"),
    ]  # fmt: skip
    assert deployed.shared({}) == []


@pytest.mark.parametrize(("engine", "error"), [("postgresql", "psycopg"), ("sqlite3", ""), ("dummy", "")])
def test_a_project_is_asked_for_its_database(tmp_path: Path, engine: str, error: str) -> None:
    """One that is a file is not: looking for it would make it."""
    (tmp_path / "settings.py").write_text(
        f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.{engine}', 'NAME': 'db.sqlite3'}}}}\n"
        "SECRET_KEY = 'x'\nINSTALLED_APPS = []\n"
    )
    (tmp_path / "served.py").write_text("application = 1\n")
    done = subprocess.run(
        [sys.executable, "-c", text_of("probe.py"), MARK, "served:application", "{}", ""], cwd=tmp_path,
        capture_output=True, text=True, env={"DJANGO_SETTINGS_MODULE": "settings"}, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.rpartition(MARK)[2])
    assert error in found.get("database_error", "nothing") if error else "database_error" not in found, found
    assert not (tmp_path / "db.sqlite3").exists()


def test_a_process_of_uvicorn_on_a_unix_socket() -> None:
    command = "python /srv/a/venv/bin/uvicorn --uds /run/a/r1-1.sock --ws-ping-interval 15 core.asgi:application"
    argv = command.split()
    assert servers.server_kind(argv) == ("uvicorn", True)
    assert servers.application_of(argv) == "core.asgi:application"
    assert servers.number(argv, 20, "--ping-interval", "--ws-ping-interval") == 15
    bundle = BUNDLE | {"unit": "app-uvicorn", "server": "uvicorn"}
    missing = judged(host__bundle=bundle, host__servers__0__pid=0, host__units__0__status="203",
                     host__units__0__result="exit-code", host__units__0__state="failed")  # fmt: skip
    assert missing["verdict"] == "E103_SERVER_MISSING" and "pip install uvicorn" in missing["finding"]["fix"]


@pytest.mark.parametrize(("asked", "carries"), [
    ({"query": "token={token}"}, True),
    ({"query": "", "headers": {"Cookie": "sessionid={token}"}}, True),
    ({"query": "", "subprotocols": ["bearer", "{token}"]}, True),
    ({"query": "room=1", "headers": {"X-Room": "1"}, "subprotocols": ["v1"]}, False),
    ({}, False),
])  # fmt: skip
def test_where_a_handshake_carries_its_token(asked: dict[str, Any], carries: bool) -> None:
    assert doctor_probe.carries_token(asked) is carries


def test_what_a_handshake_offers_beside_its_address() -> None:
    asked = {"headers": {"Cookie": "sessionid={token}", "X-Token": "{token}"}, "subprotocols": ["bearer", "{token}"]}
    assert doctor_probe.offered(asked, "abc") == {
        "headers": {"Cookie": "sessionid=abc", "X-Token": "abc"}, "subprotocols": ["bearer", "abc"],
    }  # fmt: skip
    empty = doctor_probe.offered(asked, "")
    assert empty == {"headers": {"Cookie": "sessionid="}, "subprotocols": ["bearer"]}, "an empty one cannot be sent"
    assert doctor_probe.offered({}, "abc") == {"headers": {}, "subprotocols": []}


def test_an_attempt_sends_what_it_offers(raw_server: Callable[..., SimpleNamespace]) -> None:
    seen: list[bytes] = []

    def talk(way: Any, request: bytes) -> None:
        seen.append(request)
        way.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    asked = {"headers": {"Cookie": "sessionid={token}"}, "subprotocols": ["bearer", "{token}"]}
    url = raw_server(talk).url
    doctor_probe.attempt(url, via="process", **doctor_probe.offered(asked, "abc"))
    doctor_probe.attempt(url, via="process", upgrade=False, **doctor_probe.offered(asked, "abc"))
    assert b"\r\nCookie: sessionid=abc\r\n" in seen[0] and b"\r\nSec-WebSocket-Protocol: bearer, abc\r\n" in seen[0]
    assert b"Sec-WebSocket-Protocol" not in seen[1]


def test_a_proof_says_what_it_could_not_try() -> None:
    report = proven(result("echo", "A message is answered", "skipped", "handshake_send is empty"),
                    result("outside", "Handshake", "passed", "101"))  # fmt: skip
    assert report["ok"] and report["not_proven"] == ["A message is answered"]
    assert list(proof_lines(report["results"]))[-1].endswith("tried with: A message is answered")
    assert "not proven" not in "\n".join(
        proof_lines(proven(result("outside", "Handshake", "passed", "101"))["results"])
    )
