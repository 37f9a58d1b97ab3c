#!/usr/bin/python
"""Documentation of the action `doctor_report`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: doctor_report
short_description: Says why a WebSocket does not connect
description:
  - Looks at a WebSocket from the controller, makes a diagnosis of that and of what M(channels.stack.websocket_doctor)
    saw on the host, shows it, and writes it down as JSON and as a page.
  - Does not fail for what it finds, and never reports a change, since a report is not a state of a host.
options:
  name: {description: 'What the report calls what is looked at, as a host''s name.', type: str, required: true}
  url: {description: 'Address of the WebSocket, without its query.', type: str, required: true}
  query: {description: 'The query; C({token}) stands for the token.', type: str, default: ''}
  origin: {description: The Origin that a browser would send., type: str, default: ''}
  foreign_origin:
    description: An Origin that should be refused; tried if no host was examined.
    type: str
    default: ''
  headers: {description: 'More headers of handshakes; C({token}) stands for the token.', type: dict, default: {}}
  subprotocols:
    {description: 'Subprotocols to offer; C({token}) as above.', type: list, elements: str, default: []}
  token:
    description: A token that should be valid. By default the one from the host.
    type: str
    default: ''
  collected:
    description: Result of M(channels.stack.websocket_doctor), even if it failed. Empty if no host was examined.
    type: dict
    default: {}
  idle_seconds:
    description: Seconds of silence that a socket should survive; below 0, as many as may matter.
    type: float
    default: 0
  timeout: {description: Seconds for each handshake., type: float, default: 5}
  validate_certs: {description: Whether clients must trust the certificate., type: bool, default: true}
  ca_path: {description: 'File on the controller with an additional authority.', type: path}
  connect_to:
    description: Address and port to connect to, as C(host:port), if not those of O(url), as for one edge of a fleet.
    type: str
    default: ''
  fleet:
    description:
      - For an edge of a fleet, what other hosts say. C(hosts) has what M(channels.stack.websocket_doctor) saw of each
        app host as C(fleet), and C(shared) the C(address) that edges share, its C(holders), and C(all_asked).
    type: dict
    default: {}
  notices:
    description:
      - What to mention at the end of a report about monitoring and backups. C(app) is the project, C(watched) says
        whether something watches the site, C(times) when backups are made, and C(site) whether to speak for the whole
        site or for this host alone. If it is empty, nothing is mentioned.
    type: dict
    default: {}
  share:
    description:
      - Whether names of hosts, users and the project, domains and addresses are masked, so that the report can be shown
        to anybody. It is written beside O(report), under the host's mask, and also as text.
    type: bool
    default: false
  report:
    description: File on the controller for the report, ending in C(.json). Without it, none is written.
    type: path
attributes:
  check_mode: {description: Makes no difference., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Say why it does not connect
  channels.stack.doctor_report:
    name: app-1
    url: wss://dashboard.example.org/ws/dashboard/
    query: token={token}
    collected: "{{ __doctor_collected }}"
    report: artifacts/doctor/app-1.json
"""

RETURN = r"""
verdict:
  description: C(OK), or the code of the first hop that is broken; docs/doctor.md has them all.
  type: str
  returned: always
ok:
  description: Whether the WebSocket connects.
  type: bool
  returned: always
lines:
  description: The report for people.
  type: list
  elements: str
  returned: always
"""

# The action does all of it, on the controller: plugins/action/doctor_report.py. ansible-doc reads this file.
