"""Reads of the environment in Python code: by os, decouple, django-environ, environs, pydantic, or a function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .values import (
    NEEDED,
    UNKNOWN,
    Call,
    Environment,
    Fields,
    Function,
    ModuleValue,
    Place,
    Reader,
    raises,
)

if TYPE_CHECKING:
    from .files import Sources

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
#: What evaluating an expression may raise: because it differs from a real run, or because that would raise it, too.
UNEVALUATED = (TypeError, ValueError, KeyError, IndexError, OverflowError, MemoryError, AttributeError, OSError)


class Reading:
    """What a module reads from its environment. The parts of a scope that build on it evaluate everything else."""

    values: dict[str, Any]
    places: dict[str, Place]
    #: What else was assigned to a name, earlier or in a branch that was not taken.
    others: dict[str, list[tuple[Any, Place]]]

    def __init__(self, sources: Sources, path: Path) -> None:
        """Take the file's own name; nothing else is known yet."""
        self.sources = sources
        self.path = path
        self.values = {"__file__": path}
        self.places = {}
        self.others = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self._depth = 0

    def evaluate(self, node: ast.expr | None) -> Any:
        """The value of an expression, as far as it can be told."""
        raise NotImplementedError

    def name_of(self, node: ast.expr) -> str:
        """The full name of what an expression refers to, as `os.environ.get`, through imports."""
        raise NotImplementedError

    def _items(self, items: list[ast.expr]) -> list[Any]:
        raise NotImplementedError

    def _item(self, owner: ast.expr, key: ast.expr) -> Any:
        raise NotImplementedError

    def read(self, node: ast.AST) -> Environment | Call | None:
        """What an expression reads from the environment: by os, decouple, django-environ, environs or a function."""
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
        """What a call reads. Its first argument is the name, its argument `at` the default."""
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
        """What a call of the project's own function reads, if the function reads the name that it is given."""
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


def read_key(node: ast.AST, scope: Reading) -> tuple[ast.expr | None, ast.expr | None, bool]:
    """The key of a read of os.environ, its default, and whether it works without one."""
    if isinstance(node, ast.Subscript) and scope.name_of(node.value) == "os.environ":
        return node.slice, None, False
    if isinstance(node, ast.Call) and node.args and scope.name_of(node.func) in READS:
        second = node.args[1] if node.args[1:] else next((o.value for o in node.keywords if o.arg == "default"), None)
        return node.args[0], second, True
    return None, None, False


@dataclass(frozen=True)
class Read:
    """A read of the environment in a file, with what the code makes of it."""

    value: Environment
    place: Place


def reads(sources: Sources, path: Path) -> Iterator[Read]:
    """Every read of the environment in a file, also in functions, with the whole expression that it is part of."""
    tree = sources.tree(path)
    if tree is None:
        return
    scope = sources.scope(path)
    nodes: list[ast.AST] = [tree]
    parents: dict[ast.AST, ast.AST] = {}
    for node in nodes:  # the list grows meanwhile
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
                if isinstance(outer, ast.Attribute):  # the method of a call
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
