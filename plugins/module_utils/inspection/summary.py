"""What was found of a project, told to people."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..text.document import clean
from .findings import Inspection


def summary(found: Inspection, files: list[Path], inventory: Path) -> list[str]:
    """What was found and where, what to look at, and what to do now."""
    needs, layer, database = found.dependencies, found.layer, found.database
    packages = ", ".join(needs.files) or ("release_packages" if needs.packages else "none found")
    where = " or ".join(
        ", ".join([*one.names.values(), *([f"{one.host}:{one.port} in the code"] if one.hard_coded else [])])
        for one in layer.addresses
    )
    lines = [
        f"Project      {found.folder}, manage.py in {found.backend}",
        f"Settings     {found.settings or 'not found'} ({found.settings_place or '-'})",
        f"ASGI         {found.asgi or 'not found'} ({found.asgi_place or '-'})",
        f"Packages     {packages}; {len(needs.asked)} of them",
        *[f"WebSocket    {one.pattern or '(empty)'} ({one.place})" for one in found.sockets[:10]],
        f"Layer        {layer.kind}{', ' + where if where else ''} ({layer.place or '-'})",
        f"Database     {database.kind}{', ' + ', '.join(database.names.values()) if database.names else ''}"
        f"{', ' + database.file if database.file else ''} ({database.place or '-'})",
        f"Static       {found.static_root or 'no STATIC_ROOT'}; uploads: {found.media or 'none'}",
    ]
    needed = [one for one in found.names.values() if one.needed]
    others = [one for one in found.names.values() if not one.needed]
    if found.names:
        told = ", ".join(f"{one.name} ({one.places[0]})" for one in needed[:12]) or "none"
        lines.append(f"Environment  needed: {told}")
        lines.append(f"             with a default: {', '.join(one.name for one in others[:20]) or 'none'}")
    lines += [f"Worker       {one.name}: {one.command} ({one.place})" for one in found.workers]
    lines.append("")
    order = {"error": 0, "warning": 1, "notice": 2}
    for note in sorted(found.notes, key=lambda one: order[one.level]):
        lines.append(f"{note.level.upper():8} {note.place}: {note.text}{'. ' + note.fix if note.fix else ''}")
    if files:
        count = sum(len(re.findall(r"^[^#\n]*!!!SET", path.read_text(encoding="utf-8"), re.M)) for path in files)
        shown = os.path.relpath(inventory)
        shown = str(inventory) if shown.startswith("..") else shown
        lines += [
            "",
            f"Written      {', '.join(str(path.relative_to(inventory)) for path in files)} in {shown}",
            f"To do        {count} places say !!!SET; make secrets INVENTORY={shown} fills in what is random",
            f"Then         ansible-playbook -i {shown} site.yml",
        ]
    return [clean(line) for line in lines]
