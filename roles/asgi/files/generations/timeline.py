"""What happened to a site, in order of time: what its processes said, what nginx says went wrong, what requests failed.

Requests come from nginx's access log, whose lines are JSON without tokens (templates/nginx/access_log.conf.j2); why
they failed comes from what reads its error log. Standard library only: this runs on hosts.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

END = 4 * 2**20  # bytes at a log's end that are looked at: some 8,000 requests
# A request is shown when it was refused or failed, and a socket when it ended otherwise than by its own end.
FAILED = 400
ORDINARY = ("", "closed")
# Of a day and a time as servers and their projects write them, in the host's own time where none is named.
STAMP = re.compile(
    r"\[?(?P<day>\d{4}[-/]\d\d[-/]\d\d)[ T](?P<time>\d\d:\d\d:\d\d)(?:[.,](?P<part>\d{1,6}))?"
    r"(?P<zone> ?[+-]\d\d:?\d\d|Z)?"
)


class Line(NamedTuple):
    """One line of a log."""

    moment: float  # seconds since the epoch
    source: str  # who said it
    text: str


def of_journal(output: str) -> Iterator[Line]:
    """Give the lines of journalctl's JSON, one object a line (systemd.journal-fields(7))."""
    for entry in output.splitlines():
        fields = json.loads(entry)
        said = fields.get("MESSAGE") or ""
        # Bytes that are no text come as numbers.
        text = said if isinstance(said, str) else bytes(said).decode(errors="replace")
        unit = fields.get("UNIT") or fields.get("_SYSTEMD_UNIT") or fields.get("SYSLOG_IDENTIFIER") or ""
        yield Line(int(fields["__REALTIME_TIMESTAMP"]) / 1e6, str(unit).removesuffix(".service"), text.rstrip())


def stamped(text: str) -> float | None:
    """Return the time that a line begins with; None where it begins with none."""
    if not (found := STAMP.match(text)):
        return None
    zone = (found["zone"] or "").strip().replace("Z", "+00:00")
    try:
        moment = datetime.fromisoformat(f"{found['day'].replace('/', '-')}T{found['time']}{zone}")
    except ValueError:
        return None
    return moment.timestamp() + float(f"0.{found['part'] or 0}")


def of_file(path: Path, lines: int) -> Iterator[Line]:
    """Give the last lines of a log that supervisor writes; a line without a time has that of the one before it."""
    texts = last(path)
    found = [stamped(text) for text in texts]
    # The first ones may go on with what is not shown; the file's own time is the best that is known of one without any.
    moment = next((each for each in found if each is not None), path.stat().st_mtime)
    moments = [moment := each if each is not None else moment for each in found]
    for each, text in list(zip(moments, texts, strict=True))[-lines:]:
        yield Line(each, path.stem, text)


def last(path: Path) -> list[str]:
    """Return the last whole lines of a file; none where there is no such file."""
    try:
        with path.open("rb") as file:
            start = max(0, os.fstat(file.fileno()).st_size - END)
            file.seek(start)
            texts = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return texts[1:] if start else texts


def of_requests(texts: Iterable[str]) -> Iterator[Line]:
    """Give the requests that failed, and the sockets that were cut, of an access log."""
    for text in texts:
        try:
            entry = json.loads(text)
            moment, status, end = float(entry["msec"]), int(entry["status"]), str(entry["end"])
        except (ValueError, KeyError, TypeError):  # a line that was cut, or of another bundle
            continue
        if status < FAILED and end in ORDINARY:
            continue
        query = f"?{entry['query']}" if entry["query"] else ""
        shown = [f"{entry['method']} {entry['path']}{query}", str(status), *([end] if end else [])]
        shown += [f"{name}={entry[key]}" for name, key in (
            ("seconds", "request_time"), ("client", "client"), ("upgrade", "upgrade"), ("origin", "origin"),
            ("upstream", "upstream"), ("connection", "connection"), ("id", "id"),
        ) if entry[key] not in ("", None)]  # fmt: skip
        yield Line(moment, "nginx", " ".join(shown))


def requests(log: Path) -> Iterator[Line]:
    """Give those of a log, and of the one before it, which is as it was for a day after it was put aside."""
    for path in (log.with_name(f"{log.name}.1"), log):
        yield from of_requests(last(path))


def gather(command: list[str], log: Path, lines: int, since: float) -> list[Line]:
    """Return the last lines from a moment on, in order, by a manager's own command for its logs."""
    if command[0] == "journalctl":
        asked = [*command, "--output=json"]
        if since:  # and no number with it, by which journalctl would give the first lines from then on, not the last
            asked = [part for part in asked if not part.startswith("--lines")] + [f"--since=@{since:.6f}"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        said = list(of_journal(done.stdout))
    else:
        files = [Path(part) for part in command if part.startswith("/")]
        said = [line for path in files if path.exists() for line in of_file(path, lines)]
    found = [line for line in (*said, *requests(log)) if line.moment >= since]
    return sorted(found, key=lambda line: line.moment)[-lines:]


def show(command: list[str], log: Path, lines: int, minutes: float) -> None:
    """Print them, each with its time in UTC and with who said it."""
    for line in gather(command, log, lines, time.time() - minutes * 60 if minutes else 0.0):
        moment = datetime.fromtimestamp(line.moment, UTC)
        print(f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} {line.source}: {line.text}")
