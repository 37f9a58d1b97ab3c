"""Values of Python code that is read and never run.

A value that is known is a plain Python object. One that comes from the environment is an `Environment`, one that is
built from several is a `Joined`, and all else is `UNKNOWN`, so that nothing has to be guessed.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

LARGEST = 2_000_000  # bytes of a file, or of a text, that is looked at
DEEPEST = 60  # levels of nested expressions that are followed


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
    """A value of the environment: `default` is NEEDED if there is none and the project fails without the name."""

    name: str
    default: Any = NEEDED
    #: How it is read, outermost last: `int`, `bool`, `split:,`, `list`, `compare:True`, `url`, `helper`.
    how: tuple[str, ...] = ()


@dataclass(frozen=True)
class Joined:
    """A text joined from parts, some of which are not known; `path` if they are the parts of a path."""

    parts: tuple[Any, ...]
    path: bool = False


@dataclass(frozen=True)
class Imported:
    """A name from a module that is not the project's."""

    name: str


@dataclass(frozen=True)
class Reader:
    """An object that reads the environment when it is called: `kind` is decouple, environ or environs."""

    kind: str
    defaults: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Function:
    """A function of the project, and the module that it is in."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    path: Path


@dataclass(frozen=True)
class Fields:
    """A pydantic settings class, or an object of it: what each field reads, and where it is."""

    path: Path
    values: dict[str, Environment]
    lines: dict[str, int]


@dataclass(frozen=True)
class ModuleValue:
    """A module of the project."""

    path: Path


@dataclass(frozen=True)
class Consumer:
    """What a WebSocket route leads to; `called` if as_asgi() makes it an application."""

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
    """A URLRouter, with the names of what is wrapped around it."""

    routes: Any
    wrappers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Protocols:
    """A ProtocolTypeRouter: what serves which protocol."""

    routers: Any


@dataclass
class Call:
    """A call whose result is not known, with its arguments: what it wraps plays the part of `default`."""

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
    """The value if nothing is set, whatever the environment may say: defaults in place of names."""
    while isinstance(value, Environment):
        value = value.default
    if isinstance(value, Joined):
        parts = [known(part) for part in value.parts]
        if not all(isinstance(part, str | int | Path) for part in parts):
            return UNKNOWN
        return Path(*map(str, parts)) if value.path else "".join(str(part) for part in parts)
    return value


def copied(value: Any, depth: int = 0) -> Any:
    """A copy whose lists and mappings can change without changing the original's."""
    if depth > DEEPEST:
        return value
    if isinstance(value, dict):
        return {key: copied(item, depth + 1) for key, item in value.items()}
    return [copied(item, depth + 1) for item in value] if isinstance(value, list) else value


def add(left: Any, right: Any) -> Any:
    """`left + right` of texts and lists that may be partly unknown."""
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
    """Texts joined together, as one text if all are known."""
    parts: list[Any] = []
    for value in values:
        parts += value.parts if isinstance(value, Joined) and not value.path else [value]
    if all(isinstance(part, str | int | float | Path) for part in parts):
        return "".join(str(part) for part in parts)[:LARGEST]
    if len(parts) == 1:
        return parts[0]
    return Joined(tuple(parts)) if len(parts) < 1000 else UNKNOWN


def alternatives(values: list[Any]) -> Any:
    """`a or b`: the first that is not empty, with the next as its default if it comes from the environment."""
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
            texts = other if isinstance(other, list | tuple) and other else [other]
            against = "\x1f".join(str(text) for text in texts)  # the same as flags.BETWEEN
            kind = "not" if isinstance(op, ast.NotEq | ast.NotIn | ast.IsNot) else "compare"
            return replace(value, how=(*value.how, f"{kind}:{against}"))
    return UNKNOWN


def raises(node: ast.AST) -> bool:
    """Whether a function may raise something of its own."""
    return any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
