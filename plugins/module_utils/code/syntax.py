"""Finds syntax that is new in Python 3.12, and rewrites f-strings for older Pythons."""

from __future__ import annotations

import ast
import re
import sys

START = re.compile(r"(?i)(?<![\w])([rbuf]{0,2})('''|\"\"\"|'|\")")
GENERIC = re.compile(r"^\s*(type\s+\w+(\[.*\])?\s*=|(async\s+)?(def|class)\s+\w+\[)")


class FStrings:
    """Finds f-strings in a text that use their own quotes, or backslashes, inside their expressions."""

    def __init__(self, text: str) -> None:
        """Read all of the text."""
        self.text = text
        self.characters = list(text)
        self.line = 0  # the first that only Python 3.12 reads
        at = 0
        while at < len(text):
            at = self._code(at)

    @property
    def older(self) -> str:
        """The text with other quotes inside. Its length stays the same."""
        return "".join(self.characters)

    def _found(self, at: int) -> None:
        self.line = self.line or self.text.count("\n", 0, at) + 1

    def _code(self, at: int, outer: str = "") -> int:
        """The end of the next thing: a comment, a string, a word or a character."""
        if self.text[at] == "#":
            return (self.text.find("\n", at) + 1 or len(self.text)) if not outer else at + 1
        if not (start := START.match(self.text, at)):
            word = re.compile(r"\w+").match(self.text, at)
            return word.end() if word else at + 1
        quote = start[2]
        end = self._string(start.end(), quote, "f" in start[1].lower())
        if outer and "\\" in self.text[at:end]:
            self._found(at)
        if outer and quote[0] == outer[0] and (len(outer) == 1 or quote == outer):
            self._found(at)
            other = '"' if quote[0] == "'" else "'"
            if len(quote) == 1 and other not in self.text[start.end() : end - 1]:
                self.characters[start.end() - 1] = self.characters[end - 1] = other
        return end

    def _string(self, at: int, quote: str, formatted: bool) -> int:
        """The end of a string whose text begins here."""
        while at < len(self.text):
            if self.text.startswith(quote, at):
                return at + len(quote)
            if self.text[at] == "\n" and len(quote) == 1:
                return at
            if self.text[at] == "\\" or (formatted and self.text.startswith("{{", at)):
                at += 2
            elif formatted and self.text[at] == "{":
                at = self._expression(at + 1, quote)
            else:
                at += 1
        return len(self.text)

    def _format(self, at: int, quote: str) -> int:
        """The end of an expression's format, where quotes are ordinary characters."""
        while at < len(self.text):
            here = self.text[at]
            if here == "}" or self.text.startswith(quote, at):
                return at + (here == "}")
            at = self._expression(at + 1, quote) if here == "{" else at + 1
        return at

    def _expression(self, at: int, quote: str) -> int:
        """The end of an expression in an f-string."""
        depth = 1
        while at < len(self.text) and depth:
            here = self.text[at]
            if here == ":" and depth == 1:
                return self._format(at + 1, quote)
            if here == "\\":
                self._found(at)
            if here in "{[(":
                depth += 1
            elif here in "}])":
                depth -= 1
            at = self._code(at, quote) if here in "'\"" or START.match(self.text, at) else at + 1
        return at


def parsed(text: str) -> tuple[ast.Module, int]:
    """A text as a tree, whichever Python the controller has, and the first line that needs 3.12 or newer, 0 for none.

    Raises SyntaxError if it is not Python, or needs a newer Python than the controller's.
    """
    quoted = re.search(r"(?i)\b(f|rf|fr)['\"]", text)
    try:
        tree = ast.parse(text)
    except SyntaxError:
        strings = FStrings(text) if quoted else None
        if not strings or not strings.line:
            raise
        tree = ast.parse(strings.older)
        return tree, strings.line
    if sys.version_info < (3, 12):
        return tree, 0
    return tree, newer_syntax(tree) or (FStrings(text).line if quoted else 0)


def newer_syntax(tree: ast.Module) -> int:
    """The first line of a parsed file that only Python 3.12 or newer reads; 0 for none."""
    kinds = tuple(one for one in (getattr(ast, "TypeAlias", None),) if one)
    nodes = (one for one in ast.walk(tree) if isinstance(one, kinds) or getattr(one, "type_params", None))
    return min((getattr(one, "lineno", 0) for one in nodes), default=0)
