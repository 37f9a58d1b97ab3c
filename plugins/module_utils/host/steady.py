"""Whether a generation's processes stay alive, including its workers. Asks the host's own tool twice."""

from __future__ import annotations

import json
import time
from typing import Any

from . import raw

#: A process keeps dying if it was restarted this often, the last time within this many seconds.
OFTEN, LATELY = 3, 60.0
#: For this many seconds, a restart is worth mentioning even if the process has run since.
REMEMBERED = 3600.0
#: The kind of a process that is neither `server` (Daphne or uvicorn) nor `wsgi` (gunicorn beside them).
WORKER = "worker"


class Watch:
    """Looks at a generation's processes when it is created, and again at the end."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        self.bundle, self.begun = bundle, time.monotonic()
        self.before = self._look()

    def _ask(self, *command: str) -> Any:
        """Return the JSON that the tool prints; None if it prints none, such as a tool of an earlier version."""
        if not self.bundle:
            return None
        try:
            return json.loads(raw.output(f"/usr/local/sbin/{self.bundle['app']}-generations", *command))
        except ValueError:
            return None

    def _look(self) -> dict[str, dict[str, Any]] | None:
        """Return the generation's processes by their names; None if the tool does not list them."""
        listed = self._ask("list", "--json") or {}
        for row in listed.get("generations", []):
            if row.get("generation") == self.bundle["generation"] and "processes" in row:
                return {f"{each['unit']}@{each['instance']}": each for each in row["processes"]}
        return None

    def end(self) -> dict[str, Any]:
        """Return what became of the processes; empty if the tool did not answer.

        `seconds` is the time in between, and `processes` has all of them. Each has `what`, which says what is wrong,
        and `unsteady`, which is true if it does not run or keeps dying. With `what` alone, it was only restarted. If
        any process is unsteady, each also has `log`, which has the last lines of those that are.
        """
        after = self._look()
        if self.before is None or after is None:
            return {}
        told = {name: {**each, **_judged(name, self.before.get(name), each)} for name, each in after.items()}
        if any(each["unsteady"] for each in told.values()):
            said = self._ask("unsteady", "--json", f"--since={LATELY:g}", self.bundle["generation"])
            logs = {f"{each['unit']}@{each['instance']}": each["log"] for each in said or ()}
            for name, each in told.items():
                each["log"] = logs.get(name, []) if each["unsteady"] else []
        return {"seconds": round(time.monotonic() - self.begun, 1), "processes": list(told.values())}


def _judged(name: str, before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """Return what is wrong with a process as `what`, and whether it is `unsteady`."""
    restarts, age = after["restarts"], after["age"] or 0.0
    times = f"{restarts} time{'' if restarts == 1 else 's'}"
    if not after["pid"]:
        return {"what": f"{name} does not run ({after['word']}); it was started again {times}", "unsteady": True}
    if before is not None and before["pid"] != after["pid"]:
        return {"what": f"{name} ended while it was looked at; it was started again {times}", "unsteady": True}
    if restarts >= OFTEN and age < LATELY:
        return {"what": f"{name} was started again {times}, last {age:.0f} s ago", "unsteady": True}
    if restarts and age < REMEMBERED:
        return {"what": f"{name} was started again {times}, last {age / 60:.0f} min ago", "unsteady": False}
    return {"what": "", "unsteady": False}


def of_kind(evidence: dict[str, Any], worker: bool) -> list[dict[str, Any]]:
    """Return the workers, or the other processes, of a result of `end`; the worst first."""
    ours = [each for each in evidence.get("processes", []) if (each["kind"] == WORKER) is worker]
    return sorted(ours, key=lambda each: (not each["unsteady"], not each["what"]))
