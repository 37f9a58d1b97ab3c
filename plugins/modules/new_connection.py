#!/usr/bin/python
"""Documentation of the action `new_connection`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: new_connection
short_description: Logs in to the host over a new connection
description:
  - Logs in as the next run will, whatever connections are open, and fails if that does not work. It proves that a
    change of SSH or of the firewall has not locked its operator out.
  - Tries three times. Connections that do not go through SSH are not tried.
options:
  fail_msg:
    description: Message if no new connection can be made. SSH's own message is appended.
    type: str
    default: 'No new connection to the host can be made.'
  seconds: {description: Seconds that all attempts may take., type: int, default: 60}
attributes:
  check_mode: {description: Makes no difference., support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Prove that a new connection works
  channels.stack.new_connection:
    fail_msg: The firewall refuses new connections. The host puts the old rules back by itself.
    seconds: 60
"""

RETURN = r"""
msg:
  description: Whether a new connection works, or why none was tried.
  type: str
  returned: always
"""

# The action does all of it, on the controller: plugins/action/new_connection.py. ansible-doc reads this file.
