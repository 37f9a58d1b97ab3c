"""What lock files and pyproject.toml say that a project needs, as lines of a requirements file. Controller only.

A lock file names every package with its version, and who needs it under which condition. The lines carry those
conditions on, so that what is for Windows or for another Python stays behind on the host.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import typing as t
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

# Conditions that always and never hold, in the place of those on extras, which only the lock's own tool can judge.
ALWAYS = 'python_version >= "0"'
NEVER = 'python_version < "0"'
EXTRA = re.compile(r"""\bextra\s*(==|!=)\s*(['"])([^'"]+)\2""")


class RequirementsError(Exception):
    """What a project needs cannot be told; the text says what to change."""


@dataclass
class Needs:
    """What files say that a project needs: lines for uv, and what a reader should know."""

    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)  # requirements files that take the place of lines
    python: str = ""  # the versions of Python that the project is for, as a specifier
    prerelease: bool = False


@dataclass(frozen=True)
class Dependency:
    """That one package is needed, by the project or by another package."""

    name: str
    versions: str = ""  # alternatives of specifiers, between ||
    extras: tuple[str, ...] = ()
    marker: str = ""
    place: str = ""  # where it comes from, if that is no index: a URL or a path

    def line(self) -> str:
        """It as a line of a requirements file."""
        if self.place:
            return with_marker(placed(self.name, self.extras, self.place), self.marker)
        return with_marker(self.name + bracketed(self.extras) + specifier(self.versions), self.marker)

    def fits(self, version: str) -> bool:
        """Whether a locked version is one of those that it allows."""
        try:
            found = Version(version)
            return any(SpecifierSet(one).contains(found, prereleases=True) for one in alternatives(self.versions))
        except (InvalidVersion, InvalidSpecifier):
            return True


@dataclass
class Locked:
    """One version of a package in a lock file."""

    name: str
    version: str
    line: str  # without its condition and hashes; empty for what is not installed
    hashes: list[str] = field(default_factory=list)
    marker: str = ""  # its own condition, beside those of who needs it
    needs: dict[str, list[Dependency]] = field(default_factory=dict)  # by the extra that brings them, "" for all


def bracketed(extras: Iterable[str]) -> str:
    """Extras as they stand behind a name."""
    return f"[{','.join(extras)}]" if extras else ""


def placed(name: str, extras: Iterable[str], place: str) -> str:
    """The line of a package that comes from a place: one of the source itself is named by its path."""
    if place.startswith(("-e ", "./", "../")):
        return place + bracketed(extras)
    return f"{name}{bracketed(extras)} @ {place}"


def with_marker(line: str, marker: str = "") -> str:
    """A line that holds under a condition."""
    return f"{line} ; {marker}" if marker else line


def conjunction(*markers: str) -> str:
    """The condition that all of these hold."""
    given = list(dict.fromkeys(filter(None, markers)))
    return " and ".join(f"({one})" if len(given) > 1 and " or " in one else one for one in given)


def judged(marker: str, extras: Collection[str]) -> str | None:
    """A condition without those on extras; None where it cannot hold."""

    def judge(found: re.Match[str]) -> str:
        return ALWAYS if (found[3] in extras) == (found[1] == "==") else NEVER

    text = EXTRA.sub(judge, marker)
    if NEVER in text and " or " not in text:
        return None
    parts = [] if " or " in text else [part for part in text.split(" and ") if part != ALWAYS]
    return text if " or " in text else " and ".join(parts)


# --- versions as Poetry writes them ---------------------------------------------------------------------------------


def alternatives(versions: str) -> list[str]:
    """Specifiers of which one has to hold, from a constraint in Poetry's notation or in Python's own."""
    return [
        ",".join(itertools.chain.from_iterable(map(comparison, re.findall(r"(?:[~^<>=!]+\s*)?[^\s,]+", one))))
        for one in re.split(r"\s*\|\|?\s*", versions.strip().strip("()"))
    ]


