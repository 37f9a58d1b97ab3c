"""The backups of a project on this host, as its own tool has noted them (roles/backup/files/backups/report.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

STATES = Path("/var/lib")


def newest(app: str, folder: Path = STATES) -> float | None:
    """When the newest complete backup was made, in seconds since 1970; 0 if none was, None if nothing makes any."""
    try:
        noted: dict[str, Any] = json.loads((folder / f"{app}-backup" / "state.json").read_text())
        return float(noted.get("last_success_timestamp_seconds") or 0)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
