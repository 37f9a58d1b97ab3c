"""The files of a project that is taken from the controller. Controller only."""

from __future__ import annotations

import ast
import fnmatch
import os
from pathlib import Path

from ..code.files import SKIPPED, decode
from ..code.syntax import parsed
from .view import HostView

SEARCH_DEPTH = 3  # folders below the one searched


def backend_folder(host: HostView) -> Path | None:
    """The folder of `manage.py` on the controller; None if the project does not come from here."""
    folder = host.path("release_folder")
    usable = folder and folder.is_absolute() and folder.is_dir()
    return folder / str(host.get("release_backend") or "") if folder and usable else None


def find_files(folder: Path, *patterns: str) -> list[Path]:
    """Files with these names up to `SEARCH_DEPTH` folders down, nearest first, without those of others."""
    found = []
    for root, folders, files in os.walk(folder):
        depth = len(Path(root).relative_to(folder).parts)
        mine = [one for one in folders if not one.startswith(".") and one not in SKIPPED]
        folders[:] = mine if depth < SEARCH_DEPTH else []
        found += [Path(root, name) for name in files if any(fnmatch.fnmatch(name, one) for one in patterns)]
    return sorted(found, key=lambda path: (len(path.parts), path))


def assigned_names(file: Path) -> set[str] | None:
    """Names that a module visibly assigns; None if that cannot be known."""
    try:
        tree, _ = parsed(decode(file.read_bytes())[0])
    except (SyntaxError, ValueError, OSError):
        return None  # perhaps written for a newer Python than the controller's
    names: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)  # what is assigned inside does not belong to the module
            continue
        if isinstance(node, ast.ImportFrom | ast.Import):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        waiting.extend(ast.iter_child_nodes(node))
    return None if "*" in names or "__getattr__" in names else names


def path_fault(path: str) -> str:
    """Why a path cannot be inside the project's folder; empty if it can. A slash at its end is allowed."""
    parts = path.removesuffix("/").split("/")
    if not path or not path.isprintable():
        return "is no path"
    if path.startswith(("/", "~")):
        return "is not relative to release_backend"
    if ".." in parts:
        return "leaves the project's folder"
    if "" in parts or "." in parts or "$" in path:
        return "is not written plainly"
    return ""
