"""The one reader of /proc, against processes and sockets of this machine."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from ansible_collections.channels.stack.plugins.module_utils.host import proc

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 2**22 + 1  # above the highest number that Linux gives (proc_sys_kernel(5))
#: What is installed on hosts by itself, and so cannot use the reader.
ALONE = {"plugins/module_utils/host/locks.py"}


def test_nothing_else_of_the_plugins_reads_proc() -> None:
    opened = re.compile(r"""["']/proc\b""")
    files = [path for path in (ROOT / "plugins").rglob("*.py") if opened.search(path.read_text())]
    found = {str(path.relative_to(ROOT)) for path in files}
    # It also stands in a row of paths that are no user's own.
    assert found - {"plugins/module_utils/failures/signs.py"} == {"plugins/module_utils/host/proc.py", *ALONE}


def test_a_process_is_seen_as_it_was_started() -> None:
    began = time.time()
    with subprocess.Popen(["/usr/bin/env", "-i", "A=b=c", "sleep", "60"]) as other:
        deadline = time.monotonic() + 5
        while not proc.is_called("sleep") or proc.argv(other.pid) != ["sleep", "60"]:
            assert time.monotonic() < deadline, proc.argv(other.pid)
            time.sleep(0.02)
        try:
            assert proc.environment_of(other.pid) == {"A": "b=c"}
            assert other.pid in proc.children(os.getpid()) and other.pid in proc.called("slee")
            assert other.pid in proc.titled("sleep") and not proc.is_called("slee")
            assert proc.link(other.pid, "cwd") == os.getcwd()
            assert abs(proc.started(other.pid) - began) < 5 and -0.1 <= proc.age(other.pid) < 5
            name = proc.identity(other.pid)
            assert name == proc.identity(other.pid) != proc.identity(os.getpid())
        finally:
            other.kill()
        deadline = time.monotonic() + 5
        while proc.living(other.pid):
            assert time.monotonic() < deadline, "a zombie is taken for a process"
            time.sleep(0.02)
        assert proc.stat(other.pid)[0] == "Z" and proc.identity(other.pid) == "" and proc.started(other.pid) == 0.0


def test_nobody_has_nothing() -> None:
    assert (proc.argv(NOBODY), proc.stat(NOBODY), proc.children(NOBODY), proc.open_files(NOBODY)) == ([], [], [], [])
    assert (proc.environment_of(NOBODY), proc.link(NOBODY, "cwd"), proc.age(NOBODY)) == ({}, "", -1.0)


def test_sockets_are_found_by_who_listens_and_who_is_connected() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX) as server,
        socket.create_server(("127.0.0.1", 0)) as tcp,
    ):
        path = f"{folder}/s"
        server.bind(path)
        server.listen()
        inodes = [f"socket:[{inode}]" for inode, address in proc.listening().items() if address == f"unix:{path}"]
        assert len(inodes) == 1 and inodes[0] in proc.open_files(os.getpid())
        assert f"tcp:127.0.0.1:{tcp.getsockname()[1]}" in proc.listening().values()
        assert not proc.is_connected([path])
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            with server.accept()[0]:
                assert proc.is_connected([path])
