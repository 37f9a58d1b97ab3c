"""The value that a variable got on the command line, whatever the inventory says."""

from __future__ import annotations

from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.lookup import LookupBase
from ansible.utils.vars import load_extra_vars

DOCUMENTATION = """
name: extra_var
author: ansible-channels-stack
short_description: The value that a variable was given on the command line
description:
  - Distinguishes C(-e release_version=v1) from a C(release_version) in the inventory, which no expression can.
options:
  _terms: {description: Names of variables., required: true}
"""

EXAMPLES = """
- ansible.builtin.debug:
    msg: "{{ lookup('channels.stack.extra_var', 'release_version') or 'the one before' }}"
"""

RETURN = """
_raw: {description: 'The values, empty if there was none.', type: list}
"""


class LookupModule(LookupBase):
    """Reads what was given with --extra-vars."""

    def run(self, terms: list[str], variables: Any = None, **options: Any) -> list[Any]:
        """Return the values of the variables, in order."""
        given = load_extra_vars(DataLoader())
        return [given.get(term, "") for term in terms]
