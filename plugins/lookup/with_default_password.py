"""A play's hosts; from here on, its run can decrypt the inventory with the default password."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ..module_utils.vault.files import SecretsError
from ..module_utils.vault.secrets import default_password_file, loaded, with_secrets

DOCUMENTATION = """
name: with_default_password
author: ansible-channels-stack
short_description: Hosts of a play whose run has the inventory's default password
description:
  - Returns the hosts that it is given. If the run has no vault password and there is one in
    C(~/.config/ansible-channels-stack/NAME.password), which P(channels.stack.vault_secrets#module) made, the run has it
    from here on.
  - Ansible decrypts an inventory before the first task of a play, so no task could do this.
options:
  _terms: {description: Hosts., required: true}
"""

EXAMPLES = """
- name: Make the secrets
  hosts: "{{ lookup('channels.stack.with_default_password', 'localhost') }}"
"""

RETURN = """
_raw: {description: The hosts., type: list}
"""


class LookupModule(LookupBase):
    """Gives this run's loader a password."""

    def run(self, terms: list[str], variables: Any = None, **options: Any) -> list[str]:
        """Return the terms; raise AnsibleError if others can read the password."""
        inventories = with_secrets(map(str, (variables or {}).get("ansible_inventory_sources") or ()))
        if inventories and not self._loader._vault.secrets:  # no public name tells whether there is a password
            file = default_password_file(inventories[0])
            try:
                if file.exists():
                    self._loader.set_vault_secrets(loaded(file, self._loader))
            except SecretsError as error:
                raise AnsibleError(f"Nothing was changed: {error}") from error
        return terms
