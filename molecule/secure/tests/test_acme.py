"""A certificate from a real ACME server that does validate: ordered, renewed, refused, and with one more name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from lab_fixtures import HOSTS
from lab_host import ROOT, LabHost, Run, echoes
from pebble import CERTIFICATE, Acme
from secure_site import PARTS, greet, loose, opened, scores, trusting
from vault_inventory import Vault

# systemd limits how often a unit may be started in so short a time.
RENEW = "systemctl reset-failed channels-certificates 2>/dev/null; systemctl start channels-certificates.service"
FORCED = "channels-renew --force-renewal"
LINEAGE = "/etc/letsencrypt/renewal/dashboard.conf"
SITE = ("site.test", "localhost")
DOCTOR = ("-e", "doctor_idle_seconds=0", "-e", "doctor_fail=true", "-e", "doctor_validate_certs=false")


@pytest.fixture(scope="module")
def acme(lab: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    """A site with a certificate from Pebble; at the end, it serves the lab's own again."""
    made = Acme(lab, tmp_path_factory.mktemp("acme"))
    with opened(lab) as websocket:
        made.first = made.site(*SITE)
        made.kept = made.first.code == 0 and echoes(websocket)
    yield made
    made.stop()
    Run(*PARTS, lab.name).changed(lab.name)
    with greet(lab, trusting()):
        pass


def test_renewal_is_confined(acme: Acme) -> None:
    """According to systemd; the other tests show that it renews and reloads nginx from within its sandbox."""
    assert scores(acme.lab)["channels-certificates.service"] <= 1.5


def status(acme: Acme) -> Run:
    return Run("playbooks/status.yml", "--limit", acme.lab.name)


def test_certificate_is_issued(acme: Acme) -> None:
    """The site keeps serving all the time."""
    assert acme.first.changed(acme.lab.name) > 0
    assert acme.kept, "a socket was lost on the way"
    assert acme.names() == set(SITE)
    acme.await_served("site.test", acme.der())
    assert acme.site(*SITE).changed(acme.lab.name) == 0
    assert acme.lab.run("stat --format='%a %U' /etc/dashboard/certificate/privkey.pem").strip() == "600 root"


def test_certificate_that_is_not_due_is_not_renewed(acme: Acme) -> None:
    before = acme.served("site.test")
    assert acme.lab.run("systemctl is-enabled channels-certificates.timer").strip() == "enabled"
    acme.lab.run("systemctl is-active channels-certificates.timer")
    acme.lab.run(RENEW)
    assert acme.served("site.test") == before
    run = status(acme)
    assert run.code == 0 and "nginx serves it" in run.output and ": went well" in run.output, run.output
    assert re.search(r"certificate: acme, for site\.test, localhost", run.output)
    assert re.search(r"until \d{4}-\d\d-\d\d \d\d:\d\d UTC: \d+ days left", run.output)


def test_certificate_is_renewed_when_the_authority_says_so(acme: Acme) -> None:
    """Long before it expires, by ACME Renewal Information, for example if the authority has to revoke certificates.

    For certificates that last an hour, Pebble names the day before and the day after. Certbot picks a moment in that
    window at each run, and by itself would wait for the last 20 minutes.
    """
    if acme.lab.name.endswith("bookworm"):
        pytest.skip("Debian 12's Pebble knows no renewal information")
    with acme.another(14001, certificateValidityPeriod=3600) as server:
        assert acme.site(*SITE, certificate_acme_server=server).changed(acme.lab.name) > 0
        before = acme.lab.run(f"cat {CERTIFICATE}")
        with acme.opened() as websocket:
            for _ in range(60):
                acme.lab.run(f"sed -i /ari_retry_after/d {LINEAGE}; {RENEW}")
                if acme.lab.run(f"cat {CERTIFICATE}") != before:
                    break
            else:
                pytest.fail(acme.lab.run("tail -60 /var/log/letsencrypt/letsencrypt.log"))
            assert echoes(websocket), "a renewal has cost a socket"
    assert acme.site(*SITE).changed(acme.lab.name) > 0, "another authority is asked from now on"


