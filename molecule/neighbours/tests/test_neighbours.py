"""Three projects on one host: none notices when the others come, change or go."""

from __future__ import annotations

import http.client
import json
import re
import time
from typing import Any

import pytest
from lab_host import PATIENCE, LabHost, echoes
from plays import changes, play
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

PROJECTS = ("pad", "scrap")


@pytest.fixture(scope="module", autouse=True)
def projects(lab: LabHost) -> dict[str, str]:
    """Add both projects beside the existing one, whose socket stays open; return the runs' output."""
    told = {}
    with lab.connect() as first:
        for project in PROJECTS:
            done = play(project, "site.yml")
            changes(done)
            told[project] = done.stdout
        assert echoes(first), "the socket of the project that was there first has ended"
    return told


def address(lab: LabHost, project: str) -> tuple[str, int]:
    """Return where a project can be reached from here: at the published port, or at the container's own address."""
    return ("127.0.0.1", lab.port) if project == "pad" else (lab.run("hostname -I").split()[0], 80)


def request(lab: LabHost, project: str, path: str, method: str = "GET", body: str | None = None) -> Any:
    """Send a request to a project; return status, headers and body."""
    way = http.client.HTTPConnection(*address(lab, project), timeout=60)
    try:
        way.request(method, path, body, {"Daphne-Root-Path": "/evil", "X-Forwarded-For": "1.2.3.4"})
        answer = way.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        way.close()


def opened(lab: LabHost, project: str, path: str, **options: Any) -> ClientConnection:
    """Open a socket of a project as a page on its site does."""
    host, port = address(lab, project)
    options = {"origin": f"http://{host}", "open_timeout": 10, "ping_interval": None, "proxy": None, **options}
    return connect(f"ws://{host}:{port}{path}", **options)


def protocol(lab: LabHost) -> ClientConnection:
    """Open a socket of scrap."""
    return opened(lab, "scrap", "/ws/protocol/", subprotocols=["pad.v1"])


def test_long_addresses_reach_gunicorn_and_uvicorn(lab: LabHost) -> None:
    """Their own limits are 4 kB and 8 kB, and uvicorn doesn't answer a request above its own."""
    long = "?token=" + "t" * 11_000
    assert request(lab, "scrap", f"/talk/{long}")[0] == 200
    opened(lab, "scrap", f"/ws/protocol/{long}", subprotocols=["pad.v1"]).close()


def test_second_run_changes_nothing() -> None:
    for project in PROJECTS:
        assert changes(play(project, "playbooks/deploy.yml")) == 0, f"{project} is changed again"


def test_project_below_a_path_finds_itself(lab: LabHost) -> None:
    status, _, body = request(lab, "pad", "/pad/")
    told = json.loads(body)
    assert status == 200 and told["asgi"]
    assert (told["path"], told["script"], told["reverse"]) == ("/pad/", "/pad", "/pad/")
    assert told["forwarded"] == told["address"] != "1.2.3.4"
    assert told["here"] == f"http://127.0.0.1:{lab.port}/pad/"
    assert request(lab, "pad", "/")[0] == 404
    status, headers, _ = request(lab, "pad", "/pad?a=1")
    assert (status, headers["location"]) == (301, "/pad/?a=1")
    status, headers, _ = request(lab, "pad", told["style"])
    assert status == 200 and told["style"].startswith("/pad/static/pad/style.")
    assert headers["cache-control"] == "public, max-age=31536000, immutable"


def test_session_opens_a_socket_below_a_path(lab: LabHost) -> None:
    key = lab.run("pad-manage open_session tester").strip()
    with opened(lab, "pad", "/pad/talk/", additional_headers={"Cookie": f"sessionid={key}"}) as websocket:
        websocket.send("hello")
        assert websocket.recv(10) == "tester: hello"
    with pytest.raises(InvalidStatus, match="403"):
        opened(lab, "pad", "/pad/talk/", additional_headers={"Cookie": "sessionid=wrong"})
    with opened(lab, "pad", "/pad/ws/protocol/", subprotocols=["pad.v1"]) as websocket:
        websocket.send("x")
        assert websocket.recv(10) == "/pad/ws/protocol/ /pad x"


