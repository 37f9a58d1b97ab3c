"""What nginx would do with one handshake: the server and location that take it, and what it would send on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from .handling import Handling, Outcome
from .locations import PASSES, locate
from .servers import Server, at_socket, flags_of, is_here, listen_of, named, servers_of, socket_of
from .syntax import Directive, main_block
from .variables import Asked

#: What nginx itself sets for the server behind it, before `proxy_set_header`.
_DEFAULTS = {"host": "$proxy_host", "connection": "close", "content-length": "", "transfer-encoding": "", "te": "",
             "keep-alive": "", "expect": "", "upgrade": ""}  # fmt: skip
#: Directives that may refuse a request before it is passed on.
GUARDS = ("deny", "auth_basic", "auth_request", "limit_req", "limit_conn", "limit_except")
#: A request may pass through nginx several times.
MOST_HOPS = 5
#: Directives of modules whose doing cannot be followed here.
_FOREIGN = re.compile(r".*_by_lua|js_content|perl$|auth_jwt|access_by|rewrite_by|content_by|secure_link|satisfy$")


class Config:
    """A configuration as `nginx -T` prints it."""

    def __init__(self, text: str) -> None:
        self.main = main_block(text)
        self.http = [inner for each in self.main if each.name == "http" for inner in each.block]
        self.servers = servers_of(self.http)
        #: Ports that nginx passes on without looking into them.
        self.streams = {listen_of(each)["port"] for block in self.main if block.name == "stream"
                        for each in _deep(block.block) if each.name == "listen"}  # fmt: skip
        self.upstreams = {each.value: each for each in self.http if each.name == "upstream"}
        self.version = _version(text)

    def single(self, *way: str) -> Directive | None:
        """A directive of the main context, or of a block in it."""
        block = self.main
        for step in way[:-1]:
            block = [inner for each in block if each.name == step for inner in each.block]
        return next((each for each in reversed(block) if each.name == way[-1]), None)

    def addresses(self, name: str) -> list[str]:
        """The addresses of an upstream that may get requests; a plain address stands for itself."""
        if name not in self.upstreams:
            return [name] if name else []
        return [each.value for each in self.upstreams[name].all("server") if "down" not in each.words[2:]]

    def _members(self, name: str) -> list[Directive]:
        """The `server` lines of an upstream."""
        return self.upstreams[name].all("server") if name in self.upstreams else []

    def all_addresses(self) -> set[str]:
        """The addresses that any location leads to."""
        found: set[str] = set()
        for name in self.upstreams:
            found |= set(self.addresses(name))
        for each in _deep(self.http):
            if each.name in PASSES and "$" not in each.value:
                found |= set(self.addresses(target_of(each.value)[1]))
        return found

    # --- the server

    def take(
        self, host: str, port: int, path: str, here: bool | None = None
    ) -> tuple[Server, dict[str, Any], bool] | None:
        """The server block for a request to a host and a port, where it listens, and whether this is certain.

        If nobody here listens on this port, a balancer is in front, and the server is guessed by its name. `here`
        says whether the host's name leads to this machine, if that is known.
        """
        address = host if re.fullmatch(r"[\d.]+|[0-9a-f:]*:[0-9a-f:.]*", host) else ""
        found = socket_of(self.servers, address, port)
        if found is None and port in self.streams:
            return None
        if found is not None:
            server, by_name = named(at_socket(self.servers, found, port), host)
            elsewhere = any(_explicit(each, host) for each in self.servers)
            if by_name or not elsewhere or (is_here(host) if here is None else here):
                return server, self._listen(server, found, port), True
        guesses = sorted(self.servers, key=lambda each: self._likely(each, host, port, path), reverse=True)
        if not guesses:
            return None
        listens = [self._listen(guesses[0], one["address"], one["port"]) for one in guesses[0].listens]
        usable = [each for each in listens if not each["address"].startswith("unix:")] or listens
        # A port that takes the PROXY protocol hangs up on everything else, and TLS is not what is tested here.
        usable = [each for each in usable if not each["proxied"]] or usable
        plain = [each for each in usable if not each["tls"]] or usable
        return guesses[0], next((each for each in plain if each["address"].startswith("127.")), plain[0]), False

    def _listen(self, server: Server, address: str, port: int) -> dict[str, Any]:
        flags = flags_of(self.servers, address, port)
        return {"address": address, "port": port, **{name: name in flags for name in ("tls", "http2", "proxied")},
                "lines": flags}  # fmt: skip

    def _likely(self, server: Server, host: str, port: int, path: str) -> tuple[bool, ...]:
        place = locate(server.directive.block, path)
        return (
            any(each["port"] == port for each in server.listens) and port not in (80, 443),
            _explicit(server, host),
            any(each.name in PASSES for one in place.chain[-1:] for each in _deep(one.block)),
            any(each["port"] == port for each in server.listens),
            any(each["default"] for each in server.listens),
        )

    # --- the request

    def route(
        self, host: str, port: int, target: str, headers: Iterable[tuple[str, str]],
        exists: Callable[[str], bool] | None = None, here: bool | None = None,
    ) -> dict[str, Any] | None:  # fmt: skip
        """What becomes of a request. `target` is its path with the query, `headers` is what a client sends."""
        taken = self.take(host, port, target.partition("?")[0], here)
        if taken is None:
            return None
        server, listen, certain = taken
        sent = list(headers)
        asked = Asked(target, {name.lower(): value for name, value in sent}, listen["tls"], listen["port"],
                      names=server.names)  # fmt: skip
        options = {"exists": exists} if exists else {}
        handling = Handling(self.http, server.directive, asked, **options)
        made = self._told(server, listen, certain, handling.run(), sent)
        made["doubts"] = [{"where": one.where, "status": int(one.value) if one.value.isdigit() else 302,
                           "line": " ".join(rule.words)} for rule, one in handling.doubts]  # fmt: skip
        return made | {"loop": self._loops(made)}

    def _loops(self, route: dict[str, Any], before: tuple[str, ...] = ()) -> bool:
        """Whether a request comes back to where it has been, because nginx passes it to a port of its own."""
        if route["where"] in before or len(before) > MOST_HOPS:
            return True
        for address in route["upstream"]:
            host, _, port = address.rpartition(":")
            if host not in ("127.0.0.1", "localhost", "[::1]") or not port.isdigit():
                continue
            if socket_of(self.servers, host.strip("[]").replace("localhost", "127.0.0.1"), int(port)) is None:
                continue
            name = next((value for key, value in route["sends"] if key.lower() == "host"), host)
            asked = Asked(route["uri"], {key.lower(): value for key, value in route["sends"]}, port=int(port))
            if taken := self.take(re.sub(r":\d+$", "", name), int(port), route["uri"], here=True):
                outcome = Handling(self.http, taken[0].directive, asked).run()
                following = self._told(taken[0], taken[1], True, outcome, route["sends"])
                return self._loops(following, (*before, route["where"]))
        return False

    def _told(
        self, server: Server, listen: dict[str, Any], certain: bool, outcome: Outcome, sent: list[tuple[str, str]]
    ) -> dict[str, Any]:
        """The outcome as evidence: plain data. `sends` may hold a token."""
        handler, levels, variables = outcome.handler, outcome.levels, outcome.variables
        passes = bool(handler and handler.name in PASSES)
        target = variables.fill(handler.value) if handler and passes else ""
        scheme, address = target_of(target)
        rules, hidden = _headers(levels)
        version, off = _single(levels, "proxy_http_version"), _single(levels, "proxy_pass_request_headers")
        foreign = {each.name for level in levels for each in level if _FOREIGN.match(each.name)}
        default_version = "1.1" if self.version >= (1, 29, 7) else "1.0"
        return {
            # the place
            "where": (outcome.block or server.directive).where,
            "location": outcome.place.chain[-1].words[1:] if outcome.place.chain else [],
            "server": server.directive.where, "names": [name for name in server.names if name],
            "certain": certain, "listen": listen, "shadowed": self._shadowed(server, listen, variables.asked),
            "unknown": sorted({*variables.unknown, *foreign}),
            # what answers there
            "handler": handler.name if handler else "", "handler_line": handler.where if handler else "",
            "value": handler.value if handler and passes else "",
            # An address that is empty in the end is nginx's own failure.
            "status": 500 if passes and not address else outcome.status,
            "redirects": outcome.location.partition("?")[0],
            "guards": [f"{each.where}: {' '.join(each.words)}" for each in _guards(levels)],
            "own_guards": [each.where for each in levels[0] if each.name in GUARDS],
            # the server behind it, and what it gets
            "scheme": scheme, "pass": address, "upstream": self.addresses(address) if passes else [],
            "passes": any(each.name in PASSES for one in outcome.place.chain[-1:] for each in one.block),
            "hides": [f"{each.where}: {' '.join(each.words)}" for level in levels for each in level
                      if each.name == "proxy_hide_header"],
            "max_conns": [f"{each.where}: {' '.join(each.words)}" for each in self._members(address)
                          if "max_conns=" in " ".join(each.words)],
            "beside": sorted(self._beside(server)),
            "http_version": version.value if version else default_version, "uri": outcome.uri,
            "changed": [{"where": each.where, "line": " ".join(each.words)} for each in outcome.changed],
            "sends": self._sends(scheme, address, rules, sent, outcome) if passes else [],
            "headers": {each.value.lower(): each.words[-1] for each in rules},
            "header_lines": {each.value.lower(): each.where for each in rules},
            "hidden": {each.value.lower(): each.where for each in hidden},
            "without_headers": off.where if off and off.value == "off" else "",
            "map": self._map_of_upgrades(),
            **self._beside_headers(levels),
            "logs": [each.value for level in [*levels, self.main] for each in level if each.name == "error_log"],
        }  # fmt: skip

    def _beside_headers(self, levels: list[list[Directive]]) -> dict[str, Any]:
        """What else counts for sockets, and where lines for it would count.

        No location may have buffers for headers, and the block that counts for them may be another server's: a new
        line goes to http.
        """
        timeout, buffers = _single(levels, "proxy_read_timeout"), _single(levels, "large_client_header_buffers")
        return {
            "read_timeout": seconds(timeout.value) if timeout else 60.0,
            "timeout_line": timeout.where if timeout and timeout in levels[0] else "",
            "buffers": " ".join(buffers.words[1:]) if buffers else "4 8k",
            "buffers_line": buffers.where if buffers else "",
            "http": next((each.where for each in self.main if each.name == "http"), ""),
        }

    def _map_of_upgrades(self) -> str:
        """The variable of a map that is `upgrade` for a handshake; empty if there is none."""
        maps = [each for each in self.http if each.name == "map" and each.value == "$http_upgrade"]
        good = [each for each in maps if any(one.words == ["default", "upgrade"] for one in each.block)]
        return good[0].words[-1] if good else ""

    def _sends(
        self, scheme: str, address: str, rules: list[Directive], sent: list[tuple[str, str]], outcome: Outcome
    ) -> list[tuple[str, str]]:
        """The headers that the server behind gets, as nginx writes them: its own first, then the client's."""
        variables, levels = outcome.variables, outcome.levels
        unix = address.startswith("unix:")
        port = re.search(r":(\d+)$", "" if unix else address)
        variables.given["proxy_host"] = "localhost" if unix else address
        variables.given["proxy_port"] = port[1] if port else "443" if scheme == "https" else "80"
        made = [(each.value, variables.fill(each.words[-1])) for each in rules]
        given = {each.value.lower() for each in rules}
        own = [(key, variables.fill(value)) for key, value in _DEFAULTS.items() if key not in given]
        passed_on, underscores = (
            _single(levels, name) for name in ("proxy_pass_request_headers", "underscores_in_headers")
        )
        kept = [] if passed_on and passed_on.value == "off" else sent
        with_all = bool(underscores and underscores.value == "on")
        rest = [(key, value) for key, value in kept
                if key.lower() not in given | set(_DEFAULTS) and (with_all or "_" not in key)]  # fmt: skip
        return [(key, value) for key, value in [*own, *made, *rest] if value]

    def _beside(self, server: Server) -> set[str]:
        """The addresses that a server block leads to, by whichever path."""
        passes = [each for each in _deep(server.directive.block) if each.name in PASSES and "$" not in each.value]
        return {address for each in passes for address in self.addresses(target_of(each.value)[1])}

    def _shadowed(self, server: Server, listen: dict[str, Any], asked: Asked) -> dict[str, str]:
        """Another server block that has this name or would pass this path on, and does not get the request."""
        host = re.sub(r":\d+$", "", asked.headers.get("host", "")).lower()
        path = asked.target.partition("?")[0]
        others = [each for each in self.servers if each is not server]
        here = [each for each in others for one in each.listens
                if (one["address"], one["port"]) == (listen["address"], listen["port"])]  # fmt: skip
        for each in [*(one for one in here if _explicit(one, host)), *here]:
            place = locate(each.directive.block, path)
            if place.chain and any(one.name in PASSES for one in place.chain[-1].block):
                return {"where": each.directive.where, "names": " ".join(each.names),
                        "beside": " ".join(sorted(self._beside(each))),
                        "same": "yes" if _explicit(each, host) and _explicit(server, host) else ""}  # fmt: skip
        return {}


