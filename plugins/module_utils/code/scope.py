"""What a Python module assigns, statement by statement."""

from __future__ import annotations

import ast
import re
from typing import Any

from .expressions import Expressions
from .values import (
    NEEDED,
    UNKNOWN,
    Call,
    Consumer,
    Environment,
    Fields,
    Function,
    Imported,
    ModuleValue,
    add,
    copied,
    known,
)


class Scope(Expressions):
    """The names that a module assigns, and where. Of two branches, the one that is likelier on a host counts."""

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
                self._change(owner, method, [self.evaluate(one) for one in arguments])
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
        """What a pydantic settings class reads: names in capitals, or what an alias says."""
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
        taken, other = (body, orelse) if self._decide(test, orelse) else (orelse, body)
        if other:
            values, places = {name: copied(value) for name, value in self.values.items()}, dict(self.places)
            self.run(other)
            for name, place in self.places.items():
                if name in places and places[name] != place:
                    self.others.setdefault(name, []).append((self.values.get(name), place))
            # What only the other branch knows is better than nothing.
            self.values.update(values)
            self.places.update(places)
        self.run(taken)

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

    def _change(self, owner: ast.expr, method: str, arguments: list[Any]) -> None:
        """Do what a method call does to its list or mapping."""
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
