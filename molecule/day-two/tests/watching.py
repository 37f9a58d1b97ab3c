"""The two hosts as the tests of metrics and alerts see them: the site, and Prometheus on the host that watches it."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import testinfra
from lab_host import LabHost

INVENTORY = os.environ.get("MOLECULE_INVENTORY_FILE", "")
PATIENCE = 600.0  # seconds: of a machine that has a lot to do


def reach(name: str) -> LabHost:
    """A host of this scenario, whichever one a test is run for."""
    return LabHost(testinfra.get_host(f"ansible://{name}", ansible_inventory=INVENTORY))


@pytest.fixture(scope="module")
def site() -> LabHost:
    """The host that serves."""
    return reach("day-two-site")


@pytest.fixture(scope="module")
def watch() -> LabHost:
    """The host that watches it."""
    return reach("day-two-watch")


def await_true(look: Callable[[], Any], what: str) -> Any:
    """Look until something is true, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(2)
    return found


def ask(watch: LabHost, path: str, **query: str) -> Any:
    """What Prometheus answers."""
    script = (
        "import sys, urllib.parse, urllib.request\n"
        "words = urllib.parse.urlencode([tuple(each.split('=', 1)) for each in sys.argv[2:]])\n"
        "print(urllib.request.urlopen(f'http://127.0.0.1:9390/api/v1/{sys.argv[1]}?{words}').read().decode())"
    )
    return json.loads(watch.python(script, path, *(f"{key}={value}" for key, value in query.items())))["data"]


def samples(host: LabHost) -> dict[str, float]:
    """All samples that the daemon has written on a host, with their labels."""
    text = host.run("cat /var/lib/prometheus/node-exporter/*.prom")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def of(found: dict[str, float], name: str, *labels: str) -> dict[str, float]:
    """The samples of a metric that have some labels."""
    return {
        key: value for key, value in found.items()
        if re.match(rf"{name}(\{{|$)", key) and all(label in key for label in labels)
    }  # fmt: skip
