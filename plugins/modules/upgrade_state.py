#!/usr/bin/python
"""Ansible module: what an upgrade of a host's packages would do."""

from __future__ import annotations

DOCUMENTATION = r"""
module: upgrade_state
short_description: Reads what an upgrade of the packages would do, and whether a reboot is due
description:
  - Asks apt what it would upgrade, and looks for reasons to reboot - a package that asked for it, a newer kernel, and
    processes that run with libraries which were replaced. Says what that costs clients.
  - Changes nothing. New packages show only after C(apt-get update).
options:
  packages:
    description: V(safe) removes no package. V(full) removes those that stand in the way.
    type: str
    choices: [safe, full]
    default: safe
  reboot:
    description: When the host is going to be rebooted.
    type: str
    choices: [always, if_required, never]
    default: if_required
  groups: {description: The host's groups., type: list, elements: str, default: []}
  others: {description: 'How many other hosts each group has, by its name.', type: dict, default: {}}
  drained: {description: The file that shows that the host was taken out of its fleet., type: path, required: true}
attributes:
  check_mode: {description: "Is the same, since nothing is changed.", support: full}
author:
  - the authors of ansible-channels-stack
"""

EXAMPLES = r"""
- name: Ask what there is to upgrade
  channels.stack.upgrade_state:
    groups: "{{ group_names }}"
    drained: /srv/dashboard/drained
"""

RETURN = r"""
packages:
  description: Each package that would be installed, its C(name), C(old) and C(new) version.
  type: list
  elements: dict
  returned: success
removed: {description: Packages that would be removed., type: list, elements: str, returned: success}
unfinished: {description: Whether an earlier run of dpkg was interrupted., type: bool, returned: success}
reboot_reasons: {description: Why a reboot is due. Empty if it is not., type: list, elements: str, returned: success}
reboots: {description: Whether the host is going to be rebooted., type: bool, returned: success}
drained:
  description: V(upgrade) or V(operator), whoever took the host out of its fleet, or empty.
  type: str
  returned: success
costs: {description: 'What it costs, each a C(text) and C(closes).', type: list, elements: dict, returned: success}
closes: {description: Whether sockets close that cannot be moved before., type: bool, returned: success}
redis_part:
  description: >-
    The host's part in a group of Redises, V(primary) or V(replica); V(broken) if not all of the group work, and empty
    if there is none.
  type: str
  returned: success
redis_restarts: {description: Whether this restarts a Redis of a group., type: bool, returned: success}
hours: {description: 'Hours since the last C(apt-get update), or -1.', type: int, returned: success}
lines: {description: The same for people., type: list, elements: str, returned: success}
"""

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.host import upgrades


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "str", "choices": ["safe", "full"], "default": "safe"},
            "reboot": {"type": "str", "choices": ["always", "if_required", "never"], "default": "if_required"},
            "groups": {"type": "list", "elements": "str", "default": []},
            "others": {"type": "dict", "default": {}},
            "drained": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        unfinished = bool(upgrades.answer(["dpkg", "--audit"]).strip())
        simulated = "" if unfinished else upgrades.answer([*upgrades.APT, *upgrades.KINDS[given["packages"]]])
    except upgrades.UpgradeError as error:
        module.fail_json(msg=str(error))
    packages = upgrades.packages_in(simulated)
    reasons = upgrades.reboot_reasons(Path("/"), os.uname().release)
    soon = bool(reasons) or any(upgrades.NEW_BOOT.search(package["name"]) for package in packages)
    reboots = given["reboot"] == "always" or (given["reboot"] == "if_required" and soon)
    others = {group: int(count) for group, count in given["others"].items()}
    part = upgrades.redis_part()
    costs = upgrades.costs(given["groups"], packages, reboots, others, part)
    state = {
        "packages": packages,
        "removed": upgrades.removed_in(simulated),
        "unfinished": unfinished,
        "reboot_reasons": reasons,
        "reboots": reboots,
        "drained": upgrades.drained_by(Path(given["drained"])),
        "redis_part": part,
        "redis_restarts": bool(part) and (reboots or "redis" in upgrades.holders(packages, given["groups"])),
        "costs": costs,
        "hours": upgrades.lists_age(),
    }
    closes = any(cost["closes"] for cost in costs)
    module.exit_json(changed=False, closes=closes, lines=upgrades.told(state), **state)


if __name__ == "__main__":
    main()
