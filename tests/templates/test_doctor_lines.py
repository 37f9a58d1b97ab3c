"""What the doctor prints for hosts of this bundle, written into an inventory: the files that follow from it are right.

They are read as the doctor itself reads them; HAProxy is a real one, if it is installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.doctor import edge
from ansible_collections.channels.stack.plugins.module_utils.doctor.case import Case
from ansible_collections.channels.stack.plugins.module_utils.doctor.mends import MENDS
from ansible_collections.channels.stack.plugins.module_utils.doctor.rules.edges import trusted
from ansible_collections.channels.stack.plugins.module_utils.host import haproxy, raw
from ansible_collections.channels.stack.plugins.module_utils.host.deployed import fleet_view
from ansible_collections.channels.stack.plugins.module_utils.host.nginx.request import Config
from test_haproxy import FLEET, rendered

Render = Callable[..., str]


def printed(code: str, **values: Any) -> str:
    """The fix of a code, and that it has the variables of an inventory and a run behind it."""
    assert MENDS[code].command == "ansible-playbook site.yml"
    finding = Case({"url": "wss://app.example.org/ws/", "name": "edge-1"}).find(code, **values)
    return str(finding["fix"])


def site(render: Render, **variables: Any) -> Config:
    """nginx of an app host of a fleet."""
    text = render("nginx/site.conf.j2", **{**FLEET, "inventory_hostname": "app-1", **variables})
    return Config(f"# configuration file /etc/nginx/nginx.conf:\nhttp {{\n{text}\n}}\n")


def test_port_of_an_edge(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    """E324 names the two variables; with another port, HAProxy binds it, and the doctor looks for it there."""
    names = re.findall(r"haproxy_\w+_port", printed("E324_EDGE_PORT", edge="edge-1", port=443))
    assert sorted(names) == ["haproxy_http_port", "haproxy_https_port"]
    text = rendered(render, **dict(zip(sorted(names), (8080, 8443), strict=True)))
    monkeypatch.setattr(raw, "read", lambda path, *_limit: text if path == edge.CONFIG else "")
    monkeypatch.setattr(edge, "refusal", lambda: "")
    monkeypatch.setattr(edge, "asked", lambda: ([], ""))
    assert [each["port"] for each in edge.look("app")["haproxy"]["ports"]] == [8080, 8443]


def test_edge_that_app_hosts_know(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    """E327: with the right private_address, nginx of the app hosts trusts the address from which the edge comes."""
    source = "10.0.0.77"
    (name,) = re.findall(r"Correct (\w+) of edge-1", printed("E327_EDGE_UNKNOWN", edge="edge-1", hosts="app-1"))

    def view(**corrected: Any) -> list[str]:
        hosts = {**FLEET["hostvars"], "edge-1": {**FLEET["hostvars"]["edge-1"], **corrected}}
        text = render("nginx/site.conf.j2", **{**FLEET, "inventory_hostname": "app-1", "hostvars": hosts})
        monkeypatch.setattr(raw, "read", lambda *_given: text)
        return list(fleet_view("app")["trusts"])

    assert not trusted(source, view()) and trusted(source, view(**{name: source}))


def test_app_host_that_expects_the_proxy_protocol(render: Render) -> None:
    """E333: with the printed variable, nginx expects what the edge sends."""
    found = re.match(r"(\w+): true for the app hosts", printed("E333_PROXY_PROTOCOL", edge="edge-1", hosts="app-1"))
    assert found
    flags = []
    for value in (False, True):
        taken = site(render, **{found[1]: value}).take("www.example.org", 80, "/", here=True)
        assert taken
        flags.append(taken[1]["proxied"])
    assert flags == [False, True]


def test_log_that_shows_handshakes(render: Render) -> None:
    """E415: the printed line, in a server block that has lost its own, logs there in a format that exists."""
    fix = printed("E415_NOT_LOGGED", logs="/var/log/nginx/app.access.log")
    line = fix.partition(";")[0] + ";"
    text = render("nginx/site.conf.j2", **FLEET)
    own = re.search(r"^ *access_log (\S+) (\w+).*;$", text, re.M)
    assert own and re.match(r"access_log \S+ FORMAT;$", line)
    mended = re.sub(r"^ *access_log .*;$", line.replace("FORMAT", own[2]), text, flags=re.M)
    config = Config(f"# configuration file /etc/nginx/nginx.conf:\nhttp {{\n{mended}\n}}\n")
    logs = [each.value for server in config.servers for each in server.directive.all("access_log")]
    assert logs and set(logs) == {"/var/log/nginx/app.access.log"}


@pytest.mark.skipif(not shutil.which("haproxy"), reason="HAProxy is not installed")
def test_host_in_maintenance_comes_back(tmp_path: Path) -> None:
    """W329: the printed command, run by a shell, and a real HAProxy; socat is a program that does the same."""
    admin = tmp_path / "admin.sock"
    (tmp_path / "haproxy.cfg").write_text(
        f"global\n  stats socket {admin} level admin\ndefaults\n  mode http\n  timeout connect 5s\n"
        "  timeout client 5s\n  timeout server 5s\nbackend app\n  server app-1 127.0.0.1:1 disabled\n"
    )
    (tmp_path / "socat").write_text(
        f"#!{sys.executable}\nimport socket, sys\nway = socket.socket(socket.AF_UNIX)\nway.connect(sys.argv[2])\n"
        "way.sendall(sys.stdin.buffer.read())\nprint(way.recv(4096).decode())\n"
    )
    (tmp_path / "socat").chmod(0o755)
    case = Case({"url": "wss://app.example.org/ws/", "name": "edge-1"})
    fix = case.find("W329_HOST_MAINTENANCE", edge="edge-1", hosts="app-1", first="app-1")["fix"]
    command = fix.partition("on edge-1: ")[2].replace(haproxy.ADMIN, str(admin))
    running = subprocess.Popen(["haproxy", "-f", str(tmp_path / "haproxy.cfg"), "-db"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if admin.exists():
                break
            time.sleep(0.05)
        assert haproxy.servers("app", str(admin))[0]["state"] == "maintenance"
        subprocess.run(["/bin/sh", "-c", command], check=True, env={"PATH": f"{tmp_path}:/bin:/usr/bin"}, timeout=60)
        assert haproxy.servers("app", str(admin))[0]["state"] == "no check", "it gets handshakes again"
    finally:
        running.kill()
        running.wait()
