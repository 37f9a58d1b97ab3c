"""No token in any log: provoke each failure with tokens that exist nowhere else, and then search all files."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canaries import Canaries
from lab_host import ROOT, SERVING, LabHost, Run, ask
from secure_site import greet, handshake, loose, opened, port_of, trusting

ACCESS_LOG = "/var/log/nginx/dashboard.access.log"
SITE = "/etc/nginx/sites-enabled/dashboard.conf"
CONSUMERS = "/srv/dashboard/live/code/dashboard/consumers.py"
PAGE, HANDSHAKE = "/missing/", "/ws/dashboard/"
JWT = re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")
# Takes the places of processes that have ended: nobody is behind the first, and the other resets each handshake.
FAKE = """
import contextlib, os, re, socket, sys, time
ways = []
for path in sys.argv[2:]:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    way = socket.socket(socket.AF_UNIX)
    way.bind(path)
    os.chmod(path, 0o666)
    if sys.argv[1] == "reset":
        way.listen(8)
        way.settimeout(0.2)
        ways.append(way)
open("/run/fake", "w").close()
ending = time.monotonic() + 20
while ways and os.path.exists("/run/fake") and time.monotonic() < ending:
    for way in ways:
        with contextlib.suppress(OSError):
            one = way.accept()[0]
            found = re.search(rb"X-Request-ID: ([^\\r]+)", one.recv(4096, socket.MSG_PEEK))
            with open("/run/fake.id", "ab") as ids:
                ids.write(found[1] + b" " if found else b"none ")
            one.close()  # unread, which is a reset
