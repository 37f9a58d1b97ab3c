"""Requirements files as found in the wild: in any encoding, with includes, or from `pip freeze` on another machine.

Nothing is left out silently: a notice names everything that cannot be installed on the host.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ..code.files import decode
from .errors import RequirementsError
from .lines import with_marker
from .needs import Needs
from .places import git_place
from .strangers import BACKPORTS, ELSEWHERE, VARIABLE, foreign, masked, unfit

KEPT_OPTIONS = {
    "-i",
    "--index-url",
    "--extra-index-url",
    "--no-index",
    "--no-binary",
    "--only-binary",
    "--require-hashes",
}
INCLUDES = ("-r", "--requirement")
# The condition after an address: its semicolon has white space on one side, since addresses may contain semicolons.
CONDITION = re.compile(r"\s+;\s*|;\s+")


class Texts:
    """Reads requirements files; `needs` holds what it found. It collects what belongs in notices, by kind."""

    def __init__(self, contents: Mapping[str, bytes], backend: str) -> None:
        """Take the source's files, by path."""
        self._contents = contents
        self._backend = os.path.normpath(backend)
        self._seen: set[tuple[str, object]] = set()
        self._told: dict[str, list[str]] = {}
        self.needs = Needs()

    def _path(self, folder: str, name: str, asked_by: str = "release_requirements") -> str:
        """The path in the source of a file that is named relative to one of its folders."""
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

    def _text(self, path: str, constraint: bool) -> None:
        """Read a file of requirements or constraints, and everything that it includes."""
        if (path, constraint) in self._seen:
            return
        self._seen.add((path, constraint))
        if path not in self._contents:
            self._path(".", path)
        for number, line in entries(self._content(path)):
            self._entry(line, path, number, constraint)

    def _entry(self, line: str, path: str, number: int, constraint: bool) -> None:
        """Take one line of a requirements file."""
        name, value = option(line)
        if not name:
            self._line(line, path, number, constraint)
        elif VARIABLE.search(line) and name not in ("-e", "--editable"):
            self._tell("variable", masked(line))
        elif name in (*INCLUDES, "-c", "--constraint"):
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
            # uv accepts no relative path here; it calls the folder in which it runs PROJECT_ROOT.
            local = value if "://" in value else f"file://${{PROJECT_ROOT}}/{self._inside(value, path, number)}"
            self._keep(f"--find-links {local}", False)
        elif name == "--pre":
            self.needs.prerelease = True
        else:
            self._tell("option", masked(line))

    def _editable(self, value: str, path: str, number: int, constraint: bool) -> None:
        """Take an editable requirement."""
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
            if " @ " in text:  # the condition's semicolon needs white space before it
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
        """A requirement without its options, and those options that say which files satisfy it."""
        bare, *options = re.split(r"\s+(?=--[a-z])", text)
        kept = [one for one in options if one.startswith("--hash")]
        for one in options:
            if one not in kept:
                self._tell("option", masked(one))
        return bare.strip(), "".join(f" {re.sub(r'[= ]+', '=', one, count=1)}" for one in kept)

    def _inside(self, value: str, path: str, number: int) -> str:
        """A path in the source, relative to the backend; raise RequirementsError if it does not exist."""
        bare, bracket, extras = value.removeprefix("file:").partition("[")
        inside = os.path.normpath(bare.replace("\\", "/"))
        where = os.path.normpath(os.path.join(self._backend, inside))
        there = where == "." or any(one == where or one.startswith(f"{where}/") for one in self._contents)
        if inside.startswith("/") or not there:
            raise RequirementsError(f"{at(path, number)}: the source has no {where}, which {masked(value)} means")
        return inside + bracket + extras

    def _keep(self, line: str, constraint: bool) -> None:
        kept = self.needs.constraints if constraint else self.needs.lines
        if line not in kept:
            kept.append(line)

    def _tell(self, kind: str, what: str) -> None:
        told = self._told.setdefault(kind, [])
        if what not in told:
            told.append(what)


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield a requirements file's lines with their numbers: joined, without comments and empty lines."""
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


def entries(text: str) -> Iterator[tuple[int, str]]:
    """Yield a requirements file's requirements and options, with their line numbers.

    If it is the output of `pip list`, a table, each row is a requirement.
    """
    table = False
    for number, line in logical_lines(text):
        if re.match(r"Package\s+Version\b", line) and not table:
            table = True
        elif table and not re.fullmatch(r"[-\s]+", line):
            yield number, "==".join(line.split()[:2])
        elif not table:
            yield number, line


def option(line: str) -> tuple[str, str]:
    """The name and value of an option; both empty if the line is not one."""
    found = re.match(r"(--?[a-z][\w-]*?)(?:[\s=]+|(?<=^-[a-z])(?=\S)|$)(.*)", line)
    return (found[1], re.sub(r"""^(['"])(.*)\1$""", r"\2", found[2].strip())) if found else ("", "")


def at(path: str, number: int) -> str:
    """Where a line is."""
    return f"{path}:{number}" if number else path


def dotted(path: str) -> str:
    """A path that cannot be mistaken for a package's name."""
    return path if path.startswith(".") else f"./{path}"
