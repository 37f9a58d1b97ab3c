"""What a client must not take from others: sockets, handshakes, requests, time, memory. Each refusal says why."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_host import ROOT, LabHost, Run

CLIENTS = (ROOT / "molecule" / "resources" / "hostile_clients.py").read_text()
NARROW = {
    "nginx_sockets": 50, "nginx_address_sockets": 30,
    "nginx_address_handshakes": 1, "nginx_address_handshakes_burst": 100,
    "nginx_address_requests": 1, "nginx_address_requests_burst": 20,
    "nginx_header_timeout": 5, "nginx_limit_retry_seconds": 7,
}  # fmt: skip
# Runs on the host: an nginx beside the site's, with the same zones, which believes what a client says of its address.
BESIDE = """
import http.client, pathlib, re, shutil, subprocess, sys, tempfile
home = pathlib.Path(tempfile.mkdtemp())
limits = pathlib.Path("/etc/nginx/conf.d/dashboard-limits.conf")
key = re.search("limit_req_zone (\\\\S+) zone=dashboard_address_handshakes", limits.read_text())[1]
(home / "index.html").write_text("served")
home.chmod(0o755)
(home / "nginx.conf").write_text(f'''
pid {home}/pid; error_log {home}/error.log;
events {{}}
http {{
    include {limits};
    # So slow that nothing is forgotten while a busy machine asks.
    limit_req_zone {key} zone=beside:1m rate=1r/m;
    access_log off; set_real_ip_from 127.0.0.8; real_ip_header X-Forwarded-For;
    server {{
        listen 127.0.0.9:8999; root {home};
        limit_req zone=beside burst=1 nodelay; limit_req_status 429;
    }}
}}''')
subprocess.run(["nginx", "-c", home / "nginx.conf"], check=True, capture_output=True)
def status(address):
    way = http.client.HTTPConnection("127.0.0.9", 8999, timeout=60, source_address=("127.0.0.8", 0))
    way.request("GET", "/", headers={"Upgrade": "websocket", "X-Forwarded-For": address})
    return way.getresponse().status
try:
    print([status(address) for address in sys.argv[1:]])
finally:
    subprocess.run(["nginx", "-c", home / "nginx.conf", "-s", "quit"], check=True, capture_output=True)
    shutil.rmtree(home)
"""


def clients(lab: LabHost, what: str, *arguments: str) -> dict[str, Any]:
    """Run clients on the host, and return what happened to them."""
    return json.loads(lab.python(CLIENTS, what, lab.token(), *arguments))


def limited(lab: LabHost, *arguments: str) -> Run:
    """Configure nginx."""
    return Run("site.yml", "--tags", "nginx", "--limit", lab.name, *arguments)


@pytest.fixture(scope="module")
def narrow(lab: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """Small limits, so that dozens of clients do what would take thousands; at the end, the previous ones."""
    file: Path = tmp_path_factory.mktemp("narrow") / "narrow.json"
    file.write_text(json.dumps(NARROW))
    given = ("-e", f"@{file}")
    before = lab.run("pgrep --oldest --exact nginx")
    limited(lab, *given).changed(lab.name)
    assert lab.run("pgrep --oldest --exact nginx") == before, "nginx was restarted for other limits"
    yield given
    limited(lab).changed(lab.name)


def test_defaults_fit_together(lab: LabHost) -> None:
    """By what nginx and the processes really run with, all sockets and the rest fit, and one more is refused."""
    site, main = lab.run("cat /etc/nginx/sites-enabled/dashboard.conf"), lab.run("cat /etc/nginx/nginx.conf")
    sockets = int(re.search(r"limit_conn dashboard_site_sockets\w* (\d+);", site)[1])  # type: ignore[index]
    connections = int(re.search(r"worker_connections (\d+);", main)[1])  # type: ignore[index]
    assert sockets == 10000
    workers = lab.run("pgrep --full 'nginx: worker process$'").split()
    files = [int(lab.run(f"awk '/^Max open files/ {{print $4}}' /proc/{pid}/limits")) for pid in workers]
    assert min(files) > connections, "nginx would run out of files before it could refuse anybody"
    if connections < 2 * sockets + 4096:  # this host may allow no more files: workers leave new ones to others in time
        assert "accept_mutex on;" in main and len(workers) * connections * 7 / 8 >= 2 * sockets + 4096
    for pid in lab.pids().values():
        assert int(lab.run(f"awk '/^Max open files/ {{print $4}}' /proc/{pid}/limits")) > sockets
    # The kernel's queue for each process (Send-Q of a listener) is as long as requested.
    for path in lab.live["sockets"]:
        assert lab.run(f"ss -Hxl src unix:{path}").split()[3] == "4096"


def test_one_socket_too_many_is_told(lab: LabHost, narrow: tuple[str, ...]) -> None:
    """By its address's limit or the site's, after a reload too; pages, the host itself and later ones are served."""
    told = clients(lab, "too_many")
    assert told["first"] == {"101": 30} and told["second"] == {"101": 20}
    assert told["address"]["status"] == told["site"]["status"] == 503
    assert told["address"]["retry"] == told["site"]["retry"] == "7"
    assert "nginx_address_sockets" in told["address"]["text"] and "(nginx_sockets)" in told["site"]["text"]
    assert told["page"] == 200 and told["itself"] == 101
    assert told["after a reload"] == 503, "sockets of nginx's workers of before were forgotten"
    assert told["when one has gone"] == 101 and told["echoes"]


def test_who_comes_too_often_is_told(lab: LabHost, narrow: tuple[str, ...]) -> None:
    """Handshakes and pages each have their own limit; other addresses are served, and files are not counted."""
    static = lab.run("cd /srv/dashboard/live/static && find . -name '*.css' | head -1").strip()[2:]
    told = clients(lab, "too_fast", f"/static/{static}")
    for name, variable, burst in (("handshake", "handshakes", 100), ("page", "requests", 20)):
        assert told[name]["status"] == 429 and told[name]["retry"] == "7", told
        assert f"(nginx_address_{variable}, nginx_address_{variable}_burst)" in told[name]["text"]
        assert told[name]["served before"] > burst
    assert told["another"] == [101, 200] and told["files"] == {"200": 60}
    assert told["socket of who asks for pages"] == 101


def test_addresses_of_one_ipv6_network_are_one(lab: LabHost) -> None:
    """The key is the running site's; an address is refused for what others in its /64 have done."""
    own = ["2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:1:a:b:c:d"]
    mapped = ["::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"]
    assert json.loads(lab.python(BESIDE, *own, "2001:db8:0:2::1", *mapped)) == [200, 200, 429, 200, 200, 200, 429, 200]


