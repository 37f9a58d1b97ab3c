"""What a service manager does for the processes of a generation: the same with systemd and with supervisor.

docs/managers.md has a table of it; the tests here try each of its lines.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab_host import PATIENCE, ROOT, ask
from pair import Copy, Pair, Playbook, ReleaseHost, deploy

LOG = "/srv/dashboard/shared/workers.log"
# A worker of the project: it notes its start and its end, and that ending takes a while.
WORKER = f"""
import json, os, signal, sys, time
def note(what):
    line = {{"at": time.time(), "name": sys.argv[1], "what": what, "instance": os.environ["ASGI_INSTANCE"],
             "generation": os.environ["ASGI_GENERATION"], "odd": os.environ.get("ODD")}}
    with open("{LOG}", "a") as file:
        file.write(json.dumps(line) + "\\n")
def end(number, frame):
    note(f"asked by {{signal.Signals(number).name}}")
    time.sleep(2)
    note("ends")
    sys.exit(0)
for one in (signal.SIGTERM, signal.SIGINT):
    signal.signal(one, end)
note("begins")
while len(sys.argv) < 3:
    time.sleep(0.1)
"""
ODD = """ "double" 'single' $HOME `id` %(x)s %h # = \\ \\n {{ '{{' }} é ☃
second line\t"""
GROW = "/srv/dashboard/shared/grow"
# Takes too much memory when told to, and only once: if a release's worker keeps dying, the release is rejected.
HOG = f"""
import os, time
while True:
    time.sleep(0.2)
    if os.path.exists("{GROW}"):
        os.remove("{GROW}")
        taken = bytearray(300 * 2**20)
        print("took it", flush=True)
"""
WORKERS: list[dict[str, Any]] = [
    {"name": "queue", "command": "python worker.py queue", "number": 2, "stop_signal": "INT"},
    {"name": "beat", "command": "python worker.py beat", "singleton": True},
    {"name": "nightly", "command": "python worker.py nightly once", "schedule": "* * * * *"},
    {"name": "hog", "command": "python hog.py", "memory_max": "150M"},
]
KILL = "kill -9 %s"


@pytest.fixture(scope="module")
def workers(lab: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Two releases with workers, one after the other, and what they noted; at the end, a release without workers."""
    lab.settle()
    for host in lab:
        host.run("rm --force %s", LOG)
    folder = tmp_path_factory.mktemp("workers")
    environment = lab.hosts[0].environment()
    odd = {name: environment[name] for name in ("ALLOWED_HOSTS", "SQLITE_PATH")} | {"ODD": "{{ odd }}", "EMPTY": ""}
    given = {"asgi_workers": WORKERS, "release_environment": odd, "odd": ODD, "asgi_memory_max": "1G"}
    found = {}
    Playbook("provision", "-e", json.dumps(given)).succeeded()  # installs cron
    for name in ("first", "second"):
        copy = Copy(folder / name)
        copy.append("core/__init__.py", f"# {name} {time.time_ns()}")
        copy.append("worker.py", WORKER)
        copy.append("hog.py", HOG)
        deploy(copy.folder, "-e", json.dumps(given)).succeeded()
        found[name] = lab.live()
    lab.settle()
    yield found
    deploy(copy.folder).succeeded()
    lab.settle()
    for host in lab:
        assert host.run("ls /etc/cron.d").split().count("dashboard") == 0, "cron still runs what is gone"
        host.run("dashboard-generations tidy 0 3")  # as deploys do if no kept generation has workers
        assert "dashboard-queue" not in host.run("ls /etc/systemd/system"), "units of what is gone are left"
    lab.assert_settled()


def noted(host: ReleaseHost, name: str, generation: str = "") -> list[dict[str, Any]]:
    """Return what a worker noted on a host, for all generations or one."""
    lines = [json.loads(line) for line in host.run("cat %s", LOG).splitlines()]
    return [line for line in lines if line["name"] == name and generation in ("", line["generation"])]


def test_workers_run_as_many_as_are_wanted(lab: Pair, workers: dict[str, str]) -> None:
    for host in lab:
        begun = [line["instance"] for line in noted(host, "queue", workers["second"]) if line["what"] == "begins"]
        assert sorted(begun) == [f"{workers['second']}-{number}" for number in (1, 2)]
        shown = host.overview()[0]
        assert shown["generation"] == workers["second"]
        assert shown["expected"] == 4 if host is lab.hosts[0] else 3, shown


