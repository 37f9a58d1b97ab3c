"""A real ACME server, Pebble, on the host itself, and the site with its certificates."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab_host import PATIENCE, ROOT, LabHost, Run
from secure_site import PARTS, Authority, greet, handshake, loose, names_of, opened, read_chain
from websockets.sync.client import ClientConnection

CERTIFICATE = "/etc/dashboard/certificate/fullchain.pem"
# What a user's hook does with a DNS provider's API.
DNS_HOOK = """#!/bin/sh
set -eu
exec curl --silent --show-error --fail --data "{\\"host\\": \\"_acme-challenge.$CERTBOT_DOMAIN.\\"@more@}" \\
    http://127.0.0.1:8055/@what@
"""
DNS_HOOKS = {
    "put": DNS_HOOK.replace("@more@", ', \\"value\\": \\"$CERTBOT_VALIDATION\\"').replace("@what@", "set-txt"),
    "take": DNS_HOOK.replace("@more@", "").replace("@what@", "clear-txt"),
}


class Acme:
    """Pebble on the host itself; the host's hosts file tells it the site's names."""

    def __init__(self, lab: LabHost, folder: Path) -> None:
        self.lab, self.variables = lab, folder / "acme.json"
        self.first: Run
        self.kept = False
        authority = Authority(ROOT / ".lab" / "authority")
        pair = authority.issue(["localhost"])
        lab.run("DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends pebble curl")
        lab.run("mkdir -p /etc/pebble")
        for name, text in (("cert.pem", pair.chain), ("key.pem", pair.key)):
            lab.run(f"printf %s %s > /etc/pebble/{name}", "%s", text)
        # The host trusts Pebble's authority as it would trust a company's own.
        lab.run("printf %s %s > /usr/local/share/ca-certificates/pebble.crt", "%s", authority.path.read_text())
        lab.run("update-ca-certificates; grep -q site.test /etc/hosts || "
                "echo '127.0.0.1 site.test www.site.test' >> /etc/hosts")  # fmt: skip
        self.restart()

    def restart(self) -> None:
        """Start the authority, and make the host forget what the authority has forgotten: the next run orders again."""
        self.lab.run("rm -rf /etc/letsencrypt /etc/dashboard/certificate/order.json")
        self.start()

    def start(self, port: int = 14000, options: str = "", **more: Any) -> str:
        """Start an authority, which forgets all accounts and orders when it ends; return its directory."""
        config = {
            "listenAddress": f"127.0.0.1:{port}", "managementListenAddress": f"127.0.0.1:{port + 1000}", "httpPort": 80,
            "tlsPort": 443, "certificate": "/etc/pebble/cert.pem", "privateKey": "/etc/pebble/key.pem",
            "ocspResponderURL": "", "externalAccountBindingRequired": False, **more,
        }  # fmt: skip
        self.lab.run(f"printf %s %s > /etc/pebble/{port}", "%s", json.dumps({"pebble": config}))
        # By default it refuses one in twenty nonces, for clients that don't try again; certbot does, but only once.
        given = "--setenv=PEBBLE_VA_NOSLEEP=1 --setenv=PEBBLE_WFE_NONCEREJECT=0"
        run = f"systemd-run --unit=pebble-{port} {given} pebble -config /etc/pebble/{port} {options}"
        self.lab.run(f"{run} && for _ in $(seq 1200); do ss -ltn | grep -q :{port} && exit; sleep 0.1; done; exit 1")
        return f"https://localhost:{port}/dir"

    def stop(self, port: int = 14000) -> None:
        """Make it unreachable."""
        self.lab.run(f"systemctl stop pebble-{port}; systemctl reset-failed pebble-{port} 2>/dev/null || true")

    @contextlib.contextmanager
    def another(self, port: int, **more: Any) -> Iterator[str]:
        """Run another authority for a while; yield its directory."""
        try:
            yield self.start(port, **more)
        finally:
            self.stop(port)

    @contextlib.contextmanager
    def dns(self) -> Iterator[dict[str, str]]:
        """Run a DNS server that hooks write to, for an authority that asks no other; yield the hooks."""
        off = "-http01 '' -https01 '' -tlsalpn01 ''"
        on = "-dns01 127.0.0.1:8053 -management 127.0.0.1:8055 -defaultIPv4 '' -defaultIPv6 ''"
        for name, text in DNS_HOOKS.items():
            self.lab.run(f"printf %s %s > /etc/pebble/{name} && chmod 0755 /etc/pebble/{name}", "%s", text)
        try:
            self.lab.run(f"systemd-run --unit=pebble-dns pebble-challtestsrv {off} {on}")
            yield {f"certificate_acme_{use}_hook": f"/etc/pebble/{name}" for use, name in
                   (("auth", "put"), ("cleanup", "take"))}  # fmt: skip
        finally:
            self.lab.run("systemctl stop pebble-dns; systemctl reset-failed pebble-dns 2>/dev/null || true")

    def orders(self, port: int = 14000) -> int:
        """Return how many orders an authority has received since it was started."""
        began = self.lab.run(f"systemctl show --value --property=InvocationID pebble-{port}").strip()
        return int(self.lab.run(f"journalctl _SYSTEMD_INVOCATION_ID={began} | grep -c 'POST /order-plz' || true"))

    def site(self, *names: str, options: tuple[str, ...] = (), **more: Any) -> Run:
        """Provision the site with these names, which this machine doesn't know; other variables may be passed."""
        self.variables.write_text(json.dumps({
            "certificate_source": "acme", "certificate_acme_server": "https://localhost:14000/dir",
            "certificate_acme_check_names": False, "nginx_server_names": names, "nginx_hsts_seconds": 0, **more,
        }))  # fmt: skip
        return Run(*PARTS, self.lab.name, "-e", f"@{self.variables}", *options)

    def served(self, name: str) -> bytes:
        """Return the certificate that nginx serves for a name."""
        with greet(self.lab, loose(), name) as way:
            return way.getpeercert(binary_form=True) or b""

    def der(self) -> bytes:
        """Return the certificate that is installed."""
        return ssl.PEM_cert_to_DER_cert(self.lab.run(f"openssl x509 -in {CERTIFICATE}"))

    def await_served(self, name: str, certificate: bytes) -> None:
        """Wait until nginx serves a certificate: old workers accept connections until they notice the reload."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(ssl.SSLError):
                if self.served(name) == certificate:
                    return
            assert time.monotonic() < deadline, f"nginx does not serve the certificate that is there for {name}"
            time.sleep(0.1)

    def opened(self) -> ClientConnection:
        """Open a WebSocket to the site, whoever issued its certificate."""
        return opened(self.lab, context=loose(), name="site.test")

    def handshake(self) -> bytes:
        """Send a WebSocket handshake, drop the socket, and return the first line of the answer."""
        with greet(self.lab, loose(), "site.test") as way:
            way.settimeout(60)
            way.sendall(handshake(self.lab.token(), "site.test"))
            return way.makefile("rb").readline()

    def names(self) -> set[str]:
        """Return the names in the installed certificate; fail if Pebble did not issue it."""
        site = read_chain(self.lab.run(f"cat {CERTIFICATE}"))[0]
        assert "Pebble" in site.issuer.rfc4514_string()
        return set(names_of(site))
