"""Places other than an index that packages come from."""

from __future__ import annotations

import os
import re

from .errors import RequirementsError


def git_place(address: str, commit: str = "", subdirectory: str = "") -> str:
    """Where a package from git comes from."""
    address = address.removeprefix("git+")
    if scp := re.fullmatch(r"([\w.-]+@[\w.-]+):(?!//)(.+)", address):
        address = f"ssh://{scp[1]}/{scp[2]}"
    place = f"git+{address}"
    return place + (f"@{commit}" if commit else "") + (f"#subdirectory={subdirectory}" if subdirectory else "")


def path_place(folder: str, path: str, editable: bool = False) -> str:
    """Where a package in the source is, relative to the backend; `folder` leads from there to the file's folder."""
    relative = os.path.normpath(os.path.join(folder, path))
    if relative.startswith("/"):
        raise RequirementsError(f"{path} is a path of another machine; the host has none but those in the source")
    dotted = relative if relative.startswith("..") else "./" + ("" if relative == "." else relative)
    return f"-e {dotted}" if editable else dotted
