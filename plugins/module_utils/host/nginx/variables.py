"""The values of nginx's variables for one request: its own, and those of `set`, `map` and `geo`.

What cannot be known here has an empty value, and its name is noted: nobody should be accused for a guess.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

from .servers import pcre
from .syntax import Directive

_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass
class Asked:
    """A request as nginx gets it. `headers` have names in lower case; `target` is as it was sent, with its query."""

    target: str
    headers: dict[str, str]
    tls: bool = False
    port: int = 80
    client: str = "127.0.0.1"
    server: str = "127.0.0.1"
    names: list[str] = field(default_factory=list)


class Variables:
    """The variables of one request. They change while it is handled."""

    def __init__(self, asked: Asked, http: list[Directive]) -> None:
        self.asked = asked
        path, _mark, self.args = asked.target.partition("?")
        self.uri = _normal(unquote(path, errors="surrogateescape"))
        self.given: dict[str, str] = {}
        self.groups: dict[str, str] = {}
        self.unknown: set[str] = set()
        self._made = {each.words[-1].lstrip("$"): each for each in http
                      if each.name in ("map", "geo") and len(each.words) > 1}  # fmt: skip

    def fill(self, text: str) -> str:
        """A text with its variables replaced by their values."""
        return _REFERENCE.sub(lambda found: self.value(found[1] or found[2]), text)

    def note(self, match: re.Match[str]) -> None:
        """Keep what a regular expression has caught."""
        self.groups = {str(number): text or "" for number, text in enumerate(match.groups(), 1)}
        self.given |= {name: text or "" for name, text in match.groupdict().items()}

    def value(self, name: str) -> str:
        """The value of one variable."""
        if name in self.groups:
            return self.groups[name]
        if name.isdigit():
            return ""
        if name in self.given:
            return self.given[name]
        if name in self._made:
            # A map may refer to itself by way of others; nginx refuses that, so what is asked twice is unknown.
            made = self._made.pop(name)
            try:
                return self._mapped(made) if made.name == "map" else self._located(made)
            finally:
                self._made[name] = made
        if name in _OWN:
            return _OWN[name](self)
        for prefix, read in (("http_", self._header), ("arg_", self._argument), ("cookie_", self._cookie)):
            if name.startswith(prefix):
                return read(name.removeprefix(prefix))
        self.unknown.add(name)
        return ""

    def _header(self, name: str) -> str:
        return self.asked.headers.get(name.replace("_", "-"), "")

    def _argument(self, name: str) -> str:
        pairs = [part.partition("=") for part in self.args.split("&")]
        return next((value for key, _, value in pairs if key.lower() == name.lower()), "")

    def _cookie(self, name: str) -> str:
        pairs = [part.strip().partition("=") for part in self.asked.headers.get("cookie", "").split(";")]
        return next((value for key, _, value in pairs if key == name), "")

    def _mapped(self, made: Directive) -> str:
        """A map's value: an exact one first, then regular expressions in order, then the default."""
        source, default, folded = self.fill(made.value), "", None
        hostnames = any(each.name == "hostnames" for each in made.block)
        for each in made.block:
            if each.name == "include":
                self.unknown.add(made.words[-1])
            elif each.name == "default":
                default = each.value
            elif not each.name.startswith("~") and len(each.words) > 1:
                key = each.name[1:] if each.name.startswith("\\") else each.name
                if folded is None and key.lower() == source.lower():
                    folded = each.value
        if folded is None and hostnames:
            wild = [each for each in made.block if each.name.startswith(("*.", "."))
                    and ("." + source.lower()).endswith(each.name.lstrip("*").lower())]  # fmt: skip
            folded = max(wild, key=lambda each: len(each.name)).value if wild else None
        if folded is not None:
            return self.fill(folded)
        for each in made.block:
            if each.name.startswith("~") and len(each.words) > 1:
                insensitive = each.name.startswith("~*")
                try:
                    found = re.search(pcre(each.name.lstrip("~").removeprefix("*") if insensitive else each.name[1:]),
                                      source, re.IGNORECASE if insensitive else 0)  # fmt: skip
                except re.error:
                    self.unknown.add(made.words[-1])
                    continue
                if found:
                    self.note(found)
                    return self.fill(each.value)
        return self.fill(default)

    def _located(self, made: Directive) -> str:
        """A geo's value: of the smallest network that the address is in."""
        source = self.value(made.value.lstrip("$")) if len(made.words) > 2 else self.asked.client
        best, value = -1, ""
        for each in made.block:
            if each.name == "default":
                value = each.value if best < 0 else value
            elif each.name in ("include", "ranges", "proxy", "delete"):
                self.unknown.add(made.words[-1])
            else:
                try:
                    network = ipaddress.ip_network(each.name, strict=False)
                    inside = ipaddress.ip_address(source) in network
                except ValueError:
                    continue
                if inside and network.prefixlen > best:
                    best, value = network.prefixlen, each.value
        return value

    def holds(self, words: list[str]) -> bool | None:
        """Whether the condition of an `if` is true; None if that is not known."""
        text = " ".join(words).strip()
        text = text[1:-1].strip() if text.startswith("(") and text.endswith(")") else text
        before = set(self.unknown)
        answer = self._condition(text)
        if names := self.unknown - before:
            self.unknown |= names
            return None
        return answer

    def _condition(self, text: str) -> bool | None:
        if text.startswith(("-", "!-")):
            self.unknown.add(text)
            return None
        parts = text.split(None, 2)
        if len(parts) < 3:
            if len(parts) == 2:  # compared to an empty text
                return (self.fill(parts[0]) == "") == (parts[1] == "=")
            return self.fill(text) not in ("", "0")
        left, operator, right = self.fill(parts[0]), parts[1], parts[2]
        if operator in ("=", "!="):
            return (left == self.fill(right)) == (operator == "=")
        try:
            found = re.search(pcre(right), left, re.IGNORECASE if operator.endswith("*") else 0)
        except re.error:
            self.unknown.add(text)
            return None
        if found and not operator.startswith("!"):
            self.note(found)
        return bool(found) != operator.startswith("!")


