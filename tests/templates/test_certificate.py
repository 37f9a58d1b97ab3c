"""How certificates are ordered, renewed, and brought to where nginx reads them."""

from __future__ import annotations

import ast
import configparser
import fcntl
import os
import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

Render = Callable[..., str]
ROOT = Path(__file__).resolve().parents[2]
RENEW = "/usr/local/sbin/channels-renew"
# Root without any power over what is not root's, and with nothing to write to but what certbot keeps.
CONFINED = {
    "ProtectSystem": "strict",
    "ReadWritePaths": "-/etc/letsencrypt -/var/lib/letsencrypt -/var/log/letsencrypt"
    " + -/var/lib/channels-acme + -/var/lib/channels-certificates",
    "InaccessiblePaths": "-/etc/shadow -/etc/gshadow",
    "ProtectHome": "yes", "UMask": "0077", "PrivateTmp": "yes", "PrivateDevices": "yes", "PrivateIPC": "yes",
    "PrivateMounts": "yes", "PrivateUsers": "yes", "DevicePolicy": "closed", "KeyringMode": "private", "LimitCORE": "0",
    "ProtectClock": "yes", "ProtectControlGroups": "yes", "ProtectHostname": "yes", "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes", "ProtectKernelTunables": "yes", "ProtectProc": "invisible", "ProcSubset": "pid",
    "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "LockPersonality": "yes", "MemoryDenyWriteExecute": "yes",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6", "RestrictNamespaces": "yes", "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes", "SystemCallArchitectures": "native", "SystemCallErrorNumber": "EPERM",
    "SystemCallFilter": "@system-service + ~@privileged @resources + @chown",
}  # fmt: skip


RELOAD = {
    "systemd": ["systemctl reload nginx.service"], "init": ["nginx -t -q", "service nginx reload"],
    "edge": ["systemctl reload haproxy.service"],
}  # fmt: skip


@pytest.fixture(params=["systemd", "init", "edge"])
def init(request: pytest.FixtureRequest) -> str:
    """What has booted the host; an edge has systemd, and HAProxy."""
    return str(request.param)


def booted(init: str) -> dict[str, Any]:
    """What a run knows of such a host."""
    host = {"cores": "4", "memory_mb": "2000", "init": "systemd" if init == "edge" else init}
    return {"preflight_host": host, "group_names": ["proxy" if init == "edge" else "app"]}


