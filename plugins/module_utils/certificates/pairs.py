"""Whether a chain and its key can serve a site, and pairs from a private authority. Controller only.

A pair is two texts in PEM: the site's certificate with its chain up to an authority, and the certificate's key.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import ipaddress
import itertools
import os
import platform
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: Days. Apple's systems reject certificates of a private authority that live for more than 825 (HT210176).
LIFETIME = 397
#: Days, for the authority: people put it into browsers by hand.
AUTHORITY_LIFETIME = 3650
#: Part of its life after which a certificate is replaced.
RENEWED_AFTER = 2 / 3
#: Where Debian, Red Hat and macOS keep the authorities that the system trusts.
SYSTEM_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)  # fmt: skip
BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CertificateError(Exception):
    """A text that holds no certificate or no key. The message says why, and never contains the text."""


@dataclass(frozen=True)
class Pair:
    """A chain and its key, in PEM."""

    chain: str
    key: str


def now() -> datetime.datetime:
    """The time now, in the form that certificates use."""
    return datetime.datetime.now(datetime.UTC)


def read_chain(text: str) -> list[x509.Certificate]:
    """Return the certificates in a text, in order; raise CertificateError if there is none."""
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise CertificateError("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)") from error


def read_key(text: str) -> PrivateKeyTypes:
    """Return the key in a text; raise CertificateError if it has none that nginx could read."""
    try:
        return serialization.load_pem_private_key(text.encode(), None)
    except TypeError as error:
        raise CertificateError("is encrypted, and nginx would ask for its password at each start") from error
    except ValueError as error:
        raise CertificateError("holds no private key in PEM (-----BEGIN PRIVATE KEY-----)") from error


def belong_together(certificate: x509.Certificate, key: PrivateKeyTypes) -> bool:
    """Tell whether a certificate belongs to a key."""
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the names and addresses that a certificate is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []  # no browser reads the common name any more
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return [name.lower() for name in found.get_values_for_type(x509.DNSName)] + addresses


def is_for(certificate: x509.Certificate, name: str) -> bool:
    """Tell whether a browser accepts a certificate for a name (RFC 9525: `*` stands for one label, the first)."""
    own, wanted = names_of(certificate), name.lower().rstrip(".")
    if as_address(wanted):
        return str(as_address(wanted)) in own
    return wanted in own or any(each.startswith("*.") and each[2:] == wanted.partition(".")[2] for each in own)


def as_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return a name as an address if it is one, or None."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(name.strip("[]"))
    return None


def faults(pair: Pair, names: Iterable[str], trusted: Iterable[x509.Certificate]) -> Iterator[tuple[str, str]]:
    """Yield what keeps a pair from serving a site: `chain` or `key`, and what is wrong with it.

    `names` are the site's. A chain must lead to one of the `trusted` authorities or to a self-signed one.
    Nothing here judges which of these a browser trusts.
    """
    chain: list[x509.Certificate] = []
    key: PrivateKeyTypes | None = None
    try:
        chain = read_chain(pair.chain)
    except CertificateError as error:
        yield "chain", str(error)
    try:
        key = read_key(pair.key)
    except CertificateError as error:
        yield "key", str(error)
    if chain and key and not belong_together(chain[0], key):
        place = next((number for number, each in enumerate(chain[1:], 2) if belong_together(each, key)), 0)
        beside = f": it is that of certificate {place}, and the site's own must come first" if place else ""
        yield "key", f"is not the key of the certificate{beside}"
    if not chain:
        return
    site, moment = chain[0], now()
    if moment > site.not_valid_after_utc:
        yield "chain", f"was valid until {site.not_valid_after_utc:%Y-%m-%d}"
    elif moment < site.not_valid_before_utc:
        yield "chain", f"is valid from {site.not_valid_before_utc:%Y-%m-%d} on"
    if missing := [name for name in names if not is_for(site, name)]:
        yield "chain", f"is for {', '.join(names_of(site)) or 'no name'}, and not for {', '.join(missing)}"
    yield from (("chain", told) for told in breaks(chain, trusted))


def breaks(chain: list[x509.Certificate], trusted: Iterable[x509.Certificate]) -> Iterator[str]:
    """Yield where a chain breaks."""
    for number, (each, issuer) in enumerate(itertools.pairwise(chain), 1):
        if not issued_by(each, issuer):
            by = common_name(each.issuer)
            beside = common_name(issuer.subject)
            yield f"does not lead on at certificate {number}, which {by} has issued: the next one is {beside}"
            return
        if now() > issuer.not_valid_after_utc:
            until = f"{issuer.not_valid_after_utc:%Y-%m-%d}"
            yield f"has a certificate of {common_name(issuer.subject)}, which was valid until {until}"
            return
    last = chain[-1]
    if not issued_by(last, last) and not any(issued_by(last, root) for root in trusted if root.subject == last.issuer):
        yield f"is not complete: the certificate of {common_name(last.issuer)}, which leads to an authority, is missing"


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether one certificate has signed another."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def common_name(name: x509.Name) -> str:
    """Return the part of a name that people know."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return f'"{found[0].value!s}"' if found else f'"{name.rfc4514_string()}"'


