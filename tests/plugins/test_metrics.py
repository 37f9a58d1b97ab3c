"""The daemon that writes metrics: what it counts, what it measures, and what its probe notices."""

from __future__ import annotations

import base64
import contextlib
import getpass
import importlib
import json
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

ROOT = Path(__file__).resolve().parents[2]
Serve = Callable[..., SimpleNamespace]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ModuleType]]:
    """Return a function that imports a module of the daemon as a host has it: with the client beside it."""
    folder = tmp_path_factory.mktemp("library")
    shutil.copytree(ROOT / "roles/metrics/files/channels_metrics", folder / "channels_metrics")
    shutil.copytree(ROOT / "plugins/module_utils/websocket", folder / "channels_metrics" / "websocket")
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"channels_metrics.{name}")
    sys.path.remove(str(folder))


def values(samples: Any, name: str) -> dict[str, float]:
    """The values of a metric, by the labels of each sample."""
    lines = [line for line in samples.text().splitlines() if line.startswith(name)]
    return {line.rpartition(" ")[0].removeprefix(name): float(line.rpartition(" ")[2]) for line in lines}


def test_samples_are_as_prometheus_reads_them(library: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module = library("samples")
    samples = module.Samples(app="a")
    samples.add("channels_drained", False)
    samples.add("channels_probe_success", 1, target='a "quoted"\\\n one')
    file = tmp_path / "a.prom"
    module.write(file, samples.text())
    assert file.read_text().splitlines()[2] == 'channels_drained{app="a"} 0.0'
    assert r'target="a \"quoted\"\\\n one"} 1.0' in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o644 and list(tmp_path.iterdir()) == [file]
    with pytest.raises(ValueError, match="not described"):
        samples.add("channels_unheard_of", 1)


def line(status: int, upgrade: str = "websocket", agent: str = "", end: str = "") -> bytes:
    """A line of the access log."""
    return f'{{"status":{status},"agent":"{agent}","upgrade":"{upgrade}","end":"{end}"}}\n'.encode()


def test_handshakes_are_counted_once_over_a_rotation(library: Callable[[str], ModuleType], tmp_path: Path) -> None:
    log = tmp_path / "a.access.log"
    log.write_bytes(line(101) * 3)
    requests = library("requests").Requests(log)
    assert requests.look()["101"] == 0, "what is older counts for nothing"
    with log.open("ab") as file:
        file.write(line(101) + line(200, "") + line(403) + line(101, agent="channels-metrics") + line(502)[:9])
    assert requests.look()["101"] == 1 and requests.look()["403"] == 1 and requests.look()["502"] == 0
    with log.open("ab") as file:
        file.write(line(502)[9:] + line(101))
    log.rename(tmp_path / "a.access.log.1")
    log.write_bytes(line(101) * 2 + line(599))
    assert dict(requests.look()) == {"101": 4, "403": 1, "500": 0, "502": 1, "503": 0, "504": 0, "599": 1}
    log.write_bytes(line(101))  # emptied in place
    assert requests.look()["101"] == 5
    log.unlink()
    assert requests.look()["101"] == 5


def test_ends_are_counted_as_the_log_has_them(library: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """An ordinary answer has none, such as a refusal by the project."""
    log = tmp_path / "a.access.log"
    log.touch()
    requests = library("requests").Requests(log)
    log.write_bytes(
        line(101, end="closed") * 3 + line(101, end="cut") + line(403) + line(502, end="unreachable")
        + line(101, agent="channels-metrics", end="closed") + line(200, "", end="client_left")
        + line(408, end="client_slow")
    )  # fmt: skip
    requests.look()
    assert dict(requests.ends) == {
        "closed": 3, "cut": 1, "unreachable": 1, "broken": 0, "timeout": 0, "client_left": 0, "client_slow": 1,
    }  # fmt: skip


class Fake:
    """A service manager with one live process; the other generation's are gone, or drain."""

    def __init__(self, pid: int, state: Any) -> None:
        self.pid, self.state, self.asked = pid, state, 0

    def states(self, groups: list[dict[str, Any]]) -> list[Any]:
        self.asked += 1
        names = [instance for group in groups for instance in group["instances"]]
        runs = {"r2-bb-1": self.pid, "r1-aa-1": self.pid, "r2-bb-w": self.pid}
        return [self.state(runs.get(name, 0), 1000, 2 if name in runs else 0, 9.0, "running") for name in names]

    def begun(self, names: list[str]) -> set[str]:
        return {"app-drain-r1-aa"} & set(names)


def describe(home: Path, name: str, **more: Any) -> dict[str, Any]:
    """A generation of two processes on the disk."""
    folder = home / "generations" / name
    folder.mkdir(parents=True)
    described = {
        "generation": name, "release": name[:2], "version": "v1", "manager": "systemd", "user": "app",
        "unit": "app-daphne", "instances": [f"{name}-1", f"{name}-2"], "server": "daphne",
        "sockets": [str(home / f"{name}-1.sock"), str(home / f"{name}-2.sock")], **more,
    }  # fmt: skip
    (folder / "generation.json").write_text(json.dumps(described))
    return described


def test_generations_and_their_sockets(library: Callable[[str], ModuleType], short_dir: Path) -> None:
    """By the host's own tool, as a deploy has just left the old generation to drain."""
    tools = short_dir / "lib"
    shutil.copytree(ROOT / "roles/asgi/files/generations", tools / "app" / "generations")
    site, module = library("site"), library("tool")
    module.LIBRARIES = tools
    tool = module.Tool("app")
    paths, managers, home = tool.module("paths"), tool.module("managers"), short_dir / "srv"
    worker = {"unit": "app-w", "name": "w", "instances": ["r2-bb-w"], "schedule": ""}
    old, live = describe(home, "r1-aa"), describe(home, "r2-bb", workers=[worker])
    describe(home, "r0-kk")
    for name, text in (("served", "1"), ("deadline", "4102444800")):
        (home / "generations/r1-aa" / name).write_text(text)
        (home / "generations/r0-kk" / name).write_text(text)
    (home / "live").symlink_to(home / "generations/r2-bb")
    paths.HOME, paths.UPSTREAM = home, home / "none"
    manager = Fake(os.getpid(), managers.State)
    managers.get = lambda kind: manager
    listeners, clients = [], []
    for path, accepts, waits in ((live["sockets"][0], 2, 1), (old["sockets"][0], 1, 0)):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(5)
        listeners.append(listener)
        for number in range(accepts + waits):
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            clients += [client, *([listener.accept()[0]] if number < accepts else [])]
    try:
        samples = site.measure(tool, "app")
    finally:
        for each in (*listeners, *clients):
            each.close()
    assert manager.asked == 1, "once for all generations"
    both = values(samples, "channels_generation_connections")
    assert both == {'{app="app",generation="r1-aa"}': 1, '{app="app",generation="r2-bb"}': 2}
    states = {key.split('state="')[1].split('"')[0] for key in values(samples, "channels_generation_info")}
    assert states == {"live", "draining"} and values(samples, "channels_generations_kept") == {'{app="app"}': 1}
    (deadline,) = values(samples, "channels_generation_drain_deadline_seconds").items()
    assert deadline == ('{app="app",generation="r1-aa"}', 4102444800)
    running = values(samples, "channels_generation_processes_running")
    assert running['{app="app",generation="r2-bb"}'] == 1
    assert values(samples, "channels_generation_processes_expected")['{app="app",generation="r2-bb"}'] == 2
    assert values(samples, "channels_generation_workers_running")['{app="app",generation="r2-bb"}'] == 1
    (first,) = [key for key in values(samples, "channels_process_backlog") if 'process="r2-bb-1"' in key]
    assert values(samples, "channels_process_backlog")[first] == 1
    assert values(samples, "channels_process_connections")[first] == 2
    assert values(samples, "channels_process_restarts_total")[first] == 2
    assert values(samples, "channels_process_cpu_seconds_total")[first] > 0


def test_tool_is_read_again_after_a_deploy(library: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module, folder = library("tool"), tmp_path / "app" / "generations"
    module.LIBRARIES = tmp_path
    tool = module.Tool("app")
    assert not tool.installed
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "__main__.py").write_text("")
    (folder / "times.py").write_text("SAYS = 'old'\n")
    assert tool.installed and tool.module("times").SAYS == "old"
    (folder / "times.py").write_text("SAYS = 'newer'\n")
    assert tool.module("times").SAYS == "newer"


def jwt(seconds: float) -> str:
    """A JSON Web Token that ends after some seconds; nobody asks who has signed it."""
    body = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + seconds}).encode()).decode().rstrip("=")
    return f"eyJ0eXAiOiJKV1QifQ.{body}.signature"


