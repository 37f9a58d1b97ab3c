"""What the tests of this scenario share: both hosts, copies of the project, and clients that notice errors."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import testinfra

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "resources"), str(HERE)]

from clients import INVENTORY, NAMES, clients  # noqa: E402, F401
from lab_fixtures import *  # noqa: E402, F403 - pytest finds fixtures and hooks by their names in this module
from pair import Copy, Pair, Playbook, ReleaseHost  # noqa: E402


@pytest.fixture(scope="session")
def lab() -> Pair:
    """All hosts."""
    found = [testinfra.get_host(f"ansible://{name}", ansible_inventory=str(INVENTORY)) for name in NAMES]
    return Pair([ReleaseHost(host) for host in found])


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """No run outlives its test."""
    yield
    while Playbook.started:
        Playbook.started.pop().clean()


@pytest.fixture
def copy(tmp_path: Path) -> Callable[..., Copy]:
    """Create copies of the project. With a word, the copy differs from others in one line."""

    def make(word: str = "") -> Copy:
        made = Copy(tmp_path / f"project-{word or 'bad'}")
        made.append("core/__init__.py", f"# {word} {time.time_ns()}")
        return made

    return make
