"""Action that says why a WebSocket does not connect; see `plugins/modules/doctor_report.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.color import stringc
from ansible.utils.display import Display

from ..module_utils.doctor import controller, sharing
from ..module_utils.doctor.diagnosis import diagnose
from ..module_utils.doctor.notices import notices
from ..module_utils.doctor.page import lines, page, plain


class ActionModule(ActionBase):
    """The action `doctor_report`."""

    _requires_connection = False
    _VALID_ARGS = frozenset(
        ("name", "url", "query", "origin", "foreign_origin", "token", "collected", "idle_seconds", "timeout",
         "validate_certs", "ca_path", "report", "headers", "subprotocols", "connect_to", "fleet", "notices", "share")
    )  # fmt: skip

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look, diagnose, write the report, and show the summary."""
        super().run(tmp, task_vars)
        args, collected = self._task.args, self._task.args.get("collected") or {}
        evidence = controller.evidence_of(args, collected)
        versions = ((evidence["host"] or {}).get("project") or {}).get("versions", {})
        report = {
            "schema": controller.SCHEMA, "name": evidence["name"], "url": evidence["url"],
            "at": controller.stamp(evidence["now"]), **diagnose(evidence), "versions": versions,
            "evidence": evidence,
        }  # fmt: skip
        token = args.get("token") or collected.get("token") or ""
        report = controller.masked(report, controller.secrets_of_query(args, token))
        path = os.path.realpath(args["report"]) if args.get("report") else ""
        # The report is this task's result, not a host's state, so it does not count as a change.
        masks = None
        if args.get("share"):
            masks = sharing.masks_of(report, sharing.names_of(task_vars or {}))
            report = masks.mask(report)
            if path:
                target = sharing.shown_path(path, masks)
                sharing.write(target, report, page(report), lines(report, plain))
                path = os.path.relpath(target)
        elif path:
            controller.write(Path(path), report)
        noted = []
        if (evidence["host"] or {}).get("bundle"):
            told = notices(args.get("notices") or {}, collected.get("backup"), evidence["now"])
            noted = [f"  {line}" for line in (masks.mask(told) if masks else told)]
        shown = lines(report, lambda text, colour: stringc(text, colour))
        Display().display("\n".join(["", *shown, *noted, f"  {path}" if path else ""]))
        plainly = [*lines(report, plain), *noted]
        return {"changed": False, "verdict": report["verdict"], "ok": report["ok"], "lines": plainly}
