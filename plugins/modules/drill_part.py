#!/usr/bin/python
"""Break a part of a site, and see what its clients notice."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_part
short_description: Breaks a part of a site, and measures what its clients notice
description:
  - With O(step), an action on the controller holds sockets and lets clients come, over each of O(ways). Then it breaks
    the step's part on the task's host, waits until all new clients get sockets again, and says what that cost.
  - A part that is killed comes back by itself; that is what is tested. If it does not, it is started in the end. A host
    that is cut off from others is connected again, by itself even if the run is killed.
  - Without O(step), V(looked) returns what serves on the host, and V(mended) undoes what an earlier drill has left.
  - The result is masked, but O(token) is one of the arguments.
options:
  state:
    description: What to do without O(step). V(broken) is for the action alone.
    type: str
    choices: [looked, broken, mended]
    default: looked
  app: {description: Name of the project on the host., type: str, required: true}
  step: {description: 'A step of a plan, as the filter P(channels.stack.drill_plan#filter) makes it.', type: dict}
  part: {description: What to break; set by the action., type: str, default: ''}
  addresses: {description: From where to cut the host off; set by the action., type: list, elements: str, default: []}
  seconds: {description: How long a cut lasts at most; set by the action., type: int, default: 60}
  ways:
    description: The ways to the site, each with C(name), C(url), C(connect_to) and C(origin).
    type: list
    elements: dict
    default: []
  query: {description: 'The query; C({token}) stands for the token.', type: str, default: ''}
  headers: {description: 'More headers of handshakes; C({token}) stands for the token.', type: dict, default: {}}
  subprotocols: {description: 'Subprotocols to offer; C({token}) as above.', type: list, elements: str, default: []}
  token: {description: A valid token., type: str, default: ''}
  complaint: {description: Why there is no token., type: str, default: ''}
  validate_certs: {description: Whether the certificate must be trusted., type: bool, default: true}
  ca_path: {description: File on the controller with an additional authority., type: path}
  timeout: {description: Seconds for each handshake., type: float, default: 10}
  sockets: {description: How many sockets are held in all., type: int, default: 40}
  interval: {description: Seconds between two clients on each way., type: float, default: 0.25}
  settle_seconds: {description: How long all clients must get sockets until the part is back., type: float, default: 10}
  patience_seconds: {description: How long to wait for that., type: float, default: 120}
  cut_seconds: {description: How long a host is cut off., type: float, default: 45}
attributes:
  check_mode: {description: "Breaks nothing, and says what it would mend.", support: full}
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: Kill a process, and see what clients notice
  channels.stack.drill_part:
    app: dashboard
    step: "{{ plan[0] }}"
    ways: [{name: app-1, url: "wss://www.example.org/ws/", connect_to: "", origin: "https://www.example.org"}]
    token: "{{ token }}"
"""

RETURN = r"""
host:
  description: With V(looked), what serves, as C(generation), C(processes), C(running) and C(addresses).
  type: dict
  returned: with state looked
mended:
  description: What was undone.
  type: list
  elements: str
  returned: with state mended
result:
  description: What the step has cost, C(verdict) and C(reasons) among it; docs/drill.md.
  type: dict
  returned: with a step
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.drill import host

ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["looked", "broken", "mended"], "default": "looked"},
    "app": {"type": "str", "required": True},
    "part": {"type": "str", "default": ""},
    "addresses": {"type": "list", "elements": "str", "default": []},
    "seconds": {"type": "int", "default": 60},
}


def main() -> None:
    """Do what the action asks for on the host."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    try:
        if given["state"] == "looked":
            module.exit_json(changed=False, host=host.looked(given["app"]))
        if given["state"] == "mended":
            done = host.mended(module.check_mode)
            module.exit_json(changed=bool(done), mended=done)
        if module.check_mode:
            module.exit_json(changed=True, what="", holds=0)
        found = host.broken(given["part"], given["app"], given["addresses"], given["seconds"])
        module.exit_json(changed=True, **found)
    except host.PartError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
