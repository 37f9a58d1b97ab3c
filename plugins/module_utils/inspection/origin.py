"""Whether an ASGI application checks the Origin of handshakes, judged by the wrappers around its routes."""

from __future__ import annotations

import ast
import re
from typing import Any

from ..code.files import Sources
from ..code.values import UNKNOWN, Function, Protocols, Router
from .findings import Inspection

ORIGIN = re.compile(r"Origin")


def find_origin(sources: Sources, found: Inspection, value: Any) -> None:
    """Judge by the ASGI object. If it does not lead to its routes, judge by what the code calls anywhere."""
    router = value.routers.get("websocket", UNKNOWN) if isinstance(value, Protocols) else value
    if isinstance(router, Router):
        file = sources.module(found.asgi.partition(":")[0])
        values = sources.scope(file).values if file and file.suffix == ".py" else {}
        found.token.origin = any(checks(sources, name, values.get(name)) for name in router.wrappers)
        found.token.by_hosts = "AllowedHostsOriginValidator" in router.wrappers
    else:
        trees = (sources.tree(path) for path in sources.python())
        calls = (one for tree in trees if tree for one in ast.walk(tree) if isinstance(one, ast.Call))
        found.token.origin = any(ORIGIN.search(ast.unparse(call.func)) for call in calls)


def checks(sources: Sources, name: str, value: Any) -> bool:
    """Whether a wrapper checks Origins: by its name or, if the project has it, by what it calls or derives from."""
    if ORIGIN.search(name):
        return True
    if isinstance(value, Function):
        return mentions(value.node)
    for path in sources.python():
        if name in sources.text(path):
            for node in ast.walk(sources.tree(path) or ast.Module([], [])):
                if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name and mentions(node):
                    return True
    return False


def mentions(node: ast.AST) -> bool:
    """Whether code deals with Origins; comments and texts for people do not count."""
    for one in ast.walk(node):
        if isinstance(one, ast.Name) and ORIGIN.search(one.id):
            return True
        if isinstance(one, ast.Attribute) and ORIGIN.search(one.attr):
            return True
        if isinstance(one, ast.Constant) and one.value in (b"origin", "origin"):  # it reads the header
            return True
    return False