@pytest.fixture
def deploy(tmp_path: Path, render: Render, init: str) -> Callable[[], list[str]]:
    """Return a function that runs what certbot calls, and gives the commands that it has run."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("nginx", "service", "systemctl", "sleep"):
        program = programs / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/told\n[ ! -e {tmp_path}/no-{name} ]\n')
        program.chmod(0o755)
    (tmp_path / "home").mkdir()
    (tmp_path / "lineage").mkdir()
    script = tmp_path / "deploy"
    text = render("certificate/deploy_hook.sh.j2", **booted(init))
    # The lock is the one that module service_state takes.
    folder = "/etc/haproxy" if init == "edge" else "/etc/nginx"
    assert f"exec 9<{folder}\n" in text
    (tmp_path / "server").mkdir()
    text = text.replace("/etc/dash-board/certificate", f"{tmp_path}/home")
    script.write_text(text.replace(folder, f"{tmp_path}/server"))

    def run() -> list[str]:
        told = tmp_path / "told"
        told.write_text("")
        environment = {"PATH": f"{programs}:{os.environ['PATH']}", "RENEWED_LINEAGE": str(tmp_path / "lineage")}
        subprocess.run(["sh", script], env=environment, check=True, timeout=20)
        return told.read_text().splitlines()

    return run


def test_new_certificate_is_brought_to_nginx(tmp_path: Path, deploy: Callable[[], list[str]], init: str) -> None:
    """Also where only one of the two files is new, and nothing is done where none is.

    systemd's reload tests the configuration itself, in nginx's own sandbox; the certificate's cannot open its logs.
    """
    pair = {"fullchain.pem": 0o644, "privkey.pem": 0o600}
    for name in pair:
        (tmp_path / "lineage" / name).write_text(name)
    for _ in range(2):
        assert deploy() == RELOAD[init]
        for name, mode in pair.items():
            found = tmp_path / "home" / name
            assert (found.read_text(), found.stat().st_mode & 0o777) == (name, mode)
        assert len(list((tmp_path / "home").iterdir())) == 2
        assert deploy() == []
        (tmp_path / "home" / "privkey.pem").write_text("another")
    (tmp_path / "lineage" / "fullchain.pem").unlink()
    with pytest.raises(subprocess.CalledProcessError):
        deploy()
    assert (tmp_path / "home" / "fullchain.pem").read_text() == "fullchain.pem", "what served is lost"


@pytest.mark.parametrize("program", ["nginx", "service", "systemctl"])
def test_reload_that_failed_is_made_up_for(
    tmp_path: Path, deploy: Callable[[], list[str]], init: str, program: str
) -> None:
    """By the next call, though the certificate is there by then; a file half-written is waited for."""
    if not any(line.startswith(program) for line in RELOAD[init]):
        pytest.skip("it is not asked there")
    for name in ("fullchain.pem", "privkey.pem"):
        (tmp_path / "lineage" / name).write_text(name)
    (tmp_path / f"no-{program}").touch()
    with pytest.raises(subprocess.CalledProcessError):
        deploy()
    tried = (tmp_path / "told").read_text().splitlines()
    assert tried.count("sleep 2") == 4 and sum(line.startswith(program) for line in tried) == 5
    (tmp_path / f"no-{program}").unlink()
    assert deploy()[-1] == RELOAD[init][-1]
    assert deploy() == []


def test_certificate_waits_for_who_reloads_nginx(tmp_path: Path, deploy: Callable[[], list[str]], init: str) -> None:
    """It is in no place before, neither of the two files. The lock is the one that module service_state takes."""
    for name in ("fullchain.pem", "privkey.pem"):
        (tmp_path / "lineage" / name).write_text(name)
    lock = os.open(tmp_path / "server", os.O_RDONLY)
    with ThreadPoolExecutor(1) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = pool.submit(deploy)
        time.sleep(0.5)
        assert not done.done() and list((tmp_path / "home").iterdir()) == []
        os.close(lock)
        assert done.result()[-1] == RELOAD[init][-1]


@pytest.fixture
def renew(tmp_path: Path, render: Render) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs what renews; certbot fails for names that begin with `bad`."""
    for name in ("good", "bad-dns", "ordered-never"):
        home = tmp_path / "etc" / name / "certificate"
        home.mkdir(parents=True)
        (home / "deploy").write_text(f'#!/bin/sh\necho "deploy {name} $RENEWED_LINEAGE" >>{tmp_path}/told\n')
        (home / "deploy").chmod(0o755)
    (tmp_path / "letsencrypt" / "renewal").mkdir(parents=True)
    for name in ("good", "bad-dns", "stranger"):
        (tmp_path / "letsencrypt" / "renewal" / f"{name}.conf").touch()
    (tmp_path / "notes").mkdir()
    certbot = tmp_path / "certbot"
    certbot.write_text(
        f'#!/bin/sh\necho "certbot $* $REQUESTS_CA_BUNDLE" >>{tmp_path}/told\necho said >&2\n'
        f"case $* in *bad*) [ -e {tmp_path}/mended ] ;; esac\n"
    )
    certbot.chmod(0o755)
    text = render("certificate/renew.sh.j2")
    for path, place in (
        ("/etc/letsencrypt", "letsencrypt"), ("/etc/*", "etc/*"), ("/etc/}", "etc/}"),
        ("/opt/certbot/bin/certbot", "certbot"), ("/var/lib/channels-certificates", "notes"),
    ):  # fmt: skip
        assert path in text
        text = text.replace(path, f"{tmp_path}/{place}")
    (tmp_path / "renew").write_text(text)
    return lambda *options: subprocess.run(
        ["sh", tmp_path / "renew", *options], capture_output=True, text=True, check=False
    )


