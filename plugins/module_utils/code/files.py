"""A project's files: found, decoded and parsed, never imported or run."""

from __future__ import annotations

import ast
import codecs
import os
import re
import warnings
from pathlib import Path, PurePosixPath

from .scope import Scope
from .syntax import GENERIC, parsed
from .values import LARGEST, Place

SKIPPED = {"node_modules", "venv", "env", "virtualenv", "site-packages", "__pycache__", "bower_components"}
TESTS = re.compile(r"(^|/)(tests?|testing|conftest\.py|migrations)(/|$)|(^|/)(test_[^/]*|[^/]*_tests?|tests)\.py$")
MOST_FILES = 20_000


def decode(content: bytes) -> tuple[str, str]:
    """A text file's content and its encoding, by its byte order mark if it has one. Decodes anything somehow."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            return content.decode(encoding, "replace"), encoding
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):  # without a mark, every second byte is zero
        if content[first : first + 1] == b"\0" and content[first::2].count(0) > len(content) // 4:
            return content.decode(encoding, "replace"), encoding
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace"), "cp1252"  # has punctuation where latin-1 has control characters


class Sources:
    """A project's files; those that cannot be read or parsed are in `unreadable`, with the reason."""

    def __init__(self, folder: Path) -> None:
        """Look through the folder once. Skip links to folders, virtual environments and hidden folders."""
        self.folder = folder
        self.files: list[Path] = []
        self.environments: list[str] = []
        self.unreadable: dict[str, str] = {}
        #: Files that only Python 3.12 or newer reads, each with the first such line.
        self.newer: dict[str, int] = {}
        self._trees: dict[Path, ast.Module | None] = {}
        self._scopes: dict[Path, Scope] = {}
        self._modules: dict[tuple[Path, str], Path | None] = {}
        #: For each of the project's functions: whether, and how, it reads the name that it is given.
        self.helpers: dict[ast.AST, tuple[ast.expr | None, ast.expr | None, bool] | None] = {}
        self.backend = folder
        #: What names of the environment must say for the branches that were taken.
        self.choices: dict[str, str] = {}
        #: What the code compares each name of the environment with, anywhere.
        self.compared: dict[str, list[str]] = {}
        for root, folders, names in os.walk(folder):
            here = Path(root)
            if here != folder and ("pyvenv.cfg" in names or {"Lib", "Scripts"} <= set(folders)):
                self.environments.append(self.relative(here))
                folders[:] = []
                continue
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SKIPPED)
            self.files += [here / name for name in sorted(names) if (here / name).is_file()]
            if len(self.files) > MOST_FILES:
                self.unreadable["."] = f"more than {MOST_FILES} files; the rest was not looked at"
                break
        # Backends put their applications' folders on the path.
        applications = {path.parent.parent for path in self.files if path.name in ("apps.py", "models.py")}
        self._roots = sorted(applications - {folder.parent})

    def relative(self, path: Path) -> str:
        """A path as people see it: relative to the project's folder."""
        return PurePosixPath(os.path.relpath(path, self.folder)).as_posix()

    def place(self, path: Path, node: ast.AST | int = 0) -> Place:
        """Where a node of a file is."""
        return Place(self.relative(path), node if isinstance(node, int) else getattr(node, "lineno", 0))

    def content(self, path: Path) -> bytes:
        """A file's bytes; empty if it cannot be read."""
        try:
            if path.stat().st_size > LARGEST:
                self.unreadable[self.relative(path)] = f"larger than {LARGEST} bytes"
                return b""
            return path.read_bytes()
        except OSError as error:
            self.unreadable[self.relative(path)] = error.strerror or type(error).__name__
            return b""

    def text(self, path: Path) -> str:
        """A text file's content."""
        return decode(self.content(path))[0]

    def named(self, *patterns: str) -> list[Path]:
        """Files whose name matches, those nearest to the project's folder first."""
        found = [path for path in self.files if any(re.fullmatch(one, path.name) for one in patterns)]
        return sorted(found, key=lambda path: (len(path.parts), str(path)))

    def python(self, *, tests: bool = False) -> list[Path]:
        """The backend's Python files, without tests and migrations."""
        mine = (path for path in self.files if path.suffix == ".py" and path.is_relative_to(self.backend))
        return [path for path in mine if tests or not TESTS.search("/" + self.relative(path))]

    def tree(self, path: Path) -> ast.Module | None:
        """A Python file, parsed; None if that fails."""
        if path not in self._trees:
            self._trees[path] = self._parse(path)
        return self._trees[path]

    def _parse(self, path: Path) -> ast.Module | None:
        content = self.content(path)
        try:
            text = decode(content)[0]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about odd escapes in strings
                tree, line = parsed(text)
            if line:
                self.newer[self.relative(path)] = line
            return tree
        except SyntaxError as error:
            if error.lineno and any(map(GENERIC.search, text.splitlines()[error.lineno - 1 : error.lineno])):
                self.newer[self.relative(path)] = error.lineno
            self.unreadable[self.relative(path)] = f"line {error.lineno}: {error.msg}" if error.lineno else error.msg
        except (ValueError, RecursionError, MemoryError) as error:
            self.unreadable[self.relative(path)] = str(error) or type(error).__name__
        return None

    def module(self, name: str, near: Path | None = None, level: int = 0) -> Path | None:
        """The file of a module of the project, as a file in the folder of `near` would import it."""
        parts = [part for part in name.split(".") if part]
        if level and near:
            start = near.parent
            for _ in range(level - 1):
                start = start.parent
            return self._file(start, parts)
        if not parts:
            return None
        key = self.backend, name
        if key not in self._modules:
            roots = [self.backend, *(one for one in self._roots if one.is_relative_to(self.backend))]
            self._modules[key] = next((file for one in roots if (file := self._file(one, parts))), None)
        return self._modules[key]

    def _file(self, start: Path, parts: list[str]) -> Path | None:
        if not start.is_relative_to(self.folder):
            return None
        path = start.joinpath(*parts)
        for file in (path / "__init__.py", path.with_name(path.name + ".py")) if parts else (path / "__init__.py",):
            if file.is_file():
                return file
        return path if parts and path.is_dir() and any(path.glob("*.py")) else None

    def dotted(self, path: Path) -> str:
        """A file's name as a module of the backend."""
        parts = list(PurePosixPath(os.path.relpath(path, self.backend)).with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1:] == ["__init__"] else parts)

    def forget(self) -> None:
        """Forget what files assign, but not what names of the environment are compared with."""
        self._scopes.clear()
        self.helpers.clear()
        self.choices.clear()

    def evaluated(self) -> list[Path]:
        """Files that were evaluated so far, in the order in which they were begun."""
        return list(self._scopes)

    def scope(self, path: Path) -> Scope:
        """What a file assigns. While it is being evaluated, files that it imports see what is known so far."""
        if path not in self._scopes:
            self._scopes[path] = scope = Scope(self, path)
            tree = self.tree(path) if path.suffix == ".py" else None
            if tree:
                scope.run(tree.body)
        return self._scopes[path]
