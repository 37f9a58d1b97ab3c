#!/usr/bin/python
"""Documentation of the action `load`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: load
short_description: Opens many WebSockets from the controller, and says what gave way first
description:
  - Opens sockets from the controller, holds them for a while and closes them. Looks at the host before, right after the
    last handshake, and at the end.
  - Changes nothing on the host, but it takes what its clients take. In check mode it only looks.
requirements: [wsproto on the controller]
options:
  app: {description: Name of the project on the host., type: str, required: true}
  name: {description: What the report calls the host., type: str, required: true}
  sockets: {description: How many sockets to open., type: int, required: true}
  at_once: {description: How many handshakes are under way at a time., type: int, required: true}
  hold_seconds: {description: How long all sockets stay open., type: float, required: true}
  plan_sockets: {description: How many sockets the sizing is for; 0 for as many as were opened., type: int, default: 0}
  url: {description: 'Address of the WebSocket, without its query.', type: str, required: true}
  query: {description: 'The query; C({token}) stands for the token.', type: str, default: ''}
  headers: {description: 'More headers of handshakes; C({token}) stands for the token.', type: dict, default: {}}
  subprotocols:
    {description: 'Subprotocols to offer; C({token}) as above.', type: list, elements: str, default: []}
  token: {description: A valid token., type: str, default: ''}
  complaint: {description: Why there is no token; nothing is opened then., type: str, default: ''}
  origin: {description: The Origin that a browser would send., type: str, default: ''}
  validate_certs: {description: Whether clients must trust the certificate., type: bool, default: true}
  ca_path: {description: 'File on the controller with an additional authority.', type: path}
  connect_to: {description: 'Address and port to connect to, as C(host:port), in place of those of O(url).', type: str}
  timeout: {description: Seconds for each handshake., type: float, required: true}
  report: {description: 'File on the controller for the report, ending in C(.json).', type: path}
attributes:
  check_mode: {description: Opens no socket., support: full}
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: Open sockets from here
  channels.stack.load:
    app: dashboard
    name: app-1
    sockets: 500
    at_once: 20
    hold_seconds: 10
    timeout: 10
    url: wss://dashboard.example.org/ws/dashboard/
    query: token={token}
    token: "{{ __load_token.token }}"
    report: artifacts/load/app-1.json
"""

RETURN = r"""
lines:
  description: The results for people.
  type: list
  elements: str
  returned: success
result:
  description: The figures, and what gave way first.
  type: dict
  returned: success
sizing:
  description: What the model of docs/capacity.md makes of it.
  type: dict
  returned: success
"""

# The action does all of it, on the controller: plugins/action/load.py. ansible-doc reads this file.
