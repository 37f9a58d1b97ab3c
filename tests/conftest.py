"""What all tests share: where the bundle is."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.plugins.loader import init_plugin_loader

ROOT = Path(__file__).resolve().parents[1]

#: Files whose tests start programs again and again, or wait for time to pass; `make check` leaves them out.
SLOW = {
    "test_changelog",
    "test_channels_websocket",
    "test_service_state",
    "test_docs_site",
    "test_host_locks",
    "test_mutate",
    "test_prepare",
    "test_remove",
    "test_uv_lock",
    "test_websocket_handshake",
    "test_handshake",
}

init_plugin_loader([str(ROOT / "collections")])  # as every command of Ansible's does first, by ansible.cfg


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow."""
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def root() -> Path:
    """The bundle's folder."""
    return ROOT
