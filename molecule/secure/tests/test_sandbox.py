"""What processes, nginx and Redis cannot do: systemd judges it, and attempts in their places try it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from lab_host import ROOT, LabHost, Run, echoes
from secure_site import get, opened, scores
from store_clients import fellows

MOST = 1.5  # of systemd's exposure, from 0 to 10
ATTEMPTS = "/opt/attempts/try"
# What a process must be able to do, by the names in resources/attempts.py.
ALLOWED = {
    "write /srv/dashboard/shared", "write /run/dashboard", "write /tmp", "write /var/tmp", "open an internet socket",
    "open a unix socket", "give itself a file",
}  # fmt: skip
# What only a filter of system calls prevents; supervisor has none.
UNFILTERED = {"user namespace", "netlink socket", "set the setuid bit", "writable code"}
# A project that generates code while it runs, and one for gunicorn.
JIT = {
    "release_files": [
        {"path": "jit.py", "content": "import mmap\nmmap.mmap(-1, 4096, prot=7)\nfrom core.asgi import application\n"},
        {"path": "plain.py", "content": "import core.asgi\nfrom django.core.wsgi import get_wsgi_application\n"
                                        "application = get_wsgi_application()\n"},
    ],
    "asgi_application": "jit:application",
    "asgi_wsgi_application": "plain:application",
}  # fmt: skip
# What cron starts has the same lines as all others: tests/templates/test_units.py checks it.
WORKERS = [
    {"name": "queue", "command": "sleep infinity", "sandbox": {"ProcSubset": True, "ReadWritePaths": ["-/opt/queue"]}}
]
COMPILED: dict[str, dict[str, Any]] = {}  # by host
# Runs on the host: each process, by its unit.
STATUS = """
import json, pathlib, sys
found = {}
for pid in sys.argv[1:]:
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    found[pid] = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    found[pid]["core"] = [line.split()[4] for line in open(f"/proc/{pid}/limits") if line.startswith("Max core")][0]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def attempts(lab: LabHost) -> Iterator[str]:
    """The program with the attempts, on the host, along with what it should not find; removed at the end."""
    program = (ROOT / "molecule" / "resources" / "attempts.py").read_text()
    folder = str(Path(ATTEMPTS).parent)
    script = f"#!/bin/sh\nexec python3 {folder}/attempts.py dashboard\n"
    lab.run(f"mkdir -p {folder} && printf %s %s > {folder}/attempts.py", "%s", program)
    lab.run(f"printf %s %s > {ATTEMPTS} && chmod -R a+rX {folder} && chmod 755 {ATTEMPTS}", "%s", script)
    lab.run("mkdir -p /home/attempt && touch /tmp/attempt-of-another && install -d -m 1777 /srv/attempt-open")
    yield ATTEMPTS
    lab.run(f"rm -r {folder} /home/attempt /tmp/attempt-of-another /srv/attempt-open")


def tried(text: str) -> dict[str, str]:
    """Return the result of each attempt: the error's name, or an empty text if it worked."""
    (line,) = [line for line in text.splitlines() if line.startswith("{")]
    return json.loads(line)


def worked(found: dict[str, str]) -> set[str]:
    """Return the attempts that worked."""
    return {name for name, error in found.items() if not error}


def in_the_place_of(lab: LabHost, unit: str, program: str) -> dict[str, str]:
    """Run a program as a unit runs its own, with all of the unit's lines except those that restart it."""
    name, pid = "attempt.service", lab.run("systemctl show --value --property=MainPID nginx").strip()
    start = f"ExecStart={program}\\nEnvironment=ATTEMPT_HOME=/srv/dashboard/shared ATTEMPT_PID={pid}"
    start += "\\nStandardOutput=truncate:/run/attempt.json"
    edits = [f"s|^ExecStart=.*|{start}|", "s|^Type=.*|Type=oneshot|", "/^Restart/d", "s|^SyslogIdentifier=.*||"]
    words = " ".join(f"-e {shlex.quote(edit)}" for edit in edits)
    lab.run(f"sed {words} /etc/systemd/system/{unit} > /run/systemd/system/{name} && systemctl daemon-reload")
    try:
        return tried(lab.run(f"systemctl start {name} && cat /run/attempt.json"))
    finally:
        lab.run(f"rm -f /run/attempt.json /run/systemd/system/{name} && systemctl daemon-reload")


