"""Action that opens many sockets from here and looks at the host meanwhile; see `plugins/modules/load.py`."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.doctor import controller
from ..module_utils.load import judge, report
from ..module_utils.load.clients import Crowd, room_for
from ..module_utils.websocket import exchange
from ..module_utils.websocket.client import open_websocket
from ..module_utils.websocket.dependency import HAS_WSPROTO


class ActionModule(ActionBase):
    """The action `load`."""

    _VALID_ARGS = frozenset(
        ("app", "name", "sockets", "at_once", "hold_seconds", "plan_sockets", "url", "query", "headers", "subprotocols",
         "token", "complaint", "origin", "validate_certs", "ca_path", "connect_to", "timeout", "report")
    )  # fmt: skip

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look, open, look, hold, look, close; then judge and report."""
        super().run(tmp, task_vars)
        if not HAS_WSPROTO:
            return {"failed": True, "msg": "wsproto is not installed beside Ansible: make tools"}
        args = self._task.args
        number = int(args["sockets"])
        look = partial(self._look, task_vars)
        if args.get("complaint"):
            return {"failed": True, "msg": f"No token for the sockets: {args['complaint']}"}
        first = look()
        if first.get("failed"):
            return {"failed": True, "msg": first.get("msg") or "the host could not be asked"}
        if self._task.check_mode:
            return {"changed": False, "lines": [f"Would open {number} sockets"], "result": {}, "sizing": {}}
        if (fits := room_for(number)) < number:
            return {"failed": True, "msg": f"This machine may open only {fits} sockets, not {number}: ulimit -Hn"}
        token = args.get("token") or ""
        crowd = Crowd(partial(opened, args, token), int(args["at_once"]))
        try:
            crowd.open(number)
            second = look()
            time.sleep(float(args["hold_seconds"]))
            third = look()
        finally:
            crowd.close()
        if second.get("failed") or third.get("failed"):
            return {"failed": True, "msg": "The host could not be asked while the sockets were open"}
        return self._report(args, token, crowd, [each["sample"] for each in (first, second, third)])

    def _look(self, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Have a module look at the host."""
        given = {"app": self._task.args["app"]}
        found: dict[str, Any] = self._execute_module("channels.stack.load_host", module_args=given, task_vars=task_vars)
        return found

    def _report(self, args: dict[str, Any], token: str, crowd: Crowd, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Judge, write the report, and return it."""
        result = judge.measured(crowd, *samples)
        plan = int(args.get("plan_sockets") or 0) or result["opened"]
        told = {
            "schema": controller.SCHEMA, "name": args["name"], "url": args["url"], "at": controller.stamp(time.time()),
            "result": result, "sizing": judge.sizing_of(plan, samples), "samples": samples,
        }  # fmt: skip
        told = controller.masked(told, controller.secrets_of_query(args, token))
        if args.get("report"):
            report.write(Path(os.path.realpath(args["report"])), told)
        return {"changed": False, "lines": list(report.lines(told)), "result": told["result"], "sizing": told["sizing"]}


def opened(args: dict[str, Any], token: str) -> Any:
    """Open one socket from here, as a browser would."""
    query = f"?{args['query']}" if args.get("query") else ""
    return open_websocket(
        exchange.filled(args["url"] + query, token), origin=args.get("origin") or None, timeout=float(args["timeout"]),
        connect_to=args.get("connect_to") or None, ssl_context=controller.context(args),
        **exchange.offered(args, token),
    )  # fmt: skip
