"""What is secret, judged by its name, and what not to show: known secrets, however escaped, and look-alikes."""

from __future__ import annotations

import html
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any, Literal

#: Where a name that may belong to a secret can appear: in a project's code, which decides what its vault must hold; or
#: in a process's environment, an inventory, or the query of a URL, whose values are masked in output.
Where = Literal["code", "environment", "inventory", "query"]
#: What makes a name a secret's everywhere.
_SURE = (
    r"password|passwd|passphrase|pass(_|$)|_pwd(_|$)|secret|token|credential|dsn"
    r"|(^|_)(key|auth)(_|$)|(^|_)(jwt|ticket|sessionid)$"
)
#: What else does so in each place. Masking a value by mistake does less harm than showing it.
_ALSO: dict[Where, str] = {
    "code": "private",
    "environment": "private|key|salt|cookie",
    "inventory": "key|^vault_",
    "query": "jwt|passw|auth|ticket|session|signature|api_?key",
}
_SECRET_NAME = {where: re.compile(f"{_SURE}|{also}", re.IGNORECASE) for where, also in _ALSO.items()}
_SECRET_IN_TEXT = re.compile(_SURE, re.IGNORECASE)
_STORE_ADDRESS = re.compile(
    r"(database|db|redis|broker|cache|amqp|rabbitmq|mongo\w*|channel\w*|celery|email|smtp)\w*_(url|uri)s?$",
    re.IGNORECASE,
)
#: Where a word ends in a camel-case name.
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|\W+")
_URL_PASSWORD = re.compile(r"((?<!\w)\w+://[^\s:/@]*:)([^\s@/]+)@")
#: A name in a text, and the value that follows it. "…" marks where a text was cut.
_NAMED = re.compile(r"(?<![\w.-])([\w.-]+)=(?!…)")
_VALUE = re.compile(r"[^&\s'\"|]+")
#: What is masked everywhere, known or not: JSON Web Tokens, passwords in URLs, headers and options.
_PATTERNS = (
    (re.compile(r"eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?"), "***"),
    (_URL_PASSWORD, r"\1***@"),
    (re.compile(r"(?i)\b((?:set-)?cookie|authorization)(['\"]?\s*[:=]\s*)[^\r\n]+"), r"\1\2***"),
    (re.compile(r"(?i)(--?(?:password|requirepass|secret|token|a)[= ])\S{6,}"), r"\1***"),
)
#: Headers whose values are not secret. All others are masked: masking a value by mistake does less harm.
HARMLESS_HEADERS = frozenset(
    [
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "forwarded",
        "host",
        "origin",
        "pragma",
        "user-agent",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
    ]
)
#: Pieces of a header that are this long are masked by themselves too: a server echoes "Bearer abc" as "abc".
SECRET_PIECE = 6
#: What replaces a secret.
MASK = "***"
#: If a text ends inside a secret (an excerpt was cut there), that piece is masked if it is at least this long.
_CUT_PIECE = 8


def redact(value: Any, secrets: Iterable[str | None]) -> Any:
    """A copy of `value` with `***` for every secret, in strings, and in lists, tuples and dicts (keys too) of them.

    It finds a secret plain, percent-encoded in whole or in part, as HTML or JSON escape it, and cut off at the end of
    a text. Secrets that are empty or None are skipped. Other types are returned unchanged.
    """
    known = sorted({str(secret) for secret in secrets if secret}, key=len, reverse=True)
    if not known:
        return value
    forms = {form for secret in known for form in (secret, urllib.parse.quote(secret, safe="", errors="replace"))}
    longest = sorted(forms, key=len, reverse=True)
    return _redact(value, re.compile("|".join(map(_secret_pattern, known))), longest)


def _redact(value: Any, pattern: re.Pattern[str], forms: list[str]) -> Any:
    if isinstance(value, str):
        return _redact_cut(pattern.sub(MASK, value), forms)
    if isinstance(value, bytes):
        return _redact(value.decode("utf-8", "surrogateescape"), pattern, forms).encode("utf-8", "surrogateescape")
    if isinstance(value, Mapping):
        return {_redact(k, pattern, forms): _redact(v, pattern, forms) for k, v in value.items()}
    if isinstance(value, list):
        return [_redact(item, pattern, forms) for item in value]
    if isinstance(value, tuple):
        return tuple(_redact(item, pattern, forms) for item in value)
    return value


