"""What a fix of the doctor's says to do with a file's lines. Needs no host."""

from __future__ import annotations

import re


def change_of(fix: str) -> tuple[str, int, str, bool] | None:
    """The file of a fix, the line from 0 on, what to write there, and whether to remove it; of two ways, the first."""
    what = re.split(r"[;,] (?:then |and then )?nginx -t|; or |; and for its next", fix)[0]
    found = re.match(r"(Remove|In) (?:the block in )?(/[^\s:]+):(\d+)(?:, or its name \S+)?(?:: )?(.*)$", what)
    return (found[2], int(found[3]) - 1, found[4], found[1] == "Remove") if found else None


def edited(lines: list[str], at: int, what: str, remove: bool) -> list[str]:
    """The lines of a file after one change at a line."""
    if remove:
        end = block_end(lines, at) if lines[at].rstrip().endswith("{") else at
        return lines[:at] + lines[end + 1 :]
    if found := re.match(r"remove (\S+)", what):
        if lines[at].split()[0] == found[1]:
            return lines[:at] + lines[at + 1 :]
        return [*lines[:at], re.sub(rf"\s+{re.escape(found[1].rstrip(';'))}\b", "", lines[at]), *lines[at + 1 :]]
    what = re.sub(r"^in place of [^,]+, ", "", what)
    what = re.split(r"(?<=;) (?:with nothing|in place|\()", what)[0].strip()
    what = what if what.endswith((";", "}")) else f"{what};"
    name = what.split()[0]
    if not lines[at].rstrip().endswith("{"):
        return [*lines[:at], what, *lines[at + 1 :]]
    inside = range(at, block_end(lines, at) + 1)
    there = next((row for row in inside if name == "server_name" and lines[row].strip().startswith(name)), None)
    if there is not None:
        return [*lines[:there], what, *lines[there + 1 :]]
    return [*lines[: at + 1], what, *lines[at + 1 :]]


def block_end(lines: list[str], at: int) -> int:
    """The line on which the block ends that begins at a line."""
    depth = 0
    for row in range(at, len(lines)):
        depth += lines[row].count("{") - lines[row].count("}")
        if depth <= 0:
            return row
    raise AssertionError("the block has no end")
