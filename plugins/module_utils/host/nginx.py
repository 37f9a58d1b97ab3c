"""Whether nginx runs, and what it does with a WebSocket's path, read from `nginx -T`: servers, locations, upstreams.

This understands only what the doctor asks about, and skips unknown directives.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import proc, raw

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<q>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<p>[{};])|(?P<w>(?:\$\{[^}]*\}|[^\s{};])+)"""
)
_FILE = re.compile(r"^# configuration file (\S+):$", re.MULTILINE)


@dataclass
class Directive:
    """One directive: its words, where it is (`file:line`), and the directives of its block."""

    words: list[str]
    where: str
    block: list[Directive] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The first word."""
        return self.words[0]

    def all(self, name: str) -> list[Directive]:
        """The directives of a name in this block, not deeper."""
        return [each for each in self.block if each.name == name]


def nginx(host: str, port: int, path: str) -> dict[str, Any]:
    """Whether nginx is there, runs and has a sound configuration, and the way that a path takes through it."""
    binary = next((name for name in ("/usr/sbin/nginx", "/usr/local/sbin/nginx") if os.path.exists(name)), "")
    if not binary:
        return {"present": False}
    running = bool(proc.titled("nginx: master"))
    shown = raw.output(binary, "-T", errors=True)
    error = re.search(r"^(?:nginx:|\S+ \S+) \[emerg\] (?:\d+#\d+: )?(.*)$", shown, re.MULTILINE)
    found = routes(shown)
    route = choose(found, host, port, path)
    others = sorted(
        {address for each in found for address in each["upstream"]} - set((route or {}).get("upstream", []))
    )
    return {"present": True, "running": running, "error": error[1] if error else "", "route": route, "others": others}


def parse(text: str) -> dict[str, list[Directive]]:
    """Return each file's directives, by its path, from what `nginx -T` prints."""
    marks = list(_FILE.finditer(text))
    files = {}
    for mark, following in zip(marks, [*marks[1:], None], strict=False):
        body = text[mark.end() + 1 : following.start() if following else len(text)]
        files[mark[1]] = _parse_file(mark[1], body)
    return files


def _parse_file(path: str, text: str) -> list[Directive]:
    root = Directive(["root"], path)
    words: list[str] = []
    open_blocks, line, begun = [root], 1, 1
    for match in _TOKEN.finditer(text):
        token, punctuation = match[0], match["p"]
        if match["q"] or match["w"]:
            begun = begun if words else line
            words.append(token[1:-1] if match["q"] else token)
        elif punctuation in (";", "{") and words:
            made = Directive(words, f"{path}:{begun}")
            open_blocks[-1].block.append(made)
            words = []
            if punctuation == "{":
                open_blocks.append(made)
        elif punctuation == "}" and len(open_blocks) > 1:
            open_blocks.pop()
            words = []
        line += token.count("\n")
    return root.block


def routes(text: str) -> list[dict[str, Any]]:
    """Return one entry for each location, or server without one, that nginx has: see `_route`."""
    files = parse(text)
    if not files:
        return []
    main = next(iter(files.values()))
    http = [inner for each in main if each.name == "http" for inner in _expanded(each.block, files)]
    upstreams = {
        each.words[1]: [server.words[1] for server in each.all("server")] for each in http if each.name == "upstream"
    }
    # A proxy_pass with a variable leads to where its map sends a handshake.
    upstreams |= {
        each.words[2]: next((upstreams[name] for name in _led(each) if name in upstreams), [])
        for each in http
        if each.name == "map" and len(each.words) > 2
    }
    found = []
    for server in (each for each in http if each.name == "server"):
        body = list(_expanded(server.block, files))
        locations = [each for each in body if each.name == "location"]
        for location in [*locations, None]:
            found.append(_route(http, server, body, location, upstreams, files))
    return found


def _led(mapping: Directive) -> list[str]:
    """The values that a map may give to a handshake, the likeliest first."""
    values = {each.name: each.words[1] for each in mapping.block if len(each.words) > 1}
    upgraded = [value for key, value in values.items() if "websocket" in key.lower()]
    return upgraded + ([values["default"]] if "default" in values else [])


def _expanded(block: list[Directive], files: dict[str, list[Directive]]) -> Iterator[Directive]:
    """The directives of a block, with its includes replaced by what they include."""
    for each in block:
        if each.name != "include":
            yield each
            continue
        pattern = each.words[1] if each.words[1].startswith("/") else "/etc/nginx/" + each.words[1]
        matching = re.compile(
            "".join("[^/]*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", pattern))
        )
        for path, directives in files.items():
            if matching.fullmatch(path):
                yield from _expanded(directives, files)


def _last(levels: list[list[Directive]], name: str) -> Directive | None:
    """The innermost directive of a name, as nginx inherits it."""
    for level in levels:
        for each in reversed(level):
            if each.name == name:
                return each
    return None


