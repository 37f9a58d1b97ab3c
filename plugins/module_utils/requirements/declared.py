"""What a project says about the packages that it needs: which files list them, and which to name in an inventory.

The module for a file's kind reads it, as in a deploy. But here nothing may fail, and packages have places.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from ..code.files import Sources, decode
from ..code.values import Place
from .errors import RequirementsError
from .pipfile import locked, pipenv_python, pipfile_line
from .pyproject import Pyproject, toml
from .texts import INCLUDES, entries, option
from .versions import comparisons

TEXT = re.compile(
    r"(.*req(uire)?m?[a-z]*s?[^/]*|pip[-_]?[a-z]*|base|common|prod|production|main)\.(txt|pip)", re.IGNORECASE
)
OTHER = ("uv\\.lock", "poetry\\.lock", "Pipfile\\.lock", "pyproject\\.toml", "Pipfile")
#: The order of files that say the same: resolved ones come first.
ORDER = ("uv.lock", "poetry.lock", "Pipfile.lock", "requirements", "pyproject.toml", "Pipfile")
NOT_FOR_HOSTS = re.compile(
    r"(^|[^a-z])(dev|devel|development|local|tests?|testing|docs?|lint|ci|debug|windows|win)([^a-z]|$)"
)
FOR_HOSTS = re.compile(r"(^|[^a-z])(prod|production|deploy|server)([^a-z]|$)")
#: Packages by the names under which they are imported, if these differ.
PACKAGES = {
    "allauth": "django-allauth", "asgiref": "asgiref", "bs4": "beautifulsoup4", "channels": "channels",
    "channels_redis": "channels-redis", "corsheaders": "django-cors-headers",
    "crispy_bootstrap4": "crispy-bootstrap4", "crispy_bootstrap5": "crispy-bootstrap5",
    "crispy_forms": "django-crispy-forms", "cv2": "opencv-python-headless", "dateutil": "python-dateutil",
    "debug_toolbar": "django-debug-toolbar", "decouple": "python-decouple", "dj_database_url": "dj-database-url",
    "django": "Django", "django_celery_beat": "django-celery-beat", "django_celery_results": "django-celery-results",
    "django_extensions": "django-extensions", "django_filters": "django-filter", "django_redis": "django-redis",
    "dotenv": "python-dotenv", "drf_spectacular": "drf-spectacular", "drf_yasg": "drf-yasg",
    "environ": "django-environ", "import_export": "django-import-export", "jazzmin": "django-jazzmin", "jwt": "PyJWT",
    "MySQLdb": "mysqlclient", "PIL": "pillow", "psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary",
    "rest_framework": "djangorestframework", "rest_framework_simplejwt": "djangorestframework-simplejwt",
    "sklearn": "scikit-learn", "storages": "django-storages", "widget_tweaks": "django-widget-tweaks",
    "yaml": "PyYAML",
}  # fmt: skip
#: Packages that have the same name as their import, so no guess is needed.
SAME = {
    "aiohttp", "celery", "cryptography", "daphne", "django_q", "django_rq", "dramatiq", "environs", "httpx", "huey",
    "msgpack", "numpy", "openai", "pandas", "pytz", "redis", "requests", "sentry_sdk", "twisted", "uvicorn",
    "whitenoise",
}  # fmt: skip
#: Debian packages that a Python package needs to build; its wheels don't need them.
SYSTEM = {
    "psycopg2": ["gcc", "libpq-dev", "python3-dev"],
    "mysqlclient": ["default-libmysqlclient-dev", "gcc", "pkg-config", "python3-dev"],
    "python-ldap": ["gcc", "libldap-dev", "libsasl2-dev", "python3-dev"],
    "uwsgi": ["gcc", "python3-dev"],
    "pycairo": ["gcc", "libcairo2-dev", "pkg-config", "python3-dev"],
    "xmlsec": ["gcc", "libxmlsec1-dev", "pkg-config", "python3-dev"],
    "python-magic": ["libmagic1"],
    "weasyprint": ["libpango-1.0-0", "libpangoft2-1.0-0"],
}


@dataclass(frozen=True)
class Requirement:
    """One package that is asked for; `specifier` is as in requirements files, or empty for any version."""

    name: str
    specifier: str
    place: Place
    extras: str = ""

    @property
    def version(self) -> Version | None:
        """The version, if one is pinned."""
        match = re.fullmatch(r"={2,3}\s*([\w.!+-]+)", self.specifier)
        return version(match[1]) if match else None

    def allows(self, text: str) -> bool:
        """Whether a version would do."""
        try:
            return SpecifierSet(self.specifier).contains(text, prereleases=True)
        except (InvalidSpecifier, InvalidVersion):
            return True


@dataclass
class Dependencies:
    """What was found: the files to name in the inventory, and what they ask for."""

    files: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    asked: dict[str, Requirement] = field(default_factory=dict)
    python: str = ""
    python_place: Place | None = None
    resolved: bool = False
    kind: str = ""
    encodings: dict[str, str] = field(default_factory=dict)
    windows: list[Requirement] = field(default_factory=list)
    system: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    #: Packages that are used but not listed, by their bare names.
    missing: dict[str, str] = field(default_factory=dict)


@dataclass
class File:
    """A file that lists packages."""

    path: Path
    kind: str
    asked: list[Requirement]
    includes: set[Path] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)  # of a Pipfile
    python: str = ""

    @property
    def is_the_projects(self) -> bool:
        """Whether it lists what a Channels project needs."""
        return bool({"django", "channels", "channels-redis", "daphne"} & {one.name for one in self.asked})


def version(text: str) -> Version | None:
    """A version, or None if the text is not one."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def requirement(line: str, place: Place) -> Requirement | None:
    """One line of a requirements file; None for an option, a comment or an unreadable line."""
    text = re.sub(r"(^|\s)#.*$", "", line).strip().rstrip("\\").strip()
    if egg := re.search(r"[#&]egg=([\w.-]+)", line):
        return Requirement(canonicalize_name(egg[1]), "", place)
    if address := re.match(r"(?:-e\s+)?git\+\S*/([\w.-]+?)(?:\.git)?(?:@[^/\s]+)?$", text):
        return Requirement(canonicalize_name(address[1]), "", place)
    match = re.match(r"([A-Za-z0-9][\w.-]*)\s*(\[[^\]]*\])?\s*([^;@]*)", text)
    if not match or text.startswith("-") or "://" in match[1]:
        return None
    wanted = re.sub(r"\s*--hash.*$", "", match[3]).strip().strip("()")
    if wanted and not re.match(r"[=<>!~]", wanted):
        return None
    return Requirement(canonicalize_name(match[1]), wanted.replace(" ", ""), place, match[2] or "")


