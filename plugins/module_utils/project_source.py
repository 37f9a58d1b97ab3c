"""Python files, read and partly evaluated, never imported or run: what a module assigns, what code asks of its host.

A value that is known is a plain Python object. One that comes from the environment is an `Environment`, one that is
built from several is a `Joined`, and all else is `UNKNOWN`, so that nothing has to be guessed.
"""

from __future__ import annotations

import ast
import codecs
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

SKIPPED = {"node_modules", "venv", "env", "virtualenv", "site-packages", "__pycache__", "bower_components"}
TESTS = re.compile(r"(^|/)(tests?|testing|conftest\.py|migrations)(/|$)|(^|/)(test_[^/]*|[^/]*_tests?|tests)\.py$")
LARGEST = 2_000_000  # bytes of a file that is looked at
MOST_FILES = 20_000
DEEPEST = 60  # expressions inside one another that are followed


class Unknown:
    """A value that only a run could tell."""

    def __repr__(self) -> str:
        return "something that only a run can tell"


UNKNOWN = Unknown()
NEEDED = Unknown()


@dataclass(frozen=True)
class Place:
    """Where something is written: a file relative to the project's folder, and a line."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Environment:
    """A value of the environment: `default` is NEEDED where there is none and the project ends without the name."""

    name: str
    default: Any = NEEDED
    #: How it is read, outermost last: `int`, `bool`, `split:,`, `list`, `compare:True`, `url`, `helper`.
    how: tuple[str, ...] = ()


@dataclass(frozen=True)
class Joined:
    """A text that is put together, in part of what is not known here."""

    parts: tuple[Any, ...]


@dataclass(frozen=True)
class Imported:
    """A name of a module that is not the project's."""

    name: str


@dataclass(frozen=True)
class Reader:
    """An object that reads the environment when it is called: `kind` is decouple, environ or environs."""

    kind: str
    defaults: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Function:
    """A function of the project, with the module that it stands in."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    path: Path


@dataclass(frozen=True)
class Fields:
    """A class of pydantic's settings, or an object of it: what each field reads, and where it stands."""

    path: Path
    values: dict[str, Environment]
    lines: dict[str, int]


@dataclass(frozen=True)
class ModuleValue:
    """A module of the project."""

    path: Path


@dataclass(frozen=True)
class Consumer:
    """What a WebSocket route leads to; `called` where it is made an application by as_asgi()."""

    name: str
    called: bool = False


@dataclass(frozen=True)
class Route:
    """One `path()`, `re_path()` or `url()`; `kind` is path or regex."""

    kind: str
    pattern: str
    target: Any
    place: Place


@dataclass(frozen=True)
class Router:
    """A URLRouter, or what wraps one."""

    routes: Any


@dataclass(frozen=True)
class Protocols:
    """A ProtocolTypeRouter: what serves which protocol."""

    routers: Any


@dataclass
class Call:
    """A call whose result is not known, with what it was given: `default`'s part is played by what it wraps."""

    name: str
    arguments: list[Any]
    keywords: dict[str, Any] = field(default_factory=dict)


def names_of(value: Any, depth: int = 0) -> list[Environment]:
    """Every name of the environment that a value is built from."""
    if depth > DEEPEST:
        return []
    if isinstance(value, Environment):
        return [value, *names_of(value.default, depth + 1)]
    parts: list[Any] = []
    if isinstance(value, Joined):
        parts = list(value.parts)
    elif isinstance(value, Call):
        parts = [*value.arguments, *value.keywords.values()]
    elif isinstance(value, dict):
        parts = [*value.values()]
    elif isinstance(value, list | tuple):
        parts = list(value)
    return [name for part in parts for name in names_of(part, depth + 1)]


def known(value: Any) -> Any:
    """The value as it is where nothing is set, whatever the environment may say: defaults in place of names."""
    while isinstance(value, Environment):
        value = value.default
    if isinstance(value, Joined):
        parts = [known(part) for part in value.parts]
        return "".join(str(part) for part in parts) if all(isinstance(p, str | int) for p in parts) else UNKNOWN
    return value


# --- files ----------------------------------------------------------------------------------------------------------


def decode(content: bytes) -> tuple[str, str]:
    """A text file's content and its encoding, by its byte order mark if it has one; what is no text, as it may be."""
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
        return content.decode("cp1252", "replace"), "cp1252"  # in which latin-1's control characters are punctuation