"""


class Story:
    """What was done to a site, and the results."""

    def __init__(self, lab: LabHost) -> None:
        self.lab, self.canaries = lab, Canaries()
        self.answers: dict[str, int] = {}
        self.outputs: dict[str, str] = {}
        self.ids: list[str] = []
        self.in_path = f"eyJ{secrets.token_hex(8)}.{secrets.token_hex(12)}"
        self.moment, self.size = lab.run(f"date +%s; stat --format=%s {ACCESS_LOG}").split()

    def request(self, case: str, path: str = HANDSHAKE, method: str = "GET", extra: str = "", long: str = "") -> bytes:
        """Return a request with a canary everywhere a client may put a token."""
        canary = self.canaries.new(case)
        # With these, daphne takes any path for a WebSocket's.
        upgrade = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: token, {canary}\r\n"
        )
        query = f"token={canary}&room=7&to%6ben={canary}&next=%2Fws%2F%3Ftoken%3D{canary}&{long}"
        return (
            f"{method} {path}?{query} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: agent-{case.replace(' ', '-')}\r\n"
            f"{upgrade if path == HANDSHAKE else ''}Origin: https://localhost\r\n"
            f"Authorization: Bearer {canary}\r\nCookie: sessionid={canary}; jwt={canary}\r\n"
            f"Referer: https://localhost/?token={canary}\r\n{extra}\r\n"
        ).encode("latin1")

    def send(self, case: str, sent: bytes | None = None, tls: bool = True, **options: str) -> int:
        """Send a request; note the status of the answer, or 0."""
        whole = sent or self.request(case, **options)
        with contextlib.ExitStack() as stack:
            if tls:
                way: socket.socket = stack.enter_context(greet(self.lab, trusting()))
            else:
                way = stack.enter_context(socket.create_connection(("127.0.0.1", self.lab.port), 10))
            way.settimeout(30)
            head = b""
            with contextlib.suppress(OSError):
                way.sendall(whole)
                head = way.recv(4096)
        found = re.match(rb"HTTP/1.1 (\d+)", head)
        self.answers[case] = int(found[1]) if found else 0
        return self.answers[case]

    def good(self, case: str) -> str:
        """Return a token that the project accepts; all of it except its first part is unique."""
        token = self.lab.run("dashboard-manage mint_token --user %s --ttl 3600", f"user-{secrets.token_hex(4)}").strip()
        for part in token.split(".")[1:]:
            self.canaries.new(case, part)
        return token

    def play(self, name: str, *arguments: str) -> None:
        """Run a playbook with the most verbose output."""
        run = Run(*arguments, "-vvv", "--limit", self.lab.name)
        self.outputs[name] = run.output
        if run.code:
            pytest.fail(f"{name} ended with {run.code}:\n{run.output[-6000:]}")


@pytest.fixture(scope="module")
def story(lab: LabHost) -> Iterator[Story]:
    """All failures of a site, one after another; at the end it is as it was."""
    told = Story(lab)
    refused_by_nginx(told)
    sockets_that_end(told)
    upstream_fails(told)
    project_fails(told)
    yield told


def refused_by_nginx(story: Story) -> None:
    """Requests that never reach a process, and ones that the project refuses."""
    story.send("refused")
    story.send("page", path=PAGE)
    story.send("static", path="/static/none.js")
    # Not among the canaries: Django itself logs the whole URL if a path doesn't exist.
    story.send(
        "path", f"GET /ws/{story.in_path}/?a=1 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: agent-path\r\n\r\n".encode()
    )
    story.send("413", method="POST", extra="Content-Length: 99999999\r\n")
    story.send("414", long="x" * 20_000)
    story.send("431", extra=f"X-Long: {'x' * 20_000}\r\n")
    story.send("400 header", extra=f"X\0Token: {story.canaries.new('400 header')}\r\n")
    story.send("400 hosts", extra=f"Host: {story.canaries.new('400 hosts')}\r\n")
    story.send("400 length", extra=f"Content-Length: {story.canaries.new('400 length')}\r\n")
    story.send("400 garbage", f"GARB?token={story.canaries.new('400 garbage')}\r\n\r\n".encode())
    story.send("400 space", f"GET / ?{story.canaries.new('400 space')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    story.send("405", method="TRACE")
    story.send("plain handshake", tls=False)
    story.send("plain page", path=PAGE, tls=False)
    for case, sent in {
        "plain on tls": story.request("plain on tls"),
        "no tls": b"\x16\x03\x01" + story.canaries.new("no tls").encode(),
    }.items():
        with socket.create_connection(("127.0.0.1", port_of(story.lab)), 10) as way, contextlib.suppress(OSError):
            way.sendall(sent)
            way.recv(4096)
        story.answers[case] = 0
    with contextlib.suppress(OSError):
        greet(story.lab, loose(), f"{story.canaries.new('unknown name')}.test").close()


def sockets_that_end(story: Story) -> None:
    """Some end normally, and some because their client is gone."""
    with opened(story.lab, story.good("closed")) as websocket:
        ask(websocket, {"type": "status"})
    way = greet(story.lab, trusting())
    way.sendall(handshake(story.good("reset by the client")))
    assert way.recv(64).startswith(b"HTTP/1.1 101 ")
    way.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    way.close()


@contextlib.contextmanager
def stopped(lab: LabHost) -> Iterator[None]:
    """Stop the project's processes for a while."""
    try:
        lab.run("systemctl stop " + " ".join(lab.units))
        yield
    finally:
        lab.run("systemctl start " + " ".join(lab.units))
        await_serving(lab)


@contextlib.contextmanager
def faked(lab: LabHost, kind: str) -> Iterator[None]:
    """Put something else in their places."""
    script = f"rm -f /run/fake; python3 -c %s {kind} {' '.join(lab.live['sockets'])} >/dev/null 2>&1 & "
    try:
        lab.run(script + "while [ ! -e /run/fake ]; do sleep 0.1; done", FAKE)
        yield
    finally:
        lab.run("rm -f /run/fake")


def upstream_fails(story: Story) -> None:
    """Processes that hang, that are gone, that nobody is behind, and that break off."""
    lab = story.lab
    with lab.nginx_edited(SITE, "s|proxy_read_timeout .*|proxy_read_timeout 2s;|"):
        pids = " ".join(map(str, lab.pids().values()))
        try:
            lab.run(f"kill -STOP {pids}")
            story.send("504")
            story.send("504 page", path=PAGE)
        finally:
            lab.run(f"kill -CONT {pids}")
        with stopped(lab):
            story.send("502 gone")
            with faked(lab, "refuse"):
                story.send("502 refused")
            with faked(lab, "reset"):
                story.send("502 reset", extra="X-Request-ID: claimed\r\n")
                story.ids = lab.run("cat /run/fake.id; rm /run/fake.id").split()


