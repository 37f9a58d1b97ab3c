"""Action that finds every problem of an inventory and its hosts at once, before anything changes.

It runs once, on the controller, after a raw probe has registered `__preflight_probe` on every host, and touches none
of them. Checks of values that must fit together are here and, by topic, in `module_utils/preflight_*.py`;
`preflight_hosts` says how to add one.
"""

from __future__ import annotations

import ast
import base64
import binascii
import contextlib
import fnmatch
import functools
import ipaddress
import os
import re
import textwrap
import typing as t
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible.errors import AnsibleAction
from ansible.plugins.action import ActionBase
from packaging.requirements import InvalidRequirement, Requirement

from ..module_utils.code.files import SKIPPED

# By their import, their checks are made.
from ..module_utils.preflight.checks import (
    certificate,  # noqa: F401
    firewall,  # noqa: F401
    handshake,  # noqa: F401
    hardening,  # noqa: F401
    limits,
    proxies,  # noqa: F401
    pythons,  # noqa: F401
    sandbox,  # noqa: F401
    store_tls,  # noqa: F401
    stores,  # noqa: F401
)
from ..module_utils.preflight.checks import nginx as preflight_nginx  # noqa: F401
from ..module_utils.preflight.checks.ports import facts_for_roles
from ..module_utils.preflight.checks.workers import processes_of
from ..module_utils.preflight.values import (
    option_problems,
    placeholder_problems,
    unknown_problems,
)
from ..module_utils.preflight.view import (
    CHECKS,
    MASK,
    PLACEHOLDER,
    SECRET_LENGTH,
    SHORTEST_MASKED,
    HostView,
    Problem,
    Role,
    check,
    counted,
    is_mapping,
    is_secret,
    last_line,
    listed,
    nearest,
    origin,
    probe_facts,
    shown,
    strings,
)
from ..module_utils.requirements import merged

SEARCH_DEPTH = 3  # folders below the one searched
WIDTH = 100  # columns of the report


# --- hosts: what the probe found ------------------------------------------------------------------------------------


def version_tuple(version: str) -> tuple[int, ...]:
    """`3.11.2` as numbers, for comparing."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def by_hand(host: HostView) -> str:
    """The command that shows an operator what Ansible saw when it did not get through."""
    connection = str(host.get("ansible_connection") or "ssh")
    if connection.rpartition(".")[2] not in ("ssh", "smart", "paramiko_ssh", "paramiko"):
        return f"Look whether connection {connection} reaches it:\n  ansible {host.name} -m ansible.builtin.ping"
    words = ["ssh"]
    for option, names in (("-p", ("ansible_port", "ansible_ssh_port")), ("-i", ("ansible_ssh_private_key_file",))):
        words += next(([option, str(host.get(name))] for name in names if host.get(name)), [])
    words += [str(host.get(name)) for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args") if host.get(name)]
    user = host.get("ansible_user") or host.get("ansible_ssh_user")
    target = host.get("ansible_host") or host.get("ansible_ssh_host") or host.name
    return "Try by hand, and correct ansible_host, ansible_port, ansible_user or the key:\n  " + " ".join(
        [*words, f"{user}@{target}" if user else str(target), "true"]
    )


def host_problems(host: HostView, versions: list[str], minimum_python: str) -> Iterator[Problem]:
    """What is wrong with a machine itself: not reachable, not root, not a supported Debian, no Python."""
    facts = probe_facts(host.probe)
    if host.probe.get("unreachable"):
        line = re.sub(r"^.*Failed to connect to the host via ssh: ", "", last_line(host.probe.get("msg")))
        yield Problem("", f"unreachable: {line}", by_hand(host))
    elif not host.probe or host.probe.get("skipped"):
        yield Problem("", "was not probed", "Run the role preflight as a whole, without skipping its tags.")
    elif "user" not in facts:
        said = last_line(host.probe.get("stderr")) or last_line(host.probe.get("msg")) or "no output"
        yield Problem("", f"no command can be run on it as root: {said}", root_fix())
    else:
        yield from machine_problems(facts, versions, minimum_python, host.name)


def root_fix() -> str:
    """How commands come to run as root."""
    return (
        "Set ansible_become: true for it, with ansible_become_password in the vault if sudo asks (or run with "
        "--ask-become-pass), or ansible_user: root."
    )


def machine_problems(facts: Mapping[str, str], versions: list[str], minimum: str, name: str) -> Iterator[Problem]:
    """What is wrong with a machine that answered."""
    if facts["user"] != "root":
        yield Problem("", f'commands run as "{facts["user"] or "nobody known"}", not as root', root_fix())
    umask = facts.get("umask", "")
    # Of code, environment and static files, which belong to root, nobody else could read a line.
    if re.fullmatch(r"[0-7]+", umask) and int(umask, 8) & 0o055:
        fix = "Write UMASK 022 in its /etc/login.defs. Where it is the controller itself, run there before Ansible:"
        yield Problem("", f"new files are closed to the project's user (umask {umask})", f"{fix}\n  umask 022")
    supported = f"Debian {listed(versions)}"
    if facts.get("id") != "debian" or facts.get("version") not in versions:
        found = " ".join(filter(None, (facts.get("id"), facts.get("version")))) or "an unknown system"
        yield Problem("", f"runs {found}; supported: {supported}", f"Give it {supported}, or take it out.")
        supported = ""
    elif facts.get("apt") != "yes":
        yield Problem("", "has no apt-get", "Use a Debian image that has apt.")
    python = facts.get("python", "")
    install = f"  ansible {name} -m ansible.builtin.raw -a 'apt-get update && apt-get install -y python3'"
    if not python:
        fix = "Install it, or correct ansible_python_interpreter:\n" + install
        yield Problem("", "has no Python 3", fix)
    elif supported and version_tuple(python) < version_tuple(minimum):
        fix = f"Install Debian's own, and let ansible_python_interpreter name it if it is set:\n{install}"
        yield Problem("", f"has Python {python}, older than {minimum}", fix)


# --- values that must fit together ----------------------------------------------------------------------------------


@check("release")
def release_name(host: HostView) -> Iterator[Problem]:
    """The app's name becomes folders, units and a Unix user."""
    name = host.get("release_app")
    if name is not None and not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", str(name)):
        fix = "Write a lower-case letter, then at most 30 lower-case letters, digits and hyphens: dashboard"
        yield Problem("release_app", f'"{name}" cannot name folders, services and a user', fix)