@pytest.fixture
def tokens(library: Callable[[str], ModuleType], tmp_path: Path) -> Callable[..., Any]:
    """Return a function that makes tokens whose command appends to a file, and prints the text it is given."""

    def make(text: str, code: int = 0) -> Any:
        made = library("tokens").Tokens("app", getpass.getuser(), ["mint"], "")
        made.within = tmp_path / "within"
        made.within.write_text(f"#!/bin/sh\necho made >> {tmp_path}/made\necho '{text}'\nexit {code}\n")
        made.within.chmod(0o755)
        made.count = lambda: len((tmp_path / "made").read_text().split())
        return made

    return make


def test_token_is_kept_until_it_ends(library: Callable[[str], ModuleType], tokens: Callable[..., Any]) -> None:
    lasting = tokens(jwt(3000))
    assert lasting.get() == lasting.get() and lasting.count() == 1, "to make one costs a second of a processor"
    ending = tokens(jwt(5))
    ending.get(), ending.get()
    assert ending.count() == 3, "this one ends before a probe has"
    module = library("tokens")
    assert module.ends("opaque") == module.ends("a.b.c") == float("inf")


def test_refused_token_is_replaced_and_a_refusing_site_is_not_stormed(tokens: Callable[..., Any]) -> None:
    made = tokens("opaque")
    made.get()
    made._made = time.time() + 60  # however slow the machine is
    assert not made.refused(), "one that was just made is refused for another reason"
    made._made = time.time() - 300
    assert made.refused() and made.get() and made.count() == 2 and 150 <= made._lifetime < 200
    made._made = time.time() + 60
    assert not made.refused()
    made._refusals, made._made = 8, time.time() - 200
    assert not made.refused(), "a site that refuses all tokens is asked for one less and less often"
    made.accepted()
    assert made.refused()


