"""The ASGI object of a project and its WebSocket routes, found without importing them."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from ansible.module_utils import project_source
from ansible.module_utils.project_findings import Inspection, Socket, slashed
from ansible.module_utils.project_scope import Scope
from ansible.module_utils.project_settings import named_settings
from ansible.module_utils.project_source import Sources
from ansible.module_utils.project_values import (
    UNKNOWN,
    Call,
    Consumer,
    Imported,
    Place,
    Protocols,
    Route,
    Router,
    known,
)

SAMPLES = (
    "inspect",
    "1",
    "a",
    "1234",
    "12345678-1234-4123-8123-123456789012",
    "inspect_1",
    "ABC123",
    "user@example.org",
)
PLAIN = re.compile(r"[\w/.~@%+-]*", re.ASCII)
CONVERTERS = {
    "int": "1",
    "uuid": "12345678-1234-4123-8123-123456789012",
    "str": "inspect",
    "slug": "inspect",
    "path": "inspect",
}


def find_asgi(sources: Sources, found: Inspection, scope: Scope | None) -> None:
    """The ASGI object: what asgi.py, the settings or a command line names, if it is there and speaks WebSocket."""
    candidates: list[tuple[str, str, Place | None]] = []
    setting = known(scope.values.get("ASGI_APPLICATION")) if scope else None
    if isinstance(setting, str) and "." in setting:
        module, _, attribute = setting.replace(":", ".").rpartition(".")
        candidates.append((module, attribute, scope.places.get("ASGI_APPLICATION") if scope else None))
        if not sources.module(module):
            text = f"ASGI_APPLICATION names {setting}, and there is no such module"
            found.note(
                "warning", scope.places.get("ASGI_APPLICATION") if scope else "", text, "The file beside is taken."
            )
    for module, attribute, place in served_by_commands(sources):
        candidates.append((module, attribute, place))
    for path in sources.named("asgi\\.py", "routing\\.py"):
        if path.is_relative_to(sources.backend) and not project_source.TESTS.search(sources.relative(path)):
            candidates.append((sources.dotted(path), "application", sources.place(path)))

    def worth(candidate: tuple[str, str, Place | None]) -> int:
        file = sources.module(candidate[0])
        if not file or file.suffix != ".py" or candidate[1] not in sources.scope(file).values:
            return 0
        value = sources.scope(file).values[candidate[1]]
        # get_default_application() sets Django up, which a bare router in routing.py leaves to others.
        if isinstance(value, Call) and value.name.endswith("get_default_application"):
            return 4
        if isinstance(value, Protocols | Router):
            return 3 if file.name == "asgi.py" or sets_up(sources, file) else 2
        return 1

    ranked = sorted(candidates, key=worth, reverse=True)
    if not ranked or not worth(ranked[0]):
        there = [path for path in sources.named("asgi\\.py") if path.is_relative_to(sources.backend)]
        text = "no ASGI application was found: neither asgi.py nor ASGI_APPLICATION leads to an object"
        found.note("error", sources.place(there[0]) if there else found.backend, text, "Write asgi_application.")
        found.asgi = f"{candidates[0][0]}:{candidates[0][1]}" if candidates else ""
        return
    module, attribute, _ = ranked[0]
    file = sources.module(module)
    found.asgi = f"{module}:{attribute}"
    found.asgi_place = sources.scope(file).places.get(attribute) if file else None
    named, place = named_settings(sources, file) if file else ("", None)
    if file and not named:
        found.settings_needed = True
    if file and (chain := early_models(sources, file)):
        found.early = chain
    tree = sources.tree(file) if file else None
    if place and tree and any(project_import(sources, file, one) and one.lineno < place.line for one in tree.body):
        found.settings_needed = True


def served_by_commands(sources: Sources) -> list[tuple[str, str, Place]]:
    """What Procfile, compose files and scripts give to a server."""
    found = []
    for place, line in command_lines(sources):
        if match := re.search(r"\b(?:daphne|uvicorn|hypercorn)\b.*?\s([A-Za-z_][\w.]*):([A-Za-z_]\w*)", line):
            found.append((match[1], match[2], place))
    return found


def command_lines(sources: Sources) -> list[tuple[Place, str]]:
    """Lines of files that say how the project's processes are started."""
    files = sources.named(
        "Procfile.*", "(docker-)?compose.*\\.ya?ml", ".*[Dd]ockerfile.*", ".*\\.sh",
        "supervisord?.*\\.(conf|ini)", ".*\\.service",
        "Makefile", "render\\.ya?ml", "railway\\.\\w+", "start", "entrypoint",
    )  # fmt: skip
    found = []
    for path in files[:60]:
        for number, line in enumerate(sources.text(path).splitlines(), 1):
            words = re.sub(r"[\"',\[\]]+", " ", line)
            if not line.strip().startswith(("#", "//")) and len(words) < 2000:
                found.append((sources.place(path, number), words))
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


