"""Action that draws what Prometheus has seen of a site; see `plugins/modules/site_page.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.monitoring import page
from ..module_utils.monitoring.queries import grid, queries


class ActionModule(ActionBase):
    """The action `site_page`."""

    _VALID_ARGS = frozenset(("app", "hosts", "port", "hours", "report"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask on the host, and write what came here."""
        super().run(tmp, task_vars)
        args = self._task.args
        step, count = grid(float(args["hours"]))
        asked = {
            "address": f"127.0.0.1:{int(args['port'])}", "queries": queries(args["app"], args["hosts"], step),
            "step": step, "count": count,
        }  # fmt: skip
        came = self._execute_module("channels.stack.prometheus_ranges", module_args=asked, task_vars=task_vars)
        watcher = str((task_vars or {}).get("inventory_hostname", ""))
        if not came.get("found"):
            why = came.get("complaint") or came.get("msg") or "it could not be asked"
            return {"changed": False, "lines": [
                f"Prometheus on {watcher} does not answer at {asked['address']}, so there is no new page: {why}",
                f"look at: systemctl status prometheus, on {watcher}",
            ]}  # fmt: skip
        report = page.made(args["app"], watcher, came["found"])
        lines = page.lines(report)
        path = os.path.realpath(args["report"]) if args.get("report") else ""
        if path and not self._task.check_mode:
            page.write(Path(path), report)
            lines.append(str(Path(path).with_suffix(".html")))
        return {"changed": False, "lines": lines}