@check("release")
def release_name_is_free(host: HostView) -> Iterator[Problem]:
    """The app's name is no other user's and no other program's on the host, and its units are nobody else's."""
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
    """A project taken from the controller is there, with `manage.py` where the backend is said to be."""
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
    """The files that say what the project needs are of a kind that is read, and are in its backend."""
    names = host.get("release_requirements")
    if names == [] and host.raw("release_packages") in ([], None):
        fix = "Name a file there, or what the project needs:\n  release_packages: [django, channels, channels-redis]"
        yield Problem("release_requirements", "is empty, and so is release_packages: nothing would be installed", fix)
    known = []
    for name in names if isinstance(names, list) else []:
        try:
            fault = merged.kind_fault(str(name))
        except merged.RequirementsError:
            fault = "it is no path with extras in brackets behind it. Write such as uv.lock[production]"
        if fault:
            what, _, fix = fault.partition(". ")
            what, _, fix = (what, "", fix) if fix else fault.partition(": ")
            yield Problem("release_requirements", f"{name} cannot be read: {what}", fix[:1].upper() + fix[1:] + ".")
        else:
            known.append(merged.named(str(name))[0])
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
    """What comes beside the project's own files is as a requirements file has it."""
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
                shown_text = merged.masked(text)
                yield Problem(variable, f'"{shown_text}" {fault}', f'Write lines such as\n  {variable}: ["{example}"]')


@check("release")
def release_indexes(host: HostView) -> Iterator[Problem]:
    """Package indexes are addresses. They may hold credentials, so none is shown."""
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
    """A repository has an address that git knows from anywhere. It may hold a token, so it is not shown then."""
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
    """The backend is a folder of the project."""
    value = str(host.get("release_backend") or "")
    if value not in (".", "./") and (fault := path_fault(value.removeprefix("./"))):
        fix = "Write the folder that holds manage.py as it is called in the project, or . for the project's own."
        yield Problem("release_backend", f'"{value}" {fault.replace("release_backend", "the project")}', fix)


@check("release")
def release_settings_module(host: HostView) -> Iterator[Problem]:
    """A settings module has a dotted name, and is there where its package is."""
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
    """A version is a name that git can be asked for."""
    value = host.get("release_version")
    if value is not None and (not str(value) or re.search(r"^-|\s|\.\.|[:?*\[\\]", str(value))):
        fix = "Write the name of a branch or tag, or a commit: v1.4.2"
        yield Problem("release_version", f'"{value}" is no name of a version', fix)


@check("release")
def release_deploy_key(host: HostView) -> Iterator[Problem]:
    """A deploy key is a private key that nobody has to be asked for."""
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
    """Why a text is no private SSH key that can be used without a passphrase; nothing where it is one."""
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
        # The cipher's name follows, behind its length.
        return "" if content[15:23] == b"\0\0\0\4none" else "has a passphrase, which nobody can be asked for"
    return ""


@check("release")
def release_system_packages(host: HostView) -> Iterator[Problem]:
    """Debian packages have names that apt knows."""
    for item in host.items("release_system_packages"):
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9-]+)?", str(item)):
            fix = "Write names of Debian packages, without versions:\n  release_system_packages: [gcc, libpq-dev]"
            yield Problem("release_system_packages", f'"{item}" is no name of a Debian package', fix)


@check("release")
def release_python(host: HostView) -> Iterator[Problem]:
    """A Python is named in a way that uv understands."""
    value = host.get("release_python")
    if value is None:
        return
    text = str(value)
    if re.fullmatch(r"(?:python)?3\.[1-5]", text):  # which YAML makes of 3.10 where it is not in quotes
        fix = f'Write a version in quotes:\n  release_python: "{text.removeprefix("python")}0"'
        yield Problem("release_python", f"is {text}, which has no Channels", fix)
    elif not re.fullmatch(r"(?:(?:c?python|pypy)@?)?[23](?:\.\d+){0,2}t?|/\S+", text):
        fix = 'Write python3 (Debian\'s own), a version or a path:\n  release_python: "3.12"'
        yield Problem("release_python", f'"{text}" names no Python', fix)


def path_fault(path: str) -> str:
    """Why a path cannot be one in the project's folder; nothing where it can. A slash at its end is let through."""
    parts = path.removesuffix("/").split("/")
    if not path or not path.isprintable():
        return "is no path"
    if path.startswith(("/", "~")):
        return "is not relative to release_backend"
    if ".." in parts:
        return "leaves the project's folder"
    if "" in parts or "." in parts or "$" in path:
        return "is not written plainly"
    return ""


def placed_fault(backend: str, path: str) -> str:
    """Why a path from the backend is none of a file in the release; nothing where it is one."""
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
    """Files of the user's own have a place in the code, a text, and a mode that the project can read them with."""
    files = [one for one in host.get("release_files") or [] if is_mapping(one)]
    paths = [str(one.get("path") or "") for one in files]
    for path in dict.fromkeys(paths):
        fault = placed_fault(str(host.get("release_backend") or "."), path)
        if fault:
            fix = "Write the path of a file from release_backend: config/local.yml, or ../config.yml above it"
            yield Problem("release_files", f'the path "{path}" {fault}', fix)
        if paths.count(path) > 1:
            yield Problem("release_files", f"has {paths.count(path)} files {path}", "Leave one of them.")
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
    """Why a file of release_files has no text; nothing where it has."""
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
    """Names and values of the environment are such as a process can have. No value is shown."""
    for variable in ("release_environment", "release_secrets"):
        given = host.get(variable)
        for name, value in given.items() if is_mapping(given) else ():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(name)):
                fix = "Write letters, digits and underscores, and no digit first: SECRET_KEY"
                yield Problem(variable, f'"{name}" cannot name a variable of the environment', fix)
            if value is None:
                yield Problem(variable, f"{name} has no value", 'Write a text, or "" for an empty one.')
            elif is_mapping(value) or isinstance(value, list | tuple):
                fix = 'Write a text. Where the project reads JSON there, say so: "{{ value | to_json }}"'
                yield Problem(variable, f"{name} is no text, but has items", fix)
            elif "\0" in str(value):
                yield Problem(variable, f"{name} has a NUL in it, which no process can have", "Take it out.")


@check("release")
def release_shared_paths(host: HostView) -> Iterator[Problem]:
    """What outlives releases are paths in the project's folder, and none of them lies in another."""
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
            fix = "Leave the outer one, or each of those in it."
            yield Problem("release_shared_paths", f"{listed(inner)} lies in {paths[index]}", fix)
    for file in host.get("release_files") or []:
        name = str(file.get("path")) if is_mapping(file) else ""
        for index, path in enumerate(bare):
            if f"{name}/".startswith(f"{path}/") or path.startswith(f"{name}/"):
                fix = "Take one of the two out: what is shared is the project's to write, and no release's."
                yield Problem("release_files", f"{name} lies in what release_shared_paths has, {paths[index]}", fix)


@check("asgi")
def asgi_application(host: HostView) -> Iterator[Problem]:
    """The ASGI path has the form that servers import."""
    value = host.get("asgi_application")
    if not isinstance(value, str):
        return
    fault, better = asgi_fault(value)
    if fault:
        yield Problem("asgi_application", f'"{value}" {fault}', f"Write {better}")


