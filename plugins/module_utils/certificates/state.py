"""The state of a site's certificate on its host: when it ends, whether it is served, how its renewals went.

`look` asks the host, and changes nothing; the rest judges what it saw. Times are seconds since 1970.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..host import proc
from ..host.raw import read

ETC = Path("/etc")
NOTES = Path("/var/lib/channels-certificates")
SYSTEMD = Path("/run/systemd/system")  # exists if systemd is PID 1 (sd_booted(3))
BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
TIMER = "channels-certificates"
DAY = 86400
#: Part of its life after which ACME clients, or runs for `self_signed`, replace a certificate.
RENEWED_AFTER = 2 / 3
#: Seconds until nginx's old workers hear of a reload. Until then they accept with the old certificate.
SETTLES = 3

State = dict[str, Any]


def output(*command: str, given: str = "") -> str:
    """Return what a command prints, or nothing if it is missing, fails or takes too long."""
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=10, check=False,
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def ends_soon(since: float, ends: float, now: float) -> bool:
    """Tell whether a certificate should have been renewed by now: some live for only six days, others for a year."""
    return ends - now < min(14 * DAY, (ends - since) / 4)


# --- what the host knows


def look(app: str) -> State:
    """Return what there is for a project's site; nothing if nothing serves a certificate of this bundle for it."""
    home = ETC / app / "certificate"
    with contextlib.suppress(ValueError):
        site = json.loads(read(home / "site.json") or "{}")
        path = home / "fullchain.pem"
        block = BLOCK.search(read(path))
        server = server_of(app, path)
        if not site or not block or not server:
            return {}
        found = {"app": app, "server": server, **site, **dates(block[0]), **served(site, block[0])}
        return {**found, **renewals(app)} if site["source"] == "acme" else found
    return {}


def server_of(app: str, path: Path) -> str:
    """Return what serves a project's certificate, according to its configuration: nginx, or HAProxy on an edge."""
    if f" {path};" in read(ETC / "nginx" / "sites-enabled" / f"{app}.conf"):
        return "nginx"
    return "HAProxy" if f" crt {path} " in read(ETC / "haproxy" / "haproxy.cfg") else ""


def dates(certificate: str) -> State:
    """Return a certificate's `serial`, `since` and `ends`, and its `issuer`."""
    shown = output(
        "openssl", "x509", "-noout", "-serial", "-dates", "-issuer", "-nameopt", "RFC2253", given=certificate
    )
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    since, ends = (ssl.cert_time_to_seconds(values[name]) for name in ("notBefore", "notAfter"))
    return {"serial": values["serial"], "since": since, "ends": ends, "issuer": values["issuer"]}


def served(site: State, certificate: str) -> State:
    """Return whether a certificate is `served` (None if the server could not be asked), and what it `serves`."""
    wanted, deadline = ssl.PEM_cert_to_DER_cert(certificate), time.monotonic() + SETTLES
    while True:
        try:
            came = greet(site["names"][0], site["port"])
        except (OSError, ValueError) as error:
            return {"served": None, "serves": str(error)}
        if came == wanted:
            return {"served": True, "serves": ""}
        if time.monotonic() > deadline:
            other = dates(ssl.DER_cert_to_PEM_cert(came))
            return {"served": False, "serves": f"serial {other['serial']}, until {day(other['ends'])}"}
        time.sleep(0.2)


