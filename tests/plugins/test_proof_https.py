"""Whether pages of a project work behind TLS, as real Django settings say it to a request like nginx's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.doctor.catalogue import CATALOGUE
from ansible_collections.channels.stack.plugins.module_utils.doctor.https import forwarded, judge, leads_back
from ansible_collections.channels.stack.plugins.module_utils.host.programs import text_of
from ansible_collections.channels.stack.plugins.module_utils.host.project import MARK

SITE = "https://www.example.org"
SETTINGS = """
SECRET_KEY, ROOT_URLCONF, DATABASES = "x" * 50, "served", {}
ALLOWED_HOSTS = ["www.example.org", "inside"]
INSTALLED_APPS = ["django.contrib.sessions"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
"""


@pytest.fixture
def found(tmp_path: Path) -> Any:
    """What is found of a project with these settings, by the codes; its page is asked for by `origin`."""

    def ask(settings: str, origin: str = SITE) -> list[str]:
        (tmp_path / "settings.py").write_text(SETTINGS + settings)
        (tmp_path / "served.py").write_text("application, urlpatterns = 1, []\n")
        done = subprocess.run(
            [sys.executable, "-c", text_of("probe.py"), MARK, "served:application", "{}", origin], cwd=tmp_path,
            capture_output=True, text=True, env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings"}, check=True,
        )  # fmt: skip
        return [code for code, _seen, _values in judge(json.loads(done.stdout.rpartition(MARK)[2])["page"])]

    return ask


@pytest.mark.parametrize(("settings", "codes"), [
    ("", []),
    ("SECURE_SSL_REDIRECT = True", []),
    # The server knows it by itself, as daphne, uvicorn and gunicorn do here.
    ("SECURE_PROXY_SSL_HEADER = None", []),
    ("SECURE_SSL_REDIRECT, SECURE_PROXY_SSL_HEADER = True, ('HTTP_X_FORWARDED_PROTO', 'on')", ["E417_HTTPS_LOOP"]),
    ("SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PORT', 'https')", ["W417_HTTPS_UNKNOWN"]),
    # Without its middleware the setting does nothing.
    ("SECURE_SSL_REDIRECT, SECURE_PROXY_SSL_HEADER = True, ('HTTP_X_FORWARDED_PROTO', 'on'); MIDDLEWARE.pop(0)",
     ["W417_HTTPS_UNKNOWN"]),
    ("CSRF_COOKIE_SECURE = False", []),
    ("SESSION_COOKIE_SECURE = False", ["W420_SESSION_EXPOSED"]),
    ("SESSION_COOKIE_SECURE = False; MIDDLEWARE.pop(1)", []),
])  # fmt: skip
def test_settings_behind_tls(found: Any, settings: str, codes: list[str]) -> None:
    assert found(settings) == codes


@pytest.mark.parametrize(("settings", "codes"), [
    ("SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = False", []),
    ("SESSION_COOKIE_SECURE = False", ["W418_COOKIES_LOST"]),
    ("SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = False; CSRF_COOKIE_SECURE = CSRF_USE_SESSIONS = True", []),
    ("SECURE_SSL_REDIRECT = True", ["E418_HTTPS_MISSING"]),
])  # fmt: skip
def test_settings_without_tls(found: Any, settings: str, codes: list[str]) -> None:
    assert found(settings, "http://www.example.org") == codes


@pytest.mark.parametrize(("host", "trusted", "codes"), [
    ("www.example.org", [], []),
    ("inside:8000", [], ["W419_CSRF_ORIGIN"]),
    ("inside:8000", ["https://www.example.org"], []),
    ("inside:8000", ["https://*.example.org"], []),
    ("inside:8000", ["https://*.ample.org", "http://www.example.org"], ["W419_CSRF_ORIGIN"]),
    # A host that is refused is another finding's.
    ("", [], []),
])  # fmt: skip
def test_forms(host: str, trusted: list[str], codes: list[str]) -> None:
    said = {"origin": SITE, "secure": True, "redirects": False, "csrf": True, "host": host, "trusted": trusted}
    assert [code for code, *_ in judge({**said, "cookies": {}})] == codes
    assert not list(judge({**said, "csrf": False, "cookies": {}}))


def test_what_is_found_has_a_text() -> None:
    """Each finding fills the texts of its code."""
    cookies = {"CSRF_COOKIE_SECURE": True, "SESSION_COOKIE_SECURE": False}
    said = {"secure": False, "csrf": True, "host": "inside", "trusted": [], "cookies": cookies}
    for scheme in ("http", "https"):
        for more in ({"redirects": True}, {"redirects": False}, {"redirects": False, "secure": True}):
            for code, _seen, values in judge({**said, "origin": f"{scheme}://www.example.org", **more}):
                assert CATALOGUE[code].cause.format_map(values) and CATALOGUE[code].fix.format_map(values)


@pytest.mark.parametrize(("origin", "status", "location", "loops"), [
    (SITE, 301, "https://inside/health/", True),
    (SITE, 308, "https://inside:443/health/", True),
    (SITE, 302, "/health/", True),
    ("http://www.example.org", 301, "https://inside/health/", False),
    (SITE, 301, "https://www.example.org/health/", False),
    (SITE, 302, "/login/?next=/health/", False),
    (SITE, 302, "?again", False),
    (SITE, 200, "/health/", False),
])  # fmt: skip
def test_a_redirect_without_end(origin: str, status: int, location: str, loops: bool) -> None:
    assert leads_back(origin, "/health/", "inside", status, location) == loops


def test_how_a_page_was_asked_for() -> None:
    assert forwarded(SITE) == {"X-Forwarded-Proto": "https"}
    assert forwarded("null") == forwarded("") == {}
