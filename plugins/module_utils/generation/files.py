"""The files of a generation, as entries of its document: a path below its folder, and a text, a link or a folder.

Texts are rendered only here, because what is in the document decides the generation's name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..host import sandbox
from .kinds import Kind
from .sandbox import confinement
from .servers import endpoint_of, environment_of, options_of
from .settings import Settings

#: Renders a template of templates/asgi, or the inventory's own, with these variables in addition to the task's.
Render = Callable[[str, Mapping[str, Any]], str]
Entry = dict[str, Any]
#: The scripts of a generation by their names on the host, which operators know, and their templates.
SCRIPTS = {"within": "run_in_env", "serve": "server", "work": "worker", "launch": "launch", "wsgi": "wsgi_server"}


def render_once(render: Render, settings: Settings) -> Render:
    """Return a `render` that gives each template the generation's variables, and renders nothing twice."""
    done: dict[tuple[str, str], str] = {}
    common = variables_of(settings)

    def rendered(template: str, own: Mapping[str, Any]) -> str:
        key = (template, json.dumps(own, sort_keys=True))
        if key not in done:
            done[key] = str(render(template, {**common, **own}))
        return done[key]

    return rendered


def variables_of(settings: Settings) -> dict[str, Any]:
    """Return the variables that templates read and no role sets."""
    return {
        "_asgi_generation": settings.provisional,
        "_asgi_home": settings.home,
        "_asgi_environment": settings.environment,
        "_asgi_sandbox": confinement(settings),  # inventories' templates that were copied from ours read it
        "_asgi_sandbox_values": sandbox.settled(confinement(settings), settings.sandbox),
        "_asgi_options": options_of(settings),
        "_asgi_endpoint": endpoint_of(settings),
        "_asgi_variables": environment_of(settings),
    }


def files_of(settings: Settings, kinds: list[Kind], render: Render) -> list[Entry]:
    """Return all files except the service manager's, each after its folder."""

    def script(path: str) -> Entry:
        return {"path": path, "content": render(f"{SCRIPTS[path]}.j2", {}), "mode": "0755"}

    release = settings.release
    found: list[Entry] = [
        {"path": "env", "content": render("env.j2", {}), "secret": True, "group": settings.app, "mode": "0640"},
        *(script(path) for path in SCRIPTS if path != "wsgi"),
        {"path": "cron", "content": _cron(kinds, render)},
        {"path": "code", "link": release["code"]},
        {"path": "venv", "link": release["venv"]},
        {"path": "static", "link": static_of(settings)},
    ]
    if settings.http == "wsgi":
        found += [script("wsgi"), {"path": "gunicorn.conf.py", "content": render("gunicorn.conf.py.j2", {})}]
    if settings.prefix:
        mount = {"path": "mount/asgi_mount.py", "content": render("asgi_mount.py.j2", {})}
        found += [{"path": "mount", "directory": True}, mount]
    return found


def manager_files_of(settings: Settings, kinds: list[Kind], render: Render) -> list[Entry]:
    """Return what the service manager reads about each kind of processes.

    supervisor runs only permanent processes: a kind without processes on this host, or with a schedule, has no file.
    """
    if settings.manager == "supervisor":
        kinds = [kind for kind in kinds if kind["instances"] and not kind["schedule"]]
        template, ending = settings.program_template, ".conf"
    else:
        template, ending = settings.unit_template, ".service"
    return [
        {
            "path": f"{kind['unit']}{ending}",
            "content": render(
                template,
                {
                    "_asgi_kind": kind,
                    "_asgi_sandbox_lines": sandbox.lines(confinement(settings), settings.sandbox, kind["sandbox"]),
                },
            ),
        }
        for kind in kinds
    ]


def static_of(settings: Settings) -> str:
    """Return the folder of the release's static files."""
    return f"{settings.base}/static/{settings.release['name']}"


def _cron(kinds: list[Kind], render: Render) -> str:
    """Return what cron reads; nothing if no worker has a schedule."""
    scheduled = [kind for kind in kinds if kind["schedule"]]
    return render("cron.j2", {"_asgi_kinds": scheduled}) if scheduled else ""