def _headers(levels: list[list[Directive]]) -> dict[str, str]:
    """What proxy_set_header sets: those of the innermost level that has any. Outer levels do not count then."""
    for level in levels:
        headers = {each.words[1].lower(): each.words[-1] for each in level if each.name == "proxy_set_header"}
        if headers:
            return headers
    return {}


def _route(
    http: list[Directive],
    server: Directive,
    body: list[Directive],
    location: Directive | None,
    upstreams: dict[str, list[str]],
    files: dict[str, list[Directive]],
) -> dict[str, Any]:
    """One way through nginx: where it begins, where it leads, and what it does to a handshake."""
    inner = list(_expanded(location.block, files)) if location else []
    levels = [inner, body, http]
    passed = _last([inner if location else body], "proxy_pass")
    target = re.sub(r"^https?://", "", passed.words[1]) if passed else ""
    address = target.rstrip("/")
    if not address.startswith("unix:"):
        address = address.partition("/")[0]
    timeout, version = _last(levels, "proxy_read_timeout"), _last(levels, "proxy_http_version")
    buffers = _last(levels, "large_client_header_buffers")
    return {
        "where": (location or server).where,
        "location": location.words[1:] if location else [],
        "names": [name for each in body if each.name == "server_name" for name in each.words[1:]],
        "listen": [_listen(each) for each in body if each.name == "listen"] or [{"port": 80, "tls": False}],
        "pass": address,
        "upstream": upstreams.get(address, [address] if address else []),
        "http_version": version.words[1] if version else "1.0",
        "headers": _headers(levels),
        "read_timeout": seconds(timeout.words[1]) if timeout else 60.0,
        "buffers": " ".join(buffers.words[1:]) if buffers else "4 8k",
        "limits": sorted({each.name for level in levels for each in level if each.name in ("limit_req", "limit_conn")}),
    }


def _listen(directive: Directive) -> dict[str, Any]:
    address = directive.words[1]
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        host, port = address, "80"
    return {
        "address": "" if address.isdigit() else host,
        "port": int(port),
        "tls": "ssl" in directive.words[2:],
        "proxied": "proxy_protocol" in directive.words[2:],
        "default": "default_server" in directive.words[2:],
    }


def seconds(text: str) -> float:
    """A time as nginx writes it (`60`, `60s`, `2m`, `1h 30m`, `500ms`) in seconds."""
    units = {"ms": 0.001, "": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}
    parts = re.findall(r"(\d+)(ms|[smhdwMy]?)", text)
    return float(sum(int(number) * units[unit] for number, unit in parts))


def choose(found: list[dict[str, Any]], host: str, port: int, path: str) -> dict[str, Any] | None:
    """Return the way that a request takes: the server by name and port, then its location by nginx's rules."""
    servers: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for route in found:
        key = (tuple(route["names"]), tuple((each.get("address", ""), each["port"]) for each in route["listen"]))
        servers.setdefault(key, []).append(route)
    ranked = sorted(servers.values(), key=lambda routes: _rank(routes, host, port, path), reverse=True)
    return location_of(ranked[0], path) if ranked else None


def _rank(routes: list[dict[str, Any]], host: str, port: int, path: str) -> tuple[bool, ...]:
    first, taken = routes[0], location_of(routes, path)
    return (
        any(each["port"] == port for each in first["listen"]) and port not in (80, 443),
        any(_named(name, host) for name in first["names"]),
        bool(taken and taken["pass"]),
        any(each["port"] == port for each in first["listen"]),
        any(each.get("default") for each in first["listen"]),
    )


def _named(name: str, host: str) -> bool:
    if name.startswith("*."):
        return host.endswith(name[1:])
    return name == host and name != "_"


def location_of(routes: list[dict[str, Any]], path: str) -> dict[str, Any] | None:
    """Return the location of one server that takes a path; the server itself if none does."""
    prefix: dict[str, Any] | None = None
    for route in routes:
        words = route["location"]
        if not words:
            continue
        if words[0] == "=" and words[-1] == path:
            return route
        longer = prefix is None or len(words[-1]) > len(prefix["location"][-1])
        if words[0] not in ("=", "~", "~*") and not words[0].startswith("@") and path.startswith(words[-1]) and longer:
            prefix = route
    if prefix is None or prefix["location"][0] != "^~":
        for route in routes:
            words = route["location"]
            if words and words[0] in ("~", "~*"):
                named = re.sub(r"\(\?<(?=\w)", "(?P<", words[-1])  # PCRE's way to name a group
                try:
                    matches = re.search(named, path, re.IGNORECASE if words[0] == "~*" else 0)
                except re.error:  # nginx's expressions are PCRE; skip one that Python cannot read
                    continue
                if matches:
                    return route
    return prefix or next((route for route in routes if not route["location"]), None)
