"""Redis and PostgreSQL of this scenario as their clients see them, and programs that act as such clients."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import testinfra
from lab_fixtures import HOSTS
from lab_host import LabHost
from secure_site import Pair

PORTS = {"redis": 6379, "postgresql": 5432}
PGBOUNCER = 6432
SYSTEM = "/etc/ssl/certs/ca-certificates.crt"
SECRET = "words-that-only-the-clients-may-see"
# What a stranger gets for a PING: arguments are the address, the port and whether to use TLS.
STRANGER = """
import socket, ssl, sys
address, port, tls = sys.argv[1:]
way = socket.create_connection((address, int(port)), 10)
if tls == "tls":
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    way = context.wrap_socket(way)
try:
    way.sendall(b"PING\\r\\n")
    print(way.recv(200).decode() or "nothing")
except ConnectionError:
    print("nothing")
"""
# The certificate that a store presents: arguments are its kind, its address and its port.
SERVED = """
import socket, ssl, struct, sys
kind, address, port = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
way = socket.create_connection((address, int(port)), 10)
if kind == "postgresql":
    way.sendall(struct.pack("!ii", 8, 80877103))  # SSLRequest
    assert way.recv(1) == b"S"
print(ssl.DER_cert_to_PEM_cert(context.wrap_socket(way).getpeercert(binary_form=True)), end="")
"""
# Makes Redis read its certificate again, as the user with which the bundle talks to it.
RELOAD = """
import pathlib, socket, ssl, sys
address, port, folder = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
way = context.wrap_socket(socket.create_connection((address, int(port)), 10))
password = pathlib.Path("/etc/redis/operator.password").read_text().strip()
pair = f"tls-cert-file {folder}/fullchain.pem tls-key-file {folder}/privkey.pem"
for line in (f"AUTH acl-operator {password}", f"CONFIG SET {pair}"):
    way.sendall(line.encode() + b"\\r\\n")
    answer = way.recv(1000)
    assert answer.startswith(b"+OK"), answer
"""
# Uses a store at the project's own address and a port, with parts of its query changed; if it gets in, it sends a
# secret.
CLIENT = """
import json, os, ssl, sys
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
kind, changed, secret, port = sys.argv[1], json.loads(sys.argv[2]), *sys.argv[3:]
url = urlsplit(os.environ[{"redis": "REDIS_URL", "postgresql": "DATABASE_URL"}[kind]])
place = url.netloc.rpartition(":")[0] + ":" + port
url = urlunsplit(url._replace(netloc=place, query=urlencode({**dict(parse_qsl(url.query)), **changed})))
try:
    if kind == "redis":
        import redis
        connection = redis.Redis.from_url(url)
        connection.publish("asgi:wire", secret)
        tls = isinstance(connection.connection_pool.get_connection()._sock, ssl.SSLSocket)
        try:
            connection.config_get("maxmemory")
            rights = "all rights"
        except redis.exceptions.NoPermissionError:
            rights = "its own rights"
    else:
        import psycopg
        with psycopg.connect(url) as connection:
            connection.execute("SELECT %s", [secret])
            tls = connection.pgconn.ssl_in_use
            rights = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
            rights = "all rights" if rights[0] else "its own rights"
    print(f"in, {'with' if tls else 'without'} TLS and {rights}")
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""
# Writes the traffic of a TCP port to a file, and a word to another file once it has started.
TAP = """
import pathlib, socket, sys
port, path = int(sys.argv[1]), sys.argv[2]
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
pathlib.Path(path).with_suffix(".ready").write_text("yes")
with open(path, "wb", buffering=0) as file:
    while True:
        packet = tap.recv(65535)
        if packet[9:10] == b"\\x06":  # TCP
            header = 4 * (packet[0] & 15)
            ports = {int.from_bytes(packet[header + at:header + at + 2], "big") for at in (0, 2)}
            if port in ports:
                file.write(packet[header + 4 * (packet[header + 12] >> 4):])
"""


@cache
def fellows() -> list[LabHost]:
    """All hosts of the scenario."""
    inventory = str(Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory")
    found = testinfra.get_hosts(["ansible://all"], ansible_inventory=inventory)
    return [HOSTS.setdefault(host.backend.host, LabHost(host)) for host in found]


class Store:
    """The one store that a host of this scenario runs, for itself and the other host."""

    def __init__(self, lab: LabHost) -> None:
        self.lab = lab
        self.kind = "redis" if lab.host.file("/etc/redis/redis.conf").exists else "postgresql"
        self.port = PORTS[self.kind]
        self.address = lab.run("hostname --all-ip-addresses").split()[0]
        folder = {"redis": "/etc/redis/certificate", "postgresql": "/etc/postgresql/*/main/certificate"}[self.kind]
        self.folder = lab.run(f"echo {folder}").strip()

    def served(self) -> str:
        """Return the certificate that it presents, in PEM."""
        return self.lab.python(SERVED, self.kind, self.address, str(self.port))

    def main_pid(self) -> str:
        """Return its main process."""
        path = {"redis": "/run/redis/redis-server.pid", "postgresql": "/run/postgresql/*-main.pid"}[self.kind]
        return self.lab.run(f"head --lines=1 {path}").strip()

    def put(self, pair: Pair) -> None:
        """Replace its certificate and key."""
        for name, text in (("fullchain.pem", pair.chain), ("privkey.pem", pair.key)):
            self.lab.run(f"printf %s %s > {self.folder}/{name}", "%s", text)

    def reload(self) -> None:
        """Make it read them again."""
        if self.kind == "postgresql":
            self.lab.run("systemctl reload 'postgresql@*' && sleep 1")
        else:
            self.lab.python(RELOAD, self.address, str(self.port), self.folder)

    def used(self, lab: LabHost, port: int = 0, **changed: str) -> str:
        """Use it from a host as the project does, with parts of the address's query changed; return the result."""
        given = [self.kind, json.dumps(changed), SECRET, str(port or self.port)]
        words = ["/srv/dashboard/live/venv/bin/python", "-c", CLIENT, *given]
        return lab.as_project(shlex.join(words)).strip()

    @contextlib.contextmanager
    def tapped(self) -> Iterator[Path]:
        """Capture its traffic; yield the file on its host that contains it."""
        with background(self.lab, shlex.join(["python3", "-c", TAP, str(self.port), "/tmp/wire.tap"])):
            self.lab.run("for _ in $(seq 1200); do test -e /tmp/wire.ready && exit; sleep 0.1; done; exit 1")
            yield Path("/tmp/wire.tap")
        self.lab.run("rm /tmp/wire.ready /tmp/wire.tap")


@contextlib.contextmanager
def background(lab: LabHost, command: str) -> Iterator[None]:
    """Run a command on a host for a while."""
    pid = lab.run(f"{command} >/tmp/background.log 2>&1 & echo $!").strip()
    try:
        yield
    finally:
        lab.host.run("kill %s", pid)
