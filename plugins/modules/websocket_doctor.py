#!/usr/bin/python
"""Collect evidence on a host of why a WebSocket does not connect. This changes nothing and judges nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: websocket_doctor
short_description: Collects what explains why a WebSocket does not connect
description:
  - Finds the servers that run, what they listen on, the units that start them, nginx's way to them, and Redis; imports
    the project as its processes do; and tries real handshakes, to each process and through nginx on loopback.
  - Works on hosts that this bundle did not provision. Changes nothing and does not fail for what it finds;
    C(doctor_report) makes a diagnosis of it.
  - The result contains a token, so the task needs C(no_log).
options:
  app: {description: Project of this bundle. Empty for nginx's servers., type: str, default: ''}
  url: {description: Address of the WebSocket without its query., type: str, required: true}
  query: {description: 'The query; C({token}) stands for the token.', type: str, default: ''}
  origin: {description: The Origin that a browser would send., type: str, default: ''}
  foreign_origin: {description: An Origin that should be refused., type: str, default: ''}
  headers:
    {description: 'More headers of handshakes; C({token}) stands for the token.', type: dict, default: {}}
  subprotocols:
    {description: 'Subprotocols to offer; C({token}) as above.', type: list, elements: str, default: []}
  token: {description: A token that should be good., type: str, default: ''}
  token_command: {description: Command of the project that prints a token., type: list, elements: str, default: []}
  expired_token_command: {description: Command that prints an expired token., type: list, elements: str, default: []}
  idle_seconds:
    description: Seconds of silence that sockets should survive; below 0, as many as may matter.
    type: float
    default: 0
  timeout: {description: Seconds for each handshake., type: float, default: 5}
  asked_at: {description: The asking machine's seconds since 1970; 0 says none., type: float, default: 0}
  probe: {description: 'Required of the action, which brings it: the program that asks the project.', type: str}
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: Collect what the host knows
  channels.stack.websocket_doctor:
    url: wss://dashboard.example.org/ws/dashboard/
    query: token={token}
    token_command: [python, manage.py, mint_token]
  register: __doctor_collected
  no_log: true
"""

RETURN = r"""
evidence:
  description: What was seen, secrets masked. docs/doctor.md describes it.
  type: dict
  returned: always
token:
  description: The token that was used, for later handshakes from elsewhere.
  type: str
  returned: always
backup:
  description: When the newest backup was made, in seconds since 1970; 0 if none was, none if nothing makes any.
  type: float
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.doctor.examination import Examination
from ..module_utils.host.backups import newest
from ..module_utils.text.secrets import harmless


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "str", "default": ""},
            "url": {"type": "str", "required": True},
            "query": {"type": "str", "default": "", "no_log": True},
            "headers": {"type": "dict", "default": {}, "no_log": True},
            "subprotocols": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "origin": {"type": "str", "default": ""},
            "foreign_origin": {"type": "str", "default": ""},
            "token": {"type": "str", "default": "", "no_log": True},
            "token_command": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "expired_token_command": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "idle_seconds": {"type": "float", "default": 0.0},
            "timeout": {"type": "float", "default": 5.0},
            "asked_at": {"type": "float", "default": 0.0},
            "probe": {"type": "str", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    module.no_log_values.difference_update(harmless(module.params["headers"], module.params["subprotocols"]))
    examination = Examination(module.params)
    examination.examine()
    backup = newest(examination.bundle["app"]) if examination.bundle else None
    module.exit_json(changed=False, evidence=examination.shown(), token=examination.token, backup=backup)


if __name__ == "__main__":
    main()
