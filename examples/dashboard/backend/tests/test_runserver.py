"""When runserver speaks WebSocket, which hangs on INSTALLED_APPS alone."""

import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings

from dashboard import tokens

BACKEND = Path(__file__).resolve().parent.parent
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
WITHOUT = "INSTALLED_APPS = [app for app in INSTALLED_APPS if app != 'daphne']"
LAST = f"{WITHOUT} + ['daphne']"


def environment(folder: Path, change: str) -> dict[str, str]:
    """Return the environment in which Django reads the project's settings with a change."""
    (folder / "changed_settings.py").write_text(f"from core.settings import *\n{change}\n")
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "changed_settings",
        "SECRET_KEY": settings.SECRET_KEY,
        "JWT_SECRET": settings.JWT_SECRET,
        "DEBUG": "true",
        "CHANNEL_LAYER": "memory",
        "SQLITE_PATH": str(folder / "db.sqlite3"),
    }


def manage(*arguments: str) -> list[str]:
    """Return a command of manage.py."""
    return [sys.executable, "manage.py", *arguments]


def handshake(folder: Path, change: str) -> tuple[int, str]:
    """Return how runserver answers a handshake with a good token, and what it has logged."""
    given = environment(folder, change)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            manage("runserver", "--noreload", f"127.0.0.1:{port}"), cwd=BACKEND, env=given, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request("GET", f"/ws/dashboard/?token={tokens.mint('alice', 60)}", headers=HANDSHAKE)
                return connection.getresponse().status, log.read_text()
            except ConnectionRefusedError:
                assert server.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            finally:
                connection.close()
    finally:
        server.terminate()
        server.wait(10)


def test_daphne_among_the_applications(tmp_path: Path) -> None:
    status, log = handshake(tmp_path, "")
    assert status == 101
    assert "Starting ASGI/Daphne" in log


@pytest.mark.parametrize("change", [WITHOUT, f"{WITHOUT} + ['channels']"])
def test_without_daphne(tmp_path: Path, change: str) -> None:
    status, log = handshake(tmp_path, change)
    assert status == 404
    assert "Starting development server" in log


def test_daphne_after_staticfiles(tmp_path: Path) -> None:
    checked = subprocess.run(
        manage("check"), cwd=BACKEND, env=environment(tmp_path, LAST), capture_output=True, text=True, check=False
    )
    assert checked.returncode != 0
    assert "(daphne.E001) Daphne must be listed before django.contrib.staticfiles" in checked.stderr


def test_image_has_all_requirements() -> None:
    """The Dockerfile installs base.lock, which has to be made anew with base.txt."""
    listed, locked = (
        {
            line.split("==")[0].split(">=")[0].strip().lower()
            for line in (BACKEND / "requirements" / name).read_text().splitlines()
            if line[:1].isalpha()
        }
        for name in ("base.txt", "base.lock")
    )
    assert listed and listed <= locked
