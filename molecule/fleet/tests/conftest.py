"""What the tests of this scenario share: the whole fleet, and clients that notice errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import testinfra

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "resources"), str(HERE)]

from fleet import INVENTORY, NAMES, Clients, Fleet  # noqa: E402
from lab_fixtures import *  # noqa: E402, F403 - pytest finds fixtures and hooks by their names in this module
from lab_host import LabHost  # noqa: E402


@pytest.fixture(scope="session")
def lab() -> Fleet:
    """All hosts."""
    found = [testinfra.get_host(f"ansible://{name}", ansible_inventory=str(INVENTORY)) for name in NAMES]
    return Fleet([LabHost(host) for host in found])


@pytest.fixture
def clients(lab: Fleet, tmp_path: Path) -> Iterator[Callable[[], Clients]]:
    """Start clients, which are stopped when the test ends."""
    started: list[Clients] = []

    def start() -> Clients:
        started.append(Clients(lab, tmp_path / f"clients-{len(started)}.json"))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
