"""Texts about a process that does not stay alive."""

from __future__ import annotations

from typing import Any

from ..websocket.symptoms import of_log, telling_line


def unsteady_values(each: dict[str, Any], bundle: dict[str, Any]) -> dict[str, str]:
    """The values for the texts about a process that does not stay alive: what it is, why, and what to do."""
    symptom = of_log(each.get("log", []))
    line = telling_line(each.get("log", []), symptom)
    logs = f"{bundle['app']}-generations logs {bundle['generation']}"
    said = f" Its last words: {line[:300]}" if line else ""
    return {"what": each["what"], "likely": symptom.likely + said, "fix": symptom.fix, "logs": logs}


def unsteady_lines(told: list[dict[str, Any]]) -> list[str]:
    """What is wrong with some processes, and the latest messages of the first of them."""
    return [*(each["what"] for each in told), *(f"it said: {line[:300]}" for line in told[0].get("log", [])[-4:])]
