"""Action that proves from the controller that a WebSocket works; see `plugins/modules/handshake_report.py`."""

from __future__ import annotations

import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.doctor import controller, sharing
from ..module_utils.doctor.notices import notices
from ..module_utils.doctor.page import page
from ..module_utils.handshake import report as doctor_proof
from ..module_utils.handshake.results import result, since, tried, tried_socket
from ..module_utils.handshake.sockets import (
    ACCEPTED,
    LINGER,
    closed_within,
    echo,
    refusal,
    unwelcome,
)
from ..module_utils.websocket import exchange
from ..module_utils.websocket.client import WebSocket, open_websocket
from ..module_utils.websocket.dependency import HAS_WSPROTO
from ..module_utils.websocket.errors import HandshakeFailed, HandshakeRefused
from ..module_utils.websocket.explain import NO_SUBPROTOCOL, explain

#: Statuses that reject a foreign Origin; some frameworks call it a bad request.
REFUSING = (400, 401, 403)
#: Under which an attempt has the name of the edge that it goes through.
EDGE = "edge"


class ActionModule(ActionBase):
    """The action `handshake_report`."""

    _requires_connection = False
    _VALID_ARGS = frozenset(
        ("name", "collected", "url", "query", "token", "origin", "foreign_origin", "send", "validate_certs", "timeout",
         "report", "headers", "subprotocols", "ca_path", "connect_to", "edges", "notices", "share")
    )  # fmt: skip

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Try it from here, judge everything, write the report, and fail if something failed."""
        super().run(tmp, task_vars)
        if not HAS_WSPROTO:
            return {"failed": True, "msg": "wsproto is not installed beside Ansible: make tools"}
        args, collected = self._task.args, self._task.args["collected"]
        # A token that was given is masked in the module's result.
        token = args.get("token") or collected["token"]
        ways = [{**args, EDGE: name, "connect_to": place} for name, place in (args.get("edges") or {}).items()]
        tried = try_ways(ways or [args], token)
        results = [*collected["results"], *(each for _, each in tried)]
        failed = [each for each in results if each["state"] == "failed"]
        evidence: dict[str, Any] = {"name": args["name"], "url": args["url"], "now": time.time()}
        looked: dict[str, dict[str, Any]] = {}
        if failed:
            looked = look_through([way for way, each in tried if each["state"] == "failed"] or (ways or [args])[:1],
                                  collected)  # fmt: skip
            evidence = next(iter(looked.values()))
        report = {
            "schema": controller.SCHEMA, "name": args["name"], "url": args["url"],
            "at": controller.stamp(evidence["now"]), **doctor_proof.report_of(results, evidence, looked),
            "versions": collected["versions"], "evidence": evidence if failed else None,
        }  # fmt: skip
        report = controller.masked(report, controller.secrets_of_query(args, token))
        # The report is this task's result, not a host's state, so it does not count as a change.
        path = os.path.realpath(args["report"]) if args.get("report") else ""
        masks = None
        if args.get("share"):
            masks = sharing.masks_of(report, sharing.names_of(task_vars or {}))
            report = masks.mask(report)
            target = sharing.shown_path(path, masks) if path else None
            path = os.path.relpath(target) if target else ""
            if target and not self._task.check_mode:
                sharing.write(target, report, page(report), doctor_proof.lines(report["results"]))
        elif path and not self._task.check_mode:
            controller.write(Path(path), report)
        lines = list(doctor_proof.lines(report["results"]))
        if failed:
            told = "\n".join(lines)
            head = f"{len(failed)} of {len(results)} checks failed on {report['name']}, {report['verdict']}"
            where = f"All of it as data and as a page: {path or 'handshake_report names no file'}"
            return {"failed": True, "msg": f"{head}:\n{told}\n{where}"}
        noted = notices(args.get("notices") or {}, collected.get("backup"), evidence["now"])
        lines += masks.mask(noted) if masks else noted
        return {"changed": False, "lines": lines, "results": report["results"]}


def try_ways(ways: list[dict[str, Any]], token: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Try each way from here; return each result beside its way."""
    with ThreadPoolExecutor() as pool:
        trying = [(way, pool.submit(attempt, way, token)) for way in ways for attempt in (try_outside, try_foreign)]
    return [(way, each.result() | ({EDGE: way[EDGE]} if way.get(EDGE) else {})) for way, each in trying]


