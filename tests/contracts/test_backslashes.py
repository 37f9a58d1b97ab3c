r"""Ansible reads `\1` in a template as it stands. Two backslashes, as plain Jinja needs them, would end up in the text.

In a text between double quotes, YAML makes one of two, so what counts is the text that YAML gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("roles/*/*/*.yml"), *ROOT.glob("playbooks/*.yml"), *ROOT.glob("inventories/**/*.yml")])


class Loader(yaml.SafeLoader):
    """Reads any tag as what is behind it."""


Loader.add_multi_constructor("!", lambda loader, tag, node: loader.construct_scalar(node))


def texts(value: Any) -> Iterator[str]:
    """All texts in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def test_groups_of_expressions_have_one_backslash() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {template}"
        for path in FILES
        for text in texts(yaml.load(path.read_text(), Loader))
        for template in re.findall(r"\{\{.*?\}\}|\{%.*?%\}", text, re.DOTALL)
        if re.search(r"\\\\[0-9]", template)
    ]
    assert len(FILES) > 200 and found == []
