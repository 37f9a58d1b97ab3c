"""Which files may be named in release_requirements."""

from __future__ import annotations

import os
import re

from .errors import RequirementsError

NAMED = re.compile(r"(?P<path>[^\[\]]+)(?:\[(?P<chosen>[^\[\]]*)\])?")
RESOLVED = ("pyproject.toml", "uv.lock", "poetry.lock", "Pipfile.lock")
# Files that list what a project needs in an unsupported way, with what to do instead.
UNREAD = {
    "Pipfile": "it names no versions to install. Run pipenv lock, and name Pipfile.lock",
    "setup.py": "its dependencies come with the project itself: write release_packages: [.]",
    "setup.cfg": "its dependencies come with the project itself: write release_packages: [.]",
    "pdm.lock": "run pdm export -o requirements.txt, and name that file",
    "pylock.toml": "its format is not read. Export a requirements.txt with the tool that made it, and name that file",
}
OTHER = (
    "it is no requirements file (such as *.txt), pyproject.toml, uv.lock, poetry.lock or Pipfile.lock. Name one of "
    "these, or write release_requirements: [] and what the project needs into release_packages"
)
OTHER_KINDS = (".yml", ".yaml", ".json", ".toml", ".lock", ".py", ".cfg", ".ini", ".md", ".rst")


def kind_fault(name: str) -> str:
    """Why a file cannot be read for what a project needs, and what to do; empty if it can."""
    file = os.path.basename(named(name)[0])
    if file in RESOLVED:
        return ""
    if file in UNREAD:
        return UNREAD[file]
    return OTHER if file.endswith(OTHER_KINDS) else ""


def named(name: str) -> tuple[str, list[str]]:
    """The path in an entry of release_requirements, and the extras and groups that it chooses."""
    found = NAMED.fullmatch(name.strip())
    if not found:
        raise RequirementsError(f'release_requirements: "{name}" is no file, as in requirements.txt or uv.lock[extra]')
    chosen = [one.strip() for one in (found["chosen"] or "").split(",")]
    return found["path"].strip(), [one for one in chosen if one]
