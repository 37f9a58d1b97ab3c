"""A project's ASGI object and its WebSocket routes, found without importing them."""

from __future__ import annotations

import re
from typing import Any

from ..code.files import Sources
from ..code.values import (
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
from .findings import Inspection, Socket, slashed
from .origin import find_origin

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


def find_sockets(sources: Sources, found: Inspection) -> None:
    """The WebSocket routes of the ASGI object, or those in all files if it does not lead to any."""
    module, _, attribute = found.asgi.partition(":")
    file = sources.module(module) if module else None
    routes: list[tuple[str, str, Route]] = []
    value: Any = UNKNOWN
    if file and file.suffix == ".py":
        scope = sources.scope(file)
        value = scope.values.get(attribute, UNKNOWN)
        if isinstance(value, Call) and value.name.endswith("get_default_application"):
            value = default_application(sources, found)
        routes = unfold(value)
    find_origin(sources, found, value)
    find_http(sources, found, value)
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


def find_http(sources: Sources, found: Inspection, value: Any) -> None:
    """Whether the ASGI object answers plain HTTP; since Channels 3, it has to name what does."""
    if not isinstance(value, Protocols) or not value.routers or {"http", "*"} & set(value.routers):
        return
    found.http = False
    for path in sources.named("wsgi\\.py"):
        if path.is_relative_to(sources.backend) and "application" in sources.scope(path).values:
            found.wsgi = f"{sources.dotted(path)}:application"
            return


def default_application(sources: Sources, found: Inspection) -> Any:
    """The object that the setting ASGI_APPLICATION names."""
    file = sources.module(found.settings)
    setting = known(sources.scope(file).values.get("ASGI_APPLICATION")) if file and file.suffix == ".py" else ""
    module, _, attribute = str(setting).rpartition(".")
    target = sources.module(module) if module else None
    return sources.scope(target).values.get(attribute, UNKNOWN) if target and target.suffix == ".py" else UNKNOWN


def unfold(value: Any, prefix: str = "", kind: str = "path", depth: int = 0) -> list[tuple[str, str, Route]]:
    """All routes to consumers inside a value, with the prefixes that lead to them."""
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
    """A route, with a path that it matches, or with none if no such path can be worked out."""
    if kind == "path":
        prefix = pattern.partition("<")[0]
        filled = re.sub(r"<(?:(\w+):)?\w+>", lambda match: CONVERTERS.get(match[1] or "str", "inspect"), pattern)
        sample: str | None = filled if PLAIN.fullmatch(filled) else None
        variable = "<" in pattern
    else:
        text = pattern.removeprefix("^")
        match = re.match(r"(?:[\w/~@%-]|\\[/.-])*", text)
        prefix = match[0] if match else ""
        if text[len(prefix) : len(prefix) + 1] in ("?", "*"):  # its last character is optional
            prefix = prefix[:-1]
        prefix = prefix.replace("\\", "")
        plain = re.sub(r"\\([./-])", r"\1", re.sub(r"\\Z$|\$$", "", text)).removesuffix("?")
        sample = plain if PLAIN.fullmatch(plain) and matches(pattern, plain) else regex_sample(pattern, text)
        variable = plain != sample
    return Socket(pattern, slashed(prefix), "" if sample is None else slashed(sample), variable, place, called)


def matches(pattern: str, text: str) -> bool:
    """Whether a regular expression matches a text; False if finding out could take for ever."""
    if len(pattern) > 300 or re.search(r"[+*}?]\)*[+*{]", pattern):
        return False
    try:
        return bool(re.match(pattern, text))
    except (re.error, RecursionError, OverflowError):
        return False


def regex_sample(pattern: str, text: str) -> str | None:
    """A path that a regular expression matches, with the first sample that fits in each of its groups."""

    def fill(match: re.Match[str]) -> str:
        inner = re.sub(r"^\(\?P<\w+>|^\(", "", match[0])[:-1]
        return next((sample for sample in SAMPLES if matches(f"(?:{inner})\\Z", sample)), "\0")

    filled = re.sub(r"\(\?P<\w+>(?:[^()]|\([^()]*\))*\)|\((?!\?)(?:[^()]|\([^()]*\))*\)", fill, text)
    filled = re.sub(r"\(\?:([^()|]*)\|?[^()]*\)\??", r"\1", filled)
    filled = re.sub(r"\\([./-])", r"\1", filled.replace("\\Z", "").replace("$", "").replace("/?", "/"))
    filled = filled.replace(".*", "").replace(".+", SAMPLES[0])
    return filled if PLAIN.fullmatch(filled) and matches(pattern, filled) else None
