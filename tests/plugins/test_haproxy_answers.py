"""What keepalived asks each second: whether HAProxy answers, though late."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "roles/keepalived/files/haproxy-answers"


def asked(place: Path) -> int:
    """Run the program with the socket at another place; return its exit code."""
    text = PROGRAM.read_text()
    assert "/run/haproxy/health.sock" in text
    return subprocess.run([sys.executable, "-c", text.replace("/run/haproxy/health.sock", str(place))]).returncode


@pytest.mark.parametrize(
    ("answer", "pause", "code"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 0, 0),
        (b"HTTP/1.1 200 OK\r\n\r\n", 1.2, 0),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 0, 1),
        (b"", 0, 1),
    ],
    ids=["answers", "answers-late", "refuses", "ends"],
)
def test_answer_decides(tmp_path: Path, answer: bytes, pause: float, code: int) -> None:
    """A second's delay, as on a busy machine, is none: if the address moved, all sockets would end."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "health.sock"))
        listening.listen()

        def serve() -> None:
            way, _ = listening.accept()
            with way:
                way.recv(100)
                time.sleep(pause)
                way.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert asked(tmp_path / "health.sock") == code
        thread.join()


def test_who_is_gone_and_who_hangs_fail(tmp_path: Path) -> None:
    assert asked(tmp_path / "health.sock") == 1
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "health.sock"))
        silent.listen()
        assert asked(tmp_path / "health.sock") == 1
