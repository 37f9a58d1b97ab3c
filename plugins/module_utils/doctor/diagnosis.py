"""From evidence to a verdict: pure functions, so that a recorded case can be judged without host and network.

Evidence is a dict; docs/doctor.md describes it. The rules find what is wrong; this module puts the findings in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..websocket.errors import HandshakeFailed, HandshakeRefused
from ..websocket.explain import explain
from .answers import opened, refusal, told
from .case import Case, Finding
from .catalogue import BESIDE, HOPS
from .follow_codes import EXPLAINS
from .proofs import proven
from .rules import RULES


def diagnose(evidence: dict[str, Any]) -> dict[str, Any]:
    """Return the report: the verdict, its finding, what else was noticed, and the state of each hop."""
    case = Case(evidence)
    found = [finding for rule in RULES for finding in rule(case) if proven(finding["code"], case)]
    found = _without_explained(found)
    # An edge makes no tokens. Without one, a refusal shows that it has passed the handshake on.
    passed_on = case.is_edge and bool(refusal(case.outside)) and not (evidence.get("token") or {}).get("present")
    if not passed_on and not any(each["severity"] == "error" for each in found):
        found += unexplained(case)
    order = list(HOPS)
    errors = [each for each in found if each["severity"] == "error"]
    # A host that could not be asked explains nothing if the way to it is broken, or if all is well from outside.
    # What is not on the way is no reason for a handshake to fail.
    errors.sort(
        key=lambda each: (each["code"].startswith("E9"), each["code"] in BESIDE, order.index(each["hop"]))
    )  # fmt: skip
    first = errors[0] if errors else None
    noticed = _once([each for each in [*errors, *found] if each is not first], first)
    return {
        "verdict": first["code"] if first else "OK",
        "ok": first is None,
        "finding": first,
        "noticed": noticed,
        "hops": hops(case, first),
    }


def _without_explained(found: list[Finding]) -> list[Finding]:
    """The findings without those that another one explains: they are the same fault, seen by rules that know less."""
    explained = {code for each in found for code in EXPLAINS.get(each["code"], ())}
    return [each for each in found if each["code"] not in explained]


def unexplained(case: Case) -> Iterator[Finding]:
    """A handshake that fails for no known reason: the table of symptoms has the last word."""
    for came, hop in ((case.direct, "process"), (case.proxy, "proxy"), (case.outside, "edge")):
        if came and not opened(came):
            if came["stage"]:
                problem = explain(HandshakeFailed(came["stage"], came["reason"]))
            elif came["close"]:
                problem = explain(came["close"]["code"])
            else:
                problem = explain(HandshakeRefused(came["status"], "", came["headers"], came["body"]))
            hop = came["stage"] if hop == "edge" and came["stage"] in ("name", "tcp", "tls") else hop
            yield case.find("E905_UNEXPLAINED", [told(came), *_unjudged(case)], hop=hop, **problem)
            return


def _unjudged(case: Case) -> Iterator[str]:
    """What was seen besides, for whoever goes on looking: nginx's log, its request sent directly, the server's log."""
    yield from (f"nginx: {each['line']}" for each in case.nginx.get("said") or [])
    replay = case.nginx.get("replay") or {}
    yield told(replay.get("whole"))
    yield from (f"alone, {each['name']} {each['sent']} in place of {each['good']}: {told(each['came'])}"
                for each in replay.get("trials", []) if each["name"] in replay.get("causes", []))  # fmt: skip
    yield from case.log[-3:]


def _once(findings: list[Finding], first: Finding | None) -> list[Finding]:
    """Each code once, errors before warnings before notes."""
    kept: dict[str, Finding] = {}
    for each in findings:
        if not first or each["code"] != first["code"]:
            kept.setdefault(each["code"], each)
    return sorted(kept.values(), key=lambda each: ["error", "warning", "note"].index(each["severity"]))


def hops(case: Case, first: Finding | None) -> list[dict[str, Any]]:
    """Each hop with its state (`ok`, `broken`, `unknown`), its milliseconds and a detail."""
    details = _details(case)
    order = list(HOPS)
    broken = order.index(first["hop"]) if first else len(order)
    beside = first is not None and first["code"] in BESIDE
    made = []
    for index, hop in enumerate(order):
        seen, milliseconds, detail = details[hop]
        state = "broken" if index == broken else "ok" if seen and (index < broken or beside) else "unknown"
        made.append({"id": hop, "title": HOPS[hop], "state": state, "ms": milliseconds, "detail": detail})
    return made


def _details(case: Case) -> dict[str, tuple[bool, float | None, str]]:
    """For each hop: whether it was seen to work, how long it took in milliseconds, and what is worth mentioning."""
    came = case.outside or {"ms": {}, "status": 0, "to": "", "idle": 0}
    timings = came["ms"]
    inner, direct = case.proxy or {"ms": {}, "to": ""}, case.direct or {"ms": {}, "status": 0}
    server = case.processes[0] if case.processes else None
    best = case.direct or case.outside
    idle_ways = [each for each in (*case.directs, case.proxy, case.outside) if each and each["idle"] > 2.5]
    waited = max((each["idle"] for each in idle_ways), default=0)
    version = case.project.get("versions", {}).get(server["server"], "") if server else ""
    return {
        "name": ("name" in timings, timings.get("name"), case.name),
        "tcp": ("tcp" in timings, timings.get("tcp"), f"port {case.port}"),
        "tls": ("tls" in timings, timings.get("tls"), "verified" if "tls" in timings else "not used"),
        "edge": (opened(case.outside), timings.get("handshake"), f"HTTP {came['status']}" if came["status"] else ""),
        "proxy": (opened(case.proxy), inner["ms"].get("handshake"), inner["to"]),
        "process": (bool(server) and bool(direct["status"]), direct["ms"].get("handshake"),
                    f"{len(case.alive)} × {server['server'] or server['name']} {version}".strip() if server else ""),
        "import": ("import_ms" in case.project and "import_error" not in case.project,
                   case.project.get("import_ms"), case.application if case.project else ""),
        "token": (opened(best) and not refusal(best), None, "accepted" if opened(best) else ""),
        "origin": (opened(best) and not refusal(best), None, (best or {}).get("origin", "") or case.path),
        "layer": ("layer_ms" in case.project, case.project.get("layer_ms"),
                  case.project.get("layer", "").rpartition(".")[2]),
        "idle": (waited > 0, waited * 1000 if waited else None, f"silent for {waited:g} s" if waited else "not tried"),
    }  # fmt: skip