def asgi_fault(value: str) -> tuple[str, str]:
    """What is wrong with `module.path:attribute`, and what was probably meant; two empty strings for nothing."""
    meant = re.sub(r"\(.*\)$", "", value.strip())
    meant = re.sub(r"\.py(?=:|$)", "", meant).replace("/", ".").strip(".")
    if ":" not in meant:
        head, _, tail = meant.rpartition(".")
        meant = f"{head}:{tail}" if head and tail in ("application", "app") else f"{meant}:application"
    meant = re.sub(r"\bwsgi:", "asgi:", meant)
    name = r"[^\W\d]\w*"
    if not re.fullmatch(rf"{name}(\.{name})*:{name}(\.{name})*", meant):
        meant = "module.path:attribute, such as core.asgi:application"
    if value == meant:
        return "", ""
    if "(" in value:
        return "calls the application; it is to be named only", meant
    if "/" in value or ".py" in value:
        return "is a file's path, not a module's name with dots", meant
    if ":" not in value:
        return "has no colon between the module and the application in it", meant
    if re.search(r"\bwsgi:", value):
        return "is WSGI, which has no WebSockets", meant
    return "is not of the form module.path:attribute", meant


@check("asgi")
def asgi_module(host: HostView) -> Iterator[Problem]:
    """The ASGI module is in the project's folder, and assigns what is to be served."""
    if not (backend := backend_folder(host)) or not (backend / "manage.py").is_file():
        return
    module, colon, attribute = str(host.get("asgi_application") or "").partition(":")
    if not colon or asgi_fault(f"{module}:{attribute}")[0]:
        return
    path = backend.joinpath(*module.split("."))
    own = [backend / str(one.get("path") or "") for one in host.get("release_files") or [] if is_mapping(one)]
    if path.with_suffix(".py") in own:
        return  # the user's own, which may come from a template; the deploy imports it
    file = next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
    if file is None:
        found = [".".join(one.relative_to(backend).with_suffix("").parts) for one in find_files(backend, "asgi.py")]
        fix = f"Write {listed(f'{one}:application' for one in found)}" if found else "Write that file, or another path"
        yield Problem("asgi_application", f"there is no {path.with_suffix('.py')}", f"{fix}.")
        return
    names = assigned_names(file)
    attribute = attribute.partition(".")[0]
    if names is not None and attribute not in names:
        are = f"It assigns {listed(sorted(names), 12)}." if names else "It assigns nothing."
        yield Problem("asgi_application", f"{file} does not assign {attribute}", f"{are} Write one of its names.")


@check("asgi")
def asgi_wsgi(host: HostView) -> Iterator[Problem]:
    """Where gunicorn answers plain HTTP, what it serves is WSGI, and it has threads."""
    value, threads = host.get("asgi_wsgi_application"), host.get("asgi_wsgi_threads")
    if host.get("asgi_http") != "wsgi":
        return
    if isinstance(value, str):
        name = r"[^\W\d]\w*"
        if not re.fullmatch(rf"{name}(\.{name})*:{name}(\.{name})*", value):
            fix = "Write it as you would give it to gunicorn:\n  asgi_wsgi_application: core.wsgi:application"
            yield Problem("asgi_wsgi_application", f'"{value}" is not of the form module.path:attribute', fix)
        elif value == host.get("asgi_application"):
            fix = "Write the WSGI one, or delete the line:\n  asgi_http: wsgi"
            yield Problem("asgi_wsgi_application", f'"{value}" is the ASGI application, which WSGI cannot call', fix)
    if isinstance(threads, int) and threads < 1:
        yield Problem("asgi_wsgi_threads", f"is {threads}", "Write 1 or more.")


@check("asgi")
def asgi_manager(host: HostView) -> Iterator[Problem]:
    """The service manager is one that can run on the host."""
    init = probe_facts(host.probe).get("init")
    if manager_of(host) == "systemd" and init and init != "systemd":
        fix = "Delete the line, or write\n  asgi_manager: supervisor"
        yield Problem("asgi_manager", f"is systemd, and the host was booted by {init}", fix)


def manager_of(host: HostView) -> str:
    """The service manager of a host: what the inventory says, or else systemd where it is what booted the host."""
    if "asgi_manager" in host.inventory:
        return str(host.get("asgi_manager") or "")
    return "systemd" if probe_facts(host.probe).get("init", "systemd") == "systemd" else "supervisor"


# What daphne can and uvicorn cannot.
UNLIMITED = {"asgi_websocket_timeout": -1, "asgi_websocket_connect_timeout": 10}


@check("asgi")
def asgi_server_options(host: HostView) -> Iterator[Problem]:
    """Nothing is asked of a server that it would silently not do."""
    if host.get("asgi_server") != "uvicorn":
        return
    for name, default in UNLIMITED.items():
        if name in host.inventory and host.get(name) not in (None, default):
            fix = "Delete the line, or choose the server that has it:\n  asgi_server: daphne"
            yield Problem(name, f"is {host.get(name)}, and uvicorn has no such limit", fix)


@check("asgi")
def asgi_pings(host: HostView) -> Iterator[Problem]:
    """Pings are sent more often than the proxy cuts idle sockets."""
    interval, cut = host.get("asgi_ping_interval"), host.get("nginx_websocket_timeout")
    if isinstance(interval, int) and isinstance(cut, int) and interval >= cut:
        fix = f"Write a number below nginx_websocket_timeout ({cut}), such as 20"
        yield Problem("asgi_ping_interval", f"is {interval}, so nginx cuts idle sockets before they are pinged", fix)


def backend_folder(host: HostView) -> Path | None:
    """The folder of `manage.py`, on the controller; None where the project does not come from here."""
    folder = host.path("release_folder")
    usable = folder and folder.is_absolute() and folder.is_dir()
    return folder / str(host.get("release_backend") or "") if folder and usable else None


def find_files(folder: Path, *patterns: str) -> list[Path]:
    """Files of those names up to `SEARCH_DEPTH` folders down, nearest first, leaving out what is not the project's."""
    found = []
    for root, folders, files in os.walk(folder):
        depth = len(Path(root).relative_to(folder).parts)
        mine = [one for one in folders if not one.startswith(".") and one not in SKIPPED]
        folders[:] = mine if depth < SEARCH_DEPTH else []
        found += [Path(root, name) for name in files if any(fnmatch.fnmatch(name, one) for one in patterns)]
    return sorted(found, key=lambda path: (len(path.parts), path))


