"""Action that says what a drill has found; see `plugins/modules/drill_report.py`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.doctor import controller
from ..module_utils.drill import judge, report

LATER = "the site was not whole again after what was tried before"


class ActionModule(ActionBase):
    """The action `drill_report`."""

    _requires_connection = False
    _VALID_ARGS = frozenset(("name", "steps", "results", "shape", "problems", "report"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Put the results together, and write the report."""
        super().run(tmp, task_vars)
        args = self._task.args
        tried = {each["part"]: each for each in args["results"]}
        results = [tried.get(each["part"]) or judge.not_tried(each, LATER) for each in args["steps"]]
        told = report.made(
            args["name"], controller.stamp(time.time()), results, args.get("shape") or [], args.get("problems") or []
        )
        path = os.path.realpath(args["report"]) if args.get("report") else ""
        lines = list(report.lines(told))
        if path:
            report.write(Path(path), told)
            lines.append(str(Path(path).with_suffix(".html")))
        return {"changed": False, "ok": told["ok"], "lines": lines}
