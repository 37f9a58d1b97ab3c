"""What the tests of this scenario share: the whole fleet, its group of Redises, and clients that notice errors."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import testinfra

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "resources"), str(HERE)]

from clients import INVENTORY, NAMES, clients  # noqa: E402, F401
from fleet import APP_1, APP_2, Fleet  # noqa: E402
from lab_fixtures import *  # noqa: E402, F403 - pytest finds fixtures and hooks by their names in this module
from lab_host import LabHost  # noqa: E402
from redis_group import Group  # noqa: E402


@pytest.fixture(scope="session")
def lab() -> Fleet:
    """All hosts."""
    found = [testinfra.get_host(f"ansible://{name}", ansible_inventory=str(INVENTORY)) for name in NAMES]
    return Fleet([LabHost(host) for host in found])


@pytest.fixture(scope="session")
def group(lab: Fleet) -> Group:
    """The hosts that run a Redis."""
    return Group(lab)


@pytest.fixture(autouse=True)
def whole(lab: Fleet) -> None:
    """Each test begins with a fleet all of whose app hosts serve."""
    lab.await_states({APP_1: "UP", APP_2: "UP"})