def assigned_names(file: Path) -> set[str] | None:
    """Names that a module visibly assigns; None where that cannot be told."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, OSError):
        return None  # perhaps written for a newer Python than the controller's
    names: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)  # what is assigned inside is not the module's
            continue
        if isinstance(node, ast.ImportFrom | ast.Import):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        waiting.extend(ast.iter_child_nodes(node))
    return None if "*" in names or "__getattr__" in names else names


@check("nginx")
def nginx_paths(host: HostView) -> Iterator[Problem]:
    """Paths of the site are plain, and no two of them are the same."""
    given = [(name, host.get(name)) for name in ("nginx_static_url", "nginx_media_url")]
    given += [("nginx_websocket_paths", path) for path in host.items("nginx_websocket_paths")]
    prefix = str(host.get("nginx_path_prefix") or "")
    if prefix and (fault := url_path_fault(prefix) or ("ends with a slash" if prefix.endswith("/") else "")):
        fix = "Write it with a slash before it and none behind:\n  nginx_path_prefix: /chat"
        yield Problem("nginx_path_prefix", f'"{prefix}" {fault}', fix)
    # nginx has files with the prefix and without it.
    known = {f"{prefix}/": "nginx_path_prefix"} if prefix else {}
    for name, path in given:
        if not isinstance(path, str) or (not path and name != "nginx_websocket_paths"):
            continue
        folder = name != "nginx_websocket_paths"
        example = {"nginx_static_url": "/static/", "nginx_media_url": "/media/"}.get(name, "[/ws/]")
        fix = f"Write it as it begins in the browser's address:\n  {name}: {example}"
        if fault := url_path_fault(path):
            yield Problem(name, f'"{path}" {fault}', fix)
        elif folder and (path == "/" or not path.endswith("/")):
            fault = "is every path of the site" if path == "/" else "has no slash at its end, and would lead elsewhere"
            yield Problem(name, f'"{path}" {fault}', fix)
        elif known.setdefault(path, name) != name and (folder or known[path] != "nginx_path_prefix"):
            fix = f"Let them differ, or leave out the one that there is not:\n  {name}: {example}"
            yield Problem(name, f'"{path}" is {known[path]} too', fix)


@check("nginx")
def nginx_values(host: HostView) -> Iterator[Problem]:
    """What stands in nginx's files is such as nginx reads: with a wrong one, it would reload for no project at all."""
    patterns = (
        ("nginx_server_names", r"[^\s;{}'\"#$\\]+|~[^\s;{}'\"]+", "names of the site: [www.example.org]"),
        ("nginx_header_buffers", r"[1-9]\d* [1-9]\d*[kKmM]?", "a number and a size: 1 12k"),
        ("nginx_body_size", r"\d+[kKmMgG]?", "a size, 0 for none: 10m"),
    )
    for variable, pattern, example in patterns:
        values = host.items(variable) if variable == "nginx_server_names" else [host.get(variable)]
        for value in values:
            if value is not None and not re.fullmatch(pattern, str(value)):
                yield Problem(variable, f'"{value}" is not what nginx reads there', f"Write {example}")
    if "nginx_server_names" not in host.faulty and host.raw("nginx_server_names") == []:
        yield Problem("nginx_server_names", "is empty", "Write names of the site, or [_] for all: [www.example.org]")
    for address in host.items("nginx_maintenance_allow"):
        try:
            ipaddress.ip_network(str(address))
        except ValueError as error:
            fix = "Write addresses and networks: [127.0.0.1, 10.0.0.0/24]"
            yield Problem("nginx_maintenance_allow", f"{error}", fix)


def url_path_fault(path: str) -> str:
    """Why a text is no plain path of a URL; nothing where it is."""
    if not path.startswith("/"):
        return "does not begin with a slash"
    if not re.fullmatch(r"[A-Za-z0-9/._~@:+-]*", path):
        return "is not a plain path: regular expressions and parameters have no place in it"
    if "//" in path or {".", ".."} & set(path.split("/")):
        return "has an empty part or dots for one, as no browser sends it"
    return ""


def sites_of(host: HostView) -> dict[str, list[list[str]]]:
    """The other sites that nginx has on a host, by name: the words of their `listen` and `server_name` directives."""
    sites = {}
    for key, value in probe_facts(host.probe).items():
        name = key.removeprefix("site:")
        if name not in (key, host.get("release_app")):
            sites[name] = [directive.split() for directive in value.split(";") if directive.strip()]
    return sites


@check("nginx")
def nginx_neighbours(host: HostView) -> Iterator[Problem]:
    """Another site on the host has neither the names nor the loopback port of this one."""
    app, local, port = (host.get(name) for name in ("release_app", "nginx_local_port", "nginx_http_port"))
    names = {str(name) for name in host.items("nginx_server_names")}
    sites = sites_of(host)
    taken = {words[1].rpartition(":")[2] for site in sites.values() for words in site if words[0] == "listen"}
    for other, site in sites.items():
        listens = [words[1:] for words in site if words[0] == "listen"]
        ports = {words[0].rpartition(":")[2] for words in listens}
        both = f"{other}, which is on this host too"
        if str(local) in ports:
            free = next(number for number in range(8001, 8999) if str(number) not in taken | {str(port)})
            fix = f"Let {app} and {other} differ, such as:\n  nginx_local_port: {free}"
            yield Problem("nginx_local_port", f"is {local} for {app}, and that is a port of {both}", fix)
        if str(port) not in ports:
            continue
        if "_" in names and any("default_server" in words for words in listens):
            fix = f"Only one may. Name those of {app}:\n  nginx_server_names: [{app}.example.org]"
            yield Problem("nginx_server_names", f"has {app} answer to every name on port {port}, as does {both}", fix)
        if same := names & {name for words in site if words[0] == "server_name" for name in words[1:]} - {"_"}:
            fault = f"has {listed(sorted(same))} for {app} on port {port}, and so has {both}"
            yield Problem("nginx_server_names", fault, f"Give {app} and {other} names of their own.")


@check("nginx")
def nginx_media_folder(host: HostView) -> Iterator[Problem]:
    """Uploads are in the one folder that survives releases and that the project may write to."""
    if not host.get("nginx_media_url"):
        return
    shared, folder = f"/srv/{host.get('release_app')}/shared", str(host.get("nginx_media_folder") or "")
    if not folder.startswith(f"{shared}/") or not re.fullmatch(r"(/[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*)+", folder):
        fix = (
            f"Write a folder below it, which MEDIA_ROOT of the project leads to:\n  nginx_media_folder: {shared}/media"
        )
        yield Problem("nginx_media_folder", f'"{folder}" is not a folder below {shared}', fix)
    for path in map(str, host.items("release_shared_paths")):
        if f"{shared}/{path}".startswith(f"{folder}/") and not path.endswith("/"):
            fix = "Let uploads be in a folder of their own, beside it."
            yield Problem("nginx_media_folder", f"has {path} of release_shared_paths in it, which all could read", fix)


@check("nginx")
def nginx_static_hashed(host: HostView) -> Iterator[Problem]:
    """Expressions that tell hashed names are such, and end where they should in nginx's file."""
    for pattern in host.items("nginx_static_hashed"):
        try:
            re.compile(str(pattern))
            fault = "has a quotation mark or a line's end in it" if re.search(r'["\n]', str(pattern)) else ""
        except re.error as error:
            fault = f"is no regular expression: {error}"
        if fault:
            fix = "Correct it; a file's name is looked at from its end:\n  '\\.[0-9a-f]{12}\\.css$'"
            yield Problem("nginx_static_hashed", f'"{pattern}" {fault}', fix)


