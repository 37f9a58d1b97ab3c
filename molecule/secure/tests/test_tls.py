"""TLS as browsers see it: which certificate, for whom, in which versions, and what is left without it."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_host import LabHost, Run, echoes
from playwright.sync_api import sync_playwright
from secure_site import AUTHORITY, NAMES, PARTS, Authority, Pair, get, greet, loose, opened, port_of, trusting

# What testssl.sh says about a private authority, and would not say about a site on the internet.
LABS_OWN = {
    "cert_revocation": "the lab's authority has nowhere to ask whether a certificate is revoked",
}
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
# Notes the addresses of the page's sockets.
WATCH = """
window.noted = [];
window.WebSocket = class extends WebSocket {
  constructor(...given) { super(...given); window.noted.push(this.url.split("?")[0]); }
};
"""


def test_page_and_socket_over_tls(lab: LabHost) -> None:
    assert get(lab, "/")[0] == 200
    with opened(lab) as websocket:
        assert echoes(websocket)


def test_nothing_is_served_without_tls(lab: LabHost) -> None:
    """Pages are redirected, with their query and for all methods; a WebSocket cannot be, and is told why."""
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
    """TLS 1.2 and 1.3, nothing older, and for 1.2 only ciphers with forward secrecy; pages use HTTP/2."""
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


def test_nothing_that_testssl_calls_worse_than_low(lab: LabHost, tmp_path: Path) -> None:
    """Protocols, ciphers and their order, the certificate, headers, and every attack that has a name."""
    found = tmp_path / "found.json"
    parts = ["-p", "-s", "-f", "-P", "-S", "-h", "-U", "--openssl-timeout", "60"]
    subprocess.run(
        ["testssl", "--quiet", "--color", "0", "--warnings", "off", *parts, "--add-ca", str(AUTHORITY), "--ip",
         "127.0.0.1", "--jsonfile", str(found), f"https://localhost:{port_of(lab)}/"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    told = {entry["id"]: (entry["severity"], entry["finding"]) for entry in json.loads(found.read_text())}
    # Debian 12's testssl.sh still says perfect forward secrecy.
    assert told.keys() & {"FS", "PFS"}, "testssl.sh has not come to forward secrecy"
    for part in ("TLS1_3", "cipher_order", "cert_chain_of_trust", "BREACH", "heartbleed", "ROBOT"):
        assert told[part], f"testssl.sh has not come to {part}"
    bad = {name: text for name, text in told.items() if text[0] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")}
    assert bad.keys() <= LABS_OWN.keys(), bad


def test_browser_trusts_page_and_socket(lab: LabHost, tmp_path: Path) -> None:
    """One browser knows the authority, as a person would add it, and nothing else; the other one doesn't."""
    store = f"sql:{tmp_path}/.pki/nssdb"
    (tmp_path / ".pki" / "nssdb").mkdir(parents=True)
    subprocess.run(["certutil", "-N", "-d", store, "--empty-password"], check=True)
    subprocess.run(["certutil", "-A", "-d", store, "-t", "C,,", "-n", "lab", "-i", AUTHORITY], check=True)
    address = f"localhost:{port_of(lab)}"
    with sync_playwright() as playwright:
        start = {"executable_path": shutil.which("chromium"), "args": QUIET}
        browser = playwright.chromium.launch(**start, env={"HOME": str(tmp_path)})
        page, said = browser.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.on("requestfailed", lambda request: said.append(request.url.split("?")[0]))
        page.add_init_script(WATCH)
        page.goto(f"https://{address}/#token={lab.token()}")
        page.wait_for_selector("body[data-state=open]")
        assert page.evaluate("window.isSecureContext") and page.evaluate("window.noted")[0].startswith(
            f"wss://{address}/"
        )
        assert not [text for text in said if "mixed" in text.lower() or text.startswith("http")], said
        browser.close()
        (tmp_path / "other").mkdir()
        browser = playwright.chromium.launch(**start, env={"HOME": str(tmp_path / "other")})
        with pytest.raises(Exception, match="ERR_CERT_AUTHORITY_INVALID"):
            browser.new_page().goto(f"https://{address}/")
        browser.close()


def test_key_is_roots(lab: LabHost) -> None:
    shown = lab.run("stat --format='%a %U:%G' /etc/dashboard/certificate/privkey.pem").strip()
    assert shown == "600 root:root"


@pytest.fixture
def given(lab: LabHost, tmp_path: Path) -> Iterator[tuple[Pair, Path]]:
    """A certificate from another authority, and a file of variables with it; at the end the lab's own serves again."""
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
    """It is installed without losing a socket, and every answer tells browsers to stay with https."""
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
    """All faults are reported at once."""
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
    """Like a browser that doesn't know the authority."""
    system = "handshake_ca_path=/etc/ssl/certs/ca-certificates.crt"
    run = Run("playbooks/handshake.yml", "--limit", lab.name, "-e", system, "-e", "handshake_idle_seconds=0")
    assert run.code and "E024_CERT_UNTRUSTED" in run.output


def test_doctor_knows_the_authority(lab: LabHost) -> None:
    given = ("-e", "doctor_idle_seconds=0", "-e", "doctor_fail=true")
    assert Run("playbooks/doctor.yml", "--limit", lab.name, *given).code == 0
    run = Run(
        "playbooks/doctor.yml", "--limit", lab.name, *given, "-e", "doctor_ca_path=/etc/ssl/certs/ca-certificates.crt"
    )
    assert run.code and "E024_CERT_UNTRUSTED" in run.output
