"""A summary, for people, of what was found in a project."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..text.commands import playbook_command, secrets_command
from ..text.document import clean
from ..text.templates import render
from .findings import Address, Inspection

TEMPLATE = Path(__file__).parent / "templates" / "summary.txt.j2"
LEVELS = ("error", "warning", "notice")  # of notes, in the order of the summary


def summary(found: Inspection, files: list[Path], inventory: Path) -> list[str]:
    """What was found and where, what to look at, and what to do next."""
    shown = os.path.relpath(inventory)
    shown = str(inventory) if shown.startswith("..") else shown
    values = {
        "found": found,
        "layer_at": " or ".join(layer_place(one) for one in found.layer.addresses),
        "notes": sorted(found.notes, key=lambda one: LEVELS.index(one.level)),
        "written": [path.relative_to(inventory) for path in files],
        "to_set": sum(len(re.findall(r"^[^#\n]*!!!SET", path.read_text(encoding="utf-8"), re.M)) for path in files),
        "inventory": shown,
        "secrets_command": secrets_command(shown),
        "site_command": playbook_command("site", shown),
    }
    return render(TEMPLATE, values, finalize=clean).removesuffix("\n").split("\n")


def layer_place(address: Address) -> str:
    """Where the channel layer finds Redis: environment variables, and addresses in the code."""
    fixed = [f"{address.host}:{address.port} in the code"] if address.hard_coded else []
    return ", ".join([*address.names.values(), *fixed])
