"""A Python that a host neither has nor gets is told before anything changes there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.pythons import python_of_the_host
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView, Role, probe_facts

PROGRAM = Path(__file__).resolve().parents[2] / "roles" / "preflight" / "files" / "probe.sh"
BOOKWORM = "python=3.11.2\nid=debian\nversion=12\npythons=/usr/bin/python3.11 /usr/bin/python3.11-config \n"


def told(answer: str = BOOKWORM, **variables: Any) -> list[str]:
    """What is said of a host that gave this answer."""
    role = Role("release", {"release_python_download": {"type": "bool"}}, {}, {}, ["app"])
    host = HostView(
        "app1", {"group_names": ["app"], PROBE: {"stdout": answer}, **variables}, {"release": role}, Templar()
    )
    return [f"{one.variable} {one.fault}: {one.fix}" for one in python_of_the_host(host)]


@pytest.mark.parametrize("value", ["3.12", "3.12.4", "python3.12", "cpython@3.12"])
def test_python_that_no_debian_has(value: str) -> None:
    (problem,) = told(release_python=value)
    assert problem.startswith("release_python is 3.12, and Debian 12 there has 3.11: ")
    assert "release_python_download: true" in problem


@pytest.mark.parametrize(
    "variables",
    [
        {"release_python": "python3"},
        {"release_python": "3.11"},
        {"release_python": "3.11.9"},
        {"release_python": "/opt/python/bin/python3"},
        {"release_python": "pypy@3.10"},
        {"release_python": "3.12", "release_python_download": True},
        {"release_python": "3.12", "release_python_download": "yes"},
        {"release_python": "3.12", "release_system_packages": ["gcc", "python3.12"]},
        {"release_python": "3.12", "base_extra_packages": ["python3.12"]},
        {"release_python": "3.12", "answer": f"{BOOKWORM.strip()} /opt/uv/python/cpython-3.12/bin/python3.12"},
        {"release_python": "3.12", "answer": ""},
        {},
    ],
)
def test_no_false_alarm(variables: dict[str, Any]) -> None:
    """What is there, what this run brings, and what only the host can tell."""
    assert told(**variables) == []


def test_probe_finds_what_is_here() -> None:
    done = subprocess.run(
        ["sh", "-c", f"python={sys.executable}\n{PROGRAM.read_text()}"], capture_output=True, text=True
    )
    found = probe_facts({"stdout": done.stdout})["pythons"].split()
    places = ((Path("/usr/bin"), "python3.*"), (Path("/usr/local/bin"), "python3.*"),
              (Path("/opt/uv/python"), "*/bin/python3.*"))  # fmt: skip
    assert sorted(found) == sorted(str(path) for folder, names in places for path in folder.glob(names))
