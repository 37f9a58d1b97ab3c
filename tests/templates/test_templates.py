"""What lands on a host parses, whatever the options, and says what the options say."""

from __future__ import annotations

import ast
import asyncio
import configparser
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

import pytest
from ansible_collections.channels.stack.plugins.module_utils.generation.specification import description_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nginx_parsed import found, location, parsed_nginx

Render = Callable[..., str]
Specify = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nginx_server_names": ["a.example.org", "b.example.org"]},
        {"nginx_static_url": ""},
        {"nginx_static_url": "/assets/", "nginx_static_seconds": 0},
        {"nginx_websocket_paths": ["/ws/", "/live/"], "nginx_websocket_timeout": 86400},
        {"nginx_websocket_paths": []},
        {"nginx_websocket_paths": ["/", "/chat/", "/chat/"]},
        {"nginx_media_url": "/media/"},
        {"nginx_media_url": "/media/", "nginx_static_url": ""},
        {"nginx_http_port": 8081, "nginx_local_port": 9000, "nginx_header_buffers": "4 64k"},
        {"asgi_processes": 7},
        {"asgi_http": "wsgi"},
        {"nginx_path_prefix": "/chat", "nginx_media_url": "/media/", "nginx_websocket_paths": ["/", "/ws/"]},
        {"maintenance": "on", "nginx_maintenance_allow": ["127.0.0.1", "10.0.0.0/8"]},
    ],
)
def test_nginx_parses(tmp_path: Path, render: Render, options: dict[str, Any]) -> None:
    parsed_nginx(tmp_path, render, **options)


def test_nginx_overwrites_what_a_client_could_claim(tmp_path: Path, render: Render) -> None:
    headers = {
        entry["args"][0]: entry["args"][1] for entry in found(parsed_nginx(tmp_path, render), "proxy_set_header")
    }
    assert headers == {
        "Upgrade": "$http_upgrade",
        "Connection": "$connection_upgrade",
        "Host": "$http_host",
        "X-Forwarded-For": "$remote_addr",
        "X-Forwarded-Proto": "$scheme",
        "X-Forwarded-Host": "$http_host",
        "X-Forwarded-Port": "$server_port",
        "X-Real-IP": "$remote_addr",
        "X-Request-ID": "$request_id",
        "Forwarded": "",
        "Daphne-Root-Path": "",
    }


def test_nginx_location_sets_no_header_of_its_own(tmp_path: Path, render: Render) -> None:
    """One proxy_set_header in a location would drop all those of the server, the upgrade among them."""
    for entry in found(parsed_nginx(tmp_path, render), "location"):
        assert not found(entry["block"], "proxy_set_header"), entry["args"]


def test_nginx_timeouts_follow_the_options(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_websocket_timeout=7200, nginx_http_timeout=30)
    for path, seconds in (("/ws/", "7200s"), ("/", "30s")):
        for directive in ("proxy_read_timeout", "proxy_send_timeout"):
            assert [entry["args"] for entry in found(location(parsed, path), directive)] == [[seconds]]


def test_nginx_path_may_be_that_of_everything(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_websocket_paths=["/"], nginx_websocket_timeout=7200)
    assert [entry["args"] for entry in found(location(parsed, "/"), "proxy_read_timeout")] == [["7200s"]]


def test_nginx_has_the_project_below_a_path(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_path_prefix="/chat", nginx_media_url="/media/")
    paths = {" ".join(entry["args"]) for entry in found(parsed, "location")}
    below = {"/chat/", "/chat/ws/", "/chat/static/", "/static/", "/chat/media/", "/media/", "= /chat", "/"}
    named = {f"@dash-board_{name}" for name in ("before", "headers", "maintenance", "too_fast", "too_many")}
    assert paths == {*below, *named}
    assert [entry["args"] for entry in found(location(parsed, "/"), "return")] == [["404"]]


