"""`meta: end_role` leads to the end of the next role in the list of tasks, so no imported role may come after it.

Ansible (2.19) ends at the first role that is complete. A role imported behind it would be that one, and all that
follows would run, although the file says that it does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_specs import ROLES, ROOT, load

IMPORT_TASKS, IMPORT_ROLE, META = (f"ansible.builtin.{name}" for name in ("import_tasks", "import_role", "meta"))


def in_order(path: Path, items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The tasks of a file and of those that it imports, as Ansible lists them."""
    for task in items:
        if "block" in task:
            yield from in_order(path, task["block"])
        elif IMPORT_TASKS in task:
            named = task[IMPORT_TASKS]
            other = path.parent / (named["file"] if isinstance(named, dict) else named)
            yield from in_order(other, load(other) or [])
        else:
            yield task


def imported_after_an_end(listed: list[dict[str, Any]]) -> list[str]:
    """The names of roles' imports that come after an end_role."""
    ends = [number for number, task in enumerate(listed) if task.get(META) == "end_role"]
    return [task["name"] for task in listed[ends[0] :] if IMPORT_ROLE in task] if ends else []


@pytest.mark.parametrize("role", ROLES)
def test_no_role_is_imported_behind_an_end(role: str) -> None:
    for path in sorted((ROOT / "roles" / role / "tasks").glob("*.yml")):
        names = imported_after_an_end(list(in_order(path, load(path) or [])))
        assert not names, f"{path.relative_to(ROOT)}: {names}: import them before end_role, or include them"


def test_import_behind_an_end_is_found() -> None:
    end, imported = {"name": "End", META: "end_role"}, {"name": "Load", IMPORT_ROLE: {"name": "x"}}
    assert imported_after_an_end([end, imported]) == ["Load"]
    assert imported_after_an_end([imported, end]) == [] == imported_after_an_end([imported])
