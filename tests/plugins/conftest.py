"""Real servers for the plugins' tests: the websockets library, a daphne process, and raw sockets that misbehave."""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import websockets.sync.server
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"

KEY_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip

ASGI_APP = """
import asyncio

async def application(scope, receive, send):
    path = scope["path"]
    if scope["type"] == "http":
        await receive()
        status = {"/health/": 200, "/sick/": 503}.get(path, 404)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"asked with " + scope["query_string"]})
        return
    await receive()
    if path == "/deny/":
        await send({"type": "websocket.close"})
        return
    if path == "/crash-before/":
        raise RuntimeError("before accept")
    if path == "/slow/":
        await asyncio.sleep(30)
    offered = scope["subprotocols"]
    await send({"type": "websocket.accept", "subprotocol": offered[0] if offered else None})
    if path == "/crash-after/":
        raise RuntimeError("after accept")
    if path == "/turn-away/":
        await send({"type": "websocket.close", "code": 4401})
        return
    if path == "/whoami/":
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        await send({"type": "websocket.send", "text": scope["query_string"].decode() + " " + repr(headers)})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        if event.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4000})
        elif event.get("text") is not None:
            await send({"type": "websocket.send", "text": event["text"]})
"""


@pytest.fixture(scope="session")
def handshake_module() -> ModuleType:
    """The module as a Python module, for what needs no Ansible run."""
    return importlib.import_module("ansible_collections.channels.stack.plugins.modules.websocket_handshake")


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder whose path is short: a unix socket's path ends at 108 bytes, pytest's own folders may be longer."""
    folder = Path(tempfile.mkdtemp(prefix="ws-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def daphne() -> Iterator[str]:
    """A real daphne on a unix socket; its path. It gives an application two seconds to accept."""
    folder = Path(tempfile.mkdtemp(prefix="ws-"))
    (folder / "tiny.py").write_text(textwrap.dedent(ASGI_APP))
    path = folder / "d.sock"
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "daphne", "-u", str(path), "--websocket_connect_timeout", "2", "tiny:application"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"},
            stdout=output,
            stderr=output,
        )
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
            break
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    yield str(path)
    process.terminate()
    process.wait(timeout=10)
    shutil.rmtree(folder)


@pytest.fixture
def serve(short_dir: Path) -> Iterator[Callable[..., SimpleNamespace]]:
    """Start a server of the websockets library: serve(handler, unix=False, **options) has .url, .path and .port."""
    servers: list[tuple[Any, threading.Thread]] = []

    def start(handler: Callable[[Any], None], *, unix: bool = False, **options: Any) -> SimpleNamespace:
        scheme = "wss" if "ssl" in options else "ws"
        if unix:
            path = str(short_dir / f"{len(servers)}.sock")
            server = websockets.sync.server.unix_serve(handler, path, **options)
            at = SimpleNamespace(url=f"{scheme}://localhost/", path=path, port=None)
        else:
            server = websockets.sync.server.serve(handler, "127.0.0.1", 0, **options)
            port = server.socket.getsockname()[1]
            at = SimpleNamespace(url=f"{scheme}://localhost:{port}/", path=None, port=port)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        servers.append((server, thread))
        return at

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join(timeout=5)


@pytest.fixture
def raw_server() -> Iterator[Callable[..., SimpleNamespace]]:
    """Start a TCP server that reads one request and then does what talk(connection, request) says."""
    listeners: list[socket.socket] = []

    def start(talk: Callable[[socket.socket, bytes], None]) -> SimpleNamespace:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def loop() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _address = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        request = b""
                        while b"\r\n\r\n" not in request and (data := connection.recv(65536)):
                            request += data
                        talk(connection, request)

        threading.Thread(target=loop, daemon=True).start()
        port = listener.getsockname()[1]
        return SimpleNamespace(url=f"ws://127.0.0.1:{port}/", port=port)

    yield start
    for listener in listeners:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
def chain(tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Make a root, an intermediate authority and a server's certificate: chain(public=) has .root and .server(sent).

    A public authority's certificates name the place of their issuer's. `sent` is how many of the three are served.
    """

    def make(*, public: bool) -> SimpleNamespace:
        now = datetime.datetime.now(datetime.UTC)
        names = ["throwaway root", "throwaway intermediate", "localhost"]
        keys = [ec.generate_private_key(ec.SECP256R1()) for _ in names]
        texts = []
        for index, name in enumerate(names):
            above = max(0, index - 1)
            builder = (
                x509.CertificateBuilder()
                .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
                .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[above])]))
                .public_key(keys[index].public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=1))
                .not_valid_after(now + datetime.timedelta(days=9))
                .add_extension(x509.BasicConstraints(ca=index < 2, path_length=None), critical=True)
                .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[index].public_key()), critical=False)
                .add_extension(
                    x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[above].public_key()), critical=False
                )
            )
            if index < 2:
                usage = dict.fromkeys(KEY_USAGES, False) | {"key_cert_sign": True, "crl_sign": True}
                builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
            if public and index:
                place = x509.UniformResourceIdentifier("http://authority.invalid/issuer.crt")
                access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)
                builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
            signed = builder.sign(keys[above], hashes.SHA256())
            texts.append(signed.public_bytes(serialization.Encoding.PEM))
        root = tmp_path / "root.pem"
        root.write_bytes(texts[0])
        private = keys[2].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

        def server(sent: int) -> Path:
            file = tmp_path / f"server-{sent}.pem"
            file.write_bytes(private + b"".join(reversed(texts[3 - sent :])))
            return file

        return SimpleNamespace(root=str(root), server=server)

    return make


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A throwaway authority: .ca (path) and .context(host, expired=False), a server's context with a certificate."""
    folder = tmp_path_factory.mktemp("tls")
    now = datetime.datetime.now(datetime.UTC)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throwaway authority")])

    def build(name: x509.Name, key: Any, days: int) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=10))
            .not_valid_after(now + datetime.timedelta(days=days))
        )

    # Python 3.13 refuses an authority without key usage and key identifiers.
    usage = dict.fromkeys(KEY_USAGES, False) | {"digital_signature": True, "key_cert_sign": True, "crl_sign": True}
    ca = build(ca_name, ca_key, 10).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    ca = ca.add_extension(x509.KeyUsage(**usage), critical=True)
    ca = ca.add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    ca_path = folder / "ca.pem"
    ca_path.write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def context(host: str, *, expired: bool = False) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
        builder = build(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), key, -1 if expired else 10)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(issuer, critical=False)
        pem = folder / f"{host}-{expired}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        pem.write_bytes(private + builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(pem)
        return made

    return SimpleNamespace(ca=str(ca_path), context=context)
