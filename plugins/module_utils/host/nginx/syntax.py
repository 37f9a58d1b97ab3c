"""A configuration's directives, by file and line, from what `nginx -T` prints."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<q>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<p>[{};])"""
    r"""|(?P<w>(?:\$\{[^}]*\}|\\.|[^\s{};\\])+)""",
    re.DOTALL,
)
_FILE = re.compile(r"^# configuration file (\S+):$", re.MULTILINE)
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", '"': '"', "'": "'", "\\": "\\"}


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

    @property
    def value(self) -> str:
        """The second word, empty if there is none."""
        return self.words[1] if len(self.words) > 1 else ""

    def all(self, name: str) -> list[Directive]:
        """The directives of a name in this block, not deeper."""
        return [each for each in self.block if each.name == name]


def parse(text: str) -> dict[str, list[Directive]]:
    """Return each file's directives, by its path, from what `nginx -T` prints; the main file comes first."""
    marks = list(_FILE.finditer(text))
    files = {}
    for mark, following in zip(marks, [*marks[1:], None], strict=False):
        body = text[mark.end() + 1 : following.start() if following else len(text)]
        files[mark[1]] = _parse_file(mark[1], body)
    return files


def main_block(text: str) -> list[Directive]:
    """Return the directives of the main file, with all includes replaced by what they include."""
    files = parse(text)
    if not files:
        return []
    first = next(iter(files))
    return list(_expanded(files[first], files, os.path.dirname(first)))


def _parse_file(path: str, text: str) -> list[Directive]:
    root = Directive(["root"], path)
    words: list[str] = []
    open_blocks, line, begun, at = [root], 1, 1, 0
    while match := _TOKEN.match(text, at):
        token, punctuation, at = match[0], match["p"], match.end()
        if match["q"] or match["w"]:
            begun = begun if words else line
            words.append(_plain(token[1:-1] if match["q"] else token))
        elif punctuation in (";", "{") and words:
            made = Directive(words, f"{path}:{begun}")
            open_blocks[-1].block.append(made)
            words = []
            if punctuation == "{" and made.name.endswith("_by_lua_block"):
                ends = _end_of_code(text, at)
                token, at = token + text[at:ends], ends
            elif punctuation == "{":
                open_blocks.append(made)
        elif punctuation == "}" and len(open_blocks) > 1:
            open_blocks.pop()
            words = []
        line += token.count("\n")
    return root.block


def _plain(word: str) -> str:
    """A word without the backslashes that nginx itself takes away; those of regular expressions stay."""
    return re.sub(r"""\\([trn"'\\])""", lambda found: _ESCAPES[found[1]], word)


def _end_of_code(text: str, at: int) -> int:
    """Where a block of another language ends, by its braces."""
    depth = 1
    for match in re.compile(r"[{}]").finditer(text, at):
        depth += 1 if match[0] == "{" else -1
        if not depth:
            return match.end()
    return len(text)


def _expanded(block: list[Directive], files: dict[str, list[Directive]], folder: str) -> Iterator[Directive]:
    """The directives of a block, with its includes replaced by what they include, at every depth."""
    for each in block:
        if each.name == "include" and each.value:
            pattern = os.path.join(folder, each.value)
            for path in sorted(files):
                if path == pattern or (_segments(path, pattern) and fnmatch.fnmatchcase(path, pattern)):
                    yield from _expanded(files[path], files, folder)
            continue
        if each.block:
            each.block = list(_expanded(each.block, files, folder))
        yield each


def _segments(path: str, pattern: str) -> bool:
    """Whether two paths are as deep, since a star matches no slash."""
    return path.count("/") == pattern.count("/")
