"""What a project does before any of it serves, in a single process: importing it takes most of the time.

`manage.py shell` runs this, as the project's user and in its environment. Its Python may be older than the host's, so
this file imports nothing else of the tool. The request comes as JSON through one descriptor, and the answer goes out
through another at the very end, so nothing that a project prints can be taken for it. Still, the answer is only the
project's word, so root checks what it does with it.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any


def static_fault(root: str, release: str, code: str, shared: str) -> str:
    """Return why collected files cannot be found at a STATIC_ROOT inside a release; usually empty."""
    root, real = os.path.abspath(root), os.path.realpath(root)
    # Judge by where its name leads: a shared path holds the users' files, not what the project ships.
    if is_in(root, release) and is_in(real, os.path.realpath(shared)):
        return (
            f"STATIC_ROOT of the project's settings is {root}, which lies in what release_shared_paths has. Files that "
            "are collected are each release's own: take that path out of release_shared_paths, or let STATIC_ROOT lead "
            "elsewhere"
        )
    place = os.path.join(os.path.realpath(os.path.dirname(root)), os.path.basename(root))
    if is_in(place, os.path.realpath(release)):
        kept = next((name for name in ("manage.py", "__init__.py") if os.path.lexists(os.path.join(place, name))), "")
        if kept or is_in(os.path.realpath(code), place):
            return (
                f"STATIC_ROOT of the project's settings is {root}, which holds code of the project"
                f"{f' ({kept})' if kept else ''}: all of it would be served, and replaced by what is collected. Let "
                'STATIC_ROOT be a folder of its own, such as BASE_DIR / "static"'
            )
    return ""


def is_in(path: str, folder: str) -> bool:
    """Tell whether a path is a folder or below it, going by their names only."""
    return f"{path}/".startswith(f"{folder}/")


def late(*_: Any) -> None:
    """Raise the exception that ends an import which takes too long."""
    raise TimeoutError


def import_applications(names: list[str], seconds: int) -> None:
    """Import what is to be served: an import error shows at once, not when the process has died again and again."""
    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        for name in names:
            module, _, attribute = name.partition(":")
            functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
    except TimeoutError:
        sys.exit(f"importing {' and '.join(names)} took longer than asgi_start_seconds ({seconds})")
    finally:
        signal.alarm(0)


def hashed_fault(root: str, wanted: dict[str, Any], settings: Any) -> str:
    """Return why processes would miss the list of hashed names, which they read at a STATIC_ROOT that is elsewhere."""
    from django.utils.module_loading import import_string

    kept = is_in(os.path.realpath(os.path.dirname(root)), os.path.realpath(wanted["release"]))
    if kept or os.path.realpath(root) == os.path.realpath(wanted["static"]):
        return ""
    storage = (getattr(settings, "STORAGES", None) or {}).get("staticfiles", {}).get("BACKEND")
    # Ask the class only: an instance would be cached, with the old STATIC_ROOT.
    if not hasattr(import_string(storage or settings.STATICFILES_STORAGE), "read_manifest"):
        return ""
    return (
        f"STATIC_ROOT of the project's settings is {root}, which is not in the project's folder, and its processes "
        "would look there for the list of hashed names (STORAGES of the settings). Let STATIC_ROOT be a folder of the "
        'project, such as BASE_DIR / "static"'
    )


def static_files(root: str, release: str) -> Iterator[tuple[str, str]]:
    """Yield what will be served, as pairs of a path and the folder that the settings name for it, if any."""
    from django.apps import apps
    from django.contrib.staticfiles.finders import get_finders

    ignored = getattr(apps.get_app_config("staticfiles"), "ignore_patterns", [])
    for finder in get_finders():
        for name, storage in finder.list(ignored):
            try:
                yield storage.path(name), getattr(storage, "location", "")
            except NotImplementedError:  # it is not a file on this host
                continue
    if is_in(os.path.realpath(root), os.path.realpath(release)):  # files that the release ships there
        for folder, folders, files in os.walk(root):
            for name in folders + files:
                yield os.path.join(folder, name), ""


def link_fault(root: str, wanted: dict[str, Any]) -> str:
    """Return which static file leads out of the release, or out of its own folder, by a link; usually empty.

    The file at its end would be copied and served to everybody. Exceptions: the environment's packages may lie in a
    cache, and a folder elsewhere that the settings name is meant to be served, so links in it may lead to its real
    location.
    """
    release = os.path.realpath(wanted["release"])
    # The inventory asks for each of the shared paths; the rest of that folder is not meant to be served.
    shared = [os.path.realpath(os.path.join(wanted["shared"], path)) for path in wanted["shared_paths"]]
    real = functools.lru_cache(maxsize=None)(os.path.realpath)
    for path, location in static_files(root, wanted["release"]):
        led = os.path.join(real(os.path.dirname(path)), os.path.basename(path))
        led = os.path.realpath(led) if os.path.islink(led) else led
        own = is_in(path, release) or is_in(path, wanted["release"])
        if not any(is_in(led, folder) for folder in ([release, *shared] if own else [real(location)])):
            return (
                f"{path} is among the static files and leads to {led}, which is not in the release: it would be served "
                "to everybody. Have the file itself there, or name the folder that it is in in STATICFILES_DIRS"
            )
    return ""


def main(wanted: dict[str, Any], lock: int) -> dict[str, Any]:
    """Do what is asked, and return the answer. Exits with a text if the project is at fault."""
    from django.conf import settings
    from django.core.management import call_command
    from django.db.models.signals import pre_migrate

    call_command("check")
    import_applications(wanted["applications"], wanted["seconds"])
    root = os.path.abspath(settings.STATIC_ROOT) if getattr(settings, "STATIC_ROOT", None) else ""
    collected = ""
    if root and wanted["collect"]:
        fault = static_fault(root, wanted["release"], wanted["code"], wanted["shared"])
        fault = fault or hashed_fault(root, wanted, settings) or link_fault(root, wanted)
        if fault:
            sys.exit(fault)
        # The project doesn't decide where the files go, because the release belongs to root.
        settings.STATIC_ROOT = wanted["static"]
        collected = call_command("collectstatic", interactive=False) or ""
    os.umask(0o027)  # as processes have it; only nginx reads the collected files
    for command in wanted["commands"] if wanted["migrate"] else []:
        print("before the migrations:", command, flush=True)
        code = subprocess.run(["sh", "-euc", command], pass_fds=[lock]).returncode
        if code:
            sys.exit(f"A command of release_hooks_before_migrate failed with {code}: {command}")
    applied: list[Any] = []
    if wanted["migrate"]:
        pre_migrate.connect(lambda plan=(), **_: applied.extend(plan), weak=False)
        call_command("migrate", interactive=False)
    layers = getattr(settings, "CHANNEL_LAYERS", None) or {}
    return {
        "changed": bool(applied) or collected.lstrip()[:1] not in ("", "0"),
        "layer": str((layers.get("default") or {}).get("BACKEND", "")),
        "migrated": bool(wanted["migrate"]),
        "static_root": root,
        "static_url": str(settings.STATIC_URL or "") if root else "",
    }


def answer(given: int, answered: int, lock: int) -> None:
    """Do what the JSON from one descriptor asks, and answer through another; the inventory's commands hold a lock.

    Only they inherit the lock's descriptor, and they get neither of the other two.
    """
    for descriptor in (given, answered, lock):
        os.set_inheritable(descriptor, False)
    with open(given, encoding="utf-8") as file:
        told = main(json.load(file), lock)
    os.write(answered, json.dumps(told).encode())
