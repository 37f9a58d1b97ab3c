"""What becomes of a browser's page of a Django project behind TLS: whether it loops, is refused, or loses its session.

The project itself is asked (doctor_project), with a request as the proxy passes it on; this judges what it has said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

REDIRECTS = frozenset((301, 302, 303, 307, 308))


def forwarded(origin: str) -> dict[str, str]:
    """The header by which a proxy says how a page of `origin` was asked for; empty where no Origin is given."""
    scheme = urlsplit(origin).scheme
    return {"X-Forwarded-Proto": scheme} if scheme in ("http", "https") else {}


def leads_back(origin: str, path: str, host: str, status: int, location: str) -> bool:
    """Whether an answer sends the client to the very address that it has asked for, and so on without end.

    `host` is the Host header that was sent, `location` the answer's header as it came.
    """
    asked = f"{urlsplit(origin).scheme or 'http'}://{host}{path}"
    return status in REDIRECTS and _plain(urljoin(asked, location)) == _plain(asked)


def _plain(url: str) -> tuple[str, str, int | None, str, str]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", port, parts.path or "/", parts.query


def judge(said: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield what is wrong as a code of the catalogue, what was seen, and the values of the code's texts.

    `said` is what the project answers for its Origin: `origin`, `secure` (Django takes such a request for https),
    `redirects` (SECURE_SSL_REDIRECT is at work), `csrf` (forms are checked), `host` (as Django sees it; empty where it
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
        yield "W419_CSRF_ORIGIN", f"Django takes {said['host']} for the site, and is asked by {origin}", values
    # The other cookie is no secret that opens anything by itself.
    if not cookies.get("SESSION_COOKIE_SECURE", True):
        yield "W420_SESSION_EXPOSED", f"SESSION_COOKIE_SECURE is off, and the site is at {origin}", values


def _trusts(said: dict[str, Any]) -> bool:
    """Whether forms of the Origin are taken: it is the site as Django sees it, or one that the settings name."""
    origin = urlsplit(said["origin"])
    if f"https://{said['host']}" == said["origin"]:
        return True
    for each in map(urlsplit, said["trusted"]):
        wanted = each.netloc
        same = origin.netloc == wanted or (wanted.startswith("*.") and origin.netloc.endswith(wanted[1:]))
        if each.scheme == origin.scheme and same:
            return True
    return False
