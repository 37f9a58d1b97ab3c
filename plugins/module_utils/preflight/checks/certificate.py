"""Check that the site's certificate fits it, and that what is proven goes through TLS. Controller only."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from ...certificates.pairs import Pair, as_address, faults, system_authorities
from ..view import PROBE, HostView, Problem, check, listed, probe_facts

SOURCES = {
    "chain": "certificate_chain: \"{{ lookup('ansible.builtin.file', 'fullchain.pem') }}\"",
    "key": 'certificate_key: "{{ vault_certificate_key }}"',
}


NAME = re.compile(r"(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")


def source_of(host: HostView) -> str:
    """Where the host's certificate comes from; `none` if it has none, or if the value is unknown."""
    return str(host.get("certificate_source") or "none")


@check("certificate")
def certificate_names(host: HostView) -> Iterator[Problem]:
    """A certificate is for names, and nginx serves those names."""
    names, site = host.items("certificate_names"), [str(name) for name in host.items("nginx_server_names")]
    if source_of(host) == "none" or {"certificate_names", "nginx_server_names"} & host.faulty:
        return
    fix = "Write the site's name as browsers use it:\n  nginx_server_names: [www.example.org]"
    if "_" in site:
        yield Problem("nginx_server_names", "is _, but no certificate can be for every name", fix)
    elif not names:
        yield Problem("certificate_names", "is empty, but a certificate needs names", fix)
    elif missing := [name for name in site if name not in names]:
        fault = f"lacks {listed(missing)} of nginx_server_names"
        yield Problem("certificate_names", fault, "Add it, or delete the line.")
    elif strange := [str(name) for name in names if not NAME.fullmatch(str(name)) and not as_address(str(name))]:
        yield Problem("certificate_names", f'"{strange[0]}" is not a name that a certificate can be for', fix)


@check("certificate")
def certificate_acme(host: HostView) -> Iterator[Problem]:
    """A public authority can know the names, and can connect to check them."""
    if source_of(host) != "acme" or "certificate_names" in host.faulty:
        return
    hook = "certificate_acme_auth_hook: /usr/local/bin/put-challenge-into-dns"
    public = not host.get("certificate_acme_server")
    for name in map(str, host.items("certificate_names")):
        address = as_address(name)
        if public and (not address.is_global if address else unknown_outside(name)):
            fix = "Write the site's name on the internet, or certificate_source: self_signed"
            yield Problem("certificate_names", f'"{name}" is not a public name, and no authority certifies it', fix)
        elif name.startswith("*.") and not host.get("certificate_acme_auth_hook"):
            fix = f"Name a command that answers the DNS challenge, or leave the name out:\n  {hook}"
            yield Problem("certificate_names", f'"{name}" can only be certified with a DNS challenge', fix)
    port = "haproxy_http_port" if "proxy" in host.groups else "nginx_http_port"
    if host.get(port) != 80 and not host.get("certificate_acme_auth_hook"):
        fix = f"Write 80, or name a command that answers the DNS challenge:\n  {hook}"
        yield Problem(port, f"is {host.get(port)}, but the authority connects to 80", fix)


@check("certificate")
def certificate_of_edges(host: HostView) -> Iterator[Problem]:
    """In a fleet, only edges can order the certificate: the site's names lead to them."""
    edges = (host.raw("groups") or {}).get("proxy") or ()
    behind = edges and "proxy" not in host.groups
    if source_of(host) == "acme" and behind and not host.get("certificate_acme_auth_hook"):
        fix = "Write it for the edges alone, into group_vars/proxy.yml:\n  certificate_source: acme"
        fault = f"is acme, but the authority reaches {listed(edges)}, which cannot answer for this host"
        yield Problem("certificate_source", fault, fix)


@check("certificate")
def certificate_names_lead_here(host: HostView) -> Iterator[Problem]:
    """An authority that checks a name reaches this site. Names that were ordered before are not looked up again."""
    asks = source_of(host) == "acme" and host.installs and not host.get("certificate_acme_auth_hook")
    if not asks or "certificate_names" in host.faulty or not host.get("certificate_acme_check_names"):
        return
    ordered = names_ordered(host)
    names = [name for name in map(str, host.items("certificate_names")) if name not in ordered]
    site = site_addresses(host) if names else []
    for name in names:
        if name.startswith("*.") or not (as_address(name) or NAME.fullmatch(name)):
            continue
        try:
            found = looked_up(name)
            astray = [address for address in found if address not in site]
            why = (
                f"leads to {listed(astray)}, and the site's hosts have {listed(site) or 'no address'}" if astray else ""
            )
        except OSError as error:
            why = f"has no address, as seen from this machine ({error.strerror or error})"
        if why:
            fix = (
                f"Point it to {listed(site) or 'the host'} in the DNS. If a balancer, a CDN or NAT passes the "
                f"challenge on, or if the authority can resolve names that this machine cannot:\n"
                "  certificate_acme_check_names: false"
            )
            yield Problem("certificate_names", f'"{name}" {why}', fix)


