"""The plan of a handshake: the module's options with the token filled in."""

from __future__ import annotations

import re
import ssl
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...text.secrets import is_secret_name

PROBE_HEADERS = {"X-Channels-Probe": "upstream"}  # templates/nginx/site.conf.j2 answers it


@dataclass(frozen=True)
class Plan:
    """The options with the token filled in. Holds secrets: nothing of it is returned without redact()."""

    url: str
    origin: str | None
    headers: dict[str, str]
    subprotocols: list[str]
    send: list[str]
    expect: list[re.Pattern[str]]
    context: ssl.SSLContext | None
    secrets: list[str]
    options: Mapping[str, Any]

    @property
    def timeout(self) -> float:
        """Seconds for each step."""
        return float(self.options["timeout"])


def make_plan(options: Mapping[str, Any], secrets: Iterable[str]) -> Plan:
    """Raises ValueError with the option's name for an impossible value."""
    token = options["token"]
    texts = [options["url"], *options["subprotocols"], *options["send"], *map(str, options["headers"].values())]
    if token is None and any("{token}" in text for text in texts):
        raise ValueError("{token} is used, but the option token is not set")

    def fill(text: Any) -> str:
        return str(text).replace("{token}", token or "")

    url = options["url"].replace("{token}", urllib.parse.quote(token or "", safe=""))
    return Plan(
        url=url,
        origin=default_origin(url) if options["origin"] is None else options["origin"] or None,
        headers={str(name): fill(value) for name, value in options["headers"].items()},
        subprotocols=[fill(text) for text in options["subprotocols"]],
        send=[fill(text) for text in options["send"]],
        expect=[compile_pattern(pattern) for pattern in options["expect"]],
        context=make_context(options) if url.startswith("wss:") else None,
        secrets=list(secrets),
        options=options,
    )


def through(plan: Plan, listener: Mapping[str, Any]) -> Plan:
    """Return the plan of a check through one address that a proxy listens on."""
    host = {"Host": listener["host"]} if listener.get("host") else {}
    parts = urllib.parse.urlsplit(plan.url)
    tls = bool(listener.get("tls"))
    # TLS asks for its name, too.
    url = parts._replace(scheme="wss" if tls else "ws", netloc=listener.get("host") or parts.netloc).geturl()
    return replace(
        plan,
        url=url,
        context=make_context({"ca_path": None, "validate_certs": False}) if tls else None,
        headers={**plan.headers, **PROBE_HEADERS, **host},
        options={**plan.options, "connect_to": listener["address"], "proxied": bool(listener.get("proxied"))},
    )


def default_origin(url: str) -> str:
    """The Origin of a page that was loaded from the socket's own server."""
    parts = urllib.parse.urlsplit(url)
    return f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Raises ValueError that names the pattern."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"expect holds {pattern!r}, which is no regular expression: {error}") from error


def make_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """Raises ValueError when ca_path cannot be read."""
    authorities = options["ca_path"]
    try:
        folder = authorities is not None and Path(authorities).is_dir()
        context = ssl.create_default_context(
            cafile=None if folder else authorities, capath=authorities if folder else None
        )
    except OSError as error:
        raise ValueError(f"ca_path {authorities} cannot be used: {error.strerror or error}") from error
    if not options["validate_certs"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def tcp_target(plan: Plan) -> str:
    """HOST:PORT to connect to without a unix socket."""
    if plan.options["connect_to"]:
        return str(plan.options["connect_to"])
    parts = urllib.parse.urlsplit(plan.url)
    return parts.netloc if parts.port else f"{parts.netloc}:{443 if parts.scheme == 'wss' else 80}"


def url_secrets(url: str) -> set[str]:
    """Values in the URL that look like secrets, in case somebody wrote one out."""
    pairs = urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query)
    return {value for name, value in pairs if is_secret_name(name, "query") and "{token}" not in value}
