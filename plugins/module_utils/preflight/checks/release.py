"""Where a project's code comes from, and what it runs with. Controller only."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from ...requirements.errors import RequirementsError
from ...requirements.kinds import kind_fault, named
from ...requirements.strangers import masked
from ..project import SEARCH_DEPTH, backend_folder, find_files, path_fault
from ..view import HostView, Problem, check, is_mapping, listed


@check("release")
def release_source(host: HostView) -> Iterator[Problem]:
    """The code comes from exactly one place."""
    if {"release_folder", "release_repository"} & host.faulty:
        return
    given = [name for name in ("release_folder", "release_repository") if host.get(name)]
    if len(given) == 2:
        yield Problem("release_folder", "is set, and so is release_repository", "Delete one of the two.")
    if not given:
        fix = "Set one of them:\n  release_folder: /path/to/the/project\n  release_repository: https://host/project.git"
        yield Problem("release_folder", "is not set, nor is release_repository: there is no code to deploy", fix)


@check("release")
def release_folder(host: HostView) -> Iterator[Problem]:
    """A project on the controller exists, and has `manage.py` in its backend."""
    folder = host.path("release_folder")
    if folder is None:
        return
    backend = backend_folder(host)
    if not folder.is_absolute():
        fix = f'Say from where, or write the whole path:\n  release_folder: "{{{{ inventory_dir }}}}/{folder}"'
        yield Problem("release_folder", f"{folder} is a relative path, and Ansible runs in more than one folder", fix)
    elif not folder.is_dir():
        yield Problem("release_folder", f"{folder} is no folder on this machine", "Write the path of the project.")
    elif backend and not (backend / "manage.py").is_file():
        lacks = "has no manage.py" if backend.is_dir() else "does not exist"
        found = [str(path.parent.relative_to(folder)) for path in find_files(folder, "manage.py")]
        variable, fix = (
            "release_folder",
            f"No manage.py is in it or up to {SEARCH_DEPTH} folders below: write another path.",
        )
        if found:
            variable, fix = "release_backend", f"manage.py is in {listed(found)}. Write:\n  release_backend: {found[0]}"
        yield Problem(variable, f"{backend} {lacks}", fix)


@check("release")
def release_requirements(host: HostView) -> Iterator[Problem]:
    """The files that say what the project needs are of a supported kind, and in its backend."""
    names = host.get("release_requirements")
    if names == [] and host.raw("release_packages") in ([], None):
        fix = "Name a file there, or what the project needs:\n  release_packages: [django, channels, channels-redis]"
        yield Problem("release_requirements", "is empty, and so is release_packages: nothing would be installed", fix)
    known = []
    for name in names if isinstance(names, list) else []:
        try:
            fault = kind_fault(str(name))
        except RequirementsError:
            fault = "it is no path with extras in brackets behind it. Write such as uv.lock[production]"
        if fault:
            what, _, fix = fault.partition(". ")
            what, _, fix = (what, "", fix) if fix else fault.partition(": ")
            yield Problem("release_requirements", f"{name} cannot be read: {what}", fix[:1].upper() + fix[1:] + ".")
        else:
            known.append(named(str(name))[0])
    backend = backend_folder(host)
    if not backend or not (backend / "manage.py").is_file():
        return
    missing = [name for name in known if not (backend / name.replace("\\", "/")).is_file()]
    if missing:
        kinds = ("*requirements*.txt", "base.txt", "pyproject.toml", "Pipfile.lock")
        found = [str(path.relative_to(backend)) for path in find_files(backend, *kinds)]
        fix = f"There is {listed(found)}. Write the right ones:" if found else "Write the right ones:"
        example = f"[{found[0]}]" if found else "[]   # and what the project needs into release_packages"
        fix += f"\n  release_requirements: {example}"
        yield Problem("release_requirements", f"{backend} has no {listed(missing)}", fix)
    for name in known:
        beside = (backend / name).parent / "pyproject.toml"
        if name not in missing and Path(name).name == "poetry.lock" and not beside.is_file():
            yield Problem("release_requirements", f"{name} has no pyproject.toml beside it", f"Restore {beside}.")


@check("release")
def release_packages(host: HostView) -> Iterator[Problem]:
    """Extra packages are written as in a requirements file."""
    for variable, example in (("release_packages", "gunicorn==23.0.0"), ("release_constraints", "redis<8")):
        for item in host.items(variable):
            text = str(item).strip()
            try:
                bare = Requirement(text)
                fault = "" if bare.specifier or variable == "release_packages" else "names no version"
            except InvalidRequirement:
                place = re.match(r"-e |\.|[a-z+]+://|git\+", text) and variable == "release_packages"
                fault = "" if place and "\n" not in text else "is no requirement"
            if fault:
                shown_text = masked(text)
                yield Problem(variable, f'"{shown_text}" {fault}', f'Write lines such as\n  {variable}: ["{example}"]')


@check("release")
def release_indexes(host: HostView) -> Iterator[Problem]:
    """Package indexes are addresses. None is shown, since they may hold credentials."""
    given = [("release_index", host.get("release_index"))]
    given += [("release_extra_indexes", item) for item in host.items("release_extra_indexes")]
    for variable, value in given:
        if value and not re.fullmatch(
            r"(?:[\w.-]+=)?(?:https?|file)://[^\s/]*/\S*|(?:[\w.-]+=)?https?://[^\s/]+", str(value)
        ):
            fix = "Write one such as https://user:password@packages.example.org/simple/, from the vault."
            yield Problem(variable, "has a value that is no address (not shown: it may be a secret)", fix)


@check("release")
def release_repository(host: HostView) -> Iterator[Problem]:
    """A repository has an address that git can use from anywhere. It is not shown if it may hold a token."""
    value = str(host.get("release_repository") or "")
    user = r"(?:[^\s/@:]+(?::[^\s/@]*)?@)?"
    server = r"(?:[\w.-]+|\[[0-9a-fA-F:]+\])(?::\d+)?"
    whole = rf"(?:https?|ssh|git|git\+ssh)://{user}{server}/\S+|(?:[\w.-]+@)?[\w.-]+:(?!/?/)\S+|[\w.-]+@[\w.-]+:/\S+"
    if not value or re.fullmatch(rf"{whole}|file:///\S.*|/.*", value):
        return
    secret = "@" in value and "://" in value
    told = "has a value that is no address (not shown: it may hold a secret)" if secret else f'"{value}" is no address'
    fix = (
        "Write one such as git@host:team/project.git, https://host/team/project.git, with a token from the vault as "
        "https://user:{{ vault_token | urlencode }}@host/team/project.git, or a whole path on this machine."
    )
    yield Problem("release_repository", told, fix)


@check("release")
def release_backend(host: HostView) -> Iterator[Problem]:
    """The backend is a folder in the project."""
    value = str(host.get("release_backend") or "")
    if value not in (".", "./") and (fault := path_fault(value.removeprefix("./"))):
        fix = "Write the folder that holds manage.py as it is called in the project, or . for the project's own."
        yield Problem("release_backend", f'"{value}" {fault.replace("release_backend", "the project")}', fix)


@check("release")
def release_settings_module(host: HostView) -> Iterator[Problem]:
    """A settings module has a dotted name, and exists if its package does."""
    value = str(host.get("release_settings_module") or "")
    if not value:
        return
    meant = re.sub(r"\.py$", "", value.strip()).strip("./").replace("/", ".")
    dotted = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
    if value != meant or not re.fullmatch(dotted, value):
        better = meant if re.fullmatch(dotted, meant) else "mysite.settings"
        yield Problem("release_settings_module", f'"{value}" is no dotted name of a module', f"Write {better}.")
    elif (backend := backend_folder(host)) and (backend / value.partition(".")[0]).is_dir():
        path = backend.joinpath(*value.split("."))
        own = [backend / str(one.get("path") or "") for one in host.get("release_files") or [] if is_mapping(one)]
        if not {path.with_suffix(".py"), path / "__init__.py"} & set(own) and not (
            path.with_suffix(".py").is_file() or path.is_dir()
        ):
            fix = "Write that file by release_files, or another name."
            yield Problem("release_settings_module", f"there is no {path.with_suffix('.py')}", fix)


@check("release")
def release_version(host: HostView) -> Iterator[Problem]:
    """A version is a name that git can look up."""
    value = host.get("release_version")
    if value is not None and (not str(value) or re.search(r"^-|\s|\.\.|[:?*\[\\]", str(value))):
        fix = "Write the name of a branch or tag, or a commit: v1.4.2"
        yield Problem("release_version", f'"{value}" is no name of a version', fix)


@check("release")
def release_deploy_key(host: HostView) -> Iterator[Problem]:
    """A deploy key is a private key without a passphrase."""
    value = str(host.get("release_deploy_key") or "")
    if not value:
        return
    fault = key_fault(value)
    if fault:
        fix = "Put the whole text of a key without passphrase into the vault:\n  ssh-keygen -t ed25519 -N ''"
        yield Problem("release_deploy_key", fault, fix)
    elif host.get("release_folder"):
        yield Problem("release_deploy_key", "is for release_repository, and release_folder is set", "Delete the line.")
    elif str(host.get("release_repository") or "").startswith("http"):
        fix = "Write the address that SSH has, git@host:path, or delete the key."
        yield Problem("release_deploy_key", "is for SSH, and release_repository is fetched by HTTP", fix)


def key_fault(text: str) -> str:
    """Why a text is not a private SSH key that works without a passphrase; empty if it is."""
    lines = [line.strip() for line in text.strip().splitlines()]
    head = re.fullmatch(r"-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----", lines[0])
    if not head:
        public = re.match(r"(ssh|ecdsa|sk)-", lines[0])
        return "is the public half of a key" if public else "is no private SSH key"
    if lines[-1] != f"-----END {head[1]}-----" or len(lines) < 3:
        return "is a part of a private SSH key only"
    if head[1].startswith("ENCRYPTED") or "ENCRYPTED" in lines[1]:
        return "has a passphrase, which nobody can be asked for"
    if head[1].startswith("OPENSSH"):
        try:
            content = base64.b64decode("".join(lines[1:-1]), validate=True)
        except binascii.Error:
            return "is garbled"
        if not content.startswith(b"openssh-key-v1\0"):
            return "is garbled"
        # The cipher's name follows, after its length.
        return "" if content[15:23] == b"\0\0\0\4none" else "has a passphrase, which nobody can be asked for"
    return ""


@check("release")
def release_system_packages(host: HostView) -> Iterator[Problem]:
    """Debian packages have names that apt accepts."""
    for item in host.items("release_system_packages"):
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9-]+)?", str(item)):
            fix = "Write names of Debian packages, without versions:\n  release_system_packages: [gcc, libpq-dev]"
            yield Problem("release_system_packages", f'"{item}" is no name of a Debian package', fix)


@check("release")
def release_python(host: HostView) -> Iterator[Problem]:
    """A version of Python is named in a way that uv understands."""
    value = host.get("release_python")
    if value is None:
        return
    text = str(value)
    if re.fullmatch(r"(?:python)?3\.[1-5]", text):  # YAML turns 3.10 without quotes into this
        fix = f'Write a version in quotes:\n  release_python: "{text.removeprefix("python")}0"'
        yield Problem("release_python", f"is {text}, which has no Channels", fix)
    elif not re.fullmatch(r"(?:(?:c?python|pypy)@?)?[23](?:\.\d+){0,2}t?|/\S+", text):
        fix = 'Write python3 (Debian\'s own), a version or a path:\n  release_python: "3.12"'
        yield Problem("release_python", f'"{text}" names no Python', fix)
