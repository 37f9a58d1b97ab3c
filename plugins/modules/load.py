#!/usr/bin/python
"""Documentation of the action `load`, and the module that it runs on the host to look at it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: load
short_description: Opens many WebSockets from the controller, and says what gave way first
description:
  - Opens sockets from the controller, holds them for a while and closes them. Looks at the host before, right after the
    last handshake, and at the end.
  - Changes nothing on the host, but it takes what its clients take. In check mode it only looks.
  - The module by itself, without the action, takes one look at the host.
requirements: [wsproto on the controller]
options:
  app: {description: Name of the project on the host., type: str, required: true}
  name: {description: 'What the report calls the host.', type: str, default: ''}
  sockets: {description: How many sockets to open., type: int, default: 0}
  at_once: {description: How many handshakes are under way at a time., type: int, default: 20}
  hold_seconds: {description: How long all sockets stay open., type: float, default: 10}
  plan_sockets: {description: How many sockets the sizing is for; 0 for as many as were opened., type: int, default: 0}
  url: {description: 'Address of the WebSocket, without its query.', type: str, default: ''}
  query: {description: 'The query; C({token}) stands for the token.', type: str, default: ''}
  headers: {description: 'More headers of handshakes; C({token}) stands for the token.', type: dict, default: {}}
  subprotocols:
    {description: 'Subprotocols to offer; C({token}) as above.', type: list, elements: str, default: []}
  token: {description: 'A valid token. By default, the command creates one.', type: str, default: ''}
  token_command:
    {description: Command of the project that prints a valid token., type: list, elements: str, default: []}
  origin: {description: The Origin that a browser would send., type: str, default: ''}
  validate_certs: {description: Whether clients must trust the certificate., type: bool, default: true}
  ca_path: {description: 'File on the controller with an additional authority.', type: path}
  connect_to: {description: 'Address and port to connect to, as C(host:port), in place of those of O(url).', type: str}
  timeout: {description: Seconds for each handshake., type: float, default: 10}
  report: {description: 'File on the controller for the report, ending in C(.json).', type: path}
  probe: {description: 'Required of the action, which brings it: the program that asks the project.', type: str}
attributes:
  check_mode: {description: Opens no socket., support: full}
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: Open sockets from here
  channels.stack.load:
    app: dashboard
    name: app-1
    sockets: 500
    url: wss://dashboard.example.org/ws/dashboard/
    query: token={token}
    token_command: [python, manage.py, mint_token]
    report: artifacts/load/app-1.json
  no_log: true
"""

RETURN = r"""
lines:
  description: The results for people.
  type: list
  elements: str
  returned: success
result:
  description: The figures, and what gave way first.
  type: dict
  returned: success
sizing:
  description: What the model of docs/capacity.md makes of it.
  type: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.host import deployed
from ..module_utils.host.project import Project
from ..module_utils.load.host import sample


def main() -> None:
    """Take a look at the host; create a token first if there is a command for it."""
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "str", "required": True},
            "token_command": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "origin": {"type": "str", "default": ""},
            "probe": {"type": "str", "default": "", "no_log": True},
        },
        supports_check_mode=True,
    )
    app, command = module.params["app"], module.params["token_command"]
    token, complaint = "", ""
    if command:
        bundle = deployed.bundle(app)
        if not bundle:
            module.fail_json(msg=f"{app} is not deployed here: ansible-playbook site.yml")
        answer = Project(bundle, None, {}, module.params["probe"]).ask(
            bundle["application"], {"good": command}, module.params["origin"]
        )
        token, complaint = answer["minted"].get("good", ""), str(answer["not_minted"].get("good", ""))
    module.exit_json(changed=False, sample=sample(app), token=token, complaint=complaint)


if __name__ == "__main__":
    main()