class Sources:
    """A project's files; those that cannot be read or parsed are in `unreadable`, with the reason."""

    def __init__(self, folder: Path) -> None:
        """Look through the folder once. Links to folders are not followed, environments and hidden folders left out."""
        self.folder = folder
        self.files: list[Path] = []
        self.environments: list[str] = []
        self.unreadable: dict[str, str] = {}
        self._trees: dict[Path, ast.Module | None] = {}
        self._scopes: dict[Path, Scope] = {}
        self._modules: dict[tuple[Path, str], Path | None] = {}
        #: Functions of the project by whether, and how, they read the name that they are given.
        self.helpers: dict[ast.AST, tuple[ast.expr | None, ast.expr | None, bool] | None] = {}
        self.backend = folder
        #: What names of the environment must say for the branches that were taken.
        self.choices: dict[str, str] = {}
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
        # Backends put folders of their applications onto the path.
        applications = {path.parent.parent for path in self.files if path.name in ("apps.py", "models.py")}
        self._roots = sorted(applications - {folder.parent})

    def relative(self, path: Path) -> str:
        """A path as it is told: from the project's folder."""
        return PurePosixPath(os.path.relpath(path, self.folder)).as_posix()

    def place(self, path: Path, node: ast.AST | int = 0) -> Place:
        """Where a node of a file is."""
        return Place(self.relative(path), node if isinstance(node, int) else getattr(node, "lineno", 0))

    def content(self, path: Path) -> bytes:
        """A file's bytes; none where it cannot be read."""
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
        """The backend's Python files, tests and migrations left out."""
        mine = (path for path in self.files if path.suffix == ".py" and path.is_relative_to(self.backend))
        return [path for path in mine if tests or not TESTS.search("/" + self.relative(path))]

    def tree(self, path: Path) -> ast.Module | None:
        """A Python file, parsed; None where that fails."""
        if path not in self._trees:
            self._trees[path] = self._parse(path)
        return self._trees[path]

    def _parse(self, path: Path) -> ast.Module | None:
        content = self.content(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of strings with odd escapes
                return ast.parse(content if content.startswith(codecs.BOM_UTF8) else decode(content)[0])
        except SyntaxError as error:
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

    def evaluated(self) -> list[Path]:
        """Files that were evaluated so far, in the order in which that began."""
        return list(self._scopes)

    def scope(self, path: Path) -> Scope:
        """What a file assigns. While it is being looked at, files that it imports see what is known so far."""
        if path not in self._scopes:
            self._scopes[path] = scope = Scope(self, path)
            tree = self.tree(path) if path.suffix == ".py" else None
            if tree:
                scope.run(tree.body)
        return self._scopes[path]


# --- what a module assigns ------------------------------------------------------------------------------------------

READS = {"os.environ.get", "os.getenv", "os.environ.setdefault", "os.environ.pop", "os.environb.get"}
URLS = {"db": "DATABASE_URL", "db_url": "DATABASE_URL", "dj_db_url": "DATABASE_URL", "database_url": "DATABASE_URL",
        "cache": "CACHE_URL", "cache_url": "CACHE_URL", "dj_cache_url": "CACHE_URL", "email": "EMAIL_URL",
        "email_url": "EMAIL_URL", "dj_email_url": "EMAIL_URL", "search_url": "SEARCH_URL",
        "channels": "CHANNELS_URL", "channels_url": "CHANNELS_URL"}  # fmt: skip
READERS = {
    "environ.Env": "environ",
    "environ.FileAwareEnv": "environ",
    "environs.Env": "environs",
    "environs.FileAwareEnv": "environs",
    "decouple.AutoConfig": "decouple",
    "decouple.Config": "decouple",
}
#: What an expression may raise that is not evaluated as it would be at a run, or would raise there, too.
UNEVALUATED = (TypeError, ValueError, KeyError, IndexError, OverflowError, MemoryError, AttributeError, OSError)
PATHS = {"os.path.abspath", "os.path.realpath", "os.path.normpath", "os.path.expanduser", "str", "os.fspath"}
ADDRESSES = re.compile(r"url|uri|host|dsn|database|addr|server", re.IGNORECASE)
DEVELOPMENT = re.compile(r"debug|devel|^dev$|^dev[_-]|[_-]dev$|local|test|runserver|sys\.argv", re.IGNORECASE)


class Scope:
    """The names that a module assigns, with the places; of branches, what the likelier one for a host assigns."""

    def __init__(self, sources: Sources, path: Path) -> None:
        """Take the file's own name; nothing else is known yet."""
        self.sources = sources
        self.path = path
        self.values: dict[str, Any] = {"__file__": path}
        self.places: dict[str, Place] = {}
        #: What else was assigned to a name, in a branch that was not taken or before.
        self.others: dict[str, list[tuple[Any, Place]]] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self._depth = 0

    # Statements

    def run(self, statements: list[ast.stmt]) -> None:
        """Evaluate statements one after another."""
        for statement in statements:
            try:
                self._statement(statement)
            except RecursionError:
                continue

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                got = self.evaluate(value)
                for target in targets:
                    self._assign(target, got, node)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, self.evaluate(value), node)
            case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=value):
                self._set(name, add(self.values.get(name, UNKNOWN), self.evaluate(value)), node)
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=owner, attr=method), args=arguments)):
                self._change(owner, method, [self.evaluate(one) for one in arguments], node)
            case ast.If(test=test, body=body, orelse=orelse):
                self._if(test, body, orelse)
            case ast.Try(body=body, orelse=orelse, finalbody=finalbody, handlers=handlers):
                for handler in handlers:
                    self.run([one for one in handler.body if isinstance(one, ast.Assign)])
                self.run([*body, *orelse, *finalbody])
            case ast.With(body=body):
                self.run(body)
            case ast.ImportFrom():
                self._import_from(node)
            case ast.Import(names=aliases):
                for alias in aliases:
                    file = self.sources.module(alias.name)
                    if alias.asname:
                        self.values[alias.asname] = ModuleValue(file) if file else Imported(alias.name)
                    else:
                        top = alias.name.partition(".")[0]
                        first = self.sources.module(top)
                        self.values[top] = ModuleValue(first) if first else Imported(top)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                self.values[name] = Function(node, self.path)
            case ast.ClassDef(name=name):
                self.classes[name] = node
                self.values[name] = Consumer(name) if "Consumer" in name else UNKNOWN
                if any(self.name_of(base).endswith("BaseSettings") for base in node.bases):
                    self.values[name] = self._fields(node)
            case _:
                pass

    def _fields(self, node: ast.ClassDef) -> Fields:
        """What a class of pydantic's settings reads: names are in capitals, or what an alias says."""
        told = [
            self.evaluate(one.value)
            for one in ast.walk(node)
            if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) in ("model_config", "env_prefix")
        ]
        prefixes = [one.keywords.get("env_prefix") if isinstance(one, Call) else one for one in told]
        prefix = next((one for one in prefixes if isinstance(one, str)), "")
        found = Fields(self.path, {}, {})
        for field_ in node.body:
            if not isinstance(field_, ast.AnnAssign) or not isinstance(field_.target, ast.Name):
                continue
            name, default = prefix + field_.target.id, NEEDED if field_.value is None else self.evaluate(field_.value)
            if isinstance(default, Call) and default.name.endswith("Field"):
                given = {**dict(zip(["default"], default.arguments, strict=False)), **default.keywords}
                names = [given[key] for key in ("validation_alias", "alias", "env") if isinstance(given.get(key), str)]
                name, default = next(iter(names), name), given.get("default", NEEDED)
            listed = re.match(r"(list|tuple|set|dict)\b", ast.unparse(field_.annotation), re.IGNORECASE)
            how = ("pydantic", "json") if listed else ("pydantic",)
            default = NEEDED if default is ... else default
            found.values[field_.target.id] = Environment(name.upper(), default, how)
            found.lines[field_.target.id] = field_.lineno
        return found

    def _if(self, test: ast.expr, body: list[ast.stmt], orelse: list[ast.stmt]) -> None:
        """Take one branch, and keep what only the other one says."""
        taken, other = (body, orelse) if self._decide(test) else (orelse, body)
        if other:
            values, places = {name: copied(value) for name, value in self.values.items()}, dict(self.places)
            self.run(other)
            for name, place in self.places.items():
                if name in places and places[name] != place:
                    self.others.setdefault(name, []).append((self.values.get(name), place))
            # What only the other branch knows is better than nothing.
            self.values, self.places = self.values | values, self.places | places
        self.run(taken)

    def _decide(self, test: ast.expr) -> bool:
        """Whether what a condition opens is for hosts: DEBUG is off there, and it is likelier than what is for others.

        Where that takes a name of the environment, what it must say is in the sources' `choices`.
        """
        opened = not self.is_development(test)
        value = self.evaluate(test)
        if not isinstance(value, Environment):
            return opened
        default, kind = known(value), value.how[-1] if value.how else ""
        if kind.startswith("compare:"):
            wanted = kind.partition(":")[2]
            if wanted.lower() in ("false", "0", "no", "off"):
                opened = bool(DEVELOPMENT.search(value.name))
            else:  # what it is compared with says more than its default
                word = value.name if wanted.lower() in ("true", "1", "yes", "on") else wanted
                opened = not DEVELOPMENT.search(word)
            if opened and str(default) != wanted:
                self.sources.choices[value.name] = wanted
            elif not opened and str(default) == wanted:
                flag = wanted.lower() in ("true", "1", "yes", "on")
                self.sources.choices[value.name] = "False" if flag else "production"
        elif default in (None, "", 0, "0", "False", "false") and not ADDRESSES.search(value.name):
            return False  # a switch, which is off unless somebody turns it on
        return opened

    def is_development(self, test: ast.expr) -> bool:
        """Whether a condition holds on a developer's machine rather than on a host."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return not self.is_development(test.operand)
        words = [part.id for part in ast.walk(test) if isinstance(part, ast.Name)]
        words += [part.attr for part in ast.walk(test) if isinstance(part, ast.Attribute)]
        words += [str(part.value) for part in ast.walk(test) if isinstance(part, ast.Constant)]
        found = any(DEVELOPMENT.search(word) for word in words)
        negative = [one for one in ast.walk(test) if isinstance(one, ast.NotEq | ast.NotIn | ast.IsNot)]
        falsy = isinstance(test, ast.Compare) and any(
            isinstance(one, ast.Constant) and one.value in (False, 0, "0", "False", "false") for one in test.comparators
        )
        return found and bool(negative) == falsy

    def _set(self, name: str, value: Any, node: ast.AST) -> None:
        if name in self.places:
            self.others.setdefault(name, []).append((self.values.get(name), self.places[name]))
        self.values[name] = value
        self.places[name] = self.sources.place(self.path, node)

    def _assign(self, target: ast.expr, value: Any, node: ast.AST) -> None:
        match target:
            case ast.Name(id=name):
                self._set(name, value, node)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                values = value if isinstance(value, list | tuple) and len(value) == len(targets) else None
                for index, one in enumerate(targets):
                    self._assign(one, values[index] if values else UNKNOWN, node)
            case ast.Subscript(value=owner, slice=key):
                found, at = self.evaluate(owner), known(self.evaluate(key))
                if isinstance(found, dict) and isinstance(at, str | int):
                    found[at] = value
                    if isinstance(owner, ast.Name):
                        self.places[owner.id] = self.sources.place(self.path, node)
            case _:
                pass

    def _change(self, owner: ast.expr, method: str, arguments: list[Any], node: ast.AST) -> None:
        """What a method does to a list or mapping that it is called of."""
        found = self.evaluate(owner)
        if isinstance(found, list) and arguments:
            match method, arguments:
                case "append", [value]:
                    found.append(value)
                case "insert", [int() as at, value]:
                    found.insert(at, value)
                case "extend", [list() | tuple() as values]:
                    found.extend(values)
                case _:
                    pass
        elif isinstance(found, dict) and method == "update" and arguments:
            if isinstance(arguments[0], dict):
                found.update(arguments[0])
            else:
                found["*"] = arguments[0]

    def _import_from(self, node: ast.ImportFrom) -> None:
        name = node.module or ""
        file = self.sources.module(name, self.path, node.level)
        for alias in node.names:
            if alias.name == "*":
                if file and file != self.path:
                    scope = self.sources.scope(file)
                    self.values |= {key: value for key, value in scope.values.items() if not key.startswith("__")}
                    self.places |= scope.places
                    for key, others in scope.others.items():
                        self.others.setdefault(key, []).extend(others)
                continue
            as_name = alias.asname or alias.name
            below = self.sources.module(f"{name}.{alias.name}" if name else alias.name, self.path, node.level)
            if file and file.suffix == ".py" and file != self.path:
                scope = self.sources.scope(file)
                if alias.name in scope.values:
                    self.values[as_name] = scope.values[alias.name]
                    if alias.name in scope.places:
                        self.places[as_name] = scope.places[alias.name]
                    continue
            if below:
                self.values[as_name] = ModuleValue(below)
            elif file or node.level:
                self.values[as_name] = UNKNOWN
            else:
                self.values[as_name] = Imported(f"{name}.{alias.name}")

    # Expressions

    def evaluate(self, node: ast.expr | None) -> Any:
        """The value of an expression, as far as it can be told."""
        if node is None or self._depth > DEEPEST:
            return UNKNOWN
        self._depth += 1
        try:
            return self._expression(node)
        except UNEVALUATED:
            return UNKNOWN
        finally:
            self._depth -= 1

    def _expression(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self.values.get(name, Imported(name))
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                found = self._items(items)
                return tuple(found) if isinstance(node, ast.Tuple) else found
            case ast.Dict(keys=keys, values=values):
                return self._mapping(keys, values)
            case ast.JoinedStr(values=values):
                return join([self.evaluate(one) for one in values])
            case ast.FormattedValue(value=value):
                return self.evaluate(value)
            case ast.BinOp(left=left, op=op, right=right):
                return self._operation(self.evaluate(left), op, self.evaluate(right))
            case ast.BoolOp(op=ast.Or(), values=values):
                return alternatives([self.evaluate(one) for one in values])
            case ast.BoolOp(op=ast.And(), values=values):
                return self.evaluate(values[-1])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._either(test, body, orelse)
            case ast.UnaryOp(operand=operand, op=op):
                value = self.evaluate(operand)
                if isinstance(op, ast.Not) and isinstance(value, Environment):
                    return replace(value, how=(*value.how, "not"))
                return (not value if isinstance(op, ast.Not) else -value) if isinstance(value, int) else UNKNOWN
            case ast.Compare(left=left, comparators=[other, *_], ops=[first, *_]):
                return compared(self.evaluate(left), first, self.evaluate(other))
            case ast.Subscript(value=owner, slice=key):
                return self._item(owner, key)
            case ast.Attribute(value=owner, attr=name):
                return self._attribute(self.evaluate(owner), name)
            case ast.Call():
                return self._call(node)
            case (
                ast.ListComp(elt=ast.expr() as element, generators=[generator])
                | ast.GeneratorExp(elt=ast.expr() as element, generators=[generator])
            ):
                return self._each(element, generator)
            case ast.Lambda() | ast.NamedExpr():
                return UNKNOWN
            case _:
                return UNKNOWN

    def _items(self, items: list[ast.expr]) -> list[Any]:
        found: list[Any] = []
        for item in items:
            if isinstance(item, ast.Starred):
                value = self.evaluate(item.value)
                found += list(value) if isinstance(value, list | tuple) else [UNKNOWN]
            else:
                found.append(self.evaluate(item))
        return found

    def _mapping(self, keys: list[ast.expr | None], values: list[ast.expr]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, item in zip(keys, values, strict=True):
            value = self.evaluate(item)
            if key is None:
                found |= value if isinstance(value, dict) else {}
            elif isinstance(at := self.evaluate(key), str | int | float | bool | None):
                found[at] = value
        return found

    def _each(self, element: ast.expr, generator: ast.comprehension) -> Any:
        """What a comprehension makes of a list; a value of the environment is the same when its items are tidied."""
        value = self.evaluate(generator.iter)
        if isinstance(value, Environment):
            return value
        if isinstance(value, list | tuple) and isinstance(generator.target, ast.Name):
            before = self.values.get(generator.target.id, UNKNOWN)
            found = []
            for item in value:
                self.values[generator.target.id] = item
                found.append(self.evaluate(element))
            self.values[generator.target.id] = before
            return found
        return UNKNOWN

    def _either(self, test: ast.expr, body: ast.expr, orelse: ast.expr) -> Any:
        taken, other = (body, orelse) if self._decide(test) else (orelse, body)
        value = self.evaluate(taken)
        if isinstance(value, Environment) and value.default is NEEDED:
            # `os.environ["X"] if "X" in os.environ else …`
            return replace(value, default=self.evaluate(other))
        return value

    def _operation(self, left: Any, op: ast.operator, right: Any) -> Any:
        if isinstance(op, ast.Add):
            return add(left, right)
        if isinstance(op, ast.Div) and isinstance(left, Path | Environment | Joined):
            return left / right if isinstance(left, Path) and isinstance(right, str) else join([left, right])
        if isinstance(op, ast.Mod) and isinstance(left, str):
            return Joined((left, *(right if isinstance(right, tuple) else (right,))))
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if numbers and isinstance(op, ast.Mult) and abs(left) < 10**9 and abs(right) < 10**9:
            return left * right
        if isinstance(op, ast.BitOr) and isinstance(left, dict) and isinstance(right, dict):
            return left | right
        return UNKNOWN

    def _item(self, owner: ast.expr, key: ast.expr) -> Any:
        if self.name_of(owner) in ("os.environ", "os.environb"):
            name = self.evaluate(key)
            return Environment(name) if isinstance(name, str) else UNKNOWN
        found, at = self.evaluate(owner), self.evaluate(key)
        if isinstance(found, Call) and found.name == ".parents" and isinstance(at, int):
            return found.arguments[0].parents[at]
        if isinstance(found, dict):
            return found.get(known(at), UNKNOWN)
        if isinstance(found, list | tuple) and isinstance(at, int):
            return found[at]
        return found if isinstance(found, Environment) else UNKNOWN

    def _attribute(self, owner: Any, name: str) -> Any:
        match owner:
            case Imported(name=before):
                return Imported(f"{before}.{name}")
            case ModuleValue(path=path):
                scope = self.sources.scope(path) if path.suffix == ".py" else None
                if scope and name in scope.values:
                    return scope.values[name]
                below = (path.parent if path.name == "__init__.py" else path) / name
                for file in (below.with_name(name + ".py"), below / "__init__.py"):
                    if file.is_file():
                        return ModuleValue(file)
                return ModuleValue(below) if below.is_dir() else UNKNOWN
            case Fields(values=values):
                return values.get(name, UNKNOWN)
            case Path():
                if name == "parents":
                    return Call(".parents", [owner])
                return owner.parent if name == "parent" else owner.name if name == "name" else UNKNOWN
            case _:
                return UNKNOWN

    def name_of(self, node: ast.expr) -> str:
        """The full name of what an expression refers to, as `os.environ.get`, through imports."""
        match node:
            case ast.Name(id=name):
                value = self.values.get(name)
                if isinstance(value, Imported):
                    return value.name
                return name if value is None or value is UNKNOWN else f".{name}"
            case ast.Attribute(value=owner, attr=name):
                before = self.name_of(owner)
                return f"{before}.{name}" if before else ""
            case _:
                return ""

    def _call(self, node: ast.Call) -> Any:
        name = self.name_of(node.func)
        last = name.rpartition(".")[2] or getattr(node.func, "attr", "")
        if found := self.read(node):
            return found
        if isinstance(made := self.evaluate(node.func), Fields):
            return made
        arguments = self._items(node.args)
        keywords = {one.arg: self.evaluate(one.value) for one in node.keywords if one.arg}
        first = arguments[0] if arguments else UNKNOWN
        if name in READERS or name == "decouple.AutoConfig":
            defaults = [(key, value[1]) for key, value in keywords.items() if isinstance(value, tuple) and value[1:]]
            return Reader(READERS[name], tuple(defaults))
        if last in ("path", "re_path", "url") and len(arguments) >= 2 and isinstance(first, str):
            kind = "path" if last == "path" else "regex"
            return Route(kind, first, arguments[1], self.sources.place(self.path, node))
        if last == "URLRouter":
            return Router(first)
        if last == "ProtocolTypeRouter":
            return Protocols(first if isinstance(first, dict) else {})
        if last == "as_asgi":
            owner = node.func.value if isinstance(node.func, ast.Attribute) else node.func
            return Consumer(ast.unparse(owner), called=True)
        if last == "include":
            return self._included(first)
        if isinstance(node.func, ast.Attribute):
            method = self._method(self.evaluate(node.func.value), last, arguments)
            if method is not UNKNOWN:
                return method
        if name in PATHS or last in ("Path", "PurePath") or name.endswith("Path"):
            return self._as_path(name, arguments)
        if name == "os.path.dirname":
            return Path(first).parent if isinstance(first, str | Path) else UNKNOWN
        if name == "os.path.join":
            return self._as_path("Path", arguments)
        if name in ("int", "bool", "float", "json.loads", "distutils.util.strtobool", "ast.literal_eval"):
            if isinstance(first, Environment):
                return replace(first, how=(*first.how, name.rpartition(".")[2]))
            return first if isinstance(first, int | float) else Call(name, arguments)
        if name in ("list", "tuple", "set", "filter", "map"):
            value = arguments[-1] if arguments else []
            return value if isinstance(value, Environment | list | tuple) else UNKNOWN
        if name == "dict":
            return keywords or first
        # AuthMiddlewareStack(URLRouter(…)) and all the others: what is inside is what matters.
        for value in (*arguments, *keywords.values()):
            if isinstance(value, Router):
                return value
        return Call(name, arguments, keywords)

    def _included(self, target: Any) -> Any:
        """The routes of `include("module")` or `include(routes)`."""
        if isinstance(target, tuple) and target:
            target = target[0]
        if isinstance(target, str):
            file = self.sources.module(target)
            target = ModuleValue(file) if file else UNKNOWN
        if isinstance(target, ModuleValue) and target.path.suffix == ".py":
            values = self.sources.scope(target.path).values
            routes = [values[name] for name in ("websocket_urlpatterns", "urlpatterns") if name in values]
            return Router(routes[0] if routes else UNKNOWN)
        return Router(target) if isinstance(target, list | tuple) else UNKNOWN

    def _as_path(self, name: str, arguments: list[Any]) -> Any:
        if arguments and all(isinstance(one, str | Path) for one in arguments):
            joined = Path(*arguments)
            return Path(os.path.normpath(joined))
        if len(arguments) == 1 and isinstance(arguments[0], Environment | Joined):
            return arguments[0]
        return Joined(tuple(arguments)) if arguments else UNKNOWN

    def _method(self, owner: Any, name: str, arguments: list[Any]) -> Any:
        """What a method of a text, path or value of the environment returns."""
        if isinstance(owner, Environment):
            if name == "split":
                by = arguments[0] if arguments else " "
                return replace(owner, how=(*owner.how, f"split:{by}"))
            if name in ("lower", "upper", "strip", "rstrip", "lstrip", "replace", "title", "resolve", "absolute"):
                return owner
        if isinstance(owner, Path):
            if name in ("resolve", "absolute", "expanduser", "as_posix", "__str__"):
                return owner
            if name == "joinpath":
                return self._as_path("Path", [owner, *arguments])
        if isinstance(owner, str):
            match name, arguments:
                case "split", [str() as by]:
                    return owner.split(by) if by else UNKNOWN
                case "split", []:
                    return owner.split()
                case "format", _:
                    return Joined((owner, *arguments))
                case (("strip" | "lower" | "upper"), []):
                    return getattr(owner, name)()
                case _:
                    return UNKNOWN
        if isinstance(owner, dict) and name == "get" and arguments:
            return owner.get(known(arguments[0]), arguments[1] if arguments[1:] else UNKNOWN)
        return UNKNOWN

    # The environment

    def read(self, node: ast.AST) -> Environment | Call | None:
        """What of the environment an expression reads, by os, decouple, django-environ, environs or an own function."""
        if isinstance(node, ast.Subscript):
            value = self._item(node.value, node.slice) if isinstance(node.ctx, ast.Load) else None
            return value if isinstance(value, Environment) and not value.how else None
        if not isinstance(node, ast.Call):
            return None
        name = self.name_of(node.func)
        if name in READS:
            return self._named(node, absent=None)
        if name == "decouple.config":
            return self._named(node, absent=NEEDED, how=("config",))
        if name in ("dj_database_url.config", "django_database_url.config"):
            keywords = {one.arg: self.evaluate(one.value) for one in node.keywords if one.arg}
            at = keywords.get("env")
            arguments = self._items(node.args)
            default = arguments[1] if arguments[1:] else keywords.get("default")
            given = at if isinstance(at, str) else arguments[0] if arguments else "DATABASE_URL"
            return Environment(given if isinstance(given, str) else "DATABASE_URL", default, ("url",))
        if name == "dj_database_url.parse" and node.args:
            value = self.evaluate(node.args[0])
            return replace(value, how=(*value.how, "url")) if isinstance(value, Environment) else None
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        reader = self.evaluate(node.func) if owner is None else self.evaluate(owner)
        if isinstance(reader, Reader):
            return self._by_reader(reader, "" if owner is None else getattr(node.func, "attr", ""), node)
        if owner is None or isinstance(reader, ModuleValue):
            function = self.evaluate(node.func)
            if isinstance(function, Function):
                return self._by_function(function, node)
        return None

    def _named(self, node: ast.Call, absent: Any, how: tuple[str, ...] = (), at: int = 1) -> Environment | None:
        """What a call reads whose first argument is the name, and whose argument `at` is the default."""
        name = self.evaluate(node.args[0]) if node.args else UNKNOWN
        if not isinstance(name, str):
            return None
        default = absent
        if len(node.args) > at:
            default = self.evaluate(node.args[at])
        for keyword in node.keywords:
            if keyword.arg in ("default", "subcast_default"):
                default = self.evaluate(keyword.value)
            elif keyword.arg == "cast":
                cast = self.name_of(keyword.value) or ast.unparse(keyword.value)
                how = (*how, "list" if re.search(r"Csv|split", cast) else cast.rpartition(".")[2])
        return Environment(name, default, how)

    def _by_reader(self, reader: Reader, method: str, node: ast.Call) -> Environment | None:
        if method in ("read_env", "read_envfile", "prefixed", "seal", "get_value") and method != "get_value":
            return None
        how = (reader.kind, *((method,) if method else ()))
        if method in URLS:
            found = self._named(node, NEEDED, (*how, "url")) if node.args else None
            if found is None:
                default = next((self.evaluate(one.value) for one in node.keywords if one.arg == "default"), NEEDED)
                found = Environment(URLS[method], default, (*how, "url"))
        else:
            # environ.Env()(name, cast, default), but env.bool(name, default)
            found = self._named(node, NEEDED, how, at=2 if reader.kind == "environ" and not method else 1)
        if found and found.default is NEEDED:
            found = replace(found, default=dict(reader.defaults).get(found.name, NEEDED))
        return found

    def _by_function(self, function: Function, node: ast.Call) -> Environment | None:
        """What a call of the project's own function reads, if that reads the name which it is given."""
        arguments = [one.arg for one in [*function.node.args.posonlyargs, *function.node.args.args]]
        if function.node not in self.sources.helpers:
            scope = self.sources.scope(function.path)
            found = (read_key(inner, scope) for inner in ast.walk(function.node))
            mine = (one for one in found if isinstance(one[0], ast.Name) and one[0].id in arguments)
            self.sources.helpers[function.node] = next(mine, None)
        if (read := self.sources.helpers[function.node]) is None:
            return None
        given = dict(zip(arguments, node.args, strict=False))
        given |= {one.arg: one.value for one in node.keywords if one.arg}
        name = self.evaluate(given.get(getattr(read[0], "id", "")))
        if not isinstance(name, str):
            return None
        return Environment(name, self._function_default(function, given, *read[1:]), ("helper",))

    def _function_default(
        self, function: Function, given: dict[str, ast.expr], second: ast.expr | None, soft: bool
    ) -> Any:
        arguments = function.node.args
        own = [one.arg for one in [*arguments.posonlyargs, *arguments.args]]
        defaults: dict[str, ast.expr] = dict(
            zip(own[len(own) - len(arguments.defaults) :], arguments.defaults, strict=True)
        )
        wanted = second.id if isinstance(second, ast.Name) else ""
        for name in [wanted] if wanted else [one for one in own if re.search(r"default|fallback|alternative", one)]:
            if name in given:
                return self.evaluate(given[name])
            if name in defaults:
                value = self.sources.scope(function.path).evaluate(defaults[name])
                return NEEDED if value is None and raises(function.node) else value
        if raises(function.node):
            return NEEDED
        if second is not None and not wanted:
            return self.sources.scope(function.path).evaluate(second)
        return None if soft else NEEDED


