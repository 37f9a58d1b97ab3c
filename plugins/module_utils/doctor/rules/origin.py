"""Origin, Host, route and the consumer's connect()."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..answers import cut_late, opened, refusal, told
from ..case import Case, Finding, of_text
from ..https import judge
from ..signatures import AT_START, signature
from .layer import code_of, elsewhere


def origin(case: Case) -> Iterator[Finding]:
    """Origin, Host, route and the consumer's connect()."""
    if host_refused(case):
        allowed = ", ".join(case.project["allowed_hosts"]) or "empty"
        yield case.find("E406_ALLOWED_HOSTS", [told(case.one("process", "http")), f"ALLOWED_HOSTS: {allowed}"],
                        settings=allowing(case, case.name))  # fmt: skip
    came = case.direct
    if came and (came["status"] >= 500 or (came["close"] or {}).get("code") == 1011) and not cut_late(came):
        yield _raised(case, came)
    tried = case.one("process", "foreign") or case.one("outside", "foreign")
    if tried and opened(tried) and not refusal(tried):
        yield case.find("W407_ORIGIN_UNCHECKED", f"Origin {tried['origin']}: 101")
    for code, seen, values in judge(case.project["page"]) if "page" in case.project else ():
        yield case.find(code, seen, **values)


def host_refused(case: Case) -> bool:
    """Whether Django refuses the Host header; an Origin of the same host is refused for the same reason."""
    http, allowed = case.one("process", "http"), case.project.get("allowed_hosts")
    return bool(http and http["status"] == 400 and allowed is not None and not _allows(allowed, case.name))


def allowing(case: Case, host: str) -> dict[str, Any]:
    """The setting that adds a host to ALLOWED_HOSTS, if it is known which environment variable holds it."""
    name = case.project.get("allowed_hosts_from")
    return {"release_environment": {name: ",".join([*case.project["allowed_hosts"], host])}} if name and host else {}


def _raised(case: Case, came: dict[str, Any]) -> Finding:
    """The application failed during the handshake: its log says why."""
    text = [*case.log, *came["body"].splitlines()]
    for line in reversed(text):
        code = signature(line)
        if code and code not in AT_START and not (code == "E501_REDIS_DOWN" and elsewhere(case, line)):
            # The layer's own test explains a Redis error better than the error's name alone.
            known = signature(case.project.get("layer_error", ""))
            return of_text(case, known if code.startswith("E5") and known else code, line, [told(came)])
    if error := case.project.get("layer_error", ""):
        return of_text(case, code_of(case, error), error, [told(came)])
    if error := case.project.get("database_error", ""):
        return case.find("E513_DATABASE", [told(came), error], error=error[:200])
    errors = [
        line.strip()
        for line in text
        if re.match(r"^\s*[\w.]*(Error|Exception|Timeout|DoesNotExist|Operation|Configured)\b", line)
    ]
    last = errors[-1] if errors else "see its log"
    return case.find("E408_CONSUMER_RAISES", [told(came), *errors[-1:]], error=last[:200],
                     status=came["status"] if came["status"] != 101 else "101 and close 1011")  # fmt: skip


def _allows(allowed: list[str], host: str) -> bool:
    return any(
        each in ("*", host) or (each.startswith(".") and (host == each[1:] or host.endswith(each))) for each in allowed
    )
