#!/usr/bin/python
"""Documentation of the action `certificate`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate
short_description: Brings a certificate and its key to a host
description:
  - Puts C(fullchain.pem) and C(privkey.pem) into a folder of the host, either the pair that is given, or one that an
    authority of our own issues. A pair that the authority issued for the same names, and that is still good, stays.
  - It is an action and not a module, because an authority's key never leaves the controller.
options:
  path: {description: 'Folder on the host for the pair. Without it, only O(trust) is written.', type: path}
  names:
    description: Names and addresses that the certificate is for. An authority needs them.
    type: list
    elements: str
  authority:
    description:
      - Folder on the controller with the authority, which is created if it does not exist. Required without O(chain).
      - If it is empty and the host has no pair, one is issued by an authority that is then thrown away.
    type: path
  chain:
    description: Certificates in PEM, the site's own first, in place of an authority's. Requires O(key).
    type: str
  key: {description: Private key of O(chain)., type: str}
  owner: {description: User of the host who owns the key., type: str, default: root}
  days: {description: Validity of certificates from a kept authority., type: int, default: 397}
  trust: {description: 'File on the host for clients, with the authority and O(trusted).', type: path}
  trusted: {description: 'Additional authorities for O(trust), in PEM.', type: str}
  site:
    description: Content of C(site.json) next to the pair, for what checks the certificate on the host.
    type: dict
attributes:
  check_mode: {description: 'Tells whether the pair would change, and makes no authority.', support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Bring the site's certificate
  channels.stack.certificate:
    path: /etc/dashboard/certificate
    names: [www.example.org]
    authority: .lab/authority
    site: {source: acme, names: [www.example.org], port: 443}
  no_log: true

- name: Bring a certificate that a daemon reads as its own user
  channels.stack.certificate:
    path: /etc/redis/certificate
    owner: redis
    days: 730
    names: [10.0.0.10]
    authority: inventories/production/stores-authority
    trust: /etc/redis/certificate/authority.pem

- name: Let clients know the authority
  channels.stack.certificate:
    trust: /etc/dashboard/stores.pem
    authority: inventories/production/stores-authority
"""

RETURN = r"""
paths:
  description: Files and folders that were changed, as the module M(channels.stack.file_set) returns them.
  type: list
  elements: str
  returned: unless an authority is still to be made in check mode
"""

# The action does all of it, on the controller: plugins/action/certificate.py. ansible-doc reads this file.
