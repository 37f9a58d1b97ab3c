"""Fixtures and hooks that the tests of all scenarios share; a scenario's conftest.py imports all of it."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from lab_host import SSH_CONFIG, LabHost
from testinfra.host import Host

__all__ = ["lab", "pytest_configure", "pytest_runtest_makereport"]

HOSTS: dict[str, LabHost] = {}


def pytest_configure() -> None:
    """Make testinfra keep one SSH connection to each host: without a path for it, it opens one for each command."""
    os.environ["ANSIBLE_SSH_COMMON_ARGS"] = (
        f"-F {SSH_CONFIG} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "
        f"-o ControlPath={os.path.expanduser('~/.ansible/cp/tests-%C')}"
    )
    os.makedirs(os.path.expanduser("~/.ansible/cp"), mode=0o700, exist_ok=True)


@pytest.fixture(scope="module")
def lab(host: Host) -> LabHost:
    """The host under test."""
    return HOSTS.setdefault(host.backend.host, LabHost(host))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the host's last log lines to the report of a test that failed."""
    report = yield
    lab_host = getattr(item, "funcargs", {}).get("lab")
    if report.failed and lab_host:
        report.sections.append((f"Last log lines on {lab_host.name}", lab_host.last_log_lines()))
    return report
