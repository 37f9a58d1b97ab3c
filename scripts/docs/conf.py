"""Configure Sphinx, which turns the tree's Markdown into web pages: scripts/docs/site.sh runs it with this file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "channels.stack"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "roles/README.md", "examples/*/README.md"]
# Folders without pages: Sphinx would walk through them, and follow the link in collections/ back to here.
exclude_patterns = [
    ".*", "artifacts", "changelogs", "collections", "inventories", "molecule", "playbooks", "plugins", "roles/*/**",
    "examples/*/*/**", "scripts", "templates", "tests",
]  # fmt: skip
myst_heading_anchors = 6  # with the same names as on GitHub
# Examples may leave out a part with an ellipsis; mermaid and haproxy are shown as plain text.
suppress_warnings = ["misc.highlighting_failure"]
html_theme = "furo"
html_title = project
html_copy_source = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]

#: The parts of the sidebar, and their pages in order. Sphinx complains about a page that is in none.
SIDEBAR = {
    "Deploy": ["docs/projects", "docs/deploys", "docs/development", "examples/dashboard/README", "examples/ci/README"],
    "Look after it": [
        "docs/doctor",
        "docs/monitoring",
        "docs/runbooks",
        "docs/top",
        "docs/logs",
        "docs/backup",
        "docs/managers",
        "docs/limits",
        "docs/upgrading",
    ],
    "Protect it": ["docs/security", "docs/tls", "docs/secrets", "docs/firewall", "docs/sandbox"],
    "Several machines": [
        "docs/fleet",
        "docs/balancers",
        "docs/stores",
        "docs/database",
        "docs/redis",
        "docs/upgrades",
        "docs/drill",
    ],
    "Reference": ["docs/variables", "roles/README", "docs/benchmarks", "docs/capacity"],
    "Change it": ["CONTRIBUTING", "docs/architecture", "docs/decisions", "Changelog <CHANGELOG>"],
}

NAME = re.compile(r"\b((?:docs|roles|examples)/[\w/]+\.md)\b")


def add_sidebar(app: Sphinx, page: str, source: list[str]) -> None:
    """Add the sidebar to the first page, whose Markdown has none: GitHub would show it as code."""
    if page == root_doc:
        for caption, pages in SIDEBAR.items():
            lines = ["", "```{toctree}", ":hidden:", f":caption: {caption}", *pages, "```", ""]
            source[0] += "\n".join(lines)


def link_names_of_pages(app: Sphinx, tree: nodes.document, page: str) -> None:
    """Turn names such as docs/tls.md into links, in text and code: texts from argument specs have no Markdown."""
    for text in list(tree.findall(nodes.Text)):
        if isinstance(text.parent, (nodes.FixedTextElement, nodes.reference)):
            continue
        parts = NAME.split(text.astext())  # names are the odd ones
        made: list[nodes.Node] = [nodes.Text(part) for part in parts]
        for index in range(1, len(parts), 2):
            if (target := parts[index].removesuffix(".md")) in app.env.found_docs:
                uri = app.builder.get_relative_uri(page, target)
                made[index] = nodes.reference("", parts[index], internal=True, refuri=uri)
        if len(parts) > 1:
            text.parent.replace(text, made)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add what is above to Sphinx."""
    app.connect("source-read", add_sidebar)
    app.connect("doctree-resolved", link_names_of_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
