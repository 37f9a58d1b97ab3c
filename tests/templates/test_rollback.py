"""Which generation a rollback takes: the one before, or the one that is named, by either name of the variable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from ansible import context
from ansible.module_utils.common.collections import ImmutableDict
from ansible.template import trust_as_template
from ansible.utils.vars import load_extra_vars
from conftest import ROOT

ROWS = [
    {"generation": "c-1", "release": "c", "version": "v3", "state": "live"},
    {"generation": "b-1", "release": "b", "version": "v2", "state": "kept"},
    {"generation": "a-1", "release": "a", "version": "v1", "state": "kept"},
    {"generation": "d-1", "release": "d", "version": "v4", "state": "new"},
]
NOTICE = "Warn of the old name of a variable"


@pytest.fixture
def asked(evaluate: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[str], bool]]:
    """Return a function that gives what could be gone back to, and whether there is a notice of the old name."""

    def asked_for(inventory: str = "main", **given: str) -> tuple[list[str], bool]:
        extra = tuple(f"{name}={value}" for name, value in given.items())
        monkeypatch.delattr(load_extra_vars, "extra_vars", raising=False)  # what it has read before
        monkeypatch.setattr(context, "CLIARGS", ImmutableDict(extra_vars=extra))
        variables: dict[str, Any] = {"release_version": inventory, **given, "_asgi_rows": ROWS}
        found = yaml.safe_load(evaluate("_asgi_candidates", **variables))
        tasks = yaml.safe_load((ROOT / "roles" / "asgi" / "tasks" / "rollback.yml").read_text())
        (when,) = (task["when"] for task in tasks if task["name"] == NOTICE)
        notice = evaluate("notice", notice=trust_as_template(f"{{{{ {when} }}}}"), **variables)
        return [row["generation"] for row in found], notice == "True"

    return asked_for


@pytest.mark.parametrize(
    ("given", "found", "notice"),
    [
        ({}, ["b-1", "a-1"], False),
        ({"rollback_to": "v1"}, ["a-1"], False),
        ({"rollback_to": "a"}, ["a-1"], False),
        ({"rollback_to": "v3"}, [], False),
        ({"release_version": "v1"}, ["a-1"], True),
        ({"release_version": "v1", "rollback_to": "v2"}, ["b-1"], False),
    ],
    ids=lambda value: " ".join(f"{name}={one}" for name, one in value.items()) if isinstance(value, dict) else None,
)
def test_rollback_takes_what_is_named(
    asked: Callable[..., tuple[list[str], bool]], given: dict[str, str], found: list[str], notice: bool
) -> None:
    assert asked(**given) == (found, notice)


def test_version_of_the_inventory_names_nothing_to_go_back_to(asked: Callable[..., tuple[list[str], bool]]) -> None:
    """It is what deploys bring."""
    assert asked(inventory="v1") == (["b-1", "a-1"], False)
