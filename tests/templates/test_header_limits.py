"""What nginx lets in by its site's configuration, a real daphne takes; and no more is let in than that."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

APP = """
async def application(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})
"""
# What nginx adds to a request, with a long name of a host.
ADDED = 2 * 100 + 300


@pytest.fixture(scope="module")
def daphne() -> Iterator[str]:
    """The socket of a daphne that answers every request."""
    folder = Path(tempfile.mkdtemp(prefix="h-"))
    (folder / "plain.py").write_text(APP)
    path = str(folder / "d.sock")
    command = [sys.executable, "-m", "daphne", "-u", path, "--access-log", "/dev/null", "plain:application"]
    given = {**os.environ, "PYTHONPATH": str(folder)}
    process = subprocess.Popen(command, cwd=folder, env=given, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not Path(path).exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    yield path
    process.terminate()
    process.wait(timeout=10)
    shutil.rmtree(folder)


def status(path: str, size: int) -> int:
    """Return what a request of that many bytes before its body gets: half of it is the URL."""
    head = f"GET /?token={'t' * (size // 2)} HTTP/1.1\r\nHost: localhost\r\nCookie: "
    raw = f"{head}{'c' * (size - len(head) - 4)}\r\n\r\n".encode()
    assert len(raw) == size
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as way:
        way.settimeout(10)
        way.connect(path)
        way.sendall(raw)
        return int(way.recv(100).split()[1])


def test_nginx_lets_in_what_daphne_takes(render: Callable[..., str], daphne: str) -> None:
    """By the sum of its buffers, and what it adds itself; a quarter more is too much, so the sum says something."""
    site = render("nginx/site.conf.j2")
    first, number, size = (
        int(found) for found in re.findall(r"_size (\d+)k;\s+large_client_header_buffers (\d+) (\d+)k;", site)[0]
    )
    most = (first + number * size) * 1024
    assert size >= 12, "README says 12 kB"
    assert status(daphne, most + ADDED) == 200
    assert status(daphne, most + most // 4) == 400
    assert "error_page 494 =431 @" in site