def raises(node: ast.AST) -> bool:
    """Whether a function may raise something of its own."""
    return any(isinstance(inner, ast.Raise) for inner in ast.walk(node))


def read_key(node: ast.AST, scope: Scope) -> tuple[ast.expr | None, ast.expr | None, bool]:
    """The key of a read of os.environ, its default, and whether it does without one."""
    if isinstance(node, ast.Subscript) and scope.name_of(node.value) == "os.environ":
        return node.slice, None, False
    if isinstance(node, ast.Call) and node.args and scope.name_of(node.func) in READS:
        second = node.args[1] if node.args[1:] else next((o.value for o in node.keywords if o.arg == "default"), None)
        return node.args[0], second, True
    return None, None, False


def copied(value: Any, depth: int = 0) -> Any:
    """A value whose lists and mappings may be changed without changing those of the original."""
    if depth > DEEPEST:
        return value
    if isinstance(value, dict):
        return {key: copied(item, depth + 1) for key, item in value.items()}
    return [copied(item, depth + 1) for item in value] if isinstance(value, list) else value


def add(left: Any, right: Any) -> Any:
    """`left + right` of texts and lists, in part unknown."""
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return [*left, *right]
    if isinstance(left, list | tuple) or isinstance(right, list | tuple):
        return [
            *(left if isinstance(left, list | tuple) else [UNKNOWN]),
            *(right if isinstance(right, list | tuple) else []),
        ]
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left + right
    if isinstance(left, str | Environment | Joined | Path) or isinstance(right, str | Environment | Joined):
        return join([left, right])
    return UNKNOWN


