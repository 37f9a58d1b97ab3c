"""What the tests of this scenario share: the fixtures of all scenarios, and repairs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "resources"), str(HERE)]

from lab_fixtures import *  # noqa: E402, F403 - pytest finds fixtures and hooks by their names in this module


@pytest.fixture
def repair() -> Iterator[ExitStack]:
    """When the test ends, however it ends, this undoes everything that was entered or registered here."""
    with ExitStack() as stack:
        yield stack
