"""The error for files that do not show what a project needs."""

from __future__ import annotations


class RequirementsError(Exception):
    """What a project needs cannot be worked out; the text says what to change."""
