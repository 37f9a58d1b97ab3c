"""How processes are started, confined, limited and ended: what a service manager reads, and each script."""

from __future__ import annotations

import configparser
import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.channels.stack.plugins.module_utils.generation.specification import description_of

Render = Callable[..., str]
Specify = Callable[..., dict[str, Any]]
Script = Callable[..., subprocess.CompletedProcess[str]]
GENERATION = "0123456789ab-c0ffee"
SANDBOX = {
    "ProtectSystem": "strict",
    "ReadWritePaths": "/srv/dash-board/shared + /run/dash-board",
    "ProtectHome": "yes",
    "UMask": "0027",  # what the project writes is nobody else's
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "PrivateIPC": "yes",
    "PrivateMounts": "yes",
    "DevicePolicy": "closed",
    "KeyringMode": "private",
    "LimitCORE": "0",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectProc": "invisible",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "RemoveIPC": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallFilter": "@system-service + ~@privileged @resources + @chown",
    "SystemCallErrorNumber": "EPERM",  # a library that probes for a call must not die of it
}
ADDING = ("ReadWritePaths", "SystemCallFilter")  # of which several lines add up
WORKERS = [
    {"name": "queue", "command": "celery -A core worker", "number": 2, "stop_signal": "INT", "stop_seconds": 90},
    {"name": "nightly", "command": "python manage.py clearsessions && echo it\\'s done", "schedule": "0 3 * * *"},
]


APART = """#!/bin/sh
while [ "$1" != true ] && [ "$1" != -- ]; do shift; done
[ "$1" = true ] || { shift; exec "$@"; }
"""


def added_up(text: str) -> str:
    """Return a unit's text with one line for each name of which several lines add up."""
    lines: list[str] = []
    first: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name in first:
            lines[first[name]] += f" + {value}"
            continue
        if name in ADDING:
            first[name] = len(lines)
        lines.append(line)
    return "\n".join(lines)