def test_plain_http_is_answered_by_gunicorn(lab: LabHost) -> None:
    told = json.loads(request(lab, "scrap", "/talk/")[2])
    assert not told["asgi"] and told["address"] == told["forwarded"] != "1.2.3.4"
    assert (told["path"], told["script"]) == ("/talk/", "")
    with protocol(lab) as websocket:
        assert websocket.subprotocol == "pad.v1"
    unit = "scrap-wsgi@" + lab.run("basename $(readlink /srv/scrap/live)").strip() + "-1.service"
    described = json.loads(lab.run("cat /srv/scrap/live/generation.json"))
    lab.assert_only_nginx_reaches([*described["sockets"], *described["wsgi"]["sockets"]])
    shown = lab.run("systemctl show --property=User,NoNewPrivileges,ProtectSystem,MainPID %s", unit)
    assert {"User=scrap", "NoNewPrivileges=yes", "ProtectSystem=strict"} <= set(shown.splitlines())


def test_uploads_are_read_by_nginx_and_nothing_else_is(lab: LabHost) -> None:
    page = "<script>alert(1)</script>"
    for name, body in (("pages/2026/a.html", page), ("a.txt", "text")):
        status, _, answer = request(lab, "pad", f"/pad/upload/{name}", "POST", body)
        assert status == 200 and json.loads(answer)["url"].endswith(f"/media/{name}")
        for prefix in ("/media/", "/pad/media/"):
            status, headers, found = request(lab, "pad", prefix + name)
            assert (status, found, headers["x-content-type-options"]) == (200, body, "nosniff")
            assert ("sandbox" in headers.get("content-security-policy", "")) == name.endswith(".html")
    lab.run("runuser -u pad -- sh -c 'ln -sf /etc/nginx/nginx.conf /srv/pad/shared/media/link.txt'")
    for path in ("", "pages/", "link.txt"):
        assert request(lab, "pad", f"/media/{path}")[0] == 403, f"/media/{path} is shown"
    for path in ("/media../db.sqlite3", "/media/../db.sqlite3", "/media/..%2fdb.sqlite3"):
        assert request(lab, "pad", path)[0] in (404, 400)
    for command in ("ls /srv/pad/shared", "cat /srv/pad/shared/db.sqlite3", "touch /srv/pad/shared/media/x"):
        assert lab.host.run(f"runuser -u www-data -- {command}").rc, f"nginx's user may {command}"


def test_what_could_not_be_proven_is_told(projects: dict[str, str]) -> None:
    told = projects["scrap"]
    assert (
        "skip Handshakes without a valid token are refused: neither handshake_token_command nor handshake_token"
        in " ".join(told.split())
    )
    assert "not proven, as nothing is set that it could be tried with" in " ".join(told.split())
    assert "Handshake with no token is refused: 403" in projects["pad"]


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("nginx_local_port", 8000, "is 8000 for pad, and that is a port of dashboard"),
        ("nginx_server_names", ["_"], "has pad answer to every name on port 80, as does dashboard"),
        ("release_app", "redis", '"redis" is a user of the host already'),
    ],
)
def test_clash_is_found_before_anything_changes(variable: str, value: Any, fault: str) -> None:
    done = play("pad", "site.yml", "--extra-vars", json.dumps({variable: value}))
    assert done.returncode and fault in " ".join(done.stdout.split()), done.stdout
    assert "nothing was changed" in done.stdout


def test_removal_needs_an_answer(lab: LabHost) -> None:
    done = play("pad", "playbooks/remove.yml")
    assert done.returncode and "Nothing was changed" in done.stdout, done.stdout
    done = play("pad", "playbooks/remove.yml", "--check", "--extra-vars", "remove_data=true")
    changes(done)
    said = done.stdout
    assert "would be removed" in said and re.search(r"/etc/systemd/system/pad-daphne@\S+-1\.service", said)
    assert request(lab, "pad", "/pad/")[0] == 200, "it is gone, though it was only asked"