@check("remove")
def remove_data(host: HostView) -> Iterator[Problem]:
    """What becomes of the data is said clearly, or not at all."""
    value = str(host.get("remove_data") if host.get("remove_data") is not None else "")
    if value.strip().lower() not in ("", "true", "false", "yes", "no"):
        fix = "Write one of the two, or leave it out to be asked:\n  -e remove_data=true\n  -e remove_data=false"
        yield Problem("remove_data", f'"{value}" is neither true nor false', fix)


@check("base")
def base_host_aliases(host: HostView) -> Iterator[Problem]:
    """Names lead to addresses, and not to two."""
    aliases = host.get("base_host_aliases")
    mine = f"names of {host.get('release_app') or host.name}"
    theirs = block_lines(probe_facts(host.probe).get("host_aliases", ""), mine)
    for name, address in aliases.items() if is_mapping(aliases) else ():
        if not re.fullmatch(r"[a-zA-Z0-9]([\w.-]{0,250}[a-zA-Z0-9])?", str(name), re.ASCII) or is_address(str(name)):
            yield Problem(
                "base_host_aliases", f'"{name}" is no name of a host', "Write one as in a compose file: redis"
            )
        if str(name).lower() == "localhost":
            yield Problem("base_host_aliases", "localhost leads to this host already", "Take it out.")
        if not is_address(str(address)):
            fix = "Write an address: {redis: 127.0.0.1}"
            yield Problem("base_host_aliases", f'{name} leads to "{address}", which is no IP address', fix)
        for other, owner in theirs.get(str(name), {}).items():
            if other != str(address):
                fix = "One host has one address for a name. Let both projects have the same, or give each a host."
                yield Problem("base_host_aliases", f"{name} leads to {other} for the {owner} on this host", fix)


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def block_lines(text: str, mine: str) -> dict[str, dict[str, str]]:
    """Addresses of names in the blocks of a hosts file that are not `mine`, each with its block; `;` ends a line."""
    found: dict[str, dict[str, str]] = {}
    owner = ""
    for line in text.split(";"):
        if begun := re.fullmatch(r"# BEGIN (names of .*)", line):
            owner = begun[1]
        elif line and not line.startswith("#") and owner != mine:
            address, *names = line.split()
            for name in names:
                found.setdefault(name, {})[address] = owner.replace("names of", "project")
    return found


@check("postgresql")
def postgresql_password(host: HostView) -> Iterator[Problem]:
    """The password is long enough, and one that PostgreSQL's clients all understand alike."""
    value = host.get("postgresql_password")
    fix = NEW_SECRET
    if value is not None and len(str(value)) < SECRET_LENGTH:
        yield Problem("postgresql_password", f"has fewer than {SECRET_LENGTH} characters", fix)
    if value is not None and not re.fullmatch(r"[ -~]*", str(value)):
        yield Problem("postgresql_password", "has characters that are not printable ASCII", fix)


@check("postgresql")
def postgresql_names(host: HostView) -> Iterator[Problem]:
    """Names are the project's own, and need no quotes anywhere."""
    for variable in ("postgresql_database", "postgresql_user"):
        name = host.get(variable)
        if name is None:
            continue
        fix = "Write lower-case letters, digits and underscores: dashboard"
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", str(name)):
            yield Problem(variable, f'"{name}" cannot be a name without quotes', fix)
        elif re.match(r"pg_|(postgres|public|all|sameuser|samerole|replication|template[01])$", str(name)):
            yield Problem(variable, f'"{name}" is PostgreSQL\'s own', fix)


@check("postgresql")
def postgresql_addresses(host: HostView) -> Iterator[Problem]:
    """PostgreSQL listens where the project's hosts reach it, and on no address that the world can reach."""
    bind = [str(text) for text in host.items("postgresql_bind")]
    for text in bind:
        if fault := address_fault(text):
            fix = "Write addresses of a private network or 127.0.0.1:\n  postgresql_bind: [127.0.0.1, 10.0.0.5]"
            yield Problem("postgresql_bind", f'"{text}" {fault}', fix)
    if "app" in host.groups and bind and host.get("postgresql_host") == "127.0.0.1" and "127.0.0.1" not in bind:
        yield Problem("postgresql_bind", "lacks 127.0.0.1, by which this host reaches it", "Add 127.0.0.1.")
    for text in host.items("postgresql_clients"):
        try:
            network = ipaddress.ip_network(str(text))
        except ValueError as error:
            fix = "Write addresses and networks: [127.0.0.1, 10.0.0.0/24]"
            yield Problem("postgresql_clients", f"{error}", fix)
            continue
        if not network.prefixlen or address_fault(str(network.network_address)):
            fix = "Write addresses of a private network: [127.0.0.1, 10.0.0.0/24]"
            yield Problem("postgresql_clients", f"{network} is not private", fix)


@check("postgresql")
def postgresql_hosts(host: HostView) -> Iterator[Problem]:
    """There is one server, and the project's hosts have an address in its network."""
    groups = host.raw("groups") or {}
    if len(groups.get("database") or ()) > 1:
        fix = "Leave one host in it: a second one would hold other data, not a copy."
        yield Problem("", f"group database has {len(groups['database'])} hosts", fix)
    variables = host.raw("hostvars")
    others = [name for name in groups.get("app") or () if name not in (groups.get("database") or ())]
    unknown = [name for name in others if variables and "private_address" not in variables.raw_get(name)]
    if unknown and "postgresql_clients" not in host.inventory:
        fix = "Write private_address for each of them, its address in the network that the database is in."
        yield Problem("postgresql_clients", f"the address of {listed(unknown)} is not known", fix)
    if others and not {"private_address", "postgresql_host"} & set(host.inventory):
        fix = "Write private_address for it, its address in the network that the app hosts are in."
        yield Problem("postgresql_host", "the address of this host is not known", fix)


@check("postgresql")
def postgresql_projects(host: HostView) -> Iterator[Problem]:
    """Projects of other inventories in the same PostgreSQL have other databases and users."""
    mine, owner = str(host.get("release_app") or host.get("postgresql_database")), ""
    for line in probe_facts(host.probe).get("postgresql_projects", "").split(";"):
        if begun := re.fullmatch(r"# BEGIN project (.*)", line):
            owner = begun[1]
        words = line.split()
        if owner in ("", mine) or len(words) < 3 or words[0] not in ("host", "hostssl"):
            continue
        for variable, name in (("postgresql_database", words[1]), ("postgresql_user", words[2])):
            if host.get(variable) in name.split(","):
                fix = f"Give {mine} its own, as it has where the line is left out."
                yield Problem(
                    variable, f"{host.get(variable)} is the one of project {owner} in the same PostgreSQL", fix
                )


