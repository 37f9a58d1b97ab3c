"""What a project needs according to pyproject.toml, in [project] and in Poetry's tables."""

from __future__ import annotations

import tomllib
import typing as t
from collections.abc import Collection, Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from .errors import RequirementsError
from .indexes import foreign_notice
from .markers import conjunction
from .needs import Dependency, Needs
from .places import git_place, path_place
from .versions import alternatives, comparisons, python_marker


def toml(name: str, text: str) -> dict[str, t.Any]:
    """A TOML file's content; raise RequirementsError if it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RequirementsError(f"{name} is no TOML: {error}") from error


def from_line(name: str, line: str, sources: Mapping[t.Any, t.Any] | None = None, folder: str = "") -> Dependency:
    """A dependency as `[project]` writes it."""
    try:
        wanted = Requirement(line)
    except InvalidRequirement as error:
        raise RequirementsError(f'{name}: "{line}" is no requirement: {error}') from error
    key = canonicalize_name(wanted.name)
    source = (sources or {}).get(key)
    try:
        place = wanted.url or (source_place(source, folder) if isinstance(source, Mapping) else "")
    except RequirementsError as error:
        raise RequirementsError(f"{name}: {key} {error}") from error
    marker = str(wanted.marker or "")
    return Dependency(key, str(wanted.specifier), tuple(sorted(wanted.extras)), marker, place)


def source_place(source: Mapping[str, t.Any], folder: str) -> str:
    """Where a package comes from according to a table of uv or Poetry; empty for an index."""
    if address := source.get("git"):
        commit = next((str(source[key]) for key in ("rev", "tag", "branch") if source.get(key)), "")
        return git_place(str(address), commit, str(source.get("subdirectory") or ""))
    if address := source.get("url"):
        return str(address)
    if path := source.get("path") or source.get("file"):
        return path_place(folder, str(path), bool(source.get("editable") or source.get("develop")))
    if source.get("workspace"):
        raise RequirementsError(
            "is a member of the workspace, of which only its uv.lock tells more. Make it with uv lock, and name it: "
            "release_requirements: [../uv.lock]"
        )
    return ""


def from_poetry(name: str, value: t.Any, folder: str) -> Iterator[tuple[Dependency, bool]]:
    """The dependencies under one name in Poetry's table, each with whether it is optional."""
    for one in value if isinstance(value, list) else [value]:
        table = one if isinstance(one, Mapping) else {"version": str(one)}
        markers = [str(table.get("markers") or "")]
        if table.get("python"):
            markers.append(python_marker(str(table["python"])))
        if table.get("platform"):
            markers.append(f'sys_platform == "{table["platform"]}"')
        dependency = Dependency(
            canonicalize_name(name),
            str(table.get("version") or ""),
            tuple(sorted(table.get("extras") or ())),
            conjunction(*markers),
            source_place(table, folder),
        )
        yield dependency, bool(table.get("optional"))