def test_workers_are_renewed_and_end_what_they_are_at(lab: Pair, workers: dict[str, str]) -> None:
    for host in lab:
        first = noted(host, "queue", workers["first"])
        assert [line["what"] for line in first].count("asked by SIGINT") == 2, first
        assert [line["what"] for line in first].count("ends") == 2, f"they were killed at their work: {first}"
        listed = host.run("pgrep --uid dashboard --list-full")
        assert workers["first"] not in listed


def test_singleton_runs_once_in_all(lab: Pair, workers: dict[str, str]) -> None:
    """Only on the first host; and the old release's worker has ended before the new one's starts."""
    begun = {host.name: [line for line in noted(host, "beat") if line["what"] == "begins"] for host in lab}
    assert [len(lines) for lines in begun.values()] == [2, *[0] * (len(lab.hosts) - 1)], begun
    told = [(line["generation"], line["what"]) for line in noted(lab.hosts[0], "beat")]
    first, second = workers["first"], workers["second"]
    assert told == [(first, "begins"), (first, "asked by SIGTERM"), (first, "ends"), (second, "begins")]


def test_environment_arrives_as_it_was_written(lab: Pair, workers: dict[str, str]) -> None:
    """In the processes, in the workers, and in what an operator runs."""
    for host in lab:
        wanted = ODD.replace("{{ '{{' }}", "{{")
        assert noted(host, "queue")[-1]["odd"] == wanted
        for pid in host.pids().values():
            running = host.run("cat /proc/%s/environ", str(pid)).split("\0")
            assert f"ODD={wanted}" in running and "EMPTY=" in running
        shell = "import os, json; print(json.dumps([os.environ['ODD'], os.environ['EMPTY']]))"
        shown = host.run("dashboard-manage shell --command %s", shell)
        assert json.loads(shown.splitlines()[-1]) == [wanted, ""]


def test_doctor_finds_nothing(lab: Pair, workers: dict[str, str]) -> None:
    """With any manager and init; this comes before the tests that make processes restart again and again."""
    told = Playbook("doctor", "-e", "doctor_idle_seconds=0").succeeded().output
    for host in lab:
        report = json.loads((ROOT / "artifacts" / "doctor" / f"{host.name}.json").read_text())
        assert report["verdict"] == "OK", told


def test_process_that_is_killed_is_started_again(lab: Pair, workers: dict[str, str]) -> None:
    host = lab.hosts[0]
    unit, pid = next(iter(host.pids().items()))
    host.run(KILL, str(pid))
    await_that(lambda: host.pids()[unit] not in (0, pid), f"{unit} was not started again")
    host.await_serving()
    host.await_handshakes()


def test_process_that_dies_at_once_is_tried_until_it_stays(lab: Pair, workers: dict[str, str]) -> None:
    """At night nobody is there to reset a counter."""
    host = lab.hosts[0]
    with host.edited("/srv/dashboard/live/serve", "s|^exec .*|echo no luck; exit 3; \\\\|"):
        for pid in host.pids().values():
            host.run(KILL, str(pid))
        time.sleep(8)
        said = host.run("dashboard-generations logs --plain --lines=100 %s", workers["second"])
        assert said.count("no luck") >= 4, said
    host.await_serving()
    assert 0 not in host.pids().values()


def test_memory_has_a_limit(lab: Pair, workers: dict[str, str]) -> None:
    """systemd lets the kernel kill what uses more; with supervisor, a process that asks for more doesn't get it."""
    for host in lab:
        host.run("install -o dashboard /dev/null %s", GROW)
        await_that(lambda host=host: host.host.run(f"test -e {GROW}").rc, "the worker does not look")
        await_that(lambda host=host: host.overview()[0]["processes"][-1]["restarts"] == 1, "it was not started again")
        said = host.run("dashboard-generations logs --lines=300 %s", workers["second"])
        assert "took it" not in said
        assert re.search("MemoryError" if host.live["manager"] == "supervisor" else "oom-kill|status=9/KILL", said), (
            said
        )