def project_fails(story: Story) -> None:
    """A consumer that raises, in processes with debugging on; and processes that crash."""
    lab = story.lab
    raises = (
        r's|^        await self.join(EVERYONE)|        if b"boom" in self.scope["query_string"]:\n'
        r"            raise RuntimeError\n&|",
        r's|^            case "echo":|&\n                if request["text"] == "boom": raise RuntimeError|',
    )
    path = lab.run("readlink -f %s", CONSUMERS).strip()
    try:
        with lab.edited(path, *raises), lab.edited("/srv/dashboard/live/env", "$aPYTHONASYNCIODEBUG=1"):
            restart(lab)
            token = story.good("exception in connect()")
            case, query = "exception in connect()", f"?boom=1&token={token}"
            story.send(case, re.sub(rb"\?\S+", query.encode(), story.request(case), count=1))
            with opened(lab, story.good("exception in a message")) as websocket, contextlib.suppress(Exception):
                websocket.send(json.dumps({"type": "echo", "text": "boom"}))
                websocket.recv(timeout=60)
            story.send("debug", path=PAGE)
            # Crashes: signals that leave a core dump of a process, if the host allows them.
            with contextlib.suppress(Exception), opened(lab, story.good("crash")), opened(lab, story.good("crash")):
                for signal, pid in zip(("SEGV", "ABRT"), lab.pids().values(), strict=False):
                    lab.run(f"kill -{signal} {pid}")
    finally:
        restart(lab)


def restart(lab: LabHost) -> None:
    """Restart the processes, and wait for them as long as a loaded machine takes."""
    lab.run("systemctl restart " + " ".join(lab.units))
    await_serving(lab)


def await_serving(lab: LabHost) -> None:
    """Wait until each process answers."""
    for _ in range(6):
        done = lab.host.run("python3 -c %s" + " %s" * len(lab.live["sockets"]), SERVING, *lab.live["sockets"])
        if not done.rc:
            return
    pytest.fail(done.stderr)


def entries(story: Story) -> dict[str, dict[str, Any]]:
    """The access log's lines of this story, by the agent of their requests; each must be JSON."""
    lines = story.lab.run(f"tail --bytes=+{int(story.size) + 1} {ACCESS_LOG}").splitlines()
    return {entry["agent"]: entry for entry in map(json.loads, lines)}


def test_failures_were_what_they_seem(story: Story) -> None:
    """Otherwise nothing is proven."""
    assert story.answers == {
        "refused": 403, "page": 404, "static": 404, "path": 404, "413": 413, "414": 414, "431": 431, "405": 405,
        "400 header": 400, "400 hosts": 400, "400 length": 400, "400 garbage": 400, "400 space": 400,
        "plain handshake": 403, "plain page": 308, "plain on tls": 0, "no tls": 0,
        "504": 504, "504 page": 504, "502 gone": 502, "502 refused": 502, "502 reset": 502,
        "exception in connect()": 500, "debug": 404,
    }  # fmt: skip


def test_access_log_tells_how_each_request_went(story: Story) -> None:
    """As JSON; the query is there, without its secrets."""
    logged = entries(story)
    hidden = "token=[hidden]&room=7&[hidden]&next=[hidden]&"
    shown = {
        case: (entry["status"], entry["end"], entry["path"], entry["query"])
        for case in ("refused", "page", "504", "502-gone", "502-refused", "502-reset", "413", "plain-handshake")
        if (entry := logged.get(f"agent-{case}"))
    }
    assert shown == {
        "refused": (403, "", HANDSHAKE, hidden), "page": (404, "", PAGE, hidden), "413": (413, "", HANDSHAKE, hidden),
        "plain-handshake": (403, "", HANDSHAKE, hidden), "504": (504, "timeout", HANDSHAKE, hidden),
        "502-gone": (502, "unreachable", HANDSHAKE, hidden), "502-refused": (502, "unreachable", HANDSHAKE, hidden),
        "502-reset": (502, "broken", HANDSHAKE, hidden),
    }  # fmt: skip
    assert logged["agent-path"]["path"] == "/ws/[hidden]/"
    assert not story.lab.run(f"grep -rlF {story.in_path} /var/log/nginx || true")
    assert all(re.fullmatch("[0-9a-f]{32}", entry["id"]) for entry in logged.values())
    closed = [entry for entry in logged.values() if entry["status"] == 101]
    assert closed and all(entry["end"] == "closed" and entry["upgrade"] == "websocket" for entry in closed)


