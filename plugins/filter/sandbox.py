"""Lines of a service's sandbox, for templates of units and drop-ins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..module_utils.host import sandbox


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