def greet(name: str, port: int) -> bytes:
    """Return the certificate that this host serves for a name, whoever issued it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = re.fullmatch(r"[0-9.]+|.*:.*", name)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as way,
        context.wrap_socket(way, server_hostname=None if address else re.sub(r"^\*\.", "www.", name)) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


def renewals(app: str) -> State:
    """Return how the last renewal went (`last`, `failed`: `at`, `code`, `said`), and whether more will come.

    `active` says whether something will try again, `next` when, if that is known.
    """
    timer = f"{TIMER}.timer"
    if SYSTEMD.is_dir():
        asked = output("systemctl", "show", timer, "--property=ActiveState,NextElapseUSecRealtime")
        values = dict(line.split("=", 1) for line in asked.splitlines() if "=" in line)
        active, at = values.get("ActiveState") == "active", values.get("NextElapseUSecRealtime", "")
    else:
        active, at = (ETC / "cron.d" / TIMER).exists() and proc.is_called("cron"), "within eight hours, by cron"
    return {"active": active, "next": at, "last": noted(app, "last"), "failed": noted(app, "failed")}


def noted(app: str, kind: str) -> State:
    """Return what a renewal noted; nothing if there was none."""
    first, _, said = read(NOTES / f"{app}.{kind}").partition("\n")
    if not re.fullmatch(r"\d+ \d+", first):
        return {}
    at, code = first.split()
    return {"at": int(at), "code": int(code), "said": said.strip().splitlines()}


# --- what that means


def day(moment: float) -> str:
    """A moment as a date, for people."""
    return time.strftime("%Y-%m-%d", time.gmtime(moment))


def minute(moment: float) -> str:
    """A moment to the minute, for people."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


def faults(state: State, now: float) -> Iterator[tuple[str, list[str]]]:
    """Yield what somebody must attend to: one of the doctor's codes, and what was seen."""
    if not state:
        return
    if state["served"] is False:
        yield "E032_CERT_NOT_SERVED", [f"there: serial {state['serial']}, until {day(state['ends'])}",
                                       f"served: {state['serves']}"]  # fmt: skip
    if state["source"] == "acme":
        last = state["last"]
        if last.get("code"):
            yield "E031_RENEWAL_FAILED", [f"{minute(last['at'])}, with exit code {last['code']}", *last["said"][-6:]]
        if not state["active"]:
            yield "E033_RENEWAL_OFF", []
    if now > state["ends"]:
        yield "E021_CERT_EXPIRED", [f"on {minute(state['ends'])}"]
    elif ends_soon(state["since"], state["ends"], now):
        yield "W029_CERT_EXPIRES_SOON", [f"on {minute(state['ends'])}"]


def renewed_by(state: State) -> str:
    """The command that brings a new certificate."""
    given = f"ansible-playbook site.yml --tags certificate,{state.get('server', 'nginx').lower()}"
    if state["source"] == "acme":
        return "on the host: /usr/local/sbin/channels-renew"
    return given if state["source"] == "self_signed" else f"certificate_chain and certificate_key, then {given}"


def lines(state: State, now: float) -> list[str]:
    """Return what is known about a certificate, for people."""
    days = int((state["ends"] - now) // DAY)
    due = state["since"] + (state["ends"] - state["since"]) * RENEWED_AFTER
    shown = [
        f"certificate: {state['source']}, for {', '.join(state['names'])}",
        f"  of {state['issuer']}, serial {state['serial']}",
        f"  until {minute(state['ends'])}: " + (f"{days} days left" if now < state["ends"] else "it has expired"),
        f"  {state.get('server', 'nginx')} " + {True: "serves it", False: f"serves another one: {state['serves']}",
                      None: f"could not be asked: {state['serves']}"}[state["served"]],
    ]  # fmt: skip
    if state["source"] == "acme":
        last, failed = state["last"], state["failed"]
        shown.append("  renewed when the authority says so" + f"; asked next: {state['next'] or 'not known'}"
                     if state["active"] else "  not renewed: nothing asks the authority")  # fmt: skip
        how = f"ended with code {last['code']}" if last.get("code") else "went well"
        shown.append(f"  last tried {minute(last['at'])}: {how}" if last else "  not tried yet")
        if failed:
            shown.append(f"  last failed {minute(failed['at'])}")
        if last.get("code"):
            shown += [f"    {line}" for line in last["said"]]
    else:
        another = {"self_signed": "made by the first run after", "provided": "yours to bring; begin by"}
        shown.append(f"  the next one is {another[state['source']]} {day(due)}: {renewed_by(state)}")
    return shown