def line_of(text: str, name: str) -> int:
    """The first line that names a package."""
    pattern = re.compile(rf"^\W*(name\W+)?{re.escape(name)}\b".replace("\\-", "[-_.]"), re.IGNORECASE)
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)), 0)


class Reader:
    """Reads a project's files that list packages."""

    def __init__(self, sources: Sources) -> None:
        """Take the project."""
        self.sources = sources
        self.broken: dict[str, str] = {}
        self.encodings: dict[str, str] = {}

    def read(self, path: Path) -> File:
        """Read one file, whatever is in it."""
        kind = path.name if path.name in ORDER else "requirements"
        text, encoding = decode(self.sources.content(path))
        if encoding not in ("utf-8", "utf-8-sig"):
            self.encodings[self.sources.relative(path)] = encoding
        file = File(path, kind, [])
        try:
            if kind == "requirements":
                self._text(file, path, text, set())
            else:
                READERS[kind](self, file, text)
        except (RequirementsError, ValueError, RecursionError, TypeError, AttributeError) as error:
            self.broken[self.sources.relative(path)] = str(error).splitlines()[0] if str(error) else "cannot be read"
        return file

    def _text(self, file: File, path: Path, text: str, seen: set[Path]) -> None:
        seen.add(path)
        for number, line in entries(text):
            name, value = option(line)
            if name in INCLUDES:
                below = Path(os.path.normpath(path.parent / value))
                if below.is_relative_to(self.sources.folder) and below.is_file() and below not in seen:
                    file.includes.add(below)
                    self._text(file, below, self.sources.text(below), seen)
            elif found := requirement(line, self.sources.place(path, number)):
                file.asked.append(found)

    def _ask(self, file: File, name: str, versions: str, text: str) -> None:
        place = self.sources.place(file.path, line_of(text, name))
        file.asked.append(Requirement(canonicalize_name(name), versions, place))

    def _pipfile_lock(self, file: File, text: str) -> None:
        data = locked(file.kind, text)
        for name, one in data["default"].items():
            self._ask(file, name, str(one.get("version") or "") if isinstance(one, dict) else "", text)
        file.python = pipenv_python(data.get("_meta") or {})

    def _pipfile(self, file: File, text: str) -> None:
        data = toml(file.kind, text)
        folder = os.path.relpath(file.path.parent, self.sources.backend)
        for name, one in (data.get("packages") or {}).items():
            table = one if isinstance(one, dict) else {"version": str(one)}
            self._ask(file, name, comparisons(str(table.get("version", "*"))), text)
            file.lines.append(pipfile_line(name, table, folder))
        file.python = pipenv_python(data)

    def _lock(self, file: File, text: str) -> None:
        """Take everything in a lock file of uv or Poetry, whether it is asked for or not."""
        data = toml(file.kind, text)
        for one in data.get("package") or []:
            if (
                isinstance(one, dict)
                and isinstance(one.get("name"), str)
                and "virtual" not in (one.get("source") or {})
            ):
                self._ask(file, one["name"], f"=={one['version']}" if one.get("version") else "", text)
        file.python = str(data.get("requires-python") or (data.get("metadata") or {}).get("python-versions") or "")

    def _pyproject(self, file: File, text: str) -> None:
        project = Pyproject(file.kind, text, "")
        for name, versions in project.packages():
            self._ask(file, name, versions, text)
        file.python = project.python


