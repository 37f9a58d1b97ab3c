"""Templates for files on the controller: reports and first inventories. Controller only.

Each is in the folder `templates/` beside the module that fills it in. Templates for hosts are in the bundle's
own `templates/`, and Ansible renders them.
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
    """Fill in a template; in a page (`*.html.j2`), every value is escaped.

    Values are data: a value that looks like a template stays unchanged. `finalize` is applied to each printed value.
    A name without a value raises UndefinedError.
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
