"""Files beside or above the code that a project's settings read, and what they must hold."""

from __future__ import annotations

import ast
import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..code.files import Sources
from ..code.scope import Scope
from ..code.values import known
from .findings import Inspection, ReadFile

DATA = re.compile(r"\.(ya?ml|json|toml|ini|cfg|conf|env|txt|key|pem)$|(^|/)\.env[\w.]*$")
LOADS = ("yaml.safe_load", "yaml.load", "yaml.full_load", "json.load", "json.loads", "tomllib.load", "tomllib.loads",
         "toml.load", "toml.loads")  # fmt: skip
METHODS = ("open", "read_text", "read_bytes")


def find_read_files(sources: Sources, found: Inspection, settings_files: list[Path]) -> None:
    """Find the files that the settings read; skip those that are shipped, and mark those that are optional."""
    unnamed: list[ReadFile] = []
    for path in settings_files:
        if path.suffix == ".py" and (tree := sources.tree(path)):
            FileReads(sources, found, path, tree).find(unnamed)
    if not found.files_read:
        found.files_read += unnamed[:1]


class FileReads:
    """Looks through one module of settings."""

    def __init__(self, sources: Sources, found: Inspection, path: Path, tree: ast.Module) -> None:
        """Take the module, and note each node's parent."""
        self.sources, self.found, self.path, self.tree = sources, found, path, tree
        self.scope: Scope = sources.scope(path)
        self.parents: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(tree):
            self.parents |= dict.fromkeys(ast.iter_child_nodes(node), node)

    def find(self, unnamed: list[ReadFile]) -> None:
        """Add the files that this module reads to what was found."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.level and node.module:
                self._module(node)
            if not isinstance(node, ast.Call):
                continue
            name, place = self.scope.name_of(node.func), self.sources.place(self.path, node)
            if name.endswith("load_dotenv"):
                self._dotenv(node)
            elif (file := self._file(node)) is not None:
                self._add(file, node)
            elif name in LOADS and not any(self._file(one) is not None for one in self._opened(node)):
                unnamed.append(ReadFile("", place))

    def _module(self, node: ast.ImportFrom) -> None:
        """Note a settings module that is missing, such as one that git ignores."""
        name = node.module or ""
        if not self.sources.module(name, self.path, node.level):
            folder = self.path.parents[node.level - 1]
            self._add(folder.joinpath(*name.split(".")).with_suffix(".py"), node)

    def _file(self, node: ast.AST) -> Path | None:
        """The file that a call opens; None if it opens none, or if the code does not show which."""
        if not isinstance(node, ast.Call):
            return None
        name = self.scope.name_of(node.func)
        if name in ("open", "io.open") and node.args:
            value = known(self.scope.evaluate(node.args[0]))
        elif isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            value = known(self.scope.evaluate(node.func.value))
            value = value if isinstance(value, Path) else None
        else:
            return None
        if not isinstance(value, str | Path) or not DATA.search(str(value)) or self._writes(node):
            return None
        return Path(os.path.normpath(self.sources.backend / value))

    def _writes(self, node: ast.Call) -> bool:
        return any(isinstance(one, ast.Constant) and str(one.value)[:1] in ("w", "a", "x") for one in node.args[1:])

    def _opened(self, node: ast.Call) -> list[ast.AST]:
        """What opened the file that a call loads from: an argument, or the `with` around it."""
        opened: list[ast.AST] = [inner for one in node.args for inner in ast.walk(one)]
        names = {one.id for one in opened if isinstance(one, ast.Name)}
        for outer in self._around(node):
            if isinstance(outer, ast.With):
                opened += [one.context_expr for one in outer.items if ast.unparse(one.optional_vars or node) in names]
        return opened

    def _around(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around a node, from the inside out."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def _add(self, file: Path, node: ast.Call | ast.ImportFrom) -> None:
        read = ReadFile(os.path.relpath(file, self.sources.backend), self.sources.place(self.path, node))
        if not file.is_relative_to(self.sources.folder):
            read.path = str(file)
        if shipped(self.sources, file) or any(one.path == read.path for one in self.found.files_read):
            return
        read.optional = self._optional(node)
        if isinstance(node, ast.Call):
            self._keys(node, read)
        self.found.files_read.append(read)

    def _optional(self, node: ast.AST) -> bool:
        """Whether the project can do without the file: it checks first, or catches the error."""
        for outer in self._around(node):
            if isinstance(outer, ast.If) and re.search(r"exists\(|is_file\(|isfile\(", ast.unparse(outer.test)):
                return True
            if isinstance(outer, ast.Try) and outer.handlers:
                return not all(any(isinstance(one, ast.Raise) for one in each.body) for each in outer.handlers)
        return False

    def _holders(self, node: ast.Call) -> list[str]:
        """The names to which the file's loaded content is assigned."""
        around: ast.AST | None = node
        while around is not None and not isinstance(around, ast.stmt):
            around = self.parents.get(around)
        inside = list(ast.walk(around)) if isinstance(around, ast.With | ast.Assign) else []
        found = []
        for one in inside:
            if isinstance(one, ast.Assign) and isinstance(one.value, ast.Call) and len(one.targets) == 1:
                calls = [self.scope.name_of(each.func) for each in ast.walk(one.value) if isinstance(each, ast.Call)]
                if set(calls) & set(LOADS) and isinstance(one.targets[0], ast.Name):
                    found.append(one.targets[0].id)
        return found

    def _keys(self, opened: ast.Call, read: ReadFile) -> None:
        """The keys that the module reads from the loaded content by `[…]`, so they must be there."""
        names = self._holders(opened)
        for node in ast.walk(self.tree):
            base, keys = key_chain(node)
            if not keys or isinstance(self.parents.get(node), ast.Subscript):
                continue
            direct = isinstance(base, ast.Call) and self.scope.name_of(base.func) in LOADS
            if (isinstance(base, ast.Name) and base.id in names) or (direct and opened in self._opened(base)):
                read.keys.setdefault(keys, self.sources.place(self.path, node))

    def _dotenv(self, node: ast.Call) -> None:
        if any(one.arg == "override" and isinstance(one.value, ast.Constant) and one.value.value
               for one in node.keywords):  # fmt: skip
            text = "load_dotenv(override=True): a .env file in the folder would replace what the inventory says"
            fix = "See that none is deployed, or write it by release_files."
            self.found.note("warning", self.sources.place(self.path, node), text, fix)


