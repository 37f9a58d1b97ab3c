"""Look at a WebSocket from the controller, make a diagnosis of all that was seen, write it down and show it."""

from __future__ import annotations

import json
import os
import re
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import ansible.module_utils
from ansible.plugins.action import ActionBase
from ansible.utils.color import stringc
from ansible.utils.display import Display

# ansible.cfg's module_utils is searched for modules only; an action runs in the controller's own Python.
_SHARED = str(Path(__file__).resolve().parents[1] / "module_utils")
if _SHARED not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_SHARED)

from ansible.module_utils import doctor_host, doctor_probe  # noqa: E402
from ansible.module_utils.channels_websocket import redact  # noqa: E402
from ansible.module_utils.doctor_diagnosis import claims_of, diagnose  # noqa: E402
from ansible.module_utils.doctor_page import lines, page  # noqa: E402

SCHEMA = 1
#: How a host that could not be asked is told from its message: pattern, code.
PROBLEMS = (
    ("sudo|become|Incorrect .*password|privilege", "E902_NO_RIGHTS"),
    ("python", "E903_NO_PYTHON"),
)


class ActionModule(ActionBase):
    """The action `doctor_report`."""

    _requires_connection = False
    _VALID_ARGS = frozenset(
        ("name", "url", "query", "origin", "foreign_origin", "token", "collected", "idle_seconds", "timeout",
         "validate_certs", "report")
    )  # fmt: skip

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look, diagnose, write the report, and show the summary."""
        super().run(tmp, task_vars)
        args = self._task.args
        collected = args.get("collected") or {}
        token = args.get("token") or collected.get("token") or ""
        query = args.get("query") or ""
        evidence: dict[str, Any] = {
            "name": args["name"], "url": args["url"], "origin": args.get("origin") or "",
            "idle_seconds": float(args.get("idle_seconds") or 0), "now": time.time(),
            "host": collected.get("evidence"), "problem": problem(collected),
        }  # fmt: skip
        host = evidence["host"]
        evidence["skew"] = round(host["clock"] - evidence["now"], 1) if host else 0.0
        evidence["outside"] = look(args, query, token, evidence["idle_seconds"])
        used = token if "{token}" in query else query.rpartition("=")[2]
        evidence["token"] = {"present": bool(used), "length": len(used), "claims": claims_of(used),
                             "minted": bool(token and not args.get("token"))}  # fmt: skip
        parts = urlsplit(args["url"])
        if parts.scheme == "wss" and any(each["status"] for each in evidence["outside"]):
            evidence["http2"] = doctor_probe.offers_http2(parts.hostname or "", parts.port or 443)
        report = assemble(evidence, [token, used, *secrets_in(query)])
        path = os.path.realpath(args["report"]) if args.get("report") else ""
        # The report is what this task is for and no state of a host, so it does not count as a change.
        if path:
            write(Path(path), report)
        shown = lines(report, lambda text, colour: stringc(text, colour))
        Display().display("\n".join(["", *shown, f"  {path}" if path else ""]))
        return {"changed": False, "verdict": report["verdict"], "ok": report["ok"], "lines": lines(report, plain)}


def plain(text: str, _colour: str) -> str:
    """Return a text without colour."""
    return text


def secrets_in(query: str) -> list[str]:
    """The values of a query that somebody wrote out."""
    return [part.partition("=")[2] for part in query.split("&") if "{token}" not in part]


def problem(collected: dict[str, Any]) -> dict[str, str]:
    """Why the host could not be asked; empty where it was, or where nobody wanted to."""
    if not collected or "evidence" in collected:
        return {}
    text = " ".join(str(collected.get(key) or "") for key in ("msg", "module_stderr", "module_stdout"))
    text = doctor_host.scrub(" ".join(text.split()))[:300]
    code = "E901_UNREACHABLE"
    if not collected.get("unreachable"):
        code = next((code for pattern, code in PROBLEMS if re.search(pattern, text, re.IGNORECASE)), code)
    return {"code": code, "error": text}


def look(args: dict[str, Any], query: str, token: str, idle: float) -> list[dict[str, Any]]:
    """Try handshakes from here, as a browser would: with the token, without one, and from a foreign Origin."""
    given = f"?{query.replace('{token}', quote(token, safe=''))}" if query else ""
    options: dict[str, Any] = {"via": "outside", "timeout": float(args.get("timeout") or 5)}
    if not args.get("validate_certs", True):
        options["context"] = ssl.create_default_context()
        options["context"].check_hostname, options["context"].verify_mode = False, ssl.CERT_NONE
    origin, foreign = args.get("origin") or "", args.get("foreign_origin") or ""
    linger = 0.0 if args.get("collected") else doctor_probe.LINGER
    tries: list[dict[str, Any]] = [{"kind": "good", "origin": origin, "linger": linger, "idle": idle}]
    if foreign and not args.get("collected"):
        tries.append({"kind": "foreign", "origin": foreign})
    with ThreadPoolExecutor(len(tries)) as pool:
        return list(pool.map(lambda each: doctor_probe.attempt(args["url"] + given, **options, **each), tries))


def assemble(evidence: dict[str, Any], secrets: list[str]) -> dict[str, Any]:
    """Return the report, with every secret masked."""
    versions = ((evidence["host"] or {}).get("project") or {}).get("versions", {})
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(evidence["now"]))
    report = {"schema": SCHEMA, "name": evidence["name"], "url": evidence["url"], "at": at,
              **diagnose(evidence), "versions": versions, "evidence": evidence}  # fmt: skip
    return doctor_host.scrub(redact(report, [secret for secret in secrets if len(secret or "") >= 6]))


def write(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON and as a page, each whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    for target, content in ((path, text), (path.with_suffix(".html"), page(report))):
        part = target.with_name(f"{target.name}.{os.getpid()}.part")
        part.write_text(content, encoding="utf-8")
        part.replace(target)
