"""Certificates that are given are judged, and those of an own authority are made, before a host is touched."""

from __future__ import annotations

import datetime
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.certificates import pairs
from ansible_collections.channels.stack.plugins.module_utils.certificates.pairs import Authority, Pair
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks import (
    certificate as preflight_certificate,
)
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SITE = ["www.example.org", "192.0.2.7"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority whose files are in the test's folder."""
    return Authority(tmp_path / "authority")


def faults(pair: Pair, *names: str, trusted: tuple[x509.Certificate, ...] = ()) -> list[tuple[str, str]]:
    return list(pairs.faults(pair, names or SITE, trusted))


def between(authority: Authority) -> tuple[Pair, str]:
    """Return a pair that an authority between has issued, without and with that one's certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Between")])
    middle = (
        pairs.builder(name, authority.certificate.subject, key.public_key(), 90)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority.key, hashes.SHA256())  # type: ignore[arg-type]
    )
    own = Authority.__new__(Authority)
    own.certificate, own.key = middle, key
    return own.issue(SITE), pairs.chain_text(middle)


def test_pair_of_an_authority_serves_its_site(authority: Authority) -> None:
    pair = authority.issue(SITE)
    assert faults(pair, trusted=(authority.certificate,)) == []
    assert authority.has_issued(pair, list(reversed(SITE)))
    assert Authority(authority.path.parent).has_issued(pair, SITE), "it is another one when it is read again"
    assert authority.key_path.stat().st_mode & 0o777 == 0o600


def test_authority_whose_key_is_elsewhere_is_not_made_again(authority: Authority) -> None:
    """Its certificate is in browsers and on hosts; only who issues needs the key, which may be encrypted."""
    pair, key = authority.issue(SITE, days=730), authority.key_path.read_text()
    assert (read(pair).not_valid_after_utc - read(pair).not_valid_before_utc).days == 730
    authority.key_path.rename(authority.path.parent / "elsewhere")
    again = Authority(authority.path.parent)
    assert again.certificate == authority.certificate and again.has_issued(pair, SITE)
    with pytest.raises(OSError, match=r"authority\.key"):
        again.issue(SITE)
    assert Authority(authority.path.parent, lambda path: key if path == authority.key_path else "").issue(SITE)
    stranger = pairs.key_text(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(pairs.CertificateError, match=r"is not the key of authority\.crt"):
        Authority(authority.path.parent, lambda _: stranger).issue(SITE)


def read(pair: Pair) -> x509.Certificate:
    """Return a pair's own certificate."""
    return pairs.read_chain(pair.chain)[0]


def test_hosts_that_come_at_once_have_one_authority(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(Authority, [tmp_path / "made"] * 8))
    assert len({one.certificate.serial_number for one in found}) == 1


def test_pair_is_made_again_where_it_has_to_be(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = authority.issue(SITE)
    assert not authority.has_issued(pair, SITE[:1]) and not authority.has_issued(pair, [*SITE, "example.org"])
    assert not authority.has_issued(Pair(pair.chain, authority.issue(SITE).key), SITE)
    assert not authority.has_issued(Pair("", ""), SITE)
    assert not Authority(tmp_path / "another").has_issued(pair, SITE)
    late = pairs.now() + datetime.timedelta(days=pairs.LIFETIME * 0.7)
    monkeypatch.setattr(pairs, "now", lambda: late)
    assert not authority.has_issued(pair, SITE)


@pytest.mark.parametrize(
    ("names", "name", "fits"),
    [
        (["a.example.org"], "A.example.org.", True),
        (["*.example.org"], "a.example.org", True),
        (["*.example.org"], "a.b.example.org", False),
        (["*.example.org"], "example.org", False),
        (["192.0.2.7"], "192.0.2.7", True),
        (["fd00::1"], "[fd00:0::1]", True),
        (["192.0.2.7"], "192.0.2.8", False),
    ],
)
def test_names_of_a_certificate(authority: Authority, names: list[str], name: str, fits: bool) -> None:
    (certificate,) = pairs.read_chain(authority.issue(names).chain)
    assert pairs.is_for(certificate, name) is fits


def test_faults_of_what_is_given(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with the part that has it, and all at once."""
    trusted = (authority.certificate,)
    pair, middle = between(authority)
    whole = Pair(pair.chain + middle, pair.key)
    assert faults(whole, trusted=trusted) == []
    assert faults(Pair(whole.chain + authority.path.read_text(), pair.key)) == [], "the authority itself may be in it"
    ((part, told),) = faults(pair, trusted=trusted)
    assert part == "chain" and 'is not complete: the certificate of "Between"' in told
    ((part, told),) = faults(Pair(middle + pair.chain, pair.key), "x")[:1]
    assert part == "key" and "is that of certificate 2" in told
    told = [told for _, told in faults(Pair(pair.chain + authority.path.read_text(), pair.key), trusted=trusted)]
    assert len(told) == 1 and 'certificate 1, which "Between" has issued' in told[0]
    assert faults(Pair("no", "no")) == [
        ("chain", "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
        ("key", "holds no private key in PEM (-----BEGIN PRIVATE KEY-----)"),
    ]
    other = authority.issue(["other.example.org"])
    found = faults(Pair(whole.chain, other.key), "www.example.org", "no.example.org", trusted=trusted)
    assert [part for part, _ in found] == ["key", "chain"]
    assert found[1][1].endswith("and not for no.example.org")
    for days, words in ((-1, "is valid from"), (500, "was valid until")):
        monkeypatch.setattr(pairs, "now", lambda days=days: certificates_now() + datetime.timedelta(days=days))
        assert any(words in told for _, told in faults(whole, trusted=trusted)), words


def certificates_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def test_key_with_a_password_is_refused(authority: Authority) -> None:
    key = serialization.load_pem_private_key(authority.issue(SITE).key.encode(), None)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked = key.private_bytes(*form, serialization.BestAvailableEncryption(b"word")).decode()
    ((part, told),) = faults(Pair(authority.issue(SITE).chain, locked), trusted=(authority.certificate,))
    assert part == "key" and "is encrypted" in told


def problems(check: str, **variables: Any) -> list[tuple[str, str]]:
    """Return what a check says of a host."""
    given = {"nginx_server_names": SITE, "certificate_names": SITE, "base_ca_certificates": [], **variables}
    host = HostView("app1", given, {}, Templar())
    return [(one.variable, one.fault) for one in getattr(preflight_certificate, check)(host)]


@pytest.mark.parametrize(
    ("given", "variable", "fault"),
    [
        ({"nginx_server_names": ["_"]}, "nginx_server_names", "no certificate can be for every name"),
        ({"nginx_server_names": [], "certificate_names": []}, "certificate_names", "is empty"),
        ({"certificate_names": ["www.example.org"]}, "certificate_names", "lacks 192.0.2.7"),
        ({"certificate_names": [*SITE, "https://www"]}, "certificate_names", '"https://www" is not a name'),
        ({"certificate_names": [*SITE, "~^www"]}, "certificate_names", "is not a name"),
    ],
)
def test_names_must_fit(given: dict[str, Any], variable: str, fault: str) -> None:
    ((told, why),) = problems("certificate_names", certificate_source="self_signed", **given)
    assert told == variable and fault in why
    assert problems("certificate_names", certificate_source="none", **given) == []


def test_names_that_fit() -> None:
    for more in ("*.example.org", "localhost", "fd00::1", "my_host.local"):
        given = {"certificate_source": "self_signed", "certificate_names": [*SITE, more]}
        assert problems("certificate_names", **given) == []


def test_provided_certificate_is_judged(authority: Authority) -> None:
    pair = authority.issue(SITE)
    given = {"certificate_source": "provided", "certificate_chain": pair.chain, "certificate_key": pair.key}
    assert problems("certificate_provided", **given, base_ca_certificates=[str(authority.path)]) == []
    ((variable, fault),) = problems("certificate_provided", **given)
    assert variable == "certificate_chain" and "is not complete" in fault
    ((variable, fault),) = problems("certificate_provided", **{**given, "certificate_key": " "})
    assert (variable, fault) == ("certificate_key", "is empty, although certificate_source is provided")
    assert problems("certificate_provided", certificate_source="none") == []


def test_proof_goes_through_tls() -> None:
    given = {"handshake_url": "ws://www.example.org"}
    ((variable, fault),) = problems("certificate_is_proven", certificate_source="provided", **given)
    assert variable == "handshake_url" and "ws://" in fault
    assert problems("certificate_is_proven", certificate_source="none", **given) == []
    assert problems("certificate_is_proven", certificate_source="provided", handshake_url="wss://x") == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, []),
        ({"certificate_names": ["localhost"]}, [("certificate_names", "is not a public name")]),
        ({"certificate_names": ["site.test", "10.0.0.1"]}, [("certificate_names", "is not a public name")] * 2),
        ({"certificate_names": ["site.test"], "certificate_acme_server": "https://ca.test/dir"}, []),
        ({"certificate_names": ["*.example.org"]}, [("certificate_names", "only be certified with a DNS challenge")]),
        ({"certificate_names": ["*.example.org"], "certificate_acme_auth_hook": "hook", "nginx_http_port": 81}, []),
        ({"nginx_http_port": 8080}, [("nginx_http_port", "is 8080")]),
    ],
)
def test_authority_of_the_internet_can_ask(given: dict[str, Any], told: list[tuple[str, str]]) -> None:
    given = {"certificate_names": ["www.example.org", "9.9.9.9"], "nginx_http_port": 80, **given}
    found = problems("certificate_acme", certificate_source="acme", **given)
    assert [variable for variable, _ in found] == [variable for variable, _ in told]
    assert all(words in fault for (_, fault), (_, words) in zip(found, told, strict=True))
    assert problems("certificate_acme", certificate_source="provided", **given) == []


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[str]]]:
    """What this machine's DNS knows."""
    answers = {"www.example.org": ["192.0.2.7"], "both.example.org": ["192.0.2.7", "2001:db8::7"]}

    def getaddrinfo(name: str, *_: Any, **__: Any) -> list[Any]:
        if name not in answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in answers[name]]

    monkeypatch.setattr(preflight_certificate.socket, "getaddrinfo", getaddrinfo)
    preflight_certificate.looked_up.cache_clear()
    yield answers
    preflight_certificate.looked_up.cache_clear()


def names_problems(*names: str, **more: Any) -> list[tuple[str, str]]:
    given = {"certificate_source": "acme", "certificate_acme_check_names": True, "ansible_host": "192.0.2.7",
             "release_app": "shop", "groups": {"app": ["app1"]}, **more}  # fmt: skip
    return problems("certificate_names_lead_here", **{**given, "certificate_names": list(names)})


def test_names_that_lead_elsewhere_are_told_at_once(known: dict[str, list[str]]) -> None:
    known["elsewhere.example.org"] = ["198.51.100.9"]
    names = ("www.example.org", "elsewhere.example.org", "nowhere.example.org", "203.0.113.1", "both.example.org")
    found = names_problems(*names)
    assert {variable for variable, _ in found} == {"certificate_names"}
    assert [fault for _, fault in found] == [
        '"elsewhere.example.org" leads to 198.51.100.9, and the site\'s hosts have 192.0.2.7',
        '"nowhere.example.org" has no address, as seen from this machine (Name or service not known)',
        '"203.0.113.1" leads to 203.0.113.1, and the site\'s hosts have 192.0.2.7',
        '"both.example.org" leads to 2001:db8::7, and the site\'s hosts have 192.0.2.7',
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"certificate_acme_check_names": False},
        {"certificate_acme_auth_hook": "/bin/put"},
        {"certificate_source": "self_signed"},
        {PROBE: {"stdout": 'ordered:shop=["--cert-name=shop", "--domain=nowhere.example.org"]\n'}},
    ],
)
def test_names_that_need_not_lead_here(known: dict[str, list[str]], more: dict[str, Any]) -> None:
    assert names_problems("nowhere.example.org", **more) == []
    assert len(names_problems("nowhere.example.org")) == 1


