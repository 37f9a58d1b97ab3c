"""Templates of what is written on the controller: reports and first inventories. Controller only.

Each is in the folder `templates/` beside the module that fills it in. What lands on hosts is in the bundle's own
`templates/`, and Ansible renders it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape


def render(
    template: Path,
    values: Mapping[str, Any],
    filters: Mapping[str, Callable[..., Any]] | None = None,
    finalize: Callable[[Any], Any] | None = None,
) -> str:
    """Fill in a template; in one of a page (`*.html.j2`), every value is escaped.

    Values are data: what looks like a template in one stays as it is. `finalize` is applied to each value that is
    printed. A name without a value raises UndefinedError.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters or {})
    return environment.get_template(template.name).render(values)
