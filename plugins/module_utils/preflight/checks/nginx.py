"""What a host's nginx has besides this bundle's sites, and would lose. Controller only."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..view import HostView, Problem, check, listed, probe_facts

# Bytes that a server accepts before a request's body, in all or in one line, minus what nginx adds.
SERVERS = {"daphne": ("in all", 15 * 1024 + 512), "uvicorn": ("in one line", 15 * 1024 + 512)}
FIRST_BUFFER = 3 * 1024  # nginx fills this before it takes a large buffer; set in templates/nginx/site.conf.j2
MOST_NAMES = 60  # of 40 characters each: nginx reads no word longer than 4096 bytes (NGX_CONF_BUFFER)
ENABLED = "/etc/nginx/sites-enabled"


def replaces(host: HostView) -> bool:
    """Whether this run installs the bundle's own nginx.conf; the user decides what one of their own includes."""
    return host.installs and host.get("nginx_conf_template") in (None, "nginx.conf.j2")


@check("nginx")
def nginx_header_buffers(host: HostView) -> Iterator[Problem]:
    """nginx lets in no more than the server accepts; the server's refusals say less about the reason."""
    value, server = str(host.get("nginx_header_buffers") or ""), str(host.get("asgi_server") or "daphne")
    found = re.fullmatch(r"([1-9]\d*) ([1-9]\d*)([kKmM]?)", value)
    if not found or server not in SERVERS:
        return
    number, size = int(found[1]), int(found[2]) * {"": 1, "k": 2**10, "m": 2**20}[found[3].lower()]
    where, most = SERVERS[server]
    let_in = size if where == "in one line" else FIRST_BUFFER + number * size
    if let_in > most:
        fault = f'"{value}" lets {round(let_in / 1024)} kB in, and {server} takes no more than {most // 1024} {where}'
        yield Problem("nginx_header_buffers", fault, "Write less, or delete the line: 1 12k")


@check("nginx")
def nginx_sites_aside(host: HostView) -> Iterator[Problem]:
    """No site gets lost because of its name: Debian's nginx.conf includes every file, this bundle's only *.conf."""
    facts = probe_facts(host.probe)
    untouched = facts.get("nginx_packaged", "").split()
    sites = {
        key.removeprefix("nginx_aside:"): digest for key, digest in facts.items() if key.startswith("nginx_aside:")
    }
    names = sorted(name for name, digest in sites.items() if digest not in untouched)
    if names and replaces(host):
        moves = "".join(f"\n  mv {ENABLED}/{name} {ENABLED}/{name}.conf" for name in names)
        fault = f"{ENABLED} has {listed(names)}, and nginx would read only files there that end in .conf"
        yield Problem("", fault, f"Rename the sites to keep, and remove the others:{moves}")


@check("nginx")
def nginx_conf_of_others(host: HostView) -> Iterator[Problem]:
    """An nginx.conf that somebody wrote is not replaced."""
    facts = probe_facts(host.probe)
    digest = facts.get("nginx_conf", "")
    if not digest or digest == "ours" or digest in facts.get("nginx_packaged", "").split() or not replaces(host):
        return
    blocks = facts.get("nginx_blocks", "").split()
    has = f" (it has blocks {listed(blocks)})" if blocks else ""
    fix = (
        "Move the settings that you need to where this bundle's nginx.conf includes them: conf.d/*.conf for what "
        "belongs in http, modules-enabled/*.conf for everything else, such as stream. Then move the file away:\n"
        "  mv /etc/nginx/nginx.conf /etc/nginx/nginx.conf.before\n"
        "or have hosts use your own:\n  nginx_conf_template: /path/to/nginx.conf.j2"
    )
    yield Problem("", f"/etc/nginx/nginx.conf is neither Debian's nor this bundle's{has}, and would be replaced", fix)


@check("nginx")
def nginx_redacted_parameters(host: HostView) -> Iterator[Problem]:
    """Names of query parameters to hide are plain text, and long enough not to hide everything."""
    names = host.get("nginx_redacted_parameters")
    if not isinstance(names, list):
        return
    wrong = [name for name in names if not re.fullmatch(r"[A-Za-z0-9_.\[\]-]{2,40}", str(name))]
    if wrong:
        fault = f"{listed([repr(name) for name in wrong])} cannot be part of a query parameter's name"
        fix = "Write names, or parts of them, of 2 to 40 letters, digits and the signs _ . - [ ]: [token, session_id]"
        yield Problem("nginx_redacted_parameters", fault, fix)
    if len(names) > MOST_NAMES:
        fault = f"it has {len(names)} names, but nginx allows a pattern of at most {MOST_NAMES}"
        yield Problem(
            "nginx_redacted_parameters", fault, "Write parts that several names have in common, such as token"
        )
    query = str(host.get("handshake_path") or "").partition("?")[2]
    carrying = [part.partition("=")[0] for part in query.split("&") if "{token}" in part.partition("=")[2]]
    shown = [name for name in carrying if not any(str(each).lower() in name.lower() for each in names)]
    if shown and not wrong:
        fault = f"it does not include {listed(shown)}, in which handshake_path sends the token"
        yield Problem("nginx_redacted_parameters", fault, f"Add it: [{', '.join(map(str, [*names, *shown]))}]")
