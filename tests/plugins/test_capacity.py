"""Sizing on paper: what follows from a demand, the simulation's invariants, and that docs/capacity.md shows both."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.channels.stack.plugins.module_utils.capacity import figures, page
from ansible_collections.channels.stack.plugins.module_utils.capacity.sizing import EDGES, Demand, size
from ansible_collections.channels.stack.plugins.module_utils.capacity.storm import (
    Backoff,
    Bucket,
    Storm,
    simulate,
    window_needed,
)
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "sizing.py"
DOCUMENT = (ROOT / "docs" / "capacity.md").read_text()
CLIENT = (ROOT / "examples/dashboard/backend/dashboard/static/dashboard/socket.js").read_text()

DEMANDS = st.builds(
    Demand, sockets=st.integers(100, 10**6), messages=st.floats(0, 10**4), receivers=st.floats(0, 100),
    handshakes=st.floats(0, 10**4), server=st.sampled_from(sorted(figures.SERVERS)), edge=st.sampled_from(EDGES),
    cores=st.integers(1, 64), memory_gb=st.floats(8, 512),
    edge_memory_gb=st.floats(0.5, 8),
)  # fmt: skip
STORMS = st.builds(
    Storm, clients=st.integers(1, 60), processes=st.integers(1, 4), rate=st.floats(1, 500), limit=st.floats(0.5, 200),
    addresses=st.integers(0, 5), burst=st.integers(0, 100), backlog=st.integers(1, 300), timeout=st.floats(0.5, 30),
    away=st.floats(0, 20), seed=st.integers(0, 10),
)  # fmt: skip


# --- sizing


@settings(deadline=None)
@given(DEMANDS)
def test_everything_fits_with_one_host_dead(demand: Demand) -> None:
    found = size(demand)
    hosts = max(1, found["app_hosts"] - 1)
    assert found["sockets_per_host"] * hosts >= demand.sockets
    assert found["sockets_per_host"] <= figures.HOST_SOCKETS.value
    assert found["sockets_per_process"] <= figures.PROCESS_SOCKETS.value
    assert found["memory_mb_per_host"] <= demand.memory_gb * 1024
    assert found["cpu_cores"] <= hosts * demand.cores
    assert found["nginx_open_files"] >= 2 * found["sockets_per_host"]
    if found["edges"]:
        assert found["edges"] >= 2
        assert found["sockets_per_edge"] * (found["edges"] - 1) >= demand.sockets
        assert found["edge_ports_per_app_host"] <= figures.PORTS.value
        assert found["edge_memory_mb"] <= demand.edge_memory_gb * 1024
    else:
        assert found["app_hosts"] == 1


@settings(deadline=None)
@given(DEMANDS, st.integers(2, 10))
def test_more_never_needs_less(demand: Demand, times: int) -> None:
    more = replace(demand, sockets=demand.sockets * times, messages=demand.messages * times)
    for name in ("app_hosts", "edges", "cpu_cores", "redis_primaries", "redis_memory_mb"):
        assert size(more)[name] >= size(demand)[name], name


def test_edges_are_as_many_as_sockets_and_memory_ask_for() -> None:
    """And one to spare."""
    big = Demand(sockets=50_000, edge="nginx")
    assert size(big)["edges"] == 2
    assert size(replace(big, sockets=60_000))["edges"] == 3
    assert size(replace(big, edge_memory_gb=1))["edges"] == 4


def test_what_decides_is_named() -> None:
    assert size(Demand(sockets=50_000))["why"] == "sockets on a host"
    assert size(Demand(sockets=5000, messages=1000, receivers=1000))["why"] == "CPU of steady traffic"
    assert size(Demand(sockets=10_000, memory_gb=1))["why"] == "memory"
    assert size(Demand(sockets=10_000, cores=1, return_seconds=2))["why"] == "CPU for clients that come back"


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"sockets": 0}, "sockets is 0"), ({"messages": -1.0}, "messages is -1"),
     ({"handshakes": math.nan}, "handshakes is nan"),
     ({"server": "gunicorn"}, "one of daphne, uvicorn"), ({"edge": "ip"}, "one of none, nginx, haproxy"),
     ({"receivers": 200.0}, "there are 100 sockets"), ({"memory_gb": 0.5, "cores": 64}, "too little for 64 processes")],
)  # fmt: skip
def test_wrong_numbers_are_named(changes: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        size(replace(Demand(sockets=100), **changes))  # type: ignore[arg-type]


# --- the storm


@settings(deadline=None, max_examples=40)
@given(STORMS)
def test_nobody_is_lost_and_nobody_is_faster_than_possible(storm: Storm) -> None:
    found = simulate(storm)
    assert found.back <= storm.clients
    assert found.attempts >= found.back + sum(found.failures.values()) - storm.clients * (found.back < storm.clients)
    if math.isfinite(found.all_back):
        assert found.back == storm.clients
        assert found.attempts == storm.clients + sum(found.failures.values())
        assert found.all_back >= storm.clients / (storm.processes * storm.rate) - 1e-6
        assert found.all_back >= storm.away
    assert found.p50 <= found.p99 <= found.all_back
    assert found == simulate(storm), "the same question has another answer"


def test_no_failure_without_a_reason() -> None:
    assert simulate(Storm(100, 2, 100.0)).failures == {}
    assert set(simulate(Storm(100, 2, 100.0, away=3)).failures) == {"away"}
    assert set(simulate(Storm(500, 2, 1000.0, addresses=1, limit=10, burst=20)).failures) == {"limit"}
    assert set(simulate(Storm(500, 1, 10.0, timeout=1)).failures) == {"timeout"}
    assert set(simulate(Storm(500, 1, 50.0, backlog=10, timeout=1e9)).failures) == {"backlog"}


def test_handshakes_by_turns_end_together() -> None:
    """As on an event loop: with ten at once, the first is not done after a tenth of the time."""
    found = simulate(Storm(10, 1, 10.0, backoff=Backoff(first=0)))
    assert found.p50 == pytest.approx(1.0)


def test_window_is_what_no_attempt_fails_with() -> None:
    crowd = Storm(5000, 1, 268.0)
    assert simulate(crowd).failures
    first = window_needed(crowd)
    assert not simulate(replace(crowd, backoff=Backoff(first))).failures
    assert window_needed(replace(crowd, rate=1.0)) == math.inf


@settings(deadline=None)
@given(st.floats(1, 1000), st.integers(0, 500), st.lists(st.floats(0, 0.5), max_size=300))
def test_address_gets_its_burst_and_then_its_rate(rate: float, burst: int, pauses: list[float]) -> None:
    bucket, now, taken = Bucket(rate, burst), 0.0, 0
    for pause in pauses:
        now += pause
        taken += bucket.takes(now)
    assert taken <= burst + 1 + now * rate + 1e-6
    assert taken >= min(len(pauses), burst + 1)


@pytest.mark.parametrize("burst", [0, 1, 20])
def test_address_that_hurries_gets_its_burst_and_one(burst: int) -> None:
    bucket = Bucket(10.0, burst)
    assert sum(bucket.takes(5.0) for _ in range(100)) == burst + 1
    assert [bucket.takes(5.1001), bucket.takes(5.1001)] == [True, False]


def test_back_off_is_the_examples() -> None:
    """By the numbers in the page's script."""
    assert re.search(r"MAX_DELAY = 30_000;", CLIENT)
    assert "if (retry === 0) return random() * 500;" in CLIENT
    assert "Math.min(MAX_DELAY, 1000 * 2 ** (retry - 1))" in CLIENT
    assert "return (ceiling * (1 + random())) / 2;" in CLIENT
    delays = [Backoff().delay(retry, 1.0) for retry in range(8)]
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert Backoff().delay(3, 0.0) == 2


