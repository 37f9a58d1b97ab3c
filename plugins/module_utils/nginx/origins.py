"""Which pages may open a site's WebSockets, by the Origin that browsers send. Controller only.

An origin is `scheme://host[:port]` (RFC 6454). Allowed origins become expressions that nginx (PCRE) and Python read
alike. They are matched against the Origin, a space, and the request's Host header.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

ANY = "*"
SCHEME = r"[a-z][a-z0-9+.-]*"
LABELS = r"[a-z0-9_.-]+"  # the labels of a subdomain; they cannot contain @, / or :
DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
#: For an extension's page, say, a browser sends no port, and a host that is not a domain name.
_PARTS = re.compile(rf"({SCHEME})://(\[[0-9a-f:.]+\]|[^\s/\[\]:@?#\"\\{{}};$]+)(?::(\d+|\*))?", re.IGNORECASE)


@dataclass(frozen=True)
class Site:
    """The part of a site that decides which origins are its own."""

    names: tuple[str, ...]
    #: Whether pages are served only over TLS.
    tls_only: bool
    http_port: int = 80
    https_port: int = 443

    @property
    def has_names(self) -> bool:
        """Whether it answers only to names of its own, and not to any name."""
        return "_" not in self.names and bool(self.names)


def origin_fault(text: str) -> str:
    """Why a text is not an origin that can be allowed; empty if it is one, or stands for all."""
    if text in (ANY, "null"):
        return ""
    found = _PARTS.fullmatch(text)
    if not found:
        return "is no origin" if "://" in text else "has no scheme before it"
    host, port = found[2], found[3]
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return f"has {host}, which is no IPv6 address"
    if "*" in host.removeprefix("*.") or host == "*.":
        return "has a * elsewhere than for all names below one"
    return f"has the port {port}" if port and port != ANY and not 0 < int(port) < 65536 else ""


def unclear_name(name: str) -> bool:
    """Whether a name also matches names that anybody could own: as an expression, or with a wildcard at its end."""
    return name.startswith("~") or (name != ANY and name.endswith(".*"))


def _host_pattern(host: str) -> str:
    """An expression for a host; `*.example.org` is all names below it, `.example.org` also the name itself."""
    if host.startswith("*."):
        return rf"{LABELS}\.{re.escape(host[2:])}"
    if host.startswith("."):
        return rf"({LABELS}\.)?{re.escape(host[1:])}"
    if not host.startswith("["):
        return re.escape(f"[{host}]" if ":" in host else host)
    return re.escape(f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]")


def _pattern(origin: str) -> str:
    found = _PARTS.fullmatch(origin)
    if not found:  # null
        return f"^{re.escape(origin)} "
    scheme, host, port = found.groups()
    end = r"(:[0-9]+)?" if port == ANY else _end(scheme.lower(), port or DEFAULT_PORTS.get(scheme.lower(), ""))
    return f"^{re.escape(scheme)}://{_host_pattern(host)}{end} "


def _end(scheme: str, port: str) -> str:
    """An expression for a port. Browsers leave out the scheme's default port; other clients may write it."""
    if DEFAULT_PORTS.get(scheme) == port:
        return f"(:{port})?"
    return f":{port}" if port else ""


def _own(site: Site) -> list[str]:
    """The site's own origins: at its port, or at the one that the request went to, since another may lead here."""
    patterns = []
    for name in (one for one in site.names if not unclear_name(one)):
        host = _host_pattern(name)
        ports = {"https": site.https_port, "http": site.http_port}
        ends = {scheme: _end(scheme, str(port)) for scheme, port in ports.items()}
        schemes = ["https"] if site.tls_only else ["https", "http"]
        patterns += [f"^{scheme}://{host}{ends[scheme]} " for scheme in schemes]
        either = "https" if site.tls_only else "https?"
        patterns.append(rf"^{either}://({host}(:[0-9]+)?) \1$")
    return patterns


def patterns(origins: Iterable[str], site: Site) -> list[str]:
    """Expressions of which `<Origin> <Host>` must match one, in any case; none if every origin is allowed."""
    given = [str(origin) for origin in origins]
    if ANY in given or (not given and not site.has_names):
        return []
    return list(dict.fromkeys([_pattern(origin) for origin in given] if given else _own(site)))


def allowed(origin: str, host: str, accepted: Iterable[str]) -> bool:
    """Whether nginx lets a handshake with this Origin pass. One without passes: browsers always send it."""
    expressions = list(accepted)
    seen = f"{origin} {host}"
    return not origin or not expressions or any(re.search(one, seen, re.IGNORECASE) for one in expressions)
