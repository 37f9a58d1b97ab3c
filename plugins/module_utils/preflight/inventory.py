"""What is wrong with an inventory as a whole, and where it is. Controller only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .view import Problem, listed, nearest, shown


def inventory_problems(groups: Mapping[str, list[str]], sources: Iterable[str]) -> Iterator[Problem]:
    """What is wrong with the inventory as a whole."""
    if groups.get("app"):
        return
    read = listed(shown(source) if Path(source).exists() else source for source in sources) or "none"
    like = nearest("app", set(groups) - {"all", "ungrouped", "app"})
    hint = f" (there is a group {like})" if like else ""
    snippet = "app:\n    hosts:\n      app1:\n        ansible_host: 203.0.113.10"
    state = "has no hosts" if "app" in groups else "is missing"
    fix = f"Name the hosts that run your Django project:\n  {snippet}\nor choose another inventory with -i."
    yield Problem("", f"group app {state}{hint}; inventory read: {read}", fix)


def vault_file(sources: Iterable[str]) -> str:
    """The inventory's vault, as a path to type."""
    source = next((Path(source) for source in sources if Path(source).exists()), None)
    folder = "<inventory>" if source is None else shown(source if source.is_dir() else source.parent)
    return str(Path(folder, "group_vars/all/vault.yml"))
