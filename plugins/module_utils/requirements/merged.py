"""What a stranger's project needs, as one text that uv installs on the host. Controller only.

Reads requirements files as they are found in the wild (of any encoding, with includes, written by `pip freeze` on
another system), lock files and pyproject.toml. Nothing is left out in silence: what cannot be installed on the host is
named in a notice.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from ..code.files import decode
from .locks import (
    Needs,
    Pyproject,
    RequirementsError,
    git_place,
    is_member,
    read_pipfile,
    read_poetry,
    read_pyproject,
    read_uv,
    with_marker,
)

NAMED = re.compile(r"(?P<path>[^\[\]]+)(?:\[(?P<chosen>[^\[\]]*)\])?")
RESOLVED = ("pyproject.toml", "uv.lock", "poetry.lock", "Pipfile.lock")
# Files that list what a project needs in a way that is not read, with what to do instead.
UNREAD = {
    "Pipfile": "it names no versions to install. Run pipenv lock, and name Pipfile.lock",
    "setup.py": "its dependencies come with the project itself: write release_packages: [.]",
    "setup.cfg": "its dependencies come with the project itself: write release_packages: [.]",
    "pdm.lock": "run pdm export -o requirements.txt, and name that file",
    "pylock.toml": "its format is not read. Export a requirements.txt with the tool that made it, and name that file",
}
OTHER = (
    "it is no requirements file (such as *.txt), pyproject.toml, uv.lock, poetry.lock or Pipfile.lock. Name one of "
    "these, or write release_requirements: [] and what the project needs into release_packages"
)
OTHER_KINDS = (".yml", ".yaml", ".json", ".toml", ".lock", ".py", ".cfg", ".ini", ".md", ".rst")
# What has no build for Linux. `pip freeze` writes it without the condition under which it came.
ELSEWHERE = {
    "win32": {
        "twisted-iocpsupport", "pywin32", "pypiwin32", "pywinpty", "windows-curses", "winkerberos", "wmi", "winshell",
        "win-unicode-console", "pywinauto", "winrt-runtime", "tensorflow-intel",
    },
    "darwin": {"pyobjc", "pyobjc-core", "macfsevents", "py2app"},
}  # fmt: skip
# What came into Python itself with a version, and does not install, or does harm, from there on.
BACKPORTS = {
    "dataclasses": "3.7", "contextvars": "3.7", "backports-zoneinfo": "3.9", "graphlib-backport": "3.9",
    "enum34": "3.4", "futures": "3", "typing": "3.5", "pathlib": "3.4", "asyncio": "3.4", "ipaddress": "3.3",
    "configparser": "3", "unittest2": "3", "functools32": "3",
}  # fmt: skip
KEPT_OPTIONS = {
    "-i",
    "--index-url",
    "--extra-index-url",
    "--no-index",
    "--no-binary",
    "--only-binary",
    "--require-hashes",
}
VARIABLE = re.compile(r"\$\{(?!PROJECT_ROOT\})[A-Z0-9_]+\}")  # as pip and uv fill in
# What comes behind an address: white space is on one side of the semicolon, as it may itself be in addresses.
CONDITION = re.compile(r"\s+;\s*|;\s+")
CREDENTIALS = re.compile(r"://[^/@\s]+@")
NOTICES = {
    "win32": "For Windows only, and left out: {}.",
    "darwin": "For macOS only, and left out: {}.",
    "backport": "For older Pythons only, and left out on newer ones: {}.",
    "debian": "An artefact of Debian's pip freeze, and left out: {}.",
    "foreign": "Paths of the machine on which pip freeze ran, so newest versions are installed instead: {}. "
    "release_constraints may name versions.",
    "gone": "Paths of the machine on which pip freeze ran, and left out: {}.",
    "option": "Options that uv does not have, and left out: {}.",
    "variable": "They read the environment, which has no such names on a host, and are left out: {}. Indexes are named "
    "by release_index and release_extra_indexes.",
    "hashes": "--require-hashes was left out, because {} has no hashes; those that are there are checked.",
}


def masked(text: str) -> str:
    """A text without the credentials of addresses in it."""
    return CREDENTIALS.sub("://***@", text)


def kind_fault(name: str) -> str:
    """Why a file cannot be read as what a project needs, and what to do; nothing where it can."""
    file = os.path.basename(named(name)[0])
    if file in RESOLVED:
        return ""
    if file in UNREAD:
        return UNREAD[file]
    return OTHER if file.endswith(OTHER_KINDS) else ""


def named(name: str) -> tuple[str, list[str]]:
    """The path in an entry of release_requirements, and the extras and groups that are chosen from it."""
    found = NAMED.fullmatch(name.strip())
    if not found:
        raise RequirementsError(f'release_requirements: "{name}" is no file, as in requirements.txt or uv.lock[extra]')
    chosen = [one.strip() for one in (found["chosen"] or "").split(",")]
    return found["path"].strip(), [one for one in chosen if one]


class Reader:
    """Reads all that a project needs; `needs` and `notices()` have what was found."""

    def __init__(self, contents: Mapping[str, bytes], backend: str) -> None:
        """Take the source's files by their paths."""
        self._contents = contents
        self._backend = os.path.normpath(backend)
        self._seen: set[tuple[str, object]] = set()
        self._told: dict[str, list[str]] = {}
        self.needs = Needs()

    # --- files ---

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
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # of what a tool would never write
            raise RequirementsError(f"{path} is damaged: {type(error).__name__} {error}") from error

    def _resolved(self, path: str, chosen: list[str]) -> None:
        """Read a lock file or pyproject.toml, for which a lock file may speak."""
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
        """The way from the backend to a file's folder."""
        return os.path.relpath(os.path.dirname(path) or ".", self._backend)

    def _project(self, folder: str) -> Pyproject | None:
        """The pyproject.toml of a folder."""
        path = os.path.normpath(os.path.join(folder, "pyproject.toml"))
        return Pyproject(path, self._content(path), self._from_backend(path)) if path in self._contents else None

    def _lock_of(self, project: Pyproject) -> str:
        """The lock file of a project: beside it, or uv's above it, where it is a member of a workspace."""
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
        """Take what a file other than a requirements file has."""
        for line in found.lines:
            self._line(line, path, 0, False)
        for line in found.constraints:
            self._line(line, path, 0, True)
        self.needs.overrides += found.overrides
        self.needs.notices += found.notices
        self.needs.python = found.python or self.needs.python
        for file in found.files:
            self._text(os.path.normpath(os.path.join(os.path.dirname(path), file)), False)

    def _path(self, folder: str, name: str, asked_by: str = "release_requirements") -> str:
        """Where in the source a file is that is named from a folder of it."""
        for one in (name, name.replace("\\", "/")):
            path = os.path.normpath(os.path.join(folder or self._backend, one))
            if path in self._contents:
                return path
        path = os.path.normpath(os.path.join(folder or self._backend, name))
        like = re.compile(r"requirements|pyproject\.toml$|\.lock$|^Pipfile")
        has = sorted(one for one in self._contents if like.search(one))[:8]
        raise RequirementsError(
            f"{asked_by}: the source has no file {path}. It has: {', '.join(has) or 'none of that kind'}"
        )

    def _content(self, path: str) -> str:
        return decode(self._contents[path])[0]

    # --- requirements files ---

    def _text(self, path: str, constraint: bool) -> None:
        """Read a requirements file, or one of constraints, and all that it includes."""
        if (path, constraint) in self._seen:
            return
        self._seen.add((path, constraint))
        if path not in self._contents:
            self._path(".", path)
        table = False
        for number, line in logical_lines(self._content(path)):
            if re.match(r"Package\s+Version\b", line) and not table:
                table = True  # the output of `pip list`
            elif table and not re.fullmatch(r"[-\s]+", line):
                self._line("==".join(line.split()[:2]), path, number, constraint)
            elif not table:
                self._entry(line, path, number, constraint)

    def _entry(self, line: str, path: str, number: int, constraint: bool) -> None:
        """Take one line of a requirements file."""
        option = re.match(r"(--?[a-z][\w-]*?)(?:[\s=]+|(?<=^-[a-z])(?=\S)|$)(.*)", line)
        if not option:
            self._line(line, path, number, constraint)
            return
        name, value = option[1], re.sub(r"""^(['"])(.*)\1$""", r"\2", option[2].strip())
        if VARIABLE.search(line) and name not in ("-e", "--editable"):
            self._tell("variable", masked(line))
        elif name in ("-r", "--requirement", "-c", "--constraint"):
            within = constraint or name in ("-c", "--constraint")
            if "://" in value:
                raise RequirementsError(
                    f"{at(path, number)}: {masked(value)} is another machine's file. Put a copy of it into the project"
                )
            self._text(self._path(os.path.dirname(path) or ".", value, at(path, number)), within)
        elif name in ("-e", "--editable"):
            self._editable(value, path, number, constraint)
        elif name in KEPT_OPTIONS:
            self._keep(line, False)
        elif name in ("-f", "--find-links"):
            # uv takes no relative path here; PROJECT_ROOT is what it calls the folder in which it runs.
            local = value if "://" in value else f"file://${{PROJECT_ROOT}}/{self._inside(value, path, number)}"
            self._keep(f"--find-links {local}", False)
        elif name == "--pre":
            self.needs.prerelease = True
        else:
            self._tell("option", masked(line))

    def _editable(self, value: str, path: str, number: int, constraint: bool) -> None:
        """Take what is to be installed as it lies there."""
        value, *condition = CONDITION.split(value, maxsplit=1)
        place, _, fragment = value.partition("#")
        egg = re.search(r"(?:^|&)egg=([\w.\[\],-]+)", fragment)
        within = re.search(r"(?:^|&)subdirectory=([^&\s]+)", fragment)
        if place.startswith(("git+", "git@", "git:")):
            where = git_place(place, subdirectory=within[1] if within else "")
            self._line(with_marker(f"{egg[1]} @ {where}" if egg else where, *condition), path, number, constraint)
        elif foreign(value):
            self._tell("gone", masked(value))
        elif "://" in value:
            self._keep(with_marker(f"-e {value}", *condition), constraint)
        else:
            self._keep(with_marker(f"-e {dotted(self._inside(value, path, number))}", *condition), constraint)

    def _line(self, text: str, path: str, number: int, constraint: bool) -> None:
        """Take one requirement, or leave it out with a notice."""
        if text.startswith("-e "):
            self._keep(text, constraint)
            return
        text, hashes = self._without_options(text)
        if told := unfit(text):
            raise RequirementsError(f'{at(path, number)}: "{masked(text)}" {told}')
        if re.match(r"git\+|https?://", text):
            address, *condition = CONDITION.split(text, maxsplit=1)
            egg = re.search(r"#(?:.*&)?egg=([\w.\[\],-]+)", address)
            within = re.search(r"[#&]subdirectory=([^&\s]+)", address)
            place = address.partition("#")[0].strip()
            place = git_place(place) if place.startswith("git+") else place
            place += f"#subdirectory={within[1]}" if within else ""
            self._keep(with_marker(f"{egg[1]} @ {place}" if egg else place, *condition) + hashes, constraint)
            return
        if re.match(r"\.{0,2}/|\.$|\.\[|file:|[A-Za-z]:[\\/]", text) or re.match(
            r"[^\s@;=<>]+(/|\\|\.(whl|zip|tar\.gz)\b)", text
        ):
            if foreign(text):
                self._tell("gone", masked(text))
                return
            place, semicolon, marker = text.partition(";")
            self._keep(
                f"{dotted(self._inside(place.strip(), path, number))} {semicolon}{marker}".strip() + hashes, constraint
            )
            return
        try:
            if " @ " in text:  # white space has to stand before the condition's semicolon
                text = with_marker(*CONDITION.split(text, maxsplit=1))
            wanted = Requirement(text)
        except InvalidRequirement as error:
            conda = re.match(r"[\w.-]+=[^=]", text)
            hint = ". It is a list of conda's: write one with pip freeze" if conda else ""
            raise RequirementsError(f'{at(path, number)}: "{masked(text)}" is no requirement{hint}') from error
        self._requirement(wanted, text, hashes, (path, number, constraint))

    def _requirement(self, wanted: Requirement, text: str, hashes: str, where: tuple[str, int, bool]) -> None:
        """Take one requirement that has a name."""
        path, number, constraint = where
        name = str(canonicalize_name(wanted.name))
        if name == "pkg-resources" and str(wanted.specifier) == "==0.0.0":
            self._tell("debian", wanted.name)
            return
        if wanted.url and ("://" not in wanted.url or wanted.url.startswith("file:")):
            whole = wanted.name + (f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else "")
            if foreign(wanted.url):
                hashes = ""
                self._tell("foreign", wanted.name)
            else:
                whole += f" @ {dotted(self._inside(wanted.url, path, number))}"
            text = with_marker(whole, str(wanted.marker or ""))
        if not wanted.marker:
            system = next((one for one, names in ELSEWHERE.items() if name in names), "")
            if system or (system := "darwin" if name.startswith("pyobjc-framework-") else ""):
                text = with_marker(text, f'sys_platform == "{system}"')
                self._tell(system, wanted.name)
            elif name in BACKPORTS:
                text = with_marker(text, f'python_version < "{BACKPORTS[name]}"')
                self._tell("backport", wanted.name)
        self._keep(text + hashes, constraint)

    def _without_options(self, text: str) -> tuple[str, str]:
        """A requirement without its options, and those of them that say which files fulfil it."""
        bare, *options = re.split(r"\s+(?=--[a-z])", text)
        kept = [one for one in options if one.startswith("--hash")]
        for one in options:
            if one not in kept:
                self._tell("option", masked(one))
        return bare.strip(), "".join(f" {re.sub(r'[= ]+', '=', one, count=1)}" for one in kept)

    def _inside(self, value: str, path: str, number: int) -> str:
        """A path of the source, from the backend; raise RequirementsError where there is none."""
        bare, bracket, extras = value.removeprefix("file:").partition("[")
        inside = os.path.normpath(bare.replace("\\", "/"))
        where = os.path.normpath(os.path.join(self._backend, inside))
        there = where == "." or any(one == where or one.startswith(f"{where}/") for one in self._contents)
        if inside.startswith("/") or not there:
            raise RequirementsError(f"{at(path, number)}: the source has no {where}, which {masked(value)} means")
        return inside + bracket + extras

    # --- what was found ---

    def _keep(self, line: str, constraint: bool) -> None:
        kept = self.needs.constraints if constraint else self.needs.lines
        if line not in kept:
            kept.append(line)

    def _tell(self, kind: str, what: str) -> None:
        told = self._told.setdefault(kind, [])
        if what not in told:
            told.append(what)

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
        """What a reader should know."""
        told = [NOTICES[kind].format(", ".join(self._told[kind])) for kind in NOTICES if kind in self._told]
        return [masked(one) for one in [*dict.fromkeys(self.needs.notices), *told]]


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a requirements file that say something, with their numbers: whole, and without comments."""
    pending, first = "", 0
    for number, raw in enumerate([*text.replace("\0", "").splitlines(), ""], 1):
        line = re.sub(r"(^|\s)#.*$", "", raw)
        first = first if pending else number
        if line.rstrip().endswith("\\"):
            pending += line.rstrip()[:-1] + " "
            continue
        whole, pending = (pending + line).strip().strip("\ufeff"), ""
        if whole:
            yield first, whole


def at(path: str, number: int) -> str:
    """Where a line is."""
    return f"{path}:{number}" if number else path


def unfit(text: str) -> str:
    """Why uv could not install a requirement on a host, whatever its name; nothing where it may."""
    if found := VARIABLE.search(text):
        return (
            f"reads {found[0]} of the environment, which a host does not have. Leave the file out of "
            "release_requirements, and write what it has into release_packages, with a secret from the vault"
        )
    other = re.match(r"(?:[\w.\[\],-]+\s*@\s*)?(hg|svn|bzr)\+", text)
    return (
        f"is of {other[1]}, and uv knows git alone. Take a released version, or an archive's address" if other else ""
    )


def dotted(path: str) -> str:
    """A path that cannot be taken for a package's name."""
    return path if path.startswith(".") else f"./{path}"