def test_every_unit_of_ours_is_judged_well(lab: LabHost) -> None:
    found = scores(lab)
    assert set(lab.units) <= set(found)
    assert not {unit: score for unit, score in found.items() if score > MOST}, found


def test_process_does_nothing_but_what_it_has_to(lab: LabHost, attempts: str) -> None:
    found = in_the_place_of(lab, lab.units[0], attempts)
    assert worked(found) == ALLOWED, found
    assert found["write /srv/dashboard/releases"] == "EROFS" and found["read /tmp/attempt-of-another"] == "ENOENT"


def test_running_processes_are_confined(lab: LabHost) -> None:
    """What systemd and the kernel say about serving processes; a line in a unit's file alone proves nothing."""
    wanted = {
        "ProtectProc": "invisible", "ProcSubset": "all", "PrivateIPC": "yes", "PrivateMounts": "yes",
        "DevicePolicy": "closed", "KeyringMode": "private", "MemoryDenyWriteExecute": "yes", "LockPersonality": "yes",
        "RestrictNamespaces": "yes", "RestrictSUIDSGID": "yes", "RestrictRealtime": "yes", "ProtectClock": "yes",
        "ProtectHostname": "yes", "ProtectKernelLogs": "yes", "LimitCORE": "0", "UMask": "0027",
    }  # fmt: skip
    for unit in lab.units:
        shown = lab.run(f"systemctl show --property={','.join(wanted)} {unit}")
        assert dict(line.split("=", 1) for line in shown.splitlines()) == wanted, unit
    pids = [str(pid) for pid in lab.pids().values()]
    for status in json.loads(lab.python(STATUS, *pids)).values():
        assert (status["NoNewPrivs"], status["Seccomp"], int(status["CapBnd"], 16)) == ("1", "2", 0)
        assert status["core"] == "0", "a dump would hold tokens"


def test_process_without_systemd_is_kept_from_the_host(lab: LabHost, attempts: str) -> None:
    """The script that supervisor and cron start does that; each generation has it, and only its folders are its own."""
    main = lab.run("cat /run/nginx.pid").strip()
    given = f"ATTEMPT_HOME=/srv/dashboard/shared ATTEMPT_PID={main}"
    mounts = lab.run("cat /proc/mounts")
    found = tried(lab.run(f"{given} /srv/dashboard/live/launch unlimited {attempts}"))
    assert worked(found) == ALLOWED | UNFILTERED, found
    assert found["see others"] == "ENOENT" and found["write /srv/dashboard/releases"] == "EROFS"
    assert lab.run("cat /proc/mounts") == mounts, "it has changed what the host has mounted"
    left = lab.run("ls -A /srv/dashboard/private/try; stat --format='%a %U' /srv/dashboard/private").split()
    assert left == ["700", "root"], "its /tmp is open to others"
    lab.run("rm -r /srv/dashboard/private/try")


def test_launched_process_is_the_one_that_is_told_to_stop(lab: LabHost) -> None:
    """No shell and no monitor runs between supervisor and the process: it gets the signals and limits itself."""
    script = "trap 'echo stopped; exit' TERM; echo began $$ $(ulimit -d) $(ulimit -c); while :; do sleep 0.1; done"
    lab.run("mkdir -p /opt/attempts && printf %s %s > /opt/attempts/wait && chmod -R a+rX /opt/attempts", "%s", script)
    try:
        said = lab.run(
            "/srv/dashboard/live/launch 400000 /bin/sh /opt/attempts/wait > /run/attempt.log 2>&1 & pid=$!; "
            "for _ in $(seq 1200); do grep -q began /run/attempt.log && break; sleep 0.1; done; "
            "kill -TERM $pid; wait $pid; echo ended $? $pid; cat /run/attempt.log"
        ).splitlines()
        ended = said[0].split()
        assert ended[:2] == ["ended", "0"]
        assert said[1:] == [f"began {ended[2]} 400000 0", "stopped"]
    finally:
        lab.run("rm -r /opt/attempts/wait /run/attempt.log /srv/dashboard/private/wait")


