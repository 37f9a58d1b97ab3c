"""Check that the app's name is usable, and free on the host. Controller only."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..view import HostView, Problem, check, is_mapping, probe_facts


@check("release")
def release_name(host: HostView) -> Iterator[Problem]:
    """The app's name works for folders, units and a Unix user."""
    name = host.get("release_app")
    if name is not None and not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", str(name)):
        fix = "Write a lower-case letter, then at most 30 lower-case letters, digits and hyphens: dashboard"
        yield Problem("release_app", f'"{name}" cannot name folders, services and a user', fix)


@check("release")
def release_name_is_free(host: HostView) -> Iterator[Problem]:
    """No other user, program or unit on the host has the app's name."""
    name, facts = str(host.get("release_app") or ""), probe_facts(host.probe)
    projects = {key.removeprefix("project:") for key in facts if key.startswith("project:")}
    if name not in projects:
        for words, what in (("users", "is a user of the host already"), ("run", "is a program's folder in /run")):
            if name in facts.get(words, "").split():
                yield Problem("release_app", f'"{name}" {what}', "Write a name that nothing on the host has.")
                break
    for worker in host.get("asgi_workers") or []:
        unit = f"{name}-{worker.get('name')}" if is_mapping(worker) else ""
        for other in sorted(projects):
            if other.startswith(f"{name}-") and (unit == other or unit.startswith(f"{other}-")):
                fix = "Give the worker another name."
                yield Problem("asgi_workers", f"{unit} would be a unit of {other}, which is on this host too", fix)
