"""What a proof or an examination mentions at its end, though no socket depends on it: monitoring and backups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: How much later than its schedule says a backup may come, as a part of the longest time between two: 36 hours for one
#: that is made each day, as for the alert.
PATIENCE = 1.5
DAY = 86400


def notices(given: Mapping[str, Any], backup: float | None, now: float) -> list[str]:
    """Return lines for people; none if `given` is empty.

    `given` is what the inventory says: the `app`, whether the site is `watched`, its backups' `times` (empty without
    backups), and whether to speak for the whole `site` or for this host alone. `backup` is when this host's newest one
    was made, 0 for never, None if nobody knows.
    """
    if not given:
        return []
    told = []
    if given["site"] and not given["watched"]:
        told.append("Nothing watches this site. Put a host into group monitoring: docs/monitoring.md")
    if not given["times"]:
        if given["site"]:
            told.append("No backup is set up. Write backup_repository: docs/backup.md")
    elif backup == 0:
        told.append("No backup of this host has been made yet. Make one: ansible-playbook playbooks/backup.yml")
    elif backup and now - backup > PATIENCE * longest(given["times"]):
        told.append(
            f"The newest backup of this host is {span(now - backup)} old, and one is due every "
            f"{span(longest(given['times']))}. See why: {given['app']}-backup status, on the host"
        )
    return [f"note {line}" for line in told]


def longest(times: Sequence[str]) -> int:
    """The longest time between two moments of a day, in seconds."""
    moments = sorted({60 * (60 * int(hours) + int(minutes)) for hours, minutes in (each.split(":") for each in times)})
    following = [*moments[1:], moments[0] + DAY]
    return max(later - earlier for earlier, later in zip(moments, following, strict=True))


def span(seconds: float) -> str:
    """A number of seconds for people."""
    for size, unit in ((DAY, "days"), (3600, "hours")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 60:.0f} minutes"
