"""How long a target is tried: until it is right, until its answer will not change, or until the time is over."""

from __future__ import annotations

import json
import re
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

from ...doctor.https import REDIRECTS
from .plan import Plan

#: From an application that is there and has looked at the handshake.
REFUSALS = REDIRECTS | {400, 401, 403, 404, 405, 410, 426}
REFUSED_SECONDS = 3
REFUSING_CODES = frozenset({1000, 1008, *range(3000, 5000)})  # from a consumer that accepts, and then turns away
FAILED_SECONDS = 6  # of the same failure, with a reason in the log that will not pass
UNKNOWN_SECONDS = 12  # of the same failure without a reason: Django logs none for a page, unless it is told to
FAILED_TRIES = 4
#: A process that was started again as often as this will not live longer the next time, unless it waits for another
#: service.
DYING_TIMES = 3
REASON = re.compile(
    r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*"
    r"(?:Error|Exception|Configured|DoesNotExist|NotReady|Refused|Timeout|Mismatch|Operation|Denied)\b"
)
#: Reasons that lie with another service, which may be starting.
PASSING = re.compile(
    r"refused|timed? ?out|Errno (?:11[0-3]|-[2-5])\b|Error (?:11[0-3]|-[2-5]) connecting|reset by peer|Broken pipe|"
    r"Name or service not known|name resolution|No route to host|\bLOADING\b|MASTERDOWN|READONLY|starting up|"
    r"shutting down|not yet accepting|too many (?:clients|connections)|database is locked",
    re.IGNORECASE,
)
LOG_SECONDS = 1  # between two looks at the log

Try = Callable[[Plan, "str | None"], dict[str, Any]]


def check(plan: Plan, unix_socket: str | None, attempt: Try) -> dict[str, Any]:
    """Try one target until it is right, its answer is final, or the time to wait is over."""
    begun = time.monotonic()
    give_up = begun + plan.options["wait_seconds"]
    attempts, since, first, look_at = 0, 0.0, 0, begun + FAILED_SECONDS
    answer: tuple[object, ...] = ()
    while True:
        attempts += 1
        result = attempt(plan, unix_socket)
        now = time.monotonic()
        if result["ok"] or now + plan.options["delay"] > give_up:
            return {**result, "attempts": attempts}
        kind, *codes = kind_of(result)
        said = (kind, *codes, process_behind(unix_socket) if kind else 0)
        if said != answer:
            answer, since, first = said, now, attempts
        if kind == "refused" and now > since + REFUSED_SECONDS:
            return {**result, "attempts": attempts}
        if not kind and unix_socket and now > look_at and not process_behind(unix_socket):
            look_at, death = now + LOG_SECONDS, keeps_dying(plan)
            if death:
                result["problem"]["what"] += f" {death}."
                return {**result, "attempts": attempts}
        if kind == "failed" and now > max(since + FAILED_SECONDS, look_at) and attempts >= first + FAILED_TRIES:
            look_at, passes = now + LOG_SECONDS, may_pass(plan)
            if passes is False or (passes is None and now > since + UNKNOWN_SECONDS):
                result["problem"]["what"] += f" So it did for {now - since:.0f} s, and its process runs on."
                return {**result, "attempts": attempts}
        time.sleep(plan.options["delay"])


def kind_of(result: Mapping[str, Any]) -> tuple[str, int | None, int | None, int | None]:
    """Return whether an answer is the application's word (refused), its error (failed) or neither, and its codes.

    502 to 504 are neither: they say that something is not there yet.
    """
    http = result["http"] or {"ok": True, "status": None}
    statuses = {result["status"], None if http["ok"] else http["status"]}
    code = result["close_code"]
    kind = "refused" if statuses & REFUSALS or code in REFUSING_CODES else ""
    return kind or ("failed" if 500 in statuses or code == 1011 else ""), result["status"], http["status"], code


def process_behind(unix_socket: str | None) -> int:
    """Return the process that created a unix socket (unix(7), SO_PEERCRED); 0 if that is not known."""
    if unix_socket is None:
        return 0
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(unix_socket)
            found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return 0
    return int(struct.unpack("3i", found)[0])


def may_pass(plan: Plan) -> bool | None:
    """Tell from the log whether an error may be about something that is still to come; None if it does not say."""
    reasons = [line for line in printed(plan.options["log_command"]).splitlines() if REASON.match(line)]
    return any(PASSING.search(line) for line in reasons) if reasons else None


def keeps_dying(plan: Plan) -> str:
    """Return what the manager says of a serving process that dies again and again, for a reason that will not pass."""
    try:
        found = json.loads(printed(plan.options["unsteady_command"]) or "[]")
    except ValueError:
        return ""
    dying = [one for one in found if one["kind"] != "worker" and one["restarts"] >= DYING_TIMES]
    return next((one["what"] for one in dying if not PASSING.search("\n".join(one["log"]))), "")


def printed(command: list[str]) -> str:
    """Return what a command prints, nothing if there is none or it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=10, check=False) if command else None
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if done else ""
