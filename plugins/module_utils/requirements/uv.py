"""What a project needs according to a uv.lock."""

from __future__ import annotations

import typing as t
from collections.abc import Collection, Iterable, Mapping
from urllib.parse import parse_qs

from .errors import RequirementsError
from .indexes import foreign_notice
from .lines import with_marker
from .locked import Locked, locked_lines, reached
from .markers import judged
from .needs import Dependency, Needs
from .places import git_place, path_place
from .pyproject import Pyproject, toml


def read_uv(name: str, text: str, folder: str, projects: list[Pyproject], chosen: Collection[str]) -> Needs:
    """What a uv.lock says about the first of the projects that it contains, as `uv export --frozen` does.

    Only chosen groups are included: `--no-default-groups --no-emit-project`.
    """
    data = toml(name, text)
    if data.get("version") != 1:
        raise RequirementsError(f"{name} is of format {data.get('version')}, and only 1 is known")
    tables: list[dict[str, t.Any]] = data.get("package") or []
    root = uv_root(name, tables, projects)
    extras, groups = root.get("optional-dependencies") or {}, root.get("dev-dependencies") or {}
    declared = root.get("metadata") or {}  # also has those that add nothing
    known = {*extras, *groups, *(declared.get("provides-extras") or []), *(declared.get("requires-dev") or {})}
    if unknown := set(chosen) - known:
        raise RequirementsError(
            f"release_requirements: {name} has no extra or group {', '.join(sorted(unknown))}; "
            f"it has: {', '.join(sorted(known)) or 'none'}"
        )
    active = {
        *chosen,
        *(f"{kind}-{len(root['name'])}-{root['name']}-{one}" for kind in ("extra", "group") for one in chosen),
    }
    edges = [
        *(root.get("dependencies") or []),
        *(edge for one in chosen for edge in (*extras.get(one, []), *groups.get(one, []))),
    ]
    packages = [uv_package(table, folder, active) for table in tables if table is not root]
    needs = Needs(python=str(data.get("requires-python") or ""))
    needs.lines = locked_lines(reached(uv_edges(edges, active), packages))
    for table in (data.get("manifest") or {}).get("overrides") or []:
        needs.overrides.append(
            with_marker(f"{table['name']}{table.get('specifier', '')}", str(table.get("marker") or ""))
        )
    registries = {str((one.get("source") or {}).get("registry") or "") for one in tables}
    needs.notices = foreign_notice(name, registries)
    return needs


def members(tables: Iterable[Mapping[str, t.Any]]) -> list[t.Any]:
    """The packages of a uv.lock that are in the source."""
    return [one for one in tables if {"virtual", "editable", "directory"} & set(one.get("source") or {})]


def is_member(project: Pyproject, text: str) -> bool:
    """Whether a uv.lock contains a project."""
    return any(one.get("name") == project.name for one in members(toml("uv.lock", text).get("package") or []))


def uv_root(name: str, tables: list[dict[str, t.Any]], projects: list[Pyproject]) -> dict[str, t.Any]:
    """The project's own package in a uv.lock; in a workspace, the backend's."""
    local = members(tables)
    for project in projects:
        if named := [one for one in local if one["name"] == project.name]:
            return named[0]
    here = [one for one in local if "." in one["source"].values()] or local
    if len(here) != 1:
        told = "has no package that is the project itself"
        if here:
            told = f"is a workspace of {', '.join(one['name'] for one in here)}, and release_backend is none of them"
        raise RequirementsError(f"{name} {told}")
    return here[0]


def uv_edges(edges: Iterable[Mapping[str, t.Any]], active: Collection[str]) -> list[Dependency]:
    """What a package of a uv.lock needs."""
    found = []
    for edge in edges:
        marker = judged(str(edge.get("marker") or ""), active)
        if marker is not None:
            versions = f"=={edge['version']}" if edge.get("version") else ""
            found.append(Dependency(str(edge["name"]), versions, tuple(edge.get("extra") or ()), marker))
    return found


def uv_package(table: Mapping[str, t.Any], folder: str, active: Collection[str]) -> Locked:
    """One package of a uv.lock."""
    source: Mapping[str, t.Any] = table.get("source") or {}
    name, version = str(table["name"]), str(table.get("version") or "")
    files = [*([table["sdist"]] if table.get("sdist") else []), *(table.get("wheels") or [])]
    hashes = [str(one["hash"]) for one in files if one.get("hash")]
    if "registry" in source:
        line = f"{name}=={version}"
    elif "git" in source:
        address, _, commit = str(source["git"]).partition("#")
        address, _, query = address.partition("?")
        part = parse_qs(query).get("subdirectory", [""])[0]
        line, hashes = f"{name} @ {git_place(address, commit, part)}", []
    elif "url" in source:
        line = f"{name} @ {source['url']}"
        line += f"#subdirectory={source['subdirectory']}" if source.get("subdirectory") else ""
    elif "virtual" in source:
        line, hashes = "", []
    else:
        path = next(str(source[key]) for key in ("editable", "directory", "path") if key in source)
        line = path_place(folder, path, "editable" in source)
    needs = {"": uv_edges(table.get("dependencies") or [], active)}
    for extra, edges in (table.get("optional-dependencies") or {}).items():
        needs[extra] = uv_edges(edges, active)
    return Locked(name, version, line, hashes, needs=needs)
