"""What the doctor and the proof do on the controller: look from outside, put the evidence together, write reports."""

from __future__ import annotations

import base64
import binascii
import json
import re
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..text import report_files
from ..text.secrets import header_secrets, redact, scrub
from ..websocket import exchange
from .following import loose
from .page import page

SCHEMA = 1
#: Addresses of a name that are tried at most.
MOST_ADDRESSES = 4
#: Seconds of silence if no host is examined and nobody has said how many: more than the 5 s of redis-py 8.
ALONE = 6.5
#: Seconds for the request that is made for the sake of progress alone.
PROGRESS_SECONDS = 1.5
#: What a message says about why a host could not be asked: pattern, code.
PROBLEMS = (
    ("sudo|become|Incorrect .*password|privilege", "E902_NO_RIGHTS"),
    ("python", "E903_NO_PYTHON"),
)


def problem(collected: dict[str, Any]) -> dict[str, str]:
    """Why the host could not be asked; empty if it was asked, or if nobody wanted to."""
    if not collected or "evidence" in collected:
        return {}
    text = " ".join(str(collected.get(key) or "") for key in ("msg", "module_stderr", "module_stdout"))
    text = scrub(" ".join(text.split()))[:300]
    code = "E901_UNREACHABLE"
    if not collected.get("unreachable"):
        code = next((code for pattern, code in PROBLEMS if re.search(pattern, text, re.IGNORECASE)), code)
    return {"code": code, "error": text}


def evidence_of(args: dict[str, Any], collected: dict[str, Any]) -> dict[str, Any]:
    """Everything to judge: what was collected on the host, and what is seen from here.

    `args` are the actions' arguments: name, url, query, origin, foreign_origin, token, idle_seconds, timeout,
    validate_certs, connect_to and fleet. If no token was given, one that was made on the host takes its place.
    """
    token, query = args.get("token") or collected.get("token") or "", args.get("query") or ""
    used = token if exchange.carries_token(args) else query.rpartition("=")[2]
    host, now = collected.get("evidence"), time.time()
    cut = any(each["close"] for each in (host or {}).get("exchanges", []) if each["kind"] == "good")
    asked = {**args, "idle_seconds": silence_of(args, host, bool(collected))}
    outside = look(asked, query, token, bool(collected), cut)
    evidence: dict[str, Any] = {
        "name": args["name"], "url": args["url"], "origin": args.get("origin") or "",
        "idle_seconds": silence_of(args, host, bool(collected)),
        "now": now, "host": host, "problem": problem(collected),
        "skew": (host or {}).get("skew", 0.0), "outside": outside,
        "token": {"present": bool(used), "length": len(used), "claims": claims_of(used),
                  "minted": bool(token and not args.get("token"))},
    }  # fmt: skip
    # The names and templates only: their values may be secret.
    evidence["asked"] = {"headers": sorted(args.get("headers") or {}),
                         "subprotocols": [str(each) for each in args.get("subprotocols") or []]}  # fmt: skip
    if args.get("fleet"):
        evidence["fleet"] = args["fleet"]
    parts = urlsplit(args["url"])
    if parts.scheme == "wss" and not args.get("connect_to") and any(each["status"] for each in evidence["outside"]):
        evidence["http2"] = exchange.offers_http2(parts.hostname or "", parts.port or 443)
    return evidence


def progress(url: str) -> str:
    """How far a plain request gets from here, in one line, for the time while the host is examined."""
    came = exchange.attempt(url, via="outside", kind="http", upgrade=False, timeout=PROGRESS_SECONDS, context=loose())
    names = {"name": "Name", "tcp": "TCP", "tls": "TLS", "handshake": "Edge proxy"}
    steps = [f"✓ {names[step]} {milliseconds:.0f} ms" for step, milliseconds in came["ms"].items() if step in names]
    if came["stage"]:
        steps.append(f"✗ {names.get(came['stage'], came['stage'])}: {came['reason']}")
    return " → ".join([*steps, "on the host: processes, proxy, project, handshakes …"])


