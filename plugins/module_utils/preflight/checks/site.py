"""A site's paths, names and values, as nginx reads them. Controller only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from ..view import HostView, Problem, check, listed, probe_facts


@check("nginx")
def nginx_paths(host: HostView) -> Iterator[Problem]:
    """The site's paths are plain, and no two are the same."""
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
    """nginx can read every value in its files: a single wrong one would stop it from reloading for any project."""
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
    """Why a text is not a plain URL path; empty if it is."""
    if not path.startswith("/"):
        return "does not begin with a slash"
    if not re.fullmatch(r"[A-Za-z0-9/._~@:+-]*", path):
        return "is not a plain path: regular expressions and parameters have no place in it"
    if "//" in path or {".", ".."} & set(path.split("/")):
        return "has an empty part or dots for one, as no browser sends it"
    return ""


def sites_of(host: HostView) -> dict[str, list[list[str]]]:
    """nginx's other sites on a host, by name: the words of their `listen` and `server_name` directives."""
    sites = {}
    for key, value in probe_facts(host.probe).items():
        name = key.removeprefix("site:")
        if name not in (key, host.get("release_app")):
            sites[name] = [directive.split() for directive in value.split(";") if directive.strip()]
    return sites


@check("nginx")
def nginx_neighbours(host: HostView) -> Iterator[Problem]:
    """No other site on the host has this one's names or its loopback port."""
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
    """Uploads are in the one folder that survives releases and that the project can write to."""
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
    """Expressions for hashed names are valid, and don't break out of nginx's file."""
    for pattern in host.items("nginx_static_hashed"):
        try:
            re.compile(str(pattern))
            fault = "has a quotation mark or a line's end in it" if re.search(r'["\n]', str(pattern)) else ""
        except re.error as error:
            fault = f"is no regular expression: {error}"
        if fault:
            fix = "Correct it; a file's name is looked at from its end:\n  '\\.[0-9a-f]{12}\\.css$'"
            yield Problem("nginx_static_hashed", f'"{pattern}" {fault}', fix)
