"""Moments: as people write them, as PostgreSQL reads them, and as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from .settings import Failed

MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?) ?(Z|UTC|[+-]\d\d(?::?\d\d)?)?")


def parsed(text: str) -> float:
    """Return a moment in seconds since 1970; in UTC unless it names another zone. Raise Failed if it is none."""
    found = MOMENT.fullmatch(text.strip())
    zone = (found[3] if found else "") or "+00"
    zone = "+00:00" if zone in ("Z", "UTC") else f"{zone[:3]}:{zone[3:].strip(':') or '00'}"
    try:
        return datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}" if found else "").timestamp()
    except ValueError:
        raise Failed(f'"{text}" is no moment: write one such as 2026-11-30 14:00:00+00, or latest') from None


def target(seconds: float) -> str:
    """Return a moment as PostgreSQL reads it, whatever its own zone is."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S+00")


def shown(seconds: float) -> str:
    """Return a moment for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
