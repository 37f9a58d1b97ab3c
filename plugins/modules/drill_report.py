#!/usr/bin/python
"""Documentation of the action `drill_report`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_report
short_description: Says what a drill has found
description:
  - Puts the results of a drill together, and writes them down as JSON and as a page.
  - Never reports a change, since a report is not a state of a host, and does not fail for a promise that was missed.
options:
  name: {description: 'What the drill was of, as an inventory''s name.', type: str, required: true}
  steps:
    description: The plan, as the filter P(channels.stack.drill_plan#filter) makes it.
    type: list
    elements: dict
    required: true
  results:
    description: What M(channels.stack.drill_part) has returned as C(result), for each step that was tried.
    type: list
    elements: dict
    required: true
  shape: {description: Lines that say what the site consists of., type: list, elements: str, default: []}
  problems: {description: What is not whole again after the drill., type: list, elements: str, default: []}
  report:
    description: File on the controller for the report, ending in C(.json). Without it, none is written.
    type: path
attributes:
  check_mode: {description: Makes no difference., support: full}
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: Report what the drill has found
  channels.stack.drill_report:
    name: staging
    steps: "{{ plan }}"
    results: "{{ results }}"
    report: artifacts/drill/staging.json
"""

RETURN = r"""
ok:
  description: Whether all promises were kept, and all is whole again.
  type: bool
  returned: always
lines:
  description: The report for people.
  type: list
  elements: str
  returned: always
"""

# The action does all of it, on the controller: plugins/action/drill_report.py. ansible-doc reads this file.