@pytest.mark.parametrize(
    ("name", "hashed"),
    [
        ("css/base.27e20196a850.css", True),  # Django's manifest storage
        ("js/admin.min.27e20196a850.js", True),
        ("LICENSE.27e20196a850", True),
        ("js/main.27e20196a850.js.map", True),
        ("js/main.073c9b0a.js", True),  # webpack, Create React App
        ("js/2.073c9b0a.chunk.js", True),
        ("js/runtime.8f3a1b2c9d4e5f607182.js", True),
        ("assets/index-BZTsK4sX.js", True),  # Vite
        ("assets/main-5K2JX7QW.js", True),  # esbuild
        ("css/base.css", False),
        ("reports/report.20240101.pdf", False),  # a date
        ("reports/report.202401011200.csv", False),
        ("js/jquery-fallback.js", False),  # words
        ("js/jquery.deadbeef.js", False),
        ("js/my-Version2.js", False),
        ("js/lib-1.2.3456.js", False),
        ("images/photo-IMG20240.jpg", False),
    ],
)
def test_hashed_names_are_told_from_others(render: Render, name: str, hashed: bool) -> None:
    block = render("nginx/site.conf.j2").split("static_cache {")[1].split("}\n\n")[0]
    patterns = re.findall(r'^    "~(.*)" "public, max-age=31536000, immutable";$', block, re.MULTILINE)
    assert len(patterns) == 2
    assert any(re.search(pattern, f"/static/{name}") for pattern in patterns) == hashed


def test_nginx_local_port_is_on_loopback_only(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, nginx_local_port=8123)
    assert ["127.0.0.1:8123"] in [entry["args"] for entry in found(parsed, "listen")]
    assert not [entry for entry in found(parsed, "listen") if entry["args"][0] in ("8123", "*:8123", "[::]:8123")]


def test_nginx_script_has_as_many_files_as_the_machine_allows(render: Render) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = hard if hard != resource.RLIM_INFINITY else 65536
    settings_read = render("nginx/open_files.sh.j2")
    nobody = None if os.geteuid() else 65534  # root might raise what is set here
    for limit in {min(allowed, 65536), min(allowed, 4096)}:
        script = f"ulimit -n {limit}; ulimit -S -n 256\n{settings_read}\nulimit -n"
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, user=nobody, cwd="/")
        assert (done.stdout, done.stderr) == (f"{limit}\n", "")


def test_upstream_names_each_process_and_never_bans_one(tmp_path: Path, render: Render) -> None:
    parsed = parsed_nginx(tmp_path, render, asgi_processes=3)
    (upstream,) = found(parsed, "upstream")
    servers = [entry["args"] for entry in upstream["block"] if entry["directive"] == "server"]
    assert [args[0] for args in servers] == [f"unix:/run/dash-board/0123456789ab-c0ffee-{n}.sock" for n in (1, 2, 3)]
    assert all("max_fails=0" in args for args in servers)


@pytest.mark.parametrize(("http", "plain"), [("asgi", "dash-board"), ("wsgi", "dash-board_wsgi")])
def test_plain_http_has_its_processes(tmp_path: Path, render: Render, http: str, plain: str) -> None:
    """What they are is said in a file that a switch replaces, so that the site is right before it and after it."""
    parsed = parsed_nginx(tmp_path, render, asgi_http=http, asgi_processes=2)
    assert [entry["args"] for entry in found(location(parsed, "/"), "proxy_pass")] == [["http://$dash_board_http"]]
    assert [entry["args"] for entry in found(location(parsed, "/ws/"), "proxy_pass")] == [["http://dash-board"]]
    (led,) = [entry for entry in found(parsed, "map") if entry["args"][-1] == "$dash_board_http"]
    values = {entry["directive"]: entry["args"][0] for entry in led["block"]}
    assert values == {"default": plain, "~*^websocket$": "dash-board"}
    upstreams = {entry["args"][0]: entry["block"] for entry in found(parsed, "upstream")}
    assert set(upstreams) == {"dash-board", plain}
    servers = [entry["args"][0] for entry in upstreams[plain] if entry["directive"] == "server"]
    end = ".wsgi.sock" if http == "wsgi" else ".sock"
    assert servers == [f"unix:/run/dash-board/0123456789ab-c0ffee-{n}{end}" for n in (1, 2)]


