#!/usr/bin/python
"""Documentation of the action `generation`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: generation
short_description: Specifies a generation of processes, and writes its files
description:
  - Makes one document of all that a generation is made of - release, kinds of processes, sockets, rendered files - and
    names the generation by the document's digest. It reads the variables of the role C(asgi), whose templates it
    renders, and nothing on the host.
  - Whatever would change in a file of a generation gives it another name. Hosts with the same variables name it alike.
options:
  state:
    description:
      - C(specified) only returns the document.
      - C(written) has the host hold all its files, by M(channels.stack.file_set).
    type: str
    choices: [specified, written]
    default: specified
  name:
    description: Name of a generation that was specified before. By default, the name is made from the document.
    type: str
    default: ""
  processes:
    description: Number of its ASGI processes; 0 for what the inventory or the host's size says. It is not in the name.
    type: int
    default: 0
attributes:
  check_mode: {description: Tells what would be written., support: full}
  diff_mode: {description: Shows all files but the environment., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Specify the generation that is to serve
  channels.stack.generation:
  register: __asgi_specified

- name: Write the files of the generation
  channels.stack.generation:
    state: written
    name: "{{ __asgi_specified.generation.name }}"
"""

RETURN = r"""
generation:
  description:
    - The document, without the texts of files - C(name), C(release), C(manager), C(server), C(unit), C(instances),
      C(sockets), C(wsgi), C(kinds), C(files), C(manager_files) and others.
  type: dict
  returned: always
paths:
  description: What was changed, or would be in check mode.
  type: list
  elements: str
  returned: with O(state=written)
"""

# The action does all of it, on the controller: plugins/action/generation.py. ansible-doc reads this file.