def test_renewals_in_the_midst_of_a_deploy_and_a_rotation(acme: Acme, tmp_path: Path) -> None:
    """All at once, with forced renewals one after another: no handshake fails, no socket is lost, and all end well."""
    lab, before = acme.lab, acme.served("site.test")
    generation = lab.run("readlink -f /srv/dashboard/live").strip()
    sites = yaml.safe_load((ROOT / "molecule/secure/inventory/hosts.yml").read_text())["all"]["hosts"]
    secrets = sites[lab.name]["release_secrets"] | {
        "JWT_SECRET": "{{ vault_jwt_secret }}", "JWT_SECRET_PREVIOUS": "{{ vault_jwt_secret_previous | default('') }}",
    }  # fmt: skip
    old = lab.environment()["JWT_SECRET"]
    vault = Vault(tmp_path, {"vault_jwt_secret": old}, {name: {"release_secrets": secrets} for name in sites})
    runs = (
        ("playbooks/deploy.yml", *vault.options, "-e", "asgi_ping_interval=19"),
        ("playbooks/rotate_secrets.yml", *vault.options, "-e", "rotate_secrets=jwt"),
    )
    renewing = f"touch /run/renewing; while [ -e /run/renewing ]; do {FORCED} || exit 1; echo renewed; done"
    lab.run("systemd-run --unit=renewals sh -c %s", renewing)
    try:
        with acme.opened() as websocket, ThreadPoolExecutor(2) as pool:
            going = [pool.submit(Run, *run) for run in runs]
            answers = []
            while not all(run.done() for run in going):
                answers.append(acme.handshake())
            # Whichever comes second to the deploy lock is told who has it, before anything is switched.
            deploy, rotation = (each.result() for each in going)
            assert not (deploy.code and rotation.code), deploy.output + rotation.output
            assert all("is running" in run.output for run in (deploy, rotation) if run.code)
            if rotation.code:  # the next one continues with the values that it created
                assert Run(*runs[1]).changed(lab.name) > 0
            assert echoes(websocket), "a deploy, a rotation or a renewal has cost a socket"
        lab.run("rm /run/renewing; while systemctl is-active --quiet renewals; do sleep 0.2; done")
        renewals = int(lab.run("journalctl --unit=renewals --boot --output=cat | grep -cx renewed"))
        assert set(answers) == {b"HTTP/1.1 101 Switching Protocols\r\n"}
        assert renewals > 1 and len(answers) > 10, f"{renewals} renewals and {len(answers)} handshakes meet no deploy"
        lab.run("! systemctl is-failed --quiet renewals")
        assert lab.run("readlink -f /srv/dashboard/live").strip() != generation, "the deploy has switched nothing"
        Run(*runs[0][:-2]).changed(lab.name)
        values, given = vault.values(), lab.environment()
        assert values["vault_jwt_secret"] not in ("", old) and values["vault_jwt_secret_previous"] == old
        assert [given["JWT_SECRET"], given["JWT_SECRET_PREVIOUS"]] == [values["vault_jwt_secret"], old]
        assert acme.handshake() == b"HTTP/1.1 101 Switching Protocols\r\n"
        assert acme.der() != before
        acme.await_served("site.test", acme.der())
        lab.run("cmp /etc/dashboard/certificate/fullchain.pem /etc/letsencrypt/live/dashboard/fullchain.pem")
    finally:
        lab.run("rm -f /run/renewing; systemctl reset-failed renewals 2>/dev/null || true")
        Run("playbooks/deploy.yml").changed(lab.name)
        for host in HOSTS.values():
            for name in ("live", "units"):
                vars(host).pop(name, None)


