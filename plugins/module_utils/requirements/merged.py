"""What a stranger's project needs, as one text that uv installs on the host. Controller only.

It merges what requirements files, lock files, pyproject.toml and the inventory say.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from .errors import RequirementsError
from .kinds import RESOLVED, kind_fault, named
from .needs import Needs
from .pipfile import read_pipfile
from .poetry import read_poetry
from .pyproject import Pyproject, read_pyproject
from .strangers import NOTICES, masked
from .texts import Texts
from .uv import is_member, read_uv


class Reader(Texts):
    """Reads everything that a project needs; `needs` and `notices()` hold what it found."""

    def read(self, entry: str) -> None:
        """Read a file of release_requirements."""
        name, chosen = named(entry)
        if fault := kind_fault(name):
            raise RequirementsError(f"release_requirements: {name} cannot be read: {fault}")
        path = self._path("", name)
        if os.path.basename(path) not in RESOLVED:
            if chosen:
                told = f"{name} has no extras or groups to choose: {', '.join(chosen)}"
                raise RequirementsError(f"release_requirements: {told}")
            self._text(path, False)
            return
        try:
            self._resolved(path, chosen)
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # no tool would write such a file
            raise RequirementsError(f"{path} is damaged: {type(error).__name__} {error}") from error

    def _resolved(self, path: str, chosen: list[str]) -> None:
        """Read a lock file, or a pyproject.toml; if that has a lock file, read the lock file instead."""
        if os.path.basename(path) == "Pipfile.lock":
            self._add(read_pipfile(path, self._content(path), self._from_backend(path), chosen), path)
            return
        project = self._project(os.path.dirname(path))
        if os.path.basename(path) == "pyproject.toml" and project:
            lock = self._lock_of(project)
            if lock:
                where = "beside" if os.path.dirname(lock) == os.path.dirname(path) else "of the workspace of"
                self.needs.notices.append(f"{lock} is {where} {path}, so its versions are installed.")
                path = lock
        file, folder = os.path.basename(path), self._from_backend(path)
        if (path, tuple(chosen)) in self._seen:
            return
        self._seen.add((path, tuple(chosen)))
        if file == "uv.lock":
            members = [one for one in (self._project(self._backend), project) if one]
            self._add(read_uv(path, self._content(path), folder, members, chosen), path)
        elif project is None:
            raise RequirementsError(f"{path} cannot be read without the pyproject.toml that belongs beside it")
        elif file == "poetry.lock":
            self._add(read_poetry(path, self._content(path), folder, project, chosen), path)
        else:
            self._add(read_pyproject(project, chosen), path)

    def _from_backend(self, path: str) -> str:
        """The relative path from the backend to a file's folder."""
        return os.path.relpath(os.path.dirname(path) or ".", self._backend)

    def _project(self, folder: str) -> Pyproject | None:
        """The pyproject.toml in a folder."""
        path = os.path.normpath(os.path.join(folder, "pyproject.toml"))
        return Pyproject(path, self._content(path), self._from_backend(path)) if path in self._contents else None

    def _lock_of(self, project: Pyproject) -> str:
        """A project's lock file: beside it, or uv's above it if it is a member of a workspace."""
        folder = os.path.dirname(project.file)
        for name in ("poetry.lock", "uv.lock") if project.poetry else ("uv.lock", "poetry.lock"):
            if (path := os.path.join(folder, name)) in self._contents:
                return path
        while folder and not folder.startswith(".."):
            folder = os.path.dirname(folder)
            path = os.path.join(folder, "uv.lock")
            if path in self._contents and is_member(project, self._content(path)):
                return path
        return ""

    def _add(self, found: Needs, path: str) -> None:
        """Take what was read from a file that is not a requirements file."""
        for line in found.lines:
            self._line(line, path, 0, False)
        for line in found.constraints:
            self._line(line, path, 0, True)
        self.needs.overrides += found.overrides
        self.needs.notices += found.notices
        self.needs.python = found.python or self.needs.python
        for file in found.files:
            self._text(os.path.normpath(os.path.join(os.path.dirname(path), file)), False)

    def beside(self, packages: Iterable[str], constraints: Iterable[str]) -> None:
        """Take what the inventory adds."""
        added = [str(one) for one in packages]
        for one in added:
            self._entry(one.strip(), "release_packages", 0, False)
        for one in constraints:
            self._entry(str(one).strip(), "release_constraints", 0, True)
        if added and "--require-hashes" in self.needs.lines:
            self.needs.lines.remove("--require-hashes")
            self._tell("hashes", "release_packages")

    def notices(self) -> list[str]:
        """What the user should know."""
        told = [NOTICES[kind].format(", ".join(self._told[kind])) for kind in NOTICES if kind in self._told]
        return [masked(one) for one in [*dict.fromkeys(self.needs.notices), *told]]


def read(
    contents: Mapping[str, bytes],
    backend: str,
    names: Iterable[str],
    packages: Iterable[str] = (),
    constraints: Iterable[str] = (),
) -> tuple[Needs, list[str]]:
    """What a project needs, and what the user should know; raise RequirementsError if that cannot be worked out."""
    reader = Reader(contents, backend)
    for name in names:
        reader.read(name)
    reader.beside(packages, constraints)
    return reader.needs, reader.notices()


def python_notice(wanted: str, has: str) -> list[str]:
    """A notice if the project is for other versions of Python than the one that it gets."""
    try:
        fits = not wanted or not has or SpecifierSet(wanted).contains(has, prereleases=True)
    except InvalidSpecifier:
        return []
    told = f"The project says that it is for Python {wanted}, and gets {has}. release_python may name another one."
    return [] if fits else [told]


def local(needs: Needs) -> bool:
    """Whether some of the needed packages are in the source itself."""
    return any(re.match(r"(-e )?\.|[^;#]* @ \.", line) or "${PROJECT_ROOT}" in line for line in needs.lines)


def digest(needs: Needs, release: str) -> str:
    """A name for these needs. The same needs give the same name in every release, unless a part is in its source."""
    said = [needs.lines, needs.constraints, needs.overrides, needs.prerelease, release if local(needs) else ""]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
