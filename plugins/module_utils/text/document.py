"""YAML with comments, from texts in a project's files. None of these can turn into YAML or a template."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable
from typing import Any

WIDTH = 118  # columns; yamllint allows 120
PLAIN = re.compile(r"(?:--?(?=[A-Za-z])|[A-Za-z0-9_./])[A-Za-z0-9_./@+-]*(?::[A-Za-z0-9_./@+-]+)*")
WORDS = re.compile(r"(true|false|yes|no|on|off|null|~|y|n)|[\d.+-][\d_.:+eE-]*|0[xob][0-9a-fA-F_]+", re.IGNORECASE)


def clean(text: Any) -> str:
    """A text from the project, made safe for a comment: on one line, without odd characters."""
    return "".join(one if one.isprintable() else "?" for one in str(text))


def inert(text: Any) -> str:
    """A text from the project, made safe for a value that has our templates: without any of its own."""
    return re.sub(r"\{(?=[{%#])", "{ ", clean(text))


def scalar(text: Any) -> str:
    """A text as YAML, in quotes if it needs them."""
    text = str(text)
    if PLAIN.fullmatch(text) and not WORDS.fullmatch(text):
        return text
    return json.dumps(text)


def foreign(text: Any) -> str:
    """A text from the project as YAML that no template engine evaluates."""
    return f"!unsafe {json.dumps(str(text))}" if re.search(r"\{[{%#]", str(text)) else scalar(text)


def flow(values: Iterable[Any]) -> str:
    """Texts as a list on one line."""
    return f"[{', '.join(foreign(value) for value in values)}]"


class Document:
    """Lines of a YAML file."""

    def __init__(self, *head: str) -> None:
        """Begin with a comment."""
        self.lines: list[str] = []
        for text in head:
            self.comment(text)
        self.lines.append("---")

    def comment(self, text: str, indent: int = 0) -> None:
        """Add a comment, on as many lines as it needs."""
        start = " " * indent + "# "
        lines = textwrap.wrap(clean(text), WIDTH - len(start), break_long_words=False, break_on_hyphens=False)
        self.lines += [start + line for line in lines]

    def raw(self, *lines: str) -> None:
        """Add lines as they are."""
        self.lines += lines

    def gap(self) -> None:
        """Add an empty line."""
        if self.lines[-1:] not in ([""], ["---"]):
            self.lines.append("")

    def set(self, key: str, value: str, indent: int = 0) -> None:
        """Add a key with a value that is YAML; a long value goes on its own line."""
        line = f"{' ' * indent}{key}: {value}"
        if len(line) > WIDTH and value.startswith("["):
            self.lines.append(f"{' ' * indent}{key}:")
            items = re.findall(r'!unsafe "(?:[^"\\]|\\.)*"|"(?:[^"\\]|\\.)*"|[^\s,\[\]]+', value)
            self.lines += [f"{' ' * indent}  - {item}" for item in items]
        elif len(line) > WIDTH and value.startswith('"') and " " not in value.replace("{{ ", "").replace(" }}", ""):
            self.lines += [f"{' ' * indent}{key}: >-", f"{' ' * indent}  {json.loads(value)}"]
        else:
            if len(line) > WIDTH + 2:
                self.lines.append("# yamllint disable-line rule:line-length")
            self.lines.append(line)

    def text(self) -> str:
        """Return the whole file."""
        return "\n".join(self.lines).rstrip("\n") + "\n"


def plain(text: str) -> str:
    """A path that may contain {token}; it needs no quotes unless it begins with that."""
    return text if re.fullmatch(r"/[\w/.~@%+?=&{}-]*", text) else json.dumps(text)


def quoted(value: str) -> str:
    """A value of the environment: always a text, whatever it looks like."""
    if re.fullmatch(r"[a-z]+:/[\w/:{}@|. -]+", value) or re.fullmatch(r"/[\w/{}. -]+", value):
        return value  # addresses and paths with templates in them read better without quotes
    return scalar(value)


def flow_quoted(words: list[str]) -> str:
    """The words of a command as a list on one line."""
    return f"[{', '.join(scalar(word) for word in words)}]"


def slash(path: str) -> str:
    """A prefix with a slash at its end."""
    return path if path.endswith("/") else path + "/"
