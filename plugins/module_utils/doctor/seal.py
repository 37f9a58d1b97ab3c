"""Tokens and their signatures: whether a secret of the project has made one, and how to spoil one. All on the host."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterable

HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def sealed_by(token: str, secrets: Iterable[str | None]) -> bool | None:
    """Whether one of some secrets has signed a token; None if that cannot be told: it is no JWT, or of another kind."""
    parts = token.split(".")
    try:
        head = json.loads(_bytes(parts[0])) if len(parts) == 3 else {}
        kind = HASHES.get(str(head.get("alg"))) if isinstance(head, dict) else None
        given = _bytes(parts[2]) if kind else b""
    except (ValueError, binascii.Error):
        return None
    if kind is None:
        return None
    text = f"{parts[0]}.{parts[1]}".encode()
    return any(hmac.compare_digest(hmac.new(each.encode(), text, kind).digest(), given) for each in secrets if each)


def spoiled(token: str) -> str:
    """A token with one character of its signature changed, far enough from the end to matter."""
    position = max(0, len(token) - 8)
    return token[:position] + ("A" if token[position : position + 1] != "A" else "B") + token[position + 1 :]


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
