"""What happens to a Django project's pages behind TLS: whether they loop, are refused, or lose the session.

host/probe.py asks the project itself, with a request as the proxy passes it on. This module judges the answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

REDIRECTS = frozenset((301, 302, 303, 307, 308))


def forwarded(origin: str) -> dict[str, str]:
    """The header by which a proxy says how a page of `origin` was requested; empty without an Origin."""
    scheme = urlsplit(origin).scheme
    return {"X-Forwarded-Proto": scheme} if scheme in ("http", "https") else {}


def leads_back(origin: str, path: str, host: str, status: int, location: str) -> bool:
    """Whether an answer redirects the client to the very address that it requested, in an endless loop.

    `host` is the Host header that was sent, `location` the answer's header as it came.
    """
    asked = f"{urlsplit(origin).scheme or 'http'}://{host}{path}"
    return status in REDIRECTS and _plain(urljoin(asked, location)) == _plain(asked)


def _plain(url: str) -> tuple[str, str, int | None, str, str]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", port, parts.path or "/", parts.query


def judge(said: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield each problem as a code of the catalogue, what was seen, and the values for the code's texts.

    `said` is what the project answers for its Origin: `origin`, `secure` (Django takes such a request for https),
    `redirects` (SECURE_SSL_REDIRECT is at work), `csrf` (forms are checked), `host` (as Django sees it; empty if it
    is refused), `trusted` (CSRF_TRUSTED_ORIGINS), and `cookies` (whether each cookie goes over https alone). Rules:
    https://docs.djangoproject.com/en/stable/ref/csrf/#how-it-works, and the settings' own pages.
    """
    origin, cookies = str(said["origin"]), dict(said["cookies"])
    values = {"origin": origin}
    if urlsplit(origin).scheme != "https":
        kept = ", ".join(sorted(name for name, secure in cookies.items() if secure))
        if said["redirects"]:
            yield "E418_HTTPS_MISSING", f"SECURE_SSL_REDIRECT is on, and the site is at {origin}", values
        elif kept:
            yield "W418_COOKIES_LOST", f"{kept} is on, and the site is at {origin}", {**values, "names": kept}
        return
    if not said["secure"]:
        seen = f"is_secure() is false for a request to {origin}"
        code = "E417_HTTPS_LOOP" if said["redirects"] else "W417_HTTPS_UNKNOWN"
        yield code, f"{seen}, and SECURE_SSL_REDIRECT is {'on' if said['redirects'] else 'off'}", values
    elif said["csrf"] and said["host"] and not _trusts(said):
        seen = f"Django takes {said['host']} for the site, but the request came from {origin}"
        yield "W419_CSRF_ORIGIN", seen, values
    # The other cookie opens nothing by itself.
    if not cookies.get("SESSION_COOKIE_SECURE", True):
        yield "W420_SESSION_EXPOSED", f"SESSION_COOKIE_SECURE is off, and the site is at {origin}", values


def _trusts(said: dict[str, Any]) -> bool:
    """Whether forms from the Origin are accepted: it is the site as Django sees it, or the settings name it."""
    origin = urlsplit(said["origin"])
    if f"https://{said['host']}" == said["origin"]:
        return True
    for each in map(urlsplit, said["trusted"]):
        wanted = each.netloc
        same = origin.netloc == wanted or (wanted.startswith("*.") and origin.netloc.endswith(wanted[1:]))
        if each.scheme == origin.scheme and same:
            return True
    return False