# How to come by a secret.
NEW_SECRET = (
    "Have one made, by a placeholder in the inventory's vault and `make secrets` (docs/secrets.md):\n"
    '  vault_NAME: "!!!SET a random string!!!"'
)
# The least and the most that a number may be, by the name of its variable, which begins with its role's.
LIMITS = {
    "release_keep": (0, 1000),
    "release_free_mb": (0, 2**24),
    "release_drain_seconds": (0, 2**31),
    "release_drain_spread_seconds": (0, 86400),
    "release_drain_generations": (0, 1000),
    "asgi_processes": (0, 1000),
    "asgi_ping_interval": (1, 2**31),
    "asgi_ping_timeout": (1, 2**31),
    "asgi_websocket_max_size": (0, 2**31),
    "asgi_open_files": (64, 2**30),
    "asgi_backlog": (1, 2**31 - 1),
    "asgi_start_seconds": (1, 86400),
    "asgi_wait_seconds": (0, 86400),
    "asgi_watch_seconds": (0, 3600),
    "asgi_stop_seconds": (1, 86400),
    "nginx_http_port": (1, 65535),
    "nginx_local_port": (1, 65535),
    "nginx_websocket_timeout": (1, 2**31 - 1),
    "nginx_http_timeout": (1, 2**31 - 1),
    "nginx_header_timeout": (1, 3600),
    "nginx_body_timeout": (1, 3600),
    "nginx_send_timeout": (1, 3600),
    "nginx_sockets": (1, 65535),
    "nginx_worker_connections": (0, 2**30),
    "nginx_address_sockets": (0, 65535),
    "nginx_address_handshakes": (0, 10**6),
    "nginx_address_handshakes_burst": (0, 10**6),
    "nginx_address_requests": (0, 10**6),
    "nginx_address_requests_burst": (0, 10**6),
    "nginx_limit_retry_seconds": (0, 2**31 - 1),
    "nginx_static_seconds": (0, 2**31 - 1),
    "nginx_maintenance_retry_seconds": (0, 2**31 - 1),
    "handshake_local_port": (1, 65535),
    "handshake_idle_seconds": (0, 86400),
    "handshake_timeout": (0.1, 3600),
    "redis_port": (1, 65535),
    "redis_plain_port": (0, 65535),
    "redis_maxclients": (1, 2**31 - 1),
    "base_apt_cache_seconds": (0, 2**31 - 1),
    "postgresql_port": (1, 65535),
    "postgresql_memory_mb": (64, 2**24),
    "postgresql_max_connections": (10, 10000),
}


def numbers(host: HostView, role: str = "") -> Iterator[Problem]:
    """Numbers of a role, or of all, are such as what reads them can do with."""
    for variable, (least, most) in LIMITS.items():
        value = host.get(variable) if variable.startswith(role) else None
        with contextlib.suppress(TypeError, ValueError):  # told as not valid
            if not least <= float(t.cast("float", value)) <= most:
                yield Problem(variable, f"is {value}", f"Write a number from {least} to {most}.")


for _role in sorted({name.partition("_")[0] for name in LIMITS}):
    check(_role)(functools.partial(numbers, role=f"{_role}_"))


@check("release")
def release_redis(host: HostView) -> Iterator[Problem]:
    """The Redis whose address the project reads is one that there is."""
    if (host.raw("groups") or {}).get("redis"):
        return
    for variable in ("release_environment", "release_secrets", "release_files"):
        read = {"redis_url", "redis_host"} & set(host.sources(variable))
        if read and variable not in read:
            fix = "Put a host into group redis, or write the address of your own Redis."
            yield Problem(variable, f"reads {listed(sorted(read))}, and group redis has no host", fix)


@check("release")
def release_database(host: HostView) -> Iterator[Problem]:
    """The database whose address the project reads is one that there is."""
    groups = host.raw("groups") or {}
    if groups.get("database"):
        return
    for variable in ("release_environment", "release_secrets", "release_files"):
        read = {"postgresql_url", "postgresql_host"} & set(host.sources(variable))
        if read and variable not in read:
            fix = "Put a host into group database, or write the address of your own database."
            yield Problem(variable, f"reads {listed(sorted(read))}, and group database has no host", fix)


@check("redis")
def secret_lengths(host: HostView) -> Iterator[Problem]:
    """Secrets that the network can try are long enough."""
    for name in ("redis_password",):
        value = host.get(name)
        if value == "" and host.get("redis_anonymous"):
            continue
        if value == "":
            fix = NEW_SECRET
            yield Problem(name, "is required and not set", fix)
        elif value is not None and len(str(value)) < SECRET_LENGTH:
            fix = NEW_SECRET
            yield Problem(name, f"has fewer than {SECRET_LENGTH} characters", fix)


@check("redis")
def redis_bind(host: HostView) -> Iterator[Problem]:
    """Redis listens on no address that the world can reach."""
    for text in host.items("redis_bind"):
        if fault := address_fault(str(text)):
            fix = "Write addresses of a private network or 127.0.0.1:\n  redis_bind: [127.0.0.1, 10.0.0.5]"
            yield Problem("redis_bind", f'"{text}" {fault}', fix)


@check("redis")
def redis_anonymous(host: HostView) -> Iterator[Problem]:
    """Without a password, Redis is for the host itself."""
    for text in host.items("redis_bind") if host.get("redis_anonymous") else ():
        with contextlib.suppress(ValueError):  # told above
            if not ipaddress.ip_address(str(text).removeprefix("-")).is_loopback:
                fix = "Write redis_bind: [127.0.0.1], or delete redis_anonymous and give the project a password."
                yield Problem("redis_anonymous", f"would open Redis on {text} to everybody who reaches it", fix)


@check("redis")
def redis_database(host: HostView) -> Iterator[Problem]:
    """Redis has sixteen databases."""
    number = host.get("redis_database")
    if isinstance(number, int) and not 0 <= number <= 15:
        yield Problem("redis_database", f"is {number}, and Redis has 0 to 15", "Write one of them.")


@check("redis")
def redis_names(host: HostView) -> Iterator[Problem]:
    """Names are such as stand in Redis's file of users, and no pattern of others' names."""
    for variable, example in (("redis_user", "shop"), ("redis_prefix", "shop")):
        value = host.get(variable)
        pattern = r"[\w.:/@{}+-]*" if variable == "redis_prefix" else r"[\w.@+-]+"
        if value is not None and not re.fullmatch(pattern, str(value)):
            fix = f"Write letters, digits, dots and hyphens:\n  {variable}: {example}"
            yield Problem(variable, f'"{value}" has characters that mean something to Redis, or none at all', fix)


