"""The report of a proof: each thing that was tried, and for each that failed the doctor's code, cause and fix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..doctor.case import Case, Finding
from ..doctor.catalogue import HOPS
from ..doctor.diagnosis import diagnose
from ..doctor.page import mending

#: The hop that each result is about, by its id; those of processes are `handshake_<n>`.
PROVEN = {
    "process": "process", "environment": "process", "steady": "process", "workers": "process",
    "application": "import", "channel_layer": "layer",
    "redis_py": "idle", "http": "process", "handshake_nginx": "proxy", "token": "token", "refused_no": "token",
    "refused_bad": "token", "refused_expired": "token", "idle": "idle", "broadcast": "layer", "outside": "edge",
    "foreign_origin": "origin", "logs": "token", "refusals": "token", "echo": "origin", "pages": "origin",
}  # fmt: skip
MARKS = {"passed": "ok  ", "warned": "WARN", "failed": "FAIL", "skipped": "skip"}
STATES = {"failed": "broken", "passed": "ok", "warned": "ok"}
#: The parts of a finding that a result has.
TOLD = ("code", "cause", "fix", "settings", "commands")
NOTHING: Finding = {"code": "", "cause": "", "fix": "", "settings": {}, "commands": []}


def report_of(
    results: list[dict[str, Any]], evidence: dict[str, Any], edges: Mapping[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The report: `results` with their findings, and what a diagnosis has (`verdict`, `finding`, `noticed`, `hops`).

    If all went well on the host, there is no evidence from it, and the findings come from the results alone. `edges`
    has the evidence for results that went through one, by its name: one edge says nothing of another.
    """
    case = Case(evidence)
    failed = any(each["state"] == "failed" for each in results)
    diagnosis = diagnose(evidence) if failed else {"finding": None, "noticed": [], "hops": []}
    found = _errors_and_more(diagnosis)
    through = {name: _errors_and_more(diagnose(own)) for name, own in (edges or {}).items() if own is not evidence}
    told, by_code = [], {each["code"]: each for each in found}
    for each in results:
        bare = {key: value for key, value in each.items() if key != "hints"}
        finding = NOTHING
        if each["state"] in ("failed", "warned"):
            finding = _finding(each, through.get(each.get("edge", ""), found), case)
            finding = by_code.setdefault(finding["code"], finding)
            finding["seen"] = [*finding["seen"], f"{each['title']}: {each['seen']}"]
        told.append({**bare, **{key: finding[key] for key in TOLD}})
    codes = [each["code"] for each in told if each["state"] == "failed"]
    first = diagnosis["finding"] or (by_code[codes[0]] if codes else None)
    return {
        "verdict": first["code"] if first else "OK", "ok": not failed, "finding": first,
        "noticed": [each for each in by_code.values() if each is not first],
        "hops": diagnosis["hops"] if diagnosis["finding"] else _hops(results, evidence["url"]), "results": told,
        "not_proven": [each["title"] for each in results if each["state"] == "skipped"],
    }  # fmt: skip


def _errors_and_more(diagnosis: dict[str, Any]) -> list[Finding]:
    return [each for each in [diagnosis["finding"], *diagnosis["noticed"]] if each]


def _finding(entry: dict[str, Any], found: list[Finding], case: Case) -> Finding:
    """The finding that a result is a sign of."""
    hints, hop = entry["hints"], _hop(entry)
    values = {"hop": hop, **hints.get("values", {})}
    errors = [each for each in found if each["severity"] == "error"]
    if code := hints.get("code"):
        return next((each for each in found if each["code"] == code), None) or case.find(code, **values)
    here = [each for each in errors if each["hop"] == hop]
    if here or (errors and "guess" not in hints):
        return [*here, *errors][0]
    if guess := hints.get("guess"):
        return case.find(guess, **values)
    fix = hints.get("fix") or case.log_command
    return case.find("E905_UNEXPLAINED", hop=hop, what=entry["seen"], likely="", fix=fix)


def _hop(entry: dict[str, Any]) -> str:
    named = PROVEN.get(entry["id"], "process")
    return str(entry.get("hints", {}).get("hop") or named)


def _hops(results: list[dict[str, Any]], url: str) -> list[dict[str, Any]]:
    """The hops, as far as the results show them."""
    states = dict.fromkeys(HOPS, "unknown")
    for entry in results:
        state, hop = STATES.get(entry["state"]), _hop(entry)
        if state and states[hop] != "broken":
            states[hop] = state
    if states["edge"] == "ok":
        states |= dict.fromkeys(("name", "tcp"), "ok") | ({"tls": "ok"} if url.startswith("wss:") else {})
    return [{"id": hop, "title": title, "state": states[hop], "ms": None, "detail": ""} for hop, title in HOPS.items()]


def lines(results: list[dict[str, Any]]) -> Iterator[str]:
    """Each result in a line that a tired person understands, and what failures mean, once for each cause."""
    known: set[str] = set()
    for entry in results:
        yield f"{MARKS[entry['state']]} {entry['title']}: {entry['seen']}"
        if entry["code"] in known:
            yield f"     {entry['code']}, as above"
        elif entry["code"]:
            known.add(entry["code"])
            yield f"     {entry['code']}: {entry['cause']}"
            yield from (f"   {line}" for line in mending(entry))
    if untried := [entry["title"] for entry in results if entry["state"] == "skipped"]:
        yield f"not proven, as nothing is set that it could be tried with: {'; '.join(untried)}"
