"""What preflight says of a drill before anything is broken."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.drill import drill_confirm, drill_parts
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import HostView


def faults(check: Any, **variables: Any) -> list[str]:
    host = HostView("app-1", {"release_app": "shop", **variables}, {}, Templar())
    return [f"{one.variable} {one.fault}" for one in check(host)]


@pytest.mark.parametrize("word", ["", "yes", "production", "Production"])
def test_words_that_answer(word: str) -> None:
    assert faults(drill_confirm, drill_confirm=word) == []


def test_another_word_is_refused() -> None:
    assert faults(drill_confirm, drill_confirm="sure") == ['drill_confirm "sure" is neither yes nor production']


@pytest.mark.parametrize(
    ("parts", "groups", "missing"),
    [
        ([], {"app": ["a"]}, ""),
        (["process", "nginx"], {"app": ["a"]}, ""),
        (["redis", "database", "edge"], {"app": ["a"]}, "redis, database and edge"),
        (["edge"], {"app": ["a"], "proxy": ["e"]}, ""),
        (["host"], {"app": ["a"], "proxy": ["e"]}, "host"),
        (["host"], {"app": ["a", "b"], "proxy": []}, "host"),
        (["host", "database"], {"app": ["a", "b"], "proxy": ["e"], "database": ["d"]}, ""),
    ],
)
def test_parts_have_to_be_there(parts: list[str], groups: dict[str, list[str]], missing: str) -> None:
    told = f"drill_parts names {missing}, which this inventory does not have"
    assert faults(drill_parts, drill_parts=parts, groups=groups) == ([told] if missing else [])
