"""What is served, by which server, under which service manager. Controller only."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...fleet.batches import batches
from ..project import assigned_names, backend_folder, find_files
from ..view import HostView, Problem, check, is_mapping, listed, probe_facts


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
    """What is wrong with `module.path:attribute`, and what was probably meant; two empty strings if it is right."""
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
        return "calls the application; only name it", meant
    if "/" in value or ".py" in value:
        return "is a file's path, not a module's name with dots", meant
    if ":" not in value:
        return "has no colon between the module and the application in it", meant
    if re.search(r"\bwsgi:", value):
        return "is WSGI, which has no WebSockets", meant
    return "is not of the form module.path:attribute", meant


@check("asgi")
def asgi_module(host: HostView) -> Iterator[Problem]:
    """The ASGI module is in the project's folder, and assigns the object to serve."""
    if not (backend := backend_folder(host)) or not (backend / "manage.py").is_file():
        return
    module, colon, attribute = str(host.get("asgi_application") or "").partition(":")
    if not colon or asgi_fault(f"{module}:{attribute}")[0]:
        return
    path = backend.joinpath(*module.split("."))
    own = [backend / str(one.get("path") or "") for one in host.get("release_files") or [] if is_mapping(one)]
    if path.with_suffix(".py") in own:
        return  # a file of the user's, perhaps from a template; the deploy imports it
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
    """If gunicorn answers plain HTTP, it serves a WSGI application and has threads."""
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
    """The service manager can run on the host."""
    init = probe_facts(host.probe).get("init")
    if manager_of(host) == "systemd" and init and init != "systemd":
        fix = "Delete the line, or write\n  asgi_manager: supervisor"
        yield Problem("asgi_manager", f"is systemd, but the host was booted with {init}", fix)


def manager_of(host: HostView) -> str:
    """A host's service manager: what the inventory says, or else systemd if that booted the host."""
    if "asgi_manager" in host.inventory:
        return str(host.get("asgi_manager") or "")
    return "systemd" if probe_facts(host.probe).get("init", "systemd") == "systemd" else "supervisor"


# Settings that daphne supports and uvicorn does not.
UNLIMITED = {"asgi_websocket_timeout": -1, "asgi_websocket_connect_timeout": 10}


@check("asgi")
def asgi_server_options(host: HostView) -> Iterator[Problem]:
    """No setting asks for something that the server would silently ignore."""
    if host.get("asgi_server") != "uvicorn":
        return
    for name, default in UNLIMITED.items():
        if name in host.inventory and host.get(name) not in (None, default):
            fix = "Delete the line, or choose the server that has it:\n  asgi_server: daphne"
            yield Problem(name, f"is {host.get(name)}, but uvicorn has no such limit", fix)


@check("asgi")
def asgi_pings(host: HostView) -> Iterator[Problem]:
    """Pings come at shorter intervals than the proxy's timeout for idle sockets."""
    interval, cut = host.get("asgi_ping_interval"), host.get("nginx_websocket_timeout")
    if isinstance(interval, int) and isinstance(cut, int) and interval >= cut:
        fix = f"Write a number below nginx_websocket_timeout ({cut}), such as 20"
        yield Problem("asgi_ping_interval", f"is {interval}, so nginx cuts idle sockets before they are pinged", fix)


@check("asgi")
def asgi_serial(host: HostView) -> Iterator[Problem]:
    """The sizes of batches are numbers or percentages."""
    value = host.get("asgi_serial")
    if value is None:
        return
    try:
        batches([host.name], value)
    except ValueError as error:
        fix = 'Write how many hosts switch at a time: 2, "25%", or a list such as [1, "50%"]. 0 means all at once.'
        yield Problem("asgi_serial", str(error), fix)
