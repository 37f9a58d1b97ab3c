"""What is raised where files do not tell what a project needs."""

from __future__ import annotations


class RequirementsError(Exception):
    """What a project needs cannot be told; the text says what to change."""