READERS: dict[str, Callable[[Reader, File, str], None]] = {
    "uv.lock": Reader._lock,
    "poetry.lock": Reader._lock,
    "Pipfile.lock": Reader._pipfile_lock,
    "Pipfile": Reader._pipfile,
    "pyproject.toml": Reader._pyproject,
}


def distance(sources: Sources, path: Path) -> int:
    """How far a file is from the backend: those in it and below come first, then those above."""
    parts = Path(os.path.relpath(path.parent, sources.backend)).parts
    return sum(10 if part == ".." else 1 for part in parts)


def candidates(sources: Sources, reader: Reader) -> list[File]:
    """The project's lists of packages, without those for developers unless there are no others."""
    near = [
        path
        for path in [*sources.named(TEXT.pattern, TEXT.pattern.upper()), *sources.named(*OTHER)]
        if path.is_relative_to(sources.backend) or sources.backend.is_relative_to(path.parent)
        or sources.backend.is_relative_to(path.parent.parent)
    ]  # fmt: skip
    found = [reader.read(path) for path in dict.fromkeys(near) if len(path.relative_to(sources.folder).parts) <= 6]
    sources.unreadable |= reader.broken
    mine = [file for file in found if file.is_the_projects]
    hosts = [one for one in mine if one.kind != "requirements" or not NOT_FOR_HOSTS.search(told(sources, one).lower())]
    return hosts or mine


def told(sources: Sources, file: File) -> str:
    """A list's name for judging it: with its folder, since requirements/dev.txt is for developers."""
    relative = Path(sources.relative(file.path))
    return "/".join(relative.parts[-2:])


def find(sources: Sources) -> Dependencies:
    """The lists of packages to name in the inventory, and what they ask for."""
    reader = Reader(sources)
    lists = candidates(sources, reader)
    found = Dependencies(encodings=reader.encodings)

    def rank(file: File) -> tuple[int, int, int, str]:
        for_hosts = 0 if file.kind == "requirements" and FOR_HOSTS.search(told(sources, file).lower()) else 1
        return distance(sources, file.path), for_hosts, ORDER.index(file.kind), str(file.path)

    lists.sort(key=rank)
    included = {path for file in lists for path in file.includes}
    lists = [file for file in lists if file.path not in included or FOR_HOSTS.search(file.path.name)] or lists
    if not lists:
        guess(sources, found)
        return found
    chosen = lists[0]
    found.kind = chosen.kind
    found.asked = {one.name: one for one in reversed(chosen.asked)}
    found.resolved = chosen.kind.endswith(".lock")
    found.others = [sources.relative(file.path) for file in lists[1:]]
    found.python = chosen.python
    beside = [file for file in lists if file.python and file.path.parent == chosen.path.parent]
    if not found.python and beside:
        found.python = beside[0].python
    if found.python:
        found.python_place = sources.place((beside or [chosen])[0].path)
    name = Path(os.path.relpath(chosen.path, sources.backend)).as_posix()
    if chosen.kind == "Pipfile":
        found.packages = chosen.lines
    else:
        found.files = [name]
    if chosen.kind == "requirements":
        found.windows = [one for one in chosen.asked if one.name in ("twisted-iocpsupport", "pywin32", "pypiwin32")]
        found.windows += [
            one for one in chosen.asked if one.name in ("backports-zoneinfo", "dataclasses", "pkg-resources")
        ]
    found.system = sorted({package for one in found.asked for package in SYSTEM.get(one, [])})
    found.encodings = {path: how for path, how in found.encodings.items() if path == sources.relative(chosen.path)}
    python_of_files(sources, found)
    return found


def python_of_files(sources: Sources, found: Dependencies) -> None:
    """Take the Python that .python-version or runtime.txt asks for, if the lists ask for none."""
    for name in (".python-version", "runtime.txt"):
        for folder in dict.fromkeys((sources.backend, sources.folder)):
            path = folder / name
            if found.python or not path.is_file():
                continue
            if match := re.match(r"\s*(?:python-)?(\d+\.\d+)", sources.text(path)):
                found.python, found.python_place = f"=={match[1]}.*", sources.place(path, 1)


def imported(sources: Sources) -> dict[str, Place]:
    """Top-level names that the backend imports, except Python's and the project's, each with its first place."""
    found: dict[str, Place] = {}
    for path in sources.python():
        tree = sources.tree(path)
        for node in ast.walk(tree) if tree else ():
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if (
                    top not in sys.stdlib_module_names
                    and top not in found
                    and not sources.module(name)
                    and not sources.module(top)
                ):
                    found[top] = sources.place(path, node)
    return found


def package_of(name: str) -> str:
    """The package that contains a module; empty if unknown."""
    return PACKAGES.get(name, name.replace("_", "-") if name in SAME else "")


def guess(sources: Sources, found: Dependencies) -> None:
    """Guess packages from what the backend imports, if no file lists them."""
    names = imported(sources)
    found.packages = sorted({package_of(name) for name in names if package_of(name)}, key=str.lower)
    found.unknown = sorted(name for name in names if not package_of(name))
    bare = [canonicalize_name(name.partition("[")[0]) for name in found.packages]
    found.asked = {name: Requirement(name, "", Place("")) for name in bare}
    python_of_files(sources, found)
