"""Which location a path gets, by nginx's order: exact, longest prefix with what is nested in it, then expressions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .servers import pcre
from .syntax import Directive

PASSES = ("proxy_pass", "uwsgi_pass", "fastcgi_pass", "scgi_pass", "grpc_pass", "memcached_pass")


@dataclass
class Place:
    """Where a path leads: locations from the outermost to the innermost, and what the last expression has caught."""

    chain: list[Directive] = field(default_factory=list)
    match: re.Match[str] | None = None
    #: Expressions of outer levels are not looked at any more.
    final: bool = False
    #: A location with a slash at its end takes the path by a redirect.
    redirect: Directive | None = None
    #: Expressions that could not be read here.
    unread: list[str] = field(default_factory=list)


def kind_of(location: Directive) -> tuple[str, str]:
    """A location's modifier (empty for a plain prefix, `@` for a named one) and its path or expression."""
    words = location.words[1:]
    if len(words) > 1:
        return words[0], words[1]
    word = words[0] if words else ""
    if word.startswith("@"):
        return "@", word
    found = re.match(r"(=|~\*|~|\^~)(.*)$", word)  # nginx lets the modifier touch the path
    return (found[1], found[2]) if found else ("", word)


def locate(block: list[Directive], uri: str) -> Place:
    """The location that takes a path, among those of a block and in their depth."""
    locations = [each for each in block if each.name == "location"]
    plain = [(each, *kind_of(each)) for each in locations]
    for each, kind, path in plain:
        if kind == "=" and path == uri:
            return Place([each], final=True)
    prefixes = [(each, kind, path) for each, kind, path in plain if kind in ("", "^~") and uri.startswith(path)]
    best = max(prefixes, key=lambda one: len(one[2]), default=None)
    if best is None or best[2] != uri:
        slashed = next((each for each, kind, path in plain
                        if path == uri + "/" and kind in ("", "^~", "=") and _passes(each)), None)  # fmt: skip
        if slashed:
            return Place([slashed], final=True, redirect=slashed)
    place = Place()
    if best:
        inner = locate(best[0].block, uri)
        place = Place([best[0], *inner.chain], inner.match, inner.final, inner.redirect, inner.unread)
        if place.final or best[1] == "^~":
            return place
    for each, kind, expression in plain:
        if kind not in ("~", "~*"):
            continue
        try:
            found = re.search(pcre(expression), uri, re.IGNORECASE if kind == "~*" else 0)
        except re.error:  # nginx's expressions are PCRE; skip one that Python cannot read
            place.unread.append(expression)
            continue
        if found:
            inner = locate(each.block, uri)
            unread = place.unread + inner.unread
            return Place([each, *inner.chain], inner.match or found, True, inner.redirect, unread)
    return place


def _passes(location: Directive) -> bool:
    return any(each.name in PASSES for each in location.block)
