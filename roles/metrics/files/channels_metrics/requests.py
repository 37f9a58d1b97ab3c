"""Handshakes by status and by how they ended, from nginx's access log: only what is new since the last look is read."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

# A line says more, and nothing else of it is needed. All stand in each line (templates/nginx/access_log.conf.j2).
STATUS = re.compile(rb'"status":(\d+)')
END = re.compile(rb'"end":"(\w+)"')  # not empty: docs/logs.md has them
WEBSOCKET = b'"upgrade":"websocket"'
PROBE = b'"agent":"channels-metrics"'  # the probe's own say nothing of anybody's
CHUNK = 1 << 20  # bytes that are read at once
MOST = 64  # chunks that are read in one look; a log that grows faster is sampled
# What each counter begins with, so that the first refusal after a start counts as one.
USUAL = ("101", "403", "500", "502", "503", "504")
USUAL_ENDS = ("closed", "cut", "unreachable", "broken", "timeout", "client_left")


class Requests:
    """The handshakes in one log. They are counted from the moment at which this begins."""

    def __init__(self, path: Path) -> None:
        """Take the log's path."""
        self.path, self.counts = path, Counter(dict.fromkeys(USUAL, 0))
        self.ends = Counter(dict.fromkeys(USUAL_ENDS, 0))
        self._inode, self._offset, self._rest = 0, 0, b""
        if path.exists():
            status = path.stat()
            self._inode, self._offset = status.st_ino, status.st_size

    def look(self) -> Counter[str]:
        """Read what is new, also of a log that was rotated meanwhile; return the counts."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return self.counts
        if self._inode and status.st_ino != self._inode:
            old = self.path.with_name(f"{self.path.name}.1")
            if old.exists() and old.stat().st_ino == self._inode:
                self._read(old)
        if status.st_ino != self._inode or status.st_size < self._offset:
            self._inode, self._offset, self._rest = status.st_ino, 0, b""
        self._read(self.path)
        return self.counts

    def _read(self, path: Path) -> None:
        """Count the whole lines of a file from where the last look ended."""
        with path.open("rb") as file:
            file.seek(self._offset)
            for _ in range(MOST):
                chunk = file.read(CHUNK)
                if not chunk:
                    return
                self._offset += len(chunk)
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                for line in lines:
                    if WEBSOCKET in line and PROBE not in line and (status := STATUS.search(line)):
                        self.counts[status[1].decode()] += 1
                        if end := END.search(line):
                            self.ends[end[1].decode()] += 1
            self._offset, self._rest = file.seek(0, os.SEEK_END), b""
