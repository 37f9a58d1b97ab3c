"""What a consumer does in connect(), as far as its own file shows; nothing where a part of it is elsewhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from . import raw

GENERIC = {"AsyncWebsocketConsumer", "WebsocketConsumer", "AsyncJsonWebsocketConsumer", "JsonWebsocketConsumer"}
#: Methods of the generic consumers that neither accept nor read anything.
HARMLESS = {"accept", "close", "send", "send_json", "encode_json", "connect"}
#: What tells where a decision about a socket comes from.
USERS = {"user", "is_authenticated", "is_anonymous", "session"}
TOKENS = {"query_string", "headers", "cookies", "subprotocols", "token", "jwt"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def look(file: str, name: str) -> dict[str, Any]:
    """What a class's connect() does: whether it may accept, what it never awaits, where it closes, what it reads.

    Empty if that cannot be told: another base class, a mixin, or a function elsewhere that gets the consumer.
    """
    try:
        tree = ast.parse(raw.read(file, 300_000))
    except (SyntaxError, ValueError):
        return {}
    classes = {each.name: each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)}
    methods = _methods(classes, name)
    connect = (methods or {}).get("connect")
    if methods is None or connect is None or "websocket_connect" in methods:
        return {}
    functions = {each.name: each for each in tree.body if isinstance(each, Function)}
    nodes = list(_reached(connect, methods, functions))
    if any(_leads_away(each, methods) for each in nodes):
        return {}
    words = {each for node in nodes for each in _words(node)}
    calls = [each for each in nodes if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute)]
    names = [(each.func.attr, each.lineno) for each in calls if isinstance(each.func, ast.Attribute)]
    lost = [each.lineno for each in ast.walk(connect) if isinstance(each, ast.Expr) and _is_unawaited(each)]
    return {
        "file": file, "line": connect.lineno, "async": isinstance(connect, ast.AsyncFunctionDef),
        "accepts": any(each in ("accept", "connect") for each, _line in names),
        "unawaited": lost[0] if lost and isinstance(connect, ast.AsyncFunctionDef) else 0,
        "closes": [line for each, line in names if each == "close"]
        + [each.lineno for each in nodes if isinstance(each, ast.Raise) and "DenyConnection" in ast.unparse(each)],
        "users": sorted(words & USERS), "tokens": sorted(words & TOKENS),
    }  # fmt: skip


def _methods(classes: dict[str, ast.ClassDef], name: str) -> dict[str, Function] | None:
    """A class's methods with those of its bases in the same file; None if it has a base that is not known."""
    found: dict[str, Function] = {}
    if name not in classes:
        return None
    for base in reversed(classes[name].bases):
        known = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
        if known not in GENERIC:
            inherited = _methods(classes, known) if known != name else None
            if inherited is None:
                return None
            found |= inherited
    return found | {each.name: each for each in classes[name].body if isinstance(each, Function)}


def _reached(begin: Function, methods: dict[str, Function], functions: dict[str, Function]) -> Iterator[ast.AST]:
    """The nodes of a method, and of all methods and functions of the same file that it calls."""
    todo, done = [begin], set()
    while todo:
        part = todo.pop()
        if part.name in done:
            continue
        done.add(part.name)
        for node in ast.walk(part):
            yield node
            if isinstance(node, ast.Attribute) and node.attr in methods:
                todo.append(methods[node.attr])
            elif isinstance(node, ast.Name) and node.id in functions:
                todo.append(functions[node.id])


def _leads_away(node: ast.AST, methods: dict[str, Function]) -> bool:
    """Whether a node gives the consumer to something that is not in its file, or calls a method that is not."""
    if not isinstance(node, ast.Call):
        return False
    given = [*node.args, *(each.value for each in node.keywords)]
    if any(isinstance(each, ast.Name) and each.id == "self" for each in given):
        return True
    if not isinstance(node.func, ast.Attribute) or ast.unparse(node.func.value) != "self":
        return False
    return node.func.attr not in {*methods, *HARMLESS}


def _words(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _is_unawaited(statement: ast.Expr) -> bool:
    """Whether a statement is `self.accept()`, without `await`."""
    return isinstance(statement.value, ast.Call) and ast.unparse(statement.value.func) == "self.accept"
