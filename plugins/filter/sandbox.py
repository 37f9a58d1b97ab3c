"""Lines of a service's sandbox, for templates of drop-ins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..module_utils.host import sandbox


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by name."""
        return {"sandbox_lines": sandbox_lines}


def sandbox_lines(ours: Mapping[str, Any], *given: Mapping[str, Any]) -> str:
    """Lines of a unit; see `sandbox.lines`."""
    return sandbox.lines(ours, *given)