# --- the document and the script


def test_document_is_what_the_model_says() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "page", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("server", sorted(figures.SERVERS))
def test_figures_are_the_measured_ones(server: str) -> None:
    """The model's constants are in the tables that the bench has written."""
    known = figures.SERVERS[server]
    rates = re.search(rf"^\| {server}, of the stack, through nginx \| ([\d,]+) \| ([\d,]+) \|", DOCUMENT, re.MULTILINE)
    silent = re.search(rf"^\| {server} \| ([\d,]+) \|.*\| ([\d.]+) \| [\d.]+ \|$", DOCUMENT, re.MULTILINE)
    assert rates
    assert silent
    assert [float(each.replace(",", "")) for each in rates.groups()] == [
        known["handshakes"].value, known["echoes"].value
    ]  # fmt: skip
    assert float(silent[2]) == known["kb"].value
    assert float(silent[1].replace(",", "")) == figures.HOST_SOCKETS.value


def test_every_figure_says_where_it_comes_from() -> None:
    assert page.sources().count("\n") > 20
    assert all(each.source and each.what for each in vars(figures).values() if isinstance(each, figures.Figure))


@pytest.mark.parametrize(
    ("words", "told"),
    [("hosts --sockets 0", "sockets is 0"),
     ("storm --clients 0 --processes 0", "--clients is 0; write at least 1; --processes"),
     ("storm --clients 5 --processes 1 --rate 0", "--rate is 0")],
)  # fmt: skip
def test_script_names_wrong_numbers(words: str, told: str) -> None:
    done = subprocess.run([sys.executable, SCRIPT, *words.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "key"), [("hosts --sockets 20000", "app_hosts"), ("storm --clients 200 --processes 2", "all_back")]
)
def test_script_prints_for_people_and_for_programs(words: str, key: str) -> None:
    plain, data = (
        subprocess.run(
            [sys.executable, "-I", SCRIPT, *words.split(), *more], capture_output=True, text=True, check=True
        )
        for more in ([], ["--json"])
    )
    assert len(plain.stdout.splitlines()) > 3
    assert key in json.loads(data.stdout)


def test_model_needs_the_standard_library_only() -> None:
    """With a Python that has nothing else."""
    spec = importlib.util.find_spec("ansible_collections.channels.stack.plugins.module_utils.capacity.storm")
    assert spec
    done = subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT, "hosts", "--sockets", "10"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
