"""Lines of a project's files that say how its processes are started."""

from __future__ import annotations

import re

from .files import Sources
from .values import Place


def command_lines(sources: Sources) -> list[tuple[Place, str]]:
    """Lines of files that say how the project's processes are started."""
    files = sources.named(
        "Procfile.*", "(docker-)?compose.*\\.ya?ml", ".*[Dd]ockerfile.*", ".*\\.sh",
        "supervisord?.*\\.(conf|ini)", ".*\\.service",
        "Makefile", "render\\.ya?ml", "railway\\.\\w+", "start", "entrypoint",
    )  # fmt: skip
    found = []
    for path in files[:60]:
        for number, line in enumerate(sources.text(path).splitlines(), 1):
            words = re.sub(r"[\"'\[\]]+", " ", re.sub(r"[\"']\s*,\s*[\"']", " ", line))
            if not line.strip().startswith(("#", "//")) and len(words) < 2000:
                found.append((sources.place(path, number), words))
    return found
