"""TLS as browsers meet it: which certificate, for whom, in which versions, and what is left without it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_host import LabHost, Run, echoes
from secure_site import NAMES, PARTS, Authority, Pair, get, greet, loose, opened, trusting


def test_page_and_socket_over_tls(lab: LabHost) -> None:
    assert get(lab, "/")[0] == 200
    with opened(lab) as websocket:
        assert echoes(websocket)


def test_nothing_is_served_without_tls(lab: LabHost) -> None:
    """Pages are led on, with their query and for all methods alike; a WebSocket, which is not, is told why."""
    status, headers, _ = lab.get("/a%20b/?c=d")
    assert (status, headers["location"]) == (308, "https://localhost/a%20b/?c=d")
    handshake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    status, headers, body = lab.get(
        f"/ws/dashboard/?token={lab.token()}", Sec_WebSocket_Key="A" * 22 + "==", **handshake
    )
    assert status == 403 and "location" not in headers and "wss://" in body
    local = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000/health/').status)"
    assert lab.python(local).strip() == "200", "an operator on the host needs no certificate"


@pytest.mark.parametrize("name", ["other.test", None])
def test_unknown_names_get_no_certificate(lab: LabHost, name: str | None) -> None:
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        greet(lab, loose(), name)


def test_certificate_is_for_the_site(lab: LabHost) -> None:
    for name in NAMES:
        with greet(lab, trusting(), name) as way:
            assert {value for _, value in way.getpeercert()["subjectAltName"]} == set(NAMES)
    with pytest.raises(ssl.SSLCertVerificationError):
        greet(lab, ssl.create_default_context())


def test_versions_and_ciphers(lab: LabHost) -> None:
    """TLS 1.2 and 1.3, no older one, and of 1.2 only ciphers that are not broken later; pages by HTTP/2."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trusting()
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2", "http/1.1"])
        with greet(lab, context) as way:
            assert way.selected_alpn_protocol() == "h2"
    for ciphers in ("ECDHE+AES+SHA256:ECDHE+AES+SHA:@SECLEVEL=0", "AES128-GCM-SHA256:@SECLEVEL=0"):
        context = loose(maximum_version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(ciphers)
        offered = [
            one["name"] for one in context.get_ciphers() if "GCM" not in one["name"] or ciphers.startswith("AES")
        ]
        context.set_ciphers(":".join(offered) + ":@SECLEVEL=0")
        with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
            greet(lab, context)
    old = loose(maximum_version=ssl.TLSVersion.TLSv1_2)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        greet(lab, old)


def test_key_is_roots(lab: LabHost) -> None:
    shown = lab.run("stat --format='%a %U:%G' /etc/dashboard/certificate/privkey.pem").strip()
    assert shown == "600 root:root"


@pytest.fixture
def given(lab: LabHost, tmp_path: Path) -> Iterator[tuple[Pair, Path]]:
    """A certificate of another authority, and a file of variables with it; the lab's own serves again at the end."""
    authority = Authority(tmp_path / "company")
    pair = authority.issue(NAMES)
    file = tmp_path / "given.json"
    chain = pair.chain + authority.path.read_text()
    file.write_text(json.dumps({
        "certificate_source": "provided", "certificate_chain": chain, "certificate_key": pair.key,
        "nginx_hsts_subdomains": True,
    }))  # fmt: skip
    yield pair, authority.path
    Run(*PARTS, lab.name).changed(lab.name)
    assert get(lab, "/")[0] == 200


def test_certificate_that_is_given(lab: LabHost, given: tuple[Pair, Path], tmp_path: Path) -> None:
    """It comes without a socket lost, and browsers are told to stay with https, by every answer."""
    pair, authority = given
    with opened(lab) as websocket:
        run = Run(*PARTS, lab.name, "-e", f"@{tmp_path}/given.json")
        assert run.changed(lab.name) > 0
        assert pair.key.splitlines()[1] not in run.output
        assert echoes(websocket), "a socket was lost with the certificate of before"
    context = trusting(authority)
    with opened(lab, context=context) as websocket:
        assert echoes(websocket)
    with pytest.raises(ssl.SSLCertVerificationError):
        greet(lab, trusting())
    static = lab.run("cd /srv/dashboard/live/static && find . -name '*.css' | head -1").strip()[2:]
    for path in ("/", "/missing/", f"/static/{static}", "/static/missing.css"):
        assert get(lab, path, context)[1]["strict-transport-security"] == "max-age=31536000; includeSubDomains", path
    again = Run(*PARTS, lab.name, "-e", f"@{tmp_path}/given.json")
    assert again.changed(lab.name) == 0


def test_certificate_that_cannot_serve_changes_nothing(lab: LabHost, given: tuple[Pair, Path], tmp_path: Path) -> None:
    """All that is wrong is told at once."""
    wrong = json.loads((tmp_path / "given.json").read_text())
    wrong["certificate_key"] = Authority(tmp_path / "other").issue(NAMES).key
    wrong["certificate_chain"] = (tmp_path / "company" / "authority.crt").read_text()
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    before = lab.run("sha256sum /etc/dashboard/certificate/*")
    run = Run(*PARTS, lab.name, "-e", f"@{tmp_path}/wrong.json")
    told = " ".join(run.output.split())
    assert run.code and "nothing was changed" in told
    assert "is not the key of the certificate" in told and "and not for localhost, site.test" in told
    assert lab.run("sha256sum /etc/dashboard/certificate/*") == before


def test_proof_judges_the_certificate(lab: LabHost) -> None:
    """As a browser that does not know the authority."""
    system = "handshake_ca_path=/etc/ssl/certs/ca-certificates.crt"
    run = Run("playbooks/verify.yml", "--limit", lab.name, "-e", system, "-e", "handshake_idle_seconds=0")
    assert run.code and "E024_CERT_UNTRUSTED" in run.output


def test_doctor_knows_the_authority(lab: LabHost) -> None:
    given = ("-e", "doctor_idle_seconds=0", "-e", "doctor_fail=true")
    assert Run("playbooks/doctor.yml", "--limit", lab.name, *given).code == 0
    run = Run(
        "playbooks/doctor.yml", "--limit", lab.name, *given, "-e", "doctor_ca_path=/etc/ssl/certs/ca-certificates.crt"
    )
    assert run.code and "E024_CERT_UNTRUSTED" in run.output
