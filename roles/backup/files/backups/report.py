"""How the last backup went: for the next one, for people, and for Prometheus."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from .settings import Settings

METRICS = Path("/var/lib/prometheus/node-exporter")
HELP = {
    "last_success_timestamp_seconds": "When the last complete backup was made.",
    "last_run_timestamp_seconds": "When a backup was last tried.",
    "last_exit_code": "How that ended: 0 if the backup is complete.",
    "duration_seconds": "How long it took.",
    "size_bytes": "How much was backed up.",
    "added_bytes": "How much of it was new to the repository.",
    "last_drill_timestamp_seconds": "When a backup was last restored on trial and found right.",
}


def read(settings: Settings) -> dict[str, Any]:
    """Return what is known of earlier backups; empty if nothing is."""
    try:
        return dict(json.loads((settings.state / "state.json").read_text()))
    except (OSError, ValueError):
        return {}


def note(settings: Settings, **changes: Any) -> None:
    """Note something, and let Prometheus know if its node exporter reads files here."""
    state = {**read(settings), **changes}
    put(settings.state / "state.json", json.dumps(state, indent=1) + "\n", 0o600)
    if METRICS.is_dir():
        put(METRICS / f"channels_backup_{settings.app}.prom", metrics(settings.app, state), 0o644)


def metrics(app: str, state: dict[str, Any]) -> str:
    """Return the state in Prometheus's format."""
    lines = []
    for name, text in HELP.items():
        if name in state:
            metric = f"channels_backup_{name}"
            lines += [f"# HELP {metric} {text}", f"# TYPE {metric} gauge", f'{metric}{{app="{app}"}} {state[name]}']
    return "\n".join([*lines, ""])


def put(path: Path, text: str, mode: int) -> None:
    """Write a file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    os.replace(part, path)


def ago(seconds: float) -> str:
    """Return how long ago a moment was, for people."""
    passed = max(0, int(time.time() - seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if passed >= 2 * size:
            return f"{passed // size} {unit} ago"
    return f"{passed} s ago"


def size(number: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
