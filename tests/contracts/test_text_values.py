"""A number, true or false that is given as a text, as `-e` on the command line gives it, means the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from jinja2 import nodes

ROOT = Path(__file__).resolve().parents[2]
JINJA = jinja2.Environment(extensions=["jinja2.ext.do"])
# Keys of list items that roles read as `worker.number` and the like.
KINDS = {"bool": ("bool", "string"), "int": ("int", "float", "string"), "float": ("int", "float", "string")}
# Where it is put into a text or handed to a module, its text is as good; as data, a program would read it.
HARMLESS = (nodes.Output, nodes.Concat, nodes.List, nodes.Tuple)


def options(spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The names and types of options, those of items too."""
    for name, one in spec.items():
        yield name, str(one.get("type", "str"))
        yield from options(one.get("options") or {})


TYPES = {
    name: kind
    for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))
    for name, kind in options(yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"])
    if kind in KINDS
}


def expressions(value: Any, key: str = "") -> Iterator[str]:
    """Templates in a YAML file, and its conditions, which are expressions without braces."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from expressions(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from expressions(item, key)
    elif isinstance(value, str):
        if key in ("when", "failed_when", "changed_when", "until", "that", "loop_control"):
            yield f"{{% if {value} %}}{{% endif %}}"
        elif "{{" in value or "{%" in value:
            yield value


def misread(text: str) -> set[str]:
    """Names of numbers and truths that an expression uses as such, without saying `| int` or `| bool`."""
    found: set[str] = set()

    def visit(node: nodes.Node, parents: list[nodes.Node]) -> None:
        name = node.name if isinstance(node, nodes.Name) else node.attr if isinstance(node, nodes.Getattr) else None
        if name in TYPES:
            filters = [one.name for one in parents if isinstance(one, nodes.Filter)]
            rest = [one for one in parents if not isinstance(one, nodes.Filter)]
            # `x.number` is looked at as a whole, and so is `x` of `x | default(y)`.
            converted = set(filters) & {
                *KINDS[TYPES[name]],
                "to_json",
                "to_nice_json",
                "hash",
                "quote",
                "regex_replace",
            }
            if not converted and rest and not isinstance(rest[-1], HARMLESS):
                found.add(name)
        for child in node.iter_child_nodes():
            visit(child, [*parents, node])

    visit(JINJA.parse(text), [])
    return found


FOLDERS = ("roles/*/tasks/*.yml", "roles/*/vars/*.yml", "roles/*/defaults/*.yml", "playbooks/*.yml", "templates/*/*.j2")
FILES = [path for folder in FOLDERS for path in sorted(ROOT.glob(folder))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_texts_are_read_as_what_they_say(path: Path) -> None:
    """Text "false" is true to Jinja, and text "8" is no number to it."""
    texts = [path.read_text()] if path.suffix == ".j2" else expressions(yaml.safe_load(path.read_text()))
    for text in texts:
        names = misread(text)
        assert not names, f"{path.relative_to(ROOT)} uses {', '.join(sorted(names))} as it is written: {text}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{% if release_migrate %}{% endif %}", {"release_migrate"}),
        ("{% if release_migrate | bool %}{% endif %}", set()),
        ("{{ not worker.singleton | default(false) }}", {"singleton"}),
        ("{{ not worker.singleton | default(false) | bool }}", set()),
        ("{{ [1, asgi_stop_seconds - 2] | max }}", {"asgi_stop_seconds"}),
        ("{{ [1, asgi_stop_seconds | int - 2] | max }}", set()),
        ("{{ 'a' if asgi_processes == 0 }}", {"asgi_processes"}),
        ("{{ 'listen ' ~ nginx_http_port }} {{ nginx_http_port }}", set()),
    ],
)
def test_such_uses_are_found(text: str, found: set[str]) -> None:
    """By the way in which they stand in an expression."""
    assert misread(text) == found
