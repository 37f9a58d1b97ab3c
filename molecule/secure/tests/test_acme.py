"""A certificate of a real ACME server, with its validation on: ordered, renewed, refused, and with one more name."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_host import ROOT, LabHost, Run, echoes
from secure_site import PARTS, Authority, greet, loose, names_of, opened, port_of, read_chain, scores, trusting
from websockets.sync.client import ClientConnection, connect

CERTIFICATE = "/etc/dashboard/certificate/fullchain.pem"
# A unit may not be started so often in so short a time.
RENEW = "systemctl reset-failed channels-certificates 2>/dev/null; systemctl start channels-certificates.service"
CERTBOT = "REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt /opt/certbot/bin/certbot"
LINEAGE = "/etc/letsencrypt/renewal/dashboard.conf"


class Acme:
    """Pebble on the host itself, which knows the site's names from its hosts file."""

    def __init__(self, lab: LabHost, folder: Path) -> None:
        self.lab, self.variables = lab, folder / "acme.json"
        self.first: Run
        self.kept = False
        authority = Authority(ROOT / ".lab" / "authority")
        pair = authority.issue(["localhost"])
        lab.run("DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends pebble")
        lab.run("mkdir -p /etc/pebble")
        for name, text in (("cert.pem", pair.chain), ("key.pem", pair.key)):
            lab.run(f"printf %s %s > /etc/pebble/{name}", "%s", text)
        # What a company's own authority is to a host.
        lab.run("printf %s %s > /usr/local/share/ca-certificates/pebble.crt", "%s", authority.path.read_text())
        lab.run("update-ca-certificates && echo '127.0.0.1 site.test www.site.test' >> /etc/hosts")
        self.start()

    def start(self, port: int = 14000, **more: Any) -> str:
        """Start an authority, which forgets all accounts and orders when it ends; return its directory."""
        config = {
            "listenAddress": f"127.0.0.1:{port}", "managementListenAddress": f"127.0.0.1:{port + 1000}", "httpPort": 80,
            "tlsPort": 443, "certificate": "/etc/pebble/cert.pem", "privateKey": "/etc/pebble/key.pem",
            "ocspResponderURL": "", "externalAccountBindingRequired": False, **more,
        }  # fmt: skip
        self.lab.run(f"printf %s %s > /etc/pebble/{port}", "%s", json.dumps({"pebble": config}))
        # By itself it refuses one in twenty nonces, for clients that do not try again; certbot does, but once.
        given = "--setenv=PEBBLE_VA_NOSLEEP=1 --setenv=PEBBLE_WFE_NONCEREJECT=0"
        run = f"systemd-run --unit=pebble-{port} {given} pebble -config /etc/pebble/{port}"
        self.lab.run(f"{run} && for _ in $(seq 50); do ss -ltn | grep -q :{port} && exit; sleep 0.1; done; exit 1")
        return f"https://localhost:{port}/dir"

    def stop(self, port: int = 14000) -> None:
        """Have it out of reach."""
        self.lab.run(f"systemctl stop pebble-{port}; systemctl reset-failed pebble-{port} 2>/dev/null || true")

    @contextlib.contextmanager
    def another(self, port: int, **more: Any) -> Iterator[str]:
        """Have another authority for a while; give its directory."""
        try:
            yield self.start(port, **more)
        finally:
            self.stop(port)

    def site(self, *names: str, **more: Any) -> Run:
        """Provision the site with these names."""
        self.variables.write_text(json.dumps({
            "certificate_source": "acme", "certificate_acme_server": "https://localhost:14000/dir",
            "nginx_server_names": names, "nginx_hsts_seconds": 0, **more,
        }))  # fmt: skip
        return Run(*PARTS, self.lab.name, "-e", f"@{self.variables}")

    def served(self, name: str) -> bytes:
        """Return the certificate that nginx serves for a name."""
        with greet(self.lab, loose(), name) as way:
            return way.getpeercert(binary_form=True) or b""

    def der(self) -> bytes:
        """Return the certificate that is there."""
        return ssl.PEM_cert_to_DER_cert(self.lab.run(f"openssl x509 -in {CERTIFICATE}"))

    def await_served(self, name: str, certificate: bytes) -> None:
        """Wait until nginx serves a certificate: old workers accept until they have heard of the reload."""
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(ssl.SSLError):
                if self.served(name) == certificate:
                    return
            assert time.monotonic() < deadline, f"nginx does not serve the certificate that is there for {name}"
            time.sleep(0.1)

    def opened(self) -> ClientConnection:
        """Open a WebSocket of the site, whoever has issued its certificate."""
        way = socket.create_connection(("127.0.0.1", port_of(self.lab)), timeout=10)
        url = f"wss://site.test/ws/dashboard/?token={self.lab.token()}"
        return connect(url, sock=way, ssl=loose(), open_timeout=10, ping_interval=None, proxy=None)

    def names(self) -> set[str]:
        """Return the names of the certificate that is there, which Pebble has issued."""
        site = read_chain(self.lab.run(f"cat {CERTIFICATE}"))[0]
        assert "Pebble" in site.issuer.rfc4514_string()
        return set(names_of(site))


