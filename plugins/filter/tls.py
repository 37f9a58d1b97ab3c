"""Mozilla's guideline for TLS, for templates of daemons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..module_utils.certificates.guideline import guideline


class FilterModule:
    """The filter `tls_guideline`."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by name."""
        return {"tls_guideline": guideline}
