#!/usr/bin/python
"""Documentation of the action `site_page`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_page
short_description: Draws what Prometheus has seen of a site
description:
  - Asks the Prometheus of a host about a project and its hosts, and writes the answers on the controller, as JSON and
    as a page with pictures that needs nothing from elsewhere.
  - Never reports a change, since a report is not a state of a host. If Prometheus does not answer, it says so and does
    not fail.
options:
  app: {description: Name of the project., type: str, required: true}
  hosts: {description: The hosts of its inventory., type: list, elements: str, required: true}
  port: {description: 'Port of Prometheus, on loopback.', type: int, required: true}
  hours: {description: How many hours the page looks back., type: float, required: true}
  report:
    description: File on the controller for the report, ending in C(.json). If it is empty, none is written.
    type: path
attributes:
  check_mode: {description: 'Asks, and writes nothing.', support: full}
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: Draw what was seen
  channels.stack.site_page:
    app: dashboard
    hosts: [app-1, watch-1]
    port: 9090
    hours: 24
    report: artifacts/monitoring/watch-1.json
"""

RETURN = r"""
lines:
  description: The report for people, with the page's path; or why there is none.
  type: list
  elements: str
  returned: always
"""

# The action does all of it but the questions: plugins/action/site_page.py. ansible-doc reads this file.
