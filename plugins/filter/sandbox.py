"""Lines of a service's sandbox, for templates of units and drop-ins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..module_utils.host import sandbox

DOCUMENTATION = """
name: sandbox_lines
author: ansible-channels-stack
short_description: Lines of a unit that confine a service
description:
  - Turns a mapping of systemd's names into lines, where what an inventory gives has the place of ours.
  - Paths that are given are beside ours. C(false) switches a line off, whatever it has then to say.
  - C(sandbox_values) gives the values of each line instead.
positional: given
options:
  _input: {description: Our own lines., type: dict, required: true}
  given: {description: What an inventory has instead; may be given several times., type: dict}
"""

EXAMPLES = """
- ansible.builtin.debug:
    msg: "{{ {'MemoryDenyWriteExecute': true} | sandbox_lines(asgi_sandbox) }}"
"""

RETURN = """
_value: {description: Lines with their ends., type: str}
"""


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them by their names."""
        return {"sandbox_lines": sandbox_lines, "sandbox_values": sandbox_values}


def sandbox_lines(ours: Mapping[str, Any], *given: Mapping[str, Any]) -> str:
    """Lines of a unit; see `sandbox.lines`."""
    return sandbox.lines(ours, *given)


def sandbox_values(ours: Mapping[str, Any], *given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Values of each line, for a manager that is not systemd; see `sandbox.settled`."""
    return sandbox.settled(ours, *given)
