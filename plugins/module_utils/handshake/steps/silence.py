"""6 and 7: sockets survive silence, and a message goes from one process to all others."""

from __future__ import annotations

import time
import uuid
from typing import Any

from ...websocket.client import WebSocket
from ...websocket.errors import Closed
from ...websocket.watch import watch
from ..host import Host
from ..results import Proof, tried
from ..sockets import await_nonce, echo

#: How often a message is sent, and the seconds until it is sent again: channels_redis's pub/sub layer does not wait
#: until Redis knows of a new socket (docs/projects.md).
TRIES = 3
SOON = 1.0


def check_silence(host: Host, proof: Proof, opened: list[tuple[str, WebSocket]]) -> list[tuple[str, WebSocket]]:
    """6: silent sockets stay open, and still receive, which a message to all shows if there is one; return them."""
    seconds = host.params["idle_seconds"]
    title = f"Silent sockets are still open after {seconds:g} s, and still receive"
    if seconds <= 0:
        proof.skipped("idle", title, "handshake_idle_seconds is 0")
        return opened
    reports = watch([websocket for _, websocket in opened], seconds)
    tries = [tried(f"{seconds:g} s of silence on a socket through {name}", ended(report.closed))
             for (name, _), report in zip(opened, reports, strict=True)]  # fmt: skip
    closed = [(name, report.closed) for (name, _), report in zip(opened, reports, strict=True) if report.closed]
    if closed:
        note_closed(host, proof, title, closed, tries)
        return [entry for entry, report in zip(opened, reports, strict=True) if not report.closed]
    if host.params["broadcast"] or not host.params["send"]:
        shown = "" if host.params["broadcast"] else "; whether they receive is not tested, as handshake_send is empty"
        proof.passed("idle", title, f"{len(opened)} of {len(opened)}{shown}", tries)
        return opened
    deaf = deaf_among(host, opened)
    tries += [tried(f"a message over the socket through {name}, after the silence", deaf.get(name, "its echo"))
              for name, _ in opened]  # fmt: skip
    if deaf:
        name, why = next(iter(deaf.items()))
        seen = f"all are open, but {len(deaf)} of {len(opened)} no longer answer; {name}: {why}"
        proof.failed("idle", title, seen, tries, guess="E609_DEAF", values={"error": why, "seconds": f"{seconds:g}"})
    else:
        proof.passed("idle", title, f"{len(opened)} of {len(opened)}, and each answers", tries)
    return opened


def deaf_among(host: Host, opened: list[tuple[str, WebSocket]]) -> dict[str, str]:
    """The sockets that no longer answer, and what came instead; none if no message is known to be answered."""
    if not host.params["send"]:
        return {}
    wrong = {name: echo(each, host.params["send"], uuid.uuid4().hex, host.params["timeout"]) for name, each in opened}
    return {name: why for name, why in wrong.items() if why}


def ended(closed: Closed | None) -> str:
    """How a silent socket ended, in words."""
    return f"closed with {closed.code} after {closed.at:.1f} s" if closed else "still open"


def note_closed(
    host: Host, proof: Proof, title: str, closed: list[tuple[str, Closed]], tries: list[dict[str, Any]]
) -> None:
    """Note which silent sockets were closed, how, and how long after their handshake."""
    paths = dict(zip(host.instances, host.sockets, strict=True))
    for name, end in closed:
        host.closed[paths.get(name, name)] = {"code": end.code, "reason": end.reason, "at": round(end.at, 1)}
    name, end = next((each for each in closed if each[0] in paths), closed[0])
    values = {"close": end.code, "seconds": f"{end.at:.1f}", "half": max(1, round(end.at / 2)), "timeout": "not known"}
    seen = f"{len(closed)} of {len(tries)} were closed, {name} with {end.code} {end.at:.1f} s after its handshake"
    guess = "E604_IDLE_SERVER" if name in paths else "E601_IDLE_PROXY"
    proof.failed("idle", title, seen, tries, guess=guess, values=values)


def check_broadcast(host: Host, proof: Proof, opened: list[tuple[str, WebSocket]]) -> None:
    """6 and 7: a message over a socket of one process reaches the sockets of all others, after the silence too."""
    title = "A message reaches the sockets of all processes"
    if not host.params["broadcast"]:
        proof.skipped("broadcast", title, "handshake_broadcast is empty, so it is not known what to send")
    elif len(opened) < 2:
        proof.skipped("broadcast", title, "fewer than two sockets are open")
    else:
        sender, lost = opened[0][0], {}
        for number in range(1, TRIES + 1):
            begun = time.monotonic()
            lost = missed(host, opened, host.params["timeout"] if number == TRIES else SOON)
            if not lost:
                break
        spent = (time.monotonic() - begun) * 1000
        tries = [tried(f"a message sent by {sender}, at {name}", lost.get(name, "received"), {"all": spent})
                 for name, _ in opened]  # fmt: skip
        if lost:
            seen = f"sent by {sender}, not received by " + "; ".join(f"{name}: {why}" for name, why in lost.items())
            deaf = deaf_among(host, [each for each in opened if each[0] in lost])
            values = {"error": next(iter(deaf.values()), ""), "seconds": f"{host.params['idle_seconds']:g}"}
            guess = "E609_DEAF" if deaf else "E512_NOT_SHARED"
            proof.failed("broadcast", title, seen, tries, guess=guess, values=values)
        else:
            seen = f"sent by {sender}, received by {len(opened)} sockets in {spent:.0f} ms"
            early = f"; {number - 1} sent before, so soon after the handshakes, did not reach all" if number > 1 else ""
            proof.passed("broadcast", title, seen + early, tries)


def missed(host: Host, opened: list[tuple[str, WebSocket]], seconds: float) -> dict[str, str]:
    """The sockets that a message over the first of them does not reach within some seconds, and what came instead."""
    nonce, (sender, first) = uuid.uuid4().hex, opened[0]
    wrong = {sender: echo(first, host.params["broadcast"], nonce, seconds)}
    wrong |= {name: await_nonce(websocket, nonce, seconds) for name, websocket in opened[1:]}
    return {name: why for name, why in wrong.items() if why}