def comparison(text: str) -> list[str]:
    """One comparison of a constraint, as specifiers."""
    operator, number = t.cast(re.Match[str], re.match(r"([~^<>=!]*)\s*(.*)", text)).groups()
    if number in ("*", ""):
        return []
    if operator not in ("", "^", "~", "="):
        return [f"{operator}{number}"]
    if operator in ("", "="):
        return [f"=={number.replace('.x', '.*')}"]
    try:
        release = Version(number).release
    except InvalidVersion as error:
        raise RequirementsError(f'"{text}" is no constraint on a version') from error
    fixed = 1 if operator == "^" else min(2, len(release))
    if operator == "^":  # up to the first number that is not zero
        fixed = next((at for at, one in enumerate(release, 1) if one), len(release))
    upper = [*release[: fixed - 1], release[fixed - 1] + 1]
    return [f">={number}", f"<{'.'.join(map(str, upper))}"]


def specifier(versions: str) -> str:
    """A constraint as a requirements file has it."""
    found = alternatives(versions)
    if len(found) > 1:
        raise RequirementsError(f'"{versions}" are alternatives, which only a lock file can decide: run poetry lock')
    return found[0]


def python_marker(versions: str) -> str:
    """A constraint on Python as a condition."""
    terms = []
    for one in alternatives(versions):
        parts = [re.match(r"([~<>=!]+)(.*)", part) for part in one.split(",") if part]
        terms.append(" and ".join(f'python_full_version {part[1]} "{part[2]}"' for part in parts if part))
    return "" if "" in terms else " or ".join(f"({one})" if len(terms) > 1 else one for one in terms)


# --- from who needs what to under which condition it is needed ------------------------------------------------------


def reached(roots: Iterable[Dependency], packages: Iterable[Locked]) -> Iterator[tuple[Locked, str]]:
    """Yield each package that is needed, with the condition under which it is.

    It is needed where all conditions on some way from the project to it hold. Ways that ask for more than another one
    does tell nothing.
    """
    by_name: dict[str, list[Locked]] = {}
    for package in packages:
        by_name.setdefault(package.name, []).append(package)
    ways: dict[tuple[int, str], set[frozenset[str]]] = {}
    found: dict[int, Locked] = {}
    waiting: list[tuple[Locked, str, frozenset[str]]] = []

    def follow(dependency: Dependency, way: frozenset[str]) -> None:
        candidates = by_name.get(dependency.name, [])
        fitting = [one for one in candidates if dependency.fits(one.version)] if len(candidates) > 1 else candidates
        marker = judged(dependency.marker, ())
        if marker is None:
            return
        longer = way | {marker} if marker else way
        for package in fitting:
            found[id(package)] = package
            for extra in ("", *dependency.extras):
                known = ways.setdefault((id(package), extra), set())
                if not any(other <= longer for other in known):
                    known -= {other for other in known if longer < other}
                    known.add(longer)
                    waiting.append((package, extra, longer))

    for root in roots:
        follow(root, frozenset())
    while waiting:
        package, extra, way = waiting.pop(0)
        if way in ways[id(package), extra]:
            for dependency in package.needs.get(extra, []):
                follow(dependency, way)
    for package in sorted(found.values(), key=lambda one: (one.name, one.version)):
        conditions = sorted(conjunction(*sorted(way)) for way in ways[id(package), ""])
        several = len(conditions) > 1
        yield package, " or ".join(f"({one})" if several and " and " in one else one for one in conditions)


def locked_lines(packages: Iterable[tuple[Locked, str]]) -> list[str]:
    """The lines of a requirements file for locked packages and their conditions, once each."""
    lines = [
        hashed(with_marker(package.line, conjunction(package.marker, marker)), package.hashes)
        for package, marker in packages
        if package.line
    ]
    return list(dict.fromkeys(lines))


def hashed(line: str, hashes: Iterable[str]) -> str:
    """A line that files with these digests fulfil, and no others."""
    return " ".join([line, *(f"--hash={one}" for one in sorted(hashes))])


# --- places that are no index ---------------------------------------------------------------------------------------


def git_place(address: str, commit: str = "", subdirectory: str = "") -> str:
    """Where a package from git comes from."""
    address = address.removeprefix("git+")
    if scp := re.fullmatch(r"([\w.-]+@[\w.-]+):(?!//)(.+)", address):
        address = f"ssh://{scp[1]}/{scp[2]}"
    place = f"git+{address}"
    return place + (f"@{commit}" if commit else "") + (f"#subdirectory={subdirectory}" if subdirectory else "")


