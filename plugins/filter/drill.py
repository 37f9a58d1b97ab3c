"""What a drill breaks, and what that may cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils.drill import plan, site


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"drill_site": drill_site, "drill_plan": drill_plan, "drill_lines": drill_lines}


def drill_site(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a site consists of, and whether it is whole."""
    return site.site(found)


def drill_plan(
    shape: Mapping[str, Any], parts: list[str], promises: Mapping[str, Mapping[str, Any]], app: str
) -> list[dict[str, Any]]:
    """The steps of a drill, in order."""
    try:
        return plan.plan(plan.Shape(**shape), parts, promises, app)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


def drill_lines(steps: list[Mapping[str, Any]]) -> list[str]:
    """A plan for people."""
    return [plan.told(step) for step in steps]
