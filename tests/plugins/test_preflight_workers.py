"""Processes are counted once, fit into the host, and workers are such as sh, cron and a service manager can do with."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.workers import (
    asgi_memory,
    asgi_processes_fit,
    asgi_workers,
    command_fault,
    cron_fault,
    processes_of,
)
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView


def host_of(cores: int = 2, memory: int = 2000, **variables: Any) -> HostView:
    """A host of that size."""
    answer = f"cores={cores}\nmemory_mb={memory}\n"
    return HostView("app1", {PROBE: {"stdout": answer}, **variables}, {}, Templar())


def told(check: Any, **variables: Any) -> list[tuple[str, str]]:
    """Which variables a check names, and what it says."""
    return [(one.variable, one.fault) for one in check(host_of(**variables))]


@pytest.mark.parametrize(
    ("given", "processes", "everything"),
    [
        ({}, 2, 2),
        ({"cores": 8, "memory": 4000}, 8, 8),
        ({"cores": 8, "memory": 1000}, 3, 3),
        ({"cores": 8, "memory": 4000, "asgi_http": "wsgi"}, 7, 14),
        ({"cores": 1, "memory": 400}, 2, 2),
        ({"asgi_processes": 7}, 7, 7),
        ({"asgi_processes": 7, "asgi_http": "wsgi"}, 7, 14),
        ({"asgi_workers": [{"name": "a", "number": 3}, {"name": "b"}]}, 2, 6),
        ({"asgi_workers": [{"name": "a", "number": 3, "schedule": "@daily"}]}, 2, 3),
        ({"asgi_workers": [{"name": "a", "singleton": True}], "groups": {"app": ["app1", "app2"]}}, 2, 3),
        ({"asgi_workers": [{"name": "a", "singleton": True}], "groups": {"app": ["app2", "app1"]}}, 2, 2),
    ],
)
def test_processes_are_counted(given: dict[str, Any], processes: int, everything: int) -> None:
    """By cores and memory, with gunicorn's and the workers', for role asgi and for the database's connections."""
    assert processes_of(host_of(**given)) == {"processes": processes, "all_processes": everything}


def test_host_that_told_nothing_has_the_least() -> None:
    """Without an answer there is nothing to count by."""
    assert processes_of(HostView("app1", {}, {}, Templar()))["processes"] == 2


def test_processes_fit_into_the_memory() -> None:
    """What cannot even start is told, with a number that can; what is tight is the user's to decide."""
    ((variable, fault),) = told(asgi_processes_fit, asgi_processes=900)
    assert variable == "asgi_processes" and "is 900, and a host with 2000 MB has no room" in fault
    ((variable, fault),) = told(asgi_processes_fit, asgi_workers=[{"name": "queue", "command": "x", "number": 200}])
    assert variable == "asgi_workers" and "202 processes" in fault
    for fine in ({"asgi_processes": 8}, {"cores": 64}, {"memory": 300}, {"asgi_processes": 900, "memory": 64000}):
        assert told(asgi_processes_fit, **fine) == [], fine


@pytest.mark.parametrize("limit", ["512M", "2G", "48M", ""])
def test_memory_limits(limit: str) -> None:
    """Sizes as systemd has them, and no process fits into 512 bytes."""
    assert told(asgi_memory, asgi_memory_max=limit) == []
    ((variable, fault),) = told(asgi_memory, asgi_workers=[{"name": "celery", "memory_max": f"{limit} MB"}])
    assert variable == "asgi_workers" and f'celery has the memory limit "{limit} MB"' in fault


@pytest.mark.parametrize("limit", ["512", "20M", "47M", "100K"])
def test_memory_limits_that_nothing_fits_into(limit: str) -> None:
    """Such as a number without its unit."""
    assert "no process of the project can start" in told(asgi_memory, asgi_memory_max=limit)[0][1]


@pytest.mark.parametrize(
    ("worker", "fault"),
    [
        ({"name": "Celery", "command": "celery"}, '"Celery" cannot be the name'),
        ({"name": "daphne", "command": "celery"}, '"daphne" cannot be the name'),
        ({"name": "beat", "command": " "}, "the command of beat is empty"),
        ({"name": "a", "command": "x && y"}, "the command of a is several, by &&"),
        ({"name": "night", "command": "x", "schedule": "at night"}, '"at night" of night are no times of cron'),
        ({"name": "night", "command": "x", "schedule": "0 3 * * *\n* * * * * root sh"}, "are no times of cron"),
        ({"name": "night", "command": "x", "schedule": "0 3 * * *", "number": 2}, "has a schedule and a number"),
        ({"name": "queue", "command": "x", "number": 0}, "queue has number 0"),
    ],
)
def test_workers_that_cannot_run_are_told(worker: dict[str, Any], fault: str) -> None:
    """Each with its name."""
    ((variable, said),) = told(asgi_workers, asgi_workers=[worker])
    assert variable == "asgi_workers" and fault in said


