"""The example's Dockerfile and compose.yml, built on the lab's base and used as a developer would, without a host."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_host import ROOT, ask, await_kind, deliver, echoes
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

NAME = "ansible-channels-stack-lab-compose"  # of the compose project, and of its images
LABEL = "ansible-channels-stack.lab"  # how `make down` and `make clean` recognize what belongs to the lab
# No registry can be reached, so the images that compose.yml takes from one are built from Debian's packages.
DAEMONS = {
    "redis": ("redis-server", 'USER redis\nCMD ["redis-server"]'),
    "nginx": ("nginx-light", 'CMD ["nginx", "-g", "daemon off;"]'),
}


def run(*command: str, stdin: str | None = None, **options: Any) -> str:
    """Run a command and return its output; fail the test if it fails."""
    options = {"stderr": subprocess.PIPE, **options}
    done = subprocess.run(command, input=stdin, text=True, stdout=subprocess.PIPE, check=False, timeout=600, **options)
    if done.returncode:
        told = f"{done.stdout}{done.stderr or ''}"
        pytest.fail(f"`{' '.join(command)}` ended with {done.returncode}:\n{told[-4000:]}")
    return done.stdout


def wait_for(condition: Callable[[], Any], seconds: float = 180) -> Any:
    """Return a condition's result as soon as it is true; fail the test if that never happens."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)
    return found