def test_failing_command_is_named_without_what_it_said(library: Callable[[str], ModuleType], tokens: Any) -> None:
    with pytest.raises(library("tokens").NoToken) as error:
        tokens("s3cret", code=3).get()
    assert str(error.value) == "handshake_token_command ended with 3"


@pytest.fixture
def probe(library: Callable[[str], ModuleType], serve: Serve) -> Iterator[Callable[..., Any]]:
    """Return a function that makes a probe of one server; `.said` has what it logs."""
    probes: list[Any] = []

    def make(url: str, live: Callable[[], tuple[str, list[str]]] = lambda: ("g1", []), **settings: Any) -> Any:
        given = {
            "where": "host", "user": getpass.getuser(), "token": "s3cret", "token_command": [], "headers": {},
            "subprotocols": [], "origin": "", "path": "?token={token}", "inside": "ws://localhost/", "send": "{nonce}",
            "broadcast": "", "timeout": 5.0, "seconds": 15.0, "idle": False,
            "targets": [{"name": "nginx", "url": url, "connect_to": ""}], **settings,
        }  # fmt: skip
        said: list[str] = []
        made = library("probe").Probe("a", given, live, said.append)
        made.said = said
        probes.append(made)
        return made

    yield make
    for one in probes:
        if one.idle:
            one.idle.close()


