"""How a site is proven: addresses, paths and headers can be sent. Controller only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from ..view import HostView, Problem, check, is_mapping, strings

# Headers that every handshake sets itself.
OWN_HEADERS = {"host", "origin", "connection", "upgrade", "user-agent"}


def quoted(text: str) -> str:
    """A value in quotes, for a line of a report."""
    return '"' + text.replace("\r", "\\r").replace("\n", "\\n") + '"'


def host_fault(text: str) -> str:
    """Why a text is not a name or an address, with or without a port; empty if it is."""
    found = re.fullmatch(r"(\[[^\]]*\]|[^\s/?#@\[\]:\\\"'<>]+)(?::(\d+))?", text)
    if not found:
        wide = text.count(":") > 1 and "[" not in text
        return "has an IPv6 address without brackets" if wide else "has no valid host name"
    name, port = found.groups()
    if name.startswith("["):
        try:
            ipaddress.IPv6Address(name.strip("[]"))
        except ValueError:
            return f"has {name}, which is no IPv6 address"
    return "" if not port or 0 < int(port) < 65536 else f"has the port {port}"


def address_fault(text: str, schemes: str) -> str:
    """Why a text is not `scheme://host[:port]`; `schemes` is an expression for the allowed schemes."""
    if re.search(r"[\s\0]", text):
        return "has a space or a line's end in it"
    scheme, sign, rest = text.partition("://")
    if not sign or not re.fullmatch(schemes, scheme):
        return f"begins with {scheme}://" if sign else "has no scheme before it"
    host, slash, path = rest.partition("/")
    return host_fault(host) or ("has a path" if path else "ends with a slash" if slash else "")


@check("handshake")
def handshake_addresses(host: HostView) -> Iterator[Problem]:
    """Where handshakes go, and where they say they come from, is valid."""
    url, site, origin, foreign = (host.get(f"handshake_{name}") for name in ("url", "host", "origin", "foreign_origin"))
    if isinstance(url, str) and (fault := address_fault(url, "wss?")):
        fix = "Write ws or wss, and the site as browsers use it, without a path (handshake_path has it):\n"
        yield Problem("handshake_url", f"{quoted(url)} {fault}", f"{fix}  handshake_url: wss://www.example.org")
    if isinstance(site, str) and (fault := host_fault(site)):
        fix = "Write a name from the project's ALLOWED_HOSTS, without scheme and path:\n"
        yield Problem("handshake_host", f"{quoted(site)} {fault}", f"{fix}  handshake_host: www.example.org")
    for name, value in (("handshake_origin", origin), ("handshake_foreign_origin", foreign)):
        if not isinstance(value, str) or value == "null" or (not value and name == "handshake_foreign_origin"):
            continue
        # If it is built from another value that is wrong, that one is reported.
        if (fault := address_fault(value, "[a-z][a-z0-9+.-]*")) and name in host.inventory:
            example = "https://www.example.org" if name == "handshake_origin" else "https://foreign.invalid"
            fix = f"Write it as browsers send it, only scheme and host:\n  {name}: {example}"
            yield Problem(name, f"{quoted(value)} {fault}", fix)


@check("handshake")
def handshake_paths(host: HostView) -> Iterator[Problem]:
    """Paths begin with a slash, and have a single line."""
    for name, example in (("handshake_path", "/ws/?token={token}"), ("handshake_health_path", "/health/")):
        value = host.get(name)
        if not isinstance(value, str):
            continue
        fault = "" if value.startswith("/") else "does not begin with a slash"
        fault = "has a space or a line's end in it" if re.search(r"[\s\0]", value) else fault
        fault = "has a #, which is never sent to a server" if "#" in value else fault
        if fault:
            # The path may contain a token of the user's own.
            told = f"{quoted(value.partition('?')[0])} {fault}"
            yield Problem(name, told, f"Write it as in a URL:\n  {name}: {example}")


@check("handshake")
def handshake_token(host: HostView) -> Iterator[Problem]:
    """Where a token is expected, there is one, and it is a single word."""
    if {"handshake_token", "handshake_token_command"} & host.faulty:
        return
    asked = {name: host.raw(name) for name in ("handshake_path", "handshake_headers", "handshake_subprotocols")}
    places = [name for name, value in asked.items() if any("{token}" in text for text in strings(value))]
    token = host.get("handshake_token")
    if places and not token and not host.get("handshake_token_command"):
        fix = (
            "Add a command that creates one, or leave it out if everybody may connect:\n"
            "  handshake_token_command: [python, manage.py, mint_token]\n  handshake_path: /ws/"
        )
        yield Problem(places[0], "contains {token}, but nothing creates a token", fix)
    if re.search(r"[\s\0]", str(token or "")):
        yield Problem("handshake_token", "has a space or a line's end in it", "Remove it, for example with | trim.")


@check("handshake")
def handshake_offers(host: HostView) -> Iterator[Problem]:
    """Headers and subprotocols can be sent."""
    headers = host.get("handshake_headers")
    for name, value in headers.items() if is_mapping(headers) else ():
        fix = 'Write a header\'s name and its text:\n  handshake_headers: {Cookie: "sessionid={token}"}'
        if not re.fullmatch(r"[A-Za-z0-9-]+", str(name)) or re.search(r"[\r\n\0]", str(value)):
            yield Problem("handshake_headers", f'"{name}" is not a header that can be sent', fix)
        elif str(name).lower() in OWN_HEADERS or str(name).lower().startswith("sec-websocket-"):
            fix = "Remove it; use handshake_host, handshake_origin or handshake_subprotocols."
            yield Problem("handshake_headers", f"has {name}, which each handshake sends anyway", fix)
    for protocol in host.items("handshake_subprotocols"):
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", str(protocol).replace("{token}", "x")):
            fix = "Write names without spaces, commas and slashes:\n  handshake_subprotocols: [graphql-transport-ws]"
            yield Problem("handshake_subprotocols", f'"{protocol}" is not the name of a subprotocol', fix)
