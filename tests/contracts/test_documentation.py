"""What ansible-doc shows of the collection: all of it is there, and says what the code takes."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins import loader
from ansible.utils.plugin_docs import get_plugin_docs

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
COLLECTION = "channels.stack"
IMPORTED = f"ansible_collections.{COLLECTION}.plugins"
# How actions call the arguments of their task.
ARGUMENTS = ("args", "given", "self._task.args")
OPTION = {"description", "type", "elements", "required", "default", "choices", "aliases", "suboptions", "version_added"}
KEYS = {"options": OPTION, "attributes": {"description", "details", "platforms", "support"}}
COMPUTED = object()  # a value that no documentation can say


def names(kind: str) -> list[str]:
    """Return the names of the plugins of a kind, as their files have them."""
    return sorted(path.stem for path in (PLUGINS / kind).glob("*.py"))


MODULES, ACTIONS = names("modules"), names("action")
FILTERS = sorted(
    name
    for file in names("filter")
    for name in importlib.import_module(f"{IMPORTED}.filter.{file}").FilterModule().filters()
)
OTHERS = [
    *(("filter", name) for name in FILTERS),
    *((kind, name) for kind in ("lookup", "strategy") for name in names(kind)),
]


def documentation(kind: str, name: str) -> dict[str, Any]:
    """Return what Ansible's own loader reads of a plugin, with its `examples` and `returns`; fail where it cannot."""
    plugins = loader.module_loader if kind == "module" else getattr(loader, f"{kind}_loader")
    doc, examples, returns, _ = get_plugin_docs(f"{COLLECTION}.{name}", kind, plugins, loader.fragment_loader, False)
    return {**doc, "examples": examples, "returns": returns}


def options(name: str) -> dict[str, dict[str, Any]]:
    """Return the options that the documentation of a module or an action has."""
    return documentation("module", name).get("options") or {}


class Declared(Exception):
    """What a module declares, instead of a run of it."""


