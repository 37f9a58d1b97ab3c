"""What follows from the number of sockets, and what is told where a host cannot hold them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.limits import (
    FEWEST_FILES,
    HEADROOM,
    OTHER_FILES,
    limits_of,
    nginx_kernel,
    nginx_limit_exempt,
    nginx_sockets_fit,
)
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView

PROGRAM = Path(__file__).resolve().parents[2] / "roles" / "preflight" / "files" / "probe.sh"
ALL = "000001ffffffffff"  # capabilities of root on a machine of its own
FEW = "00000000a82c35fb"  # in a container


def host_of(answer: dict[str, Any] | None = None, installs: bool = True, **variables: Any) -> HostView:
    """A host with two cores that gave an answer."""
    facts = {"cores": 2, "memory_mb": 2000, "open_files": 1048576, "capabilities": ALL} | (answer or {})
    lines = "".join(f"{name}={value}\n" for name, value in facts.items())
    return HostView("app1", {"release_app": "shop", PROBE: {"stdout": lines}, **variables}, {}, Templar(), installs)


def told(check: Any, answer: dict[str, Any] | None = None, **variables: Any) -> list[tuple[str, str, str]]:
    """What a check says."""
    return [(one.variable, one.fault, one.fix) for one in check(host_of(answer, **variables))]


def test_any_worker_has_room_for_all_sockets_and_for_refusing_more() -> None:
    """Two connections and files for each, and some for pages and refusals."""
    limits = limits_of(host_of())
    assert limits["sockets"] == 10000 and not limits["turns"]
    assert limits["worker_connections"] == 2 * 10000 + HEADROOM
    assert limits["open_files"] == FEWEST_FILES >= limits["worker_connections"] + OTHER_FILES
    many = limits_of(host_of(nginx_sockets=60000))
    assert (many["sockets"], many["worker_connections"]) == (60000, 124096)
    assert many["open_files"] == 124096 + OTHER_FILES


def test_other_projects_on_the_host_have_room_too() -> None:
    """Whichever of them runs last, and one's own number of before is none of them."""
    answer = {"sockets:shop": 500, "sockets:chat": 3000, "sockets:news": 2000, "sockets:old": ""}
    limits = limits_of(host_of(answer, nginx_sockets=1000))
    assert (limits["sockets"], limits["worker_connections"]) == (1000, 2 * 6000 + HEADROOM)


def test_workers_share_what_one_has_too_few_files_for() -> None:
    """In a container that may not raise its limit."""
    few = {"open_files": 20000, "capabilities": FEW}
    limits = limits_of(host_of(few))
    assert (limits["sockets"], limits["worker_connections"], limits["turns"]) == (10000, 20000 - OTHER_FILES, True)
    # 7/8 of the connections of both, less those for all else.
    assert 2 * limits["worker_connections"] * 7 / 8 - HEADROOM > 2 * limits["sockets"]
    assert told(nginx_sockets_fit, few, nginx_sockets=10000) == []
    assert limits_of(host_of(few | {"capabilities": ALL}))["turns"] is False


def test_default_is_what_fits_and_a_number_that_is_given_is_told() -> None:
    """Where neither one worker nor all of them have the files."""
    few = {"open_files": 4096, "capabilities": FEW}
    fitting = limits_of(host_of(few))["sockets"]
    assert 1500 < fitting < 2600
    assert told(nginx_sockets_fit, few) == []
    ((variable, fault, fix),) = told(nginx_sockets_fit, few, nginx_sockets=10000)
    assert variable == "nginx_sockets" and "is 10000, but the host allows 4096 open files" in fault
    assert fix.startswith(f"Write {fitting} or less")
    assert told(nginx_sockets_fit, few, nginx_sockets=fitting) == []
    assert limits_of(host_of(few, nginx_sockets=fitting))["sockets"] == fitting
    one = limits_of(host_of(few | {"cores": 1}))
    assert 2 * one["sockets"] < one["worker_connections"] < 4096 and not one["turns"]


def test_connections_that_are_given_hold() -> None:
    """And the sockets follow them."""
    limits = limits_of(host_of(nginx_worker_connections=4096))
    assert limits["worker_connections"] == 4096 and limits["sockets"] < 4096
    ((variable, fault, fix),) = told(nginx_sockets_fit, nginx_worker_connections=4096, nginx_sockets=5000)
    assert variable == "nginx_sockets" and "nginx_worker_connections is 4096" in fault and "delete" in fix
    assert limits_of(host_of(nginx_worker_connections=90000))["open_files"] == 90000 + OTHER_FILES