def test_failed_renewal_is_seen_and_costs_nothing(acme: Acme) -> None:
    """If the authority is unreachable, the unit fails, the old certificate stays, and status and doctor say so."""
    lab, before = acme.lab, acme.served("site.test")
    acme.stop()
    try:
        with lab.edited(LINEAGE, "1i renew_before_expiry = 9999 days"):
            assert lab.host.run(RENEW).rc, "the unit does not fail"
        assert acme.served("site.test") == before
        run = status(acme)
        assert run.code and "E031_RENEWAL_FAILED" in run.output and "last failed" in run.output, run.output
        run = Run("playbooks/doctor.yml", "--limit", lab.name, *DOCTOR)
        assert run.code and "E031_RENEWAL_FAILED" in run.output and "channels-renew" in run.output, run.output
    finally:
        acme.restart()
    lab.run("systemctl stop channels-certificates.timer")
    run = Run("playbooks/doctor.yml", "--limit", lab.name, *DOCTOR)
    assert run.code and "E033_RENEWAL_OFF" in run.output, run.output
    # The doctor's fix mends it.
    assert acme.site(*SITE).changed(lab.name) > 0
    lab.run(FORCED)
    run = status(acme)
    assert run.code == 0 and "last failed" in run.output, run.output
    run = Run("playbooks/doctor.yml", "--limit", lab.name, *DOCTOR)
    assert run.code == 0, run.output


def test_reload_that_nginx_refused_is_seen_and_made_up_for(acme: Acme) -> None:
    """Somebody's broken file keeps nginx from loading the new certificate, until the next call after it is fixed."""
    lab, before = acme.lab, acme.served("site.test")
    lab.run("echo nonsense > /etc/nginx/conf.d/broken.conf")
    try:
        assert lab.host.run(FORCED).rc
        assert acme.served("site.test") == before != acme.der()
        run = status(acme)
        assert run.code and "E032_CERT_NOT_SERVED" in run.output, run.output
    finally:
        lab.run("rm /etc/nginx/conf.d/broken.conf")
    lab.run("channels-renew")
    acme.await_served("site.test", acme.der())
    assert status(acme).code == 0


def test_host_that_is_built_anew_orders_nothing(acme: Acme, tmp_path: Path) -> None:
    """Its account and its certificate are restored from the controller, where nobody else can read them."""
    (tmp_path / "word").write_text("a password of the vault\n")
    given = {"certificate_acme_keep": str(tmp_path / "kept")}
    vault = ("--vault-password-file", str(tmp_path / "word"))
    assert acme.site(*SITE, **given, options=vault).changed(acme.lab.name) > 0
    assert acme.site(*SITE, **given, options=vault).changed(acme.lab.name) == 0
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.read_text().startswith("$ANSIBLE_VAULT;") and kept.stat().st_mode & 0o777 == 0o600
    before, orders = acme.der(), acme.orders()
    acme.lab.run("systemctl disable --now channels-certificates.timer")
    acme.lab.run("rm -r /etc/letsencrypt /opt/certbot* /etc/dashboard/certificate /var/lib/channels-certificates "
                 "/etc/systemd/system/channels-certificates.*")  # fmt: skip
    run = acme.site(*SITE, **given, options=vault)
    assert run.changed(acme.lab.name) > 0
    assert acme.der() == before and acme.orders() == orders, "it was ordered anew"
    acme.await_served("site.test", before)
    key = acme.lab.run("sed -n 2p /etc/dashboard/certificate/privkey.pem").strip()
    assert key not in run.output
    assert acme.site(*SITE, **given, options=vault).changed(acme.lab.name) == 0
    acme.lab.run(FORCED)  # the authority knows the account
    assert acme.der() != before and acme.orders() == orders + 1


def test_second_name_is_added(acme: Acme) -> None:
    assert acme.site("site.test", "www.site.test").changed(acme.lab.name) > 0
    assert acme.names() == {"site.test", "www.site.test"}
    acme.await_served("www.site.test", acme.der())
    assert acme.served("site.test") == acme.der()


def test_names_over_dns_and_no_port_80(acme: Acme) -> None:
    """A wildcard, by hooks that write to a DNS server, from an authority that would find nothing at port 80."""
    names = ("*.site.test", "site.test")
    with acme.dns() as hooks, acme.another(14002, options="-dnsserver 127.0.0.1:8053", httpPort=5002) as server:
        given = {"certificate_acme_server": server, "nginx_http_port": 8088, **hooks}
        assert acme.site(*names, **given).changed(acme.lab.name) > 0
        assert acme.names() == set(names)
        acme.await_served("whatever.site.test", acme.der())
        assert acme.lab.host.run("ss -ltn | grep -q ':80 '").rc == 1
        assert acme.site(*names, **given).changed(acme.lab.name) == 0
        before = acme.der()
        acme.lab.run(FORCED)
        assert acme.der() != before
    assert acme.site(*SITE).changed(acme.lab.name) > 0