def test_renewal_notes_how_it_went(tmp_path: Path, renew: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """For each project by itself; what others have certbot renew is theirs."""
    done, notes = renew("--force-renewal"), tmp_path / "notes"
    assert done.returncode == 1 and "The certificate of bad-dns was not renewed:\nsaid" in done.stderr
    assert "good" not in done.stderr and done.stdout == ""
    options, bundle = "renew --quiet --no-random-sleep-on-renew --cert-name", "/etc/ssl/certs/ca-certificates.crt"
    assert (tmp_path / "told").read_text().splitlines() == [
        f"certbot {options} bad-dns --force-renewal {bundle}",
        f"certbot {options} good --force-renewal {bundle}",
        f"deploy good {tmp_path}/letsencrypt/live/good",
    ]
    assert sorted(path.name for path in notes.iterdir()) == ["bad-dns.failed", "bad-dns.last", "good.last"]
    for name, code in (("good", 0), ("bad-dns", 1)):
        at, ended = (notes / f"{name}.last").read_text().splitlines()[0].split()
        assert abs(int(at) - time.time()) < 60 and int(ended) == code
    assert (notes / "bad-dns.failed").read_text().endswith(" 1\nsaid\n")
    assert (notes / "good.last").stat().st_mode & 0o777 == 0o600
    (tmp_path / "mended").touch()
    assert renew().returncode == 0
    assert (notes / "bad-dns.last").read_text().splitlines()[0].endswith(" 0")
    assert (notes / "bad-dns.failed").exists(), "when it failed last is forgotten"


def unit(text: str) -> dict[str, dict[str, str]]:
    """Return the lines of a unit, by their sections; several of one name are one, as they add up."""
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    text = re.sub(
        r"^(\w+)=(.*)\n((?:\1=.*\n)+)", lambda found: found[0].replace(f"\n{found[1]}=", " + "), text, flags=re.M
    )
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_units_of_renewal(render: Render) -> None:
    what = "Renew certificates that are due"
    assert unit(render("certificate/renewal.service.j2")) == {
        "Unit": {"Description": what, "After": "network-online.target", "Wants": "network-online.target"},
        "Service": {
            "Type": "oneshot",
            "ExecStart": RENEW,
            **CONFINED,
        },
    }
    # Three times a day, since certificates may live for six; missed times are made up for.
    assert unit(render("certificate/renewal.timer.j2")) == {
        "Unit": {"Description": what},
        "Timer": {"OnCalendar": "*-*-* 00/8:00:00", "RandomizedDelaySec": "4h", "Persistent": "true"},
        "Install": {"WantedBy": "timers.target"},
    }


def test_renewal_is_judged_well(tmp_path: Path, render: Render) -> None:
    """systemd's own judgement, as docs/sandbox.md promises it."""
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    (units / "channels-certificates.service").write_text(render("certificate/renewal.service.j2"))
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", f"--root={tmp_path}"]
    done = subprocess.run([*command, "channels-certificates.service"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_orders_are_made_as_renewals_are(evaluate: Callable[..., Any], init: str) -> None:
    """A hook that cannot bear the sandbox fails at once, and not when the certificate is about to expire."""
    given = {"certificate_sandbox": {"ReadWritePaths": ["/var/lib/dns"]}}
    words = ast.literal_eval(evaluate("_certificate_confined", **booted(init), **given))
    if init == "init":
        assert words == []
        return
    assert words[:5] == ["systemd-run", "--quiet", "--wait", "--pipe", "--collect"]
    properties = [word.removeprefix("--property=") for word in words if word.startswith("--property=")]
    lines = evaluate("_certificate_sandbox_lines", **given).splitlines()
    assert properties == [*lines, "ReadWritePaths=-/etc/dash-board/certificate"]
    assert "ReadWritePaths=/var/lib/dns" in lines
    assert words[5 + len(properties) :] == ["--setenv=REQUESTS_CA_BUNDLE"]


def test_each_project_s_certificate_can_be_replaced(evaluate: Callable[..., Any]) -> None:
    """They share the unit that renews: each brings a drop-in with its own folder."""
    host = {"cores": "4", "memory_mb": "2000", "init": "systemd"}
    entries = evaluate("_certificate_files", ROOT / "templates" / "certificate", preflight_host=host)
    files = {entry["path"]: entry for entry in ast.literal_eval(entries)}
    drop_in = files["/etc/systemd/system/channels-certificates.service.d/dash-board.conf"]
    assert unit(drop_in["content"]) == {"Service": {"ReadWritePaths": "-/etc/dash-board/certificate"}}
    # What a sandbox lets be written to has to be there before.
    assert {"/etc/letsencrypt", "/var/lib/letsencrypt", "/var/log/letsencrypt", "/var/lib/channels-acme"} <= set(files)
    assert files["/var/log/letsencrypt"]["mode"] == "0700"


def test_renewal_where_cron_does_it(render: Render) -> None:
    lines = [line for line in render("certificate/renewal.cron.j2").splitlines() if not line.startswith("#")]
    minute, _, rest = lines.pop().partition(" ")
    assert 0 <= int(minute) < 60 and rest == f"*/8 * * * root {RENEW}"
    assert lines == [
        "SHELL=/bin/sh",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]


@pytest.mark.parametrize(
    ("given", "order"),
    [
        (
            {},
            ["--webroot", "--webroot-path=/var/lib/channels-acme", "--register-unsafely-without-email",
             "--domain=www.example.org", "--domain=example.org"],
        ),
        (
            {"certificate_acme_email": "ops@example.org", "certificate_acme_staging": "true",
             "certificate_names": ["b.example.org", "9.9.9.9", "a.example.org", "2620:fe::9"]},
            ["--webroot", "--webroot-path=/var/lib/channels-acme", "--email=ops@example.org", "--staging",
             "--preferred-profile=shortlived", "--domain=b.example.org", "--domain=a.example.org",
             "--ip-address=9.9.9.9", "--ip-address=2620:fe::9"],
        ),
        (
            {"certificate_acme_server": "https://ca.test/dir", "certificate_acme_staging": True,
             "certificate_acme_auth_hook": "/bin/put", "certificate_acme_cleanup_hook": "/bin/take",
             "certificate_acme_profile": "tlsserver", "certificate_names": ["*.example.org"]},
            ["--manual", "--preferred-challenges=dns", "--manual-auth-hook=/bin/put", "--manual-cleanup-hook=/bin/take",
             "--register-unsafely-without-email", "--server=https://ca.test/dir", "--preferred-profile=tlsserver",
             "--domain=*.example.org"],
        ),
        # HAProxy passes the challenge on to certbot itself; it reads no files that come later.
        (
            {"group_names": ["proxy"], "haproxy_acme_port": 8405},
            ["--standalone", "--http-01-address=127.0.0.1", "--http-01-port=8405", "--register-unsafely-without-email",
             "--domain=www.example.org", "--domain=example.org"],
        ),
        (
            {"group_names": ["proxy"], "certificate_acme_auth_hook": "/bin/put",
             "certificate_names": ["*.example.org"]},
            ["--manual", "--preferred-challenges=dns", "--manual-auth-hook=/bin/put",
             "--register-unsafely-without-email", "--domain=*.example.org"],
        ),
    ],
)  # fmt: skip
def test_order(evaluate: Callable[..., Any], given: dict[str, Any], order: list[str]) -> None:
    names = {"nginx_server_names": ["www.example.org", "example.org", "www.example.org", "_"]}
    found = ast.literal_eval(evaluate("_certificate_order", **names, **given))
    assert found == ["--cert-name=dash-board", "--deploy-hook=/etc/dash-board/certificate/deploy", *order]


@pytest.mark.parametrize(
    ("init", "source", "needs"),
    [("init", "acme", ["", "scheduled"]), ("systemd", "acme", [""]), ("init", "provided", ["", "scheduled"])],
)
def test_cron_is_there_where_nothing_else_has_timers(
    evaluate: Callable[..., Any], init: str, source: str, needs: list[str]
) -> None:
    host = {"cores": "4", "memory_mb": "2000", "init": init}
    assert ast.literal_eval(evaluate("_base_needs", preflight_host=host, certificate_source=source)) == needs


@pytest.mark.parametrize(
    ("group", "source", "needed"),
    [("proxy", "acme", True), ("proxy", "provided", False), ("app", "acme", False)],
)
def test_edge_that_orders_has_what_installs_certbot(
    evaluate: Callable[..., Any], group: str, source: str, needed: bool
) -> None:
    """App hosts have it anyway."""
    wanted = ast.literal_eval(evaluate("_base_wanted", group_names=[group], certificate_source=source))
    assert ("ordering" in wanted) is needed


def test_port_that_status_asks_is_that_of_the_server(evaluate: Callable[..., Any]) -> None:
    given = {"nginx_https_port": 8443, "haproxy_https_port": 9443}
    assert ast.literal_eval(evaluate("_certificate_site", group_names=["proxy"], **given))["port"] == 9443
    assert ast.literal_eval(evaluate("_certificate_site", group_names=["app"], **given))["port"] == 8443