def early_models(sources: Sources, path: Path) -> list[str]:
    """The chain of imports by which an ASGI module reaches models before it has set Django up; empty for none."""
    tree = sources.tree(path)
    for node in tree.body if tree else []:
        text = ast.unparse(node)
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) and re.search(
            r"(get_asgi_application|django\.setup|(?<![\w.])setup|get_default_application)\(", text
        ):
            return []
        if chain := models_by(sources, path, node, {path}):
            return chain
    return []


def models_by(sources: Sources, path: Path, node: ast.stmt, seen: set[Path]) -> list[str]:
    """The chain of imports from a statement to models."""
    place = str(sources.place(path, node))
    if isinstance(node, ast.If | ast.Try | ast.With):
        below = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)]
        return next((chain for one in below if (chain := models_by(sources, path, one, seen))), [])
    if (
        isinstance(node, ast.ImportFrom)
        and not node.level
        and re.fullmatch(
            r"django\.contrib\.(?!postgres)[\w.]*models|rest_framework\.authtoken\.models|rest_framework_simplejwt\.(tokens|models).*",
            node.module or "",
        )
    ):
        return [place]
    if re.match(r"\w+ = get_user_model\(\)", ast.unparse(node)):
        return [place]
    for file in project_import(sources, path, node):
        if file.stem == "models" or file.parent.name == "models":
            return [place, str(sources.place(file))]
        if file in seen:
            continue
        seen.add(file)
        tree = sources.tree(file)
        for below in tree.body if tree else []:
            if chain := models_by(sources, file, below, seen):
                return [place, *chain]
    return []


def find_sockets(sources: Sources, found: Inspection) -> None:
    """The WebSocket routes of the ASGI object; of all files, where it does not lead to them."""
    module, _, attribute = found.asgi.partition(":")
    file = sources.module(module) if module else None
    routes: list[tuple[str, str, Route]] = []
    if file and file.suffix == ".py":
        scope = sources.scope(file)
        value = scope.values.get(attribute, UNKNOWN)
        if isinstance(value, Call) and value.name.endswith("get_default_application"):
            value = default_application(sources, found)
        routes = unfold(value)
    if not routes:
        for path in sources.python():
            if "Consumer" not in sources.text(path) and "as_asgi" not in sources.text(path):
                continue
            for value in list(sources.scope(path).values.values()):
                routes += [one for one in unfold(value) if one[2].place.file == sources.relative(path)]
        if routes:
            text = "WebSocket routes were found in files, and not by way of the ASGI object; prefixes may be missing"
            found.note(
                "notice", found.asgi_place or found.asgi, text, "Look at nginx_websocket_paths and handshake_path."
            )
    seen = set()
    for kind, pattern, route in routes:
        called = isinstance(route.target, Call) or (isinstance(route.target, Consumer) and route.target.called)
        socket = socket_of(kind, pattern, route.place, called)
        if socket.pattern not in seen:
            seen.add(socket.pattern)
            found.sockets.append(socket)
    if found.asgi and not found.sockets:
        text = "no WebSocket route was found"
        found.note("warning", found.asgi_place or found.asgi, text, "Write handshake_path and nginx_websocket_paths.")


