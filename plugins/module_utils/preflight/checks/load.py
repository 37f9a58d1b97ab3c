"""A load test is of a size that its user means. Controller only."""

from __future__ import annotations

from collections.abc import Iterator

from ..view import HostView, Problem, check


@check("load")
def load_sockets(host: HostView) -> Iterator[Problem]:
    """No more sockets than `load_most`."""
    sockets, most = host.get("load_sockets"), host.get("load_most")
    if all(str(each).isdigit() for each in (sockets, most)) and int(sockets) > int(most):
        fix = f"Write {most} or less, or if you mean it, raise the other:\n  -e load_most={sockets}"
        yield Problem("load_sockets", f"is {sockets}, but load_most is {most}", fix)


@check("load")
def load_confirm(host: HostView) -> Iterator[Problem]:
    """The word is one of two, or nothing."""
    value = str(host.get("load_confirm") or "").strip().lower()
    if value not in ("", "yes", "production"):
        fix = "Write one of the two, or leave it out to be asked:\n  -e load_confirm=yes\n  -e load_confirm=production"
        yield Problem("load_confirm", f'"{value}" is neither yes nor production', fix)
