#!/usr/bin/python
"""Ansible module: one deploy at a time, and never beside processes that a killed run left behind."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deploy_lock
short_description: Allows one deploy at a time, and none while a killed run's work goes on
description:
  - Takes the lock of a project's deploys on the host where it is kept, waits for what a killed run has left at work
    there, and gives the lock back.
  - An action on the controller decides whether the run that holds the lock is alive. Use the action; the module
    carries what it does on the host, whose own tools may be older, or not there yet.
options:
  app: {description: Name of the project., type: str, required: true}
  home: {description: 'The project''s folder; by default C(/srv/<app>).', type: path}
  state:
    description:
      - V(taken) takes the lock. V(waited) takes none, and only waits for work that goes on. V(given_back) releases the
        lock if RV(run) has it.
    type: str
    choices: [taken, waited, given_back]
    default: taken
  who: {description: Who deploys., type: str, default: ''}
  run: {description: Name of the run that releases the lock., type: str, default: ''}
  seen: {description: The generation that the caller saw serving. Empty skips the comparison., type: str}
  wait: {description: Seconds to wait for work that goes on., type: float, default: 300}
  dead: {description: Name of a run that is known to be dead; set by the action., type: str}
  record: {description: What is written about the run; set by the action., type: dict, default: {}}
  fleet: {description: 'With RV(run) given back, what to record of all app hosts.', type: dict, default: {}}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Take the lock of this deploy
  channels.stack.deploy_lock: {app: dashboard, who: alice@laptop}
  delegate_to: app-1
  run_once: true
  register: __lock
  failed_when: not __lock.taken

- name: Give the lock of this deploy back
  channels.stack.deploy_lock: {app: dashboard, state: given_back, run: "{{ __lock.run }}"}
  delegate_to: app-1
  run_once: true
"""

RETURN = r"""
taken:
  description: Whether the lock was taken. If not, C(msg) says who has it, since when, and how to free it.
  type: bool
  returned: for state taken
run:
  description: Name of this run, for releasing the lock.
  type: str
  returned: where it was taken
broken:
  description: Whether the lock of a run that has died was broken.
  type: bool
  returned: where it was taken
fleet:
  description: What this host has recorded of all app hosts; empty if nothing.
  type: dict
  returned: where it was taken
notes:
  description: What a person should know, such as what was waited for.
  type: list
  elements: str
  returned: always
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.host import fleet_record
from ..module_utils.host.locks import Busy, DeployLock, Refused, at_work, working


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "str", "required": True},
            "home": {"type": "path"},
            "state": {"type": "str", "choices": ["taken", "waited", "given_back"], "default": "taken"},
            "who": {"type": "str", "default": ""},
            "run": {"type": "str", "default": ""},
            "seen": {"type": "str"},
            "wait": {"type": "float", "default": 300.0},
            "dead": {"type": "str"},
            "record": {"type": "dict", "default": {}},
            "fleet": {"type": "dict", "default": {}},
        }
    )
    given = module.params
    home = Path(given["home"] or f"/srv/{given['app']}")
    result: dict[str, Any] = {"changed": False}
    try:
        if given["state"] == "given_back":
            if given["fleet"]:
                fleet_record.write(home, given["fleet"])
            result["changed"] = DeployLock(home).give_back(given["run"])
        elif given["state"] == "waited":
            result["waited"] = wait(home, given["wait"])
        else:
            result |= DeployLock(home).take(given["record"], given["seen"], given["dead"])
            if result["taken"]:
                result |= {"changed": True, "at_work": busy(home), "fleet": fleet_record.read(home)}
    except Refused as refusal:
        result |= {"taken": False, "refused": str(refusal)}
    except Busy as other:
        result["busy"] = str(other)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or home}: {error.strerror or error}")
    module.exit_json(**result)


def wait(home: Path, seconds: float) -> str:
    """Wait for whatever is at work; return a note if something was. Raise Busy if it does not end."""
    if not home.is_dir():
        return ""
    with working(home, "a look", seconds) as (_, note):
        return note


def busy(home: Path) -> str:
    """Return what is at work, usually nothing."""
    try:
        wait(home, 0)
    except Busy:
        return at_work(home)
    return ""


if __name__ == "__main__":
    main()
