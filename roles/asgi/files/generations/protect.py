"""Environments of generations: only root and the project's group may read them."""

from __future__ import annotations

import os
import pwd
from typing import Any

from . import paths
from .generation import generations


def exposed(described: dict[str, Any]) -> bool:
    """Tell whether anybody but root and the project's group may read a generation's environment, or change it."""
    try:
        found = (paths.HOME / "generations" / described["generation"] / "env").stat()
        return (found.st_uid, found.st_gid) != (
            0,
            pwd.getpwnam(described["user"]).pw_gid,
        ) or found.st_mode & 0o7777 != 0o640
    except (OSError, KeyError):
        return False  # it is just being removed


def protect() -> None:
    """Restrict the environments of all generations to root and the project's group."""
    for name, described in generations().items():
        if exposed(described):
            path = paths.HOME / "generations" / name / "env"
            path.chmod(0o640)
            os.chown(path, 0, pwd.getpwnam(described["user"]).pw_gid)
