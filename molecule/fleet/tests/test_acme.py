"""Edges order certificates from a real ACME server, each its own, and answer for each other."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from fleet import Fleet, playbook
from lab_host import LabHost, echoes

CERTIFICATE = "/etc/dashboard/certificate/fullchain.pem"
SITE = ["site.test", "localhost"]
SERVER = "https://localhost:14000/dir"
PEBBLE = {
    "listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000", "httpPort": 80, "tlsPort": 443,
    "certificate": "/etc/pebble/cert.pem", "privateKey": "/etc/pebble/key.pem", "ocspResponderURL": "",
    "externalAccountBindingRequired": False,
}  # fmt: skip
# Runs on an edge, with the address of the other one: an authority that asks the other edge for site.test, and that
# the edge trusts as it would trust a company's own.
AUTHORITY = """
set -e
DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends pebble
mkdir -p /etc/pebble
[ -e /etc/pebble/cert.pem ] || openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \\
    -addext subjectAltName=DNS:localhost -keyout /etc/pebble/key.pem -out /etc/pebble/cert.pem
cp /etc/pebble/cert.pem /usr/local/share/ca-certificates/pebble.crt
update-ca-certificates
cp /etc/hosts /etc/pebble/hosts
echo "$1 site.test" >> /etc/hosts
echo "$2" > /etc/pebble/config
systemd-run --unit=pebble --setenv=PEBBLE_VA_NOSLEEP=1 --setenv=PEBBLE_WFE_NONCEREJECT=0 \\
    pebble -config /etc/pebble/config
for _ in $(seq 1200); do ss -ltn | grep -q :14000 && exit; sleep 0.1; done
exit 1
"""
END = """
systemctl stop pebble
systemctl reset-failed pebble 2>/dev/null
cp /etc/pebble/hosts /etc/hosts
rm -rf /etc/letsencrypt /etc/pebble /usr/local/share/ca-certificates/pebble.crt
update-ca-certificates --fresh
"""
FORCED = "channels-renew --force-renewal"


def unverified() -> ssl.SSLContext:
    """What takes any certificate: this machine does not know the authority."""
    context = ssl.create_default_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # as fleet.py's
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def served(lab: Fleet, edge: LabHost) -> bytes:
    """The certificate that an edge serves to browsers."""
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(lab.place(edge.name)))


def installed(edge: LabHost) -> bytes:
    """The certificate that an edge has."""
    return ssl.PEM_cert_to_DER_cert(edge.run(f"openssl x509 -in {CERTIFICATE}"))


def challenges(edge: LabHost) -> int:
    """How many challenges an edge has passed on, according to its log."""
    return int(edge.run("journalctl --no-pager --unit=haproxy | grep -c ' acme/' || true"))


@pytest.fixture(scope="module")
def acme(lab: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Edges with certificates that they have ordered; at the end they have those of the lab again."""
    inventory = tmp_path_factory.mktemp("acme") / "acme.yml"
    values = {
        "certificate_source": "acme", "certificate_acme_server": SERVER, "certificate_acme_check_names": False,
        "nginx_server_names": SITE,
    }  # fmt: skip
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {edge.name: values for edge in lab.edges}}}))
    first, second = lab.edges
    trusting = lab.tls
    try:
        for edge, other in ((first, second), (second, first)):
            config = json.dumps({"pebble": PEBBLE})
            edge.run(f"sh -s -- %s %s <<'END'\n{AUTHORITY}\nEND", lab.address(other.name), config)
        with lab.sockets(3) as websockets:
            done = playbook(*ordering(inventory))
            assert all(done.changed(edge.name) for edge in lab.edges)
            assert all(echoes(websocket) for _, websocket in websockets), "the first order has cost a socket"
        lab.inventory, lab.tls = inventory, unverified()
        yield lab
    finally:
        lab.tls = trusting
        for edge in lab.edges:
            edge.host.run(END)
        playbook("playbooks/provision.yml", "--limit", "proxy")
        assert all(lab.page(edge).status == 200 for edge in lab.edges), "the lab's certificate is not back"


def ordering(inventory: Path) -> tuple[str, ...]:
    """The arguments of a run that has the edges order."""
    return ("playbooks/provision.yml", "--limit", "proxy", "-i", str(inventory))


def test_each_edge_has_a_certificate_of_its_own(acme: Fleet) -> None:
    """The authority of each asked the other edge for one of the names, so both have passed challenges on."""
    found = {edge.name: installed(edge) for edge in acme.edges}
    assert len(set(found.values())) == 2
    for edge in acme.edges:
        told = edge.run(f"openssl x509 -in {CERTIFICATE} -noout -issuer -ext subjectAltName")
        assert "Pebble" in told and all(f"DNS:{name}" in told for name in SITE)
        assert served(acme, edge) == found[edge.name]
        assert challenges(edge) > 0
        assert edge.run("stat --format='%a %U' /etc/dashboard/certificate/privkey.pem").strip() == "600 root"
        assert not edge.run("find /etc/letsencrypt -name '*.pem' -path '*archive*' -name 'privkey*' -perm /077").strip()


def test_second_run_orders_nothing(acme: Fleet) -> None:
    done = playbook(*ordering(acme.inventory))
    assert [done.changed(edge.name) for edge in acme.edges] == [0, 0], done.output


def test_other_pages_still_lead_to_tls(acme: Fleet) -> None:
    """And a challenge that no edge knows leads nowhere."""
    for edge in acme.edges:
        assert acme.page(edge, "/", port=80, Host="localhost").status == 308
        # HAProxy hangs up where it cannot connect to the last one that it asks.
        with contextlib.suppress(http.client.RemoteDisconnected):
            unknown = acme.page(edge, "/.well-known/acme-challenge/none", port=80, Host="localhost")
            assert unknown.status in (404, 502, 503)


def test_edges_renew_at_the_same_time(acme: Fleet) -> None:
    """As their timers may: each is answered by its own certbot, and no socket is lost when HAProxy reloads."""
    before = {edge.name: installed(edge) for edge in acme.edges}
    with acme.sockets(5) as websockets:
        for _ in range(3):
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda edge: edge.run(FORCED), acme.edges))
            for edge in acme.edges:
                new = installed(edge)
                assert new != before[edge.name], "it was not renewed"
                assert served(acme, edge) == new
                before[edge.name] = new
        assert all(echoes(websocket) for _, websocket in websockets), "a renewal has cost a socket"


def test_timer_renews_nothing_that_is_not_due(acme: Fleet) -> None:
    for edge in acme.edges:
        before = installed(edge)
        assert edge.run("systemctl is-enabled channels-certificates.timer").strip() == "enabled"
        edge.run("systemctl start channels-certificates.service")
        assert installed(edge) == before


def test_status_shows_the_certificates(acme: Fleet) -> None:
    done = playbook("playbooks/status.yml", "--limit", "proxy", "-i", str(acme.inventory))
    assert done.output.count("HAProxy serves it") == 2 and ": went well" in done.output, done.output