def test_name_may_lead_to_any_of_the_sites_hosts(known: dict[str, list[str]]) -> None:
    """By what SSH knows, what the inventory says and what hosts have, in any writing; of edges if there are any."""
    known["mixed.example.org"] = ["198.51.100.1", "10.0.0.2"]
    known["edge.example.org"] = ["203.0.113.3", "2001:db8:0::4"]
    assert names_problems("*.example.org", "www.example.org") == []
    hosts = {
        "app1": {"ansible_host": "198.51.100.1"},
        "app2": {"ansible_host": "app2.example.org", "private_address": "10.0.0.2"},
        "edge": {PROBE: {"stdout": "addresses=203.0.113.3 2001:db8::4 \n"}},
    }  # fmt: skip
    groups = {"app": ["app1", "app2"], "proxy": ["edge"], "redis": ["app1"]}
    alone = {**groups, "proxy": []}
    assert names_problems("edge.example.org", groups=groups, hostvars=hosts) == []
    assert names_problems("mixed.example.org", groups=alone, hostvars=hosts) == []
    ((_, fault),) = names_problems("edge.example.org", groups=alone, hostvars=hosts)
    assert "leads to 203.0.113.3 and 2001:db8::4, and" in fault
    ((_, fault),) = names_problems("mixed.example.org", groups=groups, hostvars=hosts)
    assert "leads to 10.0.0.2, and" in fault


def test_keys_are_kept_outside_of_repositories(tmp_path: Path) -> None:
    (tmp_path / "site" / ".git").mkdir(parents=True)
    given = {"certificate_source": "acme", "certificate_acme_keep": f"{tmp_path}/site/inventories/kept"}
    ((variable, fault),) = problems("certificate_is_kept_apart", **given)
    assert variable == "certificate_acme_keep" and f"is in the git repository {tmp_path}/site" in fault
    assert problems("certificate_is_kept_apart", **{**given, "certificate_acme_keep": f"{tmp_path}/kept"}) == []
    assert problems("certificate_is_kept_apart", **{**given, "certificate_acme_keep": ""}) == []
    assert problems("certificate_is_kept_apart", **{**given, "certificate_source": "none"}) == []