def _version(text: str) -> tuple[int, ...]:
    found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else (1, 0, 0)


def _explicit(server: Server, host: str) -> bool:
    """Whether a server has a name for a host, and does not only get what is left over."""
    return named([server], host)[1]


def _deep(block: list[Directive]) -> Iterable[Directive]:
    for each in block:
        yield each
        yield from _deep(each.block)


def _single(levels: list[list[Directive]], name: str) -> Directive | None:
    """The innermost directive of a name, as nginx inherits it."""
    return next((each for level in levels for each in reversed(level) if each.name == name), None)


def _headers(levels: list[list[Directive]]) -> tuple[list[Directive], list[Directive]]:
    """The `proxy_set_header` lines that count, those of the innermost level that has any; and the others."""
    every = [[each for each in level if each.name == "proxy_set_header" and len(each.words) > 2] for level in levels]
    first = next((index for index, found in enumerate(every) if found), len(every))
    return (every[first] if first < len(every) else [], [each for found in every[first + 1 :] for each in found])


def _guards(levels: list[list[Directive]]) -> list[Directive]:
    found: list[Directive] = []
    for name in GUARDS:
        lines = next((same for level in levels if (same := [one for one in level if one.name == name])), [])
        found += [each for each in lines if not (name.startswith("auth") and each.value == "off")]
    return found


def target_of(text: str) -> tuple[str, str]:
    """The scheme and the address in what a `…_pass` says: `http`, `https`, `grpc`, or nothing for the others."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = "", text
    if rest.startswith("unix:"):
        return scheme, "unix:" + rest.removeprefix("unix:").partition(":")[0]
    return scheme, re.split(r"[/?]", rest)[0]


def seconds(text: str) -> float:
    """A time as nginx writes it (`60`, `60s`, `2m`, `1h 30m`, `500ms`) in seconds."""
    units = {"ms": 0.001, "": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}
    parts = re.findall(r"(\d+)(ms|[smhdwMy]?)", text)
    return float(sum(int(number) * units[unit] for number, unit in parts))