def _normal(path: str) -> str:
    """A path as nginx compares it: dots and repeated slashes are resolved."""
    parts: list[str] = []
    whole = re.sub(r"/{2,}", "/", path)
    for part in whole.split("/")[1:]:
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    ends = whole.rpartition("/")[2] in (".", "..")
    return "/" + "/".join(parts) + ("/" if ends and parts else "")


def _host(each: Variables) -> str:
    name = each.asked.headers.get("host", "").lower()
    name = re.sub(r":\d*$", "", name).rstrip(".")
    return name or (each.asked.names or [""])[0]


def _server_name(each: Variables) -> str:
    return (each.asked.names or [""])[0]


_OWN: dict[str, Callable[[Variables], str]] = {
    "uri": lambda each: each.uri, "document_uri": lambda each: each.uri,
    "request_uri": lambda each: each.asked.target, "args": lambda each: each.args,
    "query_string": lambda each: each.args, "is_args": lambda each: "?" if each.args else "",
    "host": _host, "scheme": lambda each: "https" if each.asked.tls else "http",
    "https": lambda each: "on" if each.asked.tls else "", "server_name": _server_name,
    "server_port": lambda each: str(each.asked.port), "request_method": lambda each: "GET",
    "server_protocol": lambda each: "HTTP/1.1", "remote_addr": lambda each: each.asked.client,
    "realip_remote_addr": lambda each: each.asked.client, "server_addr": lambda each: each.asked.server,
    "proxy_add_x_forwarded_for": lambda each: ", ".join(
        one for one in (each.asked.headers.get("x-forwarded-for", ""), each.asked.client) if one),
    "remote_user": lambda each: "", "content_length": lambda each: "", "content_type": lambda each: "",
    "request_filename": lambda each: each.uri, "proxy_protocol_addr": lambda each: "",
}  # fmt: skip
