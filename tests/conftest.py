"""What all tests share: where the bundle is."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.plugins.loader import init_plugin_loader

ROOT = Path(__file__).resolve().parents[1]

init_plugin_loader([str(ROOT / "collections")])  # as every command of Ansible's does first, by ansible.cfg


@pytest.fixture(scope="session")
def root() -> Path:
    """The bundle's folder."""
    return ROOT
