"""Names that a host resolves with its hosts file. Controller only."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..addresses import is_address
from ..view import HostView, Problem, check, is_mapping, probe_facts


@check("base")
def base_host_aliases(host: HostView) -> Iterator[Problem]:
    """Each name leads to one address."""
    aliases = host.get("base_host_aliases")
    mine = f"names of {host.get('release_app') or host.name}"
    theirs = block_lines(probe_facts(host.probe).get("host_aliases", ""), mine)
    for name, address in aliases.items() if is_mapping(aliases) else ():
        if not re.fullmatch(r"[a-zA-Z0-9]([\w.-]{0,250}[a-zA-Z0-9])?", str(name), re.ASCII) or is_address(str(name)):
            yield Problem("base_host_aliases", f'"{name}" is not a host name', "Write one as in a compose file: redis")
        if str(name).lower() == "localhost":
            yield Problem("base_host_aliases", "localhost is this host already", "Remove it.")
        if not is_address(str(address)):
            fix = "Write an address: {redis: 127.0.0.1}"
            yield Problem("base_host_aliases", f'{name} leads to "{address}", which is no IP address', fix)
        for other, owner in theirs.get(str(name), {}).items():
            if other != str(address):
                fix = "A host has one address for a name. Use the same in both projects, or give each its own host."
                yield Problem("base_host_aliases", f"{name} leads to {other} for the {owner} on this host", fix)


def block_lines(text: str, mine: str) -> dict[str, dict[str, str]]:
    """Addresses of names in a hosts file, outside the block `mine`, each with its block; `;` ends a line."""
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
