"""Whom nginx trusts, whom it lets in, and which headers it adds. Controller only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from ...nginx.origins import Site, allowed, origin_fault, patterns, unclear_name
from ...nginx.proxies import is_everybody, network_fault
from ..view import HostView, Problem, check, is_mapping, probe_facts

PLAIN_PATH = re.compile(r"/[A-Za-z0-9/._~-]*")
SENT_PATH = re.compile(r"/[^\s\"'\\$;#{}]*")
#: Headers that an answer gets from its content, or from another variable.
OTHERS = {"strict-transport-security": "nginx_hsts_seconds says so."}


def has_certificate(host: HostView) -> bool:
    """Whether the site itself has TLS."""
    return host.get("certificate_source") not in (None, "none")


def site_of(host: HostView) -> Site:
    """The part of the site that decides which origins are its own."""
    tls_only = has_certificate(host) and bool(host.get("nginx_redirect_http"))
    ports = (host.get(f"nginx_{scheme}_port") for scheme in ("http", "https"))
    numbers = [port if isinstance(port, int) else default for port, default in zip(ports, (80, 443), strict=True)]
    return Site(tuple(map(str, host.items("nginx_server_names"))), tls_only, *numbers)


@check("nginx")
def nginx_networks(host: HostView) -> Iterator[Problem]:
    """Balancers are addresses, networks, or sets from the bundle, but not everybody."""
    for variable in ("nginx_trusted_proxies", "nginx_health_allow"):
        for item in host.items(variable):
            fault, fix = network_fault(item)
            if fault and variable in host.inventory:
                yield Problem(variable, f'"{item}" {fault}', fix)
            elif variable == "nginx_trusted_proxies" and is_everybody(item):
                fix = "Write the balancer's own addresses:\n  nginx_trusted_proxies: [10.0.0.5]"
                yield Problem(variable, f'"{item}" is everybody, who could then claim any address', fix)


@check("nginx")
def nginx_proxy_protocol(host: HostView) -> Iterator[Problem]:
    """With the PROXY protocol, it is known who may speak it, and nobody needs to connect without it."""
    if host.get("nginx_proxy_protocol") is not True:
        return
    if not host.items("nginx_trusted_proxies") and "nginx_trusted_proxies" not in host.faulty:
        fix = "Name the balancers that speak it:\n  nginx_trusted_proxies: [10.0.0.5]\nor delete the line."
        yield Problem("nginx_proxy_protocol", "is true, but nginx_trusted_proxies names nobody who speaks it", fix)
    groups = host.raw("groups") or {}
    several = len(groups.get("app") or ()) > 1
    if (
        host.get("certificate_source") == "acme"
        and several
        and not (groups.get("proxy") or host.get("certificate_acme_auth_hook"))
    ):
        fault = (
            "is true, and the app hosts cannot pass the authority's challenges on to each other at a port that takes it"
        )
        fix = "Answer it over DNS:\n  certificate_acme_auth_hook: /usr/local/bin/put-challenge-into-dns"
        yield Problem("nginx_proxy_protocol", fault, f"{fix}\nor leave TLS to the balancer.")
    where = "handshake_connect_to"
    if host.get(where) and where in host.inventory:
        fix = f'Have the proof go through the balancer:\n  {where}: ""'
        yield Problem(where, "bypasses the balancer, but the port accepts only the PROXY protocol", fix)
    if not has_certificate(host) and not groups.get("proxy") and "handshake_url" not in host.inventory:
        fix = "Write the site as browsers use it:\n  handshake_url: wss://www.example.org"
        yield Problem("handshake_url", "would be the host's own port, which accepts only the PROXY protocol", fix)


@check("nginx")
def nginx_proxied_ports(host: HostView) -> Iterator[Problem]:
    """Sites that share a port speak the same protocol there: nginx decides before it knows which site is meant."""
    mine = host.get("nginx_proxy_protocol") is True
    ports = {str(host.get("nginx_http_port"))} | (
        {str(host.get("nginx_https_port"))} if has_certificate(host) else set()
    )
    for key, value in probe_facts(host.probe).items():
        other = key.removeprefix("site:")
        if other in (key, host.get("release_app")):
            continue
        for words in (directive.split() for directive in value.split(";")):
            shared = words[:1] == ["listen"] and len(words) > 1 and words[1].rpartition(":")[2] in ports
            if shared and ("proxy_protocol" in words) != mine:
                does = "does not speak it" if mine else "speaks it"
                fault = f"is {str(mine).lower()}, and {other}, which is on this host too, {does} at the same port"
                yield Problem("nginx_proxy_protocol", fault, "Set both to the same, or give them different ports.")
                break


@check("nginx")
def nginx_health(host: HostView) -> Iterator[Problem]:
    """The health check has a path to itself, and its request can be sent."""
    path = host.get("nginx_health_path")
    if not isinstance(path, str) or not path:
        return
    example = "nginx_health_path: /.well-known/health"
    if not PLAIN_PATH.fullmatch(path) or path.endswith("/"):
        fix = f"Write a path of letters, digits and -._~ that ends with one:\n  {example}"
        yield Problem("nginx_health_path", f'"{path}" cannot be a path of nginx itself', fix)
    for variable in ("nginx_health_socket", "nginx_health_page"):
        value = host.get(variable)
        if isinstance(value, str) and value and not SENT_PATH.fullmatch(value.replace("{token}", "")):
            yield Problem(
                variable, "is no path that can be asked for", f"Write it as in an address:\n  {variable}: /ws/"
            )
    if not host.get("nginx_health_socket"):
        yield Problem(
            "nginx_health_socket", "is empty, but a handshake needs a path", "Write one:\n  nginx_health_socket: /ws/"
        )
    if not host.items("nginx_health_allow") and "nginx_health_allow" not in host.faulty:
        fix = "Name the balancer in nginx_trusted_proxies, or the addresses that ask:\n  nginx_health_allow: [10.0.0.5]"
        yield Problem("nginx_health_path", "is set, but only the host itself may ask for it", fix)


@check("nginx")
def nginx_origins(host: HostView) -> Iterator[Problem]:
    """What may open sockets are origins, and the site to be proven is among them."""
    given = [str(origin) for origin in host.items("nginx_origins")]
    faulty = [(origin, fault) for origin in given if (fault := origin_fault(origin))]
    for origin, fault in faulty:
        fix = "Write it as browsers send it, scheme and host alone:\n  nginx_origins: [https://app.example.org]"
        yield Problem("nginx_origins", f'"{origin}" {fault}', fix)
    site = site_of(host)
    unclear = [name for name in site.names if unclear_name(name)]
    if not given and unclear:
        fix = "Write the origins that may use it:\n  nginx_origins: [https://www.example.org]"
        fault = f"has {unclear[0]}, of which it cannot be told whose pages may open sockets"
        yield Problem("nginx_server_names", fault, fix)
    origin = host.get("handshake_origin")
    if faulty or (unclear and not given) or not isinstance(origin, str) or "nginx_server_names" in host.faulty:
        return
    url, name = str(host.get("handshake_url") or ""), host.get("handshake_host")
    asked = [f"{name}:{host.get('nginx_local_port')}", urlsplit(url).netloc]
    if not all(allowed(origin, one, patterns(given, site)) for one in asked):
        own = "" if given else ", which is empty and means nginx_server_names"
        fault = f'"{origin}" is not in nginx_origins{own}, and would be refused'
        fix = f"Write the Origin that the site's pages send, or allow it:\n  nginx_origins: [{origin}]"
        yield Problem("handshake_origin", fault, fix)


@check("nginx")
def nginx_page_headers(host: HostView) -> Iterator[Problem]:
    """Headers can be sent as written."""
    headers = host.get("nginx_page_headers")
    for name, value in headers.items() if is_mapping(headers) else ():
        if told := OTHERS.get(str(name).lower()):
            yield Problem("nginx_page_headers", f"has {name}", f"Remove it; {told}")
        elif not re.fullmatch(r"[A-Za-z0-9-]+", str(name)) or re.search(r"[\r\n\0\"$\\]", str(value)):
            fix = "Write a header's name and its text, without quotes, $ and backslashes:\n"
            yield Problem(
                "nginx_page_headers", f'"{name}" is not a header that nginx can send', f"{fix}  X-Frame-Options: DENY"
            )
    names = [str(name).lower() for name in headers] if is_mapping(headers) else []
    if twice := next((name for name in names if names.count(name) > 1), ""):
        yield Problem("nginx_page_headers", f"has {twice} twice", "Write it once.")
