#!/usr/bin/python
"""Ansible module: the state of a site's certificate on its host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_state
short_description: The state of a site's certificate
description:
  - When it expires, whether nginx or an edge's HAProxy serves it, and how its renewals went. Changes nothing.
options:
  app: {description: Project of this bundle., type: str, required: true}
attributes:
  check_mode: {description: Does the same., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Read the state of the certificate
  channels.stack.certificate_state:
    app: dashboard
  register: __certificate_state
"""

RETURN = r"""
lines:
  description: The state, for people; empty if the site has no certificate.
  type: list
  elements: str
  returned: always
faults:
  description: What needs attention. Each has a C(code) of the doctor, a C(title), C(seen) and a C(fix).
  type: list
  elements: dict
  returned: always
state:
  description: What was seen.
  type: dict
  returned: always
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.certificates import state as certificate_state
from ..module_utils.doctor.catalogue import CATALOGUE


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"app": {"type": "str", "required": True}}, supports_check_mode=True)
    state, now = certificate_state.look(module.params["app"]), time.time()
    found = [
        {"code": code, "severity": CATALOGUE[code].severity, "title": CATALOGUE[code].title, "seen": seen}
        for code, seen in certificate_state.faults(state, now)
    ]
    told = certificate_state.lines(state, now) if state else []
    told += [f"{each['code']}: {each['title']}" for each in found]
    module.exit_json(changed=False, state=state, lines=told, faults=found)


if __name__ == "__main__":
    main()