def names_ordered(host: HostView) -> set[str]:
    """The names that the host has ordered a certificate for, from its own notes."""
    with contextlib.suppress(ValueError):
        order = json.loads(probe_facts(host.probe).get(f"ordered:{host.get('release_app')}") or "[]")
        return {str(word).partition("=")[2] for word in order if re.match("--(domain|ip-address)=", str(word))}
    return set()


def site_addresses(host: HostView) -> list[str]:
    """The addresses of all hosts that may answer for the site: its edges if it has any, or else its app hosts."""
    hostvars, groups = host.raw("hostvars") or {}, host.raw("groups") or {}
    found: dict[str, None] = {}
    if shared := as_address(str(host.get("keepalived_address") or "").partition("/")[0]):
        found[str(shared)] = None
    for name in dict.fromkeys([host.name, *(groups.get("proxy") or groups.get("app", ()))]):
        variables = hostvars.get(name, host.inventory)
        own = probe_facts(variables.get(PROBE) or {}).get("addresses", "").split()
        for way in (variables.get("ansible_host") or name, variables.get("private_address"), *own):
            with contextlib.suppress(OSError):
                found |= dict.fromkeys(looked_up(str(way)) if way else ())
    return list(found)


@functools.cache
def looked_up(name: str) -> tuple[str, ...]:
    """The addresses of a name, as this machine sees them; raise OSError if there are none."""
    if address := as_address(name):
        return (str(address),)
    try:
        answers = socket.getaddrinfo(name.rstrip("."), None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # such as for a label that is too long
        raise OSError(str(error)) from error
    return tuple(dict.fromkeys(str(as_address(str(answer[4][0]).partition("%")[0])) for answer in answers))


@check("certificate")
def certificate_is_kept_apart(host: HostView) -> Iterator[Problem]:
    """Keys do not end up in a repository by mistake."""
    folder = host.path("certificate_acme_keep")
    if source_of(host) != "acme" or not folder:
        return
    folder = folder.absolute()
    if inside := next((each for each in (folder, *folder.parents) if (each / ".git").exists()), None):
        fix = "Name a folder outside of it:\n  certificate_acme_keep: ~/.local/share/certificates"
        yield Problem("certificate_acme_keep", f"is in the git repository {inside}, but would contain keys", fix)


def unknown_outside(name: str) -> bool:
    """Whether a name cannot exist on the internet (RFC 6761 and 8375)."""
    last = name.rstrip(".").rpartition(".")[2].lower()
    return "." not in name.rstrip(".") or last in ("localhost", "test", "invalid", "local", "internal", "lan", "arpa")


@check("certificate")
def certificate_provided(host: HostView) -> Iterator[Problem]:
    """Chain and key belong together, and the chain is valid now, complete, and for the site."""
    if source_of(host) != "provided":
        return
    texts = {part: str(host.get(f"certificate_{part}") or "") for part in ("chain", "key")}
    for part, text in texts.items():
        if not text.strip() and f"certificate_{part}" not in host.faulty:
            fix = f"Give its text, in PEM:\n  {SOURCES[part]}"
            yield Problem(f"certificate_{part}", "is empty, although certificate_source is provided", fix)
    if not all(text.strip() for text in texts.values()):
        return
    names = [str(name) for name in host.items("certificate_names")]
    trusted = system_authorities(str(path) for path in host.items("base_ca_certificates"))
    fixes = {
        "chain": "Put the site's certificate first, followed by its intermediate certificates, in PEM.",
        "key": "Give the key that belongs to the certificate, in PEM and without a password.",
    }
    for part, fault in faults(Pair(texts["chain"], texts["key"]), names, trusted):
        yield Problem(f"certificate_{part}", fault, fixes[part])


@check("certificate")
def certificate_is_proven(host: HostView) -> Iterator[Problem]:
    """The proof does what browsers do: a site with TLS refuses ws://."""
    url = host.get("handshake_url")
    if source_of(host) == "none" or not isinstance(url, str) or "handshake_url" not in host.inventory:
        return
    if url.startswith("ws://"):
        at = urlsplit(url).netloc
        fix = f"Write the site as browsers reach it, or delete the line:\n  handshake_url: wss://{at}"
        yield Problem("handshake_url", "begins with ws://, but the site has a certificate", fix)
