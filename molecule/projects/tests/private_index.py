"""A private package index: it answers clients that have its password, and has one package, which must be built."""

from __future__ import annotations

import base64
import hashlib
import io
import secrets
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILE = "private_words-1.0.tar.gz"
# Like many packages around C libraries, it asks a program of the system how to build itself.
SETUP = """import subprocess
from setuptools import setup
subprocess.run(["pkg-config", "--version"], check=True)
setup(name="private-words", version="1.0", py_modules=["private_words"])
"""
FILES = {
    "PKG-INFO": "Metadata-Version: 2.1\nName: private-words\nVersion: 1.0\n",
    "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n',
    "setup.py": SETUP,
    "private_words.py": 'WORD = "private"\n',
}


def archive() -> bytes:
    """Return the package's source distribution."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as packed:
        for name, text in FILES.items():
            entry = tarfile.TarInfo(f"{FILE.removesuffix('.tar.gz')}/{name}")
            entry.size = len(text)
            packed.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()


class PrivateIndex:
    """The index, which serves until the tests end."""

    def __init__(self) -> None:
        self.password = secrets.token_urlsafe(24)
        wanted = "Basic " + base64.b64encode(f"deploy:{self.password}".encode()).decode()
        packed = archive()
        link = f'<a href="/files/{FILE}#sha256={hashlib.sha256(packed).hexdigest()}">{FILE}</a>'
        pages = {"/simple/private-words/": ("text/html", link.encode()), f"/files/{FILE}": ("application/gzip", packed)}

        class Handler(BaseHTTPRequestHandler):
            """Answers one request."""

            def do_GET(self) -> None:
                kind, body = pages.get(self.path, ("text/plain", b""))
                status = 200 if body else 404
                if self.headers["Authorization"] != wanted:
                    status, body = 401, b""
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                if status == 401:
                    self.send_header("WWW-Authenticate", 'Basic realm="packages"')
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        self.port: int = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()