def test_reasons_are_told(story: Story) -> None:
    """They say why an upstream failed, for whom and for which request; a request and its reason share a number."""
    reasons = story.lab.run(f"journalctl --unit=dashboard-nginx-errors --output=cat --since=@{story.moment}")
    request = r'client: [\d.]+, request: "GET /ws/dashboard/\?\[hidden\]", upstream: unix:/run/dashboard/\S+\.sock'
    for reason in (
        r"upstream timed out \(110: Connection timed out\) while reading response header from upstream",
        r"connect\(\) to unix:/run/dashboard/\S+ failed \(2: No such file or directory\) while connecting to upstream",
        r"connect\(\) to unix:/run/dashboard/\S+ failed \(111: Connection refused\) while connecting to upstream",
        r"(recv\(\)|send\(\)|writev\(\)) failed \((104: Connection reset by peer|32: Broken pipe)\) while .* upstream",
    ):
        assert re.search(rf"{reason}, {request}", reasons), (reason, reasons)
    timed = re.search(r"(\d+\*\d+) upstream timed out", reasons)
    assert timed and timed[1] in {entry["connection"] for entry in entries(story).values()}
    given = ("-e", "asgi_log_minutes=60", "-e", "asgi_log_lines=2000")
    told = Run("playbooks/logs.yml", "--limit", story.lab.name, *given).output
    told = re.sub(r"\s+", " ", told)  # the output is wrapped
    places = [told.find(text) for text in ("504 timeout", "502 unreachable", "502 broken", "RuntimeError")]
    assert places == sorted(places) and places[0] > 0, places
    assert "upstream timed out" in told and "(111: Connection refused)" in told
    one = entries(story)["agent-502-refused"]["id"]
    about = Run("playbooks/logs.yml", "--limit", story.lab.name, *given, "-e", f"asgi_log_request={one}").output
    about = re.sub(r"\s+", "", about)
    assert f"id={one}" in about and about.count("connection=") == 1, about
    assert "(111:Connectionrefused)" in about and "upstreamtimedout" not in about, about


def test_processes_leave_no_memory_behind(story: Story) -> None:
    for pid in story.lab.pids().values():
        assert re.search(r"Max core file size +0 +0", story.lab.run(f"cat /proc/{pid}/limits"))


def test_reader_may_do_nothing(lab: LabHost) -> None:
    pid = lab.run("systemctl show --property=MainPID --value dashboard-nginx-errors").strip()
    status = dict(line.split(":\t", 1) for line in lab.run(f"cat /proc/{pid}/status").splitlines() if ":\t" in line)
    assert "0" not in status["Uid"].split() and int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    exposure = lab.run("systemd-analyze security --no-pager dashboard-nginx-errors | tail -1")
    assert float(re.findall(r"\d+\.\d+", exposure)[0]) <= 1.5, exposure
    assert lab.run("stat --format='%a %U:%G' /run/nginx-errors/dashboard.sock").strip() == "660 root:www-data"


def test_reader_that_is_gone_holds_nobody_up(lab: LabHost, story: Story) -> None:
    """Without it, nginx reloads, serves and logs no queries; once it is back, so are the reasons."""
    reasons = "journalctl --unit=dashboard-nginx-errors --output=cat | grep --count 'none.js' || true"
    main = "/var/log/nginx/error.log"
    size = int(lab.run(f"stat --format=%s {main}"))
    units = "dashboard-nginx-errors.service dashboard-nginx-errors.socket"
    try:
        lab.run(f"systemctl stop {units} 2>&1")
        lab.reload_nginx()
        for _ in range(3):
            assert story.send("no reader", path="/static/none.js") == 404
    finally:
        lab.run("systemctl start dashboard-nginx-errors.socket dashboard-nginx-errors.service")
    lines = lab.run(f"tail --bytes=+{size + 1} {main} | grep -vF -e '[notice' -e '[warn' || true").splitlines()
    # nginx's own complaint: this is why the socket is created before nginx starts, and outlives its reader.
    assert lines and all("connect() failed (2: No such file" in line for line in lines), lines
    before = int(lab.run(reasons))
    # A killed reader is replaced within a second; in the meantime, lines wait in its socket.
    lab.run("systemctl kill --signal=KILL dashboard-nginx-errors.service")
    assert story.send("reader killed", path="/static/none.js") == 404
    for _ in range(300):
        lab.run("journalctl --sync")
        if int(lab.run(reasons)) > before:
            return
        time.sleep(0.2)
    pytest.fail("the reason was not told after the reader was killed")


