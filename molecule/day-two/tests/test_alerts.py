"""What people are told: nothing while all is well, and two faults within minutes, by Alertmanager's own delivery."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from lab_host import LabHost
from watching import ask, await_true, site, watch  # noqa: F401 - pytest finds fixtures by their names

# Runs on the host that watches; writes each message as a line.
RECEIVER = """
import http.server, json
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open("/run/alerts.jsonl", "a") as file:
            file.write(json.dumps({"by": self.headers["Authorization"], **body}) + "\\n")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", 9999), Receiver).serve_forever()
"""


@pytest.fixture(scope="module")
def receiver(watch: LabHost) -> Iterator[None]:  # noqa: F811
    """Somebody who takes alerts."""
    watch.python("import pathlib, sys; pathlib.Path('/run/receiver.py').write_text(sys.argv[1])", RECEIVER)
    watch.run("systemd-run --quiet --unit=receiver /usr/bin/python3 /run/receiver.py")
    yield
    watch.run("systemctl stop receiver; rm -f /run/receiver.py /run/alerts.jsonl")


def received(watch: LabHost) -> dict[str, dict[str, Any]]:  # noqa: F811
    """The alerts that were delivered, by name, each with the message's credentials."""
    lines = watch.run("cat /run/alerts.jsonl 2>&-; true").splitlines()
    return {
        alert["labels"]["alertname"]: {**alert, "by": message["by"]}
        for message in map(json.loads, lines) for alert in message["alerts"]
    }  # fmt: skip


def test_site_that_was_deployed_and_serves_raises_nothing(watch: LabHost) -> None:  # noqa: F811
    """Prometheus has watched the first deploy, and the second run."""
    query = 'count by (alertname) (count_over_time(ALERTS{alertstate="firing", alertname!="OwnWatchdog"}[2h]))'
    assert ask(watch, "query", query=query)["result"] == []


@pytest.mark.usefixtures("receiver")
def test_two_faults_are_delivered(site: LabHost, watch: LabHost) -> None:  # noqa: F811
    """Redis is stopped, and with it no socket can be opened. The team's own rule is there, too."""
    site.run("systemctl stop redis-server")
    try:
        wanted = {"ChannelsRedisDown", "ChannelsProbeFailing", "OwnWatchdog"}
        await_true(lambda: wanted <= set(received(watch)), "all of them are delivered")
    finally:
        site.run("systemctl start redis-server")
    found = received(watch)
    assert {each["by"] for each in found.values()} == {"Bearer only the receiver knows it"}
    failing = found["ChannelsProbeFailing"]
    assert failing["labels"]["severity"] == "page" and failing["labels"]["instance"] == "day-two-site"
    assert failing["annotations"]["summary"] == "No socket of dashboard can be used on day-two-site"
    assert failing["annotations"]["runbook_url"] == "https://runbooks.test/channels#channelsprobefailing"

    def over() -> bool:
        raised = ask(watch, "alerts")["alerts"]
        return not [one for one in raised if one["labels"]["alertname"] in wanted - {"OwnWatchdog"}]

    await_true(over, "the site works again, and the alerts end")
