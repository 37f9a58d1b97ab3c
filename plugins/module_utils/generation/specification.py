"""The one document that a generation is made from, and the name that it gives the generation.

    {name, app, release: {name, version, code, venv, static}, manager, server, application, asked, shared_paths,
     unit, instances, sockets, wsgi: {unit, instances, sockets}, kinds: […], files: […], manager_files: […]}

The name is `<release>-<digest>`. The digest is that of the whole document, as the first host of the project has it, so
that all hosts agree although a worker may run on the first one only. Two labels are not part of it: the name itself,
for which a placeholder stands until then, and the version, since one commit may be deployed under several names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .files import Entry, Render, files_of, manager_files_of, render_once, static_of
from .kinds import is_worker, kinds_of, sockets_of
from .settings import Settings

Document = dict[str, Any]

DIGITS = 6


def specify(settings: Settings, render: Render, name: str = "", processes: int = 0) -> Document:
    """Return the document of a generation, as this host has it.

    With `name`, it is the document of a generation that already has a name. With `processes`, it has that many server
    processes instead of as many as the host has room for. Raises what `render` raises.
    """
    render = render_once(render, settings)
    name = name or f"{settings.release['name']}-{digest(_document(settings, render, settings.count, True))}"
    own = _document(settings, render, processes or settings.count, settings.first)
    own["release"]["version"] = settings.release["version"]
    named: Document = _replaced({"name": settings.provisional, **own}, settings.provisional, name)
    return named


def digest(document: Document) -> str:
    """Return the digits that tell a document apart from all others."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:DIGITS]


def without_texts(document: Document) -> Document:
    """Return the document without its texts. Other tasks need none, and one text holds secrets that nobody may see."""
    lists = {
        key: [{name: value for name, value in entry.items() if name != "content"} for entry in document[key]]
        for key in ("files", "manager_files")
    }
    return {**document, **lists}


def entries(document: Document, home: str) -> tuple[list[Entry], dict[str, str]]:
    """Return what module `file_set` is to write into the generation's folder: entries, and the texts of secret ones."""
    description = {"path": "generation.json", "content": description_of(document)}
    found, secrets = [{"path": home, "directory": True}], {}
    for entry in (description, *document["files"], *document["manager_files"]):
        given = {**entry, "path": f"{home}/{entry['path']}"}
        if given.pop("secret", False):
            secrets[entry["path"]] = given.pop("content")
            given["secret"] = entry["path"]
        found.append(given)
    return found, secrets


def description_of(document: Document) -> str:
    """Return what the host's tool reads about the generation, as JSON. Tools of other versions read it as well."""
    told = {
        "generation": document["name"],
        "release": document["release"]["name"],
        "version": document["release"]["version"],
        "user": document["app"],
        "workers": [kind for kind in document["kinds"] if is_worker(kind)],
    }
    same = ("app", "manager", "server", "application", "unit", "instances", "sockets", "wsgi", "shared_paths")
    return json.dumps({**told, **{key: document[key] for key in same}}, indent=4, sort_keys=True) + "\n"


def _document(settings: Settings, render: Render, count: int, first: bool) -> Document:
    """Return the document before it has its labels."""
    kinds = kinds_of(settings, count, first)
    server, release = kinds[0], settings.release
    wsgi = next((kind for kind in kinds if kind["run"] == "wsgi"), None)
    return {
        "app": settings.app,
        "release": {"name": release["name"], "code": release["code"], "venv": release["venv"],
                    "static": static_of(settings)},
        "manager": settings.manager,
        "server": settings.server,
        "application": settings.application,
        "asked": settings.asked,
        "shared_paths": settings.shared_paths,
        "unit": server["unit"],
        "instances": server["instances"],
        "sockets": sockets_of(settings, server, ".sock"),
        "wsgi": {"unit": wsgi["unit"], "instances": wsgi["instances"],
                 "sockets": sockets_of(settings, wsgi, ".wsgi.sock")} if wsgi else {},
        "kinds": kinds,
        "files": files_of(settings, kinds, render),
        "manager_files": manager_files_of(settings, kinds, render),
    }  # fmt: skip


def _replaced(value: Any, before: str, after: str) -> Any:
    """Return a value with one text replaced by another, at any depth."""
    if isinstance(value, str):
        return value.replace(before, after)
    if isinstance(value, Mapping):
        return {key: _replaced(item, before, after) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, before, after) for item in value]
    return value
