"""What happened to a site, put in order from logs of several kinds."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles" / "asgi" / "files"))
from generations import timeline

NOON = datetime(2026, 11, 29, 12, 0, 0).timestamp()


def request(moment: float, status: int, end: str = "", **fields: object) -> str:
    """A line of nginx's access log."""
    entry = {
        "msec": moment, "id": "abc123", "client": "203.0.113.9", "method": "GET", "path": "/ws/", "query": "",
        "status": status, "end": end, "request_time": 0.004, "upstream": "", "upgrade": "", "origin": "",
        "connection": "12*7",
    }  # fmt: skip
    return json.dumps(entry | fields)


def test_requests_that_failed_are_shown(tmp_path: Path) -> None:
    log = tmp_path / "site.access.log"
    log.with_name("site.access.log.1").write_text(request(NOON - 90, 403, upgrade="websocket") + "\n")
    lines = [
        request(NOON, 200),
        request(NOON + 1, 101, "closed"),
        request(NOON + 2, 101, "cut"),
        request(NOON + 3, 502, "unreachable", query="token=[hidden]", upstream="unix:/run/site/1.sock"),
        "{half a li",
        '{"msec": "x"}',
        "[]",
    ]
    log.write_text("\n".join(lines) + "\n")
    shown = list(timeline.requests(log))
    assert [(line.moment - NOON, line.source) for line in shown] == [(-90, "nginx"), (2, "nginx"), (3, "nginx")]
    assert shown[0].text == (
        "GET /ws/ 403 seconds=0.004 client=203.0.113.9 upgrade=websocket connection=12*7 id=abc123"
    )
    assert shown[1].text.startswith("GET /ws/ 101 cut ")
    assert (
        shown[2].text.startswith("GET /ws/?token=[hidden] 502 unreachable ")
        and "unix:/run/site/1.sock" in shown[2].text
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-29 12:00:01,250 INFO Starting server", 1.25),
        ("2026/11/29 12:00:02 [error] 7*1 connect() failed", 2),
        ("[2026-11-29 12:00:03] x", 3),
        ("Traceback (most recent call last):", None),
        ("2026-13-29 12:00:01 no such month", None),
        ("at 2026-11-29 12:00:01", None),
    ],
)
def test_time_is_what_a_line_begins_with(text: str, seconds: float | None) -> None:
    found = timeline.stamped(text)
    assert (found if found is None else found - NOON) == seconds


def test_time_zone_is_taken_where_it_is_named() -> None:
    """gunicorn names it."""
    assert timeline.stamped("[2026-11-29 12:00:00 +0000] [7] [INFO] x") == timeline.stamped(
        "2026-11-29T14:00:00+02:00 x"
    )
    assert timeline.stamped("2026-11-29 12:00:00Z x") == timeline.stamped("[2026-11-29 12:00:00 +0000] x")


def test_lines_without_a_time_stay_with_those_that_they_go_on_from(tmp_path: Path) -> None:
    first, second, log = tmp_path / "a.log", tmp_path / "b.log", tmp_path / "access.log"
    first.write_text("2026-11-29 12:00:01 failed\nTraceback:\n  x\n2026-11-29 12:00:09 later\n")
    second.write_text("no time at first\n2026-11-29 12:00:05 other\n")
    log.write_text(request(NOON + 4, 500) + "\n")
    command = ["tail", "--lines=50", str(first), str(second), str(tmp_path / "gone.log")]
    shown = timeline.gather(command, log, 50, 0.0)
    assert [line.text.split(" seconds=")[0] for line in shown] == [
        "2026-11-29 12:00:01 failed", "Traceback:", "  x", "GET /ws/ 500", "no time at first",
        "2026-11-29 12:00:05 other", "2026-11-29 12:00:09 later",
    ]  # fmt: skip
    assert [line.text for line in timeline.gather(command, log, 2, 0.0)] == [line.text for line in shown[-2:]]
    assert [line.moment - NOON for line in timeline.gather(command, log, 50, NOON + 5)] == [5, 5, 9]


def test_journal_is_read(tmp_path: Path) -> None:
    """Its lines in order with the requests, from a moment on that journalctl is told."""
    entries = [
        {"__REALTIME_TIMESTAMP": f"{int((NOON + 1) * 1e6)}", "MESSAGE": "ready", "_SYSTEMD_UNIT": "daphne@a-1.service"},
        {"__REALTIME_TIMESTAMP": f"{int((NOON + 3) * 1e6)}", "MESSAGE": [104, 105, 255], "_SYSTEMD_UNIT": "x.service"},
        {"__REALTIME_TIMESTAMP": f"{int((NOON + 4) * 1e6)}", "MESSAGE": None, "UNIT": "site-nginx-errors.service",
         "_SYSTEMD_UNIT": "init.scope"},
    ]  # fmt: skip
    program = tmp_path / "journalctl"
    told = "\n".join(map(json.dumps, entries))
    program.write_text(f"#!/bin/sh\necho \"$@\" >{tmp_path}/asked\ncat <<'END'\n{told}\nEND\n")
    program.chmod(0o755)
    log = tmp_path / "access.log"
    log.write_text(request(NOON + 2, 403) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        shown = timeline.gather(["journalctl", "--no-pager", "--lines=9"], log, 9, NOON)
        # A number beside a moment would give the first lines from then on.
        assert (tmp_path / "asked").read_text().split() == ["--no-pager", "--output=json", f"--since=@{NOON:.6f}"]
        timeline.gather(["journalctl", "--no-pager", "--lines=9"], log, 9, 0.0)
    assert (tmp_path / "asked").read_text().split() == ["--no-pager", "--lines=9", "--output=json"]
    assert [(line.moment - NOON, line.source, line.text[:5]) for line in shown] == [
        (1, "daphne@a-1", "ready"), (2, "nginx", "GET /"), (3, "x", "hi\ufffd"), (4, "site-nginx-errors", ""),
    ]  # fmt: skip


def test_end_of_a_large_log_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "END", 25)
    log = tmp_path / "x.log"
    log.write_text("".join(f"line {number:04d}\n" for number in range(100)))
    assert timeline.last(log) == ["line 0098", "line 0099"]


def test_it_is_printed_with_its_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "access.log"
    now = time.time()
    log.write_text(request(now - 600, 404) + "\n" + request(now - 30, 502, "broken") + "\n")
    timeline.show(["tail"], log, 50, 5.0)
    (line,) = capsys.readouterr().out.splitlines()
    assert "nginx: GET /ws/ 502 broken " in line and line.startswith(
        time.strftime("%Y-%m-%d %H:%M:", time.gmtime(now - 30))
    )
    timeline.show(["tail"], log, 50, 0.0)
    assert len(capsys.readouterr().out.splitlines()) == 2
