#!/usr/bin/python
"""Documentation of the action `handshake_report`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: handshake_report
short_description: Proves from the controller that a WebSocket works
description:
  - Tries WebSockets from the controller, as a browser would, puts that beside what M(channels.stack.handshake)
    tried on the host, says why what failed has failed, and writes it down as JSON and as a page.
  - Fails if one of the checks failed. Never reports a change, since a report is not a state of a host.
requirements: [wsproto on the controller]
options:
  name: {description: 'What the report calls what is tried, as a host''s name.', type: str, required: true}
  collected: {description: Result of M(channels.stack.handshake)., type: dict, required: true}
  url: {description: 'Address of the WebSocket, without its query.', type: str, required: true}
  query: {description: 'The query; C({token}) stands for the token.', type: str, default: ''}
  headers: {description: 'More headers of handshakes; C({token}) stands for the token.', type: dict, default: {}}
  subprotocols:
    {description: 'Subprotocols to offer; C({token}) as above.', type: list, elements: str, default: []}
  token: {description: 'A valid token. By default, the one from the host.', type: str, default: ''}
  origin: {description: The Origin that a browser would send., type: str, default: ''}
  foreign_origin:
    description: An Origin that the project must refuse; an empty one is not tried.
    type: str
    default: ''
  send: {description: 'Message whose answer contains its C({nonce}).', type: str, default: ''}
  validate_certs: {description: Whether clients must trust the certificate., type: bool, default: true}
  ca_path: {description: 'File on the controller with an additional authority.', type: path}
  connect_to: {description: 'Address and port to connect to, as C(host:port), in place of those of O(url).', type: str}
  edges:
    description:
      - Edges of the site, each with the address and port to connect to, as C(host:port). Each of them is tried, in
        place of O(connect_to), and the result names it.
    type: dict
    default: {}
  timeout: {description: Seconds for each handshake and each answer., type: float, required: true}
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
  check_mode: {description: 'Tries everything, but writes no report.', support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Prove it from here
  channels.stack.handshake_report:
    name: app-1
    collected: "{{ __proof }}"
    url: wss://dashboard.example.org/ws/dashboard/
    query: token={token}
    origin: https://dashboard.example.org
    foreign_origin: https://attacker.example
    timeout: 10
    report: artifacts/handshake/app-1.json
"""

RETURN = r"""
lines:
  description: The results for people.
  type: list
  elements: str
  returned: success
results:
  description: One for each thing tried, each with its C(title), C(state), what was C(seen), and the C(fix).
  type: list
  elements: dict
  returned: success
"""

# The action does all of it, on the controller: plugins/action/handshake_report.py. ansible-doc reads this file.