def test_request_has_one_name_in_all_logs(story: Story) -> None:
    """The project gets the ID that the access log shows, whatever a client claims."""
    assert story.ids and set(story.ids) == {entries(story)["agent-502-reset"]["id"]}


@pytest.fixture(scope="module")
def runs(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Runs of playbooks with a user's own token, and a deploy of the other servers with the most verbose logging."""
    lab = story.lab
    given = tmp_path_factory.mktemp("given") / "given.json"
    given.touch(mode=0o600)
    ours = {name: value for name, value in lab.environment().items() if name in ("ALLOWED_HOSTS", "SQLITE_PATH")}
    try:
        token = story.good("handshake_token")
        given.write_text(json.dumps({"handshake_token": token, "handshake_token_command": [], "doctor_idle_seconds": 1,
                                     "handshake_idle_seconds": 0}))  # fmt: skip
        story.play("verify", "playbooks/handshake.yml", "-e", f"@{given}")
        story.play("doctor", "playbooks/doctor.yml", "-e", f"@{given}")
        talkative = {"PYTHONASYNCIODEBUG": "1", "UVICORN_LOG_LEVEL": "trace", "GUNICORN_CMD_ARGS": "--log-level debug"}
        given.write_text(json.dumps({"asgi_server": "uvicorn", "asgi_http": "wsgi", "asgi_start_seconds": 200,
                                     "release_environment": ours | talkative}))  # fmt: skip
        story.play("deploy", "playbooks/deploy.yml", "-e", f"@{given}")
        story.send("uvicorn refuses")
        story.send("gunicorn", path=PAGE)
        with opened(lab, story.good("uvicorn")) as websocket:
            ask(websocket, {"type": "status"})
    finally:
        given.unlink()
        story.play("deploy again", "playbooks/deploy.yml", "-e", "asgi_start_seconds=200")
        for name in ("live", "units"):
            lab.__dict__.pop(name, None)
    return story


def test_search_finds_what_is_there(lab: LabHost, tmp_path: Path) -> None:
    """In a file on the host, in its journal, in a compressed log, and on this machine; encoded as well."""
    planted = Canaries()
    text = planted.new("by hand")
    (tmp_path / "here").write_text(f"x{text}x")
    try:
        lab.run("echo %s | systemd-cat --identifier=test", text)
        lab.run("echo token=%s >/var/tmp/plain; printf 'a:%%s' %s | base64 >/srv/encoded", text, text)
        lab.run("echo %s | gzip >/var/log/nginx/planted.gz", text)
        found = planted.on_host(lab)
        files = {"/var/tmp/plain", "/srv/encoded", "/var/log/nginx/planted.gz", "journal"}
        assert files <= found and all(path in files or "/journal/" in path for path in found), found
    finally:
        lab.run("rm -f /var/tmp/plain /srv/encoded /var/log/nginx/planted.gz")
    assert any(str(tmp_path / "here") in place for place in planted.on_controller())


def test_no_token_is_anywhere(runs: Story) -> None:
    """The last test of all: on the host, in its journal, in Ansible's output and files, and in the project's folder."""
    assert runs.answers["uvicorn refuses"] == 403 and runs.answers["gunicorn"] == 404
    for name, output in runs.outputs.items():
        held = {where for text, where in runs.canaries.planted.items() if text in output}
        assert not held and not JWT.search(output), f"the output of {name} holds tokens of {held or 'somebody'}"
    for report in (ROOT / "artifacts").rglob("*.json"):
        assert not JWT.search(report.read_text()), report
    assert not runs.canaries.on_controller()
    assert not runs.canaries.on_host(runs.lab), runs.canaries.told(runs.lab)
