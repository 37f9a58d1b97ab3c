"""What a release has besides its code: files, an environment, and paths that outlive it. Controller only."""

from __future__ import annotations

import os
import re
import typing as t
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..project import path_fault
from ..view import HostView, Problem, check, is_mapping, listed


def placed_fault(backend: str, path: str) -> str:
    """Why a path from the backend cannot name a file in the release; empty if it can."""
    below = re.sub(r"^(?:\.\./)+", "", path)
    if fault := path_fault(below) or ("is a folder" if path.endswith("/") else ""):
        return fault
    whole = os.path.normpath(os.path.join(backend, path))
    if whole.startswith("../"):
        return "leads above the project's folder"
    if os.path.relpath(whole, backend) != path:
        return "is not written plainly"
    return "is one by which a release is known" if below in (".placed", ".complete") else ""


@check("release")
def release_files(host: HostView) -> Iterator[Problem]:
    """The user's own files have a place in the code, a text, and a mode that lets the project read them."""
    files = [one for one in host.get("release_files") or [] if is_mapping(one)]
    paths = [str(one.get("path") or "") for one in files]
    for path in dict.fromkeys(paths):
        fault = placed_fault(str(host.get("release_backend") or "."), path)
        if fault:
            fix = "Write the path of a file from release_backend: config/local.yml, or ../config.yml above it"
            yield Problem("release_files", f'the path "{path}" {fault}', fix)
        if paths.count(path) > 1:
            yield Problem("release_files", f"has {paths.count(path)} files {path}", "Keep one of them.")
        if below := next((other for other in paths if other.startswith(f"{path}/")), ""):
            yield Problem("release_files", f"{path} is a file, and {below} lies in it", "Write another path.")
    for one in files:
        name = str(one.get("path"))
        if fault := text_fault(host, one):
            fix = 'Write content, or the whole path of a template:\n  template: "{{ inventory_dir }}/files/env.j2"'
            yield Problem("release_files", f"{name} {fault}", fix)
        mode = one.get("mode", "0640")
        if not isinstance(mode, str) or not re.fullmatch(r"0?[0-7]{3}", mode):
            shown_mode = f'"{mode}"' if isinstance(mode, str) else f"the number {mode}"
            yield Problem("release_files", f"{name} has the mode {shown_mode}", 'Write it in quotes: mode: "0640"')
        elif not int(mode, 8) & 0o040:
            yield Problem("release_files", f"{name} has mode {mode}: the project cannot read it", 'Write "0640"')
        elif int(mode, 8) & 0o022:
            fix = 'Write "0640", or let the project write elsewhere: release_shared_paths'
            yield Problem("release_files", f"{name} has mode {mode}: code can be written by root only", fix)


def text_fault(host: HostView, file: Mapping[str, t.Any]) -> str:
    """Why a file of release_files has no text; empty if it has one."""
    template = file.get("template")
    if (template is None) == (file.get("content") is None):
        return "has neither template nor content" if template is None else "has a template and content"
    if template is None:
        return ""
    path = Path(str(template)).expanduser()
    if not path.is_absolute():
        return f"has the template {template}, which is a relative path"
    if not path.is_file():
        return f"has the template {path}, which is no file on this machine"
    fault = host.file_fault(str(path))
    return f"has the template {path}, which {fault}" if fault else ""


@check("release")
def release_environment(host: HostView) -> Iterator[Problem]:
    """Names and values of the environment are valid for a process. No value is shown."""
    for variable in ("release_environment", "release_secrets"):
        given = host.get(variable)
        for name, value in given.items() if is_mapping(given) else ():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(name)):
                fix = "Use letters, digits and underscores, and do not start with a digit: SECRET_KEY"
                yield Problem(variable, f'"{name}" cannot be the name of an environment variable', fix)
            if value is None:
                yield Problem(variable, f"{name} has no value", 'Write a text, or "" for an empty one.')
            elif is_mapping(value) or isinstance(value, list | tuple):
                fix = 'Write a string. If the project reads JSON there, write: "{{ value | to_json }}"'
                yield Problem(variable, f"{name} is not a string, but has items", fix)
            elif "\0" in str(value):
                yield Problem(variable, f"{name} contains a NUL, which is impossible in an environment", "Remove it.")


@check("release")
def release_shared_paths(host: HostView) -> Iterator[Problem]:
    """Paths that outlive releases are in the project's folder, and none is inside another."""
    paths = [str(one) for one in host.items("release_shared_paths")]
    for path in dict.fromkeys(paths):
        fault = path_fault(path)
        if fault or path.removesuffix("/") in ("manage.py", ".placed", ".complete"):
            fix = "Write paths below release_backend, folders with a slash at their end: [db.sqlite3, media/]"
            yield Problem("release_shared_paths", f'"{path}" {fault or "belongs to the code"}', fix)
    bare = [path.removesuffix("/") for path in paths]
    for index, path in enumerate(bare):
        inner = [paths[other] for other, one in enumerate(bare) if other != index and f"{one}/".startswith(f"{path}/")]
        if inner and (path not in bare[:index]):
            fix = "Keep the outer one, or only those inside it."
            yield Problem("release_shared_paths", f"{listed(inner)} lies in {paths[index]}", fix)
    for file in host.get("release_files") or []:
        name = str(file.get("path")) if is_mapping(file) else ""
        for index, path in enumerate(bare):
            if f"{name}/".startswith(f"{path}/") or path.startswith(f"{name}/"):
                fix = "Remove one of the two: shared paths are written by the project, not by a release."
                yield Problem("release_files", f"{name} lies in what release_shared_paths has, {paths[index]}", fix)
