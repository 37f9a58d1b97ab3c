#!/usr/bin/python
"""Open a WebSocket as a browser would, and make a report and a verdict of all results."""

from __future__ import annotations

DOCUMENTATION = r"""
module: proof_report
short_description: A verdict on a host's WebSockets, and a report
description:
  - Runs on the controller. Opens WebSockets through the host's public address, as a browser would, adds the results to
    those of M(websocket_proof), writes all of them as JSON and as a page beside it, and fails if one of them is bad.
options:
  name: {description: Name of the host., type: str, required: true}
  results: {description: Results of M(websocket_proof) on the host., type: list, elements: dict, required: true}
  versions: {description: Versions that it found., type: dict, default: {}}
  url: {description: 'Address as a browser uses it; C({token}) stands for the token.', type: str, required: true}
  token: {description: A good token., type: str, default: ''}
  origin: {description: The site's own Origin., type: str, default: ''}
  foreign_origin: {description: An Origin that the project must refuse. Empty tries none., type: str, default: ''}
  send: {description: 'Message that is answered with one that holds its C({nonce}).', type: str, default: ''}
  validate_certs: {description: Whether the certificate must be valid., type: bool, default: true}
  timeout: {description: Seconds for each handshake and each answer., type: float, default: 10}
  path: {description: File that the report is written to. Empty writes none., type: path, default: ''}
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: WebSockets work
  proof_report:
    name: "{{ inventory_hostname }}"
    results: "{{ __proof.results }}"
    url: wss://dashboard.example.org/ws/dashboard/?token={token}
    token: "{{ __proof.token }}"
    path: artifacts/verify/{{ inventory_hostname }}.json
  delegate_to: localhost
"""

RETURN = r"""
lines:
  description: One line for each result.
  type: list
  elements: str
  returned: always
results:
  description: All results, those of the host first.
  type: list
  elements: dict
  returned: always
"""

import json
import os
import ssl
import time
import uuid
from pathlib import Path
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.channels_websocket import (
    HAS_WSPROTO,
    Closed,
    HandshakeFailed,
    HandshakeRefused,
    Message,
    explain,
    open_websocket,
    redact,
)
from ansible.module_utils.doctor_page import of_proof, page

MARKS = {"passed": "ok  ", "warned": "WARN", "failed": "FAIL", "skipped": "skip"}


def context(params: dict) -> ssl.SSLContext | None:
    """Return how certificates are checked; None is the strict way."""
    if params["validate_certs"]:
        return None
    loose = ssl.create_default_context()
    loose.check_hostname, loose.verify_mode = False, ssl.CERT_NONE
    return loose


def result(name: str, title: str, state: str, seen: str, fix: str = "") -> dict[str, str]:
    """Return one result."""
    return {"id": name, "title": title, "state": state, "seen": seen, "fix": fix}


def try_outside(params: dict, inside_ok: bool) -> dict[str, str]:
    """5: a good token opens a socket from here, with the site's own Origin, and its echo comes back."""
    title = f"Handshake from the controller, as a browser would ({params['url'].partition('?')[0]})"
    elsewhere = (
        "it works on the host itself, so what is between fails: the address, a firewall, or a proxy in front that "
        "drops the upgrade; see handshake_url"
    )
    try:
        with open_websocket(
            params["url"].replace("{token}", quote(params["token"], safe="")), origin=params["origin"] or None,
            timeout=params["timeout"], ssl_context=context(params),
        ) as opened:  # fmt: skip
            nonce, seen = uuid.uuid4().hex, f"101 in {opened.timings['handshake']:.0f} ms"
            if not params["send"]:
                return result("outside", title, "passed", seen)
            opened.send(params["send"].replace("{nonce}", nonce))
            deadline = time.monotonic() + params["timeout"]
            while (left := deadline - time.monotonic()) > 0:
                came = opened.receive(left)
                if isinstance(came, Message) and nonce in came.text:
                    return result("outside", title, "passed", f"{seen} and its echo")
                if isinstance(came, Closed):
                    return result("outside", title, "failed", explain(came)["what"], explain(came)["fix"])
            return result("outside", title, "failed", f"101, but no echo within {params['timeout']:.0f} s", elsewhere)
    except (HandshakeFailed, HandshakeRefused) as error:
        problem = explain(error)
        return result("outside", title, "failed", problem["what"], elsewhere if inside_ok else problem["fix"])


