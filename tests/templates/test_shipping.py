"""What rsyslog sends to a collector, and what it hides; rsyslog itself reads the file where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Render = Callable[..., str]
GIVEN: dict[str, Any] = {
    "group_names": ["app"],
    "logs_target": "logs.example.org:6514",
    "preflight_host": {"init": "systemd", "manager": "systemd"},
}
SUPERVISED = {"preflight_host": {"init": "init", "manager": "supervisor"}}


def rendered(render: Render, **variables: Any) -> str:
    """The file of an app host, with some variables set."""
    return render("logs/shipping.conf.j2", **{**GIVEN, **variables})


def hidden(text: str, line: str) -> str:
    """Do with a line what the file says: rsyslog's expressions (POSIX, extended) mean the same in Python here."""
    steps = re.findall(
        r'\(re_match\(\$\.m, "(.*)"\)\)|re_extract\(\$\.m, "(.*)", 0, ([1-9]), ""\)|^set \$\.m = "(.*)";', text, re.M
    )
    matched, skipped = "", False
    for condition, pattern, group, all_hidden in steps:
        if condition:
            skipped = not re.search(condition.replace('\\"', '"'), line)
            matched = condition
        elif skipped or (pattern and pattern != matched):
            continue
        elif pattern:
            found = re.search(pattern.replace('\\"', '"'), line)
            assert found
            line = line.replace(found[0], found[0].replace(found[int(group)], "[hidden]"))
        else:
            line = all_hidden
    return line


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        ("disconnect: user='alice' code=1006", None),
        ("the token of alice expired", None),
        ("GET /ws/?token=abc123&room=7 403", "GET /ws/?token=[hidden]&room=7 403"),
        ('"query":"token=[hidden]&room=7"', None),
        ("ACCESS_TOKEN=abc123;x", "ACCESS_TOKEN=[hidden];x"),
        ("{'password': 'p4ss w', 'a': 1}", "{'password': '[hidden] w', 'a': 1}"),
        ('{"api-key":"abc"}', '{"api-key":"[hidden]"}'),
        ("a eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.c2ln b", "a [hidden] b"),
        ("Authorization: Bearer abcdefghi.jkl x", "Authorization: [hidden] [hidden] x"),
        ("redis://user:s3cret@h:1/0 amqp://:s3cret@h", "redis://user:[hidden]@h:1/0 amqp://:[hidden]@h"),
        ("https://h:8000/path@x", None),
        (" ".join(f"token={number}x" for number in range(9)), "[hidden: a line with many secrets]"),
    ],
)
def test_line_is_sent_without_its_secrets(render: Render, line: str, sent: str | None) -> None:
    assert hidden(rendered(render), line) == (line if sent is None else sent)


def test_names_are_those_of_the_inventory(render: Render) -> None:
    text = rendered(render, logs_redacted_names=["code"])
    assert hidden(text, "code=1006 token=abc") == "code=[hidden] token=abc"
    assert hidden(rendered(render, logs_redacted_names=[]), "token=abc") == "token=abc"


def test_way_is_encrypted_and_the_collector_proves_itself(render: Render) -> None:
    text = rendered(render, logs_peer="peer.example.org", logs_authority="/ca.pem", logs_queue_mb=77)
    for setting in (
        'target="logs.example.org" port="6514"', 'StreamDriverMode="1" StreamDriverAuthMode="x509/name"',
        'StreamDriverPermittedPeers="peer.example.org"', 'CAFile="/etc/channels-logs/dash-board.pem"',
        'queue.maxDiskSpace="77m"', 'queue.timeoutEnqueue="0"', 'action.resumeRetryCount="-1"',
    ):  # fmt: skip
        assert setting in text
    assert 'PermittedPeers="logs.example.org"' in rendered(render)
    assert 'target="fd00::1" port="601"' in rendered(render, logs_target="[fd00::1]:601")
    assert "StreamDriver" not in rendered(render, logs_target="127.0.0.1:601", logs_tls=False)


def test_sources_are_those_of_the_host(render: Render) -> None:
    def files(**variables: Any) -> list[str]:
        return re.findall(r'imfile" file="(.*?)"', rendered(render, **variables))

    access = "/var/log/nginx/dash-board.access.log"

    def programs(**variables: Any) -> set[str]:
        return set(re.findall(r'programname == "(.*?)"', rendered(render, **variables))) - {"systemd"}

    workers = [{"name": "queue", "command": "x"}]
    units = {f"dash-board-{name}" for name in ("daphne", "uvicorn", "wsgi", "nginx-errors", "drains", "queue")}
    assert files() == [access] and programs(asgi_workers=workers) == units
    supervised = files(**SUPERVISED, logs_files=["/x.log"], asgi_workers=workers)
    assert set(supervised) == {access, "/x.log", *(f"/var/log/supervisor/{unit}*.log" for unit in units)}
    edge = {"group_names": ["proxy"], "logs_programs": ["sshd"]}
    assert files(**edge) == [] and programs(**edge) == {"haproxy", "keepalived", "sshd"}


@pytest.mark.skipif(not shutil.which("rsyslogd"), reason="rsyslog is not installed")
@pytest.mark.parametrize("variables", [SUPERVISED, {**SUPERVISED, "logs_tls": False, "logs_redacted_names": []}])
def test_rsyslog_reads_it(tmp_path: Path, render: Render, variables: dict[str, Any]) -> None:
    (tmp_path / "rsyslog.conf").write_text(rendered(render, **variables))
    done = subprocess.run(
        ["rsyslogd", "-N1", "-f", str(tmp_path / "rsyslog.conf")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
