"""The ASGI object of a project, and whether Django is set up before models are imported."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from ..code.commands import command_lines
from ..code.files import TESTS, Sources
from ..code.scope import Scope
from ..code.values import Call, Place, Protocols, Router, known
from .findings import Inspection
from .settings import named_settings

SETS_UP = re.compile(
    r"(get_asgi_application|get_wsgi_application|django\.setup|(?<![\w.])setup|get_default_application)\("
)
MODELS = re.compile(
    r"django\.contrib\.(?!postgres)[\w.]*models|rest_framework\.authtoken\.models|rest_framework_simplejwt\.(tokens|models).*"
)
#: A module, the name of an object in it, and the place that names it.
Candidate = tuple[str, str, Place | None]


def find_asgi(sources: Sources, found: Inspection, scope: Scope | None) -> None:
    """The ASGI object that asgi.py, the settings or a command line names, if it exists and speaks WebSocket."""
    candidates = candidates_of(sources, found, scope)
    ranked = sorted(candidates, key=lambda candidate: worth(sources, candidate), reverse=True)
    if not ranked or not worth(sources, ranked[0]):
        there = [path for path in sources.named("asgi\\.py") if path.is_relative_to(sources.backend)]
        text = "no ASGI application was found: neither asgi.py nor ASGI_APPLICATION leads to an object"
        found.note("error", sources.place(there[0]) if there else found.backend, text, "Write asgi_application.")
        found.asgi = f"{candidates[0][0]}:{candidates[0][1]}" if candidates else ""
        return
    module, attribute, _ = ranked[0]
    found.asgi = f"{module}:{attribute}"
    if file := sources.module(module):
        found.asgi_place = sources.scope(file).places.get(attribute)
        find_order(sources, found, file)


def candidates_of(sources: Sources, found: Inspection, scope: Scope | None) -> list[Candidate]:
    """What may be the ASGI object: by the settings, by commands that serve it, and by usual file names."""
    candidates: list[Candidate] = []
    setting = known(scope.values.get("ASGI_APPLICATION")) if scope else None
    if isinstance(setting, str) and "." in setting:
        module, _, attribute = setting.replace(":", ".").rpartition(".")
        candidates.append((module, attribute, scope.places.get("ASGI_APPLICATION") if scope else None))
        if not sources.module(module):
            text = f"ASGI_APPLICATION names {setting}, and there is no such module"
            found.note(
                "warning", scope.places.get("ASGI_APPLICATION") if scope else "", text, "The file beside is taken."
            )
    candidates += served_by_commands(sources)
    for path in sources.named("asgi\\.py", "routing\\.py"):
        if path.is_relative_to(sources.backend) and not TESTS.search(sources.relative(path)):
            candidates.append((sources.dotted(path), "application", sources.place(path)))
    return candidates


def worth(sources: Sources, candidate: Candidate) -> int:
    """How likely a candidate is the ASGI object; 0 if it does not exist."""
    file = sources.module(candidate[0])
    if not file or file.suffix != ".py" or candidate[1] not in sources.scope(file).values:
        return 0
    value = sources.scope(file).values[candidate[1]]
    # get_default_application() sets Django up; a bare router in routing.py does not.
    if isinstance(value, Call) and value.name.endswith("get_default_application"):
        return 4
    if isinstance(value, Protocols | Router):
        return 3 if file.name == "asgi.py" or sets_up(sources, file) else 2
    return 1


def find_order(sources: Sources, found: Inspection, file: Path) -> None:
    """Whether the ASGI object's file names settings, and what it imports before that."""
    named, named_at = named_settings(sources, file)
    if not named:
        found.settings_needed = True
    if re.search(r"""^os\.environ\[['"]DJANGO_SETTINGS_MODULE['"]\]\s*=""", sources.text(file), re.MULTILINE):
        found.settings_assigned = True
    if chain := early_models(sources, file):
        found.early = chain
    tree = sources.tree(file)
    if named_at and tree:
        before = [one for one in tree.body if one.lineno < named_at.line]
        if any(project_import(sources, file, one) for one in before):
            found.settings_needed = True


def served_by_commands(sources: Sources) -> list[tuple[str, str, Place]]:
    """The ASGI objects that a Procfile, compose files and scripts hand to a server."""
    found = []
    for place, line in command_lines(sources):
        if match := re.search(r"\b(?:daphne|uvicorn|hypercorn)\b.*?\s([A-Za-z_][\w.]*):([A-Za-z_]\w*)", line):
            found.append((match[1], match[2], place))
    return found


def sets_up(sources: Sources, path: Path) -> bool:
    """Whether a module sets Django up when it is imported."""
    return bool(
        re.search(r"^[^#\n]*(get_asgi_application|django\.setup|get_default_application)\(", sources.text(path), re.M)
    )


def project_import(sources: Sources, path: Path, node: ast.stmt) -> list[Path]:
    """The project's files that a statement imports."""
    scope_of = sources.module
    files: list[Path | None] = []
    if isinstance(node, ast.Import):
        files = [scope_of(alias.name) for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        name = node.module or ""
        files = [scope_of(name, path, node.level)] if name else []
        files += [scope_of(f"{name}.{one.name}".strip("."), path, node.level) for one in node.names if one.name != "*"]
    return [file for file in files if file and file.suffix == ".py"]


class SetUp(Exception):
    """Django is set up at this point."""


def early_models(sources: Sources, path: Path) -> list[str]:
    """The chain of imports by which an ASGI module reaches models before it has set Django up; empty if none."""
    try:
        return models_in(sources, path, {path})
    except SetUp:
        return []


def models_in(sources: Sources, path: Path, seen: set[Path]) -> list[str]:
    """The chain of imports from a module to models; raise SetUp if the module sets Django up first."""
    tree = sources.tree(path)
    for node in tree.body if tree else []:
        if chain := models_by(sources, path, node, seen):
            return chain
    return []


def models_by(sources: Sources, path: Path, node: ast.stmt, seen: set[Path]) -> list[str]:
    """The chain of imports from a statement that runs at import to models."""
    place = str(sources.place(path, node))
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return []
    if isinstance(node, ast.If | ast.Try | ast.With):
        below = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)]
        return next((chain for one in below if (chain := models_by(sources, path, one, seen))), [])
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return []
    if sets_django_up(sources, path, node):
        raise SetUp
    if isinstance(node, ast.ImportFrom) and not node.level and MODELS.fullmatch(node.module or ""):
        return [place]
    if re.match(r"\w+ = get_user_model\(\)", ast.unparse(node)):
        return [place]
    for file in project_import(sources, path, node):
        if file.stem == "models" or file.parent.name == "models":
            return [place, str(sources.place(file))]
        if file in seen:
            continue
        seen.add(file)
        if chain := models_in(sources, file, seen):
            return [place, *chain]
    return []


def sets_django_up(sources: Sources, path: Path, node: ast.stmt) -> bool:
    """Whether a statement sets Django up, directly or through a function of the same module."""
    if SETS_UP.search(ast.unparse(node)):
        return True
    tree = sources.tree(path)
    functions = {one.name: one for one in (tree.body if tree else []) if isinstance(one, ast.FunctionDef)}
    called = {one.func.id for one in ast.walk(node) if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)}
    return any(name in functions and SETS_UP.search(ast.unparse(functions[name])) for name in called)
