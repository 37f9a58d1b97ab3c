"""The load test opens as many sockets as it says, the host counts the same, and nothing is left behind."""

from __future__ import annotations

import json
import time

import pytest
from lab_host import PATIENCE, ROOT, LabHost, Run

testinfra_hosts = ["ansible://default-bookworm"]

SOCKETS = 240


def connections(lab: LabHost) -> int:
    """Return how many sockets the host itself counts on the live generation."""
    return json.loads(lab.run("dashboard-generations list --json"))["generations"][0]["connections"]


def load(lab: LabHost, *words: str) -> Run:
    """Run the load test against one host."""
    return Run("playbooks/load.yml", "--limit", lab.name, "--extra-vars", f"load_sockets={SOCKETS}", *words)


def test_sums_are_those_of_the_host(lab: LabHost) -> None:
    """Fresh processes, whose memory no earlier sockets have made larger."""
    lab.restart_processes()
    report = ROOT / "artifacts" / "load" / f"{lab.name}.json"
    report.unlink(missing_ok=True)
    before = connections(lab)
    done = load(lab, "--extra-vars", "load_confirm=yes load_hold_seconds=1 load_at_once=10 load_plan_sockets=50000")
    assert done.code == 0, done.output
    told = json.loads(report.read_text())
    result, samples = told["result"], told["samples"]
    assert (result["asked"], result["opened"], result["failures"], result["lost"]) == (SOCKETS, SOCKETS, {}, {})
    assert result["sockets_on_host"] == samples[2]["sockets"] - samples[0]["sockets"] == SOCKETS
    assert samples[2]["nginx"]["files"] > samples[0]["nginx"]["files"]
    assert samples[2]["count"] == len(lab.live["sockets"])
    assert 10 < result["kb_per_socket"]["processes"] < 200, result
    assert result["gave_way"]["what"] == ""
    assert told["sizing"]["for"]["sockets"] == 50_000
    assert "240 of 240 sockets opened" in report.with_suffix(".md").read_text()
    deadline = time.monotonic() + PATIENCE
    while connections(lab) > before:
        assert time.monotonic() < deadline, "sockets of the load test are still open"
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("load_confirm=", "No socket was opened"),
        ("load_confirm=yes load_production=true", "which is production"),
        ("load_confirm=yes load_most=100", "load_most is 100"),
    ],
)
def test_nothing_is_opened_without_the_word(lab: LabHost, words: str, told: str) -> None:
    """Neither without an answer, nor in production with the ordinary one, nor above the limit."""
    report = ROOT / "artifacts" / "load" / f"{lab.name}.json"
    report.unlink(missing_ok=True)
    done = load(lab, "--extra-vars", words)
    assert done.code != 0, done.output
    assert told in " ".join(done.output.split()), done.output
    assert not report.exists()
