"""A package index on this machine, with wheels that hold nothing but what they need. No network is asked."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Package:
    """One version of a package: what it needs, as wheels write it, and for which Pythons it is."""

    name: str
    version: str
    needs: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    python: str = ">=3.9"

    @property
    def file(self) -> str:
        """The name of its wheel."""
        return f"{self.name}-{self.version}-py3-none-any.whl"

    def wheel(self) -> bytes:
        """Its wheel."""
        fields = [f"Name: {self.name}", f"Version: {self.version}", f"Requires-Python: {self.python}"]
        fields += [f"Provides-Extra: {one}" for one in self.extras] + [f"Requires-Dist: {one}" for one in self.needs]
        folder, packed = f"{self.name}-{self.version}.dist-info", io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            files = {
                "METADATA": "\n".join(["Metadata-Version: 2.1", *fields, ""]),
                "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
                "RECORD": "",
            }
            for name, text in files.items():
                archive.writestr(zipfile.ZipInfo(f"{folder}/{name}"), text)  # without the time
        return packed.getvalue()


def pages(packages: list[Package]) -> Mapping[str, bytes]:
    """What an index answers, by the paths that it is asked for."""
    found: dict[str, bytes] = {}
    for package in packages:
        wheel, page = package.wheel(), f"/simple/{package.name}/"
        digest = hashlib.sha256(wheel).hexdigest()
        link = f'<a href="/files/{package.file}#sha256={digest}" data-requires-python="{escape(package.python)}">'
        found[f"/files/{package.file}"] = wheel
        found[page] = found.get(page, b"") + f"{link}{package.file}</a>\n".encode()
    return found


@contextmanager
def served(packages: list[Package], others: Mapping[str, bytes]) -> Iterator[str]:
    """Serve packages and other files for a while; yields the address of the server, of which /simple is the index."""
    answers = {**pages(packages), **others}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(200 if body is not None else 404)
            kind = "text/html" if self.path.endswith("/") else "application/octet-stream"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