def test_slow_and_oversized_clients_stop_nobody(lab: LabHost, narrow: tuple[str, ...]) -> None:
    """An earlier socket carries messages all the time, and new ones open; nginx closes the slow clients."""
    told = clients(lab, "slow")
    assert len(told["witness"]) > 3 and set(told["witness"]) == {101}, told
    assert told["left"] == 0, f"{told['left']} of 500 connections were still open after {told['seconds']} s"
    assert told["many headers"] in (400, 431) and told["long headers"] == 431 and told["body"] == 413
    assert told["at last"] == [True, 101]


def test_long_frame_takes_no_memory(lab: LabHost) -> None:
    """100 MB, to each process: Daphne ends the socket at once, without a close frame (uvicorn: scenario release)."""
    told = clients(lab, "long_frame")
    assert told["codes"] == [None] * len(told["codes"])
    assert told["grown kB"] < 2**14, told  # nginx may keep reading, but stores none of it
    assert all(told["witnesses"]) and told["new"]


def test_killed_worker_is_made_good(lab: LabHost, narrow: tuple[str, ...]) -> None:
    """nginx would count the worker's sockets forever; the next run makes it count again, without a restart."""
    told = clients(lab, "killed_worker")
    assert told["held"] == {"101": 50} and told["after"]["status"] == 503
    assert limited(lab, *narrow).changed(lab.name) > 0
    assert clients(lab, "fits") == {"open": {"101": 50}}
    assert limited(lab, *narrow).changed(lab.name) == 0


def test_numbers_that_cannot_be_change_nothing(lab: LabHost, tmp_path: Path) -> None:
    """All faults are reported at once, including what cannot be set in this kernel."""
    wrong = {"nginx_sockets": 60000, "asgi_backlog": 10**6, "nginx_limit_exempt": ["everybody"], "asgi_open_files": 64}
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    before = lab.run("md5sum /etc/nginx/nginx.conf /etc/nginx/*/*")
    run = limited(lab, "-e", f"@{tmp_path}/wrong.json")
    told = " ".join(run.output.split())
    assert run.code and "nothing was changed" in told
    assert "fault is 64, but" in told and '"everybody" is neither an address nor a network' in told
    # Ask the host, because hosts differ: a container may have few files, and a kernel that it cannot configure.
    few = int(lab.run("awk '/^Max open files/ {print $5}' /proc/1/limits")) < 130000
    assert ("fault is 60000, but the host allows" in told) is few
    fixed = lab.host.run("test -w /proc/sys/net/core/somaxconn").rc != 0
    assert ("needs net.core.somaxconn 1000000" in told) is fixed
    assert lab.run("md5sum /etc/nginx/nginx.conf /etc/nginx/*/*") == before
