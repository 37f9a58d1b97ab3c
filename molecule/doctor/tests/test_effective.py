"""What nginx makes of a handshake: the doctor's idea of it against nginx itself, and stacks that it has to explain.

Every stack is mended by doing what the doctor's fix says, and then opens a socket.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import random_nginx
from diagnosis import Diagnosis
from hands import mend
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from lab_host import ROOT, LabHost
from test_handmade import FOLDER, PYTHON, Handmade, Stack, handmade  # noqa: F401 - handmade is a fixture

sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.channels.stack.plugins.module_utils.host.nginx.request import Config

testinfra_hosts = ["ansible://doctor-1"]

FILE, FIRST = "/etc/nginx/sites-enabled/effective.conf", 8131
UP = """proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $handmade;
proxy_set_header Host $http_host;"""
PASS = "proxy_pass http://127.0.0.1:9001;"
#: Runs in the environment of the servers.
CERTIFICATE = """
import datetime, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
now = datetime.datetime.now(datetime.timezone.utc)
made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=2))
open("cert.pem", "wb").write(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
open("key.pem", "wb").write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                              serialization.NoEncryption()))
"""
#: Runs on the host: the status of a handshake with each address.
TRY = r"""
import re, socket, sys
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
for url in sys.argv[1:]:
    host, port, target = re.match(r"ws://([^:/]+):(\d+)(.*)", url).groups()
    head = f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{KEY}\r\n"
    with socket.create_connection((host, int(port)), 30) as way:
        way.sendall(head.encode())
        data = b""
        while b"\r\n\r\n" not in data and (more := way.recv(4096)):
            data += more
    print(data.split(b" ")[1].decode() if data.startswith(b"HTTP/") else repr(data[:20]))
"""
#: Prints a token for the stack NAME.
MINT = f"cd {FOLDER}/NAME/app && set -a && . {FOLDER}/env && {PYTHON} manage.py mint_token --user tester"
#: Opens sockets and keeps them, until nginx has no connection left for another one; then writes a file.
HOLD = r"""
import socket, sys, time
host, port, head, path = sys.argv[1:]
kept = []
while True:
    way = socket.create_connection((host, int(port)), 30)
    kept.append(way)
    data = b""
    try:
        way.sendall(head.encode())
        while b"\r\n\r\n" not in data and (more := way.recv(4096)):
            data += more
    except OSError:
        pass
    if not data.startswith(b"HTTP/1.1 101"):
        way.close()
        break
