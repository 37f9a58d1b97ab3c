"""What to change in the inventory after a failure, for messages: variables by name, with what to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..module_utils.failures import hints

DOCUMENTATION = """
name: failure_hints
author: ansible-channels-stack
short_description: What to change in the inventory after a failure
description:
  - Tells by the text of a failure and by the last log lines which variables would change it, and what to write.
  - C(install_hints) does so of what uv said.
positional: log, given
options:
  _input: {description: Text of the failure., type: str, required: true}
  log: {description: The last log lines of the processes., type: str}
  given: {description: 'Values of variables by their names, and C(python), the version of the host''s own.', type: dict}
"""

EXAMPLES = """
- ansible.builtin.fail:
    msg: "{{ result.stderr }}\n{{ result.stderr | failure_hints(log.stdout, {'release_app': release_app}) }}"
"""

RETURN = """
_value: {description: Lines for a person; empty where nothing is known., type: str}
"""


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return them by their names."""
        return {"install_hints": install_hints, "failure_hints": run_hints}


def install_hints(said: Any, given: Mapping[str, Any] | None = None) -> str:
    """Lines that say what to change when uv said this."""
    return hints.told(hints.install_hints(str(said), given))


def run_hints(failure: Any, log: Any = "", given: Mapping[str, Any] | None = None) -> str:
    """Lines that say what to change when a release was rejected with this failure, and its processes logged this."""
    return hints.told(hints.run_hints(str(failure), str(log), given))
