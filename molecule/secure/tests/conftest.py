"""What the tests of this scenario share: the fixtures of all scenarios, and which host each test runs on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "resources"))

from lab_fixtures import *  # noqa: F403 - pytest finds fixtures and hooks by their names in this module

# Each of these takes minutes of playbooks, and what they check is the same on both Debians. The units, nginx and the
# stores differ, so those tests run on both.
ONE_HOST = {"acme": "trixie", "firewall": "trixie", "proxies": "trixie", "limits": "bookworm", "logs": "bookworm"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests that run on the other host."""
    left = [item for item in items if ONE_HOST.get(item.path.stem.removeprefix("test_"), "") not in item.name]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]
