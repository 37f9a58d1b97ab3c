"""A task that never fails has its result looked at by another one: what went wrong is told, or is an answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_handover import owner, texts
from test_specs import ROLES, opened, tasks


def silent(items: list[dict[str, Any]], others: str) -> list[str]:
    """Names of the tasks that never fail, and whose result neither another task nor the text `others` reads."""
    found = []
    for task in items:
        if task.get("failed_when") is False and "block" not in task:
            rest = others + "".join(yaml.safe_dump(one) for one in items if one is not task and "block" not in one)
            registered = task.get("register")
            if registered is None or not re.search(rf"\b{registered}\b", rest):
                found.append(task["name"])
    return found


@pytest.mark.parametrize("role", ROLES)
def test_nothing_fails_in_silence(role: str) -> None:
    inside = [task for _, task in tasks(role)]
    others = "".join(text for path, text in texts().items() if owner(path) == role and path.parent.name != "tasks")
    names = silent(inside, others)
    assert not names, f"role {role}: {names}: say in failed_when what is no failure, or tell it by the next task"
    assert not [task["name"] for task in inside if task.get("ignore_errors")], "say what is no failure"


def test_silence_is_found(tmp_path: Path) -> None:
    task = {"name": "Ask", "failed_when": False, "register": "__x_asked", "changed_when": "__x_asked.rc == 0"}
    assert silent([task], "") == ["Ask"]
    assert silent([{"name": "Ask", "failed_when": False}], "") == ["Ask"]
    assert silent([task], "_x_fault: '{{ __x_asked.stderr }}'") == []
    assert silent([task, {"name": "Tell", "when": "__x_asked.rc != 0"}], "") == []
    block = {"name": "Both", "block": [task, {"name": "Tell", "when": "__x_asked.rc != 0"}]}
    assert silent(list(opened([block])), "") == []
