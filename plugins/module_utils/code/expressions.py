"""Expressions of Python code, evaluated as far as that can be done without running them."""

from __future__ import annotations

import ast
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from .branches import Branches
from .flags import literals
from .reads import READERS, UNEVALUATED
from .values import (
    DEEPEST,
    NEEDED,
    UNKNOWN,
    Call,
    Consumer,
    Environment,
    Fields,
    Imported,
    Joined,
    ModuleValue,
    Protocols,
    Reader,
    Route,
    Router,
    add,
    alternatives,
    compared,
    join,
    known,
)

PATHS = {"os.path.abspath", "os.path.realpath", "os.path.normpath", "os.path.expanduser", "str", "os.fspath"}
#: An unknown call. Not None, because a known one may return that.
OTHER = object()


class Expressions(Branches):
    """Evaluates expressions with the names that a module has assigned so far."""

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
                found = compared(self.evaluate(left), first, self.evaluate(other))
                if isinstance(found, Environment):
                    self.sources.compared.setdefault(found.name, []).extend(literals(found.how))
                return found
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
        """What a comprehension makes of a list; a value of the environment stays the same when its items are tidied."""
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
            if isinstance(left, Path) and isinstance(right, str | Path):
                return left / right
            before = left.parts if isinstance(left, Joined) and left.path else (left,)
            return Joined((*before, right), path=True)
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
        """The full name of what an expression refers to, such as `os.environ.get`, following imports."""
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
        for known_calls in (self._of_django, self._of_python):
            made = known_calls(node, name, last, arguments, keywords)
            if made is not OTHER:
                return made
        # AuthMiddlewareStack(URLRouter(…)) and the like: only what is inside matters.
        for value in (*arguments, *keywords.values()):
            if isinstance(value, Protocols):
                return value
            if isinstance(value, Router):
                return replace(value, wrappers=(last, *value.wrappers))
        return Call(name, arguments, keywords)

    def _of_django(self, node: ast.Call, name: str, last: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """What calls to readers of the environment, Django's routes and Channels return; OTHER for any other call."""
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
        return OTHER

    def _of_python(self, node: ast.Call, name: str, last: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """What calls to methods, paths and Python's own functions return; OTHER for any other call."""
        first = arguments[0] if arguments else UNKNOWN
        if isinstance(node.func, ast.Attribute):
            method = self._method(self.evaluate(node.func.value), last, arguments)
            if method is not UNKNOWN:
                return method
        if name in PATHS or last in ("Path", "PurePath") or name.endswith("Path"):
            return self._as_path(arguments)
        if name == "os.path.dirname":
            return Path(first).parent if isinstance(first, str | Path) else UNKNOWN
        if name == "os.path.join":
            return self._as_path(arguments)
        if name in ("int", "bool", "float", "json.loads", "distutils.util.strtobool", "ast.literal_eval"):
            if isinstance(first, Environment):
                return replace(first, how=(*first.how, name.rpartition(".")[2]))
            return first if isinstance(first, int | float) else Call(name, arguments)
        if name in ("list", "tuple", "set", "filter", "map"):
            value = arguments[-1] if arguments else []
            return value if isinstance(value, Environment | list | tuple) else UNKNOWN
        if name == "dict":
            return keywords or first
        return OTHER

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

    def _as_path(self, arguments: list[Any]) -> Any:
        if arguments and all(isinstance(one, str | Path) for one in arguments):
            joined = Path(*arguments)
            return Path(os.path.normpath(joined))
        if len(arguments) == 1 and isinstance(arguments[0], Environment | Joined):
            return arguments[0]
        return Joined(tuple(arguments), path=True) if arguments else UNKNOWN

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
                return self._as_path([owner, *arguments])
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
