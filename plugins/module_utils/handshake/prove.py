"""The proof on a host: all steps in their order, and what the doctor sees if one of them fails."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..doctor.examination import Examination
from .host import Host
from .results import Proof
from .steps.application import check_application, check_layer, check_redis_py
from .steps.handshakes import check_good, check_refused
from .steps.logs import check_logs
from .steps.pages import check_http, check_pages
from .steps.processes import check_environment, check_processes, check_steady
from .steps.silence import check_broadcast, check_silence


def prove(host: Host, proof: Proof) -> None:
    """Run all steps; those that cannot be tried say so."""
    begun = time.time()
    watched = [*host.params["logs"], *host.manager_logs, host.params["access_log"]]
    offsets = {path: os.path.getsize(path) for path in watched if path and os.path.exists(path)}
    if host.generation:
        host.gather()
    if not check_processes(host, proof) and not host.generation:
        return
    check_environment(host, proof)
    check_application(host, proof)
    check_layer(host, proof)
    check_redis_py(host, proof)
    check_http(host, proof)
    check_pages(host, proof)
    opened = check_good(host, proof)
    aside = Proof()
    # During the silence, which must begin at once: it shows how long after its handshake a socket was closed.
    with ThreadPoolExecutor(1) as pool:
        refusing = pool.submit(check_refused, host, aside, opened) if host.sockets else None
        still_open = check_silence(host, proof, opened) if opened else []
    if refusing:
        refusing.result()
        proof.results += aside.results
    if opened:
        opened = still_open
        check_broadcast(host, proof, opened)
    else:
        proof.skipped("idle", "Silent sockets stay open", "no socket could be opened")
    for _, websocket in opened:
        websocket.close()
    check_logs(host, proof, offsets, begun)
    check_steady(host, proof)


def why(host: Host) -> dict[str, Any]:
    """What the doctor sees on this host, with how the proof's own silent sockets ended: evidence of why it failed."""
    named = (
        "app",
        "url",
        "query",
        "headers",
        "subprotocols",
        "origin",
        "foreign_origin",
        "token_command",
        "expired_token_command",
        "timeout",
        "asked_at",
        "probe",
    )
    asked = {name: host.params[name] for name in named}
    examination = Examination({**asked, "token": host.tokens["good"], "idle_seconds": 0})
    examination.secrets += host.secrets
    examination.examine()
    # The proof watched for longer, and this is what it has reported.
    examination.evidence["steady"] = host.steady
    evidence = examination.shown()
    for each in evidence["exchanges"]:
        place = each["to"] if each["via"] == "process" else "nginx"
        if each["kind"] == "good" and place in host.closed:
            each["close"] = host.closed[place]
    return evidence