def system_authorities(more: Iterable[str] = ()) -> list[x509.Certificate]:
    """Return the authorities that this machine trusts, and those in more files; leave out unreadable ones."""
    found: list[x509.Certificate] = []
    for path in (*SYSTEM_AUTHORITIES, *more):
        with contextlib.suppress(OSError):
            for block in BLOCK.findall(Path(path).read_bytes()):
                with contextlib.suppress(ValueError), warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # about a serial number that has been there for twenty years
                    found.append(x509.load_pem_x509_certificate(block))
    return found


def files_of(folder: Path) -> tuple[Path, Path]:
    """Return the paths of an authority's certificate and key."""
    return folder / "authority.crt", folder / "authority.key"


class Authority:
    """A private authority. Its certificate and key are two files in a folder on the controller."""

    def __init__(self, folder: Path, read: Callable[[Path], str] = Path.read_text) -> None:
        """Read the authority, or make one if the folder has none; may raise OSError or CertificateError.

        `read` reads the key, which may be encrypted. Only new certificates need it.
        """
        self.path, self.key_path = files_of(folder)
        self._read = read
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".lock", "w") as lock:  # all hosts of a run get here at once
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.path.exists():  # but not if only the key is missing: it may be kept elsewhere
                self._make()
        self.certificate, *_ = read_chain(self.path.read_text())

    @cached_property
    def key(self) -> PrivateKeyTypes:
        """The authority's key; may raise OSError or CertificateError."""
        key = read_key(self._read(self.key_path))
        if not belong_together(self.certificate, key):
            raise CertificateError(f"{self.key_path.name} is not the key of {self.path.name}")
        return key

    def _make(self) -> None:
        """Make the key, then the certificate, so that a later run replaces a half-made pair."""
        key = ec.generate_private_key(ec.SECP256R1())
        # Clients would confuse authorities of the same name from two controllers.
        called = f"Authority of {platform.node() or 'a controller'} {os.urandom(4).hex()}"
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called)])
        certificate = (
            builder(name, name, key.public_key(), AUTHORITY_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage(signs=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        for path, text, mode in ((self.key_path, key_text(key), 0o600), (self.path, chain_text(certificate), 0o644)):
            part = path.with_name(f"{path.name}.{os.getpid()}.part")
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
                file.write(text)
            part.replace(path)

    def has_issued(self, pair: Pair, names: list[str]) -> bool:
        """Tell whether this authority issued a pair, for exactly these names, and a third of its life is left."""
        try:
            site, key = read_chain(pair.chain)[0], read_key(pair.key)
        except CertificateError:
            return False
        begun, end = site.not_valid_before_utc, site.not_valid_after_utc
        young = now() < begun + (end - begun) * RENEWED_AFTER
        same = sorted(names_of(site)) == sorted({str(as_address(name) or name.lower()) for name in names})
        return young and same and belong_together(site, key) and issued_by(site, self.certificate)

    def issue(self, names: list[str], days: float = LIFETIME) -> Pair:
        """Make a pair for some names and addresses that lives for this many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
        alternatives = [
            x509.IPAddress(address) if (address := as_address(name)) else x509.DNSName(name.lower()) for name in names
        ]
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.certificate.public_key())  # type: ignore[arg-type]
        certificate = (
            builder(subject, self.certificate.subject, key.public_key(), days)
            .add_extension(x509.SubjectAlternativeName(list(dict.fromkeys(alternatives))), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(signer, critical=False)
            .sign(self.key, hashes.SHA256())  # type: ignore[arg-type]
        )
        return Pair(chain_text(certificate), key_text(key))


def builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: float
) -> x509.CertificateBuilder:
    """Return what all certificates here start from. They are valid from an hour ago, for hosts whose clock is slow."""
    begin = now() - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def usage(signs: bool) -> x509.KeyUsage:
    """Return what a key may be used for: to sign certificates, or to serve."""
    return x509.KeyUsage(
        digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def key_text(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a key as PEM."""
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*form).decode()


def chain_text(certificate: x509.Certificate) -> str:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