@check("redis")
def redis_extra_users(host: HostView) -> Iterator[Problem]:
    """More users are lines of Redis's file of users, each for another name. None is shown: they may hold passwords."""
    taken = {"acl-operator"} | ({str(host.get("redis_user"))} if host.get("redis_password") else set())
    if host.get("redis_anonymous"):
        if "default" in taken:
            fix = "Let redis_user have another name, or delete redis_anonymous and give the project the password."
            yield Problem("redis_anonymous", "is of the user default, which redis_user gives a password", fix)
        taken.add("default")
    for line in map(str, host.items("redis_extra_users")):
        words = line.split()
        if len(words) < 3 or words[0] != "user" or "\n" in line.strip():
            fix = (
                "Write lines of Redis's file of users:\n  redis_extra_users: [user cache on #<sha256> ~cache:* +@read]"
            )
            yield Problem("redis_extra_users", "has a line that is not `user NAME RULES` (not shown)", fix)
        elif words[1] in taken:
            fault = f"declares {words[1]}, who is there already"
            yield Problem("redis_extra_users", fault, "Give each user a name of its own.")
        else:
            taken.add(words[1])


@check("redis")
def redis_projects(host: HostView) -> Iterator[Problem]:
    """Projects of other inventories on the same Redis have other users, and other names for their messages."""
    mine = str(host.get("release_app") or host.get("redis_user"))
    user, prefix = str(host.get("redis_user")), str(host.get("redis_prefix"))
    for line in filter(None, probe_facts(host.probe).get("redis_projects", "").split(";")):
        other = dict(word.split("=", 1) for word in line.split() if "=" in word)
        name, theirs = other.get("project", ""), other.get("prefix", "")
        if name == mine:
            continue
        if host.get("redis_password") and other.get("user") == user:
            fix = f"Write redis_user: {mine}, also into the address that the project connects to."
            yield Problem("redis_user", f"{user} is the user of project {name} on the same Redis", fix)
        nested = prefix.startswith(theirs) or theirs.startswith(prefix)
        if nested and str(host.get("redis_database")) == other.get("database"):
            fix = f"Write redis_prefix: {mine}, and give CHANNEL_LAYERS of the project that prefix. Where it can have "
            fix += (
                "none and its layer is channels_redis's core one, write another redis_database, also into its address."
            )
            fault = f'"{prefix}" and "{theirs}" of project {name} on the same Redis are not apart: messages would mix'
            yield Problem("redis_prefix", fault, fix)
        # Who gives no password is the user default.
        default = host.get("redis_anonymous") or (host.get("redis_password") and user == "default")
        if default and (other.get("anonymous") == "yes" or (other.get("user") == "default" != user)):
            variable = "redis_anonymous" if host.get("redis_anonymous") else "redis_user"
            fault = f"has {mine} use the same Redis as project {name} with no user's name, as that does already"
            yield Problem(variable, fault, "Let one of the two have a user of its own, with a password.")


def address_fault(text: str) -> str:
    """Why an address is neither loopback nor private; nothing where it is."""
    try:
        address = ipaddress.ip_address(text.removeprefix("-").replace("*", "0.0.0.0"))
    except ValueError:
        return "is not an IP address"
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_unspecified:  # which the ipaddress module counts as private
        return "is every address of the host, the public ones too"
    shared = ipaddress.ip_network("100.64.0.0/10")  # of carriers and VPNs, not routed on the internet
    if address.is_private or (address.version == 4 and address in shared):
        return ""
    return "is a public address"


# --- the report -----------------------------------------------------------------------------------------------------


@dataclass
class Entry:
    """A problem with all the hosts that have it and the places where its value was written."""

    problem: Problem
    hosts: list[str]
    origins: list[str]


class Report:
    """Collects problems, the same of many hosts once, and lays them out."""

    def __init__(self, groups: Mapping[str, list[str]], hosts: list[str]) -> None:
        """Take the inventory's groups and the names of the hosts that are looked at."""
        self._groups = groups
        self._hosts = hosts
        self._entries: dict[Problem, Entry] = {}

    def __bool__(self) -> bool:
        """Whether there is a problem."""
        return bool(self._entries)

    def add(self, problem: Problem, host: HostView | None = None) -> None:
        """Note a problem of a host, or of the inventory as a whole."""
        entry = self._entries.setdefault(problem, Entry(problem, [], []))
        if host is None:
            return
        if host.name not in entry.hosts:
            entry.hosts.append(host.name)
        written = origin(host.inventory.get(problem.variable)) if problem.variable else ""
        if written and written not in entry.origins:
            entry.origins.append(written)

    def where(self, hosts: list[str]) -> str:
        """Hosts as a reader would say it: by a group's name where all of a group is meant."""
        if len(hosts) < 2:
            return f"host {hosts[0]}" if hosts else "inventory"
        for group in sorted(self._groups, key=lambda name: (name == "all", name)):
            if group != "ungrouped" and set(self._groups[group]) & set(self._hosts) == set(hosts):
                return "every host" if group == "all" else f"every host of group {group}"
        return f"hosts {listed(hosts)}"

    def data(self, secrets: Iterable[str]) -> list[dict[str, t.Any]]:
        """The problems as plain data, with every secret's value masked."""
        longest_first = sorted(set(secrets), key=len, reverse=True)

        def mask(text: str) -> str:
            for secret in longest_first:
                text = text.replace(secret, MASK)
            return text

        return [
            {
                "where": self.where(entry.hosts),
                "hosts": list(entry.hosts),
                "variable": entry.problem.variable,
                "set_in": listed(entry.origins, 3),
                "fault": mask(entry.problem.fault),
                "fix": mask(entry.problem.fix),
            }
            for entry in self._entries.values()
        ]


def laid_out(problems: list[dict[str, t.Any]]) -> str:
    """The message: numbered blocks, prose wrapped, commands and snippets (which are indented) left whole."""
    blocks = [f"{counted(len(problems), 'problem')}; nothing was changed."]
    for number, problem in enumerate(problems, 1):
        lines = [f"{number:>2}. {problem['where']}"]
        variable = problem["variable"] + (f"  ({problem['set_in']})" if problem["set_in"] else "")
        for label, text in (("variable", variable), ("fault", problem["fault"]), ("fix", problem["fix"])):
            if text:
                lines += labelled(label, text)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def labelled(label: str, text: str) -> list[str]:
    """A label with its text beside it, in lines."""
    lines: list[str] = []
    for line in text.splitlines():
        whole = line.startswith(" ")
        lines += [line] if whole else textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False)
    return [f"    {label if index == 0 else '':<10}{line}" for index, line in enumerate(lines)]


# --- the action -----------------------------------------------------------------------------------------------------