def _secret_pattern(secret: str) -> str:
    """A pattern in which each character may be plain or escaped in any way, since callers quote differently."""
    return "".join(map(_character_pattern, secret))


def _character_pattern(character: str) -> str:
    # "surrogatepass": a lone surrogate is legal in a str, and hiding secrets must not raise an error.
    percent = "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
    plain, caseless = {character}, {percent}
    if not (character.isascii() and character.isalnum()):
        caseless.add(json.dumps(character)[1:-1])
        plain.add(html.escape(character))
    plain.update({" ": ["+"], "'": ["&#39;"], "/": ["\\/"]}.get(character, []))
    # The longest match first: "&amp;" is not "&" and four more letters.
    forms = [(form, re.escape(form)) for form in plain] + [(form, f"(?i:{re.escape(form)})") for form in caseless]
    return "(?:" + "|".join(pattern for _, pattern in sorted(forms, key=lambda each: len(each[0]), reverse=True)) + ")"


def _redact_cut(text: str, forms: list[str]) -> str:
    for form in forms:
        # This rules out nearly every text: the piece at its end must begin like the secret.
        if form[:_CUT_PIECE] not in text:
            continue
        for length in range(min(len(form) - 1, len(text)), _CUT_PIECE - 1, -1):
            if text.endswith(form[:length]):
                return text[: len(text) - length] + MASK
    return text


def scrub(value: Any) -> Any:
    """A copy of a value in which everything that looks like a secret is masked; redact() does so for known secrets."""
    if isinstance(value, str):
        for pattern, mask in _PATTERNS:
            value = pattern.sub(mask, value)
        return _scrub_named(value)
    if isinstance(value, dict):
        return {key: scrub(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrub(each) for each in value]
    return value


def _scrub_named(text: str) -> str:
    """Mask what follows a secret's name, as in a query."""
    parts, done = [], 0
    for found in _NAMED.finditer(text):
        value = _VALUE.match(text, found.end())
        if value and found.start() >= done and _SECRET_IN_TEXT.search(_words(found[1])):
            parts += [text[done : found.end()], MASK]
            done = value.end()
    return "".join([*parts, text[done:]])


def is_secret_name(name: str, where: Where) -> bool:
    """Tell whether a value with this name is a secret, depending on where the name is."""
    return _SECRET_NAME[where].search(_words(name)) is not None


def is_store_address(name: str) -> bool:
    """Tell whether a name means a store's address, such as DATABASE_URL: its value contains a password."""
    return _STORE_ADDRESS.search(name) is not None


def _words(name: str) -> str:
    """Return a name with `_` between its words: `apiKey` and `X-Api-Key` are `api_key`, too."""
    return _CAMEL.sub("_", name)


def secrets_of(environment: dict[str, str]) -> list[str]:
    """The values of an environment that must not be shown: those with secret names, and passwords in URLs."""
    found = {
        value
        for name, value in environment.items()
        if is_secret_name(name, "environment") and not value.startswith("/")
    }
    for value in environment.values():
        found.update(password for _, password in _URL_PASSWORD.findall(value))
    return sorted(value for value in found if len(value) >= 6)


def harmless(headers: Mapping[str, Any], subprotocols: Iterable[str]) -> set[str]:
    """Values that are not secret, but that Ansible would mask everywhere because they are given beside secrets."""
    return ({*map(str, headers.values()), *subprotocols}) - header_secrets(headers)


def header_secrets(headers: Mapping[str, Any]) -> set[str]:
    """The values of headers that may be secret, and their longer pieces."""
    values = {str(value) for name, value in headers.items() if str(name).lower() not in HARMLESS_HEADERS and value}
    pieces = {piece for value in values for piece in re.split(r"[\s;,=]+", value)}
    return values | {piece for piece in pieces if len(piece) >= SECRET_PIECE and piece != "{token}"}
