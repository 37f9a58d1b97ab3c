"""What PostgreSQL stores for a password: a SCRAM verifier, made and compared here so that no password is sent to it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

ROUNDS = 4096


def keys(password: str, salt: bytes, rounds: int) -> tuple[bytes, bytes]:
    """Return StoredKey and ServerKey of a password (RFC 5802)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")


def verifier(password: str) -> str:
    """Return what PostgreSQL stores for a password."""
    salt = secrets.token_bytes(16)
    stored, server = (base64.b64encode(key).decode() for key in keys(password, salt, ROUNDS))
    return f"SCRAM-SHA-256${ROUNDS}:{base64.b64encode(salt).decode()}${stored}:{server}"


def is_scram(kept: str | None) -> bool:
    """Tell whether what PostgreSQL stores allows a login with one of our passwords."""
    return (kept or "").startswith("SCRAM-SHA-256$")


def verifies(password: str, kept: str | None) -> bool:
    """Tell whether what PostgreSQL stores belongs to this password."""
    if not is_scram(kept):
        return False
    rest = (kept or "").partition("$")[2]
    head, _, tail = rest.partition("$")
    rounds, _, salt = head.partition(":")
    stored, _ = keys(password, base64.b64decode(salt), int(rounds))
    return hmac.compare_digest(base64.b64encode(stored).decode(), tail.partition(":")[0])
