"""What may go wrong in a file, one small change at a time: a line lost, a value changed, a mode loosened."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

import yaml

OPPOSITES = {"on": "off", "yes": "no", "true": "false", "True": "False", "and": "or"}
OPPOSITES |= {other: one for one, other in OPPOSITES.items()}
OPERATORS = {
    "==": "!=", "!=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "in": "not in", "not in": "in",
    "is": "is not", "is not": "is",
}  # fmt: skip
COMMENT = re.compile(r"\s*(#|;|//|\{#)")
STATEMENT = re.compile(r"\s*\{%-?\s*(\w+)(.*?)-?%\}\s*$")
# A line of a block: without it the file could not even be read, which proves nothing.
BRACKET = re.compile(r".*[{\[(]\s*$|\s*[})\]]")
WORD = re.compile(r"(?<![\w$./-])(on|off|yes|no|true|false)(?![\w./:-])")
NUMBER = re.compile(r"(?<![\w$.%{/\\-])(\d+)(?=([a-zA-Z]{1,2})?(?![\w.]))")
MODE = re.compile(r"(?<![\w.])[0-7]?[0-7]{3}(?![\w.])")
CHOICE = re.compile(r"(?<=\bif )([^{}]*?)(?= else\b| *[%}]\}|$)")
KEY = re.compile(r"\s*(- )?[\w.]+: +\S|\s*- \S")


class Change(NamedTuple):
    """One change of a text: the characters from `start` to `end` become `new`."""

    line: int
    start: int
    end: int
    new: str
    what: str

    def applied(self, text: str) -> str:
        """Return the text with the change."""
        return text[: self.start] + self.new + text[self.end :]


def changes(path: str, text: str) -> list[Change]:
    """Return the changes of a file, according to its kind."""
    if path.endswith(".py"):
        return list(of_python(text))
    if path.endswith((".yml", ".yaml")):
        return [change for change in [*of_yaml(text), *of_tasks(text)] if differs(text, change.applied(text))]
    return list(of_lines(text))


def lines_of(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the number, the start and the text of each line, without its end."""
    begin = 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        yield number, begin, line.rstrip("\n")
        begin += len(line)


def of_lines(text: str) -> Iterator[Change]:
    """Yield the changes of settings, scripts and templates."""
    for number, begin, line in lines_of(text):
        statement = STATEMENT.match(line)
        if not line.strip() or COMMENT.match(line):
            continue
        if statement and statement[1] in ("if", "elif"):
            start, condition = begin + statement.start(2), statement[2]
            yield Change(number, start, start + len(condition), f" not ({condition.strip()}) ", "negated")
            continue
        if statement and statement[1] != "set":
            continue
        if not BRACKET.match(line):
            yield Change(number, begin, begin + len(line) + 1, "", "removed")
        yield from values(number, begin, line)


def of_yaml(text: str) -> Iterator[Change]:
    """Yield the changes of tasks, variables and defaults; names are skipped, since they are texts for people."""
    for number, begin, line in lines_of(text):
        if COMMENT.match(line) or re.match(r"\s*(- )?(name|fail_msg|msg|description):", line):
            continue
        if KEY.match(line) and not re.match(r"\s*- \w+:", line):
            yield Change(number, begin, begin + len(line) + 1, "", "removed")
        bare = re.sub(r"\s#\s.*$", "", line)
        yield from values(number, begin, bare)


def of_tasks(text: str) -> Iterator[Change]:
    """Yield the removals of whole tasks from a list, including those inside blocks."""
    begins = [begin for _, begin, _ in lines_of(text)] + [len(text)]

    def within(node: yaml.Node | None) -> Iterator[Change]:
        if not isinstance(node, yaml.SequenceNode):
            return
        for task in node.value:
            keys = {key.value: value for key, value in task.value} if isinstance(task, yaml.MappingNode) else {}
            if "name" not in keys or len(keys) < 2:
                continue
            first, last = task.start_mark.line, task.end_mark.line
            yield Change(first + 1, begins[first], begins[last], "", f"task removed: {keys['name'].value}")
            for part in ("block", "rescue", "always"):
                yield from within(keys.get(part))

    yield from within(yaml.compose(text))


def differs(text: str, changed: str) -> bool:
    """Tell whether a changed YAML file is still readable, and says something different."""
    try:
        return plain(yaml.compose(text)) != plain(yaml.compose(changed))
    except yaml.YAMLError:
        return False


def plain(node: yaml.Node | None) -> object:
    """Return a node's content, without its position."""
    if isinstance(node, yaml.MappingNode):
        return [(plain(key), plain(value)) for key, value in node.value]
    return [plain(item) for item in node.value] if isinstance(node, yaml.SequenceNode) else node and node.value


def values(number: int, begin: int, line: str) -> Iterator[Change]:
    """Yield the changes of a line's values: numbers, modes, yes and no, conditions of an expression."""
    taken: set[int] = set()

    def change(match: re.Match[str], new: str) -> Change:
        taken.update(range(*match.span()))
        return Change(number, begin + match.start(), begin + match.end(), new, f"{match[0]} -> {new}")

    if re.search(r"\bu?mode\b|-m \d|\bumask\b|^d /", line, re.IGNORECASE):
        for match in MODE.finditer(line):
            yield change(match, loosened(match[0], "mask" in line.lower()))
    for match in WORD.finditer(line):
        yield change(match, OPPOSITES[match[0]])
    for match in NUMBER.finditer(line):
        if match.start() not in taken:
            yield change(match, str(int(match[0]) + 1))
    for match in CHOICE.finditer(line):
        if match[1].strip() and match.start() not in taken and "{" in line:
            yield change(match, f"not ({match[1].strip()})")


def loosened(mode: str, mask: bool) -> str:
    """Return a looser mode, or a looser mask."""
    number = int(mode, 8)
    if mask:
        return f"{number & ~0o007 if number & 0o007 else number + 1:0{len(mode)}o}"
    return f"{number | (0o022 if number & 0o044 == 0o044 else number >> 3 & 0o005 or 0o004):0{len(mode)}o}"


def of_python(text: str) -> Iterator[Change]:
    """Yield the changes of a program: comparisons, conditions, constants, and calls and errors that are left out."""
    begins = [begin for _, begin, _ in lines_of(text)]
    rows = text.splitlines()

    def place(line: int, column: int) -> int:
        return begins[line - 1] + len(rows[line - 1].encode()[:column].decode())

    def span(node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare | ast.BoolOp):
            parts = [node.left, *node.comparators] if isinstance(node, ast.Compare) else node.values
            for one, other in itertools.pairwise(parts):
                start, end = span(one)[1], span(other)[0]
                match = re.search(
                    r"==|!=|<=|>=|<|>|\bnot in\b|\bin\b|\bis not\b|\bis\b|\band\b|\bor\b", text[start:end]
                )
                if match:
                    new = OPERATORS.get(match[0]) or OPPOSITES[match[0]]
                    found = start + match.start(), start + match.end()
                    yield Change(one.end_lineno or 0, *found, new, f"{match[0]} -> {new}")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield Change(node.lineno, span(node)[0], span(node.operand)[0], "", "not removed")
        elif isinstance(node, ast.Constant) and isinstance(node.value, int):
            old = text[slice(*span(node))]
            new = OPPOSITES[old] if isinstance(node.value, bool) else str(node.value + 1)
            yield Change(node.lineno, *span(node), new, f"{old} -> {new}")
        elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            yield Change(node.lineno, *span(node), "pass", f"removed: {rows[node.lineno - 1].strip()}")