def test_address_has_a_certificate(acme: Acme) -> None:
    """Clients that use a host's address send no name. Debian's Pebble knows no profiles, such as shortlived."""
    address = acme.lab.run("hostname -I").split()[0]
    assert acme.site("localhost", address).changed(acme.lab.name) > 0
    assert acme.names() == {"localhost", address}
    with greet(acme.lab, loose(), None) as way:
        assert way.getpeercert(binary_form=True) == acme.der(), "without a name, another certificate is served"
    assert acme.site("localhost", address).changed(acme.lab.name) == 0
    assert acme.site(*SITE).changed(acme.lab.name) > 0


def test_order_that_is_refused_changes_no_certificate(acme: Acme) -> None:
    """The name leads nowhere; the run fails and says why, and the next one tries again."""
    before = acme.served("site.test")
    for _ in range(2):
        run = acme.site("site.test", "nowhere.test")
        told = " ".join(run.output.split())
        assert run.code and "No certificate was issued for site.test, nowhere.test" in told, run.output
        assert "Each name must lead to this host" in told
        assert acme.served("site.test") == before


def test_names_that_lead_elsewhere_stop_before_anything_is_changed(acme: Acme) -> None:
    """As this machine sees them; all faults are reported at once, and the host's own address is not a fault."""
    lab, orders = acme.lab, acme.orders()
    address = lab.run("hostname -I").split()[0]
    before = lab.run("find /etc/nginx /etc/dashboard /etc/letsencrypt -type f | sort | xargs sha256sum")
    for options in (("--check",), ()):
        run = acme.site("nowhere.test", "192.0.2.7", address, options=options, certificate_acme_check_names=True)
        told = " ".join(run.output.split())
        assert run.code and "2 problems; nothing was changed" in told, run.output
        assert '"nowhere.test" has no address, as seen from this machine' in told
        assert '"192.0.2.7" leads to 192.0.2.7, and the site\'s hosts have' in told
        assert address in told and "certificate_acme_check_names: false" in told
    assert lab.run("find /etc/nginx /etc/dashboard /etc/letsencrypt -type f | sort | xargs sha256sum") == before
    assert acme.orders() == orders
    assert acme.site(address, options=("--check",), certificate_acme_check_names=True).changed(lab.name) > 0


def test_authority_that_cannot_be_reached(acme: Acme) -> None:
    acme.site(*SITE).changed(acme.lab.name)
    before = acme.served("site.test")
    acme.stop()
    try:
        run = acme.site(*SITE, certificate_acme_email="ops@example.org")
        assert run.code and "the one that is there serves on" in " ".join(run.output.split())
        assert acme.served("site.test") == before
    finally:
        acme.restart()


def test_certificate_goes_with_its_site(acme: Acme) -> None:
    """It belongs to a second project, which shares account, certbot and timer with the first: these stay."""
    lab, second = acme.lab, {"release_app": "second", "nginx_local_port": 8002, "nginx_static_url": ""}
    second |= {"redis_user": "second", "redis_prefix": "second"}
    lab.run("grep -q second.test /etc/hosts || echo '127.0.0.1 second.test' >> /etc/hosts")
    acme.site(*SITE).changed(lab.name)
    before = acme.der()
    try:
        assert acme.site("second.test", **second).changed(lab.name) > 0
        assert acme.served("second.test") != before
        lab.run("test -e /etc/letsencrypt/renewal/second.conf")
        lab.run(FORCED)
        assert acme.der() != before, "two projects of a host are not renewed both"
        before = acme.der()
    finally:
        run = Run("playbooks/remove.yml", "--limit", lab.name, "-e", f"@{acme.variables}", "-e", "remove_data=true")
    assert run.changed(lab.name) > 0
    left = lab.run("find /etc/letsencrypt /etc/nginx /etc/second /srv/second /var/lib/channels-certificates "
                   "-name '*second*' 2>/dev/null || true")  # fmt: skip
    assert left == "", left
    acme.await_served("site.test", before)
    lab.run(f"systemctl is-active channels-certificates.timer && {FORCED}")
    assert acme.der() != before, "the first project's certificate is not renewed any more"