@pytest.fixture(scope="module")
def acme(lab: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    """A site with a certificate of Pebble; at the end, the lab's own serves again."""
    made = Acme(lab, tmp_path_factory.mktemp("acme"))
    with opened(lab) as websocket:
        made.first = made.site("site.test")
        made.kept = made.first.code == 0 and echoes(websocket)
    yield made
    made.stop()
    Run(*PARTS, lab.name).changed(lab.name)
    with greet(lab, trusting()):
        pass


def test_renewal_is_confined(acme: Acme) -> None:
    """As systemd judges it; that it renews and reloads nginx from there is what the other tests see."""
    assert scores(acme.lab)["channels-certificates.service"] <= 1.5


def test_certificate_is_issued(acme: Acme) -> None:
    """Without a moment in which the site does not serve."""
    assert acme.first.changed(acme.lab.name) > 0
    assert acme.kept, "a socket was lost on the way"
    assert acme.names() == {"site.test"}
    acme.await_served("site.test", acme.der())
    assert acme.site("site.test").changed(acme.lab.name) == 0
    assert acme.lab.run("stat --format='%a %U' /etc/dashboard/certificate/privkey.pem").strip() == "600 root"


def test_certificate_that_is_not_due_is_not_renewed(acme: Acme) -> None:
    before = acme.served("site.test")
    assert acme.lab.run("systemctl is-enabled channels-certificates.timer").strip() == "enabled"
    acme.lab.run("systemctl is-active channels-certificates.timer")
    acme.lab.run(RENEW)
    assert acme.served("site.test") == before


def test_certificate_is_renewed_when_the_authority_says_so(acme: Acme) -> None:
    """Long before it ends, by ACME Renewal Information, such as when the authority has to revoke what it has issued.

    For certificates of an hour, Pebble names the day before and the day after. Certbot takes a moment of these at each
    run, and by itself would wait for the last 20 minutes.
    """
    if acme.lab.name.endswith("bookworm"):
        pytest.skip("Debian 12's Pebble knows no renewal information")
    with acme.another(14001, certificateValidityPeriod=3600) as server:
        assert acme.site("site.test", certificate_acme_server=server).changed(acme.lab.name) > 0
        before = acme.lab.run(f"cat {CERTIFICATE}")
        with acme.opened() as websocket:
            for _ in range(60):
                acme.lab.run(f"sed -i /ari_retry_after/d {LINEAGE}; {RENEW}")
                if acme.lab.run(f"cat {CERTIFICATE}") != before:
                    break
            else:
                pytest.fail(acme.lab.run("tail -60 /var/log/letsencrypt/letsencrypt.log"))
            assert echoes(websocket), "a renewal has cost a socket"
    assert acme.site("site.test").changed(acme.lab.name) > 0, "another authority is asked from now on"


def test_renewal_that_is_forced(acme: Acme) -> None:
    before = acme.served("site.test")
    with acme.opened() as websocket:
        acme.lab.run(f"{CERTBOT} renew --force-renewal --no-random-sleep-on-renew")
        assert acme.der() != before
        acme.await_served("site.test", acme.der())
        assert echoes(websocket), "a renewal has cost a socket"


def test_second_name_is_added(acme: Acme) -> None:
    assert acme.site("site.test", "www.site.test").changed(acme.lab.name) > 0
    assert acme.names() == {"site.test", "www.site.test"}
    acme.await_served("www.site.test", acme.der())
    assert acme.served("site.test") == acme.der()


def test_order_that_is_refused_changes_no_certificate(acme: Acme) -> None:
    """The name leads nowhere; the run fails, says why, and is tried again by the next."""
    before = acme.served("site.test")
    for _ in range(2):
        run = acme.site("site.test", "nowhere.test")
        told = " ".join(run.output.split())
        assert run.code and "No certificate was issued for site.test, nowhere.test" in told, run.output
        assert "Each name must lead to this host" in told
        assert acme.served("site.test") == before


def test_authority_that_cannot_be_reached(acme: Acme) -> None:
    before = acme.served("site.test")
    acme.stop()
    try:
        run = acme.site("site.test", certificate_acme_email="ops@example.org")
        assert run.code and "the one that is there serves on" in " ".join(run.output.split())
        done = acme.lab.host.run(f"{CERTBOT} renew --force-renewal --no-random-sleep-on-renew")
        assert done.rc and acme.served("site.test") == before
    finally:
        acme.start()
