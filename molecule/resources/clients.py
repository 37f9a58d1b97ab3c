"""The load generator beside a test: clients that notice everything that goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml
from lab_host import ROOT

__all__ = ["INVENTORY", "NAMES", "Clients", "clients"]

#: The scenario's own, and the names of its hosts.
INVENTORY = Path(os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY", ".")) / "inventory"
NAMES = tuple(host["name"] for host in yaml.safe_load(Path(os.environ["MOLECULE_FILE"]).read_text())["platforms"])


class Site(Protocol):
    """All hosts of a scenario, which serve one site."""

    def load_options(self, *places: str) -> list[str]:
        """Return what leads the load generator to places of the site: a token, NAME=PLACE, and what to trust."""


class Clients:
    """The load generator, running: sockets and handshakes through each place, by default all places of the site."""

    def __init__(self, lab: Site, report: Path, sockets: int = 20, rate: float = 4, places: Sequence[str] = ()) -> None:
        self.report = report
        options = ["--report", str(report), "--sockets", str(sockets), "--rate", str(rate), *lab.load_options(*places)]
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "molecule" / "resources" / "load.py"), *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n", "the clients could not open their sockets"

    def grow(self) -> None:
        """Open a tenth more sockets."""
        self.process.send_signal(signal.SIGUSR1)

    def stop(self) -> dict[str, Any]:
        """End the run; return what the clients noticed."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)
        noticed = json.loads(self.report.read_text())
        print("clients:", noticed["figures"], f"closings: {len(noticed['closings'])}")
        return noticed

    def unharmed(self) -> dict[str, Any]:
        """End the run; fail the test if anything failed or any socket was closed. Return what was noticed."""
        noticed = self.stop()
        for what in ("failures", "closings"):  # pytest itself explains asserts only in test files
            assert not noticed[what], f"{len(noticed[what])} {what}, the first ones: {noticed[what][:5]}"
        return noticed


@pytest.fixture
def clients(lab: Site, tmp_path: Path) -> Iterator[Callable[..., Clients]]:
    """Start clients, which are stopped when the test ends."""
    started: list[Clients] = []

    def start(*places: str, sockets: int = 20, rate: float = 4) -> Clients:
        started.append(Clients(lab, tmp_path / f"clients-{len(started)}.json", sockets, rate, places))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
