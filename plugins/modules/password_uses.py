#!/usr/bin/python
"""Ansible module: which of some passwords a project's generations use."""

from __future__ import annotations

DOCUMENTATION = r"""
module: password_uses
short_description: Finds which passwords the generations on a host use
description:
  - Looks for passwords in the environment files of all generations, by their hashes. Passwords are found as values, in
    addresses (percent-encoded or not), and as parts of values, such as in JSON.
  - Nothing is changed, and no hash and no value is returned.
options:
  folder: {description: Folder with the generations., type: path, required: true}
  hashes: {description: "SHA-256 of each password, in hexadecimal digits.", type: list, elements: str, required: true}
  instead:
    description: SHA-256 of the password that replaces each of O(hashes), if they are replaced.
    type: list
    elements: str
    default: []
attributes:
  check_mode: {description: "Is the same, since nothing is changed.", support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Ask which passwords are used
  channels.stack.password_uses:
    folder: /srv/dashboard/generations
    hashes: "{{ hashes }}"
"""

RETURN = r"""
used:
  description: Indexes in O(hashes), from 0, of the passwords that a generation uses.
  type: list
  elements: int
  returned: always
behind:
  description: Generations that use one of O(hashes), and not its replacement.
  type: list
  elements: str
  returned: always
unknown:
  description: Generations whose environment has none of the passwords. What they use is somewhere else.
  type: list
  elements: str
  returned: always
"""

import hashlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from ansible.module_utils.basic import AnsibleModule

# The part of an address between the scheme and the host: USER:PASSWORD. Clients take the last @ as its end.
LOGIN = re.compile(r"://([^/?#\s\"']*)@")


def candidates(value: str) -> Iterator[str]:
    """Yield everything in a variable's value that may be a password."""
    yield value
    for login in LOGIN.findall(value):
        password = login.partition(":")[2]
        yield from (password, unquote(password))
    for part in re.split(r"[\s,;=]+", value):
        yield part.strip("\"'{}[]()")
    for double, single in re.findall(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'', value):
        yield re.sub(r"\\(.)", r"\1", double or single)


def values(text: str) -> list[str]:
    """Return the values that an environment file sets; sh reads it."""
    return [word.partition("=")[2] for word in shlex.split(text, comments=True)]


def found_in(folder: Path) -> dict[str, set[str]]:
    """Return, for each generation, the hashes of everything that may be a password."""
    return {
        path.parent.name: {
            hashlib.sha256(candidate.encode()).hexdigest()
            for value in values(path.read_text())
            for candidate in candidates(value)
        }
        for path in sorted(folder.glob("*/env"))
    }


def uses(folder: Path, hashes: list[str]) -> tuple[list[int], list[str]]:
    """Return the indexes of the hashes that are used, and the generations that use none of them."""
    found = found_in(folder)
    used = [place for place, known in enumerate(hashes) if any(known in one for one in found.values())]
    return used, [name for name, one in found.items() if not one.intersection(hashes)]


def behind(folder: Path, hashes: list[str], instead: list[str]) -> list[str]:
    """Return the generations that use a password, but not its replacement."""
    pairs = list(zip(hashes, instead, strict=True)) if instead else []
    return [name for name, one in found_in(folder).items() if any(old in one and new not in one for old, new in pairs)]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "hashes": {"type": "list", "elements": "str", "required": True, "no_log": True},
            "instead": {"type": "list", "elements": "str", "default": [], "no_log": True},
        },
        supports_check_mode=True,
    )
    try:
        folder, hashes = Path(module.params["folder"]), module.params["hashes"]
        used, unknown = uses(folder, hashes)
        late = behind(folder, hashes, module.params["instead"])
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"Environments of generations cannot be read: {type(error).__name__}")
    module.exit_json(changed=False, used=used, unknown=unknown, behind=late)


if __name__ == "__main__":
    main()
