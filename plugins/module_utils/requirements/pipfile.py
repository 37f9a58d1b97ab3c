"""What a project needs according to a Pipfile.lock, and how Pipenv writes it."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Collection, Mapping

from .errors import RequirementsError
from .indexes import foreign_notice
from .lines import bracketed, hashed, placed, with_marker
from .needs import Needs
from .places import git_place, path_place
from .versions import specifier


def read_pipfile(name: str, text: str, folder: str, chosen: Collection[str]) -> Needs:
    """What the default part of a Pipfile.lock says, and any chosen other parts."""
    data = locked(name, text)
    if unknown := sorted(set(chosen) - set(data)):
        known = ", ".join(sorted(set(data) - {"_meta", "default"})) or "none"
        raise RequirementsError(f"release_requirements: {name} has no group {', '.join(unknown)}; it has: {known}")
    needs = Needs()
    for key, table in [pair for part in ("default", *chosen) for pair in sorted(data[part].items())]:
        package = table if isinstance(table, Mapping) else {"version": str(table)}
        unhashed = pipfile_place(package, folder).startswith(("git+", "-e ", "."))
        needs.lines.append(hashed(pipfile_line(key, package, folder), [] if unhashed else package.get("hashes") or []))
    meta: Mapping[str, t.Any] = data.get("_meta") or {}
    needs.python = pipenv_python(meta)
    needs.notices = foreign_notice(name, {str(one.get("url") or "") for one in meta.get("sources") or []})
    return needs


def locked(name: str, text: str) -> Mapping[str, t.Any]:
    """The content of a Pipfile.lock; raise RequirementsError if it is not one."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise RequirementsError(f"{name} is no JSON: {error}") from error
    if not isinstance(data, Mapping) or not isinstance(data.get("default"), Mapping):
        raise RequirementsError(f"{name} has no packages under default: run pipenv lock")
    return data


def pipenv_python(tables: Mapping[str, t.Any]) -> str:
    """The Python that Pipenv asks for, as a specifier, from a Pipfile or the `_meta` of its lock."""
    requires = tables.get("requires") or {}
    if version := requires.get("python_version"):
        return f"=={version}.*"
    return f"=={requires['python_full_version']}" if requires.get("python_full_version") else ""


def pipfile_line(name: str, package: Mapping[str, t.Any], folder: str) -> str:
    """An entry of a Pipfile or its lock as a line of a requirements file."""
    extras, place = sorted(package.get("extras") or []), pipfile_place(package, folder)
    line = (
        placed(name, extras, place) if place else name + bracketed(extras) + specifier(str(package.get("version", "")))
    )
    return with_marker(line, str(package.get("markers") or ""))


def pipfile_place(package: Mapping[str, t.Any], folder: str) -> str:
    """Where a package of a Pipfile.lock comes from; empty for an index."""
    if address := package.get("git"):
        return git_place(str(address), str(package.get("ref") or ""), str(package.get("subdirectory") or ""))
    if path := package.get("path"):
        return path_place(folder, str(path), bool(package.get("editable")))
    if file := package.get("file"):
        return str(file) if "://" in str(file) else path_place(folder, str(file), bool(package.get("editable")))
    return ""
