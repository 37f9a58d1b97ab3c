"""How a certificate fares on its host is seen, and judged."""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.channels.stack.plugins.module_utils.certificates import pairs
from ansible_collections.channels.stack.plugins.module_utils.certificates import state as certificate_state
from ansible_collections.channels.stack.plugins.module_utils.certificates.pairs import Authority, Pair
from ansible_collections.channels.stack.plugins.module_utils.certificates.state import DAY, faults, lines, look
from ansible_collections.channels.stack.plugins.module_utils.host import proc

NOW = 1_800_000_000.0


class Server:
    """A TLS server on loopback, which serves a pair as nginx does."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        (folder / "served.pem").write_text(pair.key + pair.chain)
        self.names: list[str | None] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "served.pem")
        context.sni_callback = lambda _, name, __: self.names.append(name)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, args=(context,), daemon=True).start()

    def _serve(self, context: ssl.SSLContext) -> None:
        with contextlib.suppress(OSError):
            while True:
                way, _ = self.socket.accept()
                with contextlib.suppress(OSError), context.wrap_socket(way, server_side=True) as tls:
                    tls.recv(1)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A host whose site has a certificate, and a server that serves it; a function changes what there is."""
    authority = Authority(tmp_path / "authority")
    pair = authority.issue(["*.example.org"])
    server = Server(tmp_path, pair)
    home, sites = tmp_path / "etc" / "shop" / "certificate", tmp_path / "etc" / "nginx" / "sites-enabled"
    for folder in (home, sites, tmp_path / "notes", tmp_path / "bin"):
        folder.mkdir(parents=True)
    (sites / "shop.conf").write_text(f"server {{\n    ssl_certificate {home}/fullchain.pem;\n}}\n")
    (home / "fullchain.pem").write_text("a comment\n" + pair.chain + authority.path.read_text())
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.write_text('#!/bin/sh\necho "ActiveState=active\nNextElapseUSecRealtime=Mon 2027-01-18 08:00:00 UTC"\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    for name, value in (
        ("ETC", tmp_path / "etc"),
        ("NOTES", tmp_path / "notes"),
        ("SYSTEMD", tmp_path),
        ("SETTLES", 0),
    ):
        monkeypatch.setattr(certificate_state, name, value)

    class Host:
        """What a test may change."""

        def __init__(self) -> None:
            self.home, self.notes, self.server, self.authority = home, tmp_path / "notes", server, authority
            self.sites, self.systemctl = sites, systemctl

        def site(self, source: str = "acme", **more: Any) -> dict[str, Any]:
            site = {"source": source, "names": ["*.example.org"], "port": server.port, **more}
            (home / "site.json").write_text(json.dumps(site))
            return look("shop")

    yield Host()
    server.socket.close()


def codes(state: dict[str, Any], now: float) -> list[str]:
    return [code for code, _ in faults(state, now)]


def test_certificate_that_is_well(host: Any) -> None:
    (host.notes / "shop.last").write_text("1800000000 0\n\n")
    state = host.site()
    now = pairs.now().timestamp()
    assert state["served"] is True and host.server.names == ["www.example.org"]
    assert abs(state["since"] - now) < 2 * 3600 and round((state["ends"] - state["since"]) / DAY) == 397
    (site, *_) = pairs.read_chain((host.home / "fullchain.pem").read_text())
    assert int(state["serial"], 16) == site.serial_number and state["issuer"].startswith("CN=Authority of")
    assert codes(state, now) == []
    told = "\n".join(lines(state, now))
    assert "certificate: acme, for *.example.org" in told and "396 days left" in told and "nginx serves it" in told
    assert "asked next: Mon 2027-01-18 08:00:00 UTC" in told and "last tried 2027-01-15 08:00 UTC: went well" in told
    host.site(names=["127.0.0.1"])
    assert host.server.names[-1] is None, "an address is no name for TLS"


def test_certificate_of_an_edge(host: Any) -> None:
    """HAProxy's configuration names it, and no site of nginx does."""
    (host.sites / "shop.conf").unlink()
    assert host.site() == {}
    config = host.sites.parents[1] / "haproxy" / "haproxy.cfg"
    config.parent.mkdir()
    config.write_text(f"    bind 0.0.0.0:443 ssl crt {host.home}/fullchain.pem alpn h2,http/1.1\n")
    state = host.site("provided")
    assert state["served"] is True
    told = "\n".join(lines(state, NOW))
    assert "  HAProxy serves it" in told and "--tags certificate,haproxy" in told


