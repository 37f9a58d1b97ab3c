"""Times as a person reads them."""

from __future__ import annotations

import time


def ago(moment: float) -> str:
    """Return how long ago a moment was, in at most two figures."""
    return span(time.time() - moment)


def span(seconds: float) -> str:
    """Return a time span in at most two figures."""
    seconds = max(0, int(seconds))  # the clock may have been set back
    for size, letter, lesser, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            return f"{seconds // size}{letter} {seconds % size // lesser}{small}"
    return f"{seconds}s"


def clock(moment: float) -> str:
    """Return a moment's time of day."""
    return time.strftime("%H:%M:%S UTC", time.gmtime(moment))
