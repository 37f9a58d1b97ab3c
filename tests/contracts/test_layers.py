"""Rooms of plugins/module_utils import downwards only, as docs/architecture.md draws them."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UTILS = ROOT / "plugins" / "module_utils"
DRAWN = (ROOT / "docs" / "architecture.md").read_text()
LEVELS = {room: int(level) for level, room in re.findall(r"^\| (\d) \| `(\w+)/` \|", DRAWN, re.MULTILINE)}
ARROWS = {
    (source, target)
    for source, targets in re.findall(r"^  (\w+) --> (.*)$", DRAWN, re.MULTILINE)
    for target in targets.split(" & ")
}


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield the modules of ours that a module imports when it runs, as parts of their paths below module_utils."""
    tree = ast.parse(path.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    here = path.relative_to(UTILS).parts
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node not in for_types:
            base = (*here[: len(here) - node.level], *(node.module or "").split("."))
            base = tuple(part for part in base if part)
            for name in node.names:
                yield (*base, name.name) if UTILS.joinpath(*base, f"{name.name}.py").is_file() else base


GRAPH = {path.relative_to(UTILS).with_suffix("").parts: set(imported(path)) for path in sorted(UTILS.rglob("*.py"))}


def test_each_room_is_drawn_and_says_what_is_in_it() -> None:
    rooms = {path.parent.name for path in UTILS.glob("*/__init__.py")}
    assert rooms == set(LEVELS) == {path.name for path in UTILS.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert not list(UTILS.glob("*.py")), "a module stands in no room"
    for path in UTILS.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_imports_go_downwards_only() -> None:
    between = {
        (source[0], target[0]): (source, target)
        for source, targets in GRAPH.items()
        for target in targets
        if source[0] != target[0]
    }
    assert len(between) > 10, "no imports were found"
    wrong = {key: each for key, each in between.items() if LEVELS[key[0]] <= LEVELS[key[1]]}
    assert wrong == {}
    assert set(between) == ARROWS, "docs/architecture.md draws others"


def test_no_import_closes_a_circle() -> None:
    list(graphlib.TopologicalSorter(GRAPH).static_order())