def test_processes_for_plain_http_are_a_kind_of_their_own(generation: Specify) -> None:
    document = generation(asgi_http="wsgi", asgi_workers=[{"name": "q", "command": "x"}])
    described = json.loads(description_of(document))
    assert described["wsgi"]["unit"] == "dash-board-wsgi" and len(described["wsgi"]["instances"]) == 3
    assert [worker["name"] for worker in described["workers"]] == ["q"]
    assert json.loads(description_of(generation()))["wsgi"] == {}
    units = {entry["path"]: entry["content"] for entry in generation(asgi_http="wsgi")["manager_files"]}
    assert set(units) == {f"dash-board-{kind}.service" for kind in ("daphne", "wsgi")}
    ours, theirs = (units[f"dash-board-{kind}.service"].splitlines() for kind in ("wsgi", "daphne"))
    differing = [line for line in ours if line not in theirs]
    assert {line.partition("=")[0] for line in differing} == {"Description", "ExecStart", "SyslogIdentifier"}
    (gunicorn,) = (entry["content"] for entry in document["files"] if entry["path"] == "gunicorn.conf.py")
    compile(gunicorn, "gunicorn.conf.py", "exec")


@pytest.mark.parametrize(
    ("path", "rest"), [("/chat/ws/x/", "/ws/x/"), ("/chat/", "/"), ("/chat", "/"), ("/chatter/", None), ("/", None)]
)
def test_application_below_a_path(
    tmp_path: Path, render: Render, monkeypatch: pytest.MonkeyPatch, path: str, rest: str | None
) -> None:
    """Django takes a prefix off a whole path; Channels' routing of every version looks at what is left first."""
    (tmp_path / "belowproject.py").write_text(
        "seen = []\nclass Site:\n    async def application(scope, receive, send):\n        seen.append(scope)\n"
    )
    mount = render("asgi/asgi_mount.py.j2", nginx_path_prefix="/chat", asgi_application="belowproject:Site.application")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "belowproject", raising=False)
    module: dict[str, Any] = {}
    exec(compile(mount, "asgi_mount.py", "exec"), module)
    for kind in ("http", "websocket"):
        asyncio.run(module["application"]({"type": kind, "path": path, "root_path": ""}, None, None))
        (scope,) = sys.modules["belowproject"].seen
        sys.modules["belowproject"].seen.clear()
        assert scope["path"] == path and scope.get("path_remaining") == rest
        assert scope["root_path"] == ("/chat" if rest else "")
    asyncio.run(module["application"]({"type": "lifespan"}, None, None))


@pytest.mark.parametrize(
    ("cores", "memory", "processes"),
    [("1", "4000", 2), ("2", "4000", 2), ("8", "4000", 8), ("8", "1000", 3), ("8", "400", 2)],
)
def test_processes_follow_cores_and_memory(generation: Specify, cores: str, memory: str, processes: int) -> None:
    host = {"cores": cores, "memory_mb": memory}
    described = generation(preflight_host=host)
    assert len(described["sockets"]) == len(described["instances"]) == processes


@pytest.mark.parametrize(("first", "lines"), [("host", 2), ("another", 1)])
def test_singleton_with_a_schedule_is_run_on_the_first_host_only(generation: Specify, first: str, lines: int) -> None:
    workers = [
        {"name": "once", "command": "x", "schedule": "0 3 * * *", "singleton": True},
        {"name": "each", "command": "x", "schedule": "0 4 * * *"},
    ]
    files = generation(asgi_workers=workers, groups={"app": [first]})["files"]
    (text,) = (entry["content"] for entry in files if entry["path"] == "cron")
    assert text.count(" root ") == lines and "0 4 * * * root" in text