def join(values: list[Any]) -> Any:
    """Texts one after another, as one text where all are known."""
    parts: list[Any] = []
    for value in values:
        parts += value.parts if isinstance(value, Joined) else [value]
    if all(isinstance(part, str | int | float | Path) for part in parts):
        return "".join(str(part) for part in parts)[:LARGEST]
    if len(parts) == 1:
        return parts[0]
    return Joined(tuple(parts)) if len(parts) < 1000 else UNKNOWN


def alternatives(values: list[Any]) -> Any:
    """`a or b`: the first that is something, with the next as its default where it comes from the environment."""
    first, *rest = values
    if isinstance(first, Environment) and rest:
        return replace(first, default=alternatives(rest)) if first.default in (None, "", NEEDED) else first
    if rest and (first is UNKNOWN or first in (None, "", 0, False) or first == [] or first == {}):
        return alternatives(rest)
    return first


def compared(left: Any, op: ast.cmpop, right: Any) -> Any:
    """`NAME == "True"` and the like: the name, with what it is compared with."""
    for value, other in ((left, right), (right, left)):
        if isinstance(value, Environment):
            against = other[0] if isinstance(other, list | tuple) and other else other
            kind = "not" if isinstance(op, ast.NotEq | ast.NotIn | ast.IsNot) else "compare"
            return replace(value, how=(*value.how, f"{kind}:{against}"))
    return UNKNOWN


