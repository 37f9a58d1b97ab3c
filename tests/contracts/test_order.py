"""What a list is made of comes in the order in which it was written: another order would be a change at each run.

Ansible's filters of sets give any order, which differs from run to run (PYTHONHASHSEED).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jinja2 import nodes
from test_text_values import FILES, JINJA, ROOT, expressions

SETS = {"difference", "union", "intersect", "symmetric_difference"}
# What does not ask for an order, or makes one.
INDIFFERENT = {"length", "count", "sort", "max", "min", "sum"}


def unordered(text: str) -> set[str]:
    """Return the filters of sets whose order reaches what an expression gives."""
    found: set[str] = set()

    def visit(node: nodes.Node, asked: bool) -> None:
        if isinstance(node, nodes.Filter):
            asked = asked or node.name in INDIFFERENT
            if node.name in SETS and not asked:
                found.add(node.name)
        tests = {id(one.test) for one in (node,) if isinstance(node, nodes.If | nodes.CondExpr)}
        whole = isinstance(node, nodes.Test | nodes.Not | nodes.Compare)
        for child in node.iter_child_nodes():
            visit(child, asked or whole or id(child) in tests)

    visit(JINJA.parse(text), False)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_order_is_that_of_the_inventory(path: Path) -> None:
    texts = [path.read_text()] if path.suffix == ".j2" else expressions(yaml.safe_load(path.read_text()))
    for text in texts:
        names = unordered(text)
        assert not names, f"{', '.join(sorted(names))} gives no order; use reject('in', …), + and unique: {text}"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{{ a | difference(b) }}", {"difference"}),
        ("{% for x in a | union(b) %}{% endfor %}", {"union"}),
        ("{{ a | difference(b) | sort | join(' ') }}", set()),
        ("{{ c if a | intersect(b) else d }}", set()),
        ("{{ a | intersect(b) if c else d }}", {"intersect"}),
        ("{% if a | difference(b) | length > 0 %}{% endif %}", set()),
    ],
)
def test_order_is_looked_at(text: str, names: set[str]) -> None:
    assert unordered(text) == names
