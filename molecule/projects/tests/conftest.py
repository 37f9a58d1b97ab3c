"""What the tests of this scenario share: projects that are deployed while others are tested."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "resources"), str(HERE)]

from lab_fixtures import pytest_configure  # noqa: E402, F401 - a hook, which pytest finds by its name
from sites import Sites  # noqa: E402


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    """All projects: each host deploys its own one after another, and both hosts work in parallel."""
    made = Sites(tmp_path_factory.mktemp("projects"))
    yield made
    made.end()