def test_workers_have_names_of_their_own() -> None:
    """Of which units are made."""
    queue = {"name": "queue", "command": "celery -A core worker"}
    assert "2 workers named queue" in told(asgi_workers, asgi_workers=[queue, queue])[0][1]
    assert told(asgi_workers, asgi_workers=[queue, {"name": "night", "command": "x", "schedule": "@daily"}]) == []


@pytest.mark.parametrize(
    "command",
    [
        "a && b", "a || b", "a; b", "a | b", "a & b", "a &", "(a)", "a\nb", "if a", "while true", "! a", "FOO=1 celery",
        "exec celery", "a 'b", "", "a &&b", "a>x;b",
    ],
)  # fmt: skip
def test_command_is_one(command: str) -> None:
    """Of several, sh would be told to stop, and the one that works be killed."""
    fault, fix = command_fault(command)
    assert fault and fix, command


def test_signal_reaches_a_command_that_has_come_after_others() -> None:
    """What the fix says is right: of `sh -c 'a && exec b'`, b is the process that is told to stop."""
    last = "sh -c 'trap \"echo asked; exit\" TERM; echo ready; while :; do sleep 0.05; done'"
    started = subprocess.Popen(
        ["sh", "-euc", f"exec sh -c {shlex.quote(f'true && exec {last}')}"], stdout=subprocess.PIPE, text=True
    )
    assert started.stdout and started.stdout.readline() == "ready\n"
    started.terminate()
    assert started.stdout.readline() == "asked\n" and started.wait(timeout=10) == 0


@pytest.mark.parametrize(
    "command",
    [
        "celery -A core worker -n $ASGI_INSTANCE", "python x.py '; &&'", 'echo "a | b"', "a 2>&1", "a >/dev/null",
        "a >>log 2>&1 </dev/null", "sh -c 'cd x && exec y'", "env FOO=1 celery", "a $(b; c) `d; e`", "a \\\n  b", "a\n",
        "a $(b $(c; d))", "celery -A x#y",
    ],
)  # fmt: skip
def test_one_command_is_let_through(command: str) -> None:
    """With its quotes, redirections and what the shell fills in; sh agrees that exec can take it."""
    assert command_fault(command) == ("", "")
    assert subprocess.run(["sh", "-nc", f"exec {command}"], check=False).returncode == 0


# What Debian's own crontab says of each; of those it takes, a range that ends before it begins comes at no time.
TAKEN = [
    "* * * * *", "59 23 31 12 7", "0 0 * jan sun", "0 0 * JAN Sun", "0 0 * * mon-fri", "0 0 * * 5-7", "*/61 * * * *",
    "*/5 * * * *", "0-10/2 * * * *", "1,2,3 * * * *", "0 0 * * mon,wed", "0 0 * feb-apr *", "00 08 * * *", "@daily",
    "*,5 * * * *", "1-5,*/7 * * * *", "@hourly", "@weekly", "@monthly", "@yearly", "@annually", "@midnight",
    "0 0 * * 0-7", "10-10 * * * *", "0  0\t* * *", "15,45 0-6/2 1 jan *",
]  # fmt: skip
REFUSED = [
    "99 25 * * *", "60 * * * *", "0 0 0 * *", "0 0 32 * *", "0 0 * 0 *", "0 0 * 13 *", "0 0 * * 8", "0 0 * january *",
    "*/0 * * * *", "5/10 * * * *", "1,,2 * * * *", "1, * * * *", "mon * * * *", "@DAILY", "* * * *", "* * * * * *",
    "~ * * * *", "0 0 L * *", "0 0 ? * *", "", "0 3 * * *\n", "-1 * * * *", "1.5 * * * *",
]  # fmt: skip
NEVER = ["0 0 * * fri-mon", "0 0 * * 6-1", "30-10 * * * *", "0 0 * * sat-sun"]


@pytest.mark.parametrize("text", TAKEN)
def test_times_of_cron(text: str) -> None:
    """As Debian's cron takes them."""
    assert cron_fault(text) == ""


@pytest.mark.parametrize("text", [*REFUSED, *NEVER])
def test_times_that_cron_refuses(text: str) -> None:
    """And with them, all other lines of the project's file."""
    assert cron_fault(text)