def echo(connection: Any) -> None:
    """A consumer that answers."""
    for message in connection:
        connection.send(f"you said {message}")


def refuse(connection: Any, request: Any) -> Any:
    """A site that knows one token."""
    return None if "token=s3cret" in request.path else connection.respond(403, "no\n")


def test_probe_measures_handshake_and_echo(probe: Callable[..., Any], serve: Serve) -> None:
    seen = probe(serve(echo, process_request=refuse).url).look()
    labels = '{app="a",origin="host",target="nginx"}'
    assert values(seen, "channels_probe_success") == {labels: 1}
    assert 0 < values(seen, "channels_probe_handshake_seconds")[labels] < 5
    assert 0 < values(seen, "channels_probe_echo_seconds")[labels] < 5


@pytest.mark.parametrize(
    ("handler", "fault"),
    [
        (lambda connection: connection.close(1011), "closed with 1011 right after the handshake"),
        (lambda connection: connection.close(4401), "closed with 4401 right after the handshake"),
        (lambda connection: connection.recv() and connection.recv(), "its echo did not come within 0.5 s"),
    ],
)
def test_probe_says_what_failed(probe: Callable[..., Any], serve: Serve, handler: Any, fault: str) -> None:
    one = probe(serve(handler).url, timeout=0.5)
    assert list(values(one.look(), "channels_probe_success").values()) == [0]
    one.look()
    assert len(one.said) == 1 and fault in one.said[0], "said once, not at each turn"
    one.settings["targets"][0]["url"] = serve(echo).url
    assert list(values(one.look(), "channels_probe_success").values()) == [1]
    assert one.said[1:] == ["a: nginx: works again"]


def test_probe_shows_no_token(probe: Callable[..., Any], serve: Serve, raw_server: Serve) -> None:
    wrong = raw_server(lambda connection, request: connection.sendall(b"HTTP/1.1 s3cret\r\n\r\n"))
    for url in (serve(echo, process_request=lambda c, r: c.respond(500, "s3cret\n")).url,
                f"ws://localhost:{wrong.port}/", "ws://localhost:1/"):  # fmt: skip
        one = probe(url)
        text = one.look().text() + "\n".join(one.said)
        assert one.said and "s3cret" not in text


def test_who_has_no_token_sees_whether_the_project_answers(probe: Callable[..., Any], serve: Serve) -> None:
    url = serve(echo, process_request=refuse).url
    assert list(values(probe(url, token="").look(), "channels_probe_success").values()) == [1]
    gone = serve(echo, process_request=lambda connection, request: connection.respond(502, "gone\n")).url
    assert list(values(probe(gone, token="").look(), "channels_probe_success").values()) == [0]


def test_idle_socket_that_is_cut_counts_unless_its_generation_ends(probe: Callable[..., Any], serve: Serve) -> None:
    opened: list[Any] = []

    def stay(connection: Any) -> None:
        opened.append(connection)
        echo(connection)

    generation = ["g1"]
    one = probe(serve(stay).url, lambda: (generation[0], []), idle=True)
    seen = one.look()
    assert list(values(seen, "channels_probe_idle_cut_total").values()) == [0]
    kept, first = one.idle, opened[-1]
    one.wait(0.1)
    one.look()
    assert one.idle is kept, "the same socket stays open"
    threading.Thread(target=first.close, args=[1001]).start()  # it waits until the probe has read it
    one.wait(0.5)
    assert list(values(one.look(), "channels_probe_idle_cut_total").values()) == [1]
    assert "the idle socket ended with 1001" in one.said[-1]
    generation[0] = "g2"
    after = one.look()
    assert list(values(after, "channels_probe_idle_cut_total").values()) == [1] and one.idle_generation == "g2"
    generation[0] = ""  # the host is being drained
    one.look()
    assert one.idle is None


