#!/usr/bin/python
"""Take one look at a host for a load test."""

from __future__ import annotations

DOCUMENTATION = r"""
module: load_host
short_description: Says what a host's processes take at the moment
description:
  - Returns memory, CPU time and open files of the project's live processes, of nginx and of Redis, and the number of
    open sockets. Creates a token first, if there is a command for it. M(channels.stack.load) calls it.
  - Changes nothing. The result may contain a token, so the task needs C(no_log).
options:
  app: {description: Name of the project on the host., type: str, required: true}
  token_command:
    {description: Command of the project that prints a valid token., type: list, elements: str, default: []}
  origin: {description: The Origin that a browser would send., type: str, default: ''}
  probe: {description: 'The program that asks the project, for a token; the action brings it.', type: str, default: ''}
attributes:
  check_mode: {description: Changes nothing anyway., support: full}
author: ansible-channels-stack
"""

EXAMPLES = r"""
- name: Look at the host
  channels.stack.load_host:
    app: dashboard
"""

RETURN = r"""
sample:
  description: The figures, as C(processes), C(nginx), C(redis), C(host), C(sockets), C(count) and C(server).
  type: dict
  returned: always
token:
  description: The token that was created.
  type: str
  returned: always
complaint:
  description: Why none was created.
  type: str
  returned: always
layer:
  description: The class of the project's channel layer, if there is a command for a token.
  type: str
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.host import deployed
from ..module_utils.host.project import Project
from ..module_utils.load.host import sample

ARGUMENTS: dict[str, dict[str, Any]] = {
    "app": {"type": "str", "required": True},
    "token_command": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "origin": {"type": "str", "default": ""},
    "probe": {"type": "str", "default": "", "no_log": True},
}


def minted(app: str, command: list[str], probe: str, origin: str) -> tuple[str, str, str]:
    """A token from the project, or why there is none; and the class of its channel layer."""
    bundle = deployed.bundle(app)
    if not bundle:
        return "", f"{app} is not deployed here: ansible-playbook site.yml", ""
    answer = Project(bundle, None, {}, probe).ask(bundle["application"], {"good": command}, origin)
    complaint = answer["not_minted"].get("good") or answer.get("import_error") or ""
    return answer["minted"].get("good", ""), str(complaint), str(answer.get("layer", ""))


def main() -> None:
    """Take a look at the host; create a token first if there is a command for it."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    app, command = module.params["app"], module.params["token_command"]
    token, complaint, layer = "", "", ""
    if command:
        token, complaint, layer = minted(app, command, module.params["probe"], module.params["origin"])
    module.exit_json(changed=False, sample=sample(app), token=token, complaint=complaint, layer=layer)


if __name__ == "__main__":
    main()
