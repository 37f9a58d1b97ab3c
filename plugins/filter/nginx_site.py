"""nginx's settings for whom it trusts and whose pages it lets in, from what the inventory says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..module_utils.nginx import origins, proxies


def origin_patterns(
    given: Iterable[str], names: Iterable[str], tls_only: bool, http_port: int = 80, https_port: int = 443
) -> list[str]:
    """Expressions for the given origins, or for the site's own if there are none."""
    site = origins.Site(tuple(map(str, names)), bool(tls_only), int(http_port), int(https_port))
    return origins.patterns(given, site)


def header_lines(headers: Iterable[str], app: str) -> list[str]:
    """Directives that add headers, each with the value of a map that is named after it."""
    return [f"add_header {name} ${app}_header_{name.lower().replace('-', '_')} always;" for name in map(str, headers)]


class FilterModule:
    """The filters `proxy_networks`, `origin_patterns` and `header_lines`."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by the names that templates use."""
        return {
            "proxy_networks": proxies.networks,
            "origin_patterns": origin_patterns,
            "header_lines": header_lines,
        }
