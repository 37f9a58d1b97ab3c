"""What a project needs according to a poetry.lock."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Collection, Mapping

from packaging.utils import canonicalize_name
from packaging.version import Version

from .indexes import foreign_notice
from .locked import Locked, locked_lines, reached
from .markers import EXTRA, conjunction, judged
from .needs import Dependency, Needs
from .places import git_place, path_place
from .pyproject import Pyproject, from_poetry, toml
from .versions import python_marker


def read_poetry(name: str, text: str, folder: str, project: Pyproject, chosen: Collection[str]) -> Needs:
    """What a poetry.lock says, as `poetry export` does.

    Since 2.1 it gives the groups and the condition that need each package. Before, this follows from what
    pyproject.toml asks for.
    """
    data = toml(name, text)
    tables: list[dict[str, t.Any]] = data.get("package") or []
    metadata: Mapping[str, t.Any] = data.get("metadata") or {}
    roots = project.dependencies(chosen)
    packages = [poetry_package(table, folder, metadata.get("files") or {}) for table in tables]
    needs = Needs(python=project.python)
    if all("groups" in table for table in tables):
        found = [poetry_marker(table, {"main", *chosen}, chosen) for table in tables]
        pairs = zip(packages, found, strict=True)
        needs.lines = locked_lines((package, marker) for package, marker in pairs if marker is not None)
    else:
        set_apart(packages, [str(table.get("python-versions") or "") for table in tables])
        needs.lines = locked_lines(reached(roots, packages))
    sources = (table.get("source") or {} for table in tables)
    needs.notices = foreign_notice(name, {str(one["url"]) for one in sources if one.get("type") == "legacy"})
    return needs


def poetry_marker(table: Mapping[str, t.Any], groups: set[str], extras: Collection[str]) -> str | None:
    """The condition under which these groups need a package of a poetry.lock; None if they don't."""
    within = groups & set(table["groups"])
    if not within or (table.get("optional") and not extras):
        return None
    given = table.get("markers") or ""
    markers = [str(given.get(one, "")) if isinstance(given, Mapping) else str(given) for one in sorted(within)]
    found = [one for one in (judged(marker, extras) for marker in markers) if one is not None]
    if not found:
        return None
    return "" if "" in found else " or ".join(f"({one})" if len(found) > 1 else one for one in dict.fromkeys(found))


def poetry_package(table: Mapping[str, t.Any], folder: str, files: Mapping[str, t.Any]) -> Locked:
    """One package of a poetry.lock."""
    source: Mapping[str, t.Any] = table.get("source") or {}
    name, version, kind = (
        str(canonicalize_name(table["name"])),
        str(table["version"]),
        str(source.get("type") or "legacy"),
    )
    hashes = [str(one["hash"]) for one in table.get("files") or files.get(table["name"]) or []]
    if kind == "legacy":
        line = f"{name}=={version}"
    elif kind == "git":
        commit = str(source.get("resolved_reference") or source.get("reference") or "")
        line = f"{name} @ {git_place(str(source['url']), commit, str(source.get('subdirectory') or ''))}"
        hashes = []
    elif kind == "url":
        line = f"{name} @ {source['url']}"
    else:
        line, hashes = path_place(folder, str(source["url"]), bool(table.get("develop"))), []
    needs: dict[str, list[Dependency]] = {"": []}
    for needed, value in (table.get("dependencies") or {}).items():
        for dependency, _ in from_poetry(needed, value, folder):
            for extra in {found[3] for found in EXTRA.finditer(dependency.marker)} or {""}:
                marker = judged(dependency.marker, {extra})
                if marker is not None:
                    plain = Dependency(dependency.name, dependency.versions, dependency.extras, marker)
                    needs.setdefault(extra, []).append(plain)
    return Locked(name, version, line, hashes, needs=needs)


def set_apart(packages: list[Locked], pythons: list[str]) -> None:
    """Limit each of several versions of a package to the Pythons that no newer version is for.

    Lock files before 2.1 do not say which one is meant if more than one would do.
    """
    by_name: dict[str, list[tuple[Version, Locked, str]]] = {}
    for package, python in zip(packages, pythons, strict=True):
        by_name.setdefault(package.name, []).append((Version(package.version), package, python_marker(python)))
    for several in by_name.values():
        newer: list[str] = []
        for _, package, marker in sorted(several, key=lambda one: one[0], reverse=True) if len(several) > 1 else []:
            package.marker = conjunction(marker, *newer)
            if least := re.search(r'python_full_version >= "([^"]+)"', marker):
                newer.append(f'python_full_version < "{least[1]}"')