def default_application(sources: Sources, found: Inspection) -> Any:
    """What the setting ASGI_APPLICATION leads to."""
    file = sources.module(found.settings)
    setting = known(sources.scope(file).values.get("ASGI_APPLICATION")) if file and file.suffix == ".py" else ""
    module, _, attribute = str(setting).rpartition(".")
    target = sources.module(module) if module else None
    return sources.scope(target).values.get(attribute, UNKNOWN) if target and target.suffix == ".py" else UNKNOWN


def unfold(value: Any, prefix: str = "", kind: str = "path", depth: int = 0) -> list[tuple[str, str, Route]]:
    """All routes to consumers below a value, with the prefixes that lead to them."""
    if depth > 20:
        return []
    match value:
        case Protocols(routers=dict() as routers):
            return unfold(routers.get("websocket", UNKNOWN), prefix, kind, depth + 1)
        case Router(routes=routes):
            return unfold(routes, prefix, kind, depth + 1)
        case list() | tuple():
            return [found for one in value for found in unfold(one, prefix, kind, depth + 1)]
        case Route(kind=own, pattern=pattern, target=target):
            both = "regex" if "regex" in (own, kind) else "path"
            whole = prefix + (pattern.removeprefix("^") if prefix else pattern)
            if isinstance(target, Router | list | tuple):
                return unfold(target, whole.removesuffix("$"), both, depth + 1)
            consumer = isinstance(target, Consumer) or (
                isinstance(target, Imported) and re.search(r"[Cc]onsumer|Socket|socket", target.name)
            )
            if isinstance(target, Call) and re.search(r"[Cc]onsumer|as_asgi|ws|WS|graphql|GraphQL", target.name):
                consumer = True
            return [(both, whole, value)] if consumer or prefix.startswith("\0") else []
        case _:
            return []


def socket_of(kind: str, pattern: str, place: Place, called: bool) -> Socket:
    """A route, with a path that it matches: none where that cannot be told."""
    if kind == "path":
        prefix = pattern.partition("<")[0]
        filled = re.sub(r"<(?:(\w+):)?\w+>", lambda match: CONVERTERS.get(match[1] or "str", "inspect"), pattern)
        sample: str | None = filled if PLAIN.fullmatch(filled) else None
        variable = "<" in pattern
    else:
        text = pattern.removeprefix("^")
        match = re.match(r"(?:[\w/~@%-]|\\[/.-])*", text)
        prefix = match[0] if match else ""
        if text[len(prefix) : len(prefix) + 1] in ("?", "*"):  # of its last character, there may be none
            prefix = prefix[:-1]
        prefix = prefix.replace("\\", "")
        plain = re.sub(r"\\([./-])", r"\1", re.sub(r"\\Z$|\$$", "", text)).removesuffix("?")
        sample = plain if PLAIN.fullmatch(plain) and matches(pattern, plain) else regex_sample(pattern, text)
        variable = plain != sample
    return Socket(pattern, slashed(prefix), "" if sample is None else slashed(sample), variable, place, called)


def matches(pattern: str, text: str) -> bool:
    """Whether a regular expression takes a text; not where it could take for ever to find out."""
    if len(pattern) > 300 or re.search(r"[+*}?]\)*[+*{]", pattern):
        return False
    try:
        return bool(re.match(pattern, text))
    except (re.error, RecursionError, OverflowError):
        return False


def regex_sample(pattern: str, text: str) -> str | None:
    """A path that a regular expression matches: each of its groups filled with the first sample that fits it."""

    def fill(match: re.Match[str]) -> str:
        inner = re.sub(r"^\(\?P<\w+>|^\(", "", match[0])[:-1]
        return next((sample for sample in SAMPLES if matches(f"(?:{inner})\\Z", sample)), "\0")

    filled = re.sub(r"\(\?P<\w+>(?:[^()]|\([^()]*\))*\)|\((?!\?)(?:[^()]|\([^()]*\))*\)", fill, text)
    filled = re.sub(r"\(\?:([^()|]*)\|?[^()]*\)\??", r"\1", filled)
    filled = re.sub(r"\\([./-])", r"\1", filled.replace("\\Z", "").replace("$", "").replace("/?", "/"))
    filled = filled.replace(".*", "").replace(".+", SAMPLES[0])
    return filled if PLAIN.fullmatch(filled) and matches(pattern, filled) else None