def test_host_without_namespaces_is_no_secret(lab: LabHost) -> None:
    """What a host refuses is reported, and the process still runs, with just the permissions of its user."""
    done = lab.host.run("setpriv --bounding-set=-sys_admin /srv/dashboard/live/launch unlimited /usr/bin/id -un")
    assert (done.rc, done.stdout.strip()) == (0, "dashboard")
    assert "this host does not allow new namespaces" in done.stderr


def test_nginx_is_confined_and_serves(lab: LabHost) -> None:
    """Pages, sockets, a reload, its next log file, and its own upgrade, all of it in the sandbox."""
    score = re.search(
        r"level for nginx.service: ([0-9.]+)", lab.run("systemd-analyze security --no-pager nginx.service")
    )
    assert score and float(score[1]) <= 3
    main = lab.run("cat /run/nginx.pid").strip()
    (status,) = json.loads(lab.python(STATUS, main)).values()
    powers = int(status["CapBnd"], 16)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2") and bin(powers).count("1") == 7
    for path, error in (
        ("/etc", "Read-only"),
        ("/srv/dashboard", "Read-only"),
        ("/root", "Read-only"),
        ("/var/log", ""),
    ):
        done = lab.host.run(f"nsenter --target {main} --mount touch {path}/attempt && rm -f {path}/attempt")
        assert bool(done.rc) == bool(error) and error in done.stderr, path
    with opened(lab) as websocket:
        assert get(lab, "/")[0] == 200 and echoes(websocket)
        lab.run("mv /var/log/nginx/dashboard.access.log /var/log/nginx/dashboard.access.log.1 && kill -USR1 %s", main)
        lab.reload_nginx()
        assert get(lab, "/")[0] == 200 and echoes(websocket)
        lines = lab.run(
            "for _ in $(seq 1200); do [ -s $0 ] && break; sleep 0.1; done; cat $0; rm $0.1".replace(
                "$0", "/var/log/nginx/dashboard.access.log"
            )
        )
        assert '"status":200' in lines, "it has no log after that was turned over"
        # As Debian's package does during an upgrade: a new main process beside the old one.
        lab.run(
            f"kill -USR2 {main}; for _ in $(seq 1200); do [ -s /run/nginx.pid.oldbin ] && "
            f"[ -s /run/nginx.pid ] && [ $(cat /run/nginx.pid) != {main} ] && break; sleep 0.1; done; "
            "kill -WINCH $(cat /run/nginx.pid.oldbin)"
        )
        assert lab.run("cat /run/nginx.pid").strip() != main
        assert get(lab, "/")[0] == 200 and echoes(websocket)
    lab.run("kill -QUIT $(cat /run/nginx.pid.oldbin)")
    lab.run("for _ in $(seq 1200); do [ -e /run/nginx.pid.oldbin ] || exit 0; sleep 0.1; done; exit 1")
    assert get(lab, "/")[0] == 200
    assert lab.run("systemctl show --value --property=MainPID nginx") == lab.run("cat /run/nginx.pid")


def test_sandbox_that_sites_cannot_bear_is_not_written(lab: LabHost) -> None:
    """A neighbour logs elsewhere: this is reported before nginx could fail to come back from a restart."""
    drop_in = "/etc/systemd/system/nginx.service.d/sandbox.conf"
    before = lab.run(f"cat {drop_in}")
    site = "server { listen 127.0.0.1:8099; access_log /opt/neighbour/access.log; }"
    lab.run("mkdir -p /opt/neighbour && printf %s %s > /etc/nginx/conf.d/neighbour.conf && nginx -t -q", "%s", site)
    parts = ("site.yml", "--tags", "nginx", "--limit", lab.name)
    try:
        with lab.edited(drop_in, "$d"):
            run = Run(*parts)
            assert run.code and "nginx_sandbox" in run.output and "/opt/neighbour/access.log" in run.output, run.output
            assert lab.run(f"cat {drop_in}") != before
            assert get(lab, "/")[0] == 200
            given = json.dumps({"nginx_sandbox": {"ReadWritePaths": ["-/opt/neighbour"]}})
            run = Run(*parts, "-e", given)
            told = re.sub(r"\s+", " ", run.output)
            assert run.code and "nginx runs without what" in told and "Read-only file system" in told, run.output
            lab.run("systemctl restart nginx")
            Run(*parts, "-e", given).changed(lab.name)
            assert get(lab, "/")[0] == 200
    finally:
        lab.run("rm -r /etc/nginx/conf.d/neighbour.conf /opt/neighbour")
        run = Run(*parts)
    assert run.changed(lab.name) and lab.run(f"cat {drop_in}") == before
    assert "nginx runs without what" in re.sub(r"\s+", " ", run.output), "who deploys is not told what waits"
    lab.run("systemctl restart nginx")
    again = Run(*parts)
    assert not again.changed(lab.name) and "runs without" not in again.output