def test_sockets_fit_into_the_memory() -> None:
    ((variable, fault, fix),) = told(nginx_sockets_fit, nginx_sockets=40000)
    assert variable == "nginx_sockets" and "more than the host's 2000 MB" in fault and "Write for example 15700" in fix
    assert told(nginx_sockets_fit, {"memory_mb": 400}) == [], "the default is for hosts of any size"


def test_processes_have_files_for_the_sockets() -> None:
    ((variable, fault, _),) = told(nginx_sockets_fit, nginx_sockets=2000, asgi_open_files=900)
    assert variable == "asgi_open_files" and "2 processes" in fault
    assert told(nginx_sockets_fit, nginx_sockets=2000, asgi_open_files=1100) == []


def test_kernel_is_given_what_it_lacks_and_never_less() -> None:
    """What runs with enough is left alone; what the file says is kept for whom it was written."""
    enough = {"sysctl:net.core.somaxconn": 4096, "sysctl:fs.nr_open": 1048576, "sysctl:fs.file-max": 2**62}
    assert limits_of(host_of(enough))["kernel"] == {}
    limits = limits_of(host_of(enough, asgi_backlog=8192))
    assert limits["kernel"] == {"net.core.somaxconn": 8192} and limits["kernel_is_behind"]
    done = enough | {"sysctl:net.core.somaxconn": 8192, "sysctl_file": "net.core.somaxconn=8192;"}
    for backlog in (8192, 4096):
        limits = limits_of(host_of(done, asgi_backlog=backlog))
        assert limits["kernel"] == {"net.core.somaxconn": 8192} and not limits["kernel_is_behind"]
    # A run that was killed in between, or somebody who has set it back.
    limits = limits_of(host_of(done | {"sysctl:net.core.somaxconn": 4096}))
    assert limits["kernel"] == {"net.core.somaxconn": 8192} and limits["kernel_is_behind"]
    small = {"sysctl:net.netfilter.nf_conntrack_max": 16384, "sysctl:fs.file-max": 50000, "sysctl:fs.nr_open": 65536}
    limits = limits_of(host_of(small, nginx_sockets=60000))
    assert limits["kernel"] == {
        "net.netfilter.nf_conntrack_max": 124096, "fs.file-max": 425536, "fs.nr_open": 125120,
    }  # fmt: skip
    assert limits_of(host_of({}, asgi_backlog=8192))["kernel"] == {}, "where there is no such setting, nothing is set"


def test_kernel_that_cannot_be_changed_is_told() -> None:
    fixed = {"sysctl:net.core.somaxconn": 4096, "fixed:net.core.somaxconn": "yes"}
    ((variable, fault, fix),) = told(nginx_kernel, fixed, asgi_backlog=8192)
    assert variable == "asgi_backlog" and "needs net.core.somaxconn 8192, which is 4096" in fault
    assert "asgi_backlog: 4096" in fix and "--sysctl net.core.somaxconn=8192" in fix
    assert told(nginx_kernel, fixed) == []
    assert told(nginx_kernel, {"sysctl:net.core.somaxconn": 4096}, asgi_backlog=8192) == []
    assert told(nginx_kernel, fixed, asgi_backlog=8192, installs=False) == []


@pytest.mark.parametrize(
    ("answer", "zone"),
    [
        ({}, ""),
        ({"worker_died": "20261129114847"}, "_20261129114847"),
        ({"zone:shop": "20261129114847"}, "_20261129114847"),
        ({"zone:shop": "20261129114847", "worker_died": "20270101000000"}, "_20270101000000"),
        ({"zone:shop": "20261129114847", "worker_died": "20260101000000"}, "_20261129114847"),
        ({"zone:chat": "20261129114847"}, ""),
    ],
)
def test_zones_are_named_by_the_last_worker_that_was_killed(answer: dict[str, str], zone: str) -> None:
    """And keep that name when the log has forgotten it, since another one would count from nothing again."""
    assert limits_of(host_of(answer))["zone"] == zone


def test_exempt_are_addresses() -> None:
    given = ["127.0.0.1", "::1", "192.0.2.1/24", "monitor.example.org", "10.0.0.0/33"]
    problems = told(nginx_limit_exempt, nginx_limit_exempt=given)
    assert [fault.split('"')[1] for _, fault, _ in problems] == ["monitor.example.org", "10.0.0.0/33"]


def test_probe_tells_what_is_asked_here() -> None:
    """Of the machine that runs this."""
    done = subprocess.run(["sh", "-c", f"python=python3\n{PROGRAM.read_text()}"], capture_output=True, text=True)
    facts = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    limits = Path("/proc/1/limits").read_text()
    assert facts["open_files"] in limits and int(facts["capabilities"], 16) >= 0
    assert facts["sysctl:net.core.somaxconn"] == Path("/proc/sys/net/core/somaxconn").read_text().strip()
    assert {"worker_died", "sysctl_file"} <= set(facts)
