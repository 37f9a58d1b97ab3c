"""What happened to a site, put in order from logs of several kinds."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles" / "asgi" / "files"))
from generations import choice, timeline
from generations.choice import Choice, Line
from generations.locks import Refused

ALL = Choice()
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
    shown = timeline.gather(command, log, 50, ALL)
    assert [line.text.split(" seconds=")[0] for line in shown] == [
        "2026-11-29 12:00:01 failed", "Traceback:", "  x", "GET /ws/ 500", "no time at first",
        "2026-11-29 12:00:05 other", "2026-11-29 12:00:09 later",
    ]  # fmt: skip
    assert [line.text for line in timeline.gather(command, log, 2, ALL)] == [line.text for line in shown[-2:]]
    assert [line.moment - NOON for line in timeline.gather(command, log, 50, Choice(since=NOON + 5))] == [5, 5, 9]


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
        shown = timeline.gather(["journalctl", "--no-pager", "--lines=9"], log, 9, Choice(since=NOON))
        # A number beside a moment would give the first lines from then on.
        assert (tmp_path / "asked").read_text().split() == ["--no-pager", "--output=json", f"--since=@{NOON:.6f}"]
        timeline.gather(["journalctl", "--no-pager", "--lines=9"], log, 9, ALL)
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
    timeline.show(timeline.gather(["tail"], log, 50, Choice(since=now - 300)))
    (line,) = capsys.readouterr().out.splitlines()
    assert "nginx: GET /ws/ 502 broken " in line and line.startswith(
        time.strftime("%Y-%m-%d %H:%M:", time.gmtime(now - 30))
    )
    timeline.show(timeline.gather(["tail"], log, 50, ALL))
    assert len(capsys.readouterr().out.splitlines()) == 2


# --- only what somebody wants to see

DAPHNE, OTHER = "site-daphne@a1-1", "site-daphne@b2-1"
STORY = [
    Line(1, DAPHNE, "12:00:01 INFO connect: user=1"),
    Line(2, DAPHNE, "12:00:02 ERROR asgi: request=abc123 failed"),
    Line(2, DAPHNE, "Traceback (most recent call last):"),
    Line(2, OTHER, "12:00:02 DEBUG x"),
    Line(2.5, DAPHNE, "ValueError: x"),
    Line(3, "site-nginx-errors", "[error] 3004*205 connect() failed, upstream: unix:/run/site/b2-1.sock"),
    Line(3, "nginx", "GET /ws/ 502 unreachable seconds=0.001 connection=3004*205 id=abc123"),
    Line(4, "nginx", "GET /ws/ 101 closed seconds=9 connection=3004*206 id=def456"),
    Line(5, OTHER, "12:00:05 WARN slow"),
    Line(6, "site-drain-a1", "closed 3 sockets"),
]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Choice(), range(10)),
        (Choice(since=2.5, until=4), [4, 5, 6, 7]),
        (Choice(level="error"), [1, 2, 4, 5, 6]),
        (Choice(level="warning"), [1, 2, 4, 5, 6, 8]),
        (Choice(level="info"), [0, 1, 2, 4, 5, 6, 7, 8, 9]),
        (Choice(generation="a1"), [0, 1, 2, 4, 9]),
        (Choice(generation="b2"), [3, 5, 8]),
        (Choice(request="abc123"), [1, 2, 4, 5, 6]),
        (Choice(request="def456"), [7]),
        (Choice(request="gone"), []),
        (Choice(request="abc123", level="error", since=3), [5, 6]),
    ],
)
def test_lines_are_chosen(wanted: Choice, numbers: list[int]) -> None:
    """What belongs to a line, such as its traceback, comes with it."""
    assert [STORY.index(line) for line in choice.chosen(STORY, wanted)] == list(numbers)


def test_level_is_no_word_in_a_sentence() -> None:
    assert choice.level_of(Line(0, DAPHNE, "there was no error, and no warning")) is None
    assert choice.level_of(Line(0, DAPHNE, "[2026-11-30 12:00:00 +0000] [7] [info] x")) == 1
    assert choice.level_of(Line(0, "nginx", "GET / 101 cut seconds=1")) == 2


def test_moments_are_in_utc_unless_they_say_so() -> None:
    assert choice.moment_of("2026-11-30T12:00") == choice.moment_of("2026-11-30 14:00:00+02:00")
    with pytest.raises(Refused, match="is no time"):
        choice.moment_of("yesterday")


def test_request_is_shown_whatever_became_of_it(tmp_path: Path) -> None:
    """Others only if they failed."""
    log = tmp_path / "access.log"
    log.write_text(request(NOON, 101, "closed", id="wanted") + "\n" + request(NOON + 1, 101, "closed") + "\n")
    (line,) = timeline.gather(["tail"], log, 50, Choice(request="wanted"))
    assert "id=wanted" in line.text
    assert timeline.gather(["tail"], log, 50, ALL) == []


def test_lines_are_followed_and_shown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that comes late, and two of the same moment."""
    monkeypatch.setattr(timeline.time, "sleep", lambda _: None)
    looks = [STORY[:2], STORY[:2], [*STORY[:5]], STORY[5:6], []]
    asked: list[float] = []

    def look(wanted: Choice) -> list[Line]:
        asked.append(wanted.since)
        return [line for line in (looks.pop(0) if looks else []) if line.moment >= wanted.since]

    came = timeline.follow(look, ALL)
    assert [next(came), next(came), next(came)] == [STORY[:2], STORY[2:5], STORY[5:6]]
    assert asked[:3] == [0.0, 0.0, 0.0] and asked[3] == 0.5
    looks[:] = [[], STORY[:1]]
    assert list(timeline.follow(look, ALL, 60)) == [STORY[:1]], "a playbook gets what has come, and goes on"
    assert list(timeline.follow(look, ALL, 0)) == []
