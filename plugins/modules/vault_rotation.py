#!/usr/bin/python
"""Documentation of the action `vault_rotation`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_rotation
short_description: Replaces secrets in the vault of an inventory
description:
  - Makes new secrets in the encrypted files of an inventory, on the controller and with the password of this run. Old
    values are kept beside them until they are forgotten, so that nobody is cut. No value is returned.
options:
  rotate:
    description:
      - What to replace, as a list or separated by commas. It can be C(redis), C(database), C(jwt), C(django),
        C(all), or names of variables. C(finish) forgets the old values instead.
    type: raw
    required: true
  inventory:
    description: Sources of the inventory. Those without a vault are skipped.
    type: list
    elements: path
    default: []
attributes:
  check_mode: {description: Writes nothing., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Make new secrets in the vault
  channels.stack.vault_rotation:
    rotate: redis,jwt
    inventory: "{{ ansible_inventory_sources }}"
"""

RETURN = r"""
rotated: {description: Variables that have a new value., type: list, elements: str, returned: success}
ended: {description: Variables whose old value was removed., type: list, elements: str, returned: success}
under_way: {description: Variables whose old value is kept., type: list, elements: str, returned: success}
files: {description: 'Files that were written, and are to be read again.', type: list, elements: str, returned: success}
notices: {description: What whoever rotates should know., type: list, elements: str, returned: success}
"""

# The action does all of it, on the controller: plugins/action/vault_rotation.py. ansible-doc reads this file.
