"""Mozilla's guideline for TLS, version 6.0 (https://ssl-config.mozilla.org), with the curves of Debian's OpenSSL."""

from __future__ import annotations

CURVES = ["X25519", "prime256v1", "secp384r1"]
# Of TLS 1.2. Those of TLS 1.3 are OpenSSL's own.
CIPHERS = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
]


def guideline(profile: str) -> dict[str, list[str]]:
    """`protocols` (the oldest first), `ciphers` (none where TLS 1.3 is the only protocol) and `curves` of a profile."""
    if profile == "modern":
        return {"protocols": ["TLSv1.3"], "ciphers": [], "curves": CURVES}
    return {"protocols": ["TLSv1.2", "TLSv1.3"], "ciphers": CIPHERS, "curves": CURVES}