def declared(module: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Return the argument spec of a module."""
    code = importlib.import_module(f"{IMPORTED}.modules.{module}")

    def declare(argument_spec: dict[str, Any], **_: Any) -> None:
        raise Declared(argument_spec)

    monkeypatch.setattr(code, "AnsibleModule", declare)
    with pytest.raises(Declared) as caught:
        code.main()
    return caught.value.args[0]


def has_code(module: str) -> bool:
    """Tell whether a module is more than the documentation of an action."""
    return "AnsibleModule" in (PLUGINS / "modules" / f"{module}.py").read_text()


def tree_of(action: str) -> ast.Module:
    """Return the code of an action."""
    return ast.parse((PLUGINS / "action" / f"{action}.py").read_text())


def validated(action: str) -> dict[str, dict[str, Any]]:
    """Return the argument spec that an action validates; empty where it validates none."""
    for node in ast.walk(tree_of(action)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "validate_argument_spec":
            spec = next(each.value for each in node.keywords if each.arg == "argument_spec")
            return {value(name): entries(entry) for name, entry in zip(spec.keys, spec.values, strict=True)}
    return {}


def entries(spec: ast.Dict) -> dict[str, Any]:
    """Return what a spec says of one option."""
    return {value(name): value(entry) for name, entry in zip(spec.keys, spec.values, strict=True)}


def value(node: ast.expr | None) -> Any:
    """Return a literal, or COMPUTED."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return COMPUTED


def read(action: str) -> set[str]:
    """Return the names of arguments that the code of an action reads."""
    found = set()
    for node in ast.walk(tree_of(action)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "get" and node.args:
            mapping, key = node.func.value, node.args[0]
        elif isinstance(node, ast.Subscript):
            mapping, key = node.value, node.slice
        else:
            continue
        if ast.unparse(mapping) in ARGUMENTS and isinstance(key, ast.Constant):
            found.add(key.value)
    return found


def compare(documented: dict[str, Any], spec: dict[str, Any], where: str) -> None:
    """Hold what is documented of options beside what is declared."""
    for name, item in spec.items():
        said = documented[name]
        for key, otherwise in (("type", "str"), ("elements", None), ("choices", None), ("default", None)):
            if (wanted := item.get(key, otherwise)) is not COMPUTED:
                assert said.get(key, otherwise) == wanted, f"{where}: {key} of {name}"
        # What is required of one way to call an action only is said in its description.
        if said.get("required"):
            assert item.get("required"), f"{where}: {name} is not required"
        elif item.get("required"):
            assert "Required" in str(said["description"]), f"{where}: {name} is required"
        if item.get("options"):
            assert set(said["suboptions"]) == set(item["options"]), f"{where}: keys of {name}"
            compare(said["suboptions"], item["options"], f"{where}: {name}")


def assert_whole(doc: dict[str, Any], where: str) -> None:
    """Fail where a part is missing that readers look for."""
    for key in ("short_description", "description", "author"):
        assert doc.get(key), f"{where} has no {key}"
    for key, known in KEYS.items():
        for name, item in (doc.get(key) or {}).items():
            assert item.get("description"), f"{where}: {name} is not described"
            assert set(item) <= known, f"{where}: a comma ends a text in braces that has no quotes, at {name}"


@pytest.mark.parametrize("name", sorted({*MODULES, *ACTIONS}))
def test_module_or_action_is_documented(name: str) -> None:
    doc = documentation("module", name)
    assert_whole(doc, name)
    assert doc["module"] == name
    assert doc["examples"] and doc["returns"], name


@pytest.mark.parametrize(("kind", "name"), OTHERS)
def test_plugin_is_documented(kind: str, name: str) -> None:
    doc = documentation(kind, name)
    assert_whole(doc, f"{kind} {name}")
    assert doc["name"] == name, "it is another one's documentation"
    assert kind == "strategy" or (doc["examples"] and doc["returns"]), name


@pytest.mark.parametrize("name", FILTERS)
def test_filter_takes_what_is_documented(name: str) -> None:
    doc = documentation("filter", name)
    function = loader.filter_loader.get(f"{COLLECTION}.{name}").j2_function
    first, *taken = inspect.signature(function).parameters.values()
    assert first.kind is not first.VAR_POSITIONAL
    assert list(doc["options"]) == ["_input", *(each.name for each in taken)]
    assert doc.get("positional", "") == ", ".join(each.name for each in taken)
    for each in taken:
        if each.default is not each.empty:
            assert doc["options"][each.name].get("default") == each.default, each.name
        elif each.kind is not each.VAR_POSITIONAL:
            assert doc["options"][each.name]["required"], each.name


@pytest.mark.parametrize("name", [name for name in MODULES if has_code(name)])
def test_module_takes_what_is_documented(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = declared(name, monkeypatch)
    of_action = {*validated(name), *action_class(name)._VALID_ARGS, *read(name)} if name in ACTIONS else set()
    assert set(options(name)) == set(spec) | of_action
    compare(options(name), spec, name)


def action_class(name: str) -> Any:
    """Return the class of an action, as Ansible loads it."""
    return loader.action_loader.get(f"{COLLECTION}.{name}", class_only=True)


@pytest.mark.parametrize("name", [name for name in ACTIONS if not has_code(name)])
def test_action_takes_what_is_documented(name: str) -> None:
    spec, documented = validated(name), options(name)
    known = {*spec, *action_class(name)._VALID_ARGS}
    assert not known or set(documented) == known
    assert read(name) <= set(documented)
    compare(documented, spec, name)


@pytest.mark.parametrize("name", [name for name in MODULES if not has_code(name)])
def test_documentation_of_an_action_is_nothing_else(name: str) -> None:
    assert name in ACTIONS, "a module that does nothing has no action"
    assert action_class(name).__module__ == f"{IMPORTED}.action.{name}", "Ansible takes another one first"
    tree = ast.parse((PLUGINS / "modules" / f"{name}.py").read_text())
    assert {type(node) for node in tree.body} == {ast.Expr, ast.ImportFrom, ast.Assign}
