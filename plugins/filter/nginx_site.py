"""What nginx is told of whom it believes and whose pages it lets in, from what the inventory says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..module_utils.nginx import origins, proxies


def origin_patterns(
    given: Iterable[str], names: Iterable[str], tls_only: bool, http_port: int = 80, https_port: int = 443
) -> list[str]:
    """Expressions for the origins that are given, or for the site's own where none is."""
    site = origins.Site(tuple(map(str, names)), bool(tls_only), int(http_port), int(https_port))
    return origins.patterns(given, site)


def header_lines(headers: Iterable[str], app: str) -> list[str]:
    """Directives that add headers, each with the value of a map that is named by it."""
    return [f"add_header {name} ${app}_header_{name.lower().replace('-', '_')} always;" for name in map(str, headers)]


class FilterModule:
    """The filters `proxy_networks`, `origin_patterns` and `header_lines`."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names of the filters, as templates have them."""
        return {
            "proxy_networks": proxies.networks,
            "origin_patterns": origin_patterns,
            "header_lines": header_lines,
        }
