"""Generations and history as a table for a person."""

from __future__ import annotations

from typing import Any

from .history import history_fault
from .times import ago, clock
from .unsteady import unsteady


def table(rows: list[dict[str, Any]], events: list[dict[str, Any]]) -> str:
    """Return generations and history for a person."""
    lines = [f"{'GENERATION':<21}{'VERSION':<16}{'STATE':<10}{'SERVED':<10}{'PROCESSES':<11}{'SOCKETS':<9}MEMORY"]
    for row in rows:
        if "fault" in row:
            lines.append(f"{row['generation']:<37}broken    {row['fault']}")
            continue
        age = ago(row["served"]) if row["served"] else "never"
        memory = f"{row['memory'] / 2**20:.0f} MB" if row["memory"] else "-"
        shown = f"{row['running']}/{len(row['instances'])}"
        shown += f" +{row['working']}/{row['expected']}" if row["expected"] else ""
        until = f"  until {clock(row['deadline'])}" if row["deadline"] else ""
        lines.append(
            f"{row['generation']:<21}{row['version'][:15]:<16}{row['state']:<10}{age:<10}{shown:<11}"
            f"{row['connections']:<9}{memory}{until}"
        )
    for one in (one for row in rows if row["state"] == "live" for one in unsteady(row)):
        lines += ["", f"! {one['what']}. Its last lines:", *(f"    {line}" for line in one["log"] or ["(none)"]), ""]
    for event in events:
        lines.append(
            f"{event['at']}  {event['what']:<10}{event.get('version', '')} ({event.get('generation', '')}) "
            f"by {event.get('who', '?')}: {event.get('result', '')}"
        )
    return "\n".join([*lines, *filter(None, [history_fault()])])