open(path, "w").close()
time.sleep(600)
"""


@dataclass
class Site:
    """A server block, and what the doctor should say. More server blocks may follow."""

    body: str
    code: str
    more: str = ""


def ws(lines: str, path: str = "/ws/") -> str:
    """A location, a line for each directive."""
    return f"location {path} {{\n{lines}\n}}"


SITES = {
    "slash": Site(ws(f"proxy_pass http://127.0.0.1:9001/;\n{UP}"), "E340_PATH_CHANGED"),
    "rewrite": Site(ws(f"rewrite ^/ws/(.*)$ /$1 break;\n{PASS}\n{UP}"), "E340_PATH_CHANGED"),
    "secure": Site(ws(f"proxy_pass https://127.0.0.1:9001;\n{UP}"), "E341_TLS_TO_PLAIN"),
    "unsecured": Site(ws(f"proxy_pass http://127.0.0.1:9002;\n{UP}"), "E342_PLAIN_TO_TLS"),
    "uwsgi": Site(ws("uwsgi_pass 127.0.0.1:9001;"), "E343_OTHER_PROTOCOL"),
    "fastcgi": Site(ws("fastcgi_pass 127.0.0.1:9001;"), "E343_OTHER_PROTOCOL"),
    "http2": Site(ws(f"{PASS}\n{UP}"), "E344_LISTEN_HTTP2", "listen PORT http2;\nserver_name other.example.org;"),
    "proxied": Site(
        ws(f"{PASS}\n{UP}"), "E345_LISTEN_PROXY_PROTOCOL", "listen PORT proxy_protocol;\nserver_name other.example.org;"
    ),
    "nested": Site(
        f"location / {{\n{PASS}\n{UP}\nlocation /ws/ {{\nproxy_set_header Host $host;\n{PASS}\n}}\n}}",
        "E346_HEADERS_NOT_INHERITED",
    ),
    "headers": Site(ws(f"{PASS}\n{UP}\nproxy_pass_request_headers off;"), "E347_HEADER_CHANGED"),
    "named": Site(
        "return 404;", "E348_OTHER_SERVER_BLOCK",
        f"listen PORT;\nserver_name www.example.org;\n{ws(f'{PASS}{chr(10)}{UP}')}",
    ),
    "twice": Site(
        "server_name ADDRESS;\nreturn 404;", "E348_OTHER_SERVER_BLOCK",
        f"listen PORT;\nserver_name ADDRESS;\n{ws(f'{PASS}{chr(10)}{UP}')}",
    ),
    "unloaded": Site(ws(f"{PASS}\n{UP}"), "E349_NOT_RELOADED"),
    "denied": Site(f"deny all;\n{ws(f'{PASS}{chr(10)}{UP}')}", "E310_PROXY_REFUSES"),
    "folder": Site(ws(f"proxy_pass http://unix:{FOLDER}/shut/d.sock;\n{UP}"), "E113_SOCKET_PERMISSION"),
}  # fmt: skip


def text_of(address: str, without: str = "") -> str:
    """The file of all sites. One of them may be without what it is to have later."""
    blocks = []
    for port, (name, site) in enumerate(SITES.items(), FIRST):
        body = site.body.replace("proxy_set_header Upgrade $http_upgrade;\n", "") if name == without else site.body
        blocks.append(f"server {{\nlisten {port};\n{body}\n}}")
        blocks += [f"server {{\n{site.more}\n}}".replace("PORT", f"{port}")] if site.more else []
    return "\n".join(blocks).replace("ADDRESS", address) + "\n"


def test_stacks(handmade: Handmade, repair: ExitStack) -> None:  # noqa: F811 - the fixture
    """Each has the code of its cause, no other error, and a fix that mends it."""
    lab, address = handmade.lab, handmade.address
    lab.run(f"mkdir --mode=700 {FOLDER}/shut; chown handy {FOLDER}/shut")
    lab.run(f"cd {FOLDER} && {PYTHON} -c %s && chown handy *.pem", CERTIFICATE)
    repair.callback(lab.host.run, f"rm -rf {FOLDER}/shut {FOLDER}/*.pem")
    secure = f"ssl:PORT:privateKey={FOLDER}/key.pem:certKey={FOLDER}/cert.pem:interface=127.0.0.1"
    daphne = f"{PYTHON} -m daphne"
    servers = handmade.stand(
        repair,
        plain=Stack(),
        secure=Stack(f"{daphne} -e {secure} core.asgi:application"),
        closed=Stack(f"{daphne} -u {FOLDER}/shut/d.sock core.asgi:application"),
    )
    for port in (9001, 9002):
        handmade.await_port(port)
    lab.run(f"for i in $(seq 1200); do test -S {FOLDER}/shut/d.sock && exit 0; sleep 0.1; done; exit 1")
    repair.callback(lab.reload_nginx)
    repair.callback(lab.host.run, f"rm -f {FILE}")
    lab.run(f"printf %%s %s > {FILE}", text_of(address, without="unloaded"))
    lab.reload_nginx()
    lab.run(f"sleep 2; printf %%s %s > {FILE}", text_of(address))
    urls = {name: f"ws://{address}:{port}/ws/dashboard/?token={{token}}" for port, name in enumerate(SITES, FIRST)}
    given = servers["plain"]
    found = Diagnosis.each(lab, **{name: {**given, "doctor_url": url} for name, url in urls.items()})
    # From the last site to the first, so that what is added does not move what is still to be changed.
    for name in reversed(SITES):
        diagnosis, code = found[name], SITES[name].code
        diagnosis.blames(code, ".")
        others = [each for each in diagnosis.report["noticed"] if each["severity"] == "error"]
        assert not others, f"{name}: {others}\n{diagnosis.told()}"
        mend(lab, diagnosis.report["finding"]["fix"])
    token = lab.run(MINT.replace("NAME", "plain")).strip()
    statuses = lab.python(TRY, *(url.format(token=token) for url in urls.values())).split()
    assert dict(zip(urls, statuses, strict=True)) == dict.fromkeys(urls, "101")


def test_connections(handmade: Handmade, repair: ExitStack) -> None:  # noqa: F811 - the fixture
    """An nginx whose sockets are used up is told by its own limit."""
    lab = handmade.lab
    cases = handmade.stand(repair, full=Stack())
    handmade.await_port(9001)
    limits = ("s/worker_connections .*/worker_connections 64;/", "s/worker_processes .*/worker_processes 1;/")
    repair.enter_context(lab.nginx_edited("/etc/nginx/nginx.conf", *limits))
    token = lab.run(MINT.replace("NAME", "full")).strip()
    head = (
        f"GET /ws/dashboard/?token={token} HTTP/1.1\r\nHost: {handmade.address}:8101\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    repair.callback(lab.host.run, "systemctl stop handmade-crowd; rm -f /run/handmade-full")
    crowd = ("127.0.0.1", "8101", head, "/run/handmade-full")
    lab.run("systemd-run --quiet --unit=handmade-crowd python3 -c %s %s %s %s %s", HOLD, *crowd)
    lab.run("for i in $(seq 1200); do test -e /run/handmade-full && exit 0; sleep 0.1; done; exit 1")
    found = Diagnosis.each(lab, **cases)["full"]
    found.blames("E350_PROXY_FULL", r"nginx\.conf:\d+: worker_connections 16384;", "fullest worker|not enough")


@settings(max_examples=6, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(bodies=st.lists(random_nginx.server(), min_size=40, max_size=40))
def check_random(lab: LabHost, bodies: list[list[str]]) -> None:
    """Ask nginx with random configurations, and compare what arrives behind it with what the doctor expects."""
    configuration, asked, made = random_nginx.plan(bodies)
    lab.run("printf %%s %s > /tmp/random.conf", configuration)
    lab.run("printf %%s %s > /tmp/random.json", asked)
    seen = json.loads(lab.run("python3 /tmp/ask_nginx.py /tmp/random.json /tmp/random.conf"))
    config = Config(lab.run("/usr/sbin/nginx -v 2>&1") + "\n" + seen["configuration"])
    wrong = []
    for (port, name, target), found in zip(made, seen["found"], strict=True):
        headers, _head = random_nginx.head_of(port, name, target)
        route = config.route(name, port, target, headers, exists=lambda _path: False, here=True)
        assert route
        expected, met = random_nginx.expected(route), random_nginx.seen(found)
        if expected != met:
            wrong.append(f"{name}:{port}{target} at {route['where']}: expected {expected}, nginx did {met}")
    if wrong:
        pytest.fail("\n".join([*wrong[:5], seen["configuration"]]))


def test_nginx_does_what_the_doctor_expects(lab: LabHost, repair: ExitStack) -> None:
    """Servers, locations, rules, paths and headers: nginx's own answer counts."""
    repair.callback(lab.host.run, "rm -f /tmp/random.* /tmp/ask_nginx.py; rm -rf /tmp/r[1-5]")
    lab.run("printf %%s %s > /tmp/ask_nginx.py", random_nginx.PROGRAM)
    check_random(lab)
