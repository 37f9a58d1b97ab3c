#!/usr/bin/python
"""Collect evidence on an edge of why a WebSocket does not connect. This changes nothing and judges nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edge_doctor
short_description: Collects what explains why a WebSocket does not connect through an edge
description:
  - Finds out whether HAProxy runs, accepts its configuration and listens, how it sees the app hosts, and how these
    answer a health check from here. C(doctor_report) makes a diagnosis of it.
  - Changes nothing, and does not fail for what it finds.
options:
  app: {description: Project of this bundle., type: str, default: ''}
attributes:
  check_mode: {description: "Is the same, since nothing is changed.", support: full}
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: Collect what the edge knows
  channels.stack.edge_doctor:
    app: dashboard
"""

RETURN = r"""
evidence:
  description: What was seen. docs/doctor.md describes it.
  type: dict
  returned: always
"""

import time
import traceback

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.doctor.edge import look


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"app": {"type": "str", "default": ""}}, supports_check_mode=True)
    begun = time.monotonic()
    try:
        evidence = look(module.params["app"])
    except Exception:  # a fault of the examination must not hide what is seen from elsewhere
        evidence = {"fault": traceback.format_exc().splitlines()[-6:]}
    module.exit_json(changed=False, evidence={**evidence, "seconds": round(time.monotonic() - begun, 2)})


if __name__ == "__main__":
    main()
