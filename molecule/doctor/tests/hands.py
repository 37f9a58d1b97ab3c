"""An operator who does what a fix of the doctor says, word for word, to nginx's files on a host."""

from __future__ import annotations

import re

from lab_host import LabHost
from lines_of_fixes import change_of, edited


def mend(lab: LabHost, fix: str) -> None:
    """Do what a fix says; of two ways, the first. nginx is reloaded in any case."""
    what = re.split(r"[;,] (?:then |and then )?nginx -t|; or |; and for its next", fix)[0]
    if re.match(r"ch(mod|grp) ", what):
        lab.run(what)
    elif change := change_of(fix):
        file, at, text, remove = change
        lines = edited(lab.run("cat %s", file).split("\n"), at, text, remove)
        lab.run(f"printf %%s %s > {file}", "\n".join(lines))
    else:
        assert what.startswith("nginx -t") or not what, f"nobody could do this: {fix}"
    lab.reload_nginx()
