"""Action that watches a site's clients while a part of it is broken; see `plugins/modules/drill_part.py`."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ..module_utils.doctor import controller
from ..module_utils.drill import judge
from ..module_utils.drill.watch import Watch
from ..module_utils.load.clients import room_for
from ..module_utils.websocket import exchange
from ..module_utils.websocket.client import WebSocket, open_websocket
from ..module_utils.websocket.dependency import HAS_WSPROTO

MODULE = "channels.stack.drill_part"
#: Seconds in which all clients must get sockets before anything is broken, and how long to wait for that.
READY, READY_PATIENCE = 2.0, 60.0
#: Seconds that a cut lasts longer than it is to, if nobody heals it.
SPARE = 30


class ActionModule(ActionBase):
    """The action `drill_part`."""

    _VALID_ARGS = frozenset(
        ("state", "app", "step", "ways", "query", "headers", "subprotocols", "token", "complaint", "validate_certs",
         "ca_path", "timeout", "sockets", "interval", "settle_seconds", "patience_seconds", "cut_seconds")
    )  # fmt: skip

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look or mend; or watch, break, wait, mend and judge."""
        super().run(tmp, task_vars)
        args = self._task.args
        step = args.get("step")
        if not step:
            return self._do(task_vars, state=args.get("state", "looked"))
        if self._task.check_mode:
            return {"changed": False, "result": judge.not_tried(step, "only check mode")}
        if not HAS_WSPROTO:
            return {"failed": True, "msg": "wsproto is not installed beside Ansible: make tools"}
        if args.get("complaint"):
            return {"changed": False, "result": judge.not_tried(step, f"no token: {args['complaint']}")}
        if (fits := room_for(int(args["sockets"]))) < int(args["sockets"]):
            return {"failed": True, "msg": f"This machine may open only {fits} sockets: ulimit -Hn"}
        token = args.get("token") or ""
        found = self._step(step, task_vars, token)
        return {"changed": True, "result": controller.masked(found, controller.secrets_of_query(args, token))}

    def _do(self, task_vars: dict[str, Any] | None, **options: Any) -> dict[str, Any]:
        """Have the module do something on the host."""
        given = {"app": self._task.args["app"], **options}
        try:
            found: dict[str, Any] = self._execute_module(MODULE, module_args=given, task_vars=task_vars)
        except AnsibleConnectionFailure as error:  # as unreachable, it would end the run, and nothing would be mended
            return {"failed": True, "msg": str(error)}
        return found

    def _step(self, step: dict[str, Any], task_vars: dict[str, Any] | None, token: str) -> dict[str, Any]:
        """Break a part while clients come, and say what that cost."""
        args = self._task.args
        ways = {way["name"]: partial(opened, args, way, token) for way in args["ways"]}
        watch = Watch(ways, int(args["sockets"]), float(args["interval"]))
        try:
            watch.begin()
            if not watch.await_works(watch.now(), READY, READY_PATIENCE) or watch.lost() or watch.refusals():
                return judge.not_tried(step, f"handshakes fail already: {self._why(watch)}")
            seen = self._break(step, task_vars, watch)
        finally:
            watch.end()
        if "failed" in seen:
            return judge.not_tried(step, seen["failed"])
        return judge.measured(step, {**seen, "attempts": watch.attempts})

    def _break(self, step: dict[str, Any], task_vars: dict[str, Any] | None, watch: Watch) -> dict[str, Any]:
        """Break the part, and wait until the site works again; whatever happens, undo what is left of it."""
        args = self._task.args
        cuts = bool(step["addresses"])
        seconds, settle, patience = (float(args[f"{name}_seconds"]) for name in ("cut", "settle", "patience"))
        at, healed, notes = watch.now(), None, []
        try:
            broken = self._do(task_vars, state="broken", part=step["part"], addresses=step["addresses"],
                              seconds=int(seconds) + SPARE)  # fmt: skip
            if broken.get("failed"):
                return {"failed": broken.get("msg") or "the host could not be asked"}
            if cuts:
                time.sleep(seconds)
                self._do(task_vars, state="mended")
                healed = watch.now()
            back = watch.await_works(at if healed is None else healed, settle, patience)
        finally:
            mended = self._do(task_vars, state="mended").get("mended", [])
        notes += mended
        if not back and mended:
            watch.await_works(watch.now(), settle, patience)
        return {
            "what": broken["what"], "holds": broken["holds"], "at": at, "healed": healed, "notes": notes,
            "held": watch.held(), "lost": watch.lost(),
        }  # fmt: skip

    @staticmethod
    def _why(watch: Watch) -> str:
        """Why clients got no sockets before anything was broken."""
        failed = [f"{each['way']}: {each['failure']}" for each in watch.attempts if each["failure"]]
        ended = [f"{number} sockets ended with {code}" for code, number in watch.lost().items()]
        return "; ".join(dict.fromkeys([*watch.refusals(), *failed[-3:], *ended])) or "they take very long"


def opened(args: dict[str, Any], way: dict[str, Any], token: str) -> WebSocket:
    """Open one socket from here, as a browser would."""
    query = f"?{args['query']}" if args.get("query") else ""
    return open_websocket(
        exchange.filled(way["url"] + query, token), origin=way.get("origin") or None, timeout=float(args["timeout"]),
        connect_to=way.get("connect_to") or None, ssl_context=controller.context(args),
        **exchange.offered(args, token),
    )  # fmt: skip