def test_failed_renewal_is_told_until_one_goes_well(host: Any) -> None:
    (host.notes / "shop.last").write_text("1800000000 1\nno route\nto the authority\n")
    (host.notes / "shop.failed").write_text("1800000000 1\nno route\nto the authority\n")
    state = host.site()
    ((code, seen),) = faults(state, NOW)
    assert code == "E031_RENEWAL_FAILED"
    assert seen == ["2027-01-15 08:00 UTC, with exit code 1", "no route", "to the authority"]
    assert "  last tried 2027-01-15 08:00 UTC: ended with code 1" in lines(state, NOW)
    (host.notes / "shop.last").write_text("1800003600 0\n")
    state = host.site()
    assert codes(state, NOW) == [] and "  last failed 2027-01-15 08:00 UTC" in lines(state, NOW)
    (host.notes / "shop.last").write_text("half")
    assert host.site()["last"] == {} and "  not tried yet" in lines(host.site(), NOW)


def test_timer_that_is_off_is_told(host: Any) -> None:
    host.systemctl.write_text("#!/bin/sh\necho ActiveState=inactive\n")
    assert codes(host.site(), NOW) == ["E033_RENEWAL_OFF"]
    assert codes(host.site("provided"), NOW) == [], "nothing renews that one"


def test_cron_renews_where_systemd_does_not_run(host: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(certificate_state, "SYSTEMD", tmp_path / "none")
    monkeypatch.setattr(proc, "PROC", tmp_path / "proc")
    assert codes(host.site(), NOW) == ["E033_RENEWAL_OFF"]
    (tmp_path / "etc/cron.d").mkdir()
    (tmp_path / "etc/cron.d/channels-certificates").touch()
    (tmp_path / "proc/7").mkdir(parents=True)
    for name, expected in (("anacron", ["E033_RENEWAL_OFF"]), ("cron", [])):
        (tmp_path / "proc/7/comm").write_text(f"{name}\n")
        assert codes(host.site(), NOW) == expected, name


def test_certificate_that_nginx_has_not_read(host: Any) -> None:
    state = host.site()
    other = host.authority.issue(["other.example.org"])
    (host.home / "fullchain.pem").write_text(other.chain)
    ((code, seen),) = faults(host.site(), NOW)
    assert code == "E032_CERT_NOT_SERVED" and f"serial {state['serial']}" in seen[1]
    host.server.socket.close()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        state = host.site(port=silent.getsockname()[1] + 1)
    assert state["served"] is None and codes(state, NOW) == []
    assert "could not be asked" in "\n".join(lines(state, NOW))


@pytest.mark.parametrize(
    ("source", "days", "code"),
    [
        ("acme", 20, ""), ("acme", 13, "W029_CERT_EXPIRES_SOON"), ("provided", 13, "W029_CERT_EXPIRES_SOON"),
        ("self_signed", 13, "W029_CERT_EXPIRES_SOON"), ("provided", -1, "E021_CERT_EXPIRED"),
    ],
)  # fmt: skip
def test_end_is_told(host: Any, source: str, days: int, code: str) -> None:
    """For those that nothing renews by itself, too, with what brings another."""
    state = host.site(source)
    now = state["ends"] - days * DAY - 1
    assert codes(state, now) == ([code] if code else [])
    told = "\n".join(lines(state, now))
    assert (f"{days} days left" if days > 0 else "it has expired") in told
    if source != "acme":
        due = datetime.datetime.fromtimestamp(state["since"] + (state["ends"] - state["since"]) * 2 / 3, datetime.UTC)
        assert f"{due:%Y-%m-%d}: " in told and "site.yml --tags certificate,nginx" in told
        assert ("certificate_chain and certificate_key" in told) is (source == "provided")


def test_short_lives_are_judged_by_their_length() -> None:
    six = 6 * DAY
    assert not certificate_state.ends_soon(0, six, six - 2 * DAY) and certificate_state.ends_soon(0, six, six - DAY)


def test_site_without_a_certificate_has_no_state(host: Any) -> None:
    host.site()
    (host.sites / "shop.conf").write_text("server { listen 80; }\n")
    assert look("shop") == {} and list(faults({}, NOW)) == []
    assert look("nobody") == {}
    (host.home / "site.json").write_text("{")
    assert look("shop") == {}
