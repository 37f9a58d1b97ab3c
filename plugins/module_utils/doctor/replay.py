"""What nginx sends, sent straight to the server behind it, and which of its differences makes the answer another one.

The good direct try opens; nginx's does not. Each difference is put into the good request alone: one that makes it fail
is a cause. Then nginx's request without the causes must open, or something else is wrong as well.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from .answers import opened

#: Differences to try at most.
MOST = 14
#: Headers whose values stay on the host.
PRIVATE = ("cookie", "authorization", "sec-websocket-protocol", "sec-websocket-key")


@dataclass(frozen=True)
class Request:
    """A request as it goes over the wire."""

    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    tls: bool = False

    def values(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for key, value in self.headers if key.lower() == name]

    def names(self) -> list[str]:
        """The names of the headers, in lower case, each once."""
        return list(dict.fromkeys(key.lower() for key, _value in self.headers))


def differences(good: Request, other: Request) -> list[str]:
    """How another request differs from the good one: `scheme`, `path`, `query`, `version` and headers' names."""
    found = ["scheme"] if good.tls != other.tls else []
    path, other_path = good.target.partition("?")[0], other.target.partition("?")[0]
    found += ["path"] if path != other_path else ["query"] if good.target != other.target else []
    found += ["version"] if good.version != other.version else []
    names = dict.fromkeys([*good.names(), *other.names()])
    return found + [name for name in names if good.values(name) != other.values(name)]


def with_one(good: Request, other: Request, name: str) -> Request:
    """The good request with one difference of another."""
    if name == "scheme":
        return replace(good, tls=other.tls)
    if name in ("path", "query"):
        return replace(good, target=other.target)
    if name == "version":
        return replace(good, version=other.version)
    kept = tuple(pair for pair in good.headers if pair[0].lower() != name)
    return replace(good, headers=kept + tuple(pair for pair in other.headers if pair[0].lower() == name))


def shown(request: Request, name: str) -> str:
    """What a request has where another one differs."""
    if name == "scheme":
        return "TLS" if request.tls else "no TLS"
    if name == "path":
        return request.target.partition("?")[0]
    if name == "query":
        return "a query" if "?" in request.target else "no query"
    if name == "version":
        return f"HTTP/{request.version}"
    values = request.values(name)
    if not values:
        return "nothing"
    return "a value that is not shown" if name in PRIVATE else ", ".join(values)


def compare(good: Request, other: Request, attempt: Callable[[Request, str], dict[str, Any]]) -> dict[str, Any]:
    """Try nginx's request and its differences one by one.

    Returns `whole` (nginx's request, sent directly), `trials` (each with `name`, `good`, `sent` and `came`), `causes`
    (names) and `mended`: whether nginx's request opens without them.
    """
    names = differences(good, other)[:MOST]
    with ThreadPoolExecutor(len(names) + 1) as pool:
        whole = pool.submit(attempt, other, "whole")
        one_by_one = [pool.submit(attempt, with_one(good, other, name), name) for name in names]
    trials: list[dict[str, Any]] = [
        {"name": name, "good": shown(good, name), "sent": shown(other, name), "came": tried.result()}
        for name, tried in zip(names, one_by_one, strict=True)
    ]
    found: dict[str, Any] = {"whole": whole.result(), "trials": trials, "causes": [], "mended": False}
    if opened(found["whole"]):
        return found
    causes = [each["name"] for each in trials if not opened(each["came"])]
    if not causes:
        # Only together do they matter: which of them is it that must not be there?
        with ThreadPoolExecutor(max(1, len(names))) as pool:
            without = list(pool.map(lambda name: attempt(with_one(other, good, name), f"without {name}"), names))
        causes = [name for name, came in zip(names, without, strict=True) if opened(came)]
        return found | {"causes": causes[:1], "mended": bool(causes)}
    mended = other
    for name in causes:
        mended = with_one(mended, good, name)
    return found | {"causes": causes, "mended": opened(attempt(mended, "mended"))}