def path_place(folder: str, path: str, editable: bool = False) -> str:
    """Where a package of the source itself is, from the backend's folder, which `folder` leads to the file's from."""
    relative = os.path.normpath(os.path.join(folder, path))
    if relative.startswith("/"):
        raise RequirementsError(f"{path} is a path of another machine; the host has none but those in the source")
    dotted = relative if relative.startswith("..") else "./" + ("" if relative == "." else relative)
    return f"-e {dotted}" if editable else dotted


def host_of(address: str) -> str:
    """The host in an address, without credentials."""
    return re.sub(r"^\w+://(?:[^/@]*@)?([^/]+).*", r"\1", address)


@functools.cache
def usual_index() -> str:
    """The host of the index that nobody has to name, as pip or uv has it built in; nothing where neither is here."""
    try:
        from pip._internal.models.index import PyPI

        return host_of(str(PyPI.simple_url))
    except (ImportError, AttributeError):
        uv = shutil.which("uv", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))
        told = subprocess.run([uv, "pip", "install", "--help"], capture_output=True, text=True).stdout if uv else ""
        found = re.search(r"--default-index\b.*?by\s+default:\s*<?(\w+://[^\s>)]+)", told, re.DOTALL)
        return host_of(found[1]) if found else ""


def foreign_notice(name: str, indexes: Iterable[str]) -> list[str]:
    """A notice where packages are locked from an index that a host would not ask by itself."""
    hosts = sorted({host_of(one) for one in indexes if one} - {usual_index()})
    told = f"{name} takes packages from {', '.join(hosts)}; release_index or release_extra_indexes has to name it."
    return [told] if hosts else []


# --- pyproject.toml -------------------------------------------------------------------------------------------------


def toml(name: str, text: str) -> dict[str, t.Any]:
    """A TOML file's content; raise RequirementsError where it is none."""
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
    """Where a table of uv or Poetry says that a package comes from; nothing where that is an index."""
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
    """The dependencies that Poetry's table has under one name, each with whether it is optional."""
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
    """What pyproject.toml says that the project needs."""

    def __init__(self, name: str, text: str, folder: str) -> None:
        """Read it; `folder` leads to its folder from the backend's."""
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
        """The requirements files that setuptools takes the dependencies from."""
        if "dependencies" not in (self.project.get("dynamic") or []):
            return []
        table = ((self.tool.get("setuptools") or {}).get("dynamic") or {}).get("dependencies") or {}
        files = table.get("file") or []
        return [files] if isinstance(files, str) else list(files)

    def dependencies(self, chosen: Collection[str]) -> list[Dependency]:
        """The dependencies, with those of the extras and groups that are chosen."""
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

    def _extras(self) -> set[str]:
        return {*(self.project.get("optional-dependencies") or {}), *(self.poetry.get("extras") or {})}

    def _groups(self) -> dict[str, t.Any]:
        return {**(self._data.get("dependency-groups") or {}), **(self.poetry.get("group") or {})}

    def _line(self, line: str) -> Dependency:
        sources = {
            canonicalize_name(key): one for key, one in ((self.tool.get("uv") or {}).get("sources") or {}).items()
        }
        for key, one in (self.poetry.get("dependencies") or {}).items():  # which only adds to [project], where both are
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


# --- uv.lock --------------------------------------------------------------------------------------------------------


