"""Tokens that exist nowhere else, and the search for them: on a host, in its journal and on this machine."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shlex
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from lab_host import ROOT, SSH_CONFIG, LabHost

# Runs on the host; the texts come through stdin, so that no command line contains them. Each line of the answer is a
# place. Nobody can set back the time of a file's last change (its ctime), so a file that is older than the texts cannot
# contain them.
SEARCH = r"""
patterns=$(mktemp /dev/shm/XXXXXX)
trap 'rm -f "$patterns"' EXIT
cat >"$patterns"
find / \( -path /proc -o -path /sys -o -path "$patterns" \) -prune -o -type f -newerct "@$1" -print0 |
    LC_ALL=C xargs --null --no-run-if-empty grep --files-with-matches --fixed-strings --no-messages --file="$patterns"
find /var/log -name '*.gz' -newerct "@$1" -exec sh -c 'zcat "$2" | grep -qFf "$1" && echo "$2"' sh "$patterns" {} \;
if command -v journalctl >/dev/null; then
    journalctl --sync
    journalctl --no-pager --all --output=export --since="@$1" | LC_ALL=C grep -qaFf "$patterns" && echo journal
fi
true
"""
LARGEST = 2**26  # bytes; larger files on this machine are not searched


def encodings(text: str) -> set[str]:
    """Return how a text may be written: itself, escaped, in base64 at any offset, in hexadecimal digits."""
    raw = text.encode()
    found = {text, raw.hex(), raw.hex().upper(), "".join(f"%{byte:02x}" for byte in raw)}
    for lead in range(3):  # the characters at both ends depend on what is next to the text
        for encoded in (base64.b64encode(b"\0" * lead + raw), base64.urlsafe_b64encode(b"\0" * lead + raw)):
            found.add(encoded.decode().rstrip("=")[4 if lead else 0 : -4])
    return found


class Canaries:
    """All canaries that were planted, and where."""

    def __init__(self) -> None:
        self.began = time.time()
        self.planted: dict[str, str] = {}

    def new(self, where: str, text: str = "") -> str:
        """Return a new one (or note a text as one); `where` is reported if it is found."""
        made = text or f"canary{secrets.token_hex(12)}"
        self.planted[made] = where
        return made

    def patterns(self) -> str:
        """Return everything to search for, one for each line."""
        return "".join(f"{pattern}\n" for text in self.planted for pattern in sorted(encodings(text)))

    def on_host(self, lab: LabHost) -> set[str]:
        """Return the files on a host that contain one; "journal" if its journal does."""
        command = ["ssh", "-F", str(SSH_CONFIG), lab.name, f"sh -c {shlex.quote(SEARCH)} sh {int(self.began) - 60}"]
        done = subprocess.run(command, input=self.patterns(), capture_output=True, text=True, check=False)
        assert not done.stderr, done.stderr
        return set(done.stdout.splitlines())

    def on_controller(self, *folders: Path) -> set[str]:
        """Return the files on this machine that contain one and were written since these canaries began."""
        found: set[str] = set()
        pairs = [(pattern.encode(), where) for text, where in self.planted.items() for pattern in encodings(text)]
        for path in self.recent((ROOT, Path.home() / ".ansible", Path("/tmp"), *folders)):
            with contextlib.suppress(OSError):
                content = path.read_bytes()
                found |= {f"{path}: {where}" for pattern, where in pairs if pattern in content}
        return found

    def recent(self, folders: tuple[Path, ...]) -> Iterator[Path]:
        """Yield the files below some folders that were written since these canaries began."""
        for folder in folders:
            for place, below, names in os.walk(folder):
                below[:] = [name for name in below if name not in (".git", "__pycache__")]
                for path in (Path(place, name) for name in names):
                    with contextlib.suppress(OSError):
                        state = path.lstat()
                        new = state.st_ctime >= self.began - 1 and state.st_size < LARGEST
                        if new and stat.S_ISREG(state.st_mode):
                            yield path

    def told(self, lab: LabHost) -> str:
        """Say which canaries a host's files contain, for a test that has failed."""
        said = []
        for text, where in self.planted.items():
            one = Canaries()
            one.planted, one.began = {text: where}, self.began
            if files := one.on_host(lab):
                said.append(f"{where}: {sorted(files)}")
        return "\n".join(said)
