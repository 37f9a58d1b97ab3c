#!/usr/bin/python
"""Documentation of the action `vault_secrets`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_secrets
short_description: Makes the secrets of an inventory
description:
  - Makes a value for each placeholder in a file of secrets that asks for a random string, and encrypts the file with
    Ansible Vault, on the controller. The password is that of the run. A run without one uses
    C(~/.config/ansible-channels-stack/NAME.password), and makes it if nothing is encrypted yet.
  - Values that are set are never changed, and none is returned.
options:
  inventory:
    description: Sources of the inventory. Of several, those without a vault are left out.
    type: list
    elements: path
    required: true
attributes:
  check_mode: {description: Writes nothing., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Make the secrets
  channels.stack.vault_secrets:
    inventory: "{{ ansible_inventory_sources }}"
"""

RETURN = r"""
lines: {description: What was done and what is left to do., type: list, elements: str, returned: success}
files: {description: Files that were written., type: list, elements: str, returned: success}
left:
  description: Placeholders that only the user can fill in, with path, line, name and hint.
  type: list
  elements: dict
  returned: success
"""

# The action does all of it, on the controller: plugins/action/vault_secrets.py. ansible-doc reads this file.
