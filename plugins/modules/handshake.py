#!/usr/bin/python
"""Prove on a host, step by step, that WebSockets open, carry messages and stay open."""

from __future__ import annotations

DOCUMENTATION = r"""
module: handshake
short_description: Tests whether WebSockets work on this host
description:
  - Looks at the processes of the live generation, imports the application as they do, and opens real WebSockets to each
    process and through nginx on loopback; keeps them silent for a while, then sends a message from one process's socket
    to all others; and looks for the attempt, and for the token, in the logs.
  - Changes nothing, and does not fail. It returns one result for each thing that it tried, good or bad, so that all
    faults are seen at once; C(handshake_report) makes a report and a verdict of them.
  - The result contains a token, so the task needs C(no_log).
options:
  app: {description: Name of the project on the host., type: str, required: true}
  local_port: {description: Port of nginx on loopback., type: int, default: 8000}
  host: {description: Host header of the requests., type: str, default: localhost}
  url: {description: 'Address of the WebSocket as browsers use it, without its query.', type: str, required: true}
  query: {description: 'The query; C({token}) stands for the token.', type: str, default: ''}
  health_path: {description: Path of plain HTTP that must answer below 500., type: str, default: /}
  origin: {description: The Origin that a browser would send., type: str, default: ''}
  foreign_origin: {description: An Origin that the project must refuse., type: str, default: ''}
  headers:
    {description: 'More headers of handshakes; C({token}) stands for the token.', type: dict, default: {}}
  subprotocols:
    {description: 'Subprotocols to offer; C({token}) as above.', type: list, elements: str, default: []}
  token: {description: A valid token., type: str, default: ''}
  token_command:
    {description: Command of the project that prints a valid token., type: list, elements: str, default: []}
  expired_token_command: {description: Command that prints an expired token., type: list, elements: str, default: []}
  send: {description: 'Message whose answer contains its C({nonce}).', type: str, default: ''}
  broadcast: {description: 'Message that all sockets receive, with its C({nonce}).', type: str, default: ''}
  idle_seconds: {description: Seconds of silence that sockets must survive., type: float, default: 12}
  logs: {description: Log files that must not hold the token., type: list, elements: path, default: []}
  access_log: {description: "nginx's access log, which must show the attempt.", type: path, default: ''}
  timeout: {description: Seconds for each handshake and each answer., type: float, default: 10}
  asked_at: {description: The asking machine's seconds since 1970; 0 says none., type: float, default: 0}
  probe: {description: 'Required of the action, which brings it: the program that asks the project.', type: str}
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: Try the WebSockets on the host
  channels.stack.handshake:
    app: dashboard
    url: wss://dashboard.example.org/ws/dashboard/
    query: token={token}
    token_command: [python, manage.py, mint_token]
  register: __proof
  no_log: true
"""

RETURN = r"""
results:
  description: >-
    One for each thing tried, as C(id), C(title), C(state) (passed, failed, warned or skipped), C(seen) and C(hints),
    which lead to the doctor's finding.
  type: list
  elements: dict
  returned: always
token:
  description: The token that was created, for later checks from elsewhere.
  type: str
  returned: always
evidence:
  description: What the doctor sees on the host; only the handshakes that opened a socket, if nothing failed there.
  type: dict
  returned: always
versions:
  description: Versions of Python and of the packages that matter, in the project's environment.
  type: dict
  returned: always
backup:
  description: When the newest backup was made, in seconds since 1970; 0 if none was, none if nothing makes any.
  type: float
  returned: always
"""

import traceback
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.handshake.host import Host
from ..module_utils.handshake.prove import prove, why
from ..module_utils.handshake.results import Proof
from ..module_utils.host.backups import newest
from ..module_utils.text.secrets import harmless, redact
from ..module_utils.websocket.dependency import HAS_WSPROTO

ARGUMENTS: dict[str, dict[str, Any]] = {
    "app": {"type": "str", "required": True},
    "local_port": {"type": "int", "default": 8000},
    "host": {"type": "str", "default": "localhost"},
    "url": {"type": "str", "required": True},
    "query": {"type": "str", "default": "", "no_log": True},
    "health_path": {"type": "str", "default": "/"},
    "origin": {"type": "str", "default": ""},
    "foreign_origin": {"type": "str", "default": ""},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "subprotocols": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "token": {"type": "str", "default": "", "no_log": True},
    "token_command": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "expired_token_command": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "send": {"type": "str", "default": ""},
    "broadcast": {"type": "str", "default": ""},
    "idle_seconds": {"type": "float", "default": 12.0},
    "logs": {"type": "list", "elements": "path", "default": []},
    "access_log": {"type": "path", "default": ""},
    "timeout": {"type": "float", "default": 10.0},
    "asked_at": {"type": "float", "default": 0.0},
    "probe": {"type": "str", "required": True, "no_log": True},
}


def last_lines(text: str, number: int = 4) -> str:
    """Return the last lines of an output, joined into one."""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-number:])


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.no_log_values.difference_update(harmless(module.params["headers"], module.params["subprotocols"]))
    host, proof = Host(module.params), Proof()
    if not HAS_WSPROTO:
        title, seen = "The proof's library is there", "python3-wsproto is missing on this host"
        proof.failed("wsproto", title, seen, code="E906_NO_LIBRARY")
    else:
        try:
            prove(host, proof)
        except Exception:  # a bug in the proof must not hide what it has found so far
            proof.failed("proof", "The proof itself works", last_lines(traceback.format_exc()), fix="Report this")
    failed = any(each["state"] == "failed" for each in proof.results)
    module.exit_json(
        changed=False, results=redact(proof.results, host.secrets), token=host.tokens["good"],
        versions=host.project.get("versions", {}), generation=host.generation, backup=newest(module.params["app"]),
        evidence=why(host) if failed else {"exchanges": host.exchanges},
    )  # fmt: skip


if __name__ == "__main__":
    main()