class Pyproject:
    """What the project needs according to pyproject.toml."""

    def __init__(self, name: str, text: str, folder: str) -> None:
        """Read it; `folder` leads from the backend to its folder."""
        self.file = name
        self._folder = folder
        self._data = toml(name, text)
        self.project: dict[str, t.Any] = self._data.get("project") or {}
        self.tool: dict[str, t.Any] = self._data.get("tool") or {}
        self.poetry: dict[str, t.Any] = self.tool.get("poetry") or {}
        self.name = str(canonicalize_name(str(self.project.get("name") or self.poetry.get("name") or "")))
        self.python = str(self.project.get("requires-python") or "")
        if not self.python and (python := (self.poetry.get("dependencies") or {}).get("python")):
            found = alternatives(str(python.get("version", "") if isinstance(python, Mapping) else python))
            self.python = found[0] if len(found) == 1 else ""

    def dynamic_files(self) -> list[str]:
        """The requirements files from which setuptools takes the dependencies."""
        if "dependencies" not in (self.project.get("dynamic") or []):
            return []
        table = ((self.tool.get("setuptools") or {}).get("dynamic") or {}).get("dependencies") or {}
        files = table.get("file") or []
        return [files] if isinstance(files, str) else list(files)

    def dependencies(self, chosen: Collection[str]) -> list[Dependency]:
        """The dependencies, with those of the chosen extras and groups."""
        unknown = set(chosen) - self._extras() - set(self._groups())
        if unknown:
            known = sorted(self._extras() | set(self._groups()))
            told = (
                f"{self.file} has no extra or group {', '.join(sorted(unknown))}; it has: {', '.join(known) or 'none'}"
            )
            raise RequirementsError(f"release_requirements: {told}")
        found = [*self._of_project(chosen), *self._of_poetry(chosen)]
        for group in chosen:
            found += self._group(group, set())
        return found

    def packages(self) -> Iterator[tuple[str, str]]:
        """The packages that it names, each with the versions that it asks for, as far as they are clear."""
        for line in self.project.get("dependencies") or []:
            try:
                wanted = Requirement(str(line))
            except InvalidRequirement:
                continue
            yield str(canonicalize_name(wanted.name)), str(wanted.specifier)
        for name, value in (self.poetry.get("dependencies") or {}).items():
            versions = value.get("version", "*") if isinstance(value, Mapping) else value
            if name.lower() != "python":
                yield str(canonicalize_name(name)), comparisons(versions) if isinstance(versions, str) else ""

    def _extras(self) -> set[str]:
        return {*(self.project.get("optional-dependencies") or {}), *(self.poetry.get("extras") or {})}

    def _groups(self) -> dict[str, t.Any]:
        return {**(self._data.get("dependency-groups") or {}), **(self.poetry.get("group") or {})}

    def _line(self, line: str) -> Dependency:
        sources = {
            canonicalize_name(key): one for key, one in ((self.tool.get("uv") or {}).get("sources") or {}).items()
        }
        for key, one in (self.poetry.get("dependencies") or {}).items():  # it only adds to [project], if both exist
            if isinstance(one, Mapping):
                sources.setdefault(canonicalize_name(key), one)
        return from_line(self.file, line, sources, self._folder)

    def _of_project(self, chosen: Collection[str]) -> list[Dependency]:
        lists = [self.project.get("dependencies") or []]
        lists += [(self.project.get("optional-dependencies") or {}).get(extra, []) for extra in chosen]
        if not all(isinstance(one, list) for one in lists):
            raise TypeError("dependencies are no list")
        return [self._line(str(line)) for one in lists for line in one]

    def _of_poetry(self, chosen: Collection[str]) -> list[Dependency]:
        if self.project.get("dependencies"):
            return []
        extras = {canonicalize_name(one) for key in chosen for one in (self.poetry.get("extras") or {}).get(key, [])}
        return [
            dependency
            for name, value in (self.poetry.get("dependencies") or {}).items()
            if name.lower() != "python"
            for dependency, optional in from_poetry(name, value, self._folder)
            if not optional or dependency.name in extras
        ]

    def _group(self, group: str, seen: set[str]) -> list[Dependency]:
        found: list[Dependency] = []
        if group in seen:
            return found
        seen.add(group)
        for line in (self._data.get("dependency-groups") or {}).get(group, []):
            if isinstance(line, Mapping):
                found += self._group(str(line.get("include-group")), seen)
            else:
                found.append(self._line(str(line)))
        table = (self.poetry.get("group") or {}).get(group) or {}
        for name, value in (table.get("dependencies") or {}).items():
            found += [dependency for dependency, _ in from_poetry(name, value, self._folder)]
        return found


def read_pyproject(project: Pyproject, chosen: Collection[str]) -> Needs:
    """What a pyproject.toml without a lock file says."""
    needs = Needs(python=project.python, files=project.dynamic_files())
    needs.lines = [dependency.line() for dependency in project.dependencies(chosen)]
    settings: Mapping[str, t.Any] = project.tool.get("uv") or {}
    needs.overrides = [str(one) for one in settings.get("override-dependencies") or []]
    needs.constraints = [str(one) for one in settings.get("constraint-dependencies") or []]
    indexes = [*(settings.get("index") or []), *(project.poetry.get("source") or [])]
    needs.notices = foreign_notice(project.file, {str(one["url"]) for one in indexes if one.get("url")})
    declares = "dependencies" in project.project or project.poetry.get("dependencies")
    if not declares and not needs.files and not chosen:
        raise RequirementsError(
            f"release_requirements: {project.file} lists no dependencies, neither in [project] nor in "
            "[tool.poetry.dependencies]. Name another file, or write release_requirements: [] and what the project "
            "needs into release_packages"
        )
    return needs
