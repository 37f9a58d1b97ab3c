"""Whether what a generation has started stays alive, its workers too: what the host's own tool says, at two moments."""

from __future__ import annotations

import json
import time
from typing import Any

from . import raw

#: A process that was started again this often, the last time within this many seconds, keeps dying.
OFTEN, LATELY = 3, 60.0
#: Seconds for which a process that was started again, and has run since, is worth mentioning.
REMEMBERED = 3600.0
#: The kind of a process that is neither `server` (Daphne or uvicorn) nor `wsgi` (gunicorn beside them).
WORKER = "worker"


class Watch:
    """A look at a generation's processes when it is made, and another one at the end."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        self.bundle, self.begun = bundle, time.monotonic()
        self.before = self._look()

    def _ask(self, *command: str) -> Any:
        """What the tool prints as JSON; None if it does not, such as one from an earlier bundle."""
        if not self.bundle:
            return None
        try:
            return json.loads(raw.output(f"/usr/local/sbin/{self.bundle['app']}-generations", *command))
        except ValueError:
            return None

    def _look(self) -> dict[str, dict[str, Any]] | None:
        """The processes of the generation by their names; None if the tool does not say."""
        listed = self._ask("list", "--json") or {}
        for row in listed.get("generations", []):
            if row.get("generation") == self.bundle["generation"] and "processes" in row:
                return {f"{each['unit']}@{each['instance']}": each for each in row["processes"]}
        return None

    def end(self) -> dict[str, Any]:
        """What became of the processes: all of them, with what is wrong in `what` and the last lines of those in `log`.

        `unsteady` says whether one does not run or keeps dying; others with `what` were only started again. Empty if
        nobody can tell.
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
    """What is wrong with a process, as `what`, and whether that is `unsteady`."""
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
    """The processes in what `end` returns that are workers, or those that are not; the worst first."""
    ours = [each for each in evidence.get("processes", []) if (each["kind"] == WORKER) is worker]
    return sorted(ours, key=lambda each: (not each["unsteady"], not each["what"]))
