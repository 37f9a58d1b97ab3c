"""A project's routes and a path that none of them fits: which change to a route would make it fit."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

#: What is often wrong with a route: a slash at its beginning, one that the client leaves out, a word without dashes.
CHANGES = ((r"^(\^?)/", r"\1"), (r"/\$$", "/?$"), (r"\\w\+", r"[\\w-]+"), (r"<slug:", "<str:"), (r"<int:", "<str:"))


def nearest(routes: list[str], path: str) -> tuple[str, str]:
    """A route and how it would fit the path; two empty texts if no small change does."""
    for route in routes:
        for changed in _changed(route):
            if _fits(changed, path.lstrip("/")):
                return route, changed
    return "", ""


def _changed(route: str) -> Iterator[str]:
    """A route with one of the changes, then with more of them."""
    for count in range(1, len(CHANGES) + 1):
        for chosen in itertools.combinations(CHANGES, count):
            made = route
            for pattern, by in chosen:
                made = re.sub(pattern, by, made)
            if made != route:
                yield made


def _fits(route: str, path: str) -> bool:
    """Whether a route fits: one of re_path() is an expression, one of path() has converters."""
    converters = {"int": r"[0-9]+", "slug": r"[-\w]+", "path": r".+"}
    whole = re.search(r"<(\w+:)?\w+>", route) and "(?P<" not in route
    if whole:
        parts = re.split(r"<(?:(\w+):)?\w+>", route)
        texts = [re.escape(part or "") if index % 2 == 0 else converters.get(part or "", r"[^/]+")
                 for index, part in enumerate(parts)]  # fmt: skip
        return re.fullmatch("".join(texts), path) is not None
    try:
        return re.search(route, path) is not None
    except re.error:
        return False