def try_foreign(params: dict) -> dict[str, str]:
    """5: a page of another site cannot open a socket with a good token."""
    title = f"Handshake with a foreign Origin ({params['foreign_origin']}) is refused"
    try:
        open_websocket(
            params["url"].replace("{token}", quote(params["token"], safe="")), origin=params["foreign_origin"],
            timeout=params["timeout"], ssl_context=context(params),
        ).close()  # fmt: skip
    except HandshakeRefused as error:
        if error.status in (400, 401, 403):
            return result("foreign_origin", title, "passed", f"{error.status} {error.reason}")
        return result("foreign_origin", title, "failed", explain(error)["what"], explain(error)["fix"])
    except HandshakeFailed as error:
        return result("foreign_origin", title, "failed", explain(error)["what"], explain(error)["fix"])
    return result(
        "foreign_origin", title, "failed", "it was accepted with 101",
        "wrap the consumers in AllowedHostsOriginValidator, or set handshake_foreign_origin to '' if it is meant",
    )  # fmt: skip


def line(entry: dict[str, str]) -> str:
    """Return a result as a line that a tired person understands."""
    text = f"{MARKS[entry['state']]} {entry['title']}: {entry['seen']}"
    return f"{text}\n     to do: {entry['fix']}" if entry["fix"] else text


def write_report(path: Path, report: dict) -> None:
    """Write a report, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    part.replace(path)


def write_page(path: Path, report: dict, url: str) -> None:
    """Write the same report as a page beside it, as the doctor does."""
    path.with_suffix(".html").write_text(page(of_proof(report, url.partition("?")[0])), encoding="utf-8")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "results": {"type": "list", "elements": "dict", "required": True},
            "versions": {"type": "dict", "default": {}},
            "url": {"type": "str", "required": True},
            "token": {"type": "str", "default": "", "no_log": True},
            "origin": {"type": "str", "default": ""},
            "foreign_origin": {"type": "str", "default": ""},
            "send": {"type": "str", "default": ""},
            "validate_certs": {"type": "bool", "default": True},
            "timeout": {"type": "float", "default": 10.0},
            "path": {"type": "path", "default": ""},
        },
        supports_check_mode=True,
    )
    if not HAS_WSPROTO:
        module.fail_json(msg=missing_required_lib("wsproto"))
    params, results = module.params, list(module.params["results"])
    inside = [entry for entry in results if entry["id"] == "handshake_nginx"]
    results.append(try_outside(params, bool(inside) and inside[0]["state"] == "passed"))
    if params["foreign_origin"]:
        results.append(try_foreign(params))
    results = redact(results, [params["token"]])
    failed = [entry for entry in results if entry["state"] == "failed"]
    lines = [line(entry) for entry in results]
    # The report is what this task is for and no state of a host, so it does not count as a change.
    if params["path"] and not module.check_mode:
        report = {
            "schema": 1, "host": params["name"], "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "ok": not failed, "versions": params["versions"], "results": results,
        }  # fmt: skip
        write_report(Path(params["path"]), report)
        write_page(Path(params["path"]), report, params["url"])
    if failed:
        summary = "\n".join(lines)
        module.fail_json(
            msg=f"{len(failed)} of {len(results)} checks failed on {params['name']}:\n{summary}\n"
            f"All of it as data: {params['path'] or 'handshake_report names no file'}"
        )  # fmt: skip
    module.exit_json(changed=False, lines=lines, results=results)


if __name__ == "__main__":
    main()
