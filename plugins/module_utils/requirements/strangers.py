"""Entries in strangers' lists of packages that do not fit a host, and the notices about them."""

from __future__ import annotations

import re

# Packages without a build for Linux. `pip freeze` lists them without their original condition.
ELSEWHERE = {
    "win32": {
        "twisted-iocpsupport", "pywin32", "pypiwin32", "pywinpty", "windows-curses", "winkerberos", "wmi", "winshell",
        "win-unicode-console", "pywinauto", "winrt-runtime", "tensorflow-intel",
    },
    "darwin": {"pyobjc", "pyobjc-core", "macfsevents", "py2app"},
}  # fmt: skip
# Packages that became part of Python in a version; from then on they do not install, or do harm.
BACKPORTS = {
    "dataclasses": "3.7", "contextvars": "3.7", "backports-zoneinfo": "3.9", "graphlib-backport": "3.9",
    "enum34": "3.4", "futures": "3", "typing": "3.5", "pathlib": "3.4", "asyncio": "3.4", "ipaddress": "3.3",
    "configparser": "3", "unittest2": "3", "functools32": "3",
}  # fmt: skip
VARIABLE = re.compile(r"\$\{(?!PROJECT_ROOT\})[A-Z0-9_]+\}")  # pip and uv replace these
CREDENTIALS = re.compile(r"://[^/@\s]+@")
NOTICES = {
    "win32": "For Windows only, and left out: {}.",
    "darwin": "For macOS only, and left out: {}.",
    "backport": "For older Pythons only, and left out on newer ones: {}.",
    "debian": "An artefact of Debian's pip freeze, and left out: {}.",
    "foreign": "Paths of the machine on which pip freeze ran, so newest versions are installed instead: {}. "
    "release_constraints may name versions.",
    "gone": "Paths of the machine on which pip freeze ran, and left out: {}.",
    "option": "Options that uv does not have, and left out: {}.",
    "variable": "They read the environment, which has no such names on a host, and are left out: {}. Indexes are named "
    "by release_index and release_extra_indexes.",
    "hashes": "--require-hashes was left out, because {} has no hashes; those that are there are checked.",
}


def masked(text: str) -> str:
    """A text without the credentials in its addresses."""
    return CREDENTIALS.sub("://***@", text)


def unfit(text: str) -> str:
    """Why uv could not install a requirement on a host, whatever its name; empty if it may."""
    if found := VARIABLE.search(text):
        return (
            f"reads {found[0]} of the environment, which a host does not have. Leave the file out of "
            "release_requirements, and write what it has into release_packages, with a secret from the vault"
        )
    other = re.match(r"(?:[\w.\[\],-]+\s*@\s*)?(hg|svn|bzr)\+", text)
    return (
        f"is of {other[1]}, and uv knows git alone. Take a released version, or an archive's address" if other else ""
    )


def foreign(value: str) -> bool:
    """Whether a path belongs to another machine."""
    path = re.sub(r"^file:(//)?", "", value)
    return path.startswith(("/", "\\\\")) or bool(re.match(r"/?[A-Za-z]:[\\/]", path))