def key_chain(node: ast.AST) -> tuple[Any, tuple[str, ...]]:
    """`base["a"]["b"]` as its parts; no keys for anything else."""
    keys: tuple[str, ...] = ()
    while isinstance(node, ast.Subscript):
        if not isinstance(node.slice, ast.Constant) or not isinstance(node.slice.value, str):
            return node, ()
        keys = (node.slice.value, *keys)
        node = node.value
    return node, keys


def shipped(sources: Sources, file: Path) -> bool:
    """Whether a file goes to the host with the code: it exists, and no .gitignore above it excludes it."""
    if not file.is_file() or not file.is_relative_to(sources.folder):
        return False
    for folder in (file.parent, *file.parent.parents):
        relative = file.relative_to(folder).as_posix()
        for line in sources.text(folder / ".gitignore").splitlines() if (folder / ".gitignore").is_file() else ():
            pattern = line.strip()
            if pattern and not pattern.startswith(("#", "!")) and matches(pattern, relative):
                return False
        if folder == sources.folder:
            break
    return True


def matches(pattern: str, path: str) -> bool:
    """Whether a line of .gitignore matches a path that is relative to the .gitignore."""
    parts = path.split("/")
    anchored = "/" in pattern.rstrip("/")
    text = pattern.strip("/")
    if anchored:
        return any(fnmatch.fnmatch("/".join(parts[:end]), text) for end in range(1, len(parts) + 1))
    names = parts[:-1] if pattern.endswith("/") else parts
    return any(fnmatch.fnmatch(part, text) for part in names)
