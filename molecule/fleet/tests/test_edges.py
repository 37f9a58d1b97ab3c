"""A fleet's edges: who gets which socket, who the client is, what is refused, and what a reload costs."""

from __future__ import annotations

import json
import socket
import time
import uuid

import pytest
from fleet import APP_1, APP_2, PATIENCE, SHARED, Fleet, playbook
from lab_host import LabHost, Run, echoes
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect


def test_sockets_are_spread_over_the_hosts(lab: Fleet) -> None:
    """By each edge by itself: the one with fewer connections gets the next."""
    with lab.sockets(20) as websockets:
        for edge, counted in lab.spread(websockets).items():
            assert min(counted[APP_1], counted[APP_2]) >= 8, f"{edge} spread its sockets unevenly: {counted}"


def test_project_sees_the_client(lab: Fleet) -> None:
    """Not an edge; and a page that came by TLS."""
    marks = {edge.name: uuid.uuid4().hex for edge in lab.edges}
    own = {lab.address(edge.name) for edge in lab.edges} | {lab.address(SHARED)}
    for edge in lab.edges:
        assert lab.page(edge, f"/{marks[edge.name]}/").status == 404
    logs = "".join(host.run("cat /var/log/nginx/dashboard.access.log") for host in lab.apps)
    seen = [json.loads(line) for line in logs.splitlines() if any(mark in line for mark in marks.values())]
    assert len(seen) == len(lab.edges), "nginx logged each page once"
    assert not {line["client"] for line in seen} & own, "nginx took an edge for the client"


def test_pages_have_http2_and_hsts(lab: Fleet) -> None:
    for edge in lab.edges:
        assert lab.page(edge).getheader("Strict-Transport-Security") == "max-age=300"
        told = edge.run(
            "openssl s_client -connect 127.0.0.1:443 -servername localhost -alpn h2,http/1.1 </dev/null 2>&1"
        )
        assert "ALPN protocol: h2" in told and "TLSv1.3" in told


def test_port_80_leads_to_tls(lab: Fleet) -> None:
    for edge in lab.edges:
        answer = lab.page(edge, "/path/?q=1", port=80, Host="localhost")
        assert (answer.status, answer.getheader("Location")) == (308, "https://localhost/path/?q=1")
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://localhost:{lab.place(edge.name, 80)[1]}/ws/dashboard/", open_timeout=30, proxy=None)
        assert refused.value.response.status_code == 403
        assert b"wss://" in refused.value.response.body


def test_only_edges_reach_the_app_hosts(lab: Fleet) -> None:
    """By their firewalls; from this machine, the site's port does not answer. SSH does, so the address is right."""
    for host in lab.apps:
        address = lab.address(host.name)
        socket.create_connection((address, 22), 10).close()
        with pytest.raises(OSError):
            socket.create_connection((address, 80), 3)


def test_health_checks_are_in_no_access_log(lab: Fleet) -> None:
    for host in lab.apps:
        assert "/.well-known/health" not in host.run("cat /var/log/nginx/*.log")


def test_admin_socket_is_for_root_alone(lab: Fleet) -> None:
    for edge in lab.edges:
        assert edge.run("stat --format='%U %G %a' /run/haproxy/admin.sock").strip() == "root haproxy 660"
        assert edge.host.run("runuser --user nobody -- test -w /run/haproxy/admin.sock").rc


def test_reload_keeps_sockets_and_new_limits_count(lab: Fleet) -> None:
    """A reload by a run; a configuration that HAProxy refuses never lands. Refusals say which limit it was."""
    limits = ["-e", "haproxy_address_handshakes=1", "-e", "haproxy_address_handshakes_burst=5"]
    provision = ["playbooks/provision.yml", "--tags", "haproxy", "--limit", "proxy"]
    with lab.sockets(5) as websockets:
        broken = Run(*provision, "-e", "haproxy_slow_start_seconds=-1")
        assert broken.code and "slowstart" in broken.output, broken.output
        done = playbook(*provision, *limits)
        assert all(done.changed(edge.name) == 2 for edge in lab.edges), done.output
        assert all(echoes(websocket) for _, websocket in websockets)
        try:
            for edge in lab.edges:
                answers = [answer_of(lab, edge) for _ in range(12)]
                assert [status for status, *_ in answers].count(101) in (5, 6, 7), answers
                refused = next(answer for answer in answers if answer[0] != 101)
                assert refused[:2] == (429, "10") and "haproxy_address_handshakes" in refused[2]
        finally:
            playbook(*provision)
        assert all(echoes(websocket) for _, websocket in websockets)
    assert all(answer_of(lab, edge)[0] == 101 for edge in lab.edges for _ in range(12))


def answer_of(lab: Fleet, edge: LabHost) -> tuple[int, str, str]:
    """The status of a handshake through an edge, and of a refusal the Retry-After and the text."""
    try:
        lab.connect(edge.name).close()
    except InvalidStatus as error:
        response = error.response
        return response.status_code, response.headers.get("Retry-After", ""), response.body.decode()
    return 101, "", ""


def test_request_has_one_id_in_all_logs(lab: Fleet) -> None:
    """From the edge to the app host, whose process gets it too; what a client claims is not taken."""
    claimed = "00000000-0000-4000-8000-000000000000"
    for edge in lab.edges:
        lab.page(edge, "/", **{"Host": "localhost", "X-Request-ID": claimed}).read()
        deadline = time.monotonic() + PATIENCE
        while True:  # both write their lines when the request is over
            logged = edge.run("journalctl --no-pager --output=cat --lines=500 --unit=haproxy").splitlines()
            ids = [line.split()[-1] for line in logged if " site~ app/" in line]
            shown = "".join(host.run("cat /var/log/nginx/dashboard.access.log") for host in lab.apps)
            if any(len(each) == 36 and f'"id":"{each}"' in shown for each in ids):
                break
            assert time.monotonic() < deadline, ids[-5:]
            time.sleep(0.2)
        assert claimed not in shown and claimed not in ids


def test_token_is_in_no_log(lab: Fleet) -> None:
    """Of edges, whatever becomes of the handshake: opened, refused, at a path that nobody serves, or without TLS."""
    token = lab.token()
    for edge in lab.edges:
        lab.connect(edge.name).close()
        lab.page(edge, f"/nowhere/?token={token}")
        lab.page(edge, f"/nowhere/?token={token}", port=80, Host="localhost")
        lab.page(edge, f"/ws/dashboard/?token={token}", port=80, Host="localhost", Upgrade="websocket")
        raw = socket.create_connection(lab.place(edge.name, 80), 10)
        raw.sendall(f"GET /?token={token} HTTP/1.1\r\nHost: a b\x01\r\n\r\n".encode())
        raw.recv(1000)
        raw.close()
    for edge in lab.edges:
        edge.run("sync")
        logged = edge.run("journalctl --no-pager --unit=haproxy; cat /var/log/haproxy* 2>&1 || true")
        assert " site~ app/" in logged, "HAProxy logs nothing"
        for part in (token, token.split(".")[1], "/nowhere", "/ws/"):
            assert part not in logged, f"{edge.name} logs {part[:12]}"