class ActionModule(ActionBase):
    """With `roles`, find all problems and fail with them, or return the hosts' facts; with `report`, tell a result."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(
        ("report", "roles", "roles_path", "debian_versions", "minimum_python", "allow_placeholders", "installs")
    )

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return `problems` and fail, or return `hosts`: each host's facts from the probe."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        if "report" in self._task.args:
            return {**result, **self._told(self._task.args["report"])}
        _, args = self.validate_argument_spec(
            argument_spec={
                "roles": {"type": "dict", "required": True},
                "roles_path": {"type": "path", "default": self._default_roles_path(variables)},
                "debian_versions": {"type": "list", "elements": "str", "required": True},
                "minimum_python": {"type": "str", "required": True},
                "allow_placeholders": {"type": "bool", "default": False},
                "installs": {"type": "bool", "default": True},
            }
        )
        roles = self._load_roles(Path(args["roles_path"]), args["roles"])
        hosts = self._host_views(variables, roles, args["installs"])
        report = Report(variables["groups"], [host.name for host in hosts])
        self._collect(report, hosts, roles, args, variables)
        if report:
            problems = report.data(self._secrets(hosts, roles))
            return {**result, "failed": True, "msg": laid_out(problems), "problems": problems}
        facts = {
            host.name: {
                **facts_for_roles(probe_facts(host.probe)),
                "groups": sorted(host.groups),
                "manager": manager_of(host),
                **(processes_of(host) if any(role.name == "asgi" for role in host.roles) else {}),
                **({"limits": limits.limits_of(host)} if any(role.name == "nginx" for role in host.roles) else {}),
            }
            for host in hosts
        }
        applied = {role.name: role for host in hosts for role in host.roles}
        variables_checked = counted(sum(len(role.options) for role in applied.values()), "variable")
        checked_all = f"{counted(len(hosts), 'host')}, {counted(len(applied), 'role')}, {variables_checked}"
        return {
            **result,
            "changed": False,
            "msg": f"No problems: {checked_all}.",
            "problems": [],
            "hosts": facts,
        }

    @staticmethod
    def _told(report: Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Tell an earlier result: fail with its message where it has problems.

        Ansible prints a failure twice, as an error and as the task's result, and the data of the result once more. An
        exception of our own lets the first be one line, and leaving the data out lets the second be only the message.
        """
        if report["problems"]:
            head = f"{counted(len(report['problems']), 'problem')}; nothing was changed. Listed below:"
            raise AnsibleAction(head, result={"changed": False, "msg": report["msg"]})
        return {"changed": False, "msg": report["msg"], "_ansible_verbose_always": True}

    @staticmethod
    def _default_roles_path(variables: Mapping[str, t.Any]) -> str:
        """The folder of the role that runs this action, which is the folder of all roles."""
        if "role_path" in variables:
            return os.path.dirname(variables["role_path"])
        return str(Path(__file__).resolve().parents[2] / "roles")

    def _load_roles(self, folder: Path, groups: Mapping[str, list[str]]) -> dict[str, Role]:
        """Read the contract of every role that has one."""
        roles = {}
        for specs in sorted(folder.glob("*/meta/argument_specs.yml")):
            path = specs.parents[1]
            main = (self._load(specs).get("argument_specs") or {}).get("main") or {}
            roles[path.name] = Role(
                name=path.name,
                options=main.get("options") or {},
                defaults=self._load(path / "defaults" / "main.yml"),
                computed=self._load(path / "vars" / "main.yml"),
                groups=list(groups.get(path.name) or []),
            )
        return roles

    def _load(self, path: Path) -> dict[str, t.Any]:
        """A role's YAML file; its templates are the bundle's own and may be run."""
        if not path.is_file():
            return {}
        return self._loader.load_from_file(str(path), trusted_as_template=True) or {}

    def _host_views(self, variables: Mapping[str, t.Any], roles: Mapping[str, Role], installs: bool) -> list[HostView]:
        """The hosts of this run that are in any group; the implicit localhost is in none."""
        hostvars = variables["hostvars"]
        views = []
        for name in variables["ansible_play_hosts_all"]:
            # Untemplated, and with hostvars, which Ansible leaves out of a host's own view of its variables.
            raw = {**hostvars.raw_get(name), "hostvars": hostvars}
            view = HostView(name, raw, roles, self._templar, installs)
            if view.groups - {"ungrouped"}:
                views.append(view)
        return views

    def _collect(
        self,
        report: Report,
        hosts: list[HostView],
        roles: Mapping[str, Role],
        args: Mapping[str, t.Any],
        variables: Mapping[str, t.Any],
    ) -> None:
        """Make all checks, in the order in which their problems are best read."""
        for problem in inventory_problems(variables["groups"], variables.get("ansible_inventory_sources") or ()):
            report.add(problem)
        for host in hosts:
            for problem in host_problems(host, args["debian_versions"], args["minimum_python"]):
                report.add(problem, host)
        for host in hosts:
            for problem in unknown_problems(host, roles):
                report.add(problem, host)
            for role in host.roles:
                for problem in option_problems(host, role):
                    report.add(problem, host)
            if not args["allow_placeholders"]:
                vault = vault_file(variables.get("ansible_inventory_sources") or ())
                for problem in placeholder_problems(host, vault):
                    report.add(problem, host)
        for host in hosts:
            applied = {role.name for role in host.roles}
            for role_name, function in CHECKS:
                for problem in function(host) if role_name in applied else ():
                    report.add(problem, host)

    @staticmethod
    def _secrets(hosts: list[HostView], roles: Mapping[str, Role]) -> set[str]:
        """Values that no message may carry, whichever way they came into one."""
        specs = {name: spec for role in roles.values() for name, spec in role.options.items()}
        found: set[str] = set()
        for host in hosts:
            for name in host.inventory:
                if name in specs or is_secret(name):
                    found |= secret_values(name, host.get(name), specs.get(name))
        return {value for value in found if len(value) >= SHORTEST_MASKED and PLACEHOLDER not in value}


def secret_values(name: str, value: t.Any, spec: Mapping[str, t.Any] | None = None) -> set[str]:
    """The strings of a variable that is secret, or those under keys that are."""
    if is_secret(name, spec):
        return set(strings(value))
    if isinstance(value, Mapping):
        inner = (spec or {}).get("options") or {}
        return set().union(*(secret_values(str(key), item, inner.get(key)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return set().union(*(secret_values("", item, spec) for item in value))
    return set()


def inventory_problems(groups: Mapping[str, list[str]], sources: Iterable[str]) -> Iterator[Problem]:
    """What is wrong with the inventory as a whole."""
    if groups.get("app"):
        return
    read = listed(shown(source) if Path(source).exists() else source for source in sources) or "none"
    like = nearest("app", set(groups) - {"all", "ungrouped", "app"})
    hint = f" (there is a group {like})" if like else ""
    snippet = "app:\n    hosts:\n      app1:\n        ansible_host: 203.0.113.10"
    state = "has no hosts" if "app" in groups else "is missing"
    fix = f"Name the hosts that run your Django project:\n  {snippet}\nor choose another inventory with -i."
    yield Problem("", f"group app {state}{hint}; inventory read: {read}", fix)


def vault_file(sources: Iterable[str]) -> str:
    """The inventory's vault, as a path to type."""
    source = next((Path(source) for source in sources if Path(source).exists()), None)
    folder = "<inventory>" if source is None else shown(source if source.is_dir() else source.parent)
    return str(Path(folder, "group_vars/all/vault.yml"))