class Stack:
    """The example as compose.yml runs it, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        lab = json.loads(run(sys.executable, str(ROOT / "molecule" / "lab" / "lab.py"), "compose"))
        self.folder, self.base = folder, lab["base"]
        self.tokens: dict[int, str] = {}  # by their lifetime
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        # The classic builder, which every engine has.
        self.environment = {name: value for name, value in os.environ.items() if name != "DEBUG"} | {
            "DOCKER_BUILDKIT": "0", "HTTP_PORT": str(self.port), "BASE_IMAGE": self.base,
            "DASHBOARD_IMAGE": f"{NAME}:dashboard", "REDIS_IMAGE": f"{NAME}:redis", "NGINX_IMAGE": f"{NAME}:nginx",
        }  # fmt: skip
        self.command = [*lab["command"], "--project-name", NAME]

    def compose(self, *arguments: str, files: tuple[str, ...] = ("compose.yml",)) -> str:
        """Run Compose with some of its files and what only the lab needs; return its output."""
        given = [item for file in (*files, "lab.yml") for item in ("--file", file)]
        return run(*self.command, *given, *arguments, cwd=self.folder, env=self.environment)

    def build(self) -> None:
        """Build the images. Everything that is built gets the lab's label, even the stage that ends up in no image."""
        shutil.copytree(ROOT / "examples/dashboard", self.folder, ignore=shutil.ignore_patterns("__pycache__", ".venv"))
        for authority in Path("/usr/local/share/ca-certificates").glob("*.crt"):
            shutil.copy(authority, self.folder / "package-index")
        (self.folder / "backend/dashboard/views.py").chmod(0o600)  # as in a checkout with another umask
        mark = {"labels": {LABEL: str(ROOT)}}
        own = {name: {**mark, "build": mark} for name in ("prepare", "daphne")}
        lab = {
            "services": {**own, "redis": mark, "nginx": mark},
            "networks": {"default": mark},
            "volumes": {"data": mark, "static": mark},
        }
        (self.folder / "lab.yml").write_text(json.dumps(lab))
        build = ("docker", "build", "--quiet", "--label", LABEL)
        for name, (package, last) in DAEMONS.items():
            install = f"apt-get install --yes --no-install-recommends {package}"
            recipe = f"FROM {self.base}\nRUN apt-get update && {install} && rm -rf /var/lib/apt/lists/*\n{last}\n"
            run(*build, "--tag", f"{NAME}:{name}", "-", stdin=recipe, env=self.environment)
        stage = ("--target", "packages", "--build-arg", f"BASE={self.base}", "--tag", f"{NAME}:packages")
        run(*build, *stage, str(self.folder), env=self.environment)
        self.compose("build")

    def down(self) -> None:
        """Remove containers, network and volumes, even those of a killed run, and images that were replaced."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "2")
        run("docker", "image", "prune", "--force", "--filter", f"label={LABEL}")

    def containers(self, service: str) -> list[str]:
        """Return a service's running containers."""
        labels = (f"label=com.docker.compose.{key}" for key in (f"project={NAME}", f"service={service}"))
        return run("docker", "ps", "--quiet", *(item for label in labels for item in ("--filter", label))).split()

    def inspect(self, container: str) -> Any:
        """Return what the engine knows about a container."""
        return json.loads(run("docker", "inspect", container))[0]

    def logs(self) -> str:
        """Return what all containers have logged."""
        ours = run("docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={NAME}").split()
        return "".join(run("docker", "logs", container, stderr=subprocess.STDOUT) for container in ours)

    def token(self, seconds: int = 3600) -> str:
        """Return a token, created as the example's README says; the same one for the same lifetime."""
        if seconds not in self.tokens:
            mint = ("python", "manage.py", "mint_token", "--user", "tester", "--ttl", str(seconds))
            self.tokens[seconds] = run("docker", "exec", self.containers("daphne")[0], *mint).strip()
        return self.tokens[seconds]

    def connect(self, token: str | None = None, **options: Any) -> ClientConnection:
        """Open a WebSocket through nginx, as the page does."""
        given = {"origin": f"http://localhost:{self.port}", "ping_interval": None, "proxy": None, **options}
        return connect(
            f"ws://localhost:{self.port}/ws/dashboard/?token={self.token() if token is None else token}", **given
        )

    def handshake(self, token: str | None = None, **options: Any) -> int:
        """Return the status that answers a handshake."""
        try:
            with self.connect(token, **options):
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    def get(self, path: str) -> tuple[int, str]:
        """Request a path through nginx; return status and body, or 0 if nothing listens."""
        connection = http.client.HTTPConnection("localhost", self.port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def serves(self) -> bool:
        """Tell whether the example is healthy."""
        return self.get("/health/")[0] == 200


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The example with two processes, because one socket each would not tell it from an example with one."""
    built = Stack(tmp_path_factory.mktemp("compose") / "dashboard")
    built.build()
    built.down()
    try:
        built.compose("up", "--detach", "--scale", "daphne=2")
        wait_for(built.serves)
        yield built
    finally:
        print(built.logs())
        built.down()


def test_page_and_static_files(stack: Stack) -> None:
    """Tables were created and static files collected; nginx serves those itself, and everything else through daphne."""
    status, page = stack.get("/")
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert status == 200 and len(files) >= 3
    for file in files:
        status, body = stack.get(file)
        assert status == 200 and body, file
    by_nginx = re.findall(r'"GET (/static/\S+) HTTP/1.1" 200 .* upstream=- ', stack.logs())
    assert set(by_nginx) == set(files)
    run("docker", "exec", stack.containers("daphne")[0], "python", "manage.py", "migrate", "--check")


def test_handshakes(stack: Stack) -> None:
    """A good token gets a socket that carries messages; no other token does, nor does a page on another site."""
    with stack.connect() as websocket:
        assert echoes(websocket)
    assert [stack.handshake(token) for token in ("", "wrong", stack.token()[:-4], stack.token(-60))] == [403] * 4
    assert stack.handshake(origin="http://evil.example.org") == 403


def test_messages_between_processes(stack: Stack) -> None:
    """A message on one process's socket reaches the other process's, through Redis."""
    with contextlib.ExitStack() as sockets:
        found: dict[str, ClientConnection] = {}
        for _ in range(40):
            websocket = sockets.enter_context(stack.connect())
            found.setdefault(ask(websocket, {"type": "status"})["process"], websocket)
        assert len(found) == 2, found
        first, second = found.values()
        deliver("from the first", first, second)


def test_process(stack: Stack) -> None:
    """daphne is the container's process, has no privileges, and cannot change any of the code."""
    container = stack.containers("daphne")[0]
    arguments = run("docker", "exec", container, "cat", "/proc/1/cmdline").split("\0")
    assert "daphne" in Path(arguments[1]).name and "core.asgi:application" in arguments
    status = run("docker", "exec", container, "cat", "/proc/1/status")
    assert re.search(r"^Uid:\t10001\t10001\t10001\t10001$", status, re.MULTILINE)
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    writable = "find / -xdev -writable -type d ! -path '/proc*' ! -path '/dev*' 2>/dev/null || true"
    folders = run("docker", "exec", container, "sh", "-c", writable).split()
    assert not [folder for folder in folders if folder.startswith(("/srv/dashboard/code", "/opt"))]
    assert not stack.inspect(container)["NetworkSettings"]["Ports"].get("8000/tcp"), "daphne is reached past nginx"


def test_image_holds_nothing_of_its_making(stack: Stack) -> None:
    """Neither pip's settings nor apt's lists are in it, and of the folder only what runs."""
    shown = run("docker", "run", "--rm", f"{NAME}:dashboard", "sh", "-c", "ls -A /var/lib/apt/lists / . requirements")
    assert "core" in shown.split() and "base.lock" in shown.split()
    assert not {"package-index", "authorities.pem", "requirements.lock", "tests", "Dockerfile"} & set(shown.split())
    assert "Packages" not in shown and "InRelease" not in shown


def test_health_is_what_serves(stack: Stack) -> None:
    """The engine's check fails as soon as Redis is down, and not before."""
    container = stack.containers("daphne")[0]
    wait_for(lambda: stack.inspect(container)["State"]["Health"]["Status"] == "healthy", 15)
    check = stack.inspect(container)["Config"]["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    command = ["docker", "exec", container, *check[1:]]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    (redis,) = stack.containers("redis")
    run("docker", "stop", redis)
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    run("docker", "start", redis)
    assert failed.returncode and "503" in failed.stderr, failed.stderr
    wait_for(lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0)


def test_stops_at_once_and_is_found_again(stack: Stack) -> None:
    """SIGTERM ends daphne in seconds, sockets or not; nginx finds it again at another address."""
    containers = stack.containers("daphne")
    (network,) = stack.inspect(containers[0])["NetworkSettings"]["Networks"]

    def address(container: str) -> str:
        return stack.inspect(container)["NetworkSettings"]["Networks"][network]["IPAddress"]

    known = {address(container) for container in containers}
    run("docker", "stop", containers[1])
    wait_for(lambda: stack.handshake() == 101)
    with stack.connect() as websocket:
        assert echoes(websocket)
        began = time.monotonic()
        run("docker", "stop", "--time", "30", containers[0])
        assert time.monotonic() - began < 8
        with pytest.raises(ConnectionClosed):
            await_kind(websocket, "none")
    assert stack.inspect(containers[0])["State"]["ExitCode"] == 0
    assert stack.handshake(open_timeout=30) in (502, 504)  # nginx's own errors would be logged with the token
    elsewhere = ("docker", "run", "--rm", "--detach", "--network", network, f"{NAME}:redis", "sleep", "60")
    squatters = [run(*elsewhere).strip() for _ in known]
    try:
        run("docker", "start", containers[0])
        assert address(containers[0]) not in known
        wait_for(lambda: stack.handshake() == 101)
    finally:
        run("docker", "kill", *squatters)


def test_no_log_holds_a_token(stack: Stack) -> None:
    """The logs show the attempts, but no token, neither a valid nor a refused one."""
    assert stack.get(f"/?token={stack.token()}")[0] == 200
    assert stack.handshake(stack.token(-60)) == 403
    logs = stack.logs()
    assert '"GET /ws/dashboard/ HTTP/1.1" 101 ' in logs and '"GET / HTTP/1.1" 200 ' in logs
    assert "connect: user='tester'" in logs and "refused: ExpiredSignatureError" in logs
    for token in stack.tokens.values():
        for part in token.split(".")[1:]:
            assert part not in logs


def test_reload(stack: Stack) -> None:
    """With compose.reload.yml, runserver speaks WebSocket behind nginx, and notices changes in the folder at once."""
    (stack.folder / "backend/dashboard/views.py").chmod(0o644)
    stack.compose("up", "--detach", files=("compose.yml", "compose.reload.yml"))
    wait_for(stack.serves)
    consumer = stack.folder / "backend/dashboard/consumers.py"
    code = consumer.read_text().replace("Unknown type:", "Another answer:")

    def answer() -> str:
        # runserver may start again at any moment of this, and cut the socket.
        with contextlib.suppress(InvalidStatus, ConnectionClosed), stack.connect() as websocket:
            return ask(websocket, {"type": "nothing"}, "error")["message"]
        return ""

    def changed() -> bool:
        # Repeat it: runserver misses changes in the second in which it begins to watch.
        consumer.write_text(code)
        time.sleep(1)
        return answer().startswith("Another answer:")

    assert answer().startswith("Unknown type:")
    wait_for(changed)
    (stack.folder / "backend/dashboard/static/dashboard/style.css").write_text("/* another style */\n")
    assert stack.get("/static/dashboard/style.css") == (200, "/* another style */\n")
    (container,) = stack.containers("daphne")
    began = time.monotonic()
    run("docker", "stop", "--time", "30", container)
    assert time.monotonic() - began < 5


def test_another_code_installs_nothing_anew(stack: Stack) -> None:
    """The layer with the packages is built before the code is added."""
    before = run("docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", f"{NAME}:dashboard")
    (stack.folder / "backend/dashboard/__init__.py").write_text("# another code\n")
    stack.compose("build", "daphne")
    after = run("docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", f"{NAME}:dashboard")
    old, new = json.loads(before), json.loads(after)
    changed = next(number for number, layers in enumerate(zip(old, new, strict=True)) if layers[0] != layers[1])
    assert changed == len(old) - 2, "more than the code and its modes has changed"