def read_uv(name: str, text: str, folder: str, projects: list[Pyproject], chosen: Collection[str]) -> Needs:
    """What a uv.lock says, as `uv export --frozen --no-dev --no-emit-project` does, of the first project in it."""
    data = toml(name, text)
    if data.get("version") != 1:
        raise RequirementsError(f"{name} is of format {data.get('version')}, and only 1 is known")
    tables: list[dict[str, t.Any]] = data.get("package") or []
    root = uv_root(name, tables, projects)
    extras, groups = root.get("optional-dependencies") or {}, root.get("dev-dependencies") or {}
    if unknown := set(chosen) - {*extras, *groups}:
        known = ", ".join(sorted({*extras, *groups})) or "none"
        raise RequirementsError(
            f"release_requirements: {name} has no extra or group {', '.join(unknown)}; it has: {known}"
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
    """The packages of a uv.lock that lie in the source."""
    return [one for one in tables if {"virtual", "editable", "directory"} & set(one.get("source") or {})]


def is_member(project: Pyproject, text: str) -> bool:
    """Whether a uv.lock has a project in it."""
    return any(one.get("name") == project.name for one in members(toml("uv.lock", text).get("package") or []))


def uv_root(name: str, tables: list[dict[str, t.Any]], projects: list[Pyproject]) -> dict[str, t.Any]:
    """The project's own package in a lock file of uv: of a workspace, the one that is the backend's."""
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
        within = re.search(r"(?:^|&)subdirectory=([^&]+)", query)
        line, hashes = f"{name} @ {git_place(address, commit, within[1] if within else '')}", []
    elif "url" in source:
        line = f"{name} @ {source['url']}"
    elif "virtual" in source:
        line, hashes = "", []
    else:
        path = next(str(source[key]) for key in ("editable", "directory", "path") if key in source)
        line, hashes = path_place(folder, path, "editable" in source), []
    needs = {"": uv_edges(table.get("dependencies") or [], active)}
    for extra, edges in (table.get("optional-dependencies") or {}).items():
        needs[extra] = uv_edges(edges, active)
    return Locked(name, version, line, hashes, needs=needs)


# --- poetry.lock ----------------------------------------------------------------------------------------------------


def read_poetry(name: str, text: str, folder: str, project: Pyproject, chosen: Collection[str]) -> Needs:
    """What a poetry.lock says, as `poetry export` does.

    From 2.1 on it tells of each package in which groups and under which condition it is needed; before, that follows
    from what pyproject.toml asks for.
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
    """The condition under which a package of a poetry.lock is needed for these groups; None where it is not."""
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
    """Have each of several versions of a package hold for those Pythons only that no newer version is for.

    Lock files before 2.1 do not say which one is meant where more than one would do.
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


# --- Pipfile.lock ---------------------------------------------------------------------------------------------------


def read_pipfile(name: str, text: str, folder: str, chosen: Collection[str]) -> Needs:
    """What the default part of a Pipfile.lock says, and other parts that are chosen."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise RequirementsError(f"{name} is no JSON: {error}") from error
    if not isinstance(data, Mapping) or not isinstance(data.get("default"), Mapping):
        raise RequirementsError(f"{name} has no packages under default: run pipenv lock")
    if unknown := sorted(set(chosen) - set(data)):
        known = ", ".join(sorted(set(data) - {"_meta", "default"})) or "none"
        raise RequirementsError(f"release_requirements: {name} has no group {', '.join(unknown)}; it has: {known}")
    needs = Needs()
    for key, table in [pair for part in ("default", *chosen) for pair in sorted(data[part].items())]:
        package = table if isinstance(table, Mapping) else {"version": str(table)}
        unhashed = pipfile_place(package, folder).startswith(("git+", "-e ", "."))
        needs.lines.append(hashed(pipfile_line(key, package, folder), [] if unhashed else package.get("hashes") or []))
    meta: Mapping[str, t.Any] = data.get("_meta") or {}
    needs.python = pipenv_python(meta.get("requires") or {})
    needs.notices = foreign_notice(name, {str(one.get("url") or "") for one in meta.get("sources") or []})
    return needs


def pipenv_python(requires: Mapping[str, t.Any]) -> str:
    """The Python that Pipenv asks for, as a specifier."""
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
    """Where a package of a Pipfile.lock comes from; nothing where that is an index."""
    if address := package.get("git"):
        return git_place(str(address), str(package.get("ref") or ""), str(package.get("subdirectory") or ""))
    if path := package.get("path"):
        return path_place(folder, str(path), bool(package.get("editable")))
    if file := package.get("file"):
        return str(file) if "://" in str(file) else path_place(folder, str(file), bool(package.get("editable")))
    return ""
