"""How large logs may grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"log_limits": log_limits}


def log_limits(megabytes: Any, init: str) -> list[dict[str, Any]]:
    """Entries for file_set that have logrotate rotate files of a size each hour; always three."""
    timer = "/etc/systemd/system/logrotate.timer.d"
    hourly = "# Ansible managed\n# A log that grows fast is rotated before its day is over.\n"
    # Sorts before all others: settings outside of braces apply to the files that are read afterwards.
    limits = {
        "path": "/etc/logrotate.d/00-channels",
        "content": f"# Ansible managed\n# No log fills the disk within a day.\nmaxsize {int(megabytes)}M\n",
    }
    if init != "systemd":
        cron = {"path": "/etc/cron.hourly/channels-logrotate", "link": "/etc/cron.daily/logrotate"}
        return [limits, {"path": "/etc/cron.hourly", "directory": True}, cron]
    drop_in = {"path": f"{timer}/channels.conf", "content": f"{hourly}[Timer]\nOnCalendar=hourly\nAccuracySec=1min\n"}
    return [limits, {"path": timer, "directory": True}, drop_in]