@pytest.mark.parametrize("options", [{}, {"asgi_memory_max": "512M", "asgi_open_files": 20000, "asgi_stop_seconds": 3}])
def test_unit_parses(generation: Specify, options: dict[str, Any]) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    (entry,) = generation(**options)["manager_files"]
    assert entry["path"] == "dash-board-daphne.service"
    unit.read_string(entry["content"])
    service = unit["Service"]
    assert service["ExecStart"] == "/srv/dash-board/instances/%i/serve %i"
    assert service["User"] == service["Group"] == "dash-board"
    assert service["Restart"] == "always"
    assert service["LimitNOFILE"] == str(options.get("asgi_open_files", 65536))
    assert service["TimeoutStopSec"] == str(options.get("asgi_stop_seconds", 10))
    assert service.get("MemoryMax") == options.get("asgi_memory_max")
    assert "s3cr3t" not in entry["content"]


@pytest.mark.parametrize(
    "script",
    [
        "asgi/run_in_env.j2",
        "asgi/server.j2",
        "asgi/manage.j2",
        "asgi/launch.j2",
        "asgi/worker.j2",
        "asgi/wsgi_server.j2",
    ],
)
def test_scripts_parse(render: Render, script: str) -> None:
    subprocess.run(["sh", "-n"], input=render(script), text=True, check=True)


NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,11}", fullmatch=True).map(lambda name: f"APP_{name}")
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@given(values=st.dictionaries(NAMES, VALUES, max_size=6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_environment_arrives_as_it_was_written(tmp_path: Path, render: Render, values: dict[str, str]) -> None:
    """Whatever a value holds, sh reads back just that."""
    file = tmp_path / "env"
    file.write_text(render("asgi/env.j2", release_environment=values, release_secrets={}))
    shown = subprocess.run(
        ["sh", "-c", f"set -a; . {file}; env -0"], capture_output=True, check=True, env={"PATH": "/usr/bin:/bin"}
    ).stdout.decode()
    running = dict(entry.split("=", 1) for entry in shown.split("\0") if "=" in entry)
    assert {name: value for name, value in running.items() if name.startswith("APP_")} == values


def test_environment_of_who_calls_does_not_arrive(tmp_path: Path, render: Render) -> None:
    """An operator's own DJANGO_SETTINGS_MODULE would have `<app>-manage migrate` act on another database."""
    (tmp_path / "env").write_text(render("asgi/env.j2", release_environment={"WANTED": "yes"}, release_secrets={}))
    script = render("asgi/run_in_env.j2")
    generation = re.search(r"ASGI_GENERATION=(\S+)", script)
    assert generation
    script = re.sub(r"^\. .*/env$", f". {tmp_path}/env", script, flags=re.MULTILINE)
    script = re.sub(r"^cd .*$", f"cd {tmp_path}", script, flags=re.MULTILINE)
    (tmp_path / "within").write_text(script)
    (tmp_path / "within").chmod(0o755)
    stray = {"DJANGO_SETTINGS_MODULE": "other.settings", "PYTHONPATH": "/other", "ASGI_GENERATION": "other"}
    given = {"PATH": "/usr/bin:/bin", "TERM": "xterm mono", "ASGI_INSTANCE": "some-1", **stray}
    shown = subprocess.run(
        [tmp_path / "within", "/usr/bin/env", "-0"], capture_output=True, check=True, env=given, text=True
    ).stdout
    running = dict(entry.split("=", 1) for entry in shown.split("\0") if "=" in entry)
    assert running["WANTED"] == "yes"
    assert (running["TERM"], running["ASGI_INSTANCE"]) == ("xterm mono", "some-1")
    assert running["ASGI_GENERATION"] == generation[1]
    assert "PYTHONPATH" not in running
    assert running.get("DJANGO_SETTINGS_MODULE") != "other.settings"


@pytest.mark.parametrize(("memory", "limit"), [("100", "64mb"), ("2000", "400mb")])
def test_redis_limit_follows_the_memory(render: Render, memory: str, limit: str) -> None:
    lines = render("redis/redis.conf.j2", preflight_host={"memory_mb": memory}).splitlines()
    options = dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    assert options["maxmemory"] == limit
    assert options["maxmemory-policy"] == "noeviction"
    assert options["timeout"] == "0"
    assert options["bind"] == "127.0.0.1"


def test_redis_users_hold_no_password(render: Render) -> None:
    acl = render("redis/project.acl.j2", redis_extra_users=["user cache on #00 ~cache:* +@read"])
    lines = [line for line in acl.splitlines() if not line.startswith("#")]
    assert lines[0].startswith("user channels on #") and " -@all " in lines[0] and "~asgi* &asgi*" in lines[0]
    assert lines[1:] == ["user cache on #00 ~cache:* +@read"]
    assert "correct horse" not in acl
    assert "# project=dash-board user=channels prefix=asgi database=0 anonymous=no\n" in acl


def test_redis_user_without_password_may_do_what_the_layer_does(render: Render) -> None:
    """The same commands on the same names, and SELECT only where there is another database to select."""
    named, anonymous = [
        line
        for line in render("redis/project.acl.j2", redis_anonymous=True, redis_database=1).splitlines()
        if line.startswith("user ")
    ]
    assert anonymous.startswith("user default on nopass ~asgi* &asgi* -@all ") and anonymous.endswith(" +select")
    assert named.split()[4:] == anonymous.split()[4:]
    alone = render("redis/project.acl.j2", redis_anonymous=True, redis_password="")
    assert [line.split()[1] for line in alone.splitlines() if line.startswith("user ")] == ["default"]
    assert "+select" not in alone and " user=- " in alone


def test_own_files_of_a_release_keep_secrets_apart(render: Render, tmp_path: Path) -> None:
    """What may be shown stands with its file, what is secret nowhere but among the secrets; texts stay as they are."""
    template = tmp_path / "config.json.j2"
    template.write_text('{"key": "{{ release_secrets.SECRET_KEY }}"}\n')
    own = [
        {"path": "a/b/c.json", "template": str(template)},
        {"path": "a/.env", "content": "DEBUG=no\n", "secret": False, "mode": "0644"},
        {"path": "../conf.d/b/x", "content": "", "secret": False},
        {"path": "../config.yml", "content": "", "secret": False},
    ]
    told = json.loads(render("release/release_files.json.j2", release_files=own))
    assert told["secrets"] == {"a/b/c.json": '{"key": "s3cr3t"}\n'}
    assert "s3cr3t" not in str(told["entries"])
    assert [entry["path"] for entry in told["entries"]] == [
        "a", "a/b", "../conf.d", "../conf.d/b", "a/b/c.json", "a/.env", "../conf.d/b/x", "../config.yml",
    ]  # fmt: skip
    assert told["entries"][4] == {"path": "a/b/c.json", "group": "dash-board", "mode": "0640", "secret": "a/b/c.json"}
    assert told["entries"][5]["content"] == "DEBUG=no\n"


def setting(text: str, name: str) -> int:
    """A number among settings of PostgreSQL."""
    found = re.search(rf"^{name} = (\d+)(MB)?$", text, re.MULTILINE)
    assert found, f"{name} is not in:\n{text}"
    return int(found[1])


@pytest.mark.parametrize("memory", [256, 1024, 4000, 64000, 1000000])
@pytest.mark.parametrize("groups", [["app", "database", "redis"], ["database"]])
def test_postgresql_fits_into_the_memory(render: Render, memory: int, groups: list[str]) -> None:
    """Shared or not, small or large: all sorts at once stay within what the host has, or are at their least."""
    machine = {"cores": "4", "memory_mb": str(memory), "version": "12"}
    given = {"preflight_host": machine, "group_names": groups}
    start, again = (render(f"postgresql/{name}.conf.j2", **given) for name in ("start", "reload"))
    share = 0.3 if "app" in groups else 0.8
    assert setting(again, "effective_cache_size") == int(memory * share)
    assert 16 <= setting(start, "shared_buffers") <= max(16, memory * 0.25)
    work = setting(again, "work_mem")
    assert work == 4 or work * setting(start, "max_connections") <= memory * share / 4
    assert 16 <= setting(again, "maintenance_work_mem") <= 1024


def test_postgresql_has_connections_for_all_processes(render: Render) -> None:
    """Ten for each process and worker, of the generation that serves and of the one before it."""
    small, large = ({"preflight_host": {"processes": 2, "all_processes": number}} for number in (2, 12))
    for hosts, wanted in (({"a": small}, 100), ({"a": small, "b": large}, 20 + 20 * (2 + 12))):
        text = render("postgresql/start.conf.j2", groups={"app": list(hosts), "database": ["host"]}, hostvars=hosts)
        assert setting(text, "max_connections") == wanted


@pytest.mark.parametrize(
    ("asked", "has", "wanted"),
    [
        ("a b", "900", 20 + 20 * (2 + 12)),  # all were asked: fewer than before are right
        ("b", "900", 900),
        ("b", "", 20 + 20 * (2 + 12)),
        ("", "260", 260),
        ("", "", 100),
    ],
)
def test_postgresql_keeps_connections_for_hosts_that_were_not_asked(
    render: Render, asked: str, has: str, wanted: int
) -> None:
    """A run with a limit knows nothing of the others, and must not restart the database with too few."""
    counts = {"a": 2, "b": 12}
    hosts = {name: {"preflight_host": {"all_processes": counts[name]}} if name in asked else {} for name in counts}
    machine = {"cores": "2", "memory_mb": "2000", "postgresql_connections": has}
    given = {"groups": {"app": list(hosts), "database": ["host"]}, "hostvars": hosts, "preflight_host": machine}
    assert setting(render("postgresql/start.conf.j2", **given), "max_connections") == wanted


def test_postgresql_is_open_to_the_app_hosts_alone(render: Render) -> None:
    hosts = {"host": {}, "b": {"private_address": "10.0.0.5"}, "c": {"private_address": "fd00::5"}}
    given = {"groups": {"app": list(hosts), "database": ["host"]}, "hostvars": hosts, "private_address": "10.0.0.4"}
    for kind, tls in (("hostssl", {}), ("host", {"postgresql_tls": False})):
        assert render("postgresql/pg_hba.conf.j2", **given, **tls).splitlines() == [
            "host dash_board dash_board,dash_board__b 127.0.0.1/32 scram-sha-256",
            f"{kind} dash_board dash_board,dash_board__b 10.0.0.5/32 scram-sha-256",
            f"{kind} dash_board dash_board,dash_board__b fd00::5/128 scram-sha-256",
        ]
    apart = {**given, "postgresql_clients": ["127.1.0.0/16", "::1/128", "::12"]}
    kinds = [line.split()[0] for line in render("postgresql/pg_hba.conf.j2", **apart).splitlines()]
    assert kinds == ["host", "host", "hostssl"]
    assert "listen_addresses = '127.0.0.1, 10.0.0.4'" in render("postgresql/start.conf.j2", **given)
    assert "listen_addresses = '127.0.0.1'\n" in render("postgresql/start.conf.j2")
    assert "10.1.0.0/16 scram" in render("postgresql/pg_hba.conf.j2", postgresql_clients=["10.1.0.0/16"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(password=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_url_of_the_database_brings_its_password_whole(evaluate: Render, password: str) -> None:
    """Whatever is in it, each reader of URLs finds it again."""
    url = urlsplit(evaluate("postgresql_url", postgresql_password=password))
    assert (url.scheme, url.hostname, url.port, url.path) == ("postgresql", "127.0.0.1", 5432, "/dash_board")
    assert url.username == "dash_board" and unquote(url.password or "") == unquote_plus(url.password or "") == password


@pytest.mark.parametrize(("login", "name"), [({}, "dash_board"), ("a", "dash_board"), ("b", "dash_board__b")])
def test_project_logs_in_to_postgresql_as_the_vault_says(evaluate: Render, login: Any, name: str) -> None:
    given = {"vault_postgresql_login": login} if login else {}
    assert evaluate("postgresql_login", **given) == name
    assert urlsplit(evaluate("postgresql_url", **given)).username == name


def test_url_of_a_database_elsewhere(evaluate: Render) -> None:
    hosts = {"host": {}, "db": {"private_address": "fd00::7"}}
    url = evaluate("postgresql_url", groups={"app": ["host"], "database": ["db"]}, hostvars=hosts)
    query = "?sslmode=verify-full&sslrootcert=/etc/dash-board/stores.pem"
    assert url.endswith(f"@[fd00::7]:5432/dash_board{query}")
    hosts["app2"] = {}
    here = {"groups": {"app": ["host", "app2"], "database": ["host"]}, "hostvars": hosts}
    assert evaluate("postgresql_url", **here).endswith("@127.0.0.1:5432/dash_board")
    assert not evaluate("postgresql_url", **{**here, "groups": {"app": ["host"], "database": ["db"]}},
                        postgresql_tls=False).endswith("pem")  # fmt: skip


APART = {"groups": {"app": ["host"], "redis": ["r"]}, "hostvars": {"host": {}, "r": {"private_address": "fd00::7"}}}


@pytest.mark.parametrize(
    ("given", "scheme", "place"),
    [
        ({}, "redis", "127.0.0.1:6379"),
        (APART, "rediss", "[fd00::7]:6379"),
        ({**APART, "redis_tls": False}, "redis", "[fd00::7]:6379"),
        # Redis on the only app host, and open to others all the same.
        ({"hostvars": {"host": {"redis_bind": ["127.0.0.1", "-10.0.0.4"]}}}, "rediss", "127.0.0.1:6379"),
        ({"hostvars": {"host": {"redis_bind": ["127.0.0.1", "-::1"]}}, "redis_port": 6390}, "redis", "127.0.0.1:6390"),
        ({"groups": {"app": ["host", "b"], "redis": ["host"]}}, "rediss", "127.0.0.1:6379"),
    ],
)
def test_url_of_redis(evaluate: Render, given: dict[str, Any], scheme: str, place: str) -> None:
    """Its password comes whole to who reads it, and over TLS its certificate and name are verified."""
    url = urlsplit(evaluate("redis_url", redis_password="p@ss/ %?#:é", redis_database=3, **given))
    assert (url.scheme, url.netloc.rpartition("@")[2], url.path) == (scheme, place, "/3")
    assert (url.username, unquote(url.password or "")) == ("channels", "p@ss/ %?#:é")
    trust = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true", "ssl_ca_certs": "/etc/dash-board/stores.pem"}
    assert dict(parse_qsl(url.query)) == (trust if scheme == "rediss" else {})
    assert urlsplit(evaluate("redis_url", redis_password="", **given)).username is None


def test_urls_of_several_redises(evaluate: Render) -> None:
    """In the same order on each host, whose own Redis is one of them; with commas, which none of them has."""
    places = {"host": {"private_address": "10.0.0.1"}, "r": {"private_address": "fd00::7"}}
    given = {"groups": {"app": ["host"], "redis": ["host", "r"]}, "hostvars": places, "private_address": "10.0.0.1"}
    found = evaluate("redis_urls", redis_password="p,ss", redis_sharded=True, **given).split(",")
    assert [urlsplit(url).netloc.rpartition("@")[2] for url in found] == ["10.0.0.1:6379", "[fd00::7]:6379"]
    assert {urlsplit(url).scheme for url in found} == {"rediss"}
    assert {unquote(urlsplit(url).password or "") for url in found} == {"p,ss"}
    assert evaluate("redis_bind", redis_sharded=True, **given) == "['127.0.0.1', '10.0.0.1']"
    assert evaluate("redis_urls", **given) == evaluate("redis_url", **given)


def test_edges_are_proven_one_by_one(evaluate: Render) -> None:
    """At their own addresses, and at the one that they share; an IPv6 address is in brackets."""
    places = {"e1": {"ansible_host": "203.0.113.1"}, "e2": {"ansible_host": "fd00::2"}, "e3": {}}
    given = {"groups": {"app": ["host"], "proxy": [*places]}, "hostvars": {"host": {}, **places}}
    found = evaluate("handshake_edges", keepalived_address="fd00::100/64", nginx_http_port=80, **given)
    wanted = {"e1": "203.0.113.1:80", "e2": "[fd00::2]:80", "e3": "e3:80", "keepalived_address": "[fd00::100]:80"}
    assert ast.literal_eval(found) == wanted


@pytest.mark.parametrize(
    ("aliases", "there", "right"),
    [
        ({}, "", True),
        ({}, "# BEGIN names of shop;10.0.0.1 db;# END names of shop;", True),
        ({}, "# BEGIN names of dash-board;10.0.0.1 db;# END names of dash-board;", False),
        (
            {"d": "10.0.0.1", "a": "::1"},
            "# BEGIN names of dash-board;::1 a;10.0.0.1 d;# END names of dash-board;",
            True,
        ),
        ({"db": "10.0.0.1"}, "# BEGIN names of dash-board;10.0.0.2 db;# END names of dash-board;", False),
        ({"db": "10.0.0.1"}, "# BEGIN names of dash-board;10.0.0.1 db;10.0.0.1 x;# END names of dash-board;", False),
        ({"db": "10.0.0.1"}, "# BEGIN names of dash;10.0.0.1 db;# END names of dash;", False),
        ({"db": "10.0.0.1"}, "", False),
    ],
)
def test_names_of_hosts_are_looked_at_before_anything_is_done(
    evaluate: Render, aliases: dict[str, str], there: str, right: bool
) -> None:
    """What the preflight has read of /etc/hosts tells whether there is something to do, for this project's block."""
    machine = {"host_aliases": there}
    assert evaluate("_base_aliases_right", base_host_aliases=aliases, preflight_host=machine) == str(right)


@pytest.mark.parametrize(
    ("found", "stopped"),
    [
        ([], []),  # a host that was never provisioned
        (["/usr/sbin/nginx", "/usr/bin/supervisord"], ["nginx", "supervisor"]),
        (["/srv/other/generations", "/usr/sbin/nginx", "/usr/bin/supervisord"], []),
        (["/etc/nginx/conf.d/other.conf", "/usr/sbin/nginx", "/usr/bin/supervisord"], ["supervisor"]),
        (["/run/supervisor/conf.d/x.conf", "/usr/sbin/nginx", "/usr/bin/supervisord"], ["nginx"]),
    ],
)
def test_daemons_run_on_for_others(evaluate: Render, found: list[str], stopped: list[str]) -> None:
    known = {"__remove_others": {"stdout": "\n".join(found)}, "preflight_host": {"manager": "supervisor"}}
    assert evaluate("_remove_shared", **known) == str(stopped)


def rejected(render: Render, failure: dict[str, Any], log: str = "") -> str:
    """What is told of a release that a failure has rejected."""
    return render("asgi/rejection.j2", ansible_failed_result=failure, ansible_failed_task={"name": "A task succeeds"},
                  __asgi_log={"stdout": log, "stdout_lines": log.splitlines()})  # fmt: skip


def test_rejection_tells_the_failure_the_log_and_what_changes_it(render: Render) -> None:
    """The reason may be above the last lines that are shown, or in the log alone; systemd's lines are no reason."""
    above = {"msg": "non-zero return code", "stderr": "ModuleNotFoundError: No module named 'yaml'\n" + "line\n" * 40}
    told = rejected(render, above)
    assert told.startswith("Release v1 (0123456789ab) was rejected on host; nothing was switched")
    assert "At: A task succeeds\nnon-zero return code\n" in told and told.count("line\n") == 15
    assert "log" not in told.partition("What changes it:")[0]
    assert "What changes it:\n  No installed package provides the module yaml. Write release_packages: [PyYAML]" in told
    items = {"results": [{"item": "a", "failed": False}, {"item": "b", "failed": True, "msg": "it broke"}]}
    told = rejected(
        render, items, "Started x.\nValueError: No application configured for scope type 'http'\nStopped x."
    )
    assert "it broke\nOf: b" in told and "Started" not in told
    assert "processes:\nValueError: No application" in told and told.rstrip().endswith(
        "asgi_wsgi_application: core.wsgi:application"
    )
    silent = rejected(render, {"msg": "it hangs before it listens"}, "Started x.")
    assert "logged nothing. They were given 60 s (asgi_start_seconds)" in silent
    assert "What changes it" not in rejected(render, {"msg": "nobody knows this one"})
