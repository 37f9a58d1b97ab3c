"""Learn about a Django Channels project from its folder, without importing or running any of it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..code.files import Sources
from ..requirements import declared
from .advice import advise
from .apps import find_apps
from .asgi import find_asgi
from .databases import find_database
from .environment import find_health, find_names, find_token
from .findings import Inspection
from .python import find_python
from .read_files import find_read_files
from .routes import find_sockets
from .settings import find_files, find_fixed, find_layer, find_settings
from .sockets import advise_sockets
from .tasks import find_tasks
from .workers import find_workers


def inspect(folder: Path) -> Inspection:
    """Look at the project in a folder."""
    folder = Path(os.path.realpath(folder))
    sources = Sources(folder)
    found = Inspection(folder)
    find_backend(sources, found)
    found.app = app_name(found)
    found.repository = origin_of(folder)
    scope = find_settings(sources, found)
    if sources.compared:  # a value known only at the end may decide a branch at the beginning
        sources.forget()
        scope = find_settings(sources, found)
    settings_files = sources.evaluated()
    find_asgi(sources, found, scope)
    find_sockets(sources, found)
    found.dependencies = declared.find(sources)
    if scope:
        find_layer(found, scope)
        find_database(found, sources, scope)
        find_files(sources, found, scope)
        find_fixed(found, scope)
    find_names(sources, found, settings_files, scope)
    find_tasks(sources, found, scope)
    find_workers(sources, found, scope)
    find_token(sources, found)
    find_health(sources, found, scope)
    find_read_files(sources, found, settings_files)
    find_apps(sources, found, scope)
    for path in sources.python():
        sources.tree(path)
    find_python(sources, found)
    advise(sources, found, scope)
    advise_sockets(sources, found, scope)
    for unreadable, reason in sorted(sources.unreadable.items()):
        found.note("warning", unreadable, f"could not be read: {reason}", "What is in it is not in the inventory.")
    return found


def app_name(found: Inspection) -> str:
    """A name for folders, units and a user, made from the folder's name."""
    name = found.folder.name
    name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    name = re.sub(r"^[^a-z]+", "", name)[:31].strip("-")
    return name or "project"


def origin_of(folder: Path) -> str:
    """The address that the folder's git repository was cloned from, without credentials."""
    try:
        text = (folder / ".git" / "config").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    match = re.search(r'\[remote "origin"\][^\[]*?url\s*=\s*(\S+)', text)
    return re.sub(r"://[^/@\s]+@", "://", match[1]) if match else ""


def find_backend(sources: Sources, found: Inspection) -> None:
    """The folder of manage.py. If there are several, prefer one that uses Channels, then the nearest."""
    managers = [path for path in sources.named("manage\\.py")]

    def speaks(path: Path) -> bool:
        below = (one for one in sources.files if one.suffix == ".py" and one.is_relative_to(path.parent))
        return any(re.search(r"ProtocolTypeRouter|URLRouter|channels", sources.text(one)) for one in below)

    ordered = sorted(managers, key=lambda path: (len(managers) > 1 and not speaks(path), len(path.parts), str(path)))
    found.managers = [sources.relative(path.parent) for path in ordered]
    if ordered:
        sources.backend = ordered[0].parent
    else:
        asgi = sources.named("asgi\\.py")
        sources.backend = asgi[0].parent.parent if asgi and asgi[0].parent != sources.folder else sources.folder
        fix = "Look in the right folder: -e inspect_folder=/path/to/the/project"
        found.note("error", ".", "has no manage.py, so this is no Django project as a host can run it", fix)
    found.backend = sources.relative(sources.backend)
    if len(ordered) > 1:
        others = ", ".join(found.managers[1:4])
        fix = "Name another by -e inspect_folder=, or correct release_backend."
        found.note("notice", f"{found.backend}/manage.py", f"was taken; manage.py is in {others} too", fix)
    for path in sources.environments:
        fix = "Have git leave it out (.gitignore), or the host gets it with each release."
        found.note("notice", path, "is a virtual environment inside the project", fix)
