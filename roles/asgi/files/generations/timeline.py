"""What happened to a site, in order of time: what its processes logged, nginx's errors, and failed requests.

Requests come from nginx's access log, whose lines are JSON without tokens (templates/nginx/access_log.conf.j2). Why
they failed comes from the reader of its error log. Standard library only: this runs on hosts.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from .choice import Choice, Line, chosen

LATE = 2.0  # seconds by which a line may come after a later one
MANY = 20_000  # lines that are read where only some are wanted
END = 4 * 2**20  # bytes at a log's end that are read: some 8,000 requests
# A request is shown if it was refused or failed, a socket if it did not end normally.
FAILED = 400
ORDINARY = ("", "closed")
# A date and a time as servers and projects write them, in the host's own time if no zone is given.
STAMP = re.compile(
    r"\[?(?P<day>\d{4}[-/]\d\d[-/]\d\d)[ T](?P<time>\d\d:\d\d:\d\d)(?:[.,](?P<part>\d{1,6}))?"
    r"(?P<zone> ?[+-]\d\d:?\d\d|Z)?"
)


def of_journal(output: str) -> Iterator[Line]:
    """Yield the lines of journalctl's JSON, one object for each line (systemd.journal-fields(7))."""
    for entry in output.splitlines():
        fields = json.loads(entry)
        said = fields.get("MESSAGE") or ""
        # Bytes that are not text come as numbers.
        text = said if isinstance(said, str) else bytes(said).decode(errors="replace")
        unit = fields.get("UNIT") or fields.get("_SYSTEMD_UNIT") or fields.get("SYSLOG_IDENTIFIER") or ""
        yield Line(int(fields["__REALTIME_TIMESTAMP"]) / 1e6, str(unit).removesuffix(".service"), text.rstrip())


def stamped(text: str) -> float | None:
    """Return the time at the start of a line; None if there is none."""
    if not (found := STAMP.match(text)):
        return None
    zone = (found["zone"] or "").strip().replace("Z", "+00:00")
    try:
        moment = datetime.fromisoformat(f"{found['day'].replace('/', '-')}T{found['time']}{zone}")
    except ValueError:
        return None
    return moment.timestamp() + float(f"0.{found['part'] or 0}")


def of_file(path: Path, lines: int) -> Iterator[Line]:
    """Yield the last lines of a log that supervisor writes; a line without a time gets that of the line before it."""
    texts = last(path)
    found = [stamped(text) for text in texts]
    # The first lines may continue one that isn't shown; if no line has a time, the file's own is the best guess.
    moment = next((each for each in found if each is not None), path.stat().st_mtime)
    moments = [moment := each if each is not None else moment for each in found]
    for each, text in list(zip(moments, texts, strict=True))[-lines:]:
        yield Line(each, path.stem, text)


def last(path: Path) -> list[str]:
    """Return the last whole lines of a file; empty if there is no such file."""
    try:
        with path.open("rb") as file:
            start = max(0, os.fstat(file.fileno()).st_size - END)
            file.seek(start)
            texts = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return texts[1:] if start else texts


def of_requests(texts: Iterable[str], wanted: str = "") -> Iterator[Line]:
    """Yield the failed requests and the cut sockets of an access log, and the request with an ID that is wanted."""
    for text in texts:
        try:
            entry = json.loads(text)
            moment, status, end = float(entry["msec"]), int(entry["status"]), str(entry["end"])
        except (ValueError, KeyError, TypeError):  # a truncated line, or one of another bundle
            continue
        if status < FAILED and end in ORDINARY and (not wanted or entry.get("id") != wanted):
            continue
        query = f"?{entry['query']}" if entry["query"] else ""
        shown = [f"{entry['method']} {entry['path']}{query}", str(status), *([end] if end else [])]
        shown += [f"{name}={entry[key]}" for name, key in (
            ("seconds", "request_time"), ("client", "client"), ("upgrade", "upgrade"), ("origin", "origin"),
            ("upstream", "upstream"), ("connection", "connection"), ("id", "id"),
        ) if entry[key] not in ("", None)]  # fmt: skip
        yield Line(moment, "nginx", " ".join(shown))


def requests(log: Path, wanted: str = "") -> Iterator[Line]:
    """Yield those of a log, and of the one before it, which stays uncompressed for a day after it was rotated."""
    for path in (log.with_name(f"{log.name}.1"), log):
        yield from of_requests(last(path), wanted)


def gather(command: list[str], log: Path, lines: int, choice: Choice) -> list[Line]:
    """Return the last lines that are wanted, in order, from a manager's own command for its logs."""
    many = max(lines, MANY) if choice.narrow else lines
    if command[0] == "journalctl":
        asked = [*command, "--output=json"]
        if choice.since or choice.narrow:
            # No number beside a moment: with one, journalctl would give the first lines since then, not the last.
            asked = [part for part in asked if not part.startswith("--lines")]
            asked += [f"--since=@{choice.since:.6f}"] if choice.since else [f"--lines={many}"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        said = list(of_journal(done.stdout))
    else:
        files = [Path(part) for part in command if part.startswith("/")]
        said = [line for path in files if path.exists() for line in of_file(path, many)]
    every = sorted((*said, *requests(log, choice.request)), key=lambda line: line.moment)
    return list(chosen(every, choice))[-lines:]


def show(found: Iterable[Line]) -> None:
    """Print lines, each with its time in UTC and who logged it."""
    for line in found:
        moment = datetime.fromtimestamp(line.moment, UTC)
        print(f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} {line.source}: {line.text}")


def follow(look: Callable[[Choice], list[Line]], choice: Choice, seconds: float = math.inf) -> Iterator[list[Line]]:
    """Yield lines as they come, a look each second; end after so many seconds, or once something has come by then."""
    begun, shown = time.monotonic(), set[Line]()
    while True:
        found = [line for line in look(choice) if line not in shown]
        if found:
            yield found
        # Lines of one moment may come in two looks, and a log may be a little late.
        choice = choice._replace(since=max(choice.since, max((line.moment for line in found), default=0.0) - LATE))
        shown = {line for line in (*shown, *found) if line.moment >= choice.since}
        if time.monotonic() - begun > seconds or (found and seconds < math.inf):
            return
        time.sleep(1)
