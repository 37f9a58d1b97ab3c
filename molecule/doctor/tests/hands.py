"""An operator who does what a fix of the doctor says, word for word, to nginx's files on a host."""

from __future__ import annotations

import re

from lab_host import LabHost


def mend(lab: LabHost, fix: str) -> None:
    """Do what a fix says; of two ways, the first. nginx is reloaded in any case."""
    what = re.split(r"[;,] (?:then |and then )?nginx -t|; or |; and for its next", fix)[0]
    if re.match(r"ch(mod|grp) ", what):
        lab.run(what)
    elif found := re.match(r"(Remove|In) (?:the block in )?(/[^\s:]+):(\d+)(?:, or its name \S+)?(?:: )?(.*)$", what):
        text = lab.run("cat %s", found[2])
        lines = edited(text.split("\n"), int(found[3]) - 1, found[4], found[1] == "Remove")
        lab.run(f"printf %%s %s > {found[2]}", "\n".join(lines))
    else:
        assert what.startswith("nginx -t") or not what, f"nobody could do this: {fix}"
    lab.reload_nginx()


def edited(lines: list[str], at: int, what: str, remove: bool) -> list[str]:
    """The lines of a file after one change at a line."""
    if remove:
        end = block_end(lines, at) if lines[at].rstrip().endswith("{") else at
        return lines[:at] + lines[end + 1 :]
    if found := re.match(r"remove (\S+)", what):
        if lines[at].split()[0] == found[1]:
            return lines[:at] + lines[at + 1 :]
        return [*lines[:at], re.sub(rf"\s+{re.escape(found[1].rstrip(';'))}\b", "", lines[at]), *lines[at + 1 :]]
    what = re.sub(r"^in place of \w+, ", "", what)
    what = re.split(r"(?<=;) (?:with nothing|in place)", what)[0].strip()
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
