"""How nginx handles one request until something answers it: rewriting, locations, and jumps between them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from .locations import PASSES, Place, kind_of, locate
from .servers import pcre
from .syntax import Directive
from .variables import Asked, Variables

#: nginx gives up after as many jumps.
MOST_JUMPS = 10
_SAFE = "/:@!$&'()*+,;=-._~[]"


@dataclass
class Outcome:
    """What answers a request: a directive that passes it on, a `return`, or a file (then `handler` is None)."""

    levels: list[list[Directive]]
    place: Place
    variables: Variables
    handler: Directive | None = None
    status: int = 0
    location: str = ""
    #: The path that is passed on, and the lines that have changed it.
    uri: str = ""
    changed: list[Directive] = field(default_factory=list)
    #: The block that decides: an `if`, the innermost location, or the server.
    block: Directive | None = None


class _Jump(Exception):
    """A rewrite rule ends this pass; `again` if another location has to be found."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.again = again


class _Answer(Exception):
    """A rule answers by itself."""

    def __init__(self, directive: Directive, status: int, text: str) -> None:
        super().__init__()
        self.directive, self.status, self.text = directive, status, text


class Handling:
    """One request on its way through a server block."""

    def __init__(
        self, http: list[Directive], server: Directive, asked: Asked, exists: Callable[[str], bool] = os.path.isfile
    ) -> None:
        self.http, self.server, self.asked, self.exists = http, server, asked, exists
        self.variables = Variables(asked, http)
        self.changed: list[Directive] = []
        self.unparsed = self.located = True
        self.moved = False
        #: Whether nginx itself has sent the request on.
        self.inside = False
        #: Each `if` that may be true, with the `return` in it.
        self.doubts: list[tuple[Directive, Directive]] = []
        self.branch: Directive | None = None
        self.place = Place()

    def run(self) -> Outcome:
        """Follow the request to its end."""
        restart = True
        for _ in range(MOST_JUMPS + 1):
            try:
                if restart:
                    self._rules(self.server.block, inside=False)
                    self.branch = None
                self._find()
                if closed := self._internal():
                    return self._end(closed, 404)
                if self.place.redirect:
                    return self._redirected()
                self._rules(self.place.chain[-1].block if self.place.chain else [], inside=True)
            except _Jump as jump:
                if jump.again:
                    restart, self.branch = False, None
                    continue
            except _Answer as answer:
                handled = self._answered(answer)
                if handled is None:
                    restart = self.inside = True
                    continue
                return handled
            tried = self._files()
            if isinstance(tried, Outcome):
                return tried
            if tried == "uri":
                restart = self.inside = True
                continue
            return self._handled()
        return self._end(None, 500)

    def _find(self) -> None:
        self.place = locate(self.server.block, self.variables.uri)
        self.variables.unknown |= set(self.place.unread)
        if self.place.match:
            self.variables.note(self.place.match)

    def _internal(self) -> Directive | None:
        """The line that keeps requests of clients out of the place."""
        if self.inside or self.changed:
            return None
        return next((each for place in self.place.chain for each in place.block if each.name == "internal"), None)

    # --- rules of the rewrite module

    def _rules(self, block: list[Directive], inside: bool) -> None:
        """Apply a block's rules in order. In a location, raises how they end, if they do not just end."""
        self.moved = False
        try:
            self._apply(block)
        except _Jump:
            if inside:
                raise
            return
        if inside and self.moved:
            raise _Jump(True)

    def _apply(self, block: list[Directive]) -> None:
        variables = self.variables
        for each in block:
            if each.name == "set" and len(each.words) > 2:
                variables.given[each.value.lstrip("$")] = variables.fill(each.words[2])
            elif each.name == "break":
                self.located = self.located and not self.moved
                raise _Jump(False)
            elif each.name == "return":
                raise self._returned(each)
            elif each.name == "rewrite" and len(each.words) > 2:
                self._rewrite(each)
            elif each.name == "if":
                true = variables.holds(each.words[1:])
                if true:
                    self.branch = each
                    self._apply(each.block)
                elif true is None:
                    self.doubts += [(each, one) for one in each.block if one.name == "return"]

    def _returned(self, rule: Directive) -> _Answer:
        words = rule.words[1:]
        if words and words[0].isdigit():
            return _Answer(rule, int(words[0]), self.variables.fill(words[1]) if len(words) > 1 else "")
        return _Answer(rule, 302, self.variables.fill(words[0]) if words else "")

    def _rewrite(self, rule: Directive) -> None:
        """Apply one `rewrite`. Raises its flag, if it has one."""
        flag = rule.words[3] if len(rule.words) > 3 else ""
        variables = self.variables
        try:
            found = re.search(pcre(rule.value), variables.uri)
        except re.error:
            variables.unknown.add(rule.value)
            return
        if not found:
            return
        variables.note(found)
        target = rule.words[2]
        path, mark, args = target.partition("?")
        made, more = variables.fill(path), variables.fill(args)
        kept = "" if mark and not args else "&".join(part for part in (more, variables.args) if part)
        if target.startswith(("http://", "https://", "$scheme")) or flag in ("redirect", "permanent"):
            where = made + (f"?{kept}" if kept else "")
            raise _Answer(rule, 301 if flag == "permanent" else 302, where)
        variables.uri, variables.args, self.unparsed = made, kept, False
        self.changed.append(rule)
        if flag == "break":
            self.located = False
            raise _Jump(False)
        if flag == "last":
            raise _Jump(True)
        self.moved = True

    # --- jumps

    def _answered(self, answer: _Answer) -> Outcome | None:
        """The end after a `return`, or None if an error page sends the request on to another path."""
        page = next((each for each in self._array("error_page") if str(answer.status) in each.words[1:-1]), None)
        if answer.status >= 300 and page and not answer.text:
            if page.words[-1].startswith("@"):
                return self._named(page.words[-1])
            if page.words[-1].startswith("/"):
                self._go(self.variables.fill(page.words[-1]), page)
                return None
        text = answer.text if answer.status in (301, 302, 303, 307, 308) else ""
        return self._end(answer.directive, answer.status, text)

    def _named(self, name: str) -> Outcome:
        """Go on in a named location."""
        found = next((each for each in self.server.block
                      if each.name == "location" and kind_of(each)[1] == name), None)  # fmt: skip
        if found is None:
            return self._end(None, 500)
        self.place, self.branch = Place([found]), None
        self.located = False
        try:
            self._rules(found.block, inside=True)
        except _Jump as jump:
            if jump.again:
                self._find()
        except _Answer as answer:
            return self._answered(answer) or self._handled()
        return self._handled()

    def _go(self, target: str, rule: Directive) -> None:
        path, mark, args = target.partition("?")
        self.variables.uri, self.unparsed, self.located, self.branch = path, False, True, None
        if mark:
            self.variables.args = args
        self.changed.append(rule)

    def _files(self) -> Outcome | str:
        """Look at `try_files`: the end, `uri` for another path, or nothing if it has found a file."""
        block = self.branch or (self.place.chain[-1] if self.place.chain else self.server)
        rule = next((each for each in block.block if each.name == "try_files"), None)  # it is not inherited
        if rule is None or len(rule.words) < 3:
            return ""
        root = self._single("root")
        folder = self.variables.fill(root.value) if root else "/usr/share/nginx/html"
        for word in rule.words[1:-1]:
            if self.exists(folder + self.variables.fill(word)):
                return ""
        last = rule.words[-1]
        if last.startswith("@"):
            return self._named(last)
        if last.startswith("="):
            return self._end(rule, int(last[1:]) if last[1:].isdigit() else 404)
        self._go(self.variables.fill(last), rule)
        return "uri"

    # --- the end

    def levels(self) -> list[list[Directive]]:
        """The blocks that count, the innermost first."""
        inner = [self.branch.block] if self.branch else []
        return [*inner, *(each.block for each in reversed(self.place.chain)), self.server.block, self.http]

    def _single(self, name: str) -> Directive | None:
        """The directive that counts: of the innermost level that has one."""
        return next((each for level in self.levels() for each in reversed(level) if each.name == name), None)

    def _array(self, name: str) -> list[Directive]:
        """The directives that count where there may be several: those of the innermost level that has any."""
        return next((found for level in self.levels() if (found := [one for one in level if one.name == name])), [])

    def _redirected(self) -> Outcome:
        slash = self.variables.uri + "/" + (f"?{self.variables.args}" if self.variables.args else "")
        return self._end(self.place.redirect, 301, slash)

    def _handled(self) -> Outcome:
        """What answers in the place where the request has come to."""
        inner = self.place.chain[-1].block if self.place.chain else []
        blocks = [self.branch.block, inner] if self.branch else [inner]
        handler = next((each for block in blocks for each in block if each.name in PASSES), None)
        return self._end(handler, 0 if handler else 404)

    def _end(self, handler: Directive | None, status: int, location: str = "") -> Outcome:
        block = self.branch or (self.place.chain[-1] if self.place.chain else self.server)
        uri = self._passed_on(handler) if handler and handler.name in PASSES else ""
        return Outcome(self.levels(), self.place, self.variables, handler, status, location, uri, self.changed, block)

    def _passed_on(self, handler: Directive) -> str:
        """The path and the query that the server behind gets."""
        variables = self.variables
        whole = self.asked.target
        if not self.unparsed:
            whole = escaped(variables.uri) + (f"?{variables.args}" if variables.args else "")
        if handler.name != "proxy_pass":
            return whole
        target = variables.fill(handler.value) if "$" in handler.value else handler.value
        path = path_of(target)
        if not path or ("$" not in handler.value and not self.located):
            return whole
        self.changed.append(handler)
        if "$" in handler.value:
            return path
        kind, prefix = kind_of(self.place.chain[-1]) if self.place.chain else ("", "")
        rest = variables.uri[len(prefix) :] if kind in ("", "^~", "=") else ""
        return path + escaped(rest) + (f"?{variables.args}" if variables.args else "")


def path_of(target: str) -> str:
    """The path in the address of a `proxy_pass`; empty if there is none."""
    rest = target.partition("://")[2]
    if rest.startswith("unix:"):
        return rest.removeprefix("unix:").partition(":")[2]
    found = re.search(r"[/?]", rest)
    return rest[found.start() :] if found else ""


def escaped(path: str) -> str:
    """A path as nginx writes it into a request."""
    return quote(path, safe=_SAFE, errors="surrogateescape")
