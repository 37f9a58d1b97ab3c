"""Check that it is clear what a removal should do. Controller only."""

from __future__ import annotations

from collections.abc import Iterator

from ..view import HostView, Problem, check


@check("remove")
def remove_data(host: HostView) -> Iterator[Problem]:
    """What happens to the data is stated clearly, or not at all."""
    value = str(host.get("remove_data") if host.get("remove_data") is not None else "")
    if value.strip().lower() not in ("", "true", "false", "yes", "no"):
        fix = "Write one of the two, or leave it out to be asked:\n  -e remove_data=true\n  -e remove_data=false"
        yield Problem("remove_data", f'"{value}" is neither true nor false', fix)
