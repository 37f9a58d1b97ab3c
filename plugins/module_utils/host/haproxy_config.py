"""What a HAProxy that somebody set up does with a WebSocket's path, read from its configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from . import raw

CONFIG = "/etc/haproxy/haproxy.cfg"
#: What answers in place of the server.
REFUSALS = ("deny", "tarpit", "reject", "auth", "silent-drop")
_UNITS = {"us": 1e-6, "ms": 0.001, "": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass
class Section:
    """A section: its kind and name, where it begins, its lines as (words, where), and the defaults that it takes."""

    kind: str
    name: str
    where: str
    lines: list[tuple[list[str], str]] = field(default_factory=list)
    defaults: Section | None = None

    def timeout(self, name: str) -> tuple[float, str]:
        """A timeout in seconds, and where it is set; 0 and nothing if it is not."""
        own = [(words[2], where) for words, where in self.lines if words[:2] == ["timeout", name] and len(words) > 2]
        if own:
            return seconds(own[-1][0]), own[-1][1]
        return self.defaults.timeout(name) if self.defaults else (0.0, "")


def route(host: str, port: int, path: str) -> dict[str, Any]:
    """Return what HAProxy does with a handshake for a path: see `way`."""
    return way(raw.read(CONFIG), CONFIG, host, port, path)


def seconds(text: str) -> float:
    """A time as HAProxy writes it (`10s`, `1h`, `5000`, which are milliseconds) in seconds."""
    match = re.fullmatch(r"(\d+)(us|ms|s|m|h|d)?", text)
    return int(match[1]) * _UNITS[match[2] or ""] if match else 0.0


def sections(text: str, file: str) -> list[Section]:
    """The sections of a configuration."""
    found: list[Section] = []
    defaults: Section | None = None
    for number, line in enumerate(text.splitlines(), 1):
        words = re.sub(r"(^|\s)#.*", "", line).split()
        if not words:
            continue
        if words[0] in ("global", "defaults", "frontend", "backend", "listen", "userlist", "resolvers", "cache"):
            made = Section(words[0], words[1] if len(words) > 1 else "", f"{file}:{number}", [], defaults)
            found.append(made)
            if words[0] == "defaults":
                made.defaults, defaults = None, made
        elif found:
            found[-1].lines.append((words, f"{file}:{number}"))
    return found


def way(text: str, file: str, host: str, port: int, path: str) -> dict[str, Any]:
    """Return the way of a handshake through HAProxy; empty if no frontend listens on the port.

    `idle` is how many seconds a silent socket may live (0 is forever), and `idle_where` and `idle_name` say which line
    decides that: `timeout tunnel` for a socket, or else the shorter one of `client` and `server`.
    """
    known = sections(text, file)
    front = next((each for each in known if each.kind in ("frontend", "listen") and _binds(each, port)), None)
    if front is None:
        return {}
    name = front.name if front.kind == "listen" else _backend(front, host, path)
    back = next((each for each in known if each.kind in ("backend", "listen") and each.name == name), None)
    tunnel, where = back.timeout("tunnel") if back else (0.0, "")
    limit, line, which = tunnel, where, "tunnel"
    if not tunnel:
        (client, at_client), (server, at_server) = (
            front.timeout("client"),
            back.timeout("server") if back else (0.0, ""),
        )
        which = "client" if client and (not server or client <= server) else "server"
        limit, line = (client, at_client) if which == "client" else (server, at_server)
    servers = [words[2] for words, _ in (back.lines if back else []) if words[0] == "server" and len(words) > 2]
    return {
        "where": back.where if back else front.where, "frontend": front.name, "backend": name if back else "",
        "rule": f"backend {name}" if back else "", "upstream": servers, "upgrade": True,
        "guards": [f"{line}: {' '.join(words)}" for each in (front, back) if each for words, line in each.lines
                   if words[:1] == ["http-request"] and words[1:2] and words[1] in REFUSALS
                   and _refuses(words, each, host, path)],
        "sends_proxy": any("send-proxy" in word for words, _ in (back.lines if back else []) for word in words
                           if words[0] in ("server", "default-server")),
        "idle": limit, "idle_where": line, "idle_name": which,
    }  # fmt: skip


def _refuses(words: list[str], section: Section, host: str, path: str) -> bool:
    """Whether a rule that refuses requests holds for a handshake; conditions that are not understood do not hold."""
    names = [index for index, word in enumerate(words) if word in ("if", "unless")]
    if not names:
        return True
    rules: dict[str, list[str]] = {}
    for each, _ in section.lines:
        if each[0] == "acl" and len(each) > 2:
            rules.setdefault(each[1], []).append(" ".join(each[2:]))
    condition = " ".join(words[names[0] + 1 :])
    holds = any(
        all(_holds(one, rules, host, path) for one in re.findall(r"!?\{[^}]*\}|!?[\w.-]+", part))
        for part in re.split(r"\s+(?:or|\|\|)\s+", condition)
    )
    return holds == (words[names[0]] == "if")


def _binds(section: Section, port: int) -> bool:
    places = [word for words, _ in section.lines if words[0] == "bind" for word in words[1:2]]
    return any(re.search(rf":{port}$", place) for each in places for place in each.split(","))


def _backend(front: Section, host: str, path: str) -> str:
    """The backend that a frontend chooses for a handshake: conditions that are not understood do not hold."""
    rules: dict[str, list[str]] = {}
    for words, _ in front.lines:
        if words[0] == "acl" and len(words) > 2:
            rules.setdefault(words[1], []).append(" ".join(words[2:]))
    default = ""
    for words, _ in front.lines:
        if words[0] == "default_backend" and len(words) > 1:
            default = words[1]
        if words[0] == "use_backend" and len(words) > 1:
            condition = " ".join(words[3:]) if len(words) > 3 else ""
            holds = not condition or any(
                all(_holds(one, rules, host, path) for one in re.findall(r"!?\{[^}]*\}|!?[\w.-]+", part))
                for part in re.split(r"\s+(?:or|\|\|)\s+", condition)
            )
            if holds == (len(words) < 3 or words[2] == "if"):
                return words[1]
    return default


def _holds(term: str, rules: dict[str, list[str]], host: str, path: str) -> bool:
    negated, term = term.startswith("!"), term.lstrip("!")
    tests = [term.strip("{} ")] if term.startswith("{") else rules.get(term, [])
    return any(_test(each, host, path) for each in tests) != negated


def _test(test: str, host: str, path: str) -> bool:
    words = [word for word in test.split() if word not in ("-i", "-m", "--", "str")]
    what, values = words[0].lower(), words[1:]
    values = [value for value in values if value not in ("beg", "reg", "found", "end")]
    ways = {
        "path_beg": lambda value: path.startswith(value), "path": lambda value: path == value,
        "path_end": lambda value: path.endswith(value), "path_reg": lambda value: bool(re.search(value, path)),
        "hdr(host)": lambda value: host.lower() == value.lower(),
        "hdr(upgrade)": lambda value: value.lower() == "websocket",
        "hdr(connection)": lambda value: value.lower() == "upgrade",
        "req.hdr(upgrade)": lambda value: value.lower() == "websocket",
    }  # fmt: skip
    if what == "path" and "beg" in test.split():
        what = "path_beg"
    try:
        return what in ways and any(ways[what](value) for value in values)
    except re.error:
        return False