def test_redis_is_kept_from_projects(lab: LabHost) -> None:
    if lab.host.run("test -d /etc/redis").rc:
        pytest.skip("another host has the site's Redis")
    main = lab.run("systemctl show --value --property=MainPID redis-server").strip()
    for path in ("/srv", "/etc/nginx"):
        done = lab.host.run(f"nsenter --target {main} --mount runuser --user redis -- ls {path}")
        assert done.rc and "Permission denied" in done.stderr, path
    shown = lab.run("systemd-analyze security --no-pager redis-server.service")
    score = re.search(r"level for redis-server.service: ([0-9.]+)", shown)
    assert score and float(score[1]) <= MOST


def compiled(folder: Path) -> dict[str, dict[str, Any]]:
    """Deploy a project that generates code, as it is and with the line that allows it; then the lab's own again.

    On all hosts at once, as that takes no longer. Returns for each host what was found there.
    """
    given = folder / "given.json"

    def deploy(**more: Any) -> Run:
        given.write_text(json.dumps({**JIT, **more}))
        return Run("playbooks/deploy.yml", "-e", f"@{given}")

    found: dict[str, dict[str, Any]] = {lab.name: {"before": lab.pids()} for lab in fellows()}
    with ExitStack() as stack:
        sockets = {lab.name: stack.enter_context(opened(lab)) for lab in fellows()}
        rejected = deploy(asgi_start_seconds=900)  # longer than the test may take: nobody waits for it
        for lab in fellows():
            found[lab.name] |= {"rejected": rejected, "after": lab.pids(), "kept": echoes(sockets[lab.name])}
        more = {"asgi_http": "wsgi", "asgi_workers": WORKERS, "asgi_sandbox": {"MemoryDenyWriteExecute": False}}
        try:
            accepted = deploy(**more)
            assert accepted.code == 0, accepted.output
            for lab in fellows():
                found[lab.name] |= {
                    "live": json.loads(lab.run("cat /srv/dashboard/live/generation.json")),
                    "scores": scores(lab),
                    "lines": lab.run("cat /etc/systemd/system/dashboard-*@*-*.service"),
                    "queue": lab.run("cat /etc/systemd/system/dashboard-queue@*.service"),
                    "page": get(lab, "/")[0],
                }
        finally:
            again = Run("playbooks/deploy.yml")
    assert all(again.changed(lab.name) for lab in fellows())
    return found


@pytest.fixture(scope="module")
def compiling(lab: LabHost, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of a project that generates code, on the host under test."""
    if not COMPILED:
        COMPILED.update(compiled(tmp_path_factory.mktemp("given")))
    return COMPILED[lab.name]


def test_project_that_cannot_bear_the_sandbox_is_rejected(compiling: dict[str, Any]) -> None:
    """Its gate rejects it and names the line that allows it; what serves is not touched."""
    output = re.sub(r"\s+", " ", compiling["rejected"].output)
    assert compiling["rejected"].code and "asgi_sandbox: {MemoryDenyWriteExecute: false}" in output, output
    assert "was started again" in output, "that its process keeps dying is not told"
    assert compiling["after"] == compiling["before"] and compiling["kept"]


def test_every_kind_of_process_is_confined(compiling: dict[str, Any]) -> None:
    """gunicorn and workers lack that one line, like the rest, and no other."""
    assert compiling["page"] == 200, "gunicorn does not answer"
    generation = compiling["live"]["generation"]
    own = {unit.partition("@")[0] for unit in compiling["scores"] if f"@{generation}-" in unit}
    assert own == {"dashboard-daphne", "dashboard-wsgi", "dashboard-queue"}
    assert not {unit: score for unit, score in compiling["scores"].items() if score > MOST}, compiling["scores"]
    assert "MemoryDenyWriteExecute=no" in compiling["lines"]
    assert {"ProcSubset=pid", "ReadWritePaths=-/opt/queue"} <= set(compiling["queue"].splitlines())