def test_message_comes_from_each_process_in_turn(probe: Callable[..., Any], serve: Serve) -> None:
    everyone: list[Any] = []
    asked: list[str] = []

    def talk(name: str) -> Callable[[Any], None]:
        def group(connection: Any) -> None:
            everyone.append(connection)
            for message in connection:
                if message.startswith("all "):
                    asked.append(name)
                    for each in list(everyone):
                        with contextlib.suppress(ConnectionClosed):
                            each.send(message)
                else:
                    connection.send(message)

        return group

    inner = [serve(talk(name), unix=True).path for name in ("one", "two")]
    one = probe(serve(talk("nginx")).url, lambda: ("g1", inner), idle=True, broadcast="all {nonce}")
    for _ in range(9):
        seen = one.look()
    assert asked == ["one", "two"]
    assert list(values(seen, "channels_probe_group_success").values()) == [1]
    everyone.clear()  # nobody is in the group any more
    one.turn, one.settings["timeout"] = 16, 0.5
    assert list(values(one.look(), "channels_probe_group_success").values()) == [0]
    assert any("a message from another process did not come" in text for text in one.said)


def test_machine(library: Callable[[str], ModuleType], certificates: Any, tmp_path: Path) -> None:
    machine = library("machine")
    known = machine.Certificates()
    end = values(known.measure([certificates.ca, "/none"], "a"), "channels_certificate_not_after_timestamp_seconds")
    assert abs(next(iter(end.values())) - time.time() - 10 * 86400) < 3600 and len(end) == 1
    with (tmp_path / "open").open("w"):
        assert machine.open_files(os.getpid()) > 3
    machine.RUN = tmp_path
    assert values(machine.reboot(), "channels_reboot_required") == {"": 0}
    (tmp_path / "reboot-required").write_text("")
    assert values(machine.reboot(), "channels_reboot_required") == {"": 1}
    assert machine.nginx().text() == "" and values(machine.cron(), "channels_cron_up") == {"": 0}


def test_processes_killed_for_their_memory(library: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """Those of this host alone, whatever the machine's kernel has counted; none are claimed where nobody counts."""
    machine = library("machine")
    machine.CGROUPS = tmp_path
    assert machine.out_of_memory().text() == ""
    for name, kills in (("system.slice", 2), ("user.slice", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "memory.events").write_text(
            f"low 0\nhigh 0\nmax 9\noom 8\noom_kill {kills}\noom_group_kill 7\n"
        )
    assert values(machine.out_of_memory(), "channels_out_of_memory_kills_total") == {"": 3}


def test_one_part_that_fails_takes_nothing_with_it(library: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module = library("__main__")
    module.SETTINGS, module.OUTPUT = tmp_path / "etc", tmp_path / "out"
    module.SETTINGS.mkdir()
    module.OUTPUT.mkdir()
    settings = {"access_log": str(tmp_path / "log"), "certificates": [str(tmp_path)], "cron": True}
    (module.SETTINGS / "app.json").write_text(json.dumps(settings))
    daemon = module.Daemon()
    threads = threading.active_count()
    daemon.turn()
    text = (module.OUTPUT / "channels-app.prom").read_text()
    assert 'channels_metrics_up{part="certificates",app="app"} 0.0' in text  # a folder is no certificate
    assert 'channels_metrics_up{part="site",app="app"} 1.0' in text and "channels_maintenance" in text
    host = (module.OUTPUT / "channels-host.prom").read_text()
    assert "channels_cron_up" in host and "channels_metrics_timestamp_seconds" in host
    (module.SETTINGS / "app.json").unlink()
    daemon.turn()
    assert [path.name for path in module.OUTPUT.iterdir()] == ["channels-host.prom"]
    assert threading.active_count() == threads
