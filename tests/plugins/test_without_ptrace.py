"""Root without CAP_SYS_PTRACE, as in containers by default, still finds who listens, and still ends what drains."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
LISTEN = """
import socket, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
time.sleep(60)
"""
ACCEPT = """
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print("listens", flush=True)
connection, _ = server.accept()
print("accepted", flush=True)
print("told" if connection.recv(1) == b"" else "not told", flush=True)
"""
pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can lay it down")


@pytest.fixture
def listener() -> Iterator[tuple[int, int]]:
    """Process and port of a program of another user."""
    command = ["/usr/bin/python3", "-c", LISTEN]
    with subprocess.Popen(
        command, user=NOBODY, group=NOBODY, extra_groups=[], stdout=subprocess.PIPE, cwd="/"
    ) as process:
        assert process.stdout
        yield process.pid, int(process.stdout.readline())
        process.kill()


def without_ptrace(code: str, python: str = sys.executable) -> str:
    """Run a program as root that may not look into processes of other users."""
    command = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", python, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_it_may_not_look_itself(listener: tuple[int, int]) -> None:
    """Else the tests below would prove nothing."""
    code = f"import os\ntry: os.readlink('/proc/{listener[0]}/fd/3')\nexcept PermissionError: print('refused')"
    assert without_ptrace(code) == "refused"


def test_question_of_the_local_machine_names_it(listener: tuple[int, int]) -> None:
    pid, port = listener
    assert without_ptrace(f"import local; print(local.holder({port}))") == f"python3 (process {pid})"


def test_doctor_sees_what_it_listens_on_and_its_environment(listener: tuple[int, int]) -> None:
    pid, port = listener
    code = f"""
import json
import sys
sys.path.insert(0, {str(ROOT / "collections")!r})
from ansible_collections.channels.stack.plugins.module_utils.host import proc, processes
(found,) = [each for each in processes.processes() if each["pid"] == {pid}]
print(json.dumps([found["listens"], found["files"], sorted(proc.environment_of({pid}))]))
"""
    listens, files, names = json.loads(without_ptrace(code))
    assert listens == [f"tcp:127.0.0.1:{port}"]
    assert files >= 4
    assert "PATH" in names


def test_drain_closes_sockets(tmp_path: Path) -> None:
    """At its deadline, one by one; both ends notice."""
    for folder in (tmp_path, *tmp_path.parents):  # the other user's socket, and the tool, are below it
        if folder.owner() == "root" and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    home = tmp_path / "nobodys"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    shutil.copytree(ROOT / "roles" / "asgi" / "files" / "generations", tmp_path / "generations")
    path = str(home / "socket")
    command = ["/usr/bin/python3", "-c", ACCEPT, path]
    with (
        subprocess.Popen(
            command, user=NOBODY, group=NOBODY, extra_groups=[], stdout=subprocess.PIPE, cwd="/", text=True
        ) as server,
        socket.socket(socket.AF_UNIX) as client,
    ):
        assert server.stdout and server.stdout.readline() == "listens\n"
        client.connect(path)
        client.settimeout(5)
        assert server.stdout.readline() == "accepted\n"
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom generations import close\n"
        said = without_ptrace(f"{code}print(close.close_all([{path!r}], 0.0, 'nobody'))", "/usr/bin/python3")
        assert said == "1"
        assert server.stdout.readline() == "told\n"
        assert client.recv(1) == b""
