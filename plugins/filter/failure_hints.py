"""What to change in the inventory after a failure, for messages: variables by name, with what to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..module_utils.failures import hints


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return the filters by name."""
        return {"install_hints": install_hints, "failure_hints": run_hints}


def install_hints(said: Any, given: Mapping[str, Any] | None = None) -> str:
    """Lines that say what to change after this output from uv."""
    return hints.told(hints.install_hints(str(said), given))


def run_hints(failure: Any, log: Any = "", given: Mapping[str, Any] | None = None) -> str:
    """Lines that say what to change after a release was rejected with this failure and this log of its processes."""
    return hints.told(hints.run_hints(str(failure), str(log), given))
