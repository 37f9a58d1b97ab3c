"""The certificate: how long it still lasts, and whether a new one will come."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator
from typing import Any

from ...certificates.state import TIMER, ends_soon, faults, renewed_by
from ..case import Case, Finding


def certificate(case: Case) -> Iterator[Finding]:
    """The certificate that this bundle has brought: whether nginx serves it, and whether a new one will come."""
    if state := case.certificate:
        now = case.evidence.get("now") or time.time()
        days, systemd = int((state["ends"] - now) // 86400), case.host.get("manager") == "systemd"
        on = f"systemctl enable --now {TIMER}.timer" if systemd else "service cron start"
        for code, seen in faults(state, now):
            yield case.find(code, seen, days=days, renew=renewed_by(state), on=on)


def rest(case: Case, shown: dict[str, Any]) -> float | None:
    """The seconds that a certificate has left, if they are few. Clients renew when a third of its life is left.

    Some certificates live for only six days.
    """
    ends, began = _moment(shown.get("expires", "")), _moment(shown.get("since", ""))
    left = ends - (case.evidence.get("now") or time.time()) if ends else 0.0
    return left if ends and ends_soon(began, ends, ends - left) else None


def _moment(text: str) -> float:
    """A time as a certificate has it, in seconds since the epoch; 0 for none."""
    try:
        return calendar.timegm(time.strptime(text, "%b %d %H:%M:%S %Y %Z"))
    except ValueError:
        return 0
