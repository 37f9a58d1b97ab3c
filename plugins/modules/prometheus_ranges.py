#!/usr/bin/python
"""Ask Prometheus what it has seen."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prometheus_ranges
short_description: Asks the Prometheus of a host about a span of time
description:
  - Returns the answers as values on one grid of moments. M(channels.stack.site_page) calls it.
  - Changes nothing, and does not fail if Prometheus does not answer.
options:
  address: {description: 'Where Prometheus listens, as C(host:port).', type: str, required: true}
  queries: {description: 'The questions, by name.', type: dict, required: true}
  step: {description: Seconds between two moments., type: int, required: true}
  count: {description: How many steps to look back., type: int, required: true}
attributes:
  check_mode: {description: Changes nothing anyway., support: full}
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: Ask for the open sockets of the last hour
  channels.stack.prometheus_ranges:
    address: 127.0.0.1:9090
    queries: {sockets: sum(channels_generation_connections)}
    step: 15
    count: 240
"""

RETURN = r"""
found:
  description: C(start), C(end), C(step), C(count), C(answers) and C(problems); empty if Prometheus does not answer.
  type: dict
  returned: always
complaint:
  description: Why it does not answer.
  type: str
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.monitoring import ranges

ARGUMENTS: dict[str, dict[str, Any]] = {
    "address": {"type": "str", "required": True},
    "queries": {"type": "dict", "required": True},
    "step": {"type": "int", "required": True},
    "count": {"type": "int", "required": True},
}


def main() -> None:
    """Ask, and return what came."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    try:
        found = ranges.look(given["address"], given["queries"], given["step"], given["count"])
    except ranges.NotAnswered as error:
        module.exit_json(changed=False, found={}, complaint=str(error))
    module.exit_json(changed=False, found=found, complaint="")


if __name__ == "__main__":
    main()