def test_processes_have_no_power_and_many_files(lab: Pair, workers: dict[str, str]) -> None:
    for host in lab:
        user = host.run("id --user dashboard").strip()
        for pid in host.pids().values():
            status = dict(
                line.split(":\t", 1) for line in host.run(f"cat /proc/{pid}/status").splitlines() if ":\t" in line
            )
            assert set(status["Uid"].split()) == {user} and status["Umask"] == "0027"
            powers = {name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh")}
            assert not any(powers.values()) and status["NoNewPrivs"] == "1", (powers, status["NoNewPrivs"])
            limit = re.search(r"Max open files +(\d+) +(\d+)", host.run(f"cat /proc/{pid}/limits"))
            most = re.search(r"Max open files +(\d+) +(\d+)", host.run("cat /proc/1/limits"))
            assert limit and most and int(limit[1]) == min(65536, int(most[2])), (limit, most)


def test_manager_that_is_restarted_has_processes_run(lab: Pair, workers: dict[str, str]) -> None:
    """systemd doesn't touch them; supervisor ends all of them, and starts the ones that should run after a boot."""
    host = lab.hosts[0]
    before = host.pids()
    if host.live["manager"] == "systemd":
        host.run("systemctl daemon-reexec")
        assert host.pids() == before
    else:
        host.run("service supervisor stop; while pgrep supervisord; do sleep 0.2; done; service supervisor start")
        await_that(lambda: 0 not in host.pids().values(), "not all processes were started")
        assert not set(host.pids().values()) & set(before.values())
        host.await_serving()
        host.await_handshakes()


def test_logs_are_shown_from_all_hosts(lab: Pair, workers: dict[str, str]) -> None:
    for host in lab:
        with host.connect() as websocket:
            ask(websocket, {"type": "status"})
    told = Playbook("logs", "-e", "asgi_log_lines=40").succeeded().output
    for host in lab:
        assert re.search(rf"{host.name}.*?{workers['second']}|{host.name}.*?connect", told, re.DOTALL), told
    for secret in lab.hosts[0].secrets().values():
        assert secret not in told


def test_logs_are_chosen_and_followed(lab: Pair) -> None:
    """What comes while the playbook looks is shown, once; of another level, generation or time, nothing is."""
    host = lab.hosts[0]
    generation = f"asgi_log_generation={host.live['generation']}"
    following = Playbook("logs", "-e", generation, "-e", "asgi_log_follow_minutes=0.5").until("Wait for new lines")
    before = len(following.output)
    assert host.refusal("followed") == 403
    told = following.succeeded().output[before:]
    assert told.count("refused: ") == 1, told
    quiet = ["-e", "asgi_log_level=critical", "-e", "asgi_log_since=2020-01-01", "-e", "asgi_log_until=2020-01-02"]
    told = Playbook("logs", *quiet).succeeded().output
    assert "refused: " not in told and "connect: " not in told


def test_sockets_are_shown(lab: Pair) -> None:
    """The tool counts what each process holds, and what came meanwhile; the playbook shows it of all hosts."""
    host = lab.hosts[0]
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(host.connect()) for _ in range(3)]
        held = Counter(ask(websocket, {"type": "status"})["process"] for websocket in sockets)
        shown = json.loads(host.run("dashboard-top --json --seconds 1"))
        serving = shown["generations"][0]
        assert serving["state"] == "live" and serving["running"] == serving["expected"]
        # Workers have names of their own, which may be the same.
        counted = {one["instance"]: one for one in serving["processes"] if one["kind"] == "server"}
        assert all(counted[process]["sockets"] >= number for process, number in held.items()), (held, counted)
        assert sorted(one["pid"] for one in counted.values()) == sorted(host.pids().values())
        assert [one["fault"] for one in shown["redis"]] == [""]
        assert shown["clients"]["connections"] >= 3 and shown["clients"]["slowest"][0]["milliseconds"] > 0
        assert serving["memory"] > 10 * 2**20 and serving["oldest_at_least"] >= 1
        told = Playbook("top", "-e", "asgi_top_seconds=1").succeeded().output
    for each in lab:
        assert re.search(rf"{each.name} +{each.live['generation']} +live +\d+", told), told


def test_scheduled_command_is_run_at_its_time(lab: Pair, workers: dict[str, str]) -> None:
    """The release that serves runs it; this test comes last, so that its minute passes while the others run."""
    for host in lab:
        await_that(lambda host=host: noted(host, "nightly", workers["second"]), "cron ran nothing")
        line = noted(host, "nightly", workers["second"])[0]
        assert line["instance"] == f"{workers['second']}-0" and line["odd"]


def await_that(holds: Callable[[], Any], otherwise: str, seconds: float = PATIENCE) -> None:
    """Wait until a condition holds; fail the test if it doesn't within some seconds."""
    ending = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ending, otherwise
        time.sleep(0.3)
