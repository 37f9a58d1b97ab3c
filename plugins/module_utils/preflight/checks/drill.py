"""A drill breaks what its user means, and what the site has. Controller only."""

from __future__ import annotations

from collections.abc import Iterator

from ..view import HostView, Problem, check, listed

#: The groups whose hosts carry a part; all others are on every app host.
CARRIERS = {"redis": "redis", "database": "database", "host": "proxy", "edge": "proxy"}
WORDS = ("", "yes", "production")


@check("drill")
def drill_confirm(host: HostView) -> Iterator[Problem]:
    """The word is one of two, or nothing."""
    value = str(host.get("drill_confirm") or "").strip().lower()
    if value not in WORDS:
        fix = (
            "Write one of the two, or leave it out to be asked:\n  -e drill_confirm=yes\n  -e drill_confirm=production"
        )
        yield Problem("drill_confirm", f'"{value}" is neither yes nor production', fix)


@check("drill")
def drill_parts(host: HostView) -> Iterator[Problem]:
    """The site has the parts that are to be broken."""
    groups = host.raw("groups") or {}
    wanted = [str(part) for part in host.items("drill_parts")]
    missing = [part for part in wanted if part in CARRIERS and not groups.get(CARRIERS[part])]
    if "host" in wanted and "host" not in missing and len(groups.get("app") or []) < 2:
        missing.append("host")
    if missing:
        fault = f"names {listed(missing)}, which this inventory does not have"
        yield Problem("drill_parts", fault, "Leave it out, or leave drill_parts empty for all parts that are there.")
