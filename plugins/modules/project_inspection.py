#!/usr/bin/python
"""Documentation of the action `project_inspection`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: project_inspection
short_description: Writes a first inventory for a project
description:
  - Reads a Django project in a folder of the controller, imports nothing of it, and writes a first inventory for it.
    An inventory that is there is never overwritten.
options:
  folder:
    description: Folder of the project, absolute or relative to where Ansible was started.
    type: path
    required: true
  inventory:
    description: Folder to create. By default C(inventories/NAME) in this bundle, with the name of the project.
    type: path
attributes:
  check_mode: {description: Writes nothing., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Write a first inventory
  channels.stack.project_inspection:
    folder: /home/me/chat
    inventory: inventories/chat
  register: __inspection
"""

RETURN = r"""
lines:
  description: What was found, where, and what to check, for people.
  type: list
  elements: str
  returned: always
files:
  description: Files that were written.
  type: list
  elements: str
  returned: success
notes:
  description: What to know, each with its C(level) (error, warning or notice), C(place), C(text) and C(fix).
  type: list
  elements: dict
  returned: success
found:
  description: What was found as data, such as the ASGI path, the backend's folder and the names of the environment.
  type: dict
  returned: success
"""

# The action does all of it, on the controller: plugins/action/project_inspection.py. ansible-doc reads this file.