@dataclass(frozen=True)
class Read:
    """A read of the environment in a file, with what the code makes of it."""

    value: Environment
    place: Place


def reads(sources: Sources, path: Path) -> Iterator[Read]:
    """Every read of the environment in a file, functions included, with all of the expression that it is part of."""
    tree = sources.tree(path)
    if tree is None:
        return
    scope = sources.scope(path)
    nodes: list[ast.AST] = [tree]
    parents: dict[ast.AST, ast.AST] = {}
    for node in nodes:  # which grows
        below = list(ast.iter_child_nodes(node))
        nodes += below
        parents |= dict.fromkeys(below, node)
    for fields in scope.values.values():
        if isinstance(fields, Fields) and fields.path == path:
            for name, field_ in fields.values.items():
                yield Read(field_, sources.place(path, fields.lines[name]))
    guarded = set()  # "NAME" in os.environ
    for node in nodes:
        asks = isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn)
        if isinstance(node, ast.Compare) and asks and scope.name_of(node.comparators[0]) == "os.environ":
            guarded.add(str(scope.evaluate(node.left)))
    for node in nodes:
        if not isinstance(node, ast.Call | ast.Subscript):
            continue
        try:
            value = scope.read(node)
            if not isinstance(value, Environment):
                continue
            outer: ast.AST | None = parents.get(node)
            while isinstance(outer, ast.expr):
                if isinstance(outer, ast.Attribute):  # of a method that is called
                    outer = parents.get(outer)
                    continue
                whole = scope.evaluate(outer)
                if not isinstance(whole, Environment) or whole.name != value.name:
                    break
                value, outer = whole, parents.get(outer)
        except (RecursionError, *UNEVALUATED):
            continue
        if value.default is NEEDED and value.name in guarded:
            value = replace(value, default=None)
        yield Read(value, sources.place(path, node))