def look_through(ways: list[dict[str, Any]], collected: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is seen through each edge that fails, by its name; over another, there may be nothing, or something else."""
    named = {way.get(EDGE, ""): way for way in ways}
    with ThreadPoolExecutor() as pool:
        looked = pool.map(controller.evidence_of, named.values(), [collected] * len(named))
        return dict(zip(named, looked, strict=True))


def opened(args: dict[str, Any], token: str, origin: str) -> WebSocket:
    """Open a WebSocket from here, as a browser would."""
    query = f"?{args['query']}" if args.get("query") else ""
    return open_websocket(
        exchange.filled(args["url"] + query, token), origin=origin or None, timeout=float(args["timeout"]),
        connect_to=args.get("connect_to") or None, ssl_context=controller.context(args),
        **exchange.offered(args, token),
    )  # fmt: skip


def through(args: dict[str, Any]) -> str:
    """Which edge an attempt goes through, for its title; empty without edges."""
    return f", through {args[EDGE]}" if args.get(EDGE) else ""


def asking(args: dict[str, Any], origin: str) -> str:
    """What a handshake from here asks, and where."""
    place = f", at {args['connect_to']}" if args.get("connect_to") else ""
    return f"GET {args['url']}{f', Origin {origin}' if origin else ''}{place}, from here,"


def try_outside(args: dict[str, Any], token: str) -> dict[str, Any]:
    """5: a good token opens a socket from here, with the site's own Origin, and its echo comes back."""
    title = f"Handshake from the controller, as a browser would ({args['url']}{through(args)})"
    begun, tries = time.monotonic(), []
    try:
        with opened(args, token, args.get("origin", "")) as websocket:
            tries.append(tried_socket(f"{asking(args, args.get('origin', ''))} with a good token", websocket, 0))
            seen = f"101 in {websocket.timings['handshake']:.0f} ms"
            if args.get("subprotocols") and not websocket.subprotocol:
                seen += ", and none of the subprotocols"
                return result("outside", title, "failed", seen, tries, fix=NO_SUBPROTOCOL)
            if not args.get("send"):
                if ended := closed_within(websocket, LINGER):
                    problem = explain(ended)
                    tries.append(tried(f"{LINGER:g} s of silence", problem["what"]))
                    return result("outside", title, "failed", problem["what"], tries, fix=problem["fix"])
                return result("outside", title, "passed", seen, tries)
            sent = time.monotonic()
            wrong = echo(websocket, args["send"], uuid.uuid4().hex, float(args["timeout"]))
            tries.append(tried("a message over it", wrong or "its echo", {"echo": since(sent)}))
            if wrong:
                seen = f"101, but the echo did not come back: {wrong}"
                return result("outside", title, "failed", seen, tries, guess="E416_NO_ECHO", values={"error": wrong})
            return result("outside", title, "passed", f"{seen} and its echo", tries)
    except (HandshakeFailed, HandshakeRefused) as error:
        problem = explain(error)
        tries.append(tried_socket(f"{asking(args, args.get('origin', ''))} with a good token", error, since(begun)))
        return result("outside", title, "failed", problem["what"], tries, fix=problem["fix"])


def try_foreign(args: dict[str, Any], token: str) -> dict[str, Any]:
    """5: a page of another site cannot open a socket with a good token."""
    if not args.get("foreign_origin"):
        seen = "handshake_foreign_origin is empty, as where every Origin may connect"
        return result("foreign_origin", "Handshake with a foreign Origin is refused", "skipped", seen)
    title = f"Handshake with a foreign Origin ({args['foreign_origin']}{through(args)}) is refused"
    begun = time.monotonic()
    try:
        attempt: WebSocket | HandshakeRefused | HandshakeFailed = opened(args, token, args["foreign_origin"])
    except (HandshakeRefused, HandshakeFailed) as error:
        attempt = error
    tries = [tried_socket(f"{asking(args, args['foreign_origin'])} with a good token", attempt, since(begun))]
    if refused := refusal(attempt, REFUSING):
        return result("foreign_origin", title, "passed", refused, tries)
    seen = unwelcome(attempt)
    if seen == ACCEPTED:
        return result("foreign_origin", title, "failed", seen, tries, code="W407_ORIGIN_UNCHECKED")
    fix = {} if isinstance(attempt, WebSocket) else {"fix": explain(attempt)["fix"]}
    return result("foreign_origin", title, "failed", seen, tries, **fix)
