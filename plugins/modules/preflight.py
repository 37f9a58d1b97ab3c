#!/usr/bin/python
"""Documentation of the action `preflight`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Finds every problem of an inventory and its hosts at once
description:
  - Checks the variables of all roles on the hosts that they are applied to, whether they fit together, and what a probe
    found on the hosts, before anything changes. It runs once, on the controller, and touches no host.
  - A raw task must have registered C(__preflight_probe) on every host before; the role C(preflight) does so.
  - With O(report), it checks nothing, and only reports an earlier result.
options:
  report:
    description: Result of an earlier task. If it has problems, this fails with its message, without its data.
    type: dict
  leave:
    description: Hosts that the rest of the run leaves out. On each of them, the task ends as on an unreachable host.
    type: list
    elements: str
  skip_unreachable:
    description: Whether to leave out app hosts that do not answer, instead of reporting them.
    type: bool
    default: false
  roles: {description: 'Groups that each role is applied to, by its name. Required without O(report).', type: dict}
  roles_path:
    description: Folder of the roles, whose argument specs are checked. By default the one of the role that runs.
    type: path
  debian_versions:
    {description: 'Versions of Debian that are supported. Required without O(report).', type: list, elements: str}
  minimum_python: {description: 'Oldest Python that hosts may have. Required without O(report).', type: str}
  allow_placeholders: {description: 'Whether values may still say C(!!!SET), as in a lab.', type: bool, default: false}
  installs: {description: Whether the playbook sets hosts up., type: bool, default: true}
attributes:
  check_mode: {description: Makes no difference., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Find all problems
  channels.stack.preflight:
    roles: {release: [app], nginx: [app]}
    debian_versions: ["12", "13"]
    minimum_python: "3.11"
  register: __findings
  failed_when: __findings.problems is not defined
  run_once: true
  delegate_to: localhost

- name: Report the problems
  channels.stack.preflight:
    report: "{{ __findings }}"
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
problems:
  description:
    - All problems, each with where it is, its C(hosts), its C(variable), where that is set, its C(fault) and its
      C(fix). Values of secrets are masked.
  type: list
  elements: dict
  returned: without O(report)
hosts:
  description: What roles need to know of each host.
  type: dict
  returned: where there are no problems
left_out:
  description: App hosts that do not answer, and that the run goes on without.
  type: list
  elements: str
  returned: without O(report)
msg:
  description: The problems for people, or how much was checked.
  type: str
  returned: always
"""

# The action does all of it, on the controller: plugins/action/preflight.py. ansible-doc reads this file.
