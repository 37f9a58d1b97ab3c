"""Programs that a module runs with another Python. They are files, so that linters see them, read on the controller.

A module on a host cannot read them there. Ansible packs what a module imports into a zip whose importer knows the
sources, and Mitogen brings the same modules with an importer that keeps none of them; neither brings other files. So
the module's action reads the program where the files are, and passes it to the module as an argument.
"""

from __future__ import annotations

from pathlib import Path


def text_of(name: str) -> str:
    """Return the text of a program in this folder, such as "probe"."""
    return Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
