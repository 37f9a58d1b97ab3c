"""The page of status.yml: it shows what has happened, and a Prometheus that does not answer fails nothing."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack

from lab_host import NO_SOCKET, ROOT, LabHost, Run
from watching import ask, await_true, site, watch  # noqa: F401 - pytest finds fixtures by their names

REPORT = ROOT / "artifacts" / "monitoring" / "dashboard-day-two-watch.json"
OPEN = 'sum(channels_generation_connections{app="dashboard"})'
FAILED = 'sum(channels_websocket_requests_total{app="dashboard", status="502"})'


def test_page_shows_sockets_a_deploy_and_a_failed_handshake(site: LabHost, watch: LabHost) -> None:  # noqa: F811
    def told(query: str) -> float:
        return float(next((one["value"][1] for one in ask(watch, "query", query=query)["result"]), 0))

    failed = told(FAILED)
    with ExitStack() as stack:
        for _ in range(7):
            stack.enter_context(site.connect())
        await_true(lambda: told(OPEN) >= 7, "Prometheus has seen the sockets")
    with site.upstream(NO_SOCKET):
        assert site.refusal() == 502
    await_true(lambda: told(FAILED) > failed, "Prometheus has seen the failure")

    REPORT.unlink(missing_ok=True)
    page = REPORT.with_suffix(".html")
    run = Run("playbooks/status.yml")
    assert run.changed(watch.name) == 0 and str(page) in run.output
    report = json.loads(REPORT.read_text())
    assert report["problems"] == [] and report["sockets"]["most"] >= 7 and report["probes"]["known"] == 2
    assert report["handshakes"]["101"] >= 7 and report["handshakes"]["502"] >= 1
    live = site.live["generation"]
    assert report["deploys"][-1]["generation"] == live and report["deploys"][-1]["hosts"] == [site.name]
    empty = {name for name, series in report["answers"].items() if not series}
    assert empty == {"disk"}, "a lab host's disk is an overlay; all else is measured"
    text = page.read_text()
    assert re.search(rf'data-chart="sockets".*?<path class="area c\d" d="M.*?<i>{live}</i>', text, re.DOTALL)
    assert '<line class="deploy-line"' in text
    assert re.search(r"<td>502</td><td>[1-9]", text)

    watch.run("systemctl stop prometheus")
    try:
        without = Run("playbooks/status.yml")
    finally:
        watch.run("systemctl start prometheus")
    assert without.changed(site.name) == 0
    said = " ".join(without.output.split())
    assert "Prometheus on day-two-watch does not answer at 127.0.0.1:9390" in said, without.output
    assert page.read_text() == text, "the last page stays"
