"""What roles' files say about their variables. Controller only."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from pathlib import Path

from .view import Role


def load_roles(loader: t.Any, folder: Path, groups: Mapping[str, list[str]]) -> dict[str, Role]:
    """Read the contract of every role in a folder that has one; `groups` names the groups that a role applies to."""
    roles = {}
    for specs in sorted(folder.glob("*/meta/argument_specs.yml")):
        path = specs.parents[1]
        entries = load(loader, specs).get("argument_specs") or {}
        options = (entries.get("main") or {}).get("options") or {}
        roles[path.name] = Role(
            name=path.name,
            options=options,
            defaults=load(loader, path / "defaults" / "main.yml"),
            computed=load(loader, path / "vars" / "main.yml"),
            groups=list(groups.get(path.name) or []),
            passed=frozenset(name for entry in entries.values() for name in entry.get("options") or {}) - set(options),
        )
    return roles


def load(loader: t.Any, path: Path) -> dict[str, t.Any]:
    """A role's YAML file; its templates come from the bundle, so they may run."""
    if not path.is_file():
        return {}
    # "unsafe" means that this is no copy: nothing here changes it, and copying was a fifth of preflight's time.
    return loader.load_from_file(str(path), unsafe=True, trusted_as_template=True) or {}