def foreign(value: str) -> bool:
    """Whether a path is one of another machine."""
    path = re.sub(r"^file:(//)?", "", value)
    return path.startswith(("/", "\\\\")) or bool(re.match(r"/?[A-Za-z]:[\\/]", path))


def read(
    contents: Mapping[str, bytes],
    backend: str,
    names: Iterable[str],
    packages: Iterable[str] = (),
    constraints: Iterable[str] = (),
) -> tuple[Needs, list[str]]:
    """What a project needs, and what a reader should know; raise RequirementsError where that cannot be told."""
    reader = Reader(contents, backend)
    for name in names:
        reader.read(name)
    reader.beside(packages, constraints)
    return reader.needs, reader.notices()


def python_notice(wanted: str, has: str) -> list[str]:
    """A notice where the project is for other versions of Python than the one that it gets."""
    try:
        fits = not wanted or not has or SpecifierSet(wanted).contains(has, prereleases=True)
    except InvalidSpecifier:
        return []
    told = f"The project says that it is for Python {wanted}, and gets {has}. release_python may name another one."
    return [] if fits else [told]


def local(needs: Needs) -> bool:
    """Whether some of the needs lie in the source itself."""
    return any(re.match(r"(-e )?\.|[^;#]* @ \.", line) or "${PROJECT_ROOT}" in line for line in needs.lines)


def digest(needs: Needs, release: str) -> str:
    """The name of these needs: the same ones give the same name, of every release unless a part lies in its source."""
    said = [needs.lines, needs.constraints, needs.overrides, needs.prerelease, release if local(needs) else ""]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
