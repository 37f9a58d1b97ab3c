"""Name, TCP, TLS: the way from the controller to the first proxy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ...certificates.state import renewed_by
from ..answers import told
from ..case import Case, Finding, proxy_is_down
from .certificate import rest

#: How OpenSSL says that the other side has refused to go on, or speaks other versions.
REFUSED = re.compile(
    r"alert|unrecognized.name|unsupported.protocol|handshake.failure|no.shared.cipher|protocol.version|internal.error",
    re.IGNORECASE,
)


def reach(case: Case) -> Iterator[Finding]:
    """The way from the controller to the first proxy."""
    came = case.outside
    if not came:
        return
    if came["stage"] == "name":
        yield case.find("E001_NAME", told(came))
    elif came["stage"] == "tcp" and not proxy_is_down(case) and not case.is_edge and not case.outdated:
        refused = "refused" in came["reason"].lower()
        yield case.find("E011_TCP_REFUSED" if refused else "E012_TCP_FILTERED", told(came))
    elif came["stage"] == "tls" and (code := tls_code(came)):
        yield case.find(code, [told(came), *_chain_lines(came)], issuer=_last_issuer(came))
    if (left := rest(case, came)) is not None:
        renew = renewed_by(case.certificate) if case.certificate else "certbot renew --dry-run"
        yield case.find("W029_CERT_EXPIRES_SOON", days=int(left // 86400), renew=renew)
    if case.evidence.get("http2"):
        yield case.find("N314_HTTP2")


def tls_code(came: dict[str, Any]) -> str:
    """The code for a TLS connection that failed; the numbers are those of OpenSSL's X509_V_ERR_….

    None for a connection that ends without a word of TLS: the port may expect something else first.
    """
    by_number = {
        9: "E021_CERT_EXPIRED", 10: "E021_CERT_EXPIRED", 62: "E022_CERT_NAME", 64: "E022_CERT_NAME",
        20: "E023_CERT_CHAIN", 21: "E023_CERT_CHAIN", 2: "E023_CERT_CHAIN",
        18: "E024_CERT_UNTRUSTED", 19: "E024_CERT_UNTRUSTED",
    }  # fmt: skip
    code = by_number.get(came["verify"], "")
    if code == "E023_CERT_CHAIN" and came.get("chain"):
        return "E023_CERT_CHAIN" if _lacks_one(came["chain"]) else "E024_CERT_UNTRUSTED"
    if code:
        return code
    if re.search(r"wrong.version|http.request|record.layer|packet.length", came["reason"], re.IGNORECASE):
        return "E025_PORT_SPEAKS_HTTP"
    return "E026_TLS" if not came["verify"] and REFUSED.search(came["reason"]) else ""


def _lacks_one(chain: list[dict[str, Any]]) -> bool:
    """Whether an intermediate certificate is missing, and the chain does not just end at an unknown authority.

    Public authorities write into a certificate where to get its issuer's (RFC 5280's caIssuers), and issue a server's
    from an intermediate one. A private authority rarely does the first, and often not the second.
    """
    issued = {each["subject"] for each in chain[1:]}
    return chain[0]["issuer"] not in issued | {chain[0]["subject"]} and chain[0]["fetchable"]


def _chain_lines(came: dict[str, Any]) -> list[str]:
    """The certificates that were sent, in words; or that they could not be read."""
    if came["verify"] in (2, 20, 21) and not came.get("chain"):
        return ["the certificates could not be read; an authority that this machine does not know looks the same"]
    return [f"sent: {each['subject']}, issued by {each['issuer']}" for each in came.get("chain", [])]


def _last_issuer(came: dict[str, Any]) -> str:
    chain = came.get("chain") or []
    return chain[-1]["issuer"] if chain else "an authority that was not told"
