"""What a failure has cost, and whether that was promised. Controller only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .plan import ALL, NONE

KEPT, MISSED, NOT_TRIED = "kept", "missed", "not tried"


def waits(attempts: Sequence[Mapping[str, Any]], since: float) -> dict[str, float | None]:
    """The longest that a client had to wait for a socket, by way; None if it never got one.

    A client whose handshake failed waits until one that came no earlier than it has got a socket. One whose handshake
    took its time has waited for that.
    """
    found: dict[str, float | None] = {}
    for way in dict.fromkeys(each["way"] for each in attempts):
        mine = [each for each in attempts if each["way"] == way and each["at"] + each["took"] >= since]
        good = [each for each in mine if not each["failure"]]
        longest: float | None = max((each["took"] for each in good), default=0.0)
        for each in (each for each in mine if each["failure"]):
            later = [one["at"] + one["took"] for one in good if one["at"] >= each["at"]]
            if not later:
                longest = None
                break
            longest = max(longest or 0.0, min(later) - each["at"])
        found[way] = longest if longest is None else round(longest, 3)
    return found


def measured(step: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, Any]:
    """The result of one step: what was broken, what that cost, and whether the promise was kept.

    `seen` has `attempts`, `held`, `lost`, `at` (when the part was broken), `healed` (when a cut ended, or None),
    `what`, `holds`, and `notes` about what had to be helped.
    """
    found = waits(seen["attempts"], seen["at"])
    missing = any(wait is None for wait in found.values())
    waited = None if missing else max((wait for wait in found.values() if wait is not None), default=0.0)
    lost = sum(seen["lost"].values())
    failures = Counter(each["failure"] for each in seen["attempts"] if each["failure"] and
                       each["at"] + each["took"] >= seen["at"])  # fmt: skip
    result = {
        **{key: step[key] for key in ("part", "title", "host", "how", "promise", "advice")},
        "what": seen["what"], "waited": waited, "ways": found, "handshakes": len(seen["attempts"]),
        "failures": dict(failures), "held": seen["held"], "lost": lost, "codes": dict(seen["lost"]),
        "allowed": allowed(step["promise"]["sockets"], seen["held"], seen["holds"]), "notes": list(seen["notes"]),
        "at": round(seen["at"], 2), "healed": seen["healed"] and round(seen["healed"], 2),
        "attempts": list(seen["attempts"]),
    }  # fmt: skip
    reasons = list(missed(result))
    return {**result, "verdict": MISSED if reasons else KEPT, "reasons": reasons}


def not_tried(step: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """The result of a step that could not be done."""
    return {
        **{key: step[key] for key in ("part", "title", "host", "how", "promise", "advice")},
        "what": "", "waited": None, "ways": {}, "handshakes": 0, "failures": {}, "held": 0, "lost": 0, "codes": {},
        "allowed": 0, "notes": [], "at": 0.0, "healed": None, "attempts": [], "verdict": NOT_TRIED,
        "reasons": [reason],
    }  # fmt: skip


def allowed(sockets: str, held: int, holds: int) -> int:
    """How many of our sockets may be lost. What the part held includes those of other clients."""
    return {NONE: 0, ALL: held}.get(sockets, min(held, holds))


def missed(result: Mapping[str, Any]) -> list[str]:
    """What was not as promised, in sentences."""
    promise, found = result["promise"], []
    if result["waited"] is None:
        ways = ", ".join(name for name, wait in result["ways"].items() if wait is None)
        found.append(f"no new socket opened any more over {ways}; {promise['seconds']:g} s were promised")
    elif result["waited"] > promise["seconds"]:
        found.append(f"a client waited {result['waited']:g} s for a socket; {promise['seconds']:g} s were promised")
    if result["lost"] > result["allowed"]:
        limit = f"at most {result['allowed']} may be" if result["allowed"] else "none may be"
        found.append(f"{result['lost']} of {result['held']} open sockets were lost; {limit}")
    return [*found, *result["notes"]]


def summed(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The verdict of a whole drill, and how many steps had which."""
    counted = Counter(each["verdict"] for each in results)
    ok = bool(results) and counted[KEPT] == len(results)
    return {"ok": ok, "kept": counted[KEPT], "missed": counted[MISSED], "not_tried": counted[NOT_TRIED]}