def silence_of(args: dict[str, Any], host: dict[str, Any] | None, collected: bool) -> float:
    """Seconds of silence, as asked; else as long as the examination of the host chose, or if there was none, a few."""
    asked = float(args.get("idle_seconds") or 0)
    if asked >= 0:
        return asked
    return float((host or {}).get("idle_seconds", 0)) if collected else ALONE


def claims_of(token: str) -> dict[str, float]:
    """The times in a JSON Web Token (`exp`, `nbf`, `iat`), unverified; empty for any other token."""
    try:
        payload = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return {name: float(found[name]) for name in ("exp", "nbf", "iat") if name in found}
    except (IndexError, ValueError, TypeError, KeyError, binascii.Error):
        return {}


def look(args: dict[str, Any], query: str, token: str, collected: bool, cut: bool) -> list[dict[str, Any]]:
    """Try handshakes from here, as a browser would: with the token and, if no host was asked, a foreign Origin."""
    given = f"?{exchange.filled(query, token)}" if query else ""
    options: dict[str, Any] = {"via": "outside", "timeout": float(args.get("timeout") or 5), "context": context(args),
                               "connect_to": place_of(args.get("connect_to") or "")}  # fmt: skip
    options |= exchange.offered(args, token)
    origin, foreign = args.get("origin") or "", args.get("foreign_origin") or ""
    linger = 0.0 if collected else exchange.LINGER
    # What cut the host's own silent sockets would cut this one too: waiting would show nothing new.
    idle = 0.0 if cut else float(args.get("idle_seconds") or 0)
    tries: list[dict[str, Any]] = [{"kind": "good", "origin": origin, "linger": linger, "idle": idle}]
    if foreign and not collected:
        tries.append({"kind": "foreign", "origin": foreign})
    parts = urlsplit(args["url"])
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    if not options["connect_to"]:
        places = several_addresses(parts.hostname or "", port)
        tries += [{"kind": "address", "origin": origin, "connect_to": (place, port)} for place in places]
    with ThreadPoolExecutor(len(tries)) as pool:
        return list(pool.map(lambda each: exchange.attempt(args["url"] + given, **{**options, **each}), tries))


def several_addresses(host: str, port: int) -> list[str]:
    """The addresses of a name that has more than one; those of this machine itself do not count."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    places = list(dict.fromkeys(str(each[4][0]) for each in found))
    if len(places) < 2 or any(place.startswith("127.") or place == "::1" for place in places):
        return []
    # What this machine cannot reach at all is no fault of the site: it may have no IPv6.
    return [place for place in places if ":" not in place or has_ipv6()][:MOST_ADDRESSES]


def has_ipv6() -> bool:
    """Whether this machine has a way to the internet's IPv6 addresses; nothing is sent to find out."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as way:
            way.connect(("2001:db8::1", 9))
    except OSError:
        return False
    return True


def place_of(text: str) -> tuple[str, int] | None:
    """The address and the port in `host:port`; None if there is nothing."""
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else None


def context(args: dict[str, Any]) -> ssl.SSLContext | None:
    """How certificates are checked; None is the strict way."""
    if args.get("validate_certs", True):
        if not args.get("ca_path"):
            return None
        known = ssl.create_default_context()
        known.load_verify_locations(args["ca_path"])
        return known
    return loose()


def secrets_of_query(args: dict[str, Any], token: str) -> list[str]:
    """What nobody may see of an address: the token, and values that somebody wrote out in the query."""
    values = [part.partition("=")[2] or part for part in (args.get("query") or "").split("&") if "{token}" not in part]
    values += header_secrets(args.get("headers") or {})
    return [secret for secret in [token, *values] if len(secret or "") >= 6]


def masked(report: dict[str, Any], secrets: list[str]) -> dict[str, Any]:
    """A report without known secrets, and without what looks like one."""
    whole: dict[str, Any] = scrub(redact(report, secrets))
    return whole


def stamp(now: float) -> str:
    """A time in the form that reports use."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


def write(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON and as a page, each whole or not at all."""
    report_files.write(path, report, ".html", page(report))