def test_removal_is_noticed_by_nobody_else(lab: LabHost) -> None:
    key = lab.run("pad-manage open_session tester").strip()
    cookie = {"Cookie": f"sessionid={key}"}
    with (
        lab.connect() as first,
        protocol(lab) as other,
        opened(lab, "pad", "/pad/talk/", additional_headers=cookie) as own,
    ):
        before = lab.run(
            "cat /run/nginx.pid; systemctl show --property=MainPID redis-server 'scrap-*@*' 'dashboard-*@*'"
        )
        done = play("pad", "playbooks/remove.yml", "--extra-vars", "remove_data=false")
        assert changes(done) > 0
        with pytest.raises(ConnectionClosed):
            own.recv(10)
        after = lab.run(
            "cat /run/nginx.pid; systemctl show --property=MainPID redis-server 'scrap-*@*' 'dashboard-*@*'"
        )
        assert before == after, "a daemon or a process of others was restarted"
        assert echoes(first), "a socket of the lab's project has ended"
        other.send("still here")
        assert other.recv(10).endswith("still here"), "a socket of the third project has ended"
    assert lab.run("ls /srv/pad").split() == ["shared"]
    assert changes(play("pad", "playbooks/remove.yml", "--extra-vars", "remove_data=false")) == 0
    assert changes(play("pad", "playbooks/remove.yml", "--extra-vars", "remove_data=true")) > 0
    elsewhere = ("/proc", "/sys", "/usr/lib", "/usr/share", "/var/log/journal", "/srv/scrap")
    others = " -o ".join(f"-path {path}" for path in elsewhere)
    found = lab.run(f"find / -xdev \\( {others} \\) -prune -o \\( -name pad -o -name 'pad[-.]*' \\) -print")
    assert found.split() == [], "something of it was left behind"
    assert lab.host.run("id pad").rc and lab.host.run("pgrep -f /srv/pad/").rc
    assert not [line for line in lab.run("systemctl list-units --all --plain --no-legend 'pad-*'").splitlines()]
    for project in ("dashboard", "scrap"):
        assert lab.run(f"{project}-generations list").count(" live ") == 1
    assert request(lab, "scrap", "/")[0] == 200 and lab.get("/")[0] == 200


def serves(lab: LabHost) -> bool:
    """Tell whether both kinds of scrap's processes answer: each comes back in its own time."""
    try:
        protocol(lab).close()
    except InvalidStatus:
        return False
    return bool(request(lab, "scrap", "/")[0] == 200)


def test_removal_under_the_other_manager(lab: LabHost) -> None:
    """The same for a project that supervisor runs."""
    other = ("--extra-vars", "asgi_manager=supervisor")
    with lab.connect() as first:
        changes(play("scrap", "site.yml", *other))
        programs = lab.run("ls /etc/supervisor/conf.d").split()
        assert len(programs) == 2 and {name.partition("@")[0] for name in programs} == {"scrap-uvicorn", "scrap-wsgi"}
        assert not json.loads(request(lab, "scrap", "/")[2])["asgi"]
        supervisord = lab.run("systemctl show --property=MainPID --value supervisor").strip()
        lab.run(f"kill -KILL {supervisord}")
        deadline = time.monotonic() + PATIENCE
        while not serves(lab):
            assert time.monotonic() < deadline, "the project does not serve after supervisord was killed"
            time.sleep(0.5)
        running = lab.run("pgrep --full /srv/scrap/.*/bin/uvicorn").split()
        owner = lab.run("systemctl show --property=MainPID --value supervisor").strip()
        parents = {lab.run(f"ps -o ppid= {pid}").strip() for pid in running}
        assert parents == {owner} != {supervisord}, "processes of the one that was killed run on"
        with protocol(lab) as own:
            changes(play("scrap", "playbooks/remove.yml", *other, "--extra-vars", "remove_data=true"))
            with pytest.raises(ConnectionClosed):
                own.recv(10)
        assert echoes(first), "a socket of the lab's project has ended"
    assert lab.host.run("ls /srv/scrap /etc/supervisor/conf.d/* /run/supervisor/conf.d/* /run/scrap").stdout == ""
    assert lab.host.run("id scrap").rc and lab.host.run("pgrep -f /srv/scrap/").rc
    assert lab.run("ls /var/log/nginx /var/log/supervisor").count("scrap") == 0
    assert lab.host.run("systemctl is-active supervisor nginx").stdout.split() == ["active"] * 2, (
        "there is a project left"
    )