def parsed(text: str) -> dict[str, dict[str, str]]:
    """Return the sections of a file that systemd or supervisor reads; a setting that stands there twice is an error."""
    parser = configparser.ConfigParser(strict=True, interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(added_up(text))
    return {name: dict(parser[name]) for name in parser.sections()}


def units(generation: Specify, **options: Any) -> dict[str, dict[str, dict[str, str]]]:
    """Return what systemd reads of each kind of processes, by the kind's name."""
    entries = generation(**options)["manager_files"]
    return {entry["path"].removesuffix(".service"): parsed(entry["content"]) for entry in entries}


def test_unit_of_what_serves(generation: Specify) -> None:
    (unit,) = units(generation, asgi_memory_max="512M", asgi_open_files=20000, asgi_stop_seconds=7).values()
    assert unit == {
        "Unit": {
            "Description": "dash-board: daphne process %i",
            "After": "network-online.target redis-server.service",
            "Wants": "network-online.target",
            "StartLimitIntervalSec": "0",  # tried again for as long as it takes
        },
        "Service": {
            "Type": "exec",
            "User": "dash-board",
            "Group": "dash-board",
            "ExecStart": "/srv/dash-board/instances/%i/serve %i",
            "Restart": "always",
            "RestartSec": "1",
            "KillSignal": "SIGTERM",
            "KillMode": "mixed",  # a worker's children end what they are at, and none is left
            "TimeoutStopSec": "7",
            "LimitNOFILE": "20000",
            "MemoryMax": "512M",
            "SyslogIdentifier": "dash-board-daphne",
            **SANDBOX,
        },
        "Install": {"WantedBy": "multi-user.target"},
    }


def test_units_of_workers_are_confined_alike(generation: Specify) -> None:
    found = units(generation, asgi_workers=WORKERS)
    served = found["dash-board-daphne"]["Service"]
    queue = found["dash-board-queue"]["Service"]
    nightly = found["dash-board-nightly"]["Service"]
    own = {"ExecStart": "/srv/dash-board/instances/%i/work queue %i", "SyslogIdentifier": "dash-board-queue"}
    assert queue == {**served, **own, "KillSignal": "SIGINT", "TimeoutStopSec": "90"}
    assert "MemoryMax" not in served
    # What cron starts ends by itself, and is not started again.
    own = {"ExecStart": "/srv/dash-board/instances/%i/work nightly %i", "SyslogIdentifier": "dash-board-nightly"}
    wanted = {**served, **own, "Type": "oneshot", "TimeoutStopSec": "60"}
    assert nightly == {name: value for name, value in wanted.items() if name not in ("Restart", "RestartSec")}


def test_sandbox_of_all_and_of_one_worker(generation: Specify) -> None:
    workers = [{**WORKERS[0], "sandbox": {"ProcSubset": True, "MemoryDenyWriteExecute": True}}, WORKERS[1]]
    given = {"MemoryDenyWriteExecute": False, "ReadWritePaths": ["-/opt/data"]}
    found = units(generation, asgi_workers=workers, asgi_sandbox=given, asgi_http="wsgi")
    changed = {"MemoryDenyWriteExecute": "no", "ReadWritePaths": f"{SANDBOX['ReadWritePaths']} + -/opt/data"}
    for name in ("daphne", "wsgi", "nightly"):
        assert (SANDBOX | changed).items() <= found[f"dash-board-{name}"]["Service"].items()
        assert "ProcSubset" not in found[f"dash-board-{name}"]["Service"]
    own = changed | {"MemoryDenyWriteExecute": "yes", "ProcSubset": "pid"}
    assert (SANDBOX | own).items() <= found["dash-board-queue"]["Service"].items()


def test_every_kind_is_judged_well(tmp_path: Path, generation: Specify) -> None:
    """systemd's own judgement, from 0 to 10 and here in tenths, as docs/sandbox.md promises it."""
    folder = tmp_path / "etc" / "systemd" / "system"
    folder.mkdir(parents=True)
    entries = generation(asgi_workers=WORKERS, asgi_http="wsgi")["manager_files"]
    assert len(entries) == 4
    for entry in entries:
        name = Path(entry["path"]).name.replace(".service", "@x-1.service")
        (folder / name).write_text(entry["content"])
        command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", f"--root={tmp_path}", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_program_of_supervisor(generation: Specify) -> None:
    options = {"asgi_manager": "supervisor", "asgi_processes": 3, "asgi_memory_max": "1G", "asgi_stop_seconds": 7}
    entries = generation(asgi_workers=WORKERS, **options)["manager_files"]
    home = f"/srv/dash-board/generations/{GENERATION}"
    programs = {entry["path"]: parsed(entry["content"]) for entry in entries}
    assert set(programs) == {"dash-board-daphne.conf", "dash-board-queue.conf"}
    name = f"dash-board-daphne@{GENERATION}"
    assert programs["dash-board-daphne.conf"] == {
        f"program:{name}": {
            "command": f"{home}/launch {2**20} {home}/serve {GENERATION}-%(process_num)d",
            "process_name": f"{GENERATION}-%(process_num)d",
            "numprocs": "3",
            "numprocs_start": "1",
            "directory": "/",
            "autorestart": "true",
            "startsecs": "5",
            "startretries": "100000",
            "stopsignal": "TERM",
            "stopwaitsecs": "7",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": f"/var/log/supervisor/{name}-%(process_num)d.log",
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": "2",
        }
    }
    (queue,) = programs["dash-board-queue.conf"].values()
    assert queue["command"] == f"{home}/launch unlimited {home}/work queue {GENERATION}-%(process_num)d"
    assert (queue["numprocs"], queue["stopsignal"], queue["stopwaitsecs"]) == ("2", "INT", "90")


def test_supervisor_itself(render: Render) -> None:
    found = parsed(render("supervisor/supervisord.conf.j2", supervisor_open_files=4096))
    assert found == {
        "unix_http_server": {"file": "/run/supervisor.sock", "chmod": "0700"},  # who reaches it is root
        "supervisord": {
            "logfile": "/var/log/supervisor/supervisord.log",
            "pidfile": "/run/supervisord.pid",
            "childlogdir": "/var/log/supervisor",
            "minfds": "4096",
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        "supervisorctl": {"serverurl": "unix:///run/supervisor.sock"},
        "include": {"files": "/etc/supervisor/conf.d/*.conf /run/supervisor/conf.d/*.conf"},
    }


def test_folder_for_sockets_is_nginx_s(render: Render, root: Path) -> None:
    """uvicorn and gunicorn leave their sockets open to all: the folder is what keeps others from going round nginx."""
    lines = [line.split() for line in render("asgi/tmpfiles.conf.j2").splitlines() if not line.startswith("#")]
    assert lines == [["d", "/run/dash-board", "2750", "dash-board", "www-data"]]
    made = yaml.safe_load((root / "roles" / "asgi" / "vars" / "main.yml").read_text())["_asgi_socket_folder"]
    owner = {"owner": "{{ release_app }}", "group": "www-data", "mode": "2750"}
    assert made == {"path": "{{ _asgi_run }}", "directory": True, **owner}
    assert "[_asgi_socket_folder]" in (root / "roles" / "asgi" / "tasks" / "install_tools.yml").read_text()


@pytest.fixture
def script(tmp_path: Path, render: Render) -> Script:
    """Return a function that runs a generation's script below tmp_path; what it ends in says what it was given."""
    home = tmp_path / "srv" / "generations" / GENERATION
    home.mkdir(parents=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "bin").mkdir()
    report = (
        f"#!{sys.executable}\nimport json, os, resource, sys\n"
        "umask = os.umask(0)\n"
        "limits = [resource.getrlimit(one)[0] for one in (resource.RLIMIT_NOFILE,"
        " resource.RLIMIT_DATA, resource.RLIMIT_CORE)]\n"
        "print(json.dumps({'given': sys.argv, 'umask': umask, 'limits': limits,"
        " 'instance': os.environ.get('ASGI_INSTANCE'), 'path': os.environ.get('PYTHONPATH')}))\n"
    )
    programs = {home / "within": report, tmp_path / "bin" / "setpriv": report, tmp_path / "bin" / "install": report}
    # A host with namespaces, in which nothing is mounted: what comes of that is tried on lab hosts.
    programs[tmp_path / "bin" / "unshare"] = APART
    programs[tmp_path / "bin" / "mount"] = f'#!/bin/sh\necho "$*" >>{tmp_path}/mounted\n'
    for path, text in programs.items():
        path.write_text(text)
        path.chmod(0o755)

    def run(name: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        template = {"serve": "server", "work": "worker", "wsgi": "wsgi_server", "within": "run_in_env"}.get(name, name)
        text = render(f"asgi/{template}.j2", **options)
        for prefix in ("srv", "run"):
            text = text.replace(f"/{prefix}/dash-board", str(tmp_path / prefix))
        (home / name).write_text(text)
        (home / name).chmod(0o755)
        given = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
        return subprocess.run([home / name, *arguments], capture_output=True, text=True, check=False, env=given)

    return run


def told(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return what each command said that a script started."""
    assert done.returncode == 0, done
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_process_without_systemd_gives_everything_up(tmp_path: Path, script: Script) -> None:
    folder, above, private, started = told(script("launch", "500000", "/bin/command", "a b", asgi_open_files=200))
    assert folder["given"][1:] == ["-d", "-o", "dash-board", "-g", "www-data", "-m", "2750", str(tmp_path / "run")]
    home = f"{tmp_path}/srv/private"
    assert above["given"][1:] == ["-d", "-m", "700", home], "nobody else gets as far as its /tmp"
    assert private["given"][1:] == ["-d", "-m", "1777", f"{home}/command-a-b"]
    assert started["given"][1:] == [
        "--reuid=dash-board", "--regid=dash-board", "--init-groups", "--inh-caps=-all", "--bounding-set=-all",
        "--no-new-privs", "--", "/bin/command", "a b",
    ]  # fmt: skip
    assert started["umask"] == 0o027
    assert started["limits"] == [200, 500000 * 1024, 0], "a dump would hold its secrets"


def test_process_without_systemd_sees_a_host_that_it_cannot_change(tmp_path: Path, script: Script) -> None:
    """What it mounts, and that each line can be switched off; molecule/secure tries what comes of it."""
    mounted = tmp_path / "mounted"

    def mounts(**given: Any) -> set[str]:
        mounted.write_text("")
        told(script("launch", "unlimited", "/bin/command", asgi_sandbox={"ReadWritePaths": ["/opt"], **given}))
        lines = mounted.read_text().splitlines()
        # Which others this machine has mounted is its own.
        return {line for line in lines if not line.startswith("-o remount,bind,ro /") or line.endswith(" /")}

    private = f"{tmp_path}/srv/private/command"
    hidden = "-t tmpfs -o ro,nosuid,nodev,noexec,mode=000,size=4k tmpfs"
    homes = {f"{hidden} {path}" for path in ("/home", "/root", "/run/user") if Path(path).is_dir()}
    everything = mounts()
    system = {"-o remount,bind,ro /", f"--rbind {tmp_path}/run {tmp_path}/run", "--rbind /opt /opt"}
    others = {f"--bind {private} /tmp", f"--bind {private} /var/tmp"}
    proc = {"-t proc -o nosuid,nodev,noexec,hidepid=invisible proc /proc"}
    assert everything == system | others | homes | proc
    assert mounts(PrivateTmp=False) == everything - others
    assert mounts(ProtectHome=False) == everything - homes
    assert mounts(ProtectProc=False) == everything - proc
    assert mounts(ProtectSystem=False) == everything - system


def test_host_without_namespaces_is_told(tmp_path: Path, script: Script) -> None:
    (tmp_path / "bin" / "unshare").write_text("#!/bin/sh\nexit 1\n")
    done = script("launch", "unlimited", "/bin/command")
    assert "--no-new-privs" in told(done)[-1]["given"] and not (tmp_path / "mounted").exists()
    assert "this host does not allow new namespaces (unshare --mount --propagation slave --ipc --uts)" in done.stderr


def test_starts_are_counted_beside_supervisor(tmp_path: Path, render: Render) -> None:
    """supervisor does not, and a process that keeps dying is told by their number."""
    text = render("asgi/launch.j2").replace("/run/supervisor/starts", str(tmp_path / "starts"))
    (tmp_path / "launch").write_text(text.replace("/run/dash-board", str(tmp_path / "run")))
    for name, body in (
        ("setpriv", "exit 0"),
        ("unshare", "exit 1"),
        ("install", "for last; do :; done; mkdir -p $last; echo $*"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    given = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    counted = {"SUPERVISOR_PROCESS_NAME": "x-1", "SUPERVISOR_GROUP_NAME": "dash-board-daphne@x"}
    for number in (1, 2):
        done = subprocess.run(
            ["sh", tmp_path / "launch", "unlimited", "x"],
            env=given | counted,
            check=True,
            text=True,
            capture_output=True,
        )
        assert (tmp_path / "starts" / "dash-board-daphne@x:x-1").read_text() == "." * number
        assert done.stdout.startswith(f"-d -m 755 {tmp_path}/starts\n")
    subprocess.run(["sh", tmp_path / "launch", "unlimited", "x"], env=given, check=True, capture_output=True)
    assert len(list((tmp_path / "starts").iterdir())) == 1, "cron's runs are not starts of a process"


@pytest.mark.parametrize(
    ("server", "environment", "endpoint"),
    [
        ("daphne", [], ["--endpoint", "unix:{socket}:mode=660:backlog=99"]),
        (
            "uvicorn",
            ["env", "WEBSOCKETS_MAX_LINE_LENGTH=16384", "WEBSOCKETS_MAX_NUM_HEADERS=500"],  # what nginx lets through
            ["--uds", "{socket}", "--backlog", "99"],
        ),
    ],
)
def test_server_is_started_on_its_own_socket(
    tmp_path: Path, script: Script, server: str, environment: list[str], endpoint: list[str]
) -> None:
    socket = tmp_path / "run" / f"{GENERATION}-2.sock"
    for stale in (socket, Path(f"{socket}.lock")):
        stale.touch()
    (started,) = told(script("serve", f"{GENERATION}-2", asgi_server=server, asgi_backlog=99))
    command = [*environment, f"/srv/x/venv/bin/{server}"]
    assert started["given"][1 : len(command) + 1] == command
    assert started["given"][-len(endpoint) - 1 :] == [
        *(part.format(socket=socket) for part in endpoint), "core.asgi:application",
    ]  # fmt: skip
    assert started["instance"] == f"{GENERATION}-2" and started["path"] is None
    assert not list((tmp_path / "run").iterdir()), "what a killed process left keeps this one from listening"
    assert script("serve").returncode, "it was started without its number"


def test_server_below_a_path_finds_what_wraps_the_application(tmp_path: Path, script: Script) -> None:
    (started,) = told(script("serve", f"{GENERATION}-1", nginx_path_prefix="/chat"))
    home = tmp_path / "srv" / "generations" / GENERATION
    assert started["given"][1:4] == ["env", f"PYTHONPATH={home}/mount", "/srv/x/venv/bin/daphne"]
    assert started["given"][-1] == "asgi_mount:application"


def options_of(render: Render, server: str, **given: Any) -> list[str]:
    """Return the options that a server is started with, but for those of its socket."""
    line = render("asgi/server.j2", asgi_server=server, **given).split(f"/bin/{server} ")[1]
    return line.split("\\\n")[0].split()


def test_options_of_the_servers(render: Render) -> None:
    """No log of either holds a query, and nginx's word on the client is taken."""
    given = {
        "asgi_ping_interval": 11, "asgi_ping_timeout": 12, "asgi_websocket_timeout": 13, "asgi_stop_seconds": 10,
        "asgi_websocket_connect_timeout": 14, "asgi_websocket_max_size": 15,
    }  # fmt: skip
    assert options_of(render, "daphne", **given) == [
        "--access-log", "/dev/null", "--proxy-headers", "--ping-interval", "11", "--ping-timeout", "12",
        "--websocket_timeout", "13", "--websocket_connect_timeout", "14", "--websocket-max-message-size", "15",
        "--websocket-max-frame-size", "15",
    ]  # fmt: skip
    assert options_of(render, "uvicorn", **given) == [
        "--log-level", "warning", "--no-access-log", "--no-server-header", "--proxy-headers", "--forwarded-allow-ips",
        "'*'", "--ws-per-message-deflate", "false", "--ws-ping-interval", "11", "--ws-ping-timeout", "12",
        "--timeout-graceful-shutdown", "8", "--ws-max-size", "15",
    ]  # fmt: skip
    without = options_of(render, "uvicorn", asgi_websocket_max_size=0, asgi_stop_seconds=2)
    assert without[-4:-2] == ["--timeout-graceful-shutdown", "1"], "its grace is over before it would be killed"
    # Sixteen times less than its own: of each client, a message may be in memory.
    assert without[-2:] == ["--ws-max-size", str(2**20)]


def test_gunicorn_is_started_on_its_own_socket(tmp_path: Path, script: Script) -> None:
    application = {"asgi_http": "wsgi", "asgi_wsgi_application": "core.wsgi:get('a b')"}
    (started,) = told(script("wsgi", f"{GENERATION}-2", **application))
    home = tmp_path / "srv" / "generations" / GENERATION
    assert started["given"][1:] == [
        "/srv/x/venv/bin/gunicorn", "--config", f"{home}/gunicorn.conf.py", "--bind",
        f"unix:{tmp_path}/run/{GENERATION}-2.wsgi.sock", "core.wsgi:get('a b')",
    ]  # fmt: skip
    assert started["instance"] == f"{GENERATION}-2"


def test_settings_of_gunicorn(render: Render) -> None:
    given = {"asgi_wsgi_threads": 5, "asgi_backlog": 99, "asgi_stop_seconds": 10}
    settings: dict[str, Any] = {}
    exec(render("asgi/gunicorn.conf.py.j2", nginx_path_prefix="/chat", **given), settings)
    hook = settings.pop("pre_request")
    del settings["__builtins__"]
    assert settings == {
        "workers": 1, "worker_class": "gthread", "threads": 5, "backlog": 99, "forwarded_allow_ips": "*",
        "graceful_timeout": 8, "loglevel": "warning", "raw_env": ["SCRIPT_NAME=/chat"], "umask": 0,
        "limit_request_line": 0, "limit_request_field_size": 0, "limit_request_fields": 500,  # what nginx lets through
    }  # fmt: skip
    alone: dict[str, Any] = {}
    exec(render("asgi/gunicorn.conf.py.j2", asgi_stop_seconds=1), alone)
    assert alone["graceful_timeout"] == 1 and "raw_env" not in alone

    class Request:
        headers = (("HOST", "localhost"), ("X-REAL-IP", "fd00::1"))
        proxy_protocol_info: Any = None

    request = Request()
    hook(None, request)
    assert request.proxy_protocol_info == {
        "proxy_protocol": "TCP6", "client_addr": "fd00::1", "client_port": 0, "proxy_addr": "", "proxy_port": 0,
    }  # fmt: skip
    request.headers = (("X-REAL-IP", "10.0.0.1"),)
    hook(None, request)
    assert (request.proxy_protocol_info["proxy_protocol"], request.proxy_protocol_info["client_addr"]) == (
        "TCP4", "10.0.0.1",
    )  # fmt: skip


def test_worker_is_started_by_its_name(script: Script) -> None:
    (started,) = told(script("work", "nightly", f"{GENERATION}-0", asgi_workers=WORKERS))
    assert started["given"][1:3] == ["sh", "-euc"]
    assert started["given"][3].endswith("python manage.py clearsessions && echo it\\'s done")
    assert started["instance"] == f"{GENERATION}-0"
    unknown = script("work", "nobody", f"{GENERATION}-1", asgi_workers=WORKERS)
    assert unknown.returncode == 64 and "no worker named nobody" in unknown.stderr


def scheduled(generation: Specify, **options: Any) -> tuple[dict[str, str], list[str]]:
    """Return the settings and the lines of the file that cron reads."""
    files = generation(asgi_workers=WORKERS, **options)["files"]
    (text,) = (entry["content"] for entry in files if entry["path"] == "cron")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines if "=" in line.split()[0]), [
        line for line in lines if "=" not in line.split()[0]
    ]


def test_cron_starts_what_is_confined(generation: Specify) -> None:
    values, (line,) = scheduled(generation, asgi_manager="systemd")
    assert values == {"SHELL": "/bin/sh", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "MAILTO": '""'}
    start = f"systemctl start --no-block dash-board-nightly@{GENERATION}-0.service"
    assert line == f"0 3 * * * root {start}"


def test_cron_runs_no_command_twice_at_once(tmp_path: Path, generation: Specify) -> None:
    """systemd starts no unit that runs already; beside supervisor it takes a lock."""
    _, (line,) = scheduled(generation, asgi_manager="supervisor")
    assert line.startswith("0 3 * * * root ")
    command = line.removeprefix("0 3 * * * root ")
    home = f"/srv/dash-board/generations/{GENERATION}"
    assert f"{home}/launch unlimited {home}/work nightly {GENERATION}-0 >>" in command and command.endswith(" 2>&1")
    assert f">>/var/log/supervisor/dash-board-nightly@{GENERATION}-0.log" in command
    (tmp_path / "launch").write_text("#!/bin/sh\necho begun; sleep 20\n")
    (tmp_path / "launch").chmod(0o755)
    for path in ("/run/lock", "/var/log/supervisor", home):
        command = command.replace(path, str(tmp_path))
    log = tmp_path / f"dash-board-nightly@{GENERATION}-0.log"
    first = subprocess.Popen(["sh", "-c", f"exec {command}"], start_new_session=True)
    try:
        for _ in range(200):
            if log.exists() and log.read_text():
                break
            time.sleep(0.02)
        assert log.read_text() == "begun\n"
        assert subprocess.run(["sh", "-c", command], timeout=10, check=False).returncode == 1
        assert log.read_text() == "begun\n", "it was begun a second time beside the first"
    finally:
        os.killpg(first.pid, 9)
        first.wait()


def test_operator_runs_commands_as_the_project(tmp_path: Path, render: Render) -> None:
    text = render("asgi/manage.j2")
    (tmp_path / "runuser").write_text('#!/bin/sh\numask\nprintf "%s\\n" "$@"\n')
    (tmp_path / "runuser").chmod(0o755)
    given = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", text, "manage", "shell", "a b"], capture_output=True, text=True, env=given)
    umask, *command = done.stdout.splitlines()
    assert stat.S_IMODE(int(umask, 8)) == 0o027
    assert command == [
        "--user", "dash-board", "--", "/srv/dash-board/live/within", "python", "manage.py", "shell", "a b",
    ]  # fmt: skip
    assert re.match(r"#!/bin/sh\n", text)


def test_description_of_a_generation(generation: Specify) -> None:
    """All that the host's tool knows of it."""
    given = {"asgi_http": "wsgi", "asgi_processes": 2, "release_shared_paths": ["media/"], "asgi_manager": "systemd"}
    found = json.loads(description_of(generation(asgi_workers=WORKERS, **given)))
    assert [worker["name"] for worker in found.pop("workers")] == ["queue", "nightly"]
    assert found == {
        "app": "dash-board",
        "release": "0123456789ab",
        "version": "v1",
        "generation": GENERATION,
        "manager": "systemd",
        "server": "daphne",
        "application": "core.asgi:application",
        "user": "dash-board",
        "unit": "dash-board-daphne",
        "instances": [f"{GENERATION}-{number}" for number in (1, 2)],
        "sockets": [f"/run/dash-board/{GENERATION}-{number}.sock" for number in (1, 2)],
        "wsgi": found["wsgi"],
        "shared_paths": ["media/"],
    }
    assert found["wsgi"]["unit"] == "dash-board-wsgi"


def test_kinds_of_processes(generation: Specify) -> None:
    options = {"asgi_http": "wsgi", "asgi_processes": 2, "asgi_memory_max": "1M", "asgi_stop_seconds": "9"}
    workers = [*WORKERS, {"name": "beat", "command": "beat", "singleton": True}, {"name": "plain", "command": "plain"}]
    elsewhere = {"groups": {"app": ["other", "host"], "database": ["host"]}}
    server = {
        "name": "daphne", "unit": "dash-board-daphne", "run": "serve", "stop_signal": "TERM", "stop_seconds": 9,
        "instances": [f"{GENERATION}-1", f"{GENERATION}-2"], "memory_max": "1M", "schedule": "", "singleton": False,
        "memory_kib": 1024, "sandbox": {},
    }  # fmt: skip
    usual = {
        "stop_signal": "TERM", "stop_seconds": 60, "memory_max": "", "schedule": "", "memory_kib": "unlimited",
        "sandbox": {},
    }  # fmt: skip

    def worker(name: str, *numbers: int, **more: Any) -> dict[str, Any]:
        instances = [f"{GENERATION}-{number}" for number in numbers]
        own = {"name": name, "unit": f"dash-board-{name}", "run": f"work {name}", "instances": instances}
        return {**usual, **own, "singleton": False, **more}

    *found, wsgi = sorted(generation(asgi_workers=workers, **options)["kinds"], key=kind_order)
    assert wsgi == {**server, "name": "wsgi", "unit": "dash-board-wsgi", "run": "wsgi", "instances": wsgi["instances"]}
    assert found == [
        server,
        worker("queue", 1, 2, stop_signal="INT", stop_seconds=90),
        worker("nightly", 0, schedule="0 3 * * *"),
        worker("beat", 1, singleton=True),
        worker("plain", 1),
    ]
    there = generation(asgi_workers=workers, **options, **elsewhere)["kinds"]
    assert {kind["name"]: len(kind["instances"]) for kind in there if kind["run"].startswith("work")} == {
        "queue": 2, "nightly": 1, "beat": 0, "plain": 1,
    }  # fmt: skip


def kind_order(kind: dict[str, Any]) -> bool:
    """Put gunicorn last, and leave the rest as it is."""
    return kind["name"] == "wsgi"


@pytest.fixture
def within(tmp_path: Path, render: Render) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a command in a generation's environment."""
    home, code = tmp_path / "generations" / GENERATION, tmp_path / "code"
    home.mkdir(parents=True)
    code.mkdir()
    (home / "env").write_text("DJANGO_SETTINGS_MODULE='core.settings'\nSECRET='a b'\n")
    text = render("asgi/run_in_env.j2").replace(f"/srv/dash-board/generations/{GENERATION}", str(home))
    (home / "within").write_text(text.replace("cd /srv/x/code", f"cd {code}"))
    (home / "within").chmod(0o755)

    def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {"PATH": "/usr/bin:/bin", **environment}
        return subprocess.run([home / "within", *command], env=given, capture_output=True, text=True, check=False)

    return run


def test_environment_of_a_generation(tmp_path: Path, within: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """What is declared, what each process has, and of who calls the terminal's kind and the process's name alone."""
    outside = {"DJANGO_SETTINGS_MODULE": "mine", "PYTHONPATH": "/root", "TERM": "dumb", "ASGI_INSTANCE": "x-1"}
    done = within("env", **outside)
    assert done.returncode == 0, done
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    found.pop("OLDPWD", None)
    assert found == {
        "ASGI_GENERATION": GENERATION, "ASGI_INSTANCE": "x-1", "TERM": "dumb", "HOME": "/srv/dash-board/shared",
        "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "VIRTUAL_ENV": "/srv/x/venv",
        "PATH": "/srv/x/venv/bin:/usr/local/bin:/usr/bin:/bin", "DJANGO_SETTINGS_MODULE": "core.settings",
        "SECRET": "a b", "PWD": str(tmp_path / "code"),
    }  # fmt: skip
    assert within("pwd").stdout.strip() == str(tmp_path / "code")
    (tmp_path / "code").rmdir()
    assert within("true").returncode, "it acts where the code is not"


def test_process_is_not_started_without_its_folder(tmp_path: Path, script: Script) -> None:
    (tmp_path / "bin" / "install").write_text("#!/bin/sh\nexit 1\n")
    done = script("launch", "unlimited", "/bin/command")
    assert done.returncode and not done.stdout


def test_limit_that_the_host_does_not_allow_is_no_error(script: Script) -> None:
    done = script("launch", "unlimited", "/bin/command", asgi_open_files=2**40)
    assert told(done) and not done.stderr


def test_scripts_want_their_number(script: Script) -> None:
    """Without it, a process would have another one's socket."""
    assert script("wsgi", asgi_http="wsgi").returncode
    assert script("work", "nightly", asgi_workers=WORKERS).returncode
