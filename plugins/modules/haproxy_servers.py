#!/usr/bin/python
"""Ansible module: how an edge's HAProxy sees the servers behind it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_servers
short_description: Reads how HAProxy sees the servers behind it
description:
  - Asks HAProxy by its admin socket for the state of each server of a backend. With O(server), waits until that server
    is in one of O(states), and fails if it is not in time.
  - Changes nothing.
options:
  backend: {description: Name of the backend., type: str, default: app}
  server: {description: Name of a server to wait for., type: str}
  states:
    description: States to wait for.
    type: list
    elements: str
    choices: [up, drain, down, maintenance]
    default: [up]
  seconds: {description: How long to wait at most., type: float, default: 30}
  socket: {description: HAProxy's admin socket., type: path, default: /run/haproxy/admin.sock}
attributes:
  check_mode: {description: "Is the same, since nothing is changed.", support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Wait until the edge sends nothing new to a host
  channels.stack.haproxy_servers:
    server: app-1
    states: [drain]
    seconds: 60
"""

RETURN = r"""
servers:
  description: Each server's C(name), C(state), its last C(check), the number of its C(connections), and C(address).
  type: list
  elements: dict
  returned: success
lines:
  description: The same for people.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.host.haproxy import ADMIN, HaproxyError, awaited, servers, told


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "backend": {"type": "str", "default": "app"},
            "server": {"type": "str"},
            "states": {
                "type": "list",
                "elements": "str",
                "choices": ["up", "drain", "down", "maintenance"],
                "default": ["up"],
            },
            "seconds": {"type": "float", "default": 30},
            "socket": {"type": "path", "default": ADMIN},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        if given["server"]:
            found = awaited(given["backend"], given["server"], given["states"], given["seconds"], given["socket"])
        else:
            found = servers(given["backend"], given["socket"])
    except HaproxyError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, servers=found, lines=told(found))


if __name__ == "__main__":
    main()
